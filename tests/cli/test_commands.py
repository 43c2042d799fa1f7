"""``syncline demo``, ``inspect`` and the options of all commands."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

import syncline
from syncline import Relay, Replica
from tests.cli.processes import run
from tests.replica.models import Contact

CHINOOK = Path(__file__).parents[3] / "shared" / "data" / "chinook.sqlite"


@pytest.mark.slow
async def test_demo_merges_and_proves_it() -> None:
    code, out, err = await run("demo")
    assert (code, err) == (0, "")
    assert "They differ, until they meet again." in out
    assert "All three are equal." in out
    assert out.count("pending 0") == 3
    assert "Dr. Leonie Köhler" in out.replace("\n", "") or "Dr." in out


@pytest.mark.slow
@pytest.mark.skipif(not CHINOOK.exists(), reason="the Chinook database is not beside the project")
async def test_demo_of_chinook() -> None:
    code, out, _ = await run("demo", "--data", str(CHINOOK))
    assert code == 0
    assert "Bringing 59 customers to all three" in out
    assert "All three are equal." in out


@pytest.mark.slow
async def test_demo_refuses_what_is_no_chinook(tmp_path: Path) -> None:
    code, _, err = await run("demo", "--data", str(tmp_path / "missing.sqlite"))
    assert code == 1
    assert "No customers can be read from" in err.replace("\n", " ")


@pytest.mark.long
async def test_inspect_tells_what_is_inside(tmp_path: Path) -> None:
    async with Relay(tmp_path / "relay.db", port=0) as relay:
        url = f"{relay.url}/crm"
        async with Replica.open(tmp_path / "a.db", models=[Contact], relay=url) as replica:
            replica.collection(Contact).create(name="x")
            replica.document("pages/home").text("body").append("y")
            await replica.synced()
            await replica.disconnect()
            replica.collection(Contact).create(name="z")
            await replica.flushed()
            # Also while they are in use.
            code, out, _ = await run("inspect", str(tmp_path / "a.db"), "--json")
            assert code == 0
            (workspace,) = json.loads(out)["workspaces"]
            assert workspace["workspace"] == "crm"
            assert workspace["role"] == "replica"
            assert (workspace["cursor"], workspace["pending"], workspace["refused"]) == (2, 1, 0)
            assert [
                (item["collection"], item["documents"]) for item in workspace["collections"]
            ] == [("contacts", 2), ("pages", 1)]
        code, out, _ = await run("inspect", str(tmp_path / "relay.db"), "--json")
        (workspace,) = json.loads(out)["workspaces"]
        assert (workspace["workspace"], workspace["role"], workspace["head"]) == ("crm", "relay", 2)
        code, out, _ = await run("inspect", str(tmp_path / "relay.db"))
        assert code == 0
        assert "workspace crm (relay), head 2" in out
        assert "contacts" in out


@pytest.mark.slow
async def test_version_and_help() -> None:
    code, out, _ = await run("--version")
    assert (code, out) == (0, f"syncline {syncline.__version__}\n")
    code, out, _ = await run("--help")
    assert code == 0
    for command in ("serve", "demo", "inspect"):
        assert command in out
    code, _, err = await run("serve", "--port", "many")
    assert code == 2
    assert "--port" in err


@pytest.mark.long
async def test_verify_tells_what_does_not_agree(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with Replica.open(path, models=[Contact]) as replica:
        replica.collection(Contact).create(key="x", name="Ada")
    code, out, err = await run("verify", str(path))
    assert (code, out, err) == (0, "The store agrees with itself.\n", "")
    database = sqlite3.connect(path)
    database.execute("UPDATE syncline_documents SET size = size + 1")
    database.commit()
    database.close()
    code, out, _ = await run("verify", str(path))
    assert code == 1
    assert "local/contacts/x: " in out
    assert "1 problem. " in out
    code, out, _ = await run("verify", str(path), "--json")
    assert code == 1
    found = json.loads(out)
    assert found["ok"] is False
    assert [problem["where"] for problem in found["problems"]] == ["local/contacts/x"]
