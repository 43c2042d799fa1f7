"""Devices whose clocks are wrong: they win no longer than five minutes, are told of, and healed."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncline import ListOf, MapOf, Record, Relay, Replica, SetOf, field
from syncline.environment import Environment, wall_clock
from tests.replica.test_sync import settle
from tests.replica.test_used_again import next_millisecond

MINUTE = 60_000
YEAR = 365 * 24 * 60 * MINUTE


class Note(Record, collection="notes"):
    title: str = ""
    body: str = ""
    state: str = field(default="new", on_conflict="surface")
    tags: SetOf[str]
    items: ListOf[str]
    extra: MapOf[float]


class Kept(Record, collection="kept", delete_vs_edit="keep-edit"):
    title: str = ""


class Clock:
    """A wall clock that is off by ``offset`` milliseconds."""

    def __init__(self, offset: int = 0) -> None:
        self.offset = offset

    def __call__(self) -> int:
        return wall_clock() + self.offset


def device(path: Path, clock: Clock, relay: str | None = None) -> Replica:
    return Replica.open(path, models=[Note, Kept], relay=relay, environment=Environment(now=clock))


@pytest.mark.parametrize("years", [1, 20, 90, -40])
async def test_a_wrong_clock_at_a_relay(tmp_path: Path, years: int) -> None:
    """What it writes is of the relay's time: it wins against earlier writes only."""
    wrong = Clock(years * YEAR)
    async with Relay(tmp_path / "relay.db", port=0) as relay:
        url = f"{relay.url}/crm"
        async with (
            device(tmp_path / "a.db", Clock(), url) as a,
            device(tmp_path / "b.db", wrong, url) as b,
        ):
            await settle(a, b)
            assert b.status.clock_offset == pytest.approx(years * YEAR / 1000, abs=60)
            assert a.status.clock_offset == 0
            mine = a.collection(Note).create(key="x", title="0")
            await settle(a, b)
            yours = b.collection(Note)["x"]
            yours.title = "b"
            assert yours.title == "b"
            await settle(a, b)
            assert mine.title == "b"
            await a.disconnect()
            await b.disconnect()
            yours.title = "b, earlier"
            next_millisecond()
            mine.title = "a, later"
            await a.connect(url)
            await b.connect(url)
            await settle(a, b)
            assert mine.title == yours.title == "a, later"
            assert a.status.clock_skew == b.status.clock_skew == 0


@pytest.mark.parametrize("years", [1, 90])
async def test_a_clock_that_was_wrong_and_is_set_right(tmp_path: Path, years: int) -> None:
    clock = Clock(years * YEAR)
    async with device(tmp_path / "b.db", clock) as b:
        b.collection(Note).create(key="x", title="future")
        assert b.collection(Note)["x"].title == "future"
    clock.offset = 0
    async with Relay(tmp_path / "relay.db", port=0) as relay:
        url = f"{relay.url}/crm"
        async with (
            device(tmp_path / "b.db", clock, url) as b,
            device(tmp_path / "a.db", Clock(), url) as a,
        ):
            await settle(b, a)
            assert a.status.clock_skew > YEAR // 1000 - 400  # whoever receives it is told
            mine, yours = a.collection(Note)["x"], b.collection(Note)["x"]
            yours.body = "b"  # not from the future any more
            await settle(b, a)
            await a.disconnect()
            yours.body = "b, earlier"
            next_millisecond()
            mine.body = "a, later"
            await a.connect(url)
            await settle(a, b)
            assert mine.body == yours.body == "a, later"
            yours.title = "seen, and so replaced"
            await settle(b, a)
            assert mine.title == "seen, and so replaced"


async def test_restamp(tmp_path: Path) -> None:
    """Everything reads as before, and loses against what is written later."""
    clock = Clock(YEAR)
    async with Relay(tmp_path / "relay.db", port=0) as relay:
        url = f"{relay.url}/crm"
        async with device(tmp_path / "b.db", clock) as b:
            note = b.collection(Note).create(
                key="x",
                title='quote " and ,',
                tags={"a", "b"},
                items=["one", "two"],
                extra={"weight": 2.0, "size": 3.5},
            )
            b.collection(Kept).create(key="gone")
            b.collection(Kept).delete("gone")
            content = note.to_dict()
        clock.offset = 0
        async with (
            device(tmp_path / "b.db", clock, url) as b,
            device(tmp_path / "a.db", Clock(), url) as a,
        ):
            await settle(b, a)
            mine, yours = a.collection(Note)["x"], b.collection(Note)["x"]
            # One who has not received it
            await b.disconnect()
            assert await a.restamp() == 1
            assert await a.restamp() == 0
            assert mine.to_dict() == content
            assert "gone" not in a.collection(Kept)
            next_millisecond()
            mine.title = "later"
            await a.synced()
            await b.connect(url)
            await settle(b, a)
            assert yours.to_dict() == mine.to_dict() == {**content, "title": "later"}
            assert await b.restamp() == 0
            assert "gone" not in b.collection(Kept)
