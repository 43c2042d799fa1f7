"""examples/web/src/record.js, alone against docs/record-layout.md and together with Python."""

from __future__ import annotations

import itertools
import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest

from syncline import Counter, Record, SetOf, Text
from syncline.engine.names import Address
from syncline.engine.records.emptying import begin_empty
from syncline.engine.records.liveness import is_live, write_live
from tests.engine.devices import Device
from tests.npm import EXAMPLE, install, program, run

pytestmark = pytest.mark.npm

HERE = Path(__file__).parent
NOW = 1_700_000_000_000


class Note(Record, collection="notes"):
    """As record.mjs reads it."""

    title: Any = None
    body: Text
    votes: Counter
    tags: SetOf[Any]


class Both:
    """A record on a device in Python, and as JavaScript makes of it what the device knows."""

    def __init__(self) -> None:
        self.device = Device(4294967303, now=NOW)
        self._sessions = itertools.count(7)
        self.note = cast("Note", Note.attach(self.device, Address("notes", "n")))

    def create(self) -> None:
        with self.device.writing():
            write_live(self.device.document(), True, "delete-wins", self.device.tick())

    def create_again(self) -> None:
        with self.device.writing() as document:
            begin_empty(document, ())
            write_live(document, True, "delete-wins", self.device.tick())

    def in_javascript(self, *calls: list[Any], now: int = NOW) -> Any:
        """Call methods of a SharedRecord that has all of this; apply what they change. Returns
        what JavaScript then reads."""
        install(EXAMPLE)
        known = self.device.document().diff({}).hex()
        client = next(self._sessions)  # Yjs draws another for each session
        given = json.dumps({"client": client, "update": known, "now": now, "calls": calls})
        answer = json.loads(
            run(program("node"), str(HERE / "record.mjs"), folder=HERE, given=given)
        )
        self.device.document().apply(bytes.fromhex(answer["update"]))
        return answer["reads"]


@pytest.fixture
def both() -> Both:
    return Both()


def test_the_helper_against_the_page() -> None:
    install(EXAMPLE)
    assert "fail 0" in run(program("npm"), "test", folder=EXAMPLE)


def test_javascript_reads_what_python_wrote(both: Both) -> None:
    both.create()
    note = both.note
    note.title = {"price": Decimal("1.50"), "on": date(2026, 11, 22), "$odd": 2**60}
    note.body.append("naïve 😀")
    note.votes += 3
    for tag in ("new", 1.5, "a/b", [1, None]):
        note.tags.add(tag)
    note.tags.discard("new")
    assert both.in_javascript() == {
        "$live": True,
        "title": {
            "$dict": [
                ["price", {"$decimal": "1.50"}],
                ["on", {"$date": "2026-11-22"}],
                ["$odd", {"$int": str(2**60)}],
            ]
        },
        "body": "naïve 😀",
        "votes": 3,
        "tags": [1.5, "a/b", [1, None]],
    }


def test_python_reads_what_javascript_wrote(both: Both) -> None:
    both.in_javascript(
        ["create", {"title": {"$b": [1, 2.5, "é"]}}],
        ["add", "votes", 5],
        ["add", "votes", -2],
        ["insert", "body", 0, "h😀llo"],
    )
    assert is_live(both.device.document())
    assert both.note.title == {"$b": [1, 2.5, "é"]}
    assert both.note.votes == 3
    assert both.note.body == "h😀llo"


def test_each_replaces_what_it_has_seen_of_the_other(both: Both) -> None:
    both.create()
    both.note.title = "Python"
    # The clock of the browser is an hour slow, and its write is newer all the same.
    both.in_javascript(["set", {"title": "JavaScript"}], now=NOW - 3_600_000)
    assert both.note.title == "JavaScript"
    both.note.title = "Python again"
    assert both.in_javascript()["title"] == "Python again"
    cells = [key for key in both.device.document().to_dict()["fields"] if "title" in key]
    assert cells == ["title/4294967303"]


def test_a_deletion_in_javascript_and_an_edit_that_it_has_not_seen(both: Both) -> None:
    both.create()
    both.note.title = "kept?"
    both.in_javascript(["delete", {"keepEdits": True}])
    assert not is_live(both.device.document())
    both.note.votes += 1
    assert is_live(both.device.document())
    assert both.in_javascript()["$live"] is True
    both.in_javascript(["delete"])
    both.note.votes += 1
    assert not is_live(both.device.document())
    assert both.in_javascript()["$live"] is False


EMPTY: dict[str, Any] = {"$live": True, "title": None, "body": "", "votes": 0, "tags": []}


def fill(note: Note) -> None:
    note.title = "old"
    note.body.append("private 😀")
    note.votes += 5
    note.tags |= {"a", "b"}


def test_a_record_that_javascript_creates_again_begins_empty(both: Both) -> None:
    both.create()
    fill(both.note)
    both.in_javascript(["add", "votes", 4], ["delete"])
    assert both.in_javascript(["create", {"title": "new"}]) == {**EMPTY, "title": "new"}
    assert both.note.to_dict() == {"title": "new", "body": "", "votes": 0, "tags": []}
    both.note.votes += 1
    assert both.in_javascript(["add", "votes", 2])["votes"] == 3
    assert both.note.votes == 3
    # What is there is not emptied.
    assert both.in_javascript(["create", {}])["title"] == "new"


def test_a_record_that_python_creates_again_begins_empty(both: Both) -> None:
    both.create()
    fill(both.note)
    for _ in range(2):
        both.in_javascript(["add", "votes", 4], ["delete"])
        both.create_again()
        assert both.in_javascript() == EMPTY
        fill(both.note)
    assert both.in_javascript()["votes"] == 5
