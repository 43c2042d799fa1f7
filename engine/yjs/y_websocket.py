"""Frames of y-websocket 3 (npm), one message each.

::

    frame = 0, sync | 1, awareness | 2, 0, reason | 3

The document is named by the URL of the connection, so no frame names it. From a client come sync
and awareness, and 3, a query for awareness; 2 is the server's refusal, which the client writes to
its console.
"""

from __future__ import annotations

from syncline.engine.lib0 import Reader, write_string, write_uint

from .fields import read_awareness, read_sync, write_awareness, write_sync
from .messages import (
    Awareness,
    Denied,
    Message,
    QueryAwareness,
    SyncStep1,
    SyncStep2,
    Unknown,
    Update,
)

_SYNC = 0
_AWARENESS = 1
_AUTH = 2
_QUERY_AWARENESS = 3
_PERMISSION_DENIED = 0


def decode(frame: bytes) -> Message:
    """The message of a client's frame. Raises MalformedFrame."""
    reader = Reader(frame)
    kind = reader.uint()
    message: Message
    match kind:
        case 0:
            message = read_sync(reader)
        case 1:
            message = read_awareness(reader)
        case 3:
            message = QueryAwareness()
        case _:
            return Unknown(kind)
    reader.expect_end()
    return message


def encode(message: Message) -> bytes | None:
    """The frame of a server's message; None for one that y-websocket does not have."""
    out = bytearray()
    match message:
        case SyncStep1() | SyncStep2() | Update():
            write_uint(out, _SYNC)
            write_sync(out, message)
        case Awareness():
            write_uint(out, _AWARENESS)
            write_awareness(out, message)
        case Denied(reason):
            write_uint(out, _AUTH)
            write_uint(out, _PERMISSION_DENIED)
            write_string(out, reason)
        case QueryAwareness():
            write_uint(out, _QUERY_AWARENESS)
        case _:
            return None
    return bytes(out)
