"""The messages that both protocols share, under the same numbers: y-sync and awareness
(y-protocols 1.0.7).

::

    shared     = 0, sync | 1, awareness | 3
    sync       = 0, buf(state vector) | 1, buf(update) | 2, buf(update)
    awareness  = buf(count, (client, clock, JSON text)*)
"""

from __future__ import annotations

import json
from typing import Any

from syncline.engine.errors import MalformedFrame
from syncline.engine.lib0 import Reader, write_buf, write_string, write_uint

from .messages import (
    Awareness,
    Client,
    Message,
    QueryAwareness,
    SyncStep1,
    SyncStep2,
    Update,
)

MAX_AWARENESS_CLIENTS = 10_000
"""Most clients in one awareness message."""
MAX_AWARENESS_STATE = 64 << 10
"""Largest awareness state of a client, in bytes of JSON."""
MAX_STATE_VECTOR = 4 << 20
"""Largest encoded state vector, in bytes: a Yjs document gets a writer with every page load."""

SYNC = 0
AWARENESS = 1
QUERY_AWARENESS = 3

_STEP_1 = 0
_STEP_2 = 1
_UPDATE = 2
_GONE = "null"


def read_shared(kind: int, reader: Reader) -> Message | None:
    """Read a message of this number; None for one that the two do not share. Raises
    MalformedFrame."""
    match kind:
        case 0:
            return read_sync(reader)
        case 1:
            return read_awareness(reader)
        case 3:
            return QueryAwareness()
        case _:
            return None


def write_shared(out: bytearray, message: Message) -> bool:
    """Append the number of a message, and the message; False for one that the two do not share."""
    match message:
        case SyncStep1() | SyncStep2() | Update():
            write_uint(out, SYNC)
            write_sync(out, message)
        case Awareness():
            write_uint(out, AWARENESS)
            write_awareness(out, message)
        case QueryAwareness():
            write_uint(out, QUERY_AWARENESS)
        case _:
            return False
    return True


def read_sync(reader: Reader) -> SyncStep1 | SyncStep2 | Update:
    """Read a y-sync message. Raises MalformedFrame."""
    step = reader.uint()
    match step:
        case 0:
            return SyncStep1(reader.buf(MAX_STATE_VECTOR))
        case 1:
            return SyncStep2(reader.buf())
        case 2:
            return Update(reader.buf())
        case _:
            raise MalformedFrame(
                f"The sync message is of the unknown type {step}.",
                hint="y-sync has 0 (step 1), 1 (step 2) and 2 (update).",
            )


def write_sync(out: bytearray, message: SyncStep1 | SyncStep2 | Update) -> None:
    """Append a y-sync message."""
    match message:
        case SyncStep1():
            write_uint(out, _STEP_1)
        case SyncStep2():
            write_uint(out, _STEP_2)
        case Update():
            write_uint(out, _UPDATE)
    write_buf(out, message[0])


def read_awareness(reader: Reader) -> Awareness:
    """Read an awareness message. Raises MalformedFrame, also for a state that is not JSON: every
    client that it were sent to would fail on it."""
    inner = Reader(reader.buf())
    clients: list[Client] = []
    for _ in range(inner.uint(MAX_AWARENESS_CLIENTS)):
        client, clock = inner.uint(), inner.uint()
        text = inner.string(MAX_AWARENESS_STATE)
        clients.append(Client(client, clock, _checked(client, text)))
    inner.expect_end()
    return Awareness(tuple(clients))


def write_awareness(out: bytearray, message: Awareness) -> None:
    """Append an awareness message."""
    inner = bytearray()
    write_uint(inner, len(message.clients))
    for client, clock, state in message.clients:
        write_uint(inner, client)
        write_uint(inner, clock)
        write_string(inner, _GONE if state is None else state)
    write_buf(out, bytes(inner))


def _checked(client: int, text: str) -> str | None:
    if text == _GONE:
        return None
    try:
        # orjson would refuse halves of characters, which JavaScript's JSON lets pass.
        state = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise MalformedFrame(
            f"The awareness state of client {client} is not JSON.",
            hint="Set the local state to what JSON.stringify can write.",
        ) from None
    return None if state is None else text


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)
