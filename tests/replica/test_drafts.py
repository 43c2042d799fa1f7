"""Records made by calling their class, and added."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, cast
from uuid import UUID, uuid4

import pytest

from syncline import Counter, ListOf, MapOf, Record, Replica, SetOf, Text, field
from syncline.cleaning import Clean
from syncline.engine.errors import (
    RecordExists,
    SchemaError,
    UnknownField,
    UsageError,
    ValueRefused,
    WrongType,
)
from syncline.stores import MemoryStore
from tests.replica.models import Contact as Other
from tests.replica.models import Stage


class Contact(Record, collection="contacts"):
    name: Annotated[str, Clean("collapse-space")]
    ident: UUID = field(default_factory=uuid4)
    credit: Decimal = Decimal(0)
    stage: Stage = Stage.LEAD
    options: dict[str, int] = field(default_factory=dict[str, int])
    notes: Text = Text()
    visits: Counter = Counter()
    tags: SetOf[str] = SetOf()
    numbers: ListOf[str] = ListOf()
    extra: MapOf[int] = MapOf()


async def test_a_draft_becomes_a_record(tmp_path: Path) -> None:
    async with Replica.open(tmp_path / "a.db", models=[Contact]) as replica:
        contacts = replica.collection(Contact)
        ada = Contact(name=" Ada ", stage=Stage.CUSTOMER, options={"a": 1})
        ident = ada.ident
        assert (ada.name, ada.ident, len(contacts)) == ("Ada", ident, 0)
        ada.notes.append("hello")
        ada.visits += 2
        ada.tags |= {"a", "b"}
        ada.numbers.extend(["1", "2"])
        ada.extra.update({"k": 1})
        ada.credit = Decimal("1.5")
        before = ada.to_dict()
        assert repr(ada).startswith("<Contact (not added): name='Ada'")
        with pytest.raises(UsageError, match="This Contact has no key yet"):
            ada.key  # noqa: B018
        assert contacts.add(ada, key="ada") is ada
        assert (ada.key, contacts["ada"], ada.to_dict()) == ("ada", ada, before)
        ada.visits += 1
        assert contacts["ada"].visits == 3
        assert contacts.where(Contact.ident == ident).exists()
        bob = contacts.add(Contact(name="Bob"))
        assert bob.key in contacts
        assert {ada: 1, bob: 2}[contacts[bob.key]] == 2
        assert replica.collection(Contact)["ada"].to_dict() == {**before, "visits": 3}
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        rows = connection.execute("SELECT name, ident, visits FROM contacts WHERE key = 'ada'")
        assert rows.fetchall() == [("Ada", str(ident), 3)]


async def test_a_default_of_a_draft_is_one_of_the_record() -> None:
    async with Replica.open(MemoryStore(), models=[Contact]) as replica:
        contacts = replica.collection(Contact)
        changes = contacts.changes()
        contacts.add(Contact(name="Ada", credit=Decimal(2)))
        assert (await anext(changes)).fields == ("credit", "name")


async def test_what_is_refused() -> None:
    with pytest.raises(SchemaError, match="not made by calling the class without the field 'name'"):
        Contact()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    with pytest.raises(UnknownField, match="contacts has no field 'nmae'"):
        Contact(name="a", nmae="b")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    with pytest.raises(WrongType, match=r"contacts\.credit takes Decimal, not str"):
        Contact(name="a", credit="1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueRefused, match=r"contacts\.name cannot store this text"):
        Contact(name="\ud800")
    async with Replica.open(MemoryStore(), models=[Contact]) as replica:
        contacts = replica.collection(Contact)
        ada = contacts.add(Contact(name="Ada"), key="ada")
        draft, make = Contact(name="Bob"), cast("Any", Other)
        stranger = make(name="Eve")
        assert draft != Contact(name="Bob")
        with pytest.raises(RecordExists):
            contacts.add(draft, key="ada")
        with pytest.raises(UsageError, match="'contacts/ada' is in a collection already"):
            contacts.add(ada)
        with pytest.raises(WrongType, match="contacts takes Contact records, not Contact"):
            contacts.add(stranger)
        with pytest.raises(WrongType, match="contacts takes Contact records, not str"):
            contacts.add("Eve")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        with pytest.raises(UsageError, match="in no collection"):
            draft.delete()
        with pytest.raises(UsageError, match="in a set or a key of a dict"):
            {draft}  # noqa: B018  # pyright: ignore[reportUnusedExpression]
        contacts.add(draft, key="bob")
        assert [contact.name for contact in contacts] == ["Ada", "Bob"]


async def test_a_draft_added_where_one_was_deleted_begins_empty() -> None:
    async with Replica.open(MemoryStore(), models=[Contact]) as replica:
        contacts = replica.collection(Contact)
        contacts.create(key="a", name="Ada", notes="private", visits=3, tags={"x"})
        contacts["a"].delete()
        draft = Contact(name="Bob")
        draft.visits += 1
        before = draft.to_dict()
        contacts.add(draft, key="a")
        assert contacts["a"].to_dict() == before
        assert contacts["a"].visits == 1


def test_a_view_that_only_declares_says_so() -> None:
    for view in (Text(), Counter(), SetOf[str](), ListOf[str](), MapOf[int]()):
        with pytest.raises(UsageError, match="This view belongs to no record"):
            view.to_plain()
