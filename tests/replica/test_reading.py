"""Reading many records: from the table without a document each, and documents many at once."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import pytest

from syncline import Collection, Counter, ListOf, MapOf, Record, Replica, SetOf, Text, col
from syncline.engine.errors import ReplicaClosed, TransactionConflict, UnknownField, UsageError
from syncline.engine.names import Address
from syncline.replica import collection as collection_module
from syncline.stores import MemoryStore, SqlStore, StoredDocument
from tests.replica.models import Contact, Draft

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Newer(Enum):
    RED = "red"
    GREEN = "green"


class Everything(Record, collection="everything"):
    text: str = "ü"
    number: int = -(1 << 63)
    ratio: float = 0.1
    whole: float = 2.0
    flag: bool = True
    amount: Decimal = Decimal("12.50")
    at: datetime = NOON
    day: date = date(2026, 2, 1)
    clock: time = time(12, 30, 1, 5)
    span: timedelta = timedelta(days=1, microseconds=3)
    data: bytes = b"\x00\xff"
    ident: UUID = UUID(int=5)
    level: Level = Level.HIGH
    color: Color | None = Color.BLUE
    mood: Literal["good", "bad"] = "bad"
    either: int | str = "7"
    maybe: Decimal | int | None = Decimal("1.5")
    nothing: int | None = None
    listed: list[Decimal] = []  # noqa: RUF012  the default of a field
    nested: dict[str, list[date | None]] = {}  # noqa: RUF012
    anything: Any = None
    notes: Text
    count: Counter
    tags: SetOf[Color]
    days: SetOf[date]
    parts: ListOf[bytes]
    prices: MapOf[Decimal]
    spans: MapOf[timedelta | None]


MODELS: list[type[Record]] = [Contact, Draft, Everything]


class CountingStore(SqlStore):
    """Counts what is read: SELECTs of tables, and documents by the calls that load them."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.selects = 0
        self.loads: list[int] = []

    def select(self, statement: Any) -> list[tuple[Any, ...]]:
        self.selects += 1
        return super().select(statement)

    def load(self, workspace: str, address: Address) -> StoredDocument | None:
        self.loads.append(1)
        return super().load(workspace, address)

    def load_many(self, workspace: str, addresses: Sequence[Address]) -> list[StoredDocument]:
        self.loads.append(len(addresses))
        return super().load_many(workspace, addresses)


def in_row(record: Record, mode: Literal["python", "json"] = "python") -> dict[str, Any]:
    """``to_dict`` as a row has it, where sets are sorted by what is stored."""
    content, spelled = record.to_dict(mode=mode), record.to_dict(mode="json")
    for name, spec in record.__schema__.fields.items():
        if spec.view is SetOf:
            pairs = zip(spelled[name], content[name], strict=True)
            content[name] = [value for _, value in sorted(pairs, key=lambda pair: pair[0])]
    return content


@pytest.fixture
async def store(tmp_path: Path) -> CountingStore:
    path = tmp_path / "phone.db"
    async with Replica.open(path, models=MODELS) as replica:
        for key in "abcde":
            replica.collection(Contact).create(key=key, name=f"Ada {key}", tags={"x", key})
    return CountingStore(path)


@pytest.fixture
async def replica(store: CountingStore) -> AsyncIterator[Replica]:
    async with Replica.open(store, models=MODELS) as opened:
        store.selects, store.loads = 0, []
        yield opened


@pytest.fixture
def contacts(replica: Replica) -> Collection[Contact]:
    return replica.collection(Contact)


async def test_rows_are_what_to_dict_gives_and_no_document_is_opened(
    contacts: Collection[Contact], store: CountingStore
) -> None:
    rows = list(contacts.where().rows())
    names = list(contacts.values("name"))
    assert store.loads == []
    assert rows == [in_row(record) for record in contacts]
    assert names == [record.name for record in contacts] == [f"Ada {key}" for key in "abcde"]
    assert list(contacts.rows()) == rows
    assert list(contacts.order_by(col(Contact.name).desc()).rows()) == rows[::-1]


async def test_values_of_one_field_are_plain_and_of_several_are_tuples(
    contacts: Collection[Contact],
) -> None:
    found = contacts.where(Contact.key < "c")
    assert list(found.values("key", "name")) == [("a", "Ada a"), ("b", "Ada b")]
    assert list(found.values(Contact.name)) == ["Ada a", "Ada b"]
    assert list(found.values(Contact.key, "tags")) == [("a", ["a", "x"]), ("b", ["b", "x"])]
    with pytest.raises(UnknownField, match=r"^contacts has no field 'nam'\.") as unknown:
        found.values("nam")
    assert "name" in unknown.value.hint
    with pytest.raises(UsageError, match=r"was given no field"):
        found.values()
    with pytest.raises(UsageError, match=r"is no field of contacts"):
        found.values(col(Contact.name).desc())
    with pytest.raises(UsageError, match=r"^0 is no size of a page"):
        found.values("name", page=0)


@pytest.mark.parametrize("ordered", [False, True])
async def test_a_page_is_one_select(
    contacts: Collection[Contact], store: CountingStore, ordered: bool
) -> None:
    query = contacts.order_by(col(Contact.name).desc()) if ordered else contacts.where()
    keys = list("edcba" if ordered else "abcde")
    first = 1 if ordered else 0  # the keys, in order
    assert list(query.values("key", page=2)) == keys
    assert store.selects == first + 3
    assert [key async for key in query.values("key", page=2)] == keys
    assert [row["name"][-1] async for row in query.rows(page=2)] == keys
    assert list(query.offset(1).limit(3).values("key", page=2)) == keys[1:4]
    assert list(query.offset(1).values("key", page=2)) == keys[1:]
    assert list(query.limit(2).values("key", page=2)) == keys[:2]
    assert list(query.limit(0).values("key", page=2)) == []
    assert list(query.where(Contact.key == "z").values("key", page=2)) == []
    store.selects = 0
    assert list(query.values("key", page=5)) == keys
    assert store.selects == 2  # of the order, or of a page that is empty


async def test_what_the_program_wrote_is_seen(contacts: Collection[Contact]) -> None:
    contacts["a"].name = "Bob"
    contacts.delete("b")
    assert list(contacts.values("name")) == ["Bob", "Ada c", "Ada d", "Ada e"]
    contacts["c"].name = "Cid"
    assert [name async for name in contacts.values("name")] == ["Bob", "Cid", "Ada d", "Ada e"]


async def test_a_loop_may_change_what_it_reads_in_a_transaction_too(
    contacts: Collection[Contact], replica: Replica
) -> None:
    with replica.transaction():
        for key in contacts.values("key", page=2):
            contacts[key].phone = key
        with pytest.raises(TransactionConflict):
            list(contacts.values("key"))
    assert list(contacts.values("phone")) == list("abcde")
    seen: list[str] = []
    for key in contacts.order_by(Contact.name).values("key", page=2):
        seen.append(key)
        if key == "a":
            contacts.delete("c")
            assert "c" not in list(contacts.values("key"))  # which saves it
    assert seen == list("abde")


async def test_nothing_is_read_after_the_closing(store: CountingStore) -> None:
    async with Replica.open(store, models=MODELS) as replica:
        contacts = replica.collection(Contact)
        begun = iter(contacts.values("key", page=2))
        going = aiter(contacts.values("key", page=2))
        assert (next(begun), await anext(going)) == ("a", "a")
        assert (next(begun), await anext(going)) == ("b", "b")
    with pytest.raises(ReplicaClosed):
        next(begun)
    with pytest.raises(ReplicaClosed):
        await anext(going)


async def test_every_type_comes_back_as_it_went_in(replica: Replica) -> None:
    records = replica.collection(Everything)
    records.create(key="defaults")
    records.create(
        key="given",
        listed=[Decimal("1.10"), Decimal(2)],
        nested={"a": [date(2026, 1, 1), None], "b": []},
        anything={"x": [1, "y", None, 2.5]},
        maybe=3,
        color=None,
        either=7,
        notes="long\ntext",
        count=3,
        tags={Color.BLUE, Color.RED},
        days={date(2026, 1, 2), date(2025, 1, 2)},
        parts=[b"\xff", b""],
        prices={"a": Decimal("0.10")},
        spans={"a": timedelta(hours=1), "b": None},
    )
    kept = {record.key: in_row(record) for record in records}
    in_json = [in_row(record, "json") for record in records]
    for row, key in zip(records.rows(), records.values("key"), strict=True):
        assert row == kept[key]
        assert [type(row[name]) for name in row] == [type(kept[key][name]) for name in row]
    rows = list(records.rows(mode="json"))
    assert rows == in_json
    assert json.loads(json.dumps(rows)) == rows
    row = next(iter(records.rows()))
    row["listed"].append(Decimal(1))  # the caller's own
    assert next(iter(records.rows())) == kept["defaults"]


async def test_what_a_column_cannot_hold_exactly_is_as_the_column_has_it(replica: Replica) -> None:
    records = replica.collection(Everything)
    records.create(
        text="a\0b",
        number=1 << 63,
        at=datetime(2026, 1, 31, 14, tzinfo=timezone(timedelta(hours=2))),
        anything=Decimal("1.5"),
    )
    found = next(iter(records.values("text", "number", "at", "anything")))
    assert found == (None, None, NOON, "1.5")
    assert found[2].tzinfo is UTC


async def test_members_that_only_another_version_knows_are_kept(tmp_path: Path) -> None:
    class New(Record, collection="everything"):
        color: Newer | None = None
        tags: SetOf[Newer]

    class Old(Record, collection="everything"):
        color: Color | None = None
        tags: SetOf[Color]

    async with Replica.open(tmp_path / "a.db", models=[New]) as replica:
        replica.collection(New).create(color=Newer.GREEN, tags={Newer.GREEN, Newer.RED})
    async with Replica.open(tmp_path / "a.db", models=[Old]) as replica:
        old = replica.collection(Old)
        (row,) = old.rows()
        assert row == in_row(next(iter(old)))
        assert (row["color"], row["color"].value) == ("green", "green")
        assert Color.RED in row["tags"]


async def test_a_memory_store_has_no_rows() -> None:
    async with Replica.open(MemoryStore(), models=MODELS) as replica:
        with pytest.raises(UsageError, match=r"no SQL tables"):
            list(replica.collection(Contact).rows())


# Documents, many at once


@pytest.fixture
def read_two_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    from syncline.replica import query as query_module

    for module in (collection_module, query_module):
        monkeypatch.setattr(module, "READ_AHEAD", 2)


@pytest.mark.usefixtures("read_two_ahead")
async def test_a_loop_over_records_loads_their_documents_together(
    contacts: Collection[Contact], store: CountingStore
) -> None:
    assert [str(record.notes) for record in contacts] == [""] * 5
    assert store.loads == [2, 2, 1]


@pytest.mark.usefixtures("read_two_ahead")
async def test_so_does_one_over_a_query(
    contacts: Collection[Contact], store: CountingStore
) -> None:
    found = contacts.where(Contact.key > "a").order_by(col(Contact.name).desc())
    assert [len(record.tags) async for record in found] == [2] * 4
    assert store.loads == [2, 2]


@pytest.mark.usefixtures("read_two_ahead")
async def test_loops_inside_each_other_load_each_document_once(
    contacts: Collection[Contact], store: CountingStore
) -> None:
    pairs = [(len(a.tags), len(b.tags)) for a in contacts for b in contacts]
    assert pairs == [(2, 2)] * 25
    assert sum(store.loads) == 5


async def test_who_reads_no_field_loads_nothing(
    contacts: Collection[Contact], store: CountingStore
) -> None:
    assert [record.key async for record in contacts] == list("abcde")
    assert store.loads == []


async def test_documents_that_do_not_fit_in_memory_are_loaded_one_by_one(
    store: CountingStore,
) -> None:
    async with Replica.open(store, models=MODELS, max_documents=2) as replica:
        store.loads = []
        assert [len(record.tags) for record in replica.collection(Contact)] == [2] * 5
        assert store.loads == [1] * 5
