"""Yjs v1 updates: a strict parser, and the state vectors that order them.

pycrdt crashes, hangs or silently loses data on bytes that a stranger can send, so every update from
outside passes ``parse_update`` first. What it lets through, yrs (inside pycrdt) reads in the same
way: where the two could disagree, the update is refused (Y.XmlHook, the old JSON content, spare
bits, padded integers, trailing bytes).

It also derives what the update needs. pycrdt 0.14 loses edits that arrive before what they build on
(y-crdt#632), so an update may be applied only to a document whose state vector covers
``UpdateInfo.needs``. It then integrates completely: ``UpdateInfo.advance`` says where it ends.

The format (Yjs, INTERNALS.md and src/utils/encoding.js; every number is a lib0 integer)::

    update   = count, section*, deletes
    section  = struct count, client, first clock, struct*
    struct   = 0, length                                GC: content that was collected
             | 10, length                               Skip: a gap, these clocks are elsewhere
             | info, [origin], [right origin],          item: the low 5 bits of info are its kind
               [parent, [key]], content
    parent   = 1, root name | 0, client, clock          only of an item without origins
    deletes  = count, (client, count, (clock, length)*)*

A struct takes as many clocks as its content is long; text is counted in UTF-16 units.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import orjson

from syncline.engine.errors import MalformedFrame
from syncline.engine.lib0 import Reader, write_uint

from .layout import Layout, check_deleted, have_to_be_found
from .order import Wait, check_order
from .struct_format import (
    ANY,
    BINARY,
    DELETED,
    DOCUMENT,
    EMBED,
    FORMAT,
    GC,
    HAS_KEY,
    HAS_ORIGIN,
    HAS_RIGHT_ORIGIN,
    KIND,
    PLAIN_TYPES,
    SKIP,
    STRING,
    TYPE,
    XML_ELEMENT,
)
from .update_values import (
    DEFAULT_LIMITS,
    Budget,
    UpdateLimits,
    invalid,
    skip_json,
    skip_text,
    skip_values,
    too_much,
    uint,
)

__all__ = [
    "DEFAULT_LIMITS",
    "MAX_CLOCK",
    "StateVector",
    "UpdateInfo",
    "UpdateLimits",
    "covers",
    "decode_state_vector",
    "encode_state_vector",
    "parse_update",
]

StateVector: TypeAlias = dict[int, int]
"""Client id -> its next clock, that is, how many of its operations are known."""

MAX_CLOCK = (1 << 31) - 1
"""The highest next clock: yrs subtracts clocks in signed 32 bits."""

MAX_STATE_VECTOR_CLIENTS = 1_000_000


class UpdateInfo(NamedTuple):
    """What an update brings and needs. A tuple, because one is made for every update."""

    ranges: dict[int, tuple[tuple[int, int], ...]]
    """Per client, the clocks that it brings: rising [start, end) pairs with gaps between them."""
    deletes: dict[int, tuple[tuple[int, int], ...]]
    """Per client, what it deletes: (clock, length) pairs in no order."""
    roots: frozenset[str]
    """Root types that it names. A change next to known content need not name its root."""
    structs: int
    nested: int
    """How many shared types it creates. Summed over the updates of a document, this bounds how deep
    they lie inside each other (layout.py)."""
    needs: StateVector
    """What a document must know for this update to integrate completely. No clock is 0."""
    placed: bool
    """Whether it places items relative to others, so that only the document's layout shows whether
    a client may have made it (layout.py)."""
    parts: int
    """Structs, values inside them and deleted ranges, together: what takes memory."""

    def ends(self) -> StateVector:
        """Per client of which it brings clocks, the clock after the last."""
        return {client: runs[-1][1] for client, runs in self.ranges.items()}

    def advance(self, state: Mapping[int, int]) -> StateVector:
        """Return the state vector of a document at ``state`` after this update.

        A run of clocks counts if it continues what is known: if ``state`` covers ``needs``, the
        last run of every client does.
        """
        after = dict(state)
        for client, runs in self.ranges.items():
            known = after.get(client, 0)
            for start, end in runs:
                if start <= known < end:
                    after[client] = known = end
        return after


def covers(have: Mapping[int, int], needs: Mapping[int, int]) -> bool:
    """Whether a document at ``have`` knows everything in ``needs``."""
    for client, clock in needs.items():  # noqa: SIM110 - all() costs three times as much
        if have.get(client, 0) < clock:
            return False
    return True


def encode_state_vector(state: Mapping[int, int]) -> bytes:
    """Encode as Yjs does: the count, then (client, clock), highest client first."""
    out = [_uint_bytes(len(state))]
    for client in sorted(state, reverse=True):
        out += (_uint_bytes(client), _uint_bytes(state[client]))
    return b"".join(out)


@lru_cache(1 << 14)  # documents of thousands of writers are encoded at every edit
def _uint_bytes(value: int) -> bytes:
    out = bytearray()
    write_uint(out, value)
    return bytes(out)


def decode_state_vector(data: bytes, max_clients: int = MAX_STATE_VECTOR_CLIENTS) -> StateVector:
    """Decode a state vector written by Yjs, pycrdt or a peer. Raises MalformedFrame."""
    reader = Reader(data)
    count = reader.uint(max_clients)
    state: StateVector = {}
    for _ in range(count):
        client = reader.uint()
        if client in state:
            raise MalformedFrame(
                f"The state vector names client {client} twice.",
                hint="The peer is broken or hostile: Yjs and pycrdt never write this.",
            )
        state[client] = reader.uint(MAX_CLOCK)
    reader.expect_end()
    return state


def parse_update(data: bytes, limits: UpdateLimits = DEFAULT_LIMITS) -> UpdateInfo:
    """Check every byte of a Yjs v1 update; return what it brings and needs.

    Raises InvalidUpdate if it is no update, exceeds ``limits``, could never integrate, or shows by
    itself that no client made it. What only the document can tell is left to it: whether the update
    is covered, and, if it is ``placed``, whether its items may lie there. So is whose operations
    these are.
    """
    if len(data) > limits.max_bytes:
        raise too_much(f"has {len(data)} bytes; {limits.max_bytes} are allowed", "max_bytes")
    try:
        return _parse(data, limits)
    except IndexError:
        raise invalid("it ends early") from None
    except UnicodeDecodeError:
        raise invalid("a text is not UTF-8") from None
    except orjson.JSONDecodeError as error:
        raise invalid(f"a format or embed is not JSON ({error.msg})") from None


def _parse(data: bytes, limits: UpdateLimits) -> UpdateInfo:
    # One flat function over local names: it runs for every update at every relay and replica, and
    # a call costs as much as reading a short struct. ``at`` is the position. Reading past the end
    # ends in IndexError, see update_values.py.
    at = 0
    structs = nested = collected = 0
    placed = False
    id_client = id_clock = 0
    parents: list[tuple[int, int]] = []
    types: set[tuple[int, int]] = set()
    joined: list[tuple[int, int, int]] = []  # items of several values of one key
    budget = Budget(limits)
    ranges: dict[int, tuple[tuple[int, int], ...]] = {}
    waits: dict[int, list[Wait]] = {}
    needs: StateVector = {}
    roots: set[str] = set()

    sections, at = uint(data, at)
    if sections > limits.max_clients:
        raise too_much(f"has more than {limits.max_clients} writers", "max_clients")
    for _ in range(sections):
        count, at = uint(data, at)
        start = at
        client, at = uint(data, at)
        # Most ids are the writer's own, and comparing bytes is cheaper than reading a client.
        own = data[start:at]
        own_size = at - start
        clock, at = uint(data, at)
        if client in ranges:
            raise invalid(f"it has two sections of client {client}", at)
        if not count:
            raise invalid(f"the section of client {client} is empty", at)
        structs += count
        budget.spend(count)
        runs: list[tuple[int, int]] = []
        run = clock  # where the current run of clocks began
        section_waits: list[Wait] = []
        section_needs: StateVector = {}  # of other clients, so far

        for _ in range(count):
            info = data[at]
            at += 1
            if info == GC:
                length, at = uint(data, at)
                collected += length
            elif info == SKIP:
                length, at = uint(data, at)
                if clock > run:
                    runs.append((run, clock))
                run = clock + length
            else:
                # Origins and the parent are ids of operations: earlier ones of this client, or
                # another client's, which must be known before this item.
                ids = (info & HAS_ORIGIN != 0) + (info & HAS_RIGHT_ORIGIN != 0)
                keyed = inside = False
                if not ids:
                    keyed = info & HAS_KEY != 0  # else the key is that of the origin
                    parent = data[at]
                    at += 1
                    if parent == 1:
                        length, at = uint(data, at)
                        roots.add(data[at : at + length].decode())
                        at += length
                    elif parent == 0:
                        ids = 1
                        inside = True
                    else:
                        raise invalid(f"a parent is of the unknown kind {parent}", at)
                for _ in range(ids):
                    if data.startswith(own, at):
                        id_client = client
                        id_clock, at = uint(data, at + own_size)
                        if id_clock >= clock:
                            raise invalid("an item builds on itself or on a later one", at)
                    else:
                        id_client, at = uint(data, at)
                        id_clock, at = uint(data, at)
                        if id_clock >= MAX_CLOCK:
                            raise invalid(f"an item builds on clock {id_clock}", at)
                        if section_needs.get(id_client, 0) <= id_clock:
                            section_needs[id_client] = id_clock + 1
                            section_waits.append((clock, id_client, id_clock + 1))
                if inside:
                    parents.append((id_client, id_clock))
                if keyed:
                    at = skip_text(data, at)
                elif info & HAS_RIGHT_ORIGIN:
                    if info & HAS_KEY:
                        raise invalid("a value under a key has a neighbour on its right", at)
                    placed = True

                kind = info & KIND
                if kind == STRING:
                    length, at = uint(data, at)
                    text = data[at : at + length]
                    at += length
                    if not text.isascii():
                        length = len(text.decode().encode("utf-16-le")) >> 1
                elif kind == ANY:
                    length, at = uint(data, at)
                    at = skip_values(data, at, length, budget)
                elif kind == DELETED:
                    length, at = uint(data, at)
                    collected += length
                else:
                    length = 1
                    if kind == TYPE:
                        nested += 1
                        types.add((client, clock))
                        shape = data[at]
                        at += 1
                        if shape == XML_ELEMENT:
                            at = skip_text(data, at)
                        elif shape not in PLAIN_TYPES:
                            raise invalid(f"a shared type is of the unknown kind {shape}", at)
                    elif kind == FORMAT:
                        if info & HAS_KEY:
                            raise invalid("the value of a key is formatting", at)
                        placed = True
                        at = skip_text(data, at)
                        at = skip_json(data, at, budget)
                    elif kind == EMBED:
                        at = skip_json(data, at, budget)
                    elif kind == BINARY:
                        size, at = uint(data, at)
                        at += size
                    elif kind == DOCUMENT:
                        at = skip_text(data, at)
                        at = skip_values(data, at, 1, budget)
                    else:
                        raise invalid(f"an item is of the unknown kind {kind}", at)
                if length > 1 and kind != DELETED:
                    if info & HAS_KEY:
                        joined.append((client, clock, clock + length))
                    elif ids:
                        placed = True
            if not length:
                raise invalid("a struct is empty", at)
            clock += length
            if clock > MAX_CLOCK:
                raise invalid(f"client {client} would reach clock {clock}", at)

        if clock == run:
            raise invalid(f"the section of client {client} ends in a gap", at)
        runs.append((run, clock))
        ranges[client] = tuple(runs)
        if section_waits:
            waits[client] = section_waits
            for id_client, id_clock in section_needs.items():
                if needs.get(id_client, 0) < id_clock:
                    needs[id_client] = id_clock
    if collected > limits.max_collected:
        allowed = limits.max_collected
        raise too_much(f"has more than {allowed} operations without content", "max_collected")

    deletes: dict[int, tuple[tuple[int, int], ...]] = {}
    sections, at = uint(data, at)
    if sections > limits.max_clients:
        raise too_much(f"deletes from more than {limits.max_clients} writers", "max_clients")
    for _ in range(sections):
        client, at = uint(data, at)
        count, at = uint(data, at)
        if client in deletes:
            raise invalid(f"it has two lists of deletes of client {client}", at)
        budget.spend(count)
        gone: list[tuple[int, int]] = []
        needed = needs.get(client, 0)
        for _ in range(count):
            clock, at = uint(data, at)
            length, at = uint(data, at)
            end = clock + length
            if not length or end > MAX_CLOCK:
                raise invalid(f"it deletes {length} operations from clock {clock}", at)
            gone.append((clock, length))
            if end > needed:
                needs[client] = needed = end
        deletes[client] = tuple(gone)
    if at != len(data):
        raise invalid(f"{len(data) - at} bytes follow its end", at)

    for client, start, end in joined:
        check_deleted(deletes.get(client, ()), start, end)
    if nested > limits.max_nesting or (parents and have_to_be_found(parents, types, ranges)):
        Layout().check(data, deletes, limits.max_nesting)

    # An update need not find what it brings, except what comes before each run of clocks.
    for client, brought in ranges.items():
        start, end = brought[-1]
        if needs.get(client, 0) <= end:
            if start:
                needs[client] = start
            else:
                needs.pop(client, None)
    if waits and len(ranges) > 1:
        check_order(ranges, needs, waits)
    placed = placed or bool(parents)
    parts = limits.max_structs - budget.left
    return UpdateInfo(ranges, deletes, frozenset(roots), structs, nested, needs, placed, parts)
