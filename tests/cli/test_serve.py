"""``syncline serve`` as a process: what it says, how it stops, what survives kill -9."""

from __future__ import annotations

import asyncio
import signal
import urllib.request
from pathlib import Path

import pytest

from syncline import Replica
from syncline.page import connect_snippet
from tests.cli.processes import PATIENCE, run, serving
from tests.replica.models import Contact


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
async def test_serve_says_what_it_does_and_stops_cleanly(
    tmp_path: Path, how: signal.Signals
) -> None:
    store = tmp_path / "relay.db"
    async with serving(store) as relay:
        assert f"listening on {relay.url}" in relay.output
        assert str(store) in relay.output.replace("\n", "")
        assert connect_snippet(relay.url).rstrip() in relay.output
        async with Replica.open(
            tmp_path / "a.db", models=[Contact], relay=f"{relay.url}/crm"
        ) as replica:
            replica.collection(Contact).create(key="x", name="kept")
            async with asyncio.timeout(PATIENCE):
                await replica.synced()
            code, rest = await relay.end(how)
    assert code == 0, rest
    assert "Everything acknowledged is on disk" in rest
    assert "Traceback" not in rest
    async with (
        serving(store) as relay,
        Replica.open(tmp_path / "b.db", models=[Contact], relay=f"{relay.url}/crm") as replica,
        asyncio.timeout(PATIENCE),
    ):
        await replica.synced()
        assert replica.collection(Contact)["x"].name == "kept"


async def test_pages(tmp_path: Path) -> None:
    def get(url: str) -> tuple[int, str]:
        with urllib.request.urlopen(url) as response:  # noqa: S310  # the relay just started
            return response.status, response.read().decode()

    async with serving(tmp_path / "relay.db") as relay:
        base = relay.url.replace("ws://", "http://")
        assert await asyncio.to_thread(get, f"{base}/healthz") == (200, "ok\n")
        status, page = await asyncio.to_thread(get, f"{base}/")
        assert status == 200
        assert "Syncline relay" in page
        assert f"{relay.url}/crm" in page


async def test_nothing_acknowledged_is_lost_to_kill_9(tmp_path: Path) -> None:
    """Two replicas of a thousand records each, the relay killed in the middle and started again."""
    store = tmp_path / "relay.db"
    async with (
        Replica.open(tmp_path / "a.db", models=[Contact]) as ada,
        Replica.open(tmp_path / "b.db", models=[Contact]) as bob,
    ):
        for replica, name in ((ada, "a"), (bob, "b")):
            for number in range(1000):
                replica.collection(Contact).create(key=f"{name}{number:04}", name=str(number))
                if number % 20 == 0:
                    await replica.flushed()  # many batches, so that the kill falls between some
        assert ada.pending > 40
        async with serving(store) as relay:
            await ada.connect(f"{relay.url}/crm")
            await bob.connect(f"{relay.url}/crm")
            async with asyncio.timeout(PATIENCE):
                changes = bob.collection(Contact).changes()
                while (await anext(changes)).origin != "remote":
                    pass
            code, _ = await relay.end(signal.SIGKILL)
            assert code == -signal.SIGKILL
            port = relay.port
        for replica in (ada, bob):
            for number in range(100):
                replica.collection(Contact)[
                    f"{'a' if replica is ada else 'b'}{number:04}"
                ].visits += 1
        async with serving(store, port), asyncio.timeout(60):
            for _ in range(2):
                await ada.synced()
                await bob.synced()
            assert len(ada.collection(Contact)) == len(bob.collection(Contact)) == 2000
            assert ada.to_dict() == bob.to_dict()
            assert ada.pending == bob.pending == 0
            assert ada.status.refused == bob.status.refused == 0


async def test_errors_are_sentences(tmp_path: Path) -> None:
    async with serving(tmp_path / "relay.db") as relay:
        code, out, err = await run("serve", "--store", str(tmp_path / "relay.db"), "--port", "0")
        assert (code, out) == (1, "")
        assert "Error (store-busy)" in err
        assert "Hint:" in err
        code, _, err = await run(
            "serve", "--store", str(tmp_path / "other.db"), "--port", str(relay.port)
        )
        assert code == 1
        assert str(relay.port) in err
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(b"this is not a database" * 1000)
    for command in (["serve", "--port", "0", "--store", str(damaged)], ["inspect", str(damaged)]):
        code, _, err = await run(*command)
        assert code == 1
        assert "Error (store-damaged)" in err
    code, _, err = await run("inspect", str(tmp_path / "none.db"))
    assert code == 1
    assert "There is no store" in err
    code, _, err = await run("serve", "--store", "oracle://x/y")
    assert code == 1
    assert "Error (invalid-url)" in err
    for text in (err,):
        assert "Traceback" not in text
