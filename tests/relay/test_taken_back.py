"""What a relay serves it takes back whole, and so does everybody else."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncline import Relay, Replica
from syncline.engine.document.document import Document, merge_updates
from syncline.engine.history.rebuild import rebuild
from syncline.engine.history.snapshot import make_snapshot
from syncline.engine.names import Address
from syncline.engine.protocol.messages import Ack, Entry
from syncline.engine.updates.parse import DEFAULT_LIMITS, decode_state_vector, parse_update
from syncline.relay.log.document_reader import DocumentReader
from syncline.relay.log.ledger import INCOMING, Ledger
from syncline.relay.log.submission import Settled, Submission
from syncline.stores import MemoryStore
from tests.engine.update_bytes import after, deletes, inside, item, section, text, update
from tests.profiles import scaled
from tests.relay.clients import NOTE, connected
from tests.replica.models import Contact

PATIENCE = 60.0
TINY = replace(INCOMING, max_clients=2, max_nesting=2, max_structs=2)
MAP = b"\x01"


def opened() -> MemoryStore:
    store = MemoryStore()
    store.open()
    return store


def offered(ledger: Ledger, *updates: bytes) -> list[str]:
    """The reasons for which updates of one document are refused, offered in one submission."""
    entries = tuple(Entry(NOTE, each, 0) for each in updates)
    (outcome,), _ = ledger.commit([Submission("crm", "editor:1", entries)])
    assert isinstance(outcome, Settled)
    return [refusal.message for refusal in outcome.refusals]


@given(seed=st.integers(0, 2**32))
@settings(max_examples=scaled(60), deadline=None)
def test_the_sum_of_what_is_taken_one_by_one_is_taken(seed: int) -> None:
    rng = Random(seed)
    store = opened()
    ledger = Ledger(store, limits=TINY)
    clocks = dict.fromkeys(range(5, 9), 0)
    taken: list[bytes] = []
    for _ in range(30):
        if rng.random() < 0.1:
            ledger = Ledger(store, limits=TINY)  # a restart
        client = rng.choice(list(clocks))
        known = [(each, clock) for each, end in clocks.items() for clock in range(end)]
        # The types are at even clocks.
        types = [(each, clock) for each, clock in known if not clock % 2]
        kind, content = (4, b"\x01x") if clocks[client] % 2 else (7, MAP)
        struct = item(kind, content)
        if types and rng.random() < 0.7:
            struct = item(kind, content, inside(*rng.choice(types)))
        elif known and rng.random() < 0.5:
            struct = after(*rng.choice(known), kind, content)
        made = update(section(client, clocks[client], struct))
        if known and rng.random() < 0.2:
            each, clock = rng.choice(known)
            made = update(deletes=deletes((each, [(clock, 1)])))
        if not offered(ledger, made):
            taken.append(made)
            if parse_update(made).ranges:
                clocks[client] += 1

    stored = store.load("crm", NOTE)
    assert stored is not None
    assert len(decode_state_vector(stored.state_vector)) <= 2
    received = replace(TINY, max_structs=DEFAULT_LIMITS.max_structs)
    for whole in (
        merge_updates(taken),
        Document(1, taken).diff({}),
        DocumentReader(store).difference("crm", NOTE, 0, {}).update,
        make_snapshot(stored.updates, stored.state_vector) or b"\0\0",
    ):
        parse_update(whole, received)
    parse_update(rebuild(Document(1, taken), 1 << 40), received)
    other = Ledger(opened(), limits=received)
    assert offered(other, merge_updates(taken)) == []


def test_depth_is_that_of_the_document() -> None:
    ledger = Ledger(opened(), limits=TINY)
    steps = [item(7, MAP), *(item(7, MAP, inside(1, clock)) for clock in range(5))]
    updates = [update(section(1, clock, struct)) for clock, struct in enumerate(steps)]
    refused = offered(ledger, *updates)
    assert refused[0] == "The update nests shared types deeper than 2 levels."
    assert offered(ledger, updates[2])[0] == refused[0]
    beside = (update(section(1, 2 + n, after(1, 1, 7, MAP))) for n in range(5))
    assert offered(ledger, *beside) == []
    assert offered(ledger, update(section(1, 7, item(7, MAP, inside(1, 6)))))[0] == refused[0]
    assert offered(ledger, update(section(1, 7, item(4, b"\x01x", inside(1, 6))))) == []


def test_a_document_has_so_many_writers_and_those_go_on() -> None:
    ledger = Ledger(opened(), limits=TINY)
    first = [update(section(client, 0, item(4, b"\x01x"))) for client in range(5)]
    assert len(refused := offered(ledger, *first)) == 3
    assert refused[0] == f"With this update {NOTE} would have more than 2 writers."
    assert offered(ledger, update(section(0, 1, after(0, 0, 4, b"\x01x")))) == []


def _blocks(count: int) -> bytes:
    """A document as block editors keep it: a group of containers of paragraphs of text."""
    structs = [item(7, b"\x03" + text("blockGroup"))]
    for clock in range(1, 4 * count, 4):
        # The first container lies in the group, each other one stands behind the one before.
        container = b"\x03" + text("blockContainer")
        structs += [
            item(7, container, inside(1, 0)) if clock == 1 else after(1, clock - 4, 7, container),
            item(7, b"\x03" + text("paragraph"), inside(1, clock)),
            item(7, b"\x06", inside(1, clock + 1)),
            item(4, text("x"), inside(1, clock + 2)),
        ]
    return update(section(1, 0, *structs))


def _rows(count: int) -> bytes:
    """An array of maps of one value."""
    structs: list[bytes] = []
    for clock in range(0, 2 * count, 2):
        structs += [
            after(1, clock - 2, 7, MAP) if clock else item(7, MAP),
            item(0x28, b"\x01\x7d\x01", inside(1, clock) + text("id")),
        ]
    return update(section(1, 0, *structs))


@pytest.mark.slow
@pytest.mark.parametrize("whole", [_blocks(3400), _rows(12_000)], ids=["blocks", "rows"])
async def test_honest_documents_of_many_types_come_whole(tmp_path: Path, whole: bytes) -> None:
    async with Relay(tmp_path / "relay.db", port=0) as relay, connected(relay.url) as ada:
        await ada.greet()
        await ada.push(1, whole)
        assert (await ada.hear(Ack)).refused == ()
        async with Replica.open(tmp_path / "bob.db", relay=f"{relay.url}/crm") as bob:
            async with asyncio.timeout(PATIENCE):
                await bob.synced()
            assert bob.status.refused == 0


async def test_what_a_replica_does_not_take_costs_other_documents_nothing(tmp_path: Path) -> None:
    """A relay that lets more pass than the replica takes stands for any difference of the two."""
    bad = Address("notes", "bad")
    lax = replace(INCOMING, max_nesting=1 << 30)
    steps = [item(7, MAP), *(item(7, MAP, inside(1, clock)) for clock in range(1500))]
    deep = [update(section(1, start, *steps[start : start + 500])) for start in range(0, 1500, 500)]
    relay = Relay(tmp_path / "relay.db", port=0, update_limits=lax)
    async with relay, connected(relay.url) as ada:
        await ada.greet()
        await ada.push(1, merge_updates(deep), address=bad)
        await ada.push(2, update(section(2, 0, item(4, b"\x02hi"))))
        for _ in range(2):
            assert (await ada.hear(Ack)).refused == ()
        seq = 2
        for opening in range(2):
            path, url = tmp_path / "bob.db", f"{relay.url}/crm"
            async with Replica.open(path, models=[Contact], relay=url) as bob:
                async with asyncio.timeout(PATIENCE):
                    await bob.synced()
                    # What builds on what was kept apart is neither waited for nor asked for.
                    beside = after(1, 0 if not opening else 1500, 7, MAP)
                    more = update(section(1, 1500 + opening, beside))
                    await ada.push(3 + opening, more, address=bad)
                    assert (await ada.hear(Ack)).refused == ()
                    await bob.synced()
                    assert str(bob.document(str(NOTE)).text("t")) == "hi"
                    bob.collection(Contact).create(key=f"x{opening}", name="Xavier")
                    await bob.synced()
                seq += 2
                assert bob.status.cursor == seq
                assert bob.status.refused == 1 + opening
                assert bob.status.error is None
