"""Updates that nobody's editor makes: from a grammar of Yjs v1, and mutated real ones."""

from __future__ import annotations

import random
from collections.abc import Callable

from syncline.engine.document.document import Document
from syncline.engine.protocol.codec import encode
from syncline.engine.protocol.messages import Entry, Ping, Push
from syncline.engine.yjs import hocuspocus, y_websocket
from syncline.engine.yjs.messages import (
    Awareness,
    Client,
    Message,
    QueryAwareness,
    SyncStep1,
    SyncStep2,
    Update,
)
from tests.engine.update_bytes import deletes, gc, section, skip, text, uint, update
from tests.relay.clients import NOTE

_ROOTS = ("t", "a", "m", "x", "body")
_STRINGS = ("a", "hello", "é", "😀", "a😀b", "x" * 40)
_VALUES = (
    b"\x7e",
    b"\x7f",
    b"\x79",
    b"\x77\x01x",
    b"\x7d\x05",
    b"\x75\x01\x7e",
    b"\x76\x01\x01k\x7e",
    b"\x7a" + b"\xff" * 8,
    b"\x7b\x7f\xf8\0\0\0\0\0\0",
)
_CLIENTS = (1, 2, 3, 2**31, 2**53 - 1)


class Grammar:
    """Updates of one document, each of which may build on those before: whatever the grammar
    allows, with ids that exist, nearly exist, or do not."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._taken: dict[int, int] = {}
        self._clocks: dict[int, int] = {}  # with what is not taken yet

    def taken(self) -> None:
        """The last update was stored: others may build on it."""
        self._taken = self._clocks

    def update(self) -> bytes:
        rng = self._rng
        self._clocks = dict(self._taken)
        clients = rng.sample(_CLIENTS, rng.choice((1, 1, 1, 2)))
        made = update(*map(self._section, clients), deletes=self._deletes())
        return mutated(made, rng) if rng.random() < 0.1 else made

    def _section(self, client: int) -> bytes:
        rng, begins = self._rng, self._clocks.get(client, 0)
        if rng.random() < 0.05:
            begins = max(0, begins + rng.choice((-1, 1, 5)))
        clock, structs = begins, list[bytes]()
        for _ in range(rng.randrange(1, 6)):
            struct, length = self._struct()
            structs.append(struct)
            clock += length
        self._clocks[client] = max(self._clocks.get(client, 0), clock)
        return section(client, begins, *structs)

    def _struct(self) -> tuple[bytes, int]:
        rng = self._rng
        if rng.random() < 0.08:
            length = rng.choice((1, 2, 5, 2**20))
            return rng.choice((gc, skip))(length), length
        kind, content, length = self._content()
        known = bool(self._clocks) or rng.random() < 0.05
        origin, right = known and rng.random() < 0.5, known and rng.random() < 0.3
        keyed = rng.random() < 0.3
        info, place = kind | 0x80 * origin | 0x40 * right | 0x20 * keyed, b""
        if origin:
            place += self._id()
        if right:
            place += self._id()
        if not origin and not right:
            place += (
                b"\x01" + text(rng.choice(_ROOTS)) if rng.random() < 0.6 else b"\0" + self._id()
            )
            if keyed:
                place += text(rng.choice(_STRINGS))
        return bytes([info]) + place + content, length

    def _content(self) -> tuple[int, bytes, int]:
        """Kind, bytes and length in clocks."""
        rng = self._rng
        words = rng.choice(_STRINGS)
        values = [rng.choice(_VALUES) for _ in range(rng.randrange(1, 4))]
        removed = rng.choice((1, 2, 100, 2**20, 2**30))
        branch = rng.choice((0, 1, 2, 3, 4, 6))
        made: Callable[[], tuple[int, bytes, int]] = rng.choice(
            (
                lambda: (1, uint(removed), removed),
                lambda: (3, text(b"ab"), 1),
                lambda: (4, text(words), max(1, len(words.encode("utf-16-le")) // 2)),
                lambda: (5, text(rng.choice(('{"a":1}', "null", "1"))), 1),
                lambda: (6, text("b") + text(rng.choice(("true", "null"))), 1),
                lambda: (7, bytes([branch]) + (text("p") if branch == 3 else b""), 1),
                lambda: (8, uint(len(values)) + b"".join(values), len(values)),
                lambda: (9, text("guid") + b"\x76\x00", 1),
            )
        )
        return made()

    def _id(self) -> bytes:
        client = self._rng.choice(tuple(self._clocks) or _CLIENTS)
        last = self._clocks.get(client, 0) - (self._rng.random() < 0.95)
        return uint(client) + uint(max(0, last - self._rng.randrange(0, 4)))

    def _deletes(self) -> bytes:
        rng = self._rng
        if rng.random() < 0.7:
            return b"\0"
        spans = [
            (rng.randrange(0, 10), rng.choice((1, 2, 1000, 2**30)))
            for _ in range(rng.randrange(1, 4))
        ]
        return deletes((rng.choice(_CLIENTS), spans))


class Writer:
    """Real updates of one document, of which some are mutated."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._document = Document(rng.choice(_CLIENTS))

    def update(self) -> bytes:
        rng, written = self._rng, self._document.text("body")
        length = len(written.content())
        if length and rng.random() < 0.3:
            written.delete(rng.randrange(length), 1)
        else:
            written.insert(rng.randrange(length + 1), rng.choice(("a", "hello", "é")))
        (made,) = self._document.take_captured()
        return mutated(made, rng) if rng.random() < 0.3 else made

    def taken(self) -> None:
        """The last update was stored."""


def mutated(data: bytes, rng: random.Random) -> bytes:
    """``data`` with some bytes changed, added, taken away or repeated."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(out) + 1)
        match rng.randrange(5):
            case 0 if at < len(out):
                out[at] ^= 1 << rng.randrange(8)
            case 1 if at < len(out):
                out[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
            case 2:
                out[at:at] = rng.randbytes(rng.randrange(1, 5))
            case 3:
                del out[at : at + rng.randrange(1, 5)]
            case _:
                out += out[at : at + rng.randrange(1, 20)]
    return bytes(out)


def frame(rng: random.Random, made: bytes) -> tuple[str, bytes]:
    """A mutated frame, and which of the three protocols it is of."""
    messages: tuple[Message, ...] = (
        SyncStep1(b"\x01\x05\x07"),
        SyncStep2(made),
        Update(made),
        Awareness((Client(7, 3, '{"cursor":1}'), Client(8, 1, None))),
        QueryAwareness(),
    )
    message = rng.choice(messages)
    match rng.randrange(3):
        case 0:
            encoded = y_websocket.encode(message)
            assert encoded is not None
            return "y-websocket", mutated(encoded, rng)
        case 1:
            return "hocuspocus", mutated(hocuspocus.encode("pages/note", message), rng)
        case _:
            push = encode(rng.choice((Push(1, (Entry(NOTE, made),)), Ping(1))))
            raw = push.encode() if isinstance(push, str) else push
            return "syncline", mutated(raw, rng)
