"""Records as an app uses them, on one device without a relay."""

# pyright: reportUnusedClass=false
# (defining a record class is what raises)

from __future__ import annotations

import asyncio
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from syncline import Record, Replica, Text, field
from syncline.engine.errors import (
    InvalidName,
    RecordExists,
    RecordNotFound,
    ReplicaClosed,
    SchemaError,
    SchemaMismatch,
    TransactionConflict,
    UnknownCollection,
    UnknownField,
    UsageError,
    ValueRefused,
    WrongType,
)
from tests.replica.models import Contact, Draft, Stage

MODELS = [Contact, Draft]


class Stranger(Record, collection="strangers"):
    name: str


async def test_a_record_comes_back_after_closing(tmp_path: Path) -> None:
    path = tmp_path / "phone.db"
    async with Replica.open(path, models=MODELS) as replica:
        contacts = replica.collection(Contact)
        ada = contacts.create(
            key="ada",
            name="Ada Lovelace",
            stage=Stage.CUSTOMER,
            credit=Decimal("12.50"),
            born=date(1815, 12, 10),
            notes="First programmer.",
            visits=2,
            tags={"math"},
            numbers=["one", "two"],
            extra={"a": 1},
        )
        ada.visits += 3
        ada.numbers.move(0, 1)
        ada.phone = "+44 20 7946 0958"
        before = replica.to_dict()
        assert replica.pending == 1
    async with Replica.open(path, models=MODELS) as replica:
        ada = replica.collection(Contact)["ada"]
        assert replica.to_dict() == before
        assert ada.name == "Ada Lovelace"
        assert ada.stage is Stage.CUSTOMER
        assert ada.credit == Decimal("12.50")
        assert ada.born == date(1815, 12, 10)
        assert str(ada.notes) == "First programmer."
        assert int(ada.visits) == 5
        assert list(ada.numbers) == ["two", "one"]
        assert ada.email is None
        assert "Ada Lovelace" in repr(ada)
        assert replica.pending >= 1


async def test_a_collection_behaves_like_a_mapping(tmp_path: Path) -> None:
    async with Replica.open(tmp_path / "phone.db", models=MODELS) as replica:
        contacts = replica.collection(Contact)
        made = [contacts.create(name=f"number {number}") for number in range(20)]
        assert [record.key for record in contacts] == sorted(record.key for record in made)
        assert len(contacts) == 20
        assert made[0].key in contacts
        assert contacts.get(made[0].key) == made[0]
        assert hash(contacts[made[0].key]) == hash(made[0])
        contacts.delete(made[0].key)
        assert made[0].key not in contacts
        assert contacts.get(made[0].key) is None
        assert len(contacts) == 19
        with pytest.raises(RecordNotFound, match="There is no record"):
            made[0].name  # noqa: B018
        with pytest.raises(KeyError):
            contacts.delete(made[0].key)
        assert repr(made[0]).endswith("record-not-found>")
        contacts.create(key=made[0].key, name="again")
        assert made[0].name == "again"


async def test_wrong_use_is_refused_before_anything_changed(tmp_path: Path) -> None:
    async with Replica.open(tmp_path / "phone.db", models=MODELS) as replica:
        contacts = replica.collection(Contact)
        ada = contacts.create(key="ada", name="Ada")
        await replica.flushed()
        before = replica.to_dict()
        with pytest.raises(UnknownField, match="contacts has no field 'phnoe'") as caught:
            ada.phnoe = "1"  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
        assert caught.value.hint == "Did you mean 'phone'?"
        with pytest.raises(AttributeError, match="no field 'fone'"):
            ada.fone  # type: ignore[attr-defined]  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]
        with pytest.raises(UnknownField, match="no field 'nam'"):
            contacts.create(name="Bob", nam="Bob")
        with pytest.raises(WrongType, match=r"contacts\.name takes str, not int \(5\)"):
            ada.name = 5  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
        with pytest.raises(WrongType, match="contacts records need the field 'name'"):
            contacts.create(phone="1")
        with pytest.raises(WrongType, match=r"contacts\.notes is a Text, which is edited"):
            ada.notes = "x"  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
        with pytest.raises(WrongType, match=r"contacts\.tags takes str, not int"):
            contacts.create(name="Bob", tags=["fine", 5])
        with pytest.raises(ValueRefused, match=r"contacts\.name cannot store this text"):
            ada.name = "\ud800"
        with pytest.raises(RecordExists, match="There is a record 'contacts/ada' already"):
            contacts.create(key="ada", name="Other")
        with pytest.raises(InvalidName, match="contains '/'"):
            contacts.create(key="../ada", name="x")
        with pytest.raises(UnknownCollection, match="not opened with the model Stranger"):
            replica.collection(Stranger)
        with pytest.raises(SchemaError, match="is a record, because 'contacts' is a collection"):
            replica.document("contacts/ada")
        with pytest.raises(UsageError, match="no relay to sync with"):
            await replica.synced()
        assert replica.to_dict() == before
        assert len(contacts) == 1
    with pytest.raises(ReplicaClosed, match="The replica is not open"):
        replica.to_dict()


def test_record_classes_are_checked_when_defined() -> None:
    with pytest.raises(SchemaError, match="names no collection"):

        class NoCollection(Record):
            name: str

    with pytest.raises(SchemaError, match=r"bad\.thing is annotated object"):

        class Bad(Record, collection="bad"):
            thing: object

    with pytest.raises(SchemaError, match=r"Reserved\.key cannot be a field"):

        class Reserved(Record, collection="bad"):
            key: str  # pyright: ignore[reportIncompatibleMethodOverride]

    with pytest.raises(WrongType, match=r"bad\.number takes int, not str"):

        class WrongDefault(Record, collection="bad"):
            number: int = "five"  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]

    with pytest.raises(SchemaError, match="takes no default and no conflict policy"):

        class DefaultText(Record, collection="bad"):
            body: Text = field(default="x")

    with pytest.raises(SchemaError, match="no conflict policy 'oldest'"):
        field(on_conflict="oldest")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(SchemaError, match="are not made by calling"):
        Contact()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    with pytest.raises(InvalidName, match="'Big Name' cannot name a collection"):

        class BadName(Record, collection="Big Name"):
            name: str


@pytest.mark.slow
async def test_a_transaction_that_raises_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "phone.db"
    async with Replica.open(path, models=MODELS) as replica:
        contacts = replica.collection(Contact)
        ada = contacts.create(key="ada", name="Ada", notes="kept")
        before = replica.to_dict()

        def doomed() -> None:
            with replica.transaction("doomed"):
                ada.name = "Not Ada"
                ada.notes.append(" and lost")
                contacts.create(key="bob", name="Bob")
                contacts.delete("ada")
                assert "ada" not in contacts
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            doomed()
        assert replica.to_dict() == before
        assert "bob" not in contacts
        ada.notes.append("!")
        assert str(ada.notes) == "kept!"
    async with Replica.open(path, models=MODELS) as replica:
        assert str(replica.collection(Contact)["ada"].notes) == "kept!"


async def test_a_transaction_is_one_change(tmp_path: Path) -> None:
    async with Replica.open(tmp_path / "phone.db", models=MODELS) as replica:
        contacts = replica.collection(Contact)
        changes = contacts.changes()
        with replica.transaction("import"):
            for number in range(3):
                contacts.create(key=f"c{number}", name="x").visits += 1
        seen = [await anext(changes) for _ in range(3)]
        assert [(change.kind, change.record.key) for change in seen] == [
            ("created", "c0"),
            ("created", "c1"),
            ("created", "c2"),
        ]
        assert seen[0].fields == ("name", "visits")
        assert seen[0].origin == "local"
        contacts["c0"].phone = "1"
        contacts.delete("c1")
        contacts.create(key="c3", name="came")
        contacts.delete("c3")
        later = [await anext(changes) for _ in range(2)]
        assert [(change.kind, change.record.key, change.fields) for change in later] == [
            ("updated", "c0", ("phone",)),
            ("deleted", "c1", ()),
        ]
    with pytest.raises(StopAsyncIteration):
        await anext(changes)


async def test_another_task_may_not_write_into_an_open_transaction(tmp_path: Path) -> None:
    async with Replica.open(tmp_path / "phone.db", models=MODELS) as replica:
        contacts = replica.collection(Contact)

        async def intrude() -> None:
            contacts.create(name="intruder")

        with replica.transaction("careless"):
            task = asyncio.create_task(intrude())
            await asyncio.wait([task])
        with pytest.raises(TransactionConflict, match="'careless' of another task is open"):
            task.result()
        assert len(contacts) == 0


async def test_documents_without_a_schema(tmp_path: Path) -> None:
    async with Replica.open(tmp_path / "phone.db") as replica:
        page = replica.document("pages/welcome")
        page.text("body").append("Hello 😀")
        page.map("meta")["title"] = "Welcome"
        page.map("meta")["count"] = 3
        page.array("blocks").append({"type": "image", "width": 2.5})
        page.array("blocks").insert(0, None)
        content = {
            "blocks": [None, {"type": "image", "width": 2.5}],
            "body": "Hello 😀",
            "meta": {"title": "Welcome", "count": 3},
        }
        assert page.to_dict() == content
        assert page.array("blocks").pop(0) is None
        with pytest.raises(ValueRefused, match=r"pages/welcome:meta\['x'\] cannot store Decimal"):
            page.map("meta")["x"] = Decimal(1)
        with pytest.raises(SchemaError, match=r"The root 'body' of pages/welcome is a Y\.Text"):
            page.map("body")["x"] = 1
        with pytest.raises(InvalidName, match="has no slash"):
            replica.document("welcome")


async def test_seeding_twice_does_not_double(tmp_path: Path) -> None:
    def page(document: Any) -> None:
        document.text("body").append("Welcome")

    def first(contact: Any) -> None:
        contact.name = "Example"
        contact.tags.add("sample")

    path = tmp_path / "phone.db"
    for _ in range(2):
        async with Replica.open(path, models=MODELS) as replica:
            replica.seed("pages/welcome", page)
            replica.seed("contacts/example", first)
            assert str(replica.document("pages/welcome").text("body")) == "Welcome"
            assert replica.collection(Contact)["example"].name == "Example"
    async with Replica.open(path, models=MODELS) as replica:
        replica.collection(Contact)["example"].name = "Mine"
        replica.seed("contacts/example", first)
        assert replica.collection(Contact)["example"].name == "Mine"
        replica.collection(Contact).delete("example")
        replica.seed("contacts/example", first)
        assert "example" not in replica.collection(Contact)


async def test_another_kind_of_field_is_a_schema_mismatch(tmp_path: Path) -> None:
    path = tmp_path / "phone.db"
    async with Replica.open(path, models=MODELS) as replica:
        replica.collection(Contact).create(name="Ada", notes="text")

    class Changed(Record, collection="contacts"):
        name: str
        notes: str | None = None
        added: int = 0

    with pytest.raises(
        SchemaMismatch,
        match=r"contacts\.notes is declared as a register, but .* holds it as a text",
    ):
        async with Replica.open(path, models=[Changed]):
            pass

    class Evolved(Record, collection="contacts"):
        name: str
        added: int = 7

    async with Replica.open(path, models=[Evolved]) as replica:
        (record,) = replica.collection(Evolved)
        assert (record.name, record.added) == ("Ada", 7)


async def test_small_memory_loads_documents_again(tmp_path: Path) -> None:
    async with Replica.open(tmp_path / "phone.db", models=MODELS, max_documents=3) as replica:
        contacts = replica.collection(Contact)
        with replica.transaction():
            for number in range(10):
                contacts.create(key=f"c{number}", name=str(number))
        assert [contacts[f"c{number}"].name for number in range(10)] == list("0123456789")
        await replica.flushed()
        for record in contacts:
            record.notes.append("x")
            record.notes.append("y")
        assert {str(record.notes) for record in contacts} == {"xy"}


async def test_a_transaction_keeps_what_it_has_changed_in_memory(tmp_path: Path) -> None:
    async with Replica.open(tmp_path / "phone.db", models=MODELS, max_documents=3) as replica:
        contacts = replica.collection(Contact)
        with replica.transaction():
            for number in range(10):
                contacts.create(key=f"c{number}", name=str(number), notes="x")
            for record in contacts:
                record.notes.append("y")
            assert [str(record.notes) for record in contacts] == ["xy"] * 10
        await replica.flushed()
        assert [str(record.notes) for record in contacts] == ["xy"] * 10


CRASHER = """
import asyncio, os, signal, sys
from syncline import Replica
from tests.replica.models import Contact

async def main():
    async with Replica.open(sys.argv[1], models=[Contact]) as replica:
        contacts = replica.collection(Contact)
        for number in range(5):
            contacts.create(key=f"c{number}", name="x", notes="durable")
        await replica.flushed()
        print(len(contacts), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


@pytest.mark.slow
async def test_what_was_flushed_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "phone.db"
    crasher = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CRASHER, str(path), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await crasher.communicate()
    assert (out, crasher.returncode) == (b"5\n", -9)
    async with Replica.open(path, models=MODELS) as replica:
        assert {str(record.notes) for record in replica.collection(Contact)} == {"durable"}
        assert len(replica.collection(Contact)) == 5
        assert replica.pending == 1
