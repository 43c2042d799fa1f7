"""What people try: update, delete, |=, JSON, slices, and keys and items of wrong types."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

import syncline
from syncline import Counter, ListOf, MapOf, Record, Relay, Replica, SetOf, Text, field
from syncline.engine.errors import (
    InvalidName,
    OutOfRange,
    RecordNotFound,
    SynclineError,
    UnknownField,
    ValueRefused,
    WrongType,
)
from syncline.stores import MemoryStore
from tests.replica.test_sync import settle


class Stage(Enum):
    LEAD = "lead"
    WON = "won"


class Contact(Record, collection="contacts"):
    name: str
    phone: str | None = None
    stage: Stage = Stage.LEAD
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    names: list[str] = field(default_factory=list[str])
    any: Any = None
    notes: Text
    visits: Counter
    tags: SetOf[str]
    extra: MapOf[list[int]]
    items: ListOf[str]
    owner: str = field(default="", on_conflict="surface")


class Older(Record, collection="older"):
    """Has fields by the names of methods that came later."""

    update: str = "u"  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    delete: bool = False  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    async with Replica.open(MemoryStore(), models=[Contact, Older]) as replica:
        yield replica


@pytest.fixture
def ada(replica: Replica) -> Contact:
    return replica.collection(Contact).create(key="ada", name="Ada", notes="héllo")


# Values that were read


async def test_a_value_that_was_read_cannot_be_changed_in_silence(
    replica: Replica, ada: Contact
) -> None:
    ada.options, ada.names, ada.any = {"a": [1]}, ["x"], {"deep": [{"er": []}]}
    ada.extra["k"] = [1]
    changes: list[Callable[[], Any]] = [
        lambda: ada.options.update(b=2),
        lambda: ada.options["a"].append(2),
        lambda: ada.names.append("y"),
        lambda: ada.any["deep"][0]["er"].append(1),
        lambda: ada.extra["k"].append(2),
        lambda: next(iter(ada.extra.values())).append(2),
        lambda: dict(ada.extra)["k"].append(2),
    ]
    before = ada.to_dict()
    for change in changes:
        with pytest.raises(WrongType, match=r"in contacts\.\w+ cannot be changed in place"):
            change()
    assert ada.to_dict() == before
    # These assign, and so are writes.
    ada.options |= {"b": 2}
    ada.names += ["y"]
    ada.extra["k"] = [*ada.extra["k"], 2]
    assert (ada.options, ada.names) == ({"a": [1], "b": 2}, ["x", "y"])
    assert ada.extra == {"k": [1, 2]}
    assert isinstance(ada.names, list)
    assert isinstance(ada.options, dict)
    # One record's value given to another, or taken out and worked with, is a copy.
    bob = replica.collection(Contact).create(name="Bob", options=ada.options, names=ada.names)
    taken = bob.to_dict()
    taken["options"]["a"].append(3)
    taken["names"].append("z")
    taken["extra"]["k"] = 1
    ada.to_dict()["extra"]["k"].append(5)
    assert (bob.options, bob.names) == (ada.options, ada.names)
    assert ada.extra == {"k": [1, 2]}


async def test_a_default_is_not_shared_by_records(replica: Replica, ada: Contact) -> None:
    bob = replica.collection(Contact).create(name="Bob")
    with pytest.raises(WrongType):
        ada.names.append("x")
    assert bob.names == []


async def test_documents_without_a_schema_do_as_records(replica: Replica) -> None:
    page = replica.document("pages/welcome")
    meta, rows = page.map("meta"), page.array("rows")
    meta["a"] = {"b": [1]}
    rows.append({"c": [1]})
    changes: list[Callable[[], Any]] = [
        lambda: meta["a"]["b"].append(2),
        lambda: meta.get("a").pop("b"),
        lambda: rows[0].update(c=2),
        lambda: next(iter(rows))["c"].append(2),
        lambda: rows[0:1][0].pop("c"),
    ]
    for change in changes:
        with pytest.raises(WrongType, match="cannot be changed in place"):
            change()
    meta.to_plain()["a"]["b"].append(2)
    rows.to_plain()[0]["c"].append(2)
    meta["copy"] = meta["a"]
    assert meta.to_plain() == {"a": {"b": [1]}, "copy": {"b": [1]}}
    assert rows.to_plain() == [{"c": [1]}]


# Methods


async def test_update_is_all_or_nothing(replica: Replica, ada: Contact) -> None:
    changes = replica.collection(Contact).changes()
    ada.update(name="Ada L.", phone="1", stage=Stage.WON)
    change = await anext(changes)
    assert (change.kind, change.fields) == ("updated", ("name", "phone", "stage"))
    before = ada.to_dict()
    with pytest.raises(UnknownField, match="no field 'phnoe'"):
        ada.update(name="x", phnoe="1")
    with pytest.raises(WrongType, match=r"contacts\.phone takes str \| None, not int"):
        ada.update(name="x", phone=1)
    with pytest.raises(ValueRefused):
        ada.update(name="x", phone="\ud800")
    with pytest.raises(WrongType, match=r"contacts\.tags is a SetOf, which is edited"):
        ada.update(name="x", tags={"a"})
    assert ada.to_dict() == before
    ada.update()
    assert ada.to_dict() == before


async def test_delete(replica: Replica, ada: Contact) -> None:
    contacts = replica.collection(Contact)
    ada.delete()
    assert "ada" not in contacts
    for again in (ada.delete, lambda: ada.update(name="x"), lambda: contacts.delete("ada")):
        with pytest.raises(RecordNotFound):
            again()


async def test_fields_called_like_methods_stay_fields(replica: Replica) -> None:
    older = replica.collection(Older)
    record = older.create(key="a", update="x")
    record.update = "y"
    assert record.to_dict() == {"update": "y", "delete": False}
    older.delete("a")
    assert len(older) == 0


async def test_sets_and_maps(ada: Contact) -> None:
    ada.tags |= {"a", "b", "c"}
    ada.tags.update(["d", "d"])
    ada.tags -= {"a", "zzz"}
    ada.tags.remove("b")
    assert ada.tags == {"c", "d"}
    with pytest.raises(KeyError):
        ada.tags.remove("b")
    with pytest.raises(WrongType):
        ada.tags.update(["x", 5])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    assert ada.tags == {"c", "d"}
    ada.tags.clear()
    ada.tags.clear()
    assert not ada.tags

    odd: Any = ada
    ada.extra.update({"a": [1], "b": [2]})
    ada.extra |= {"c": [3]}
    assert (ada.extra.keys(), ada.extra.values()) == (["a", "b", "c"], [[1], [2], [3]])
    assert dict(ada.extra) == {**ada.extra} == ada.extra
    assert (ada.extra.pop("a"), ada.extra.pop("a", [0])) == ([1], [0])
    with pytest.raises(KeyError):
        ada.extra.pop("a")
    with pytest.raises(WrongType):
        odd.extra.update({"x": [1], "y": "no"})
    assert ada.extra == {"b": [2], "c": [3]}
    ada.extra.clear()
    assert not ada.extra


async def test_lists(ada: Contact) -> None:
    ada.items += ["a", "b", "c", "b"]
    assert (ada.items[1:3], ada.items[::-2]) == (["b", "c"], ["b", "b"])
    assert ada.items.index("b") == 1
    ada.items.remove("b")
    del ada.items[:1]
    assert list(ada.items) == ["c", "b"]
    ada.items.clear()
    ada.items.clear()
    assert not ada.items
    wrong: Any = ada.items
    with pytest.raises(WrongType, match=r"An index of contacts\.items must be an int, not str"):
        wrong["0"]
    with pytest.raises(WrongType, match=r"must be an int, not slice.*one by one"):
        wrong[0:1] = ["x"]
    with pytest.raises(ValueError, match="not in list"):
        ada.items.remove("x")


async def test_a_conflict_names_its_devices(tmp_path: Path) -> None:
    async with (
        Relay(tmp_path / "relay.db", port=0) as relay,
        Replica.open(MemoryStore(), models=[Contact], relay=f"{relay.url}/crm") as one,
        Replica.open(MemoryStore(), models=[Contact], relay=f"{relay.url}/crm") as two,
    ):
        one.collection(Contact).create(key="x", name="x")
        await settle(one, two)
        assert one.client_id != two.client_id
        one.collection(Contact)["x"].owner = "one"
        two.collection(Contact)["x"].owner = "two"
        await settle(one, two)
        (conflict,) = one.collection(Contact)["x"].conflicts()
        written = {each.value: each.client_id for each in conflict.values}
        assert written == {"one": one.client_id, "two": two.client_id}


async def test_counters_and_texts_in_conditions_and_formats(ada: Contact) -> None:
    assert not ada.visits  # a count of none is false, as 0 is
    ada.visits += 7
    assert bool(ada.visits) is True
    assert f"{ada.visits:03d}|{ada.notes:>7}" == "007|  héllo"
    assert (ada.notes[1], ada.notes[-1], ada.notes[1:3], ada.notes[::-1]) == (
        "é", "o", "él", "olléh",
    )  # fmt: skip
    with pytest.raises(OutOfRange):
        ada.notes[5]
    assert (5 in ada.notes, "él" in ada.notes) == (False, True)


# Wrong types


async def test_wrong_keys_and_positions(replica: Replica, ada: Contact) -> None:
    contacts: Any = replica.collection(Contact)
    odd: Any = ada
    page: Any = replica.document("pages/welcome")
    rows, meta = page.array("rows"), page.map("meta")
    rows.append(1)
    cases: list[tuple[Callable[[], Any], type[Exception], str]] = [
        (
            lambda: contacts.create(key=3, name="x"),
            InvalidName,
            "The key 3 is of type int, not str",
        ),
        (lambda: contacts.create(key=b"x", name="x"), InvalidName, "of type bytes"),
        (lambda: replica.document(odd.visits), InvalidName, "The address .* not str"),
        (lambda: contacts[3], RecordNotFound, "There is no record contacts/3"),
        (lambda: contacts[["a"]], RecordNotFound, "There is no record"),
        (lambda: contacts.delete(3), RecordNotFound, "There is no record"),
        (lambda: odd.extra[3], WrongType, r"A key of contacts\.extra must be str, not int"),
        (lambda: odd.extra[["a"]], WrongType, "must be str, not list"),
        (lambda: odd.extra.pop(3), WrongType, "must be str, not int"),
        (lambda: odd.extra.__delitem__(3), WrongType, "must be str, not int"),
        (lambda: odd.extra[1:2], WrongType, "must be str, not slice"),
        (lambda: odd.extra.update({3: [1]}), WrongType, "must be str, not int"),
        (lambda: odd.notes["a"], WrongType, r"contacts\.notes is indexed by int, not str"),
        (lambda: odd.notes.insert("a", "x"), WrongType, "is addressed by int, not str"),
        (lambda: odd.notes.insert(1.0, "x"), WrongType, "is addressed by int, not float"),
        (lambda: odd.notes.delete(0, "x"), WrongType, "is addressed by int, not str"),
        (lambda: rows["a"], WrongType, "pages/welcome:rows is indexed by int, not str"),
        (lambda: rows.insert("a", 1), WrongType, "is indexed by int, not str"),
        (lambda: rows.__delitem__("a"), WrongType, "is indexed by int, not str"),
        (lambda: meta[3], WrongType, "must be str, not int"),
        (lambda: meta[["a"]], WrongType, "must be str, not list"),
    ]
    for call, kind, sentence in cases:
        with pytest.raises(kind, match=sentence) as refused:
            call()
        assert isinstance(refused.value, SynclineError)
        assert refused.value.hint
    assert [3 in contacts, ["a"] in contacts, contacts.get(3)] == [False, False, None]
    assert [3 in odd.extra, ["a"] in odd.extra, 3 in meta, ["a"] in meta] == [False] * 4
    assert rows[0:5] == [1]
    assert ada.to_dict()["notes"] == "héllo"


# JSON


async def test_to_dict_can_be_json(replica: Replica) -> None:
    class Everything(Record, collection="everything"):
        a: Decimal = Decimal("1.50")
        b: datetime = datetime(2026, 1, 31, 12, tzinfo=UTC)
        c: date = date(2026, 1, 31)
        d: time = time(12, 30)
        e: timedelta = timedelta(minutes=1.5)
        f: bytes = b"\x00\xff"
        g: UUID = UUID(int=1)
        h: Stage = Stage.WON
        i: list[Stage] = field(default_factory=lambda: [Stage.LEAD])
        j: dict[str, Any] = field(default_factory=lambda: {"k": [Decimal(1)]})
        k: str = "\0"
        l: None = None  # noqa: E741
        m: int = 2**70
        n: Text = Text()
        o: Counter = Counter()
        p: SetOf[Decimal] = SetOf()
        q: MapOf[date] = MapOf()

    record = Everything()
    record.n.append("x")
    record.p.add(Decimal("0.5"))
    record.q["on"] = date(2026, 1, 1)
    plain = record.to_dict(mode="json")
    assert json.loads(json.dumps(plain)) == plain == {
        "a": "1.50",
        "b": "2026-01-31T12:00:00+00:00",
        "c": "2026-01-31",
        "d": "12:30:00",
        "e": 90.0,
        "f": "AP8=",
        "g": "00000000-0000-0000-0000-000000000001",
        "h": "won",
        "i": ["lead"],
        "j": {"k": ["1"]},
        "k": "\0",
        "l": None,
        "m": 2**70,
        "n": "x",
        "o": 0,
        "p": ["0.5"],
        "q": {"on": "2026-01-01"},
    }  # fmt: skip
    assert record.to_dict()["h"] is Stage.WON


def test_dir_lists_the_public_names() -> None:
    assert set(syncline.__all__) <= set(dir(syncline))
    for name in dir(syncline):
        assert getattr(syncline, name) is not None


async def test_queries_that_ask_whether(tmp_path: Path) -> None:
    async with Replica.open(tmp_path / "a.db", models=[Contact]) as replica:
        contacts = replica.collection(Contact)
        for name in "ab":
            contacts.create(name=name)
        query = contacts.where(Contact.name == "a")
        assert query.exists()
        assert query
        assert not contacts.where(Contact.name == "c").exists()
        assert not contacts.where(Contact.name == "c")
        assert not query.offset(1).exists()
        assert not query.limit(0).exists()
