"""Binary frames: the messages that carry updates, in lib0's encoding.

There is exactly one encoding of a message, because a lib0 integer may not be padded: so the bytes
of a push can be hashed and compared as they came.
"""

from __future__ import annotations

from syncline.engine.errors import InvalidName, MalformedFrame
from syncline.engine.lib0 import MAX_UINT, Reader, write_buf, write_string, write_uint
from syncline.engine.names import MAX_KEY_BYTES, Address

from .messages import (
    DIGEST_BYTES,
    MAX_PUSH_ENTRIES,
    MAX_STATES,
    MAX_UPDATES_ENTRIES,
    BinaryMessage,
    DocumentSummary,
    DocumentUpdate,
    Entry,
    Push,
    States,
    Updates,
)

_HINT = "The peer does not speak this version of the protocol, or the frame was damaged on the way."
_MAX_ADDRESS_BYTES = 63 + 1 + MAX_KEY_BYTES


def encode_binary(message: BinaryMessage) -> bytes:
    """Return the frame that carries ``message``."""
    out = bytearray()
    write_uint(out, message.kind)
    match message:
        case Push():
            write_uint(out, message.batch)
            _write_entries(out, message.entries)
        case Updates():
            write_uint(out, message.since)
            write_uint(out, message.cursor)
            _write_entries(out, message.entries)
        case DocumentUpdate():
            write_string(out, str(message.address))
            write_uint(out, message.epoch)
            write_buf(out, message.update)
        case States():
            write_string(out, _or_empty(message.after))
            write_string(out, _or_empty(message.until))
            write_uint(out, len(message.documents))
            for address, epoch, state_vector, digest in message.documents:
                write_string(out, str(address))
                write_uint(out, epoch)
                write_buf(out, state_vector)
                write_buf(out, digest)
    return bytes(out)


def _or_empty(address: Address | None) -> str:
    return "" if address is None else str(address)


def _write_entries(out: bytearray, entries: tuple[Entry, ...]) -> None:
    write_uint(out, len(entries))
    for address, update, epoch in entries:
        write_string(out, str(address))
        write_uint(out, epoch)
        write_buf(out, update)


def decode_binary(frame: bytes) -> BinaryMessage:
    """Return the message in ``frame``. Raises MalformedFrame."""
    fields = _Fields(frame)
    try:
        return _read(fields)
    except (MalformedFrame, InvalidName) as error:
        raise MalformedFrame(
            f'A binary frame "{fields.message}" has a bad field "{fields.field}": '
            f"{error.message.rstrip('.')}.",
            hint=_HINT,
        ) from None


def _read(fields: _Fields) -> BinaryMessage:
    message: BinaryMessage
    kind = fields.uint("kind")
    if kind == Push.kind:
        fields.message = Push.name
        message = Push(fields.uint("batch", 1), fields.entries(MAX_PUSH_ENTRIES))
    elif kind == Updates.kind:
        fields.message = Updates.name
        since = fields.uint("since")
        cursor = fields.uint("cursor", since + 1)
        message = Updates(since, cursor, fields.entries(MAX_UPDATES_ENTRIES))
    elif kind == DocumentUpdate.kind:
        fields.message = DocumentUpdate.name
        message = DocumentUpdate(
            fields.address("address"), fields.uint("epoch"), fields.update("update")
        )
    elif kind == States.kind:
        fields.message = States.name
        after, until = fields.address_or_none("after"), fields.address_or_none("until")
        message = States(after, until, fields.states())
    else:
        raise MalformedFrame(f"{kind} is unknown", hint=_HINT)
    fields.end()
    return message


class _Fields:
    """The fields of a binary frame, one after the other; ``field`` is the one being read."""

    def __init__(self, frame: bytes) -> None:
        self.message = "unknown"
        self.field = ""
        self._reader = Reader(frame)

    def uint(self, field: str, least: int = 0, most: int = MAX_UINT) -> int:
        self.field = field
        value = self._reader.uint()
        if not least <= value <= most:
            raise MalformedFrame(f"{value} where {least} to {most} are allowed", hint=_HINT)
        return value

    def address(self, field: str) -> Address:
        self.field = field
        return Address.parse(self._reader.string(_MAX_ADDRESS_BYTES))

    def address_or_none(self, field: str) -> Address | None:
        self.field = field
        text = self._reader.string(_MAX_ADDRESS_BYTES)
        return Address.parse(text) if text else None

    def update(self, field: str) -> bytes:
        data = self.buf(field)
        if not data:
            raise MalformedFrame("no bytes, where an empty update has two", hint=_HINT)
        return data

    def buf(self, field: str) -> bytes:
        self.field = field
        return self._reader.buf()

    def digest(self, field: str) -> bytes:
        data = self.buf(field)
        if len(data) != DIGEST_BYTES:
            raise MalformedFrame(f"{len(data)} bytes where a digest has {DIGEST_BYTES}", hint=_HINT)
        return data

    def states(self) -> tuple[DocumentSummary, ...]:
        return tuple(
            DocumentSummary(
                self.address(f"address of document {i}"),
                self.uint(f"epoch of document {i}"),
                self.buf(f"state vector of document {i}"),
                self.digest(f"digest of document {i}"),
            )
            for i in range(self.uint("count", 0, MAX_STATES))
        )

    def entries(self, most: int) -> tuple[Entry, ...]:
        """At least one entry; the count is believed only as far as there are bytes."""
        entries: list[Entry] = []
        for i in range(self.uint("count", 1, most)):
            address = self.address(f"address of entry {i}")
            epoch = self.uint(f"epoch of entry {i}")
            entries.append(Entry(address, self.update(f"update of entry {i}"), epoch))
        return tuple(entries)

    def end(self) -> None:
        self.field = "end"
        self._reader.expect_end()
