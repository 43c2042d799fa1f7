"""What a relay takes in parts every reader takes as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycrdt import Array, Doc, Map

from syncline import Relay, Replica
from syncline.engine.document.document import Document, merge_updates
from syncline.engine.history.snapshot import make_snapshot
from syncline.engine.names import Address
from syncline.engine.protocol.messages import Ack, Entry, Refusal
from syncline.engine.updates.parse import (
    DEFAULT_LIMITS,
    UpdateLimits,
    encode_state_vector,
    parse_update,
)
from syncline.relay.log import sizes
from syncline.relay.log.ledger import INCOMING, Ledger
from syncline.relay.log.sizes import DELETIONS_BYTES
from syncline.relay.log.submission import Settled, Submission
from syncline.stores import LogSize, MemoryStore
from syncline.upkeep.compaction import MAX_GROWTH_BYTES, CompactionPolicy
from tests.engine.update_bytes import ROOT, deletes, gc, section, text, uint, update
from tests.hostile.beside import well_behaved
from tests.profiles import scaled
from tests.relay.clients import PATIENCE, connected

PAD = Address("documents", "pad")
TINY = replace(
    INCOMING, max_clients=3, max_nesting=3, max_document_bytes=300, max_document_parts=40
)
# Whoever integrates an insertion or a deletion may have to cut two structs for it.
READER = UpdateLimits(max_bytes=300, max_structs=3 * 40, max_clients=3, max_nesting=3)
assert 3 * DEFAULT_LIMITS.max_document_parts < DEFAULT_LIMITS.max_structs
# No character of two UTF-16 halves: the CRDT library writes what is cut between them in a form that
# no reader takes.
CONTENTS = (
    (4, text("aéb"), 3),
    (4, text("x"), 1),
    (8, b"\x02\x7d\x01\x77\x01x", 2),
    (8, b"\x01\x75\x02\x7e\x7e", 1),
    (7, b"\x00", 1),
    (7, b"\x01", 1),
    (7, b"\x03" + text("p"), 1),
    (6, text("b") + text("true"), 1),
    (5, text('{"a":1}'), 1),
    (1, uint(3), 3),
)


class Writers:
    """Writers at random, honest or not: each operation refers to ones that are there."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._clocks: dict[int, int] = {}

    def update(self) -> tuple[bytes, dict[int, int]]:
        """An update, and the clocks that it reaches."""
        rng, clocks = self._rng, dict(self._clocks)
        sections: list[bytes] = []
        for client in rng.sample(range(1, 6), rng.choice([1, 1, 2])):
            start = clocks.get(client, 0)
            structs: list[bytes] = []
            for _ in range(rng.randrange(1, 4)):
                struct, length = self._struct(clocks)
                structs.append(struct)
                clocks[client] = clocks.get(client, 0) + length
            sections.append(section(client, start, *structs))
        gone = [
            (client, [(rng.randrange(clock), 1)])
            for client, clock in clocks.items()
            if rng.random() < 0.3
        ]
        return update(*sections, deletes=deletes(*gone)), clocks

    def taken(self, clocks: dict[int, int]) -> None:
        self._clocks = clocks

    def _struct(self, clocks: dict[int, int]) -> tuple[bytes, int]:
        rng = self._rng
        if rng.random() < 0.1:
            return gc(2), 2
        kind, content, length = rng.choice(CONTENTS)
        ids = [
            uint(client) + uint(rng.randrange(clock))
            for client, clock in (rng.choice(list(clocks.items() or [(0, 0)])) for _ in range(2))
            if clock
        ]
        match rng.choice(["root", "key", "inside", "after", "between"]) if len(ids) > 1 else "root":
            case "root":
                return bytes([kind]) + ROOT + content, length
            case "key":
                return bytes([kind | 0x20]) + ROOT + text("k") + content, length
            case "inside":
                return bytes([kind]) + b"\0" + ids[0] + content, length
            case "after":
                return bytes([kind | 0x80]) + ids[0] + content, length
            case _:
                return bytes([kind | 0xC0]) + ids[0] + ids[1] + content, length


def _offered(ledger: Ledger, *updates: bytes) -> tuple[Refusal, ...]:
    entries = tuple(Entry(PAD, each) for each in updates)
    ((outcome,), _) = ledger.commit([Submission("crm", "eve", entries)])
    assert isinstance(outcome, Settled)
    return outcome.refusals


def _ledger(limits: UpdateLimits = TINY) -> Ledger:
    store = MemoryStore()
    store.open()
    return Ledger(store, limits=limits)


@pytest.mark.slow
@given(st.randoms(use_true_random=False))
@settings(max_examples=scaled(200), deadline=None)
def test_whatever_was_taken_in_parts_is_taken_whole(rng: Random) -> None:
    ledger, writers = _ledger(), Writers(rng)
    taken: list[bytes] = []
    for _ in range(rng.randrange(2, 25)):
        update, clocks = writers.update()
        if not _offered(ledger, update):
            taken.append(update)
            writers.taken(clocks)
    if not taken:
        return
    state = Document(1, taken).state_vector()
    merged = merge_updates(taken)
    snapshot = make_snapshot(taken, encode_state_vector(state))
    for whole in (merged, snapshot or merged):
        info = parse_update(whole, READER)
        assert (info.ends(), info.needs) == (state, {})
        assert Document(1, [whole]).state_vector() == state


def test_the_sum_of_bytes_and_parts_is_limited_and_deletions_go_on() -> None:
    for limits in (
        replace(INCOMING, max_document_bytes=100),
        replace(INCOMING, max_document_parts=20),
    ):
        ledger = _ledger(limits)
        taken = 0
        for clock in range(40):
            (*refusals,) = _offered(
                ledger, update(section(1, clock, bytes([4]) + ROOT + text("x")))
            )
            if refusals:
                break
            taken += 1
        assert 5 < taken <= 20
        for _ in range(2):
            (refusal,) = _offered(ledger, update(section(1, taken, bytes([4]) + ROOT + text("x"))))
            assert refusal.code == "limit-exceeded"
            assert "are allowed" in refusal.message
        assert _offered(ledger, update(deletes=deletes((1, [(0, 1)])))) == ()


def test_a_document_that_was_compacted_has_room_again() -> None:
    store = MemoryStore()
    store.open()
    ledger = Ledger(store, limits=replace(INCOMING, max_document_bytes=1_000))
    doc = Doc[Map[int]](client_id=7)
    updates: list[bytes] = []
    doc.observe(lambda event: updates.append(event.update))
    values = doc.get("m", type=Map[int])
    refused = 0
    for number in range(100):
        values["k"] = number
        if _offered(ledger, updates[-1]):
            refused += 1
            assert refused < 10
            stored = store.load("crm", PAD)
            assert stored is not None
            snapshot = Document(1, stored.updates).diff({})
            assert store.compact("crm", stored, snapshot)
            assert _offered(ledger, updates[-1]) == ()
    assert refused > 0


def _text(client: int, clock: int, size: int) -> bytes:
    return update(section(client, clock, bytes([4]) + ROOT + text("x" * size)))


@pytest.mark.slow
async def test_a_document_of_too_many_bytes_is_refused_and_others_sync_on(tmp_path: Path) -> None:
    half = DEFAULT_LIMITS.max_document_bytes // 2
    async with (
        Relay(tmp_path / "relay.db", port=0) as relay,
        well_behaved(tmp_path, relay.url) as bob,
        connected(relay.url) as eve,
    ):
        await eve.greet()
        await eve.push(1, _text(7, 0, half - 100), address=PAD)
        await eve.push(2, _text(7, half - 100, half - 100), address=PAD)
        await eve.push(3, _text(7, 2 * half - 200, 1_000), address=PAD)
        await eve.push(4, update(deletes=deletes((7, [(0, half)]))), address=PAD)
        codes = [[each.code for each in (await eve.hear(Ack)).refused] for _ in range(4)]
        assert codes == [[], [], ["limit-exceeded"], []]
        await bob.synced()
        assert bob.status.refused == 0


@pytest.mark.slow
def test_a_document_of_too_many_parts_is_refused() -> None:
    ledger = _ledger(INCOMING)
    many = DEFAULT_LIMITS.max_document_parts // 4 - 1
    for clock in range(0, 4 * many, many):
        assert _offered(ledger, update(section(7, clock, *[gc(1)] * many))) == ()
    (refusal,) = _offered(ledger, update(section(7, 4 * many, *[gc(1)] * 5)))
    assert refusal.code == "limit-exceeded"
    assert "structs, values and deletes" in refusal.message


@pytest.mark.parametrize("kept", [1, sizes._KEPT])  # pyright: ignore[reportPrivateUsage]
def test_what_was_counted_and_let_go_is_counted_again(
    kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sizes, "_KEPT", kept)
    store = MemoryStore()
    store.open()
    ledger = Ledger(store, limits=replace(INCOMING, max_document_parts=5))
    for clock in range(7):
        for pad in (PAD, Address("documents", "other")):
            entry = Entry(pad, update(section(1, clock, gc(1))))
            ((outcome,), _) = ledger.commit([Submission("crm", "eve", (entry,))])
            assert isinstance(outcome, Settled)
            assert len(outcome.refusals) == (clock > 4)
            if outcome.refusals:
                assert outcome.refusals[0].code in ("limit-exceeded", "missing-dependencies")


@pytest.mark.parametrize("large", [MAX_GROWTH_BYTES + 1, 10 << 20])
def test_a_large_log_is_compacted_before_it_has_doubled(large: int) -> None:
    policy, goal = CompactionPolicy(), large + MAX_GROWTH_BYTES
    assert policy.due(LogSize(20, goal, large))
    assert not policy.due(LogSize(20, goal - 1, large))
    assert policy.slack(LogSize(1, large, large)) == MAX_GROWTH_BYTES


@pytest.mark.slow
def test_deletions_alone_are_limited_too() -> None:
    ledger = _ledger(replace(INCOMING, max_document_bytes=100))
    assert _offered(ledger, _text(7, 0, 50)) == ()
    many = update(deletes=deletes((7, [(0, 1)] * (DELETIONS_BYTES // 2 - 50))))
    assert _offered(ledger, many) == ()
    (refusal,) = _offered(ledger, many)
    assert refusal.code == "limit-exceeded"


def _honest() -> dict[str, Sequence[bytes]]:
    rows = Doc[Array[Map[float | str]]](client_id=7)
    made: list[bytes] = []
    rows.observe(lambda event: made.append(event.update))
    table = rows.get("rows", type=Array[Map[float | str]])
    for start in range(0, 12_000, 500):
        with rows.transaction():
            for number in range(start, start + 500):
                table.append(Map({"id": number, "name": "row"}))
    items = [
        update(section(7, start, bytes([8]) + ROOT + uint(1_000) + b"\x7d\x01" * 1_000))
        for start in range(0, 100_000, 1_000)
    ]
    return {
        "12,000 rows": made,
        "100,000 list items": items,
        "1,500 writers": [_text(client, 0, 10) for client in range(1, 1_501)],
        "10 MB": [_text(7, start, 1_000_000) for start in range(0, 10_000_000, 1_000_000)],
    }


@pytest.mark.slow
async def test_honest_documents_meet_no_limit(tmp_path: Path) -> None:
    async with (
        Relay(tmp_path / "relay.db", port=0) as relay,
        connected(relay.url) as ada,
        asyncio.timeout(PATIENCE),
    ):
        await ada.greet()
        batch = 0
        for name, updates in _honest().items():
            for each in updates:
                batch += 1
                await ada.push(batch, each, address=Address("honest", name.partition(" ")[0]))
                assert (await ada.hear(Ack)).refused == (), name
        async with Replica.open(tmp_path / "bob.db", relay=f"{relay.url}/crm") as bob:
            await bob.synced()
            assert (bob.status.refused, bob.status.error) == (0, None)
