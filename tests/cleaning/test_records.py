"""The rules as types on records: what is assigned is stored clean, or refused before anything
changed."""

# pyright: reportUnusedClass=false
# (defining a record class is what raises)

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, assert_type

import pytest

from syncline import Record, Relay, Replica, SetOf, Text, field
from syncline.cleaning import (
    Clean,
    Country,
    Date,
    Email,
    Lowercase,
    MaxLength,
    Number,
    OneOf,
    Phone,
    Required,
    Uppercase,
)
from syncline.engine.errors import RecordNotFound, SchemaError, ValueRefused, WrongType
from syncline.stores import MemoryStore


class Contact(Record, collection="contacts"):
    name: Annotated[str, Clean("fix-text", "strip-control", "collapse-space"), Required()]
    country: Annotated[str | None, Country()] = None
    phone: Annotated[str | None, "shown first", Phone(region=("field:country", "US"))] = None
    email: Annotated[str | None, Clean("lowercase"), Email()] = field(
        default=None, on_conflict="surface"
    )
    born: Annotated[date | None, Date("%d.%m.%Y")] = None
    credit: Annotated[Decimal, Number(places=2)] = Decimal("0.00")
    stage: Annotated[str, OneOf("lead", "won")] = "lead"
    notes: Text
    tags: SetOf[str]


class Raw(Record, collection="contacts"):
    """The same records at a device that knows no rules."""

    name: str
    country: str | None = None
    phone: str | None = None


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    async with Replica.open(MemoryStore(), models=[Contact]) as replica:
        yield replica


async def test_create_and_assign_store_what_is_clean(replica: Replica) -> None:
    ada = replica.collection(Contact).create(
        name="  Ada\u200b  LovelaceÂ ",
        country="England",
        phone="020 7946 0958",
        email="Ada@Example.COM",
        credit=Decimal(1),
        tags={"  as it is "},
    )
    assert ada.name == "Ada Lovelace"
    assert (ada.country, ada.phone, ada.email) == ("GB", "+442079460958", "ada@example.com")
    assert (str(ada.credit), ada.tags.to_plain()) == ("1.00", ["  as it is "])
    ada.phone = "020 7946 0959"
    assert ada.phone == "+442079460959"
    with replica.transaction("she moves"):
        ada.country = "us"
        ada.phone = "(650) 253-0000"  # by the country of this transaction
    assert (ada.country, ada.phone) == ("US", "+16502530000")
    ada.phone = None
    assert ada.phone is None


async def test_the_region_of_a_new_record_is_that_of_its_fields(replica: Replica) -> None:
    contacts = replica.collection(Contact)
    assert contacts.create(name="A", phone="650 253 0000").phone == "+16502530000"
    with pytest.raises(ValueRefused):
        contacts.create(name="A", phone="020 7946 0958")


async def test_what_is_refused_names_record_field_and_rule(replica: Replica) -> None:
    contacts = replica.collection(Contact)
    ada = contacts.create(key="ada", name="Ada", phone="+1 650 253 0000")
    pending = replica.pending
    with pytest.raises(ValueRefused) as caught:
        ada.phone = "0044 20 7946 0958"
    assert caught.value.message == (
        'contacts/ada.phone: "0044 20 7946 0958" is not a phone number (rule E164).'
    )
    assert caught.value.hint.startswith("Perhaps '+442079460958' was meant. ")
    with pytest.raises(ValueRefused, match=r"contacts/ada\.name: .* \(rule required\)"):
        ada.name = " \u200b "
    assert (ada.phone, ada.name, replica.pending) == ("+16502530000", "Ada", pending)

    with pytest.raises(ValueRefused, match=r"contacts/bob\.email: \"bob\" is not an e-mail addr"):
        contacts.create(key="bob", name="Bob", email="bob")
    assert ("bob" in contacts, replica.pending) == (False, pending)


async def test_another_type_is_still_the_wrong_type(replica: Replica) -> None:
    ada = replica.collection(Contact).create(name="Ada")
    wrong: Any = 6502530000
    with pytest.raises(WrongType, match=r"contacts\.phone takes str \| None, not int"):
        ada.phone = wrong
    text: Any = "10.12.1815"
    ada.born = text  # a rule may read what the type alone would not take
    assert ada.born == date(1815, 12, 10)


async def test_a_deleted_record_is_missed_first(replica: Replica) -> None:
    contacts = replica.collection(Contact)
    ada = contacts.create(name="Ada")
    contacts.delete(ada.key)
    with pytest.raises(RecordNotFound):
        ada.phone = "650 253 0000"


async def test_what_other_devices_wrote_is_read_as_it_is(tmp_path: Path) -> None:
    async with Relay(tmp_path / "relay.db", port=0) as relay:
        url = f"{relay.url}/crm"
        async with (
            Replica.open(tmp_path / "raw.db", models=[Raw], relay=url) as other,
            Replica.open(tmp_path / "clean.db", models=[Contact], relay=url) as replica,
        ):
            other.collection(Raw).create(key="ada", name=" Ada ", country="?", phone="n/a")
            await other.synced()
            changes = replica.collection(Contact).changes()
            await replica.synced()
            contacts = replica.collection(Contact)
            while "ada" not in contacts:
                await anext(changes)
            ada = contacts["ada"]
            assert (ada.name, ada.country, ada.phone) == (" Ada ", "?", "n/a")
            ada.phone = "650 253 0000"  # its country names none, so the chain goes on
            assert (ada.name, ada.phone) == (" Ada ", "+16502530000")


async def test_type_checkers_see_the_types(replica: Replica) -> None:
    ada = replica.collection(Contact).create(name="Ada")
    assert_type(ada.name, str)
    assert_type(ada.phone, str | None)
    assert_type(ada.born, date | None)
    assert_type(ada.credit, Decimal)


def test_a_class_whose_rules_cannot_be() -> None:
    with pytest.raises(SchemaError, match="rules for a part of its type") as caught:

        class A(Record, collection="a"):
            phone: Annotated[str, Email()] | None = None

    assert caught.value.hint == "Put the whole type in: Annotated[str | None, …]."
    with pytest.raises(SchemaError, match=r"b\.notes is a Text, which takes no cleaning rules"):

        class B(Record, collection="b"):
            notes: Annotated[Text, Clean("trim")]

    with pytest.raises(SchemaError, match=r"rule of c\.phone reads the field 'county'") as caught:

        class C(Record, collection="c"):
            country: str
            phone: Annotated[str, Phone(("field:county",))]

    assert caught.value.hint == "Did you mean 'country'?"
    with pytest.raises(SchemaError, match=r"d\.name: lowercase and uppercase undo each other"):

        class D(Record, collection="d"):
            name: Annotated[str, Lowercase(), Uppercase()]

    with pytest.raises(SchemaError, match=r"The default of e\.name is refused by its own rules"):

        class E(Record, collection="e"):
            name: Annotated[str | None, Required()] = None

    with pytest.raises(SchemaError, match=r"default of f\.name is not clean: .* make it 'x'"):

        class F(Record, collection="f"):
            name: Annotated[str, Clean("trim"), MaxLength(5)] = " x"

    with pytest.raises(SchemaError, match="with the class Email, not with a rule") as caught:

        class G(Record, collection="g"):
            email: Annotated[str, Email]

    assert caught.value.hint == "Call it: Email()."
