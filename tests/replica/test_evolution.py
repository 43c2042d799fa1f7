"""Fields that are added, removed and renamed, while replicas of the old model go on working."""

# pyright: reportUnusedClass=false
# (defining a record class is what raises)

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import pytest

from syncline import MapOf, Record, Relay, Replica, SetOf, Text, col, field
from syncline.engine.errors import SchemaError, SchemaMismatch, WrongType
from syncline.stores import SqlStore


class OldContact(Record, collection="contacts"):
    name: str
    phone: str | None = None
    fax: str | None = None
    notes: Text


class NewContact(Record, collection="contacts"):
    """``fax`` is gone, ``phone`` and ``notes`` have new names, ``rating`` is new."""

    name: str
    mobile: str | None = field(default=None, stored_as="phone", on_conflict="surface")
    remarks: Text = field(stored_as="notes")
    rating: int = 3


@contextmanager
def database(path: Path) -> Generator[sqlite3.Connection]:
    connection = sqlite3.connect(path)
    try:
        yield connection
    finally:
        connection.close()


def table(path: Path) -> tuple[list[str], list[tuple[Any, ...]]]:
    with database(path) as connection:
        cursor = connection.execute("SELECT * FROM contacts ORDER BY key")
        return [column[0] for column in cursor.description], cursor.fetchall()


async def test_old_and_new_replicas_edit_the_same_record(tmp_path: Path) -> None:
    async with Relay(tmp_path / "relay.db", port=0) as relay:
        url = f"{relay.url}/crm"
        async with (
            Replica.open(tmp_path / "old.db", models=[OldContact], relay=url) as old,
            Replica.open(tmp_path / "new.db", models=[NewContact], relay=url) as new,
        ):

            async def exchange() -> None:
                for replica in (old, new, old, new):
                    await replica.synced()

            theirs = old.collection(OldContact).create(
                key="ada", name="Ada", phone="1", fax="2", notes="old"
            )
            await exchange()
            ours = new.collection(NewContact)["ada"]
            assert ours.to_dict() == {"name": "Ada", "mobile": "1", "remarks": "old", "rating": 3}
            changes = new.collection(NewContact).changes()
            theirs.phone = "10"
            theirs.fax = "20"
            theirs.notes.append(" and known")
            await exchange()
            change = await anext(changes)
            assert change.fields == ("mobile", "remarks")  # by the names of this model
            ours.mobile = "11"
            ours.remarks.insert(0, "new, ")
            ours.rating = 5
            ours.name = "Ada Lovelace"
            await exchange()
            assert theirs.to_dict() == {
                "name": "Ada Lovelace",
                "phone": "11",
                "fax": "20",  # what the new model does not know is kept
                "notes": "new, old and known",
            }
            assert new.collection(NewContact).where(col(NewContact.mobile) == "11").count() == 1
            assert old.collection(OldContact).where(OldContact.phone == "11").count() == 1
            new.collection(NewContact).create(key="bob", name="Bob", mobile="3", remarks="b")
            await exchange()
            assert old.collection(OldContact)["bob"].phone == "3"

    assert table(tmp_path / "old.db") == (
        ["key", "name", "phone", "fax", "notes"],
        [
            ("ada", "Ada Lovelace", "11", "20", "new, old and known"),
            ("bob", "Bob", "3", None, "b"),
        ],
    )
    assert table(tmp_path / "new.db") == (
        ["key", "name", "mobile", "remarks", "rating"],
        [("ada", "Ada Lovelace", "11", "new, old and known", 5), ("bob", "Bob", "3", "b", 3)],
    )


class CountingStore(SqlStore):
    """Remembers which tables were made."""

    made: dict[str, int]

    def project(self, *args: Any, **kwargs: Any) -> dict[str, int]:
        self.made = super().project(*args, **kwargs)
        return self.made


async def test_a_changed_model_rebuilds_its_table_once(tmp_path: Path) -> None:
    path = tmp_path / "phone.db"
    store = CountingStore(path)
    async with Replica.open(store, models=[OldContact]) as replica:
        replica.collection(OldContact).create(key="ada", name="Ada", phone="1", notes="n")
        replica.collection(OldContact).create(key="bob", name="Bob")
        replica.collection(OldContact).delete("bob")
    assert store.made == {"contacts": 0}
    for model, made in (
        (OldContact, {}),
        (NewContact, {"contacts": 1}),
        (NewContact, {}),
        (OldContact, {"contacts": 1}),
    ):
        store = CountingStore(path)
        async with Replica.open(store, models=[model]):
            assert store.made == made
    assert table(path)[1] == [("ada", "Ada", "1", None, "n")]


@pytest.mark.slow
async def test_a_table_whose_model_was_left_out_is_made_anew_if_it_fell_behind(
    tmp_path: Path,
) -> None:
    async with Relay(tmp_path / "relay.db", port=0) as relay:
        url = f"{relay.url}/crm"
        path = tmp_path / "phone.db"
        async with Replica.open(path, models=[OldContact], relay=url) as replica:
            contacts = replica.collection(OldContact)
            contacts.create(key="ada", name="Ada")
            await replica.synced()
        store = CountingStore(path)
        async with Replica.open(store, relay=url) as replica:
            await replica.synced()
        async with Replica.open(store, models=[OldContact]):
            assert store.made == {}  # nothing happened meanwhile
        async with Replica.open(tmp_path / "other.db", models=[OldContact], relay=url) as other:
            await other.synced()
            other.collection(OldContact)["ada"].name = "Ada Lovelace"
            await other.synced()
        async with Replica.open(path, relay=url) as replica:  # knows no records
            await replica.synced()
        async with Replica.open(store, models=[OldContact]) as replica:
            assert store.made == {"contacts": 1}
            named = replica.collection(OldContact).where(OldContact.name == "Ada Lovelace")
            assert named.count() == 1


async def test_a_new_default_stands_in_rows_that_nobody_wrote(tmp_path: Path) -> None:
    class Before(Record, collection="contacts"):
        name: str

    class After(Record, collection="contacts"):
        name: str
        rating: int = 4
        seen: list[str] = field(default_factory=list)

    async with Replica.open(tmp_path / "phone.db", models=[Before]) as replica:
        replica.collection(Before).create(key="ada", name="Ada")
    async with Replica.open(tmp_path / "phone.db", models=[After]) as replica:
        assert replica.collection(After).where(After.rating == 4).count() == 1
    assert table(tmp_path / "phone.db")[1] == [("ada", "Ada", 4, "[]")]


async def test_a_field_of_another_type_shows_what_it_can(tmp_path: Path) -> None:
    class Before(Record, collection="contacts"):
        size: str

    class After(Record, collection="contacts"):
        size: int | None = None

    class Counted(Record, collection="contacts"):
        size: Text

    path = tmp_path / "phone.db"
    async with Replica.open(path, models=[Before]) as replica:
        replica.collection(Before).create(key="ada", size="large")
    async with Replica.open(path, models=[After]) as replica:
        replica.collection(After).create(key="bob", size=3)
    assert table(path)[1] == [("ada", None), ("bob", 3)]
    with pytest.raises(SchemaMismatch, match=r"contacts\.size is declared as a text"):
        async with Replica.open(path, models=[Counted]):
            pass


async def test_conflicts_of_a_renamed_field(tmp_path: Path) -> None:
    async with Relay(tmp_path / "relay.db", port=0) as relay:
        url = f"{relay.url}/crm"
        async with (
            Replica.open(tmp_path / "one.db", models=[NewContact], relay=url) as one,
            Replica.open(tmp_path / "two.db", models=[OldContact], relay=url) as two,
        ):
            ada = one.collection(NewContact).create(key="ada", name="Ada")
            await one.synced()
            await two.synced()
            ada.mobile = "1"
            two.collection(OldContact)["ada"].phone = "2"
            await one.synced()
            await two.synced()
            await one.synced()
            (conflict,) = ada.conflicts()
            assert conflict.field == "mobile"
            assert {each.value for each in conflict.values} == {"1", "2"}


class Stage(Enum):
    LEAD = "lead"


class NewStage(Enum):
    LEAD = "lead"
    VIP = "vip"


class Older(Record, collection="deals"):
    stage: Stage
    kind: Literal["a"] = "a"
    path: list[Stage] = field(default_factory=list[Stage])
    marks: SetOf[Stage]
    named: MapOf[Stage]


class Newer(Record, collection="deals"):
    stage: NewStage
    kind: Literal["a", "b"] = "a"
    path: list[NewStage] = field(default_factory=list[NewStage])
    marks: SetOf[NewStage]
    named: MapOf[NewStage]


async def test_members_that_only_a_newer_version_knows_survive_an_older_ones_edits(
    tmp_path: Path,
) -> None:
    vip = NewStage.VIP
    async with Relay(tmp_path / "relay.db", port=0) as relay:
        url = f"{relay.url}/crm"
        async with (
            Replica.open(tmp_path / "old.db", models=[Older], relay=url) as old,
            Replica.open(tmp_path / "new.db", models=[Newer], relay=url) as new,
        ):
            deals = new.collection(Newer)
            deals.create(key="a", stage=vip, kind="b", path=[vip], marks=[vip], named={"x": vip})
            await new.synced()
            await old.synced()
            theirs: Any = old.collection(Older)["a"]
            assert (theirs.stage, theirs.stage.value, theirs.kind) == ("vip", "vip", "b")
            theirs.path += [Stage.LEAD]
            theirs.stage = theirs.stage
            theirs.update(kind=theirs.kind)
            theirs.named["y"] = theirs.named["x"]
            (mark,) = theirs.marks
            theirs.marks.discard(mark)
            theirs.marks |= {mark, Stage.LEAD}
            copy = old.collection(Older).create(key="b", **theirs.to_dict())
            assert copy.to_dict() == theirs.to_dict()
            for value in ("vip", "led"):
                with pytest.raises(WrongType, match=r"deals\.stage takes Stage, not str"):
                    theirs.stage = value
            await old.synced()
            await new.synced()
            for key in ("a", "b"):
                deal = deals[key]
                assert (deal.stage, deal.kind, deal.path) == (vip, "b", [vip, NewStage.LEAD])
                assert deal.marks == {vip, NewStage.LEAD}
                assert deal.named == {"x": vip, "y": vip}


def test_names_that_cannot_be() -> None:
    for wrong in ("", "a/b", "a:b", "$live", "_x", "a b"):
        with pytest.raises(SchemaError, match="cannot be stored as"):

            class Wrong(Record, collection="things"):
                name: str = field(default="", stored_as=wrong)

    with pytest.raises(SchemaError, match=r"things\.a and things\.b are both stored as 'a'"):

        class Twice(Record, collection="things"):
            a: str
            b: str = field(default="", stored_as="a")

    with pytest.raises(SchemaError, match=r"things\.Name cannot have a column"):

        class Cases(Record, collection="things"):
            name: str
            Name: str

    with pytest.raises(SchemaError, match=r"things\.workspace cannot have a column"):

        class Taken(Record, collection="things"):
            workspace: str

    with pytest.raises(SchemaError, match="too long for a column"):

        class Long(Record, collection="things"):
            aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: str

    for name in ("syncline_things", "sqlite_things"):
        with pytest.raises(SchemaError, match="cannot be named"):

            class Reserved(Record, collection=name):
                name: str
