"""The audit log: who was let do what, without content and without tokens."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import pytest

from syncline import Relay
from syncline.access.token_file import TokenFile
from syncline.engine.errors import TransportClosed, UsageError
from syncline.engine.names import Address
from syncline.engine.protocol.messages import Ack
from syncline.engine.yjs.messages import Update
from syncline.relay.audit import MAX_WAITING, AuditLog, Decision
from syncline.stores import InlineCalls
from tests.access.tokens import ADMIN, NOTE, PAGES, READER, token_file
from tests.relay.clients import Author, connected
from tests.relay.editors import EMPTY, hocuspocus_at, synced, y_websocket_at

_P = ParamSpec("_P")
_T = TypeVar("_T")
SECRET = "the secret content"  # noqa: S105
STORED = Decision("stored", "ada", "127.0.0.1", "a" * 32, "crm", "pages/note", 7, 20)


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def decisions(file: Path) -> list[tuple[Any, ...]]:
    """What each line decides, of whom, about what, and with which code."""
    names = ("decision", "principal", "document", "code")
    return [tuple(line.get(name) for name in names) for line in lines(file)]


async def test_replicas(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    tokens = TokenFile(token_file(tmp_path))
    async with Relay(tmp_path / "relay.db", port=0, authenticator=tokens, audit_log=file) as relay:
        async with connected(relay.url, "a" * 32) as ada:
            await ada.greet(token=PAGES)
            update = Author().type(SECRET)
            await ada.push(1, update)
            await ada.hear(Ack)
            await ada.push(2, update, address=Address("contacts", "ada"))
            await ada.push(3, b"no update")
            await ada.hear(Ack)
            await ada.hear(Ack)
        async with connected(relay.url, "b" * 32) as stranger:
            with pytest.raises(TransportClosed):
                await stranger.greet(token="wrong")
    assert decisions(file) == [
        ("connected", "pages", None, None),
        ("stored", "pages", "pages/note", None),
        ("refused", "pages", "contacts/ada", "not-allowed"),
        ("refused", "pages", "pages/note", "invalid-update"),
        ("refused", None, None, "not-authenticated"),
    ]
    connected_, stored, *_, stranger_ = lines(file)
    assert stored["seq"] == 1
    assert stored["size"] == len(update)
    assert (stored["device"], stored["workspace"]) == ("a" * 32, "crm")
    assert stored["address"] == stranger_["address"] == "127.0.0.1"
    assert stranger_["device"] == "b" * 32
    assert connected_["time"] > 1_700_000_000_000
    text = file.read_text()
    assert SECRET not in text
    assert PAGES not in text
    assert "wrong" not in text


async def test_editors(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    tokens = TokenFile(token_file(tmp_path))
    async with Relay(tmp_path / "relay.db", port=0, authenticator=tokens, audit_log=file) as relay:
        async with y_websocket_at(f"{relay.url}/crm/pages/note?token={ADMIN}") as editor:
            await synced(editor)
            await editor.say(Update(Author().type(SECRET)))
            await editor.hear()
            await editor.say(Update(b"no update"))
            await editor.ended()
        async with y_websocket_at(f"{relay.url}/crm/pages/note?token={READER}") as editor:
            await synced(editor)
            await editor.say(Update(Author().type(SECRET)))
            await editor.hear()
        async with hocuspocus_at(f"{relay.url}/crm") as provider:
            await provider.authenticate("contacts/ada", NOTE)
            await provider.say("contacts/ada", EMPTY)
            await provider.hear()
    assert decisions(file) == [
        ("opened", "admin", "pages/note", None),
        ("stored", "admin", "pages/note", None),
        ("refused", "admin", "pages/note", "invalid-update"),
        ("refused", "admin", "pages/note", "invalid-update"),
        ("opened", "reader", "pages/note", None),
        ("refused", "reader", "pages/note", "not-allowed"),
        ("refused", "note", None, "not-allowed"),
    ]
    assert SECRET not in file.read_text()


@pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")
async def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    async with Relay(tmp_path / "relay.db", port=0, audit_log=file):
        assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
async def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path in (fifo, tmp_path, tmp_path / "none" / "audit.jsonl"):
        with pytest.raises(UsageError, match=r"audit log .* cannot be written"):
            async with Relay(tmp_path / f"{path.name}.db", port=0, audit_log=path):
                pass


async def test_a_failing_disk_is_told_of_and_nothing_is_lost_of_what_fits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syncline.relay.audit.RETRY_SECONDS", 0)
    folder = tmp_path / "log"
    folder.mkdir()
    audit = AuditLog(folder / "audit.jsonl", InlineCalls(), lambda: 1)
    await audit.open()
    folder.rename(tmp_path / "moved")
    running = asyncio.create_task(audit.run())
    audit.note(STORED)
    while not caplog.records:  # noqa: ASYNC110  the loop goes on by itself
        await asyncio.sleep(0)
    audit.note(STORED)
    (tmp_path / "moved").rename(folder)
    while len(lines(folder / "audit.jsonl")) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await audit.close()
    assert [
        record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR
    ] == ["The audit log cannot be written: No such file or directory."]
    assert [line["decision"] for line in lines(folder / "audit.jsonl")] == ["stored", "stored"]


async def test_what_is_being_written_when_the_relay_ends_is_written_once(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    begun, go_on = asyncio.Event(), asyncio.Event()

    class Slow(InlineCalls):
        async def __call__(
            self, function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs
        ) -> _T:
            begun.set()
            await go_on.wait()
            return await super().__call__(function, *args, **kwargs)

    audit = AuditLog(file, Slow(), lambda: 1)
    running = asyncio.create_task(audit.run())
    audit.note(STORED)
    await begun.wait()
    running.cancel()
    audit.note(STORED)
    go_on.set()
    await asyncio.gather(running, return_exceptions=True)
    assert len(lines(file)) == 1
    await audit.close()
    assert len(lines(file)) == 2


@pytest.mark.parametrize("most", [2, MAX_WAITING])
async def test_what_finds_no_room_is_counted(
    tmp_path: Path, most: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("syncline.relay.audit.MAX_WAITING", most)
    file = tmp_path / "audit.jsonl"
    audit = AuditLog(file, InlineCalls(), lambda: 1)
    for _ in range(most + 3):
        audit.note(STORED)
    await audit.close()
    written = lines(file)
    assert len(written) == most + 1
    assert written[-1] == {"time": 1, "decision": "lost", "count": 3}
    assert "3 decisions are missing in the audit log" in caplog.text
