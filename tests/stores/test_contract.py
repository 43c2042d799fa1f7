"""Every store keeps the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncline.stores import MemoryStore, SqlStore, Store
from syncline.testing.store_contract import StoreContract
from tests.stores.servers import TestDatabase


class TestMemoryStore(StoreContract):
    def setup_method(self) -> None:
        self.disks: dict[Path, MemoryStore] = {}

    def make_store(self, place: Path) -> Store:
        return self.disks.setdefault(place, MemoryStore())


class TestSqliteStore(StoreContract):
    def make_store(self, place: Path) -> Store:
        return SqlStore(place)


class TestServerStore(StoreContract):
    """On PostgreSQL and MariaDB. Each test has one place, and for it a database."""

    url: str

    @pytest.fixture(autouse=True)
    def _database(self, server: TestDatabase) -> None:
        self.url = server.url

    def make_store(self, place: Path) -> Store:
        return SqlStore(self.url)
