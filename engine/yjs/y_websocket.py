"""Frames of y-websocket 3 (npm), one message each.

::

    frame = shared | 2, 0, reason

The document is named by the URL of the connection, so no frame names it. From a client come the
messages that Hocuspocus shares (fields.py); 2 is the server's refusal, which the client writes to
its console.
"""

from __future__ import annotations

from syncline.engine.lib0 import Reader, write_string, write_uint

from .fields import read_shared, write_shared
from .messages import Denied, Message, Unknown

_AUTH = 2
_PERMISSION_DENIED = 0


def decode(frame: bytes) -> Message:
    """The message of a client's frame. Raises MalformedFrame."""
    reader = Reader(frame)
    kind = reader.uint()
    message = read_shared(kind, reader)
    if message is None:
        return Unknown(kind)
    reader.expect_end()
    return message


def encode(message: Message) -> bytes | None:
    """The frame of a server's message; None for one that y-websocket does not have."""
    out = bytearray()
    if not write_shared(out, message):
        if not isinstance(message, Denied):
            return None
        write_uint(out, _AUTH)
        write_uint(out, _PERMISSION_DENIED)
        write_string(out, message.reason)
    return bytes(out)
