"""A well-behaved pair of replicas beside an attacker, whose work must go on undisturbed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from syncline import Replica
from tests.relay.clients import PATIENCE


@asynccontextmanager
async def well_behaved(tmp_path: Path, url: str) -> AsyncGenerator[Replica]:
    """Two replicas in the workspace ``crm`` that sync before and after what happens inside; gives
    the one that reads."""
    async with (
        Replica.open(tmp_path / "ada.db", relay=f"{url}/crm") as ada,
        Replica.open(tmp_path / "bob.db", relay=f"{url}/crm") as bob,
        asyncio.timeout(PATIENCE),
    ):
        hers, his = (each.document("notes/hers").text("t") for each in (ada, bob))
        hers.append("before ")
        await ada.synced()
        yield bob
        hers.append("after")
        for replica in (ada, bob):
            await replica.synced()
            assert (replica.status.refused, replica.status.error) == (0, None)
        assert str(his) == "before after"
