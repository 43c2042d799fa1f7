"""The whole system under faults, from one seed: relay, replicas, network, disks and clocks.

``make simulate SEEDS=10000`` runs more worlds, ``make simulate SEED=17`` one of them again.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial

import pytest

from syncline.replica.local import workspace
from syncline.replica.local.outbox import Outbox
from tests.profiles import few_quickly, scaled

from .planted import IN_LOSSY_WORLDS, IN_REBUILT_WORLDS, IN_RESTORED_WORLDS, PLANTS, Plant
from .planted_for_pages import ON_PAGES, ON_PAGES_IN_REBUILT_WORLDS
from .simulate import simulate
from .world import Calamity

SEEDS = 300
CHUNK = 25
PLANTED_SEEDS = 300
"""How many worlds a planted bug may survive."""


def _chunks() -> list[range]:
    if "SYNCLINE_SEED" in os.environ:
        seed = int(os.environ["SYNCLINE_SEED"])
        return [range(seed, seed + 1)]
    if "SYNCLINE_SEEDS" in os.environ:
        seeds = range(int(os.environ["SYNCLINE_SEEDS"]))
        return [seeds[start : start + CHUNK] for start in range(0, len(seeds), CHUNK)]
    return [range(start, start + scaled(CHUNK)) for start in range(0, SEEDS, CHUNK)]


def _name(seeds: range) -> str:
    return f"{seeds[0]}-{seeds[-1]}"


def _simulate(seed: int) -> str:
    try:
        return simulate(seed)
    except Exception as error:
        error.add_note(f"Seed {seed}. To run it again: make simulate SEED={seed}")
        raise


@pytest.mark.scaled
@pytest.mark.parametrize("seeds", few_quickly(_chunks()), ids=_name)
def test_nothing_acknowledged_is_lost_and_everyone_agrees(seeds: range) -> None:
    for seed in seeds:
        _simulate(seed)


@pytest.mark.scaled
@pytest.mark.slow
def test_replicas_that_keep_one_batch_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is longer than their memory they read from their disks, while all goes wrong."""
    monkeypatch.setattr(workspace, "Outbox", partial(Outbox, max_batches=1))
    for seed in range(scaled(CHUNK)):
        _simulate(seed)


@pytest.mark.slow
def test_one_seed_gives_one_run() -> None:
    assert simulate(1, pages=True) == simulate(1, pages=True) != simulate(2, pages=True)


@pytest.mark.long
def test_another_process_with_another_hash_seed_makes_the_same_run() -> None:
    code = "from tests.simulation.simulate import simulate; print(simulate(45, pages=True))"
    traces: set[str] = set()
    for hash_seed in "01":
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-c", code]
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        traces.add(run.stdout)
    assert len(traces) == 1


ALL = [*PLANTS, *IN_LOSSY_WORLDS, *IN_RESTORED_WORLDS, *IN_REBUILT_WORLDS]


@pytest.mark.long
@pytest.mark.parametrize(
    "plant",
    [*ALL, *ON_PAGES, *ON_PAGES_IN_REBUILT_WORLDS],
)
def test_a_planted_bug_is_found(plant: Plant) -> None:
    lossy = True if plant in IN_LOSSY_WORLDS else None
    pages = plant not in ALL  # without them it is quicker
    calamity: Calamity | None = None
    if plant in IN_RESTORED_WORLDS:
        calamity = "restore"
    elif plant in (*IN_REBUILT_WORLDS, *ON_PAGES_IN_REBUILT_WORLDS):
        calamity = "rebuild"
    for seed in range(PLANTED_SEEDS):
        with pytest.MonkeyPatch.context() as patch:
            plant(patch)
            try:
                simulate(seed, lossy=lossy, calamity=calamity, pages=pages)
            except Exception:  # noqa: BLE001  however it shows
                break
    else:
        pytest.fail(f"{PLANTED_SEEDS} worlds did not find: {plant.__doc__}")
    # It is the bug that was found: without it there is nothing.
    simulate(seed, lossy=lossy, calamity=calamity, pages=pages)
