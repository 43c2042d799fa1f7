"""Yjs v1 updates put together by hand, valid or not."""

from __future__ import annotations


def uint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(128 | value & 127)
        value >>= 7
    return bytes([*out, value])


def text(content: str | bytes) -> bytes:
    data = content.encode() if isinstance(content, str) else content
    return uint(len(data)) + data


def section(client: int, clock: int, *structs: bytes) -> bytes:
    return uint(len(structs)) + uint(client) + uint(clock) + b"".join(structs)


def update(*sections: bytes, deletes: bytes = b"\0") -> bytes:
    return uint(len(sections)) + b"".join(sections) + deletes


def deletes(*clients: tuple[int, list[tuple[int, int]]]) -> bytes:
    out = uint(len(clients))
    for client, spans in clients:
        out += uint(client) + uint(len(spans))
        out += b"".join(uint(clock) + uint(length) for clock, length in spans)
    return out


ROOT = b"\x01" + text("t")
"""The parent of an item: the root "t"."""


def item(kind: int, content: bytes, place: bytes = ROOT) -> bytes:
    return bytes([kind]) + place + content


def inside(client: int, clock: int) -> bytes:
    """The parent of an item: the type that this operation made."""
    return b"\0" + uint(client) + uint(clock)


def after(client: int, clock: int, kind: int, content: bytes) -> bytes:
    return bytes([kind | 0x80]) + uint(client) + uint(clock) + content


def values(*encoded: bytes) -> bytes:
    """An item of Any values."""
    return item(8, uint(len(encoded)) + b"".join(encoded))


def gc(length: int) -> bytes:
    return b"\0" + uint(length)


def skip(length: int) -> bytes:
    return b"\x0a" + uint(length)


def typed(content: str) -> bytes:
    return item(4, text(content))
