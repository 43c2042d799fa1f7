"""``syncline serve`` as a process: what it says, how it stops, what survives kill -9."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import urllib.request
from pathlib import Path

import pytest

from syncline import Replica
from syncline.engine.errors import NotAuthenticated
from syncline.relay.web.home_page import connect_snippet
from tests.access.tokens import ADMIN, token_file
from tests.cli.processes import PATIENCE, run, serving
from tests.replica.models import Contact
from tests.transports.raw_client import handshake, http


@pytest.mark.parametrize(
    "how", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM]
)
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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.long
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


@pytest.mark.long
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


@pytest.mark.slow
async def test_serve_with_tokens(tmp_path: Path) -> None:
    options = ("--token-file", str(token_file(tmp_path)), "--host", "0.0.0.0")  # noqa: S104
    async with serving(tmp_path / "relay.db", 0, *options) as relay:
        assert connect_snippet(relay.url, token=True).rstrip() in relay.output
        assert "token=TOKEN" in relay.output
        assert ADMIN not in relay.output
        url = f"{relay.url}/crm"
        async with Replica.open(tmp_path / "a.db", models=[Contact]) as replica:
            with pytest.raises(NotAuthenticated):
                await replica.connect(url)
            await replica.connect(url, token=ADMIN)
            replica.collection(Contact).create(key="x", name="kept")
            async with asyncio.timeout(PATIENCE):
                await replica.synced()
        _, rest = await relay.end(signal.SIGTERM)
        assert ADMIN not in rest


@pytest.mark.long
async def test_the_snippets_run(tmp_path: Path) -> None:
    options = ("--token-file", str(token_file(tmp_path)))
    for more, token in (((), False), (options, True)):
        async with serving(tmp_path / f"{token}.db", 0, *more) as relay:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                connect_snippet(relay.url, token=token),
                cwd=tmp_path,
                env={**os.environ, "SYNCLINE_TOKEN": ADMIN},
            )
            async with asyncio.timeout(PATIENCE):
                assert await process.wait() == 0
        (tmp_path / "phone.db").unlink()


@pytest.mark.long
async def test_serve_refuses_to_be_reached_by_others_without_tokens(tmp_path: Path) -> None:
    store = tmp_path / "relay.db"
    for host in ("0.0.0.0", "::", "192.0.2.7"):  # noqa: S104
        code, out, err = await run("serve", "--store", str(store), "--host", host)
        assert (code, out) == (1, "")
        assert "others could reach this relay" in err.replace("\n", " ")
        assert "--token-file" in err
        assert "--allow-anonymous" in err
    assert not store.exists()
    options = ("--host", "0.0.0.0", "--allow-anonymous")  # noqa: S104
    async with serving(store, 0, *options) as relay:
        assert "token=" not in relay.output
        async with Replica.open(tmp_path / "a.db", relay=f"{relay.url}/crm") as replica:
            async with asyncio.timeout(PATIENCE):
                await replica.synced()


@pytest.mark.long
async def test_serve_tells_what_is_wrong_with_its_options(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('[[token]]\ntoken = "s3cret"\naccess = "all"\n')
    for options, sentence in [
        (("--token-file", str(wrong)), "has 2 problems."),
        (("--token-file", str(tmp_path / "none.toml")), "cannot be read: No such file"),
        (("--token-file", str(token_file(tmp_path)), "--allow-anonymous"), "nobody is anonymous"),
        (("--static", str(tmp_path / "none")), "cannot be read: No such file"),
        (("--allow-origin", "*"), "is no origin of web pages"),
        (("--path-prefix", "/a b"), "cannot be the path prefix of a relay"),
    ]:
        code, _, err = await run("serve", "--store", str(tmp_path / "r.db"), *options)
        assert code == 1
        assert sentence in " ".join(err.split())
        assert "Hint:" in err
        assert "s3cret" not in err
        assert "Traceback" not in err


@pytest.mark.slow
async def test_serve_behind_a_path_prefix(tmp_path: Path) -> None:
    async with serving(tmp_path / "relay.db", 0, "--path-prefix", "/sync") as relay:
        assert f"{relay.url}/sync/crm" in relay.output  # what it tells to connect to
        async with Replica.open(tmp_path / "a.db", relay=f"{relay.url}/sync/crm") as replica:
            async with asyncio.timeout(PATIENCE):
                await replica.synced()
        port = int(relay.url.rpartition(":")[2])
        assert (await http(port, "GET", "/sync/healthz")).status == 200


@pytest.mark.slow
async def test_serve_with_pages_and_origins(tmp_path: Path) -> None:
    site = tmp_path / "dist"
    site.mkdir()
    (site / "index.html").write_text("<p>my page")
    options = ("--static", str(site), "--allow-origin", "https://app.example.com")
    async with serving(tmp_path / "relay.db", 0, *options, "--allow-origin", "http://b.x") as relay:
        assert (await http(relay.port, "GET", "/")).body == b"<p>my page"
        for origin, status in [
            ("https://app.example.com", 101),
            ("http://b.x", 101),
            ("http://c.x", 403),
        ]:
            answer = await handshake(relay.port, "Host: localhost", f"Origin: {origin}")
            assert answer[0] == status
