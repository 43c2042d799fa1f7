"""A key that is used again begins empty, on every replica, in every row, and after a restart."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from syncline import Counter, ListOf, MapOf, Record, Relay, Replica, SetOf, Text, field
from syncline.environment import wall_clock
from tests.replica.test_sync import settle


class Room(Record, collection="rooms"):
    guest: str
    diet: str | None = None
    beds: int = field(default=2, on_conflict="max")
    notes: Text
    visits: Counter
    tags: SetOf[str]
    items: ListOf[str]
    extra: MapOf[int]


class Kept(Room, collection="kept", delete_vs_edit="keep-edit"):
    pass


FULL: dict[str, Any] = {
    "guest": "Ada",
    "diet": "no nuts",
    "beds": 5,
    "notes": "private: owes 300 😀",
    "visits": 3,
    "tags": {"vip"},
    "items": ["towel"],
    "extra": {"floor": 1},
}
NEW: dict[str, Any] = {
    "guest": "Bob",
    "diet": None,
    "beds": 2,
    "notes": "",
    "visits": 0,
    "tags": [],
    "items": [],
    "extra": {},
}


def next_millisecond() -> None:
    """Stamps of one millisecond are ordered by whose they are, not by what came first."""
    now = wall_clock()
    while wall_clock() == now:
        pass


@pytest.mark.parametrize("model", [Room, Kept])
async def test_it_begins_empty_everywhere(tmp_path: Path, model: type[Room]) -> None:
    async with Relay(tmp_path / "relay.db", port=0, models=[model]) as relay:
        url = f"{relay.url}/hotel"
        async with (
            Replica.open(tmp_path / "one.db", models=[model], relay=url) as one,
            Replica.open(tmp_path / "two.db", models=[model], relay=url) as two,
        ):
            for replica in (one, two, one):  # whoever does it, and whoever filled it
                rooms = replica.collection(model)
                rooms.create(key="101", **FULL)
                await settle(one, two)
                other = (two if replica is one else one).collection(model)
                other["101"].visits += 4
                other["101"].notes.append("!")
                await settle(one, two)
                rooms.delete("101")
                await settle(one, two)
                other.create(key="101", guest="Bob")
                await settle(one, two)
                assert rooms["101"].to_dict() == other["101"].to_dict() == NEW
                found = rooms.where(model.beds == 2, model.visits == 0).all()
                assert [room.guest for room in found] == ["Bob"]
                other.delete("101")
                await settle(one, two)
            one.collection(model).create(key="101", guest="Bob")
            await settle(one, two)
    async with Replica.open(tmp_path / "two.db", models=[model]) as two:
        assert two.collection(model)["101"].to_dict() == NEW
    for name in ("one", "two", "relay"):
        with closing(sqlite3.connect(tmp_path / f"{name}.db")) as connection:
            fields = "guest, diet, beds, notes, visits, tags, items, extra"
            assert connection.execute(
                f"SELECT {fields} FROM {model.__schema__.collection}"
            ).fetchall() == [("Bob", None, 2, "", 0, "[]", "[]", "{}")]


async def test_in_one_transaction_and_undone(tmp_path: Path) -> None:
    async with Replica.open(tmp_path / "a.db", models=[Room]) as replica:
        rooms = replica.collection(Room)
        before = rooms.create(key="101", **FULL).to_dict()

        def again() -> None:
            with replica.transaction():
                rooms.delete("101")
                rooms.create(key="101", guest="Bob", tags={"new"})
                assert rooms["101"].to_dict() == {**NEW, "tags": ["new"]}
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            again()
        assert rooms["101"].to_dict() == before


async def test_an_edit_of_the_old_one_that_was_not_seen(tmp_path: Path) -> None:
    async with Relay(tmp_path / "relay.db", port=0) as relay:
        url = f"{relay.url}/hotel"
        async with (
            Replica.open(tmp_path / "one.db", models=[Room], relay=url) as one,
            Replica.open(tmp_path / "two.db", models=[Room], relay=url) as two,
        ):
            mine, yours = one.collection(Room), two.collection(Room)
            mine.create(key="101", **FULL)
            await settle(one, two)
            await two.disconnect()
            yours["101"].beds = 7  # before the deletion: a default is as old as that
            yours["101"].guest = "late"
            yours["101"].visits += 1
            yours["101"].tags.add("late")
            mine.delete("101")
            mine.create(key="101", guest="Bob")
            next_millisecond()
            yours["101"].diet = "fish"  # after it
            await one.synced()
            await two.connect(url)
            await settle(one, two)
            wanted = {**NEW, "guest": "Bob", "diet": "fish", "visits": 1, "tags": ["late"]}
            assert mine["101"].to_dict() == yours["101"].to_dict() == {**wanted, "beds": 7}


async def test_two_that_create_it_again_at_once_make_one(tmp_path: Path) -> None:
    async with Relay(tmp_path / "relay.db", port=0) as relay:
        url = f"{relay.url}/hotel"
        async with (
            Replica.open(tmp_path / "one.db", models=[Room], relay=url) as one,
            Replica.open(tmp_path / "two.db", models=[Room], relay=url) as two,
        ):
            mine, yours = one.collection(Room), two.collection(Room)
            mine.create(key="101", **FULL)
            await settle(one, two)
            mine.delete("101")
            await settle(one, two)
            await one.disconnect()
            await two.disconnect()
            mine.create(key="101", guest="Bob", diet="fish", visits=2, tags={"a"})
            next_millisecond()
            yours.create(key="101", guest="Cid", visits=5, tags={"b"}, items=["soap"])
            await one.connect(url)
            await two.connect(url)
            await settle(one, two)
            assert mine["101"].to_dict() == yours["101"].to_dict()
            wanted = {**NEW, "guest": "Cid", "diet": "fish", "visits": 7, "items": ["soap"]}
            assert mine["101"].to_dict() == {**wanted, "tags": ["a", "b"]}
