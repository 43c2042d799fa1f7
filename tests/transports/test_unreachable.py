"""What keeps a replica from its relay, with real sockets: ``status`` names the URL, the cause and
what to do, and the replica tries again."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from syncline import Relay, Replica, SynclineError
from syncline.environment import Environment
from syncline.transports import Transport, connect_websocket
from tests.profiles import missing
from tests.replica.models import Contact, link_of

PATIENCE = 60.0
SECRET = "hunter2"  # noqa: S105
PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi"


class Certificate(NamedTuple):
    certificate: Path
    key: Path

    def server(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


def self_signed(folder: Path, host: str) -> Certificate:
    openssl = shutil.which("openssl")
    if openssl is None:
        missing("There is no openssl.")
    made = Certificate(folder / f"{host}.pem", folder / f"{host}.key")
    command = [openssl, "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt"]
    command += ["ec_paramgen_curve:prime256v1", "-days", "2", "-subj", f"/CN={host}"]
    command += ["-addext", f"subjectAltName=DNS:{host}"]
    command += ["-keyout", str(made.key), "-out", str(made.certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return made


@asynccontextmanager
async def answering(
    answer: bytes, tls: ssl.SSLContext | None = None, port: int = 0
) -> AsyncGenerator[int]:
    """A server that gives this answer to whatever it is asked; yields its port."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await reader.read(4096)
            writer.write(answer)
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", port, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]


class Attempts:
    """The way to a relay, watched: ``twice`` is set when the second attempt has failed."""

    def __init__(self) -> None:
        self.errors: list[SynclineError] = []
        self.twice = asyncio.Event()

    async def connect(self, url: str) -> Transport:
        try:
            return await connect_websocket(url)
        except SynclineError as error:
            self.errors.append(error)
            if len(self.errors) == 2:
                self.twice.set()
            raise


async def reported(folder: Path, url: str) -> str:
    """What ``status`` says of a replica that has tried twice; it goes on, and loses nothing."""
    attempts = Attempts()
    environment = Environment(connect=attempts.connect)
    async with Replica.open(
        folder / "a.db", models=[Contact], relay=url, environment=environment
    ) as replica:
        replica.collection(Contact).create(name="offline")
        await replica.flushed()
        async with asyncio.timeout(PATIENCE):
            await attempts.twice.wait()
        status = replica.status
        assert status.error_code == "relay-unreachable"
        assert replica.pending == 1
    error = str(status.error)
    assert error == str(attempts.errors[0])
    assert url in error
    assert " Hint: " in error
    assert SECRET not in error
    return error


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ws_proxy", "wss_proxy", "socks_proxy", "https_proxy", "http_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


async def test_a_name_that_nobody_has(tmp_path: Path) -> None:
    error = await reported(tmp_path, "wss://relay.invalid/sync/crm")
    assert "the name relay.invalid has no address" in error
    assert "spelling" in error


async def test_a_closed_port(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        error = await reported(tmp_path, f"ws://127.0.0.1:{taken.getsockname()[1]}/crm")
    assert "cannot be reached: Connect" in error


@pytest.mark.slow
async def test_a_certificate_that_is_not_trusted(tmp_path: Path) -> None:
    tls = self_signed(tmp_path, "localhost").server()
    async with answering(PAGE, tls) as port:
        error = await reported(tmp_path, f"wss://localhost:{port}/crm")
    assert "its certificate is not trusted (self-signed certificate)" in error
    assert "SSL_CERT_FILE" in error


async def test_a_certificate_of_another_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = self_signed(tmp_path, "other.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(made.certificate))
    async with answering(PAGE, made.server()) as port:
        error = await reported(tmp_path, f"wss://localhost:{port}/crm")
    assert "its certificate is not trusted (Hostname mismatch" in error
    assert "Check the URL's host" in error


async def test_a_certificate_of_the_own_authority_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = self_signed(tmp_path, "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(made.certificate))
    async with answering(PAGE, made.server()) as port:
        error = await reported(tmp_path, f"wss://localhost:{port}/crm")
    assert "the answer is HTTP status 200" in error


@pytest.mark.slow
async def test_tls_where_nobody_speaks_it(tmp_path: Path) -> None:
    async with answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        error = await reported(tmp_path, f"wss://127.0.0.1:{port}/crm")
    assert "TLS failed" in error
    assert "scheme" in error


@pytest.mark.parametrize(
    ("answer", "sentence", "hint"),
    [
        (PAGE, "the answer is HTTP status 200, a web page", "open any page in a browser"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "the answer is HTTP status 404", "Check the path"),
        (b"HTTP/1.1 401 Unauthorized\r\n\r\n", "HTTP status 401", "asks for credentials"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "takes no connection at present", "try later"),
        (
            b"HTTP/1.1 302 Found\r\nLocation: http://portal.example/?token=hunter2\r\n\r\n",
            "it redirects to http://portal.example, which is no websocket",
            "open any page in a browser",
        ),
        (b"", "did not receive a valid HTTP response", "Check the URL's scheme"),
    ],
    ids=["portal", "404", "401", "502", "redirect", "nothing"],
)
async def test_an_answer_that_is_no_relays(
    tmp_path: Path, answer: bytes, sentence: str, hint: str
) -> None:
    async with answering(answer) as port:
        error = await reported(tmp_path, f"ws://127.0.0.1:{port}/crm")
    assert sentence in error
    assert hint in error


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "proxy rejected connection: HTTP"),
        (b"SSH-2.0\r\n", "did not receive a valid HTTP response from proxy"),
        (None, "Connect"),
    ],
    ids=["407", "garbage", "away"],
)
async def test_a_proxy_that_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes | None, sentence: str
) -> None:
    async with AsyncExitStack() as stack:
        if answer is None:
            taken = stack.enter_context(socket.socket())
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        else:
            port = await stack.enter_async_context(answering(answer))
        monkeypatch.setenv("https_proxy", f"http://ada:{SECRET}@127.0.0.1:{port}")
        error = await reported(tmp_path, "wss://relay.invalid/crm")
    assert f"the proxy http://127.0.0.1:{port}" in error
    assert sentence in error
    assert "https_proxy" in error


@pytest.mark.slow
@pytest.mark.parametrize(
    "proxy",
    [f"http://:{SECRET}@", f"ftp://ada:{SECRET}@h", f"http://ada:{SECRET}@h:99999"],
    ids=["no-host", "scheme", "port"],
)
async def test_a_proxy_that_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("https_proxy", proxy)
    assert "the proxy " in await reported(tmp_path, "wss://relay.invalid/crm")


async def test_the_relay_behind_comes_back(tmp_path: Path) -> None:
    """Once the portal is passed, the replica goes on by itself."""
    async with answering(PAGE) as port:
        replica = Replica.open(
            tmp_path / "a.db", models=[Contact], relay=f"ws://127.0.0.1:{port}/crm"
        )
        await replica.__aenter__()
        async with asyncio.timeout(PATIENCE):
            while link_of(replica) != "waiting":  # noqa: ASYNC110
                await asyncio.sleep(0)
    async with Relay(tmp_path / "relay.db", port=port), asyncio.timeout(PATIENCE):
        replica.collection(Contact).create(name="kept")
        await replica.synced()
        assert replica.pending == 0
        await replica.__aexit__(None, None, None)
