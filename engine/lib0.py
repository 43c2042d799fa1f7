"""lib0's encoding: variable-length integers, and the buffers and strings that they measure.

An unsigned integer is written seven bits a byte, lowest first, the high bit of a byte saying that
another follows; a buffer is its length and its bytes; a string is a buffer of UTF-8. Yjs updates
and Syncline's binary frames are made of these (https://github.com/dmonad/lib0, encoding.js).

The codec is our own because pycrdt's writes lengths in characters, returns short data silently and
needs 13.6 s for a 400 kB integer. This one accepts exactly one encoding of every value: an integer
of at most 53 bits, without padding.
"""

from __future__ import annotations

from .errors import MalformedFrame, ValueRefused

MAX_UINT = (1 << 53) - 1
"""The largest integer that JavaScript holds exactly, hence the largest that lib0 can carry."""

_CONTINUES = 0x80
_MAX_BYTES = 8  # 8 * 7 bits hold 53


def write_uint(out: bytearray, value: int) -> None:
    """Append ``value`` (0 to MAX_UINT) to ``out``. Raises ValueRefused."""
    if not 0 <= value <= MAX_UINT:
        raise ValueRefused(
            f"{value} cannot be written as a lib0 integer.",
            hint="Integers on the wire are 0 to 2^53 - 1.",
        )
    while value >= _CONTINUES:
        out.append(value & 0x7F | _CONTINUES)
        value >>= 7
    out.append(value)


def write_buf(out: bytearray, data: bytes) -> None:
    """Append the length of ``data``, then ``data``."""
    write_uint(out, len(data))
    out += data


def write_string(out: bytearray, text: str) -> None:
    """Append ``text`` as UTF-8 after its length in bytes. Raises ValueRefused."""
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise ValueRefused(
            f"The text {text[:80]!r} has a lone surrogate at index {error.start}.",
            hint="Half a character cannot be written as UTF-8; remove it.",
        ) from None
    write_buf(out, data)


class Reader:
    """Reads lib0 values off the front of untrusted bytes; every failure is a MalformedFrame.

    A length is checked against the bytes that are left before anything is copied.
    """

    __slots__ = ("_data", "_position")

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = data
        self._position = 0

    @property
    def remaining(self) -> int:
        """How many bytes have not been read."""
        return len(self._data) - self._position

    @property
    def at_end(self) -> bool:
        return self._position == len(self._data)

    def byte(self) -> int:
        """Read one byte, 0 to 255."""
        if self._position == len(self._data):
            raise self._malformed("ends early")
        value = self._data[self._position]
        self._position += 1
        return value

    def uint(self, limit: int = MAX_UINT) -> int:
        """Read an integer of at most ``limit``."""
        data, at = self._data, self._position  # not byte(): state vectors hold thousands of these
        try:
            value = byte = data[at]
            at += 1
            if byte >= _CONTINUES:
                value &= 0x7F
                for shift in range(7, 7 * _MAX_BYTES, 7):
                    byte = data[at]
                    at += 1
                    value |= (byte & 0x7F) << shift
                    if byte < _CONTINUES:
                        break
                else:
                    raise self._malformed("has an integer of more than 53 bits", at)
                if byte == 0:
                    raise self._malformed("has an integer padded with zeros", at)
        except IndexError:
            raise self._malformed("ends early", len(data)) from None
        self._position = at
        if value > limit:
            raise self._malformed(f"has {value} where at most {limit} is allowed")
        return value

    def buf(self, limit: int = MAX_UINT) -> bytes:
        """Read a buffer of at most ``limit`` bytes."""
        length = self.uint(limit)
        if length > self.remaining:
            raise self._malformed(f"announces {length} bytes and has {self.remaining}")
        start = self._position
        self._position += length
        return bytes(self._data[start : self._position])

    def string(self, limit: int = MAX_UINT) -> str:
        """Read a string of at most ``limit`` UTF-8 bytes."""
        data = self.buf(limit)
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise self._malformed("has text that is not UTF-8") from None

    def expect_end(self) -> None:
        """Raise MalformedFrame unless everything has been read."""
        if not self.at_end:
            raise self._malformed(f"goes on for {self.remaining} bytes after its end")

    def _malformed(self, problem: str, at: int | None = None) -> MalformedFrame:
        return MalformedFrame(
            f"The binary data {problem} (byte {self._position if at is None else at}).",
            hint="The peer does not speak this version of the protocol, or the data was damaged "
            "on the way.",
        )
