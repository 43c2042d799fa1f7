"""A relay with two hundred replicas is killed and started again. The benchmark has a thousand."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.reconnect_storm import storm
from tests.faults.processes import fork_server, free_port

REPLICAS = 200

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are forked")


@pytest.mark.slow
async def test_all_come_back_and_get_up_to_date(tmp_path: Path) -> None:
    port = free_port()
    store = f"sqlite:///{tmp_path / 'relay.db'}"
    async with (
        fork_server() as relay,
        storm(f"ws://127.0.0.1:{port}/crm", REPLICAS) as devices,
    ):
        for _ in range(2):
            await relay.start("relay", store=store, port=port, plant=None)
            devices.write()
            await devices.all_up_to_date()
            assert {device.cursor for device in devices.devices} == {devices.head}
            relay.kill()
            await relay.ended()
