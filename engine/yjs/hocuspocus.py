"""Frames of Hocuspocus 2, 3 and 4 (npm), one message each.

::

    frame   = address, type, payload | 9 | 10
    address = string: name | name, NUL, session

One connection carries many documents, or one document several times, under different sessions. A
provider takes only frames with exactly its own address, so answers carry the address that came. A
frame of the single byte 9 or 10 is Ping or Pong, which no address can be: there is nothing after
it.
"""

from __future__ import annotations

from syncline.engine.errors import MalformedFrame
from syncline.engine.lib0 import Reader, write_string, write_uint
from syncline.engine.protocol.messages import MAX_TOKEN

from .fields import SYNC, read_shared, write_shared
from .messages import (
    Authenticate,
    Authenticated,
    Close,
    Denied,
    Message,
    Ping,
    Pong,
    Stateless,
    SyncStatus,
    Unknown,
)

MAX_ADDRESS = 1024
"""Longest address, in bytes."""
MAX_STATELESS = 256 << 10
"""Longest stateless payload, in bytes."""
_MAX_VERSION = 64

_AUTH = 2
_SYNC_REPLY = 4  # the server's own variant of Sync, which answers no step 1
_STATELESS = 5
_CLOSE = 7
_SYNC_STATUS = 8
_PING = b"\x09"
_PONG = b"\x0a"

_TOKEN = 0
_PERMISSION_DENIED = 1
_AUTHENTICATED = 2

_SCOPES = {False: "read-write", True: "readonly"}


def name_of(address: str) -> str:
    """The document's name in an address, which may have a session behind it."""
    return address.partition("\0")[0]


def read_address(frame: bytes) -> tuple[str, Reader]:
    """The address of a client's frame, and what follows; an empty address for Ping and Pong.

    Raises MalformedFrame.
    """
    reader = Reader(frame)
    if frame in (_PING, _PONG):
        return "", reader
    address = reader.string(MAX_ADDRESS)
    if not name_of(address):
        raise MalformedFrame(
            "The frame names no document.",
            hint="Give the provider a name; a y-websocket client needs the document in its URL.",
        )
    return address, reader


def read_message(reader: Reader) -> Message:
    """The message after the address in a client's frame. Raises MalformedFrame."""
    kind = reader.uint()
    if reader.at_end and kind == _PING[0]:
        return Ping()
    if reader.at_end and kind == _PONG[0]:
        return Pong()
    message = read_shared(SYNC if kind == _SYNC_REPLY else kind, reader)
    if message is None:
        message = _read_own(kind, reader)
    if not isinstance(message, Unknown):
        reader.expect_end()
    return message


def _read_own(kind: int, reader: Reader) -> Message:
    match kind:
        case 2:
            return _read_auth(reader)
        case 5:
            return Stateless(reader.string(MAX_STATELESS))
        case 6:
            raise MalformedFrame(
                "A client sent a message to be broadcast.",
                hint="Send a stateless message (sendStateless); the relay decides who gets it.",
            )
        case 7:
            # v2 writes nothing behind it.
            return Close("" if reader.at_end else reader.string(MAX_ADDRESS))
        case _:
            return Unknown(kind)


def decode(frame: bytes) -> tuple[str, Message]:
    """Address and message of a client's frame. Raises MalformedFrame."""
    address, reader = read_address(frame)
    return address, read_message(reader)


def _read_auth(reader: Reader) -> Authenticate:
    kind = reader.uint()
    if kind != _TOKEN:
        raise MalformedFrame(
            f"The auth message is of the type {kind}, which no client sends.",
            hint="A client sends a token: 0, then the token.",
        )
    token = reader.string(MAX_TOKEN)
    return Authenticate(token, None if reader.at_end else reader.string(_MAX_VERSION))


def encode(address: str, message: Message) -> bytes:
    """The frame of a server's message about the document at ``address``."""
    match message:
        case Ping():
            return _PING
        case Pong():
            return _PONG
        case _:
            out = bytearray()
            write_string(out, address)
            if not write_shared(out, message):
                _write_own(out, message)
            return bytes(out)


def _write_own(out: bytearray, message: Message) -> None:
    match message:
        case Authenticated(read_only):
            write_uint(out, _AUTH)
            write_uint(out, _AUTHENTICATED)
            write_string(out, _SCOPES[read_only])
        case Denied(reason):
            write_uint(out, _AUTH)
            write_uint(out, _PERMISSION_DENIED)
            write_string(out, reason)
        case Stateless(payload):
            write_uint(out, _STATELESS)
            write_string(out, payload)
        case Close(reason):
            write_uint(out, _CLOSE)
            write_string(out, reason)
        case SyncStatus(stored):
            write_uint(out, _SYNC_STATUS)
            write_uint(out, int(stored))
        case _:
            raise MalformedFrame(
                f"Hocuspocus has no message {type(message).__name__} of a server.",
                hint="Send what the protocol has.",
            )
