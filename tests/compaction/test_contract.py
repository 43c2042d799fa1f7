"""Both stores compact as the contract says; an SQL store survives being killed around it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncline.engine.errors import StoreError
from syncline.stores import MemoryStore, SqlStore, Store
from syncline.testing.compaction_contract import CompactionContract, Reader, add, loaded
from syncline.testing.store_case import A
from tests.stores.servers import SERVERS, database


class TestMemoryStore(CompactionContract):
    def setup_method(self) -> None:
        self.disks: dict[Path, MemoryStore] = {}

    def make_store(self, place: Path) -> Store:
        return self.disks.setdefault(place, MemoryStore())


@pytest.mark.slow
class TestSqlStore(CompactionContract):
    def make_store(self, place: Path) -> Store:
        return SqlStore(place)


class TestServerStore(CompactionContract):
    """On PostgreSQL and MariaDB. Each test has one place, and for it a database."""

    url: str

    @pytest.fixture(autouse=True, params=list(SERVERS))
    def _database(self, request: pytest.FixtureRequest) -> Iterator[None]:
        with database(request.param) as made:
            self.url = made.url
            yield

    def make_store(self, place: Path) -> Store:
        return SqlStore(self.url)


def _as_a_crash_leaves_it(store: Path, place: Path) -> SqlStore:
    """The store as it is on disk at this moment, opened as after a crash."""
    place.mkdir()
    for file in store.parent.glob(f"{store.name}*"):
        if not file.name.endswith(".lock"):
            shutil.copy(file, place / file.name)
    copy = SqlStore(place / store.name)
    copy.open()
    return copy


def test_a_crash_leaves_the_log_of_before_or_of_after(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    store = SqlStore(path)
    store.open()
    add(store, A, b"1", b"2", b"3")
    before = _as_a_crash_leaves_it(path, tmp_path / "before")
    assert store.compact("w", loaded(store, A), b"1 2 3")
    after = _as_a_crash_leaves_it(path, tmp_path / "after")
    store.close()
    assert loaded(before, A).updates == (b"1", b"2", b"3")
    assert loaded(after, A).updates == (b"1 2 3",)
    for copy in (before, after):
        assert Reader().read_on(copy).content == {A: {b"1", b"2", b"3"}}
        copy.close()


def test_a_store_opened_for_looking_is_not_compacted(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    store = SqlStore(path)
    store.open()
    add(store, A, b"1", b"2")
    onlooker = SqlStore(path, exclusive=False)
    onlooker.open()
    with pytest.raises(StoreError, match="for looking only"):
        onlooker.compact("w", loaded(store, A), b"1 2")
    onlooker.close()
    store.close()
