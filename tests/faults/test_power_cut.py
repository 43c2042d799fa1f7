"""The power goes while a SQLite store is written: what was acknowledged is there, and it opens.

A child process writes with its system calls on record; the disks that a power cut may have left are
rebuilt from the record, and opened. SYNCLINE_POWER_CUTS says how many.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from syncline.engine.errors import StoreError
from syncline.stores import SqlStore
from tests.profiles import scaled

from .disk_log import Operation, after_power_cut, read_log
from .numbered_writes import check
from .processes import ROOT

COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
CUTS = int(os.environ.get("SYNCLINE_POWER_CUTS", scaled(250)))
WRITES = 30
"""In each of two lives of the store."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.scaled,
    pytest.mark.skipif(sys.platform != "linux", reason="system calls are caught as on Linux"),
    pytest.mark.skipif(COMPILER is None, reason="there is no C compiler"),
]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = tmp_path_factory.mktemp("disk_log") / "disk_log.so"
    source = Path(__file__).with_name("disk_log.c")
    assert COMPILER is not None
    subprocess.run([COMPILER, "-shared", "-fPIC", "-O1", "-o", built, source, "-ldl"], check=True)
    return built


def recorded(library: Path, folder: Path, synchronous: str) -> list[Operation]:
    """What two lives of a store did to its files."""
    disk, log = folder / "disk", folder / "log"
    disk.mkdir()
    environment = {
        **os.environ,
        "LD_PRELOAD": str(library),
        "DISK_LOG": str(log),
        "DISK_LOG_FOLDER": f"{disk}/",
    }
    for first in (1, 1 + WRITES):
        subprocess.run(
            [
                *(sys.executable, "-m", "tests.faults.numbered_writes", disk / "store.db"),
                *(str(first), str(WRITES), synchronous),
            ],
            cwd=ROOT,
            env=environment,
            check=True,
        )
    return read_log(log)


def what_is_wrong(operations: Sequence[Operation], folder: Path, rng: random.Random) -> str | None:
    """Cut the power after these, and open the store; a sentence if it is not as it must be."""
    disk = after_power_cut(operations, rng)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    disk.write_to(folder)
    store = SqlStore(folder / "store.db")
    try:
        store.open()
        check(store, max(disk.mark, 0))
    except (StoreError, AssertionError) as error:
        return str(error)
    finally:
        store.close()
    return None


def failures(operations: Sequence[Operation], folder: Path) -> Iterator[str]:
    rng = random.Random(1)
    for cut in range(CUTS):
        end = rng.randint(1, len(operations))
        wrong = what_is_wrong(operations[:end], folder / "cut", rng)
        if wrong is not None:
            yield f"Cut {cut}, after operation {end}: {wrong}"


def test_what_was_acknowledged_survives(library: Path, tmp_path: Path) -> None:
    operations = recorded(library, tmp_path, "FULL")
    kinds = {op.kind for op in operations}
    assert kinds >= {"W", "S", "M"}
    assert sum(op.kind == "M" for op in operations) == 2 * WRITES
    # The log was written back in between, so cuts fall into that too.
    assert any(op.kind == "W" and op.path.endswith("store.db") for op in operations)
    assert list(failures(operations, tmp_path)) == []


@pytest.mark.parametrize("synchronous", ["NORMAL", "OFF"])
def test_a_store_that_does_not_sync_is_found(
    library: Path, tmp_path: Path, synchronous: str
) -> None:
    assert next(failures(recorded(library, tmp_path, synchronous), tmp_path), None) is not None
