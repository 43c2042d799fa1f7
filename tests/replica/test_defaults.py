"""Defaults are written when a record is created: every reader, replica, row and query sees the
same, and a class that changes its defaults changes nothing old."""

# pyright: reportUnusedClass=false
# (defining a record class is what raises)

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncline import Record, Relay, Replica, SetOf, Text, col, field
from syncline.engine.document.cells import cells_of
from syncline.engine.document.document import Document
from syncline.engine.errors import SchemaError, WrongType
from syncline.engine.names import Address
from syncline.engine.records.schema import REGISTERS
from syncline.records.lifecycle import new_record, write_new
from syncline.stores import MemoryStore
from tests.engine.devices import Device, exchange
from tests.replica.test_sync import settle


class State(Enum):
    PLANNED = "planned"
    DONE = "done"


START = datetime(2026, 1, 1, tzinfo=UTC)
CLOCK = iter(range(10**9))


class Job(Record, collection="jobs"):
    name: str
    ident: UUID = field(default_factory=uuid4)
    made: datetime = field(default_factory=lambda: START + timedelta(seconds=next(CLOCK)))
    state: State = State.PLANNED
    count: int = 5
    options: dict[str, int] = field(default_factory=dict[str, int])
    remark: str | None = None
    budget: Decimal = field(default=Decimal(9), on_conflict="min")
    contact: str | None = field(default=None, on_conflict="surface")
    notes: Text
    tags: SetOf[str]


def rows(path: Path, columns: str = "*", table: str = "jobs") -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(f"SELECT {columns} FROM {table} ORDER BY key").fetchall()


async def test_every_reader_sees_the_same(tmp_path: Path) -> None:
    async with Relay(tmp_path / "relay.db", port=0, models=[Job]) as relay:
        url = f"{relay.url}/crm"
        async with (
            Replica.open(tmp_path / "one.db", models=[Job], relay=url) as one,
            Replica.open(tmp_path / "two.db", models=[Job], relay=url) as two,
        ):
            job = one.collection(Job).create(key="a", name="x")
            ident, made = job.ident, job.made
            assert (job.ident, job.made) == (ident, made)
            await settle(one, two)
            assert one.to_dict() == two.to_dict()
            for replica in (one, two):
                jobs = replica.collection(Job)
                assert jobs.where(Job.ident == ident, Job.made == made).count() == 1
                assert jobs.where(Job.state == State.PLANNED, Job.count == 5).count() == 1
            before = one.to_dict()
    columns = "ident, state, count, options"
    wanted = [(str(ident), "planned", 5, "{}")]
    for name in ("one", "two", "relay"):
        assert rows(tmp_path / f"{name}.db", columns) == wanted
    async with Replica.open(tmp_path / "one.db", models=[Job]) as one:
        assert one.to_dict() == before


async def test_a_changed_default_changes_nothing_old(tmp_path: Path) -> None:
    class Before(Record, collection="jobs"):
        name: str
        count: int = 5
        remark: str | None = None

    class After(Record, collection="jobs"):
        name: str
        count: int = 7
        remark: str | None = "none"

    path = tmp_path / "a.db"
    async with Replica.open(path, models=[Before]) as replica:
        replica.collection(Before).create(key="a", name="old")
    async with Replica.open(path, models=[After]) as replica:
        jobs = replica.collection(After)
        jobs.create(key="b", name="new")
        assert (jobs["a"].count, jobs["a"].remark) == (5, None)
        assert (jobs["b"].count, jobs["b"].remark) == (7, "none")
        assert jobs.where(After.count == 5).count() == 1
    assert rows(path) == [("a", "old", 5, None), ("b", "new", 7, "none")]


def written_by_an_older_version(*updates: tuple[str, bytes]) -> bytes:
    """The update of a record as versions wrote it that stored no defaults."""
    document = Document(2**33)
    with document.transaction():
        for name, value in (("$live", b"true"), *updates):
            cells_of(document, REGISTERS).write(name, value, 1)
    return document.take_captured()[0]


async def test_a_record_without_stored_defaults_reads_as_before() -> None:
    store = MemoryStore()
    async with Replica.open(store, models=[Job]) as replica:
        update = written_by_an_older_version(("name", b'"old"'))
        from syncline.engine.updates.parse import parse_update

        replica._workspace.seed(Address("jobs", "a"), update, parse_update(update))  # pyright: ignore[reportPrivateUsage]
        job = replica.collection(Job)["a"]
        assert (job.name, job.state, job.count) == ("old", State.PLANNED, 5)
        assert (job.options, job.budget) == ({}, Decimal(9))
        # What would be another value at each read is none: the row shows the same.
        assert [job.to_dict()[name] for name in ("ident", "made")] == [None, None]
        with pytest.raises(WrongType):
            job.options["x"] = 1


async def test_what_is_missing_in_old_records_can_be_said(tmp_path: Path) -> None:
    class Before(Record, collection="jobs"):
        name: str

    class After(Record, collection="jobs"):
        name: str
        owner: str = field(missing="nobody")
        state: State = field(default=State.PLANNED, missing=State.DONE)
        sizes: list[int] = field(default_factory=lambda: [next(CLOCK)], missing=[1])

    path = tmp_path / "a.db"
    async with Replica.open(path, models=[Before]) as replica:
        replica.collection(Before).create(key="a", name="old")
    async with Replica.open(path, models=[After]) as replica:
        jobs = replica.collection(After)
        with pytest.raises(WrongType, match="need the field 'owner'"):
            jobs.create(name="x")
        jobs.create(key="b", name="new", owner="Ada")
        old, new = jobs["a"], jobs["b"]
        assert (old.owner, old.state, old.sizes) == ("nobody", State.DONE, [1])
        assert (new.owner, new.state) == ("Ada", State.PLANNED)
        assert jobs.where(After.owner == "nobody", After.state == State.DONE).count() == 1
    assert rows(path, "key, owner, state, sizes")[0] == ("a", "nobody", "done", "[1]")

    with pytest.raises(WrongType, match=r"field\(missing=…\) of jobs\.owner takes str"):

        class Wrong(Record, collection="jobs"):
            owner: str = field(missing=5)

    with pytest.raises(SchemaError, match="takes no default"):

        class WrongView(Record, collection="jobs"):
            notes: Text = field(missing="x")


async def test_a_default_is_named_by_no_change(tmp_path: Path) -> None:
    async with Replica.open(tmp_path / "a.db", models=[Job]) as replica:
        changes = replica.collection(Job).changes()
        replica.collection(Job).create(name="x", remark="given")
        assert (await anext(changes)).fields == ("name", "remark")


Fields = dict[str, Any]
SIDES = st.fixed_dictionaries(
    {"name": st.sampled_from("ab")},
    optional={
        "count": st.integers(0, 3),
        "remark": st.sampled_from([None, "r"]),
        "budget": st.sampled_from([Decimal(8), Decimal(20)]),
        "contact": st.sampled_from(["x", "y"]),
    },
)


@settings(deadline=None)
@given(mine=SIDES, yours=SIDES, later=st.booleans())
def test_of_two_that_create_one_record_what_was_given_beats_a_default(
    mine: Fields, yours: Fields, later: bool
) -> None:
    devices = Device(2**40, now=1_000), Device(2**41, now=2_000 if later else 500)
    for device, fields in zip(devices, (mine, yours), strict=True):
        with device.writing() as document:
            new = new_record(Job.__schema__, fields, "jobs/a")
            write_new(document, device, Job.__schema__, new)
    exchange(*devices)
    one, two = (Job.attach(device, Address("jobs", "a")) for device in devices)
    assert one.to_dict() == two.to_dict()
    older, newer = (mine, yours) if later else (yours, mine)
    given_ = {**older, **newer}
    for name in ("name", "count", "remark", "contact"):
        default = None if name in ("remark", "contact") else 5
        assert getattr(one, name) == given_.get(name, default)
    budgets = [side["budget"] for side in (mine, yours) if "budget" in side]
    assert one.budget == min(budgets, default=Decimal(9))
    contacts = {side["contact"] for side in (mine, yours) if "contact" in side}
    assert [conflict.field for conflict in one.conflicts()] == ["contact"] * (len(contacts) > 1)


def test_a_factory_is_asked_once_and_rules_see_what_is_written() -> None:
    made: list[int] = []

    def factory() -> list[int]:
        made.append(1)
        return [len(made)]

    class Counted(Record, collection="counted"):
        sizes: list[int] = field(default_factory=factory)

    made.clear()
    new = new_record(Counted.__schema__, {}, "counted/a")
    assert new.defaults == {"sizes": b"[1]"}
    assert made == [1]


@pytest.mark.parametrize("twice", [False, True])
async def test_a_seeded_record_gets_its_defaults_and_one_of_each(
    tmp_path: Path, twice: bool
) -> None:
    def fill(job: Job) -> None:
        job.name = "seeded"
        job.count = 1

    async with Relay(tmp_path / "relay.db", port=0) as relay:
        url = f"{relay.url}/crm"
        async with (
            Replica.open(tmp_path / "one.db", models=[Job], relay=url) as one,
            Replica.open(tmp_path / "two.db", models=[Job], relay=url) as two,
        ):
            one.seed("jobs/a", fill)
            if twice:
                two.seed("jobs/a", fill)
            await settle(one, two)
            assert one.to_dict() == two.to_dict()
            job = one.collection(Job)["a"]
            assert (job.count, job.state, job.options) == (1, State.PLANNED, {})
            assert job.ident == job.ident == two.collection(Job)["a"].ident
            pending: Callable[[], int] = lambda: one.pending  # noqa: E731
            before = pending()
            one.seed("jobs/a", fill)  # as at every start of a program
            assert pending() == before
            (row,) = one.collection(Job).where(col(Job.ident) == job.ident).all()
            assert row == job


def test_a_class_inherits_what_was_said_of_a_field() -> None:
    class Base(Record, collection="base"):
        name: str
        rank: int = field(default=3, on_conflict="max", stored_as="old_rank")
        size: int = 1
        tags: SetOf[str] = SetOf()

    class Sub(Base, collection="sub"):
        size: int  # pyright: ignore[reportGeneralTypeIssues]
        more: str = "x"

    specs = Sub.__schema__.fields
    assert list(specs) == ["name", "rank", "size", "tags", "more"]
    rank = specs["rank"]
    assert (rank.name, rank.on_conflict, rank.constant) == ("old_rank", "max", b"3")
    assert rank.value.encode(1, "x") == b"1"
    with pytest.raises(WrongType, match=r"sub\.rank takes int"):
        Sub(name="x", size=1, rank="no")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert Sub(name="x", size=1).rank == 3
    with pytest.raises(SchemaError, match="without the field 'size'"):
        Sub(name="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
