"""Queries: what they find, that they see one's own writes, and what they refuse."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select

from syncline import Collection, Record, Relay, Replica, SetOf, col
from syncline.engine.errors import (
    ReplicaClosed,
    StoreError,
    StoreFailed,
    TransactionConflict,
    UsageError,
)
from syncline.environment import Environment
from syncline.stores import InlineCalls, MemoryStore, SqlStore, Write
from tests.replica.models import Contact, Draft, Stage


class Event(Record, collection="events"):
    title: str
    at: datetime | None = None
    ref: UUID | None = None
    data: bytes = b""
    weight: float = 0.0
    done: bool = False
    parts: list[int] = []  # noqa: RUF012  the default of a field
    kinds: SetOf[Stage]


MODELS: list[type[Record]] = [Contact, Draft, Event]


class FailingStore(SqlStore):
    """Refuses writes while ``failing``, and holds them back while ``gate`` is closed."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.failing = False
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.selects = 0

    def write(self, writes: Sequence[Write]) -> list[int]:
        self.entered.set()
        assert self.gate.wait(60)
        if self.failing:
            raise StoreFailed("The disk is full.", hint="Free some space.", retry_after=0.01)
        return super().write(writes)

    def select(self, statement: Any) -> list[tuple[Any, ...]]:
        self.selects += 1
        return super().select(statement)


@pytest.fixture
def store(tmp_path: Path) -> FailingStore:
    return FailingStore(tmp_path / "phone.db")


@pytest.fixture
async def replica(store: FailingStore) -> AsyncIterator[Replica]:
    async with Replica.open(store, models=MODELS) as opened:
        yield opened
        store.failing = False


@pytest.fixture
def contacts(replica: Replica) -> Collection[Contact]:
    return replica.collection(Contact)


def keys(records: Sequence[Record]) -> list[str]:
    return [record.key for record in records]


async def test_where_order_limit_offset_count(contacts: Collection[Contact]) -> None:
    for key, name, phone in (("c", "Ada", "1"), ("a", "Bob", None), ("b", "Ada", "2")):
        contacts.create(key=key, name=name, phone=phone)
    # As a program writes it that no type checker reads.
    untyped: Any = Contact
    assert keys(contacts.where(untyped.phone.is_not(None)).order_by(untyped.name).all()) == [
        "b",
        "c",
    ]
    assert keys(contacts.where().all()) == ["a", "b", "c"]
    assert keys(contacts.order_by(col(Contact.name).desc(), col(Contact.phone).desc()).all()) == [
        "a",
        "b",
        "c",
    ]
    query = contacts.where(Contact.name == "Ada")
    assert keys(query.where(Contact.phone == "2").all()) == ["b"]
    assert query.count() == 2  # a step gives a new query
    assert keys(query.limit(1).all()) == ["b"]
    assert keys(query.offset(1).all()) == ["c"]
    assert (query.limit(1).count(), query.offset(1).count(), query.limit(0).first()) == (1, 1, None)
    first = query.first()
    assert first is not None
    assert first.name == "Ada"
    assert contacts.where(Contact.key.in_(["a", "x"])).first() == contacts["a"]
    assert contacts.where(Contact.name == "Eve").first() is None
    assert [record.key for record in contacts.where(Contact.name == "Bob")] == ["a"]
    visited = select(Draft.key).where(col(Draft.title) == "about c")
    assert contacts.where(Contact.key.in_(visited)).all() == []


async def test_every_type_is_compared_as_what_it_is(
    contacts: Collection[Contact], replica: Replica
) -> None:
    for credit in ("9", "10", "100.50", "-3", "0"):
        contacts.create(
            key=f"k{credit}", name="x", credit=Decimal(credit), stage=Stage.CUSTOMER, visits=3
        )
    by_credit = contacts.order_by(Contact.credit)
    assert keys(by_credit.all()) == ["k-3", "k0", "k9", "k10", "k100.50"]
    assert contacts.where(Contact.credit > Decimal("9.5")).count() == 2
    assert contacts.where(Contact.credit == Decimal("100.5")).count() == 1
    assert contacts.where(col(Contact.credit).in_([9, Decimal("0.00")])).count() == 2
    assert contacts.where(Contact.stage == Stage.LEAD).count() == 0
    assert contacts.where(Contact.visits >= 3).count() == 5

    events = replica.collection(Event)
    noon = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=5)))
    ref = UUID(int=7)
    events.create(
        key="e",
        title="A_b",
        at=noon,
        ref=ref,
        data=b"\0\xff",
        weight=1,
        done=True,
        parts=[1, 2],
        kinds=[Stage.LEAD],
    )
    events.create(key="f", title="other", parts=[12])
    for criterion in (
        Event.at == datetime(2026, 1, 1, 7, tzinfo=UTC),
        col(Event.at) < datetime(2026, 1, 1, 8, tzinfo=UTC),
        Event.ref == ref,
        Event.data == b"\0\xff",
        Event.weight == 1,
        col(Event.done).is_(True),
        col(Event.parts).contains(2),
        Event.parts == [1, 2],
        col(Event.kinds).contains(Stage.LEAD),
        col(Event.title).like("A%"),
        func.lower(Event.title) == "a_b",
        col(Event.title).contains("_", autoescape=True),
    ):
        assert keys(events.where(criterion).all()) == ["e"], str(criterion)


async def test_a_query_sees_every_change_made_before(
    contacts: Collection[Contact], store: FailingStore
) -> None:
    ada = contacts.create(key="ada", name="Ada")
    assert contacts.where(Contact.name == "Ada").count() == 1
    ada.name = "Lovelace"
    assert contacts.where(Contact.name == "Ada").count() == 0
    assert contacts.where(Contact.name == "Lovelace").all() == [ada]
    contacts.delete("ada")
    assert contacts.where().all() == []
    before = store.selects
    contacts.where().all()
    assert store.selects == before + 1


async def test_a_query_waits_for_the_commit_in_flight(
    contacts: Collection[Contact], replica: Replica, store: FailingStore
) -> None:
    await replica.flushed()
    store.entered.clear()
    store.gate.clear()
    contacts.create(key="a", name="first")
    await asyncio.to_thread(store.entered.wait, 60)  # the loop's commit is in the store
    contacts.create(key="b", name="second")
    threading.Timer(0.05, store.gate.set).start()
    assert keys(contacts.where().all()) == ["a", "b"]
    await replica.flushed()
    assert replica.pending == 2


async def test_a_failed_commit_is_told_and_nothing_later_overtakes_it(
    contacts: Collection[Contact], replica: Replica, store: FailingStore, tmp_path: Path
) -> None:
    store.failing = True
    contacts.create(key="a", name="first")
    with pytest.raises(StoreFailed, match="disk is full"):
        contacts.where().all()
    contacts.create(key="b", name="second")
    with pytest.raises(StoreFailed):
        contacts.where().all()
    store.failing = False
    assert keys(contacts.where().all()) == ["a", "b"]
    await replica.flushed()
    assert replica.status.error is None
    batches = store.outbox("local", limit=10)
    assert [batch.number for batch in batches] == [1, 2]  # the first failed whole, then the second
    page = store.since("local", 0, max_bytes=1 << 20, max_updates=10)
    assert [update.address.key for update in page.updates] == ["a", "b"]


async def test_inside_a_transaction(contacts: Collection[Contact], replica: Replica) -> None:
    contacts.create(key="a", name="Ada")
    with replica.transaction():
        for record in contacts.where(Contact.name == "Ada"):  # nothing has changed yet
            record.phone = "1"
        with pytest.raises(TransactionConflict, match="cannot see the changes"):
            contacts.where().all()
    assert contacts.where(Contact.phone == "1").count() == 1


async def test_wrong_criteria(contacts: Collection[Contact]) -> None:
    wrong: list[Any] = [True, False, "name", None, Draft.title == "x"]
    for criterion in wrong:
        with pytest.raises(UsageError):
            contacts.where(criterion)
    for column in ("name", Draft.title, 1):
        with pytest.raises(UsageError):
            contacts.order_by(column)
    with pytest.raises(UsageError, match=r"speaks of drafts, and the query is of contacts"):
        contacts.where(col(Draft.title) == Contact.name)
    for count in (-1, 1.5, None, True):
        with pytest.raises(UsageError, match="not a number of records"):
            contacts.where().limit(count)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(UsageError, match="cannot be executed"):
        contacts.where(Contact.visits == 2**70).all()
    with pytest.raises(UsageError, match="no such function"):
        contacts.where(func.nonsense(Contact.name) == 1).all()
    with pytest.raises(UsageError, match="not a field"):
        col("name")
    assert contacts.where().all() == []  # the store is none the worse


async def test_what_a_column_cannot_hold_is_null_and_stays_exact(
    contacts: Collection[Contact], replica: Replica, caplog: pytest.LogCaptureFixture
) -> None:
    ada = contacts.create(key="ada", name="nul \0", visits=2**63, credit=Decimal("1E+40"))
    contacts.create(key="bob", name="nul \0 too")
    assert contacts.where(col(Contact.name).is_(None), col(Contact.visits).is_(None)).all() == [ada]
    assert contacts.where(col(Contact.credit).is_(None)).all() == [ada]
    assert (int(ada.visits), ada.name, ada.credit) == (2**63, "nul \0", Decimal("1E+40"))
    await replica.flushed()
    told = [record.message for record in caplog.records if "contacts.name" in record.message]
    assert len(told) == 1
    assert "contacts.visits" in caplog.text


async def test_a_closed_replica_and_a_store_without_sql(tmp_path: Path) -> None:
    async with Replica.open(tmp_path / "a.db", models=MODELS) as replica:
        query = replica.collection(Contact).where()
        changes = query.changes()
        made = replica.collection(Contact).create(key="last", name="Ada")
    with pytest.raises(ReplicaClosed, match="closed"):
        query.all()
    assert [(change.kind, change.record) async for change in changes] == [("created", made)]
    async with Replica.open(MemoryStore(), models=MODELS) as replica:
        with pytest.raises(UsageError, match="memory store has no SQL"):
            replica.collection(Contact).where().all()


async def test_without_a_thread(tmp_path: Path) -> None:
    environment = Environment(store_thread=InlineCalls)
    async with Replica.open(tmp_path / "a.db", models=MODELS, environment=environment) as replica:
        contacts = replica.collection(Contact)
        contacts.create(key="a", name="Ada")
        assert keys(contacts.where(Contact.name == "Ada").all()) == ["a"]


async def test_a_live_query(contacts: Collection[Contact], replica: Replica) -> None:
    ada = contacts.create(key="ada", name="Ada", visits=1)
    contacts.create(key="bob", name="Bob")
    changes = contacts.where(Contact.visits > 0).order_by(Contact.name).limit(1).changes()

    async def next_one() -> tuple[str, str, tuple[str, ...]]:
        async with asyncio.timeout(60):
            change = await anext(changes)
        return change.kind, change.record.key, change.fields

    ada.phone = "1"
    assert await next_one() == ("updated", "ada", ("phone",))
    contacts["bob"].phone = "2"  # not in the result, before or after
    contacts["bob"].visits += 1
    assert await next_one() == ("created", "bob", ("phone", "visits"))
    ada.visits -= 1
    assert await next_one() == ("deleted", "ada", ("visits",))
    contacts.delete("bob")
    contacts.delete("ada")
    assert (await next_one())[:2] == ("deleted", "bob")
    contacts.create(key="eve", name="Eve", visits=2)
    assert (await next_one())[:2] == ("created", "eve")
    await replica.flushed()


async def test_a_live_query_hears_of_other_devices(tmp_path: Path) -> None:
    async with Relay(tmp_path / "relay.db", port=0) as relay:
        url = f"{relay.url}/crm"
        async with (
            Replica.open(tmp_path / "one.db", models=MODELS, relay=url) as one,
            Replica.open(tmp_path / "two.db", models=MODELS, relay=url) as two,
        ):
            changes = two.collection(Contact).where(Contact.name == "Ada").changes()
            one.collection(Contact).create(key="bob", name="Bob")
            one.collection(Contact).create(key="ada", name="Ada", born=date(1815, 12, 10))
            async with asyncio.timeout(60):
                change = await anext(changes)
            assert (change.kind, change.record.key, change.origin) == ("created", "ada", "remote")
            assert two.collection(Contact).where(Contact.born == date(1815, 12, 10)).count() == 1


async def test_a_live_query_tells_that_the_disk_fails_and_goes_on(
    contacts: Collection[Contact], store: FailingStore
) -> None:
    changes = contacts.where().changes()
    store.failing = True
    contacts.create(key="a", name="Ada")
    async with asyncio.timeout(60):
        with pytest.raises(StoreError):
            await anext(changes)
        store.failing = False
        assert keys(contacts.where().all()) == ["a"]
        change = await anext(changes)
    assert (change.kind, change.record.key) == ("created", "a")
