"""What fixed scenarios cost, counted: a guard against slowness that is no timer."""

from __future__ import annotations

from collections.abc import Sequence

from syncline import Replica
from syncline.engine.names import Address
from syncline.stores import MemoryStore, StoredDocument, Write
from tests.replica.models import Contact


class CountingStore(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.loads = self.commits = self.rows = 0

    def load(self, workspace: str, address: Address) -> StoredDocument | None:
        self.loads += 1
        return super().load(workspace, address)

    def write(self, writes: Sequence[Write]) -> list[int]:
        self.commits += 1
        self.rows += sum(len(document.updates) for write in writes for document in write.documents)
        return super().write(writes)

    def take(self) -> tuple[int, int, int]:
        """How many loads, commits and rows of the log there were since the last call."""
        counted = self.loads, self.commits, self.rows
        self.loads = self.commits = self.rows = 0
        return counted


async def test_records_that_are_created() -> None:
    store = CountingStore()
    async with Replica.open(store, models=[Contact]) as replica:
        contacts = replica.collection(Contact)
        store.take()
        with replica.transaction():
            for number in range(50):
                contacts.create(name=f"name {number}", notes="hello", tags={"a"})
        await replica.flushed()
        assert store.take() == (0, 1, 50)
        for number in range(5):
            contacts.create(key=f"k{number}", name="given keys are looked up: they may be deleted")
        await replica.flushed()
        assert store.take() == (5, 1, 5)
