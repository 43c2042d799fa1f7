"""Clients that do what no library would: plain sockets, driven by hand."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for an HTTP request."""

    status: int
    headers: dict[str, str]
    body: bytes


@asynccontextmanager
async def raw_stream(
    port: int,
) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter], None]:
    """A TCP connection on which nothing has been said."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        await finish(writer)


async def finish(writer: asyncio.StreamWriter) -> None:
    """Close a stream, and wait until its socket is closed."""
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def http(port: int, method: str, target: str) -> Answer:
    """Ask for ``target`` and read until the server hangs up."""
    async with raw_stream(port) as (reader, writer):
        writer.write(f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    status_line, *header_lines = head.decode().split("\r\n")
    pairs = (line.split(": ", 1) for line in header_lines)
    return Answer(int(status_line.split()[1]), {name.lower(): value for name, value in pairs}, body)


@asynccontextmanager
async def raw_websocket(
    port: int, *, subprotocol: str | None = "syncline", receive_buffer: int | None = None
) -> AsyncGenerator[socket.socket, None]:
    """A socket on which the websocket handshake is done, and nothing else is."""
    loop = asyncio.get_running_loop()
    with socket.socket() as raw:
        raw.setblocking(False)
        if receive_buffer is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        await loop.sock_connect(raw, ("127.0.0.1", port))
        lines = [
            "GET /crm HTTP/1.1",
            "Host: localhost",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
            "Sec-WebSocket-Version: 13",
            *([f"Sec-WebSocket-Protocol: {subprotocol}"] if subprotocol else []),
            "",
            "",
        ]
        await loop.sock_sendall(raw, "\r\n".join(lines).encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):  # byte by byte: frames may follow
            head += await loop.sock_recv(raw, 1)
        assert head.startswith(b"HTTP/1.1 101 "), head
        yield raw


async def handshake(port: int, *headers: str, subprotocol: str = "syncline") -> tuple[int, str]:
    """Ask for a websocket; the status and, if it is refused, the text."""
    async with raw_stream(port) as (reader, writer):
        lines = [
            "GET /crm HTTP/1.1",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Protocol: {subprotocol}",
            *headers,
        ]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        async with asyncio.timeout(10):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            status = int(head.split()[1])
            return status, "" if status == 101 else (await reader.read()).decode()


def frame(opcode: int, payload: bytes) -> bytes:
    """A short frame as a client sends it (RFC 6455, 5.2), masked with zeros."""
    assert len(payload) < 126
    return bytes([0x80 | opcode, 0x80 | len(payload), 0, 0, 0, 0]) + payload


async def read_exactly(raw: socket.socket, count: int) -> bytes:
    """The next ``count`` bytes."""
    loop, data = asyncio.get_running_loop(), b""
    while len(data) < count:
        more = await loop.sock_recv(raw, count - len(data))
        assert more, f"the server hung up after {data!r}"
        data += more
    return data


async def read_close(raw: socket.socket) -> tuple[int, str]:
    """The code and the reason of the close frame that comes next."""
    first, size = await read_exactly(raw, 2)
    assert first == 0x80 | CLOSE
    payload = await read_exactly(raw, size)
    return int.from_bytes(payload[:2]), payload[2:].decode()
