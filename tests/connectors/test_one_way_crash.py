"""One-way pipelines whose process dies: at every statement, and by kill -9 at random moments."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from syncline.connectors.one_way import reading
from tests.profiles import scaled

from .one_way_cases import ITEMS, Crash, Pair, items, pair, rows

TEXT = """
[[table]]
name = "items"
history = true
on_delete = "mark"
"""
ORDERS = "CREATE TABLE orders (id INTEGER PRIMARY KEY, item INTEGER)"
_FORKS = """
import os, sys
from syncline.connectors import load_pipeline, open_run
from syncline.connectors.one_way import reading, sync

reading.PAGE = reading.FIRST_PAGE = sync.NOTES_AT_ONCE = 50
for _ in sys.stdin:
    if not (pid := os.fork()):
        run = open_run(load_pipeline(sys.argv[1], {}))
        while True:
            run.sync(allow_deletes=True)
    sys.stdout.write(f"{pid}\\n")
    sys.stdout.flush()
    os.waitpid(pid, 0)
"""
_FILE = """
[pipeline]
name = "shop-reporting"
mode = "one-way"
[source]
url = "{source}"
[destination]
url = "{destination}"
[[table]]
name = "items"
history = true
"""


def _change(shop: Pair, number: int) -> None:
    """What users do between two crashes."""
    shop.source.execute("UPDATE items SET name = :name WHERE id = 1", name=f"name {number}")
    shop.source.execute("DELETE FROM items WHERE id = :id", id=100 + number)
    shop.source.execute(items(1, 101 + number))
    shop.source.execute("INSERT INTO orders VALUES (:id, 1)", id=number)


def _is_right(shop: Pair, *, proven: bool) -> None:
    """After another sync all is equal, and nothing is there twice."""
    shop.sync(allow_deletes=True)
    if proven:
        shop.settled()
    live = "SELECT id, name, price FROM items WHERE _syncline_deleted_at IS NULL ORDER BY id"
    found = [tuple(row) for row in shop.destination.execute(live)]
    assert found == rows(shop.source, "items")
    assert shop.rows("orders") == rows(shop.source, "orders")
    old = shop.rows("items_history", columns="id, name, price")
    assert len(old) == len(set(old)), "a version is in the history twice"
    assert not set(old) & set(found), "a present version is in the history"


@pytest.mark.long
def test_a_first_copy_may_die_at_any_statement(tmp_path: Path) -> None:
    for statements in range(5, 500, 19):
        folder = tmp_path / str(statements)
        folder.mkdir()
        with pair(("sqlite", "sqlite"), folder, TEXT, ITEMS, ORDERS, items(5)) as shop:
            died = shop.crashes(statements)
            _change(shop, 1)
            _is_right(shop, proven=True)
        if not died:
            return
    raise AssertionError("a sync has no end")


@pytest.mark.slow
@pytest.mark.scaled
def test_a_sync_may_die_at_any_statement(tmp_path: Path) -> None:
    with pair(("sqlite", "sqlite"), tmp_path, TEXT, ITEMS, ORDERS, items(5)) as shop:
        shop.sync()
        for statements in range(0, 400, 400 // scaled(400)):
            _change(shop, statements)
            died = shop.crashes(statements)
            if statements % 3 == 0:  # others change something before the next process
                shop.source.execute("UPDATE items SET price = :n WHERE id = 2", n=statements)
            _is_right(shop, proven=statements % 10 == 0)
            if not died:
                return
    raise AssertionError("a sync has no end")


@pytest.mark.slow
def test_a_batch_that_went_before_a_crash_is_not_counted_twice(tmp_path: Path) -> None:
    with pair(("sqlite", "sqlite"), tmp_path, "", ITEMS, items(30)) as shop:
        shop.sync()
        shop.source.execute("DELETE FROM items WHERE id <= 14")  # 14 of 30; then 14 of 16
        for statements in range(20, 400, 2):
            if len(shop.rows("items")) < 30:
                break
            shop.crashes(statements)
        assert shop.run.pending() == {"source": 14}
        assert shop.run.sync(dry_run=True).changed == 0
        report = shop.sync()
        assert report.changed == 0
        assert report.looked_at == 14  # only a restored database lets all rows be compared
        shop.settled()
        for name in ("x", "y"):
            shop.source.execute("UPDATE items SET name = :name WHERE id = 20", name=name)
            assert shop.sync().looked_at == 1


@pytest.mark.slow
def test_a_copy_whose_rules_change_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "PAGE", 2)
    monkeypatch.setattr(reading, "FIRST_PAGE", 2)

    def die(_: str, done: int, total: int | None) -> None:
        if done == 4:
            raise Crash

    with pair(("sqlite", "sqlite"), tmp_path, "", ITEMS, items(9)) as shop:
        with pytest.raises(Crash):
            shop.sync(progress=die)
        assert len(shop.rows("items")) == 4
        shop.source.execute("ALTER TABLE items ADD COLUMN fresh INTEGER DEFAULT 7")
        shop.sync()
        assert {row[-1] for row in shop.rows("items")} == {7}
        shop.settled()


def _write_some(shop: Pair, name: str, rng: random.Random) -> None:
    shop.source.execute("UPDATE items SET name = :name WHERE id = 1", name=name)
    shop.source.execute("DELETE FROM items WHERE id = :id", id=rng.randrange(2, 1_600))
    shop.source.execute(
        "INSERT OR REPLACE INTO items VALUES (:id, :name, 1)",
        id=rng.randrange(2, 1_600),
        name=f"again {name}",
    )


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_killed_processes_lose_and_double_nothing(kind: str, tmp_path: Path) -> None:
    seed = 20_261
    rng = random.Random(seed)
    with pair(("sqlite", kind), tmp_path, '[[table]]\nname = "items"\nhistory = true\n') as shop:
        shop.source.create(ITEMS)
        with closing(sqlite3.connect(tmp_path / "src.db")) as opened:
            opened.execute("PRAGMA journal_mode = WAL")
        shop.source.execute(items(1_500))
        file = tmp_path / "shop.toml"
        file.write_text(
            _FILE.format(source=shop.source.spec.url, destination=shop.destination.spec.url)
        )
        written = ["item 1"]
        command = [sys.executable, "-c", _FORKS, str(file)]
        with subprocess.Popen(
            command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            for _ in range(6):
                process.stdin.write("again\n")
                process.stdin.flush()
                syncing = int(process.stdout.readline())
                end = time.monotonic() + rng.uniform(0.05, 0.5)
                try:
                    while time.monotonic() < end:
                        written.append(f"name {len(written)}")
                        _write_some(shop, written[-1], rng)
                        time.sleep(0.01)
                finally:
                    os.kill(syncing, signal.SIGKILL)
        shop.sync(allow_deletes=True)
        shop.settled()
        assert shop.held() == {}
        assert shop.rows("items", columns="id, name") == rows(
            shop.source, "items", columns="id, name"
        )
        versions = shop.rows("items_history", "_syncline_version", "id, name")
        old = [name for key, name in versions if key == 1]
        assert len(old) == len(set(old)), f"seed {seed}: a version is in the history twice"
        assert [written.index(name) for name in old] == sorted(map(written.index, old))
        assert written[-1] not in old
