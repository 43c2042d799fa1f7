"""kill -9 of real relays and real clients, at random moments.

``make kill9 ROUNDS=1000`` plays more rounds; SYNCLINE_KILL9_SEED plays one world again, as far as
processes and networks repeat themselves.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path

import pytest

from syncline import Replica
from syncline.stores import MemoryStore
from tests.profiles import scaled

from .databases import KINDS, database
from .models import MODELS, Note
from .processes import (
    PATIENCE,
    ForkedRelay,
    RelayProcess,
    ServedRelay,
    fork_server,
    free_port,
)
from .witness import Violation
from .world import WORKSPACE, world

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are forked")

ROUNDS = int(os.environ.get("SYNCLINE_KILL9_ROUNDS", scaled(50)))
SHARES = {"sqlite": 0.4, "postgresql": 0.3, "mariadb": 0.3}
A_WORLD = 25
"""Rounds in one world; what was written before is looked at in each of them."""
PLANTED_ROUNDS = 30
"""How many rounds a planted bug may survive."""


def _worlds(kind: str) -> list[tuple[int, int]]:
    """Seeds, and the rounds to play in each world."""
    rounds = round(ROUNDS * SHARES[kind])
    if "SYNCLINE_KILL9_SEED" in os.environ:
        return [(int(os.environ["SYNCLINE_KILL9_SEED"]), A_WORLD)]
    return [
        (seed, min(A_WORLD, rounds - start))
        for seed, start in enumerate(range(0, rounds, A_WORLD), start=1)
    ]


async def play(
    seed: int, rounds: int, store: str, relay: RelayProcess, port: int, folder: Path
) -> int:
    """Play rounds in a new world; returns how many kills there were."""
    url = f"ws://127.0.0.1:{port}/{WORKSPACE}"
    try:
        async with world(seed, store, relay, url, folder) as made:
            for _ in range(rounds):
                await made.round(url)
            return made.kills
    except Exception as error:
        error.add_note(f"To play this world again: SYNCLINE_KILL9_SEED={seed}")
        raise


@pytest.mark.slow
@pytest.mark.scaled
@pytest.mark.timeout(240 + 4 * ROUNDS)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_relay_killed_at_any_moment_keeps_its_promises(kind: str, tmp_path: Path) -> None:
    for seed, rounds in _worlds(kind):
        folder = tmp_path / str(seed)
        folder.mkdir()
        with database(kind, folder) as store:
            async with fork_server() as server:
                port = free_port()
                relay = ForkedRelay(server, store, port)
                assert await play(seed, rounds, store, relay, port, folder) >= rounds


@pytest.mark.slow
async def test_syncline_serve_is_killed(tmp_path: Path) -> None:
    with database("sqlite", tmp_path) as store:
        port = free_port()
        await play(7, 1, store, ServedRelay(store, port), port, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "plant",
    [
        "acknowledged_before_commit",
        pytest.param("no_receipts", marks=pytest.mark.long),  # found after many rounds only
        "shown_before_commit",
    ],
)
async def test_a_planted_bug_is_found(plant: str, tmp_path: Path) -> None:
    with database("sqlite", tmp_path) as store:
        async with fork_server() as server:
            port = free_port()
            relay = ForkedRelay(server, store, port, plant)
            with pytest.raises(Violation):
                await play(1, PLANTED_ROUNDS, store, relay, port, tmp_path)


@pytest.mark.long
async def test_a_client_killed_at_any_moment_keeps_what_it_confirmed(tmp_path: Path) -> None:
    rng = random.Random(1)
    file = tmp_path / "client.db"
    flushed: set[str] = set()
    synced: set[str] = set()
    port = free_port()
    url = f"ws://127.0.0.1:{port}/{WORKSPACE}"
    first = 0
    with database("sqlite", tmp_path) as store:
        async with fork_server() as relays, fork_server() as clients:
            for life in range(10):
                online = life % 2 == 0
                if online:
                    await relays.start("relay", store=store, port=port, plant=None)
                await clients.start("client", store=str(file), relay=url, first=first, syncs=online)
                heard = [await clients.hear() for _ in range(rng.randint(1, 30))]
                clients.kill()
                heard += await clients.ended()
                flushed |= {str(number) for kind, number in heard if kind == "flushed"}
                last = max(number for _, number in heard)
                if any(kind == "synced" for kind, _ in heard):
                    up_to = max(number for kind, number in heard if kind == "synced")
                    synced = {number for number in flushed if int(number) <= up_to}
                first = last + 2  # the one after the last may be there without a confirmation
                if online:
                    assert synced <= await _notes(MemoryStore(), url)
                    relays.kill()
                    await relays.ended()
                async with Replica.open(file, models=MODELS) as replica:
                    assert flushed <= {note.key for note in replica.collection(Note)}
                    assert online or replica.pending > 0
            await relays.start("relay", store=store, port=port, plant=None)
            kept = await _notes(file, url)
            assert flushed <= kept
            assert await _notes(MemoryStore(), url) == kept


async def _notes(store: Path | MemoryStore, url: str) -> set[str]:
    """The notes in a replica once it is in sync."""
    async with Replica.open(store, models=MODELS, relay=url) as replica:
        async with asyncio.timeout(PATIENCE):
            await replica.synced()
        return {note.key for note in replica.collection(Note)}
