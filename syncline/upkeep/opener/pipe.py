"""What goes through the pipe to a process and back: messages of parts.

How many parts follow, then each part after its length.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import BinaryIO

_LENGTH = struct.Struct("<I")


class PipeEnded(Exception):
    """The other end has gone."""


def write_message(pipe: BinaryIO, parts: Sequence[bytes]) -> None:
    """Raises OSError."""
    message = [_LENGTH.pack(len(parts))]
    for part in parts:
        message += (_LENGTH.pack(len(part)), part)
    pipe.write(b"".join(message))
    pipe.flush()


def read_message(pipe: BinaryIO) -> list[bytes]:
    """The next message. Raises PipeEnded, and OSError."""
    return [_read(pipe, _read_length(pipe)) for _ in range(_read_length(pipe))]


def _read_length(pipe: BinaryIO) -> int:
    (length,) = _LENGTH.unpack(_read(pipe, _LENGTH.size))
    return int(length)


def _read(pipe: BinaryIO, size: int) -> bytes:
    data = pipe.read(size)
    if len(data) != size:
        raise PipeEnded
    return data
