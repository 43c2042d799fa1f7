"""Transactions: of a block that raised, and of a call that was refused, nothing remains."""

from __future__ import annotations

import asyncio
import copy
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncline import Relay, Replica, SynclineError
from syncline.engine.errors import (
    DocumentBroken,
    StoreFailed,
    TransactionConflict,
    WrongType,
)
from syncline.engine.names import Address
from syncline.stores import MemoryStore
from tests.profiles import scaled
from tests.replica.models import Contact

PATIENCE = 60.0
KEYS = ("a", "b", "c")


class Undone(Exception):
    """Raised by blocks that are not to be kept."""


@dataclass
class Model:
    """What a replica is to hold: records by key, of which some are deleted, and a page."""

    records: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    deleted: set[str] = field(default_factory=set[str])
    page: str = ""

    def restore(self, other: Model) -> None:
        vars(self).update(vars(other))


@dataclass(frozen=True)
class Step:
    """One call; ``refused`` ones have a part that would be good."""

    kind: str
    key: str = "a"
    refused: bool = False

    def make(self, replica: Replica, model: Model) -> None:
        contacts = replica.collection(Contact)
        key, present = self.key, self.key in model.records
        if self.kind == "page":
            replica.document("pages/p").text("body").append("p")
            model.page += "p"
        elif self.kind == "create":
            if not present and key not in model.deleted:
                self._create(replica, model)
        elif not present:
            with pytest.raises(SynclineError):
                contacts[key].name = "nobody"
        elif self.kind == "delete":
            contacts.delete(key)
            del model.records[key]
            model.deleted.add(key)
        else:
            self._edit(contacts[key], model.records[key])

    def _create(self, replica: Replica, model: Model) -> None:
        contacts = replica.collection(Contact)
        if self.refused:
            with pytest.raises(WrongType):
                contacts.create(key=self.key, name="bad", notes="n", tags=["t", 3])
            assert self.key not in contacts
            return
        contacts.create(key=self.key, name="new", notes="n", tags=["t"])
        model.records[self.key] = {
            "name": "new",
            "notes": "n",
            "visits": 0,
            "tags": ["t"],
            "numbers": [],
        }

    def _edit(self, record: Contact, known: dict[str, Any]) -> None:
        length = len(known["notes"])
        if self.kind == "text":
            record.notes.insert(length // 2, "x")
            known["notes"] = known["notes"][: length // 2] + "x" + known["notes"][length // 2 :]
        elif self.kind == "count":
            record.visits += 1
            known["visits"] += 1
        elif self.kind == "tag":
            record.tags.add(tag := f"tag {len(known['tags'])}")
            known["tags"].append(tag)
        elif self.refused:
            with pytest.raises(WrongType):
                record.numbers.extend(["good", 3])  # type: ignore[list-item]
        else:
            record.numbers.extend(["1", "2"])
            known["numbers"] += ["1", "2"]


@dataclass(frozen=True)
class Block:
    """A ``with`` block; one that ``raises`` is caught by what is around it."""

    steps: tuple[Step | Block, ...]
    raises: bool

    def make(self, replica: Replica, model: Model) -> None:
        before = copy.deepcopy(model)
        with suppress(Undone), replica.transaction("block"):
            for step in self.steps:
                step.make(replica, model)
            if self.raises:
                raise Undone
        if self.raises:
            model.restore(before)


def content(replica: Replica) -> Model:
    contacts = replica.collection(Contact)
    fields = ("name", "notes", "visits", "tags", "numbers")
    records = {record.key: {name: record.to_dict()[name] for name in fields} for record in contacts}
    return Model(records, page=str(replica.document("pages/p").text("body")))


def same(replica: Replica, model: Model) -> None:
    found = content(replica)
    assert (found.records, found.page) == (model.records, model.page)


steps = st.builds(
    Step,
    st.sampled_from(["create", "create", "delete", "text", "count", "tag", "list", "page"]),
    st.sampled_from(KEYS),
    st.booleans(),
)
blocks = st.recursive(
    steps,
    lambda inner: st.builds(Block, st.lists(inner, max_size=5).map(tuple), st.booleans()),
    max_leaves=15,
)


@given(st.lists(st.tuples(blocks, st.booleans()), min_size=1, max_size=8))
@settings(max_examples=scaled(60), deadline=None)
def test_memory_disk_and_another_replica_hold_what_was_kept(
    program: list[tuple[Step | Block, bool]],
) -> None:
    with TemporaryDirectory() as folder:
        asyncio.run(_compare(program, Path(folder) / "a.db"))


async def _compare(program: list[tuple[Step | Block, bool]], store: Path) -> None:
    model = Model()
    async with (
        asyncio.timeout(PATIENCE),
        Relay(MemoryStore(), port=0) as relay,
        Replica.open(MemoryStore(), models=[Contact], relay=f"{relay.url}/w") as other,
    ):
        url = f"{relay.url}/w"
        async with Replica.open(store, models=[Contact], relay=url, max_documents=2) as replica:
            for step, flushes in program:
                step.make(replica, model)
                same(replica, model)
                if flushes:
                    await replica.flushed()
            await replica.synced()
            await other.synced()
            same(other, model)
            rows = {record.key for record in replica.collection(Contact).where(Contact.key >= "")}
            assert rows == model.records.keys()
        async with Replica.open(store, models=[Contact], relay=url) as replica:
            same(replica, model)
            Block((Step("page"), Step("create", "d")), raises=False).make(replica, model)
            await replica.synced()
            await other.synced()
            same(other, model)


async def test_change_streams_tell_only_what_was_kept(tmp_path: Path) -> None:
    async with Replica.open(tmp_path / "a.db", models=[Contact]) as replica:
        contacts = replica.collection(Contact)
        ada, bob = contacts.create(key="ada", name="Ada"), contacts.create(key="bob", name="Bob")
        changes = contacts.changes()
        with replica.transaction("outer"):
            ada.name = "Ada L."
            with suppress(Undone), replica.transaction("inner"):
                ada.phone = "1"
                bob.name = "Robert"
                contacts.create(key="eve", name="Eve")
                raise Undone
            ada.visits += 1
    told = [change async for change in changes]
    assert [(each.kind, each.record.key, each.fields) for each in told] == [
        ("updated", "ada", ("name", "visits"))
    ]


async def test_a_refused_create_leaves_nothing_wherever_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    rows: list[dict[str, Any]] = [
        {"tags": ["fine", 3]},
        {"extra": {"a": 1, "b": "no"}},
        {"notes": "fine", "numbers": ["1", 2]},
        {"notes": "fine", "visits": "many"},
        {"tags": (str(1 // (3 - number)) for number in range(5))},  # ZeroDivisionError
    ]
    async with Replica.open(path, models=[Contact]) as replica:
        contacts = replica.collection(Contact)
        for number, row in enumerate(rows):
            with pytest.raises((WrongType, ZeroDivisionError)):
                contacts.create(key=f"alone {number}", name="x", **dict(row))
        assert replica.pending == 0
        rows[-1]["tags"] = (str(1 // (3 - number)) for number in range(5))
        with replica.transaction("import"):
            for number, row in enumerate(rows):
                with pytest.raises((WrongType, ZeroDivisionError)):
                    contacts.create(key=f"bad {number}", name="x", **row)
            assert contacts.order_by(Contact.name).count() == 0, "nothing has changed: it may query"
            contacts.create(key="good", name="Good")
        assert [record.key for record in contacts] == ["good"]
    async with Replica.open(path, models=[Contact]) as replica:
        assert list(replica.to_dict()) == ["contacts"]
        assert list(replica.to_dict()["contacts"]) == ["good"]
        assert replica.collection(Contact).where(Contact.name == "Good").count() == 1
        workspace = replica._workspace  # pyright: ignore[reportPrivateUsage]
        assert [str(address) for address in workspace.addresses()] == ["contacts/good"]


async def test_what_the_library_fails_on_is_made_again(tmp_path: Path) -> None:
    async with Replica.open(tmp_path / "a.db", models=[Contact]) as replica:
        contacts = replica.collection(Contact)
        workspace = replica._workspace  # pyright: ignore[reportPrivateUsage]
        ada, where = contacts.create(key="ada", name="Ada"), Address("contacts", "ada")

        def break_it() -> None:
            with workspace.writing(where) as document:
                document.map("r").set("x", "y")
                with document.guard:
                    raise ValueError

        with replica.transaction():
            ada.name = "kept"
            with pytest.raises(DocumentBroken):
                break_it()
            assert ada.name == "kept"
            workspace.documents.get(where).broken = True
            ada.visits += 1
            assert (ada.name, int(ada.visits)) == ("kept", 1)
        await replica.flushed()
    async with Replica.open(tmp_path / "a.db", models=[Contact]) as replica:
        ada = replica.collection(Contact)["ada"]
        assert (ada.name, int(ada.visits)) == ("kept", 1)


async def test_nothing_is_kept_when_changes_cannot_be_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Replica.open(tmp_path / "a.db", models=[Contact]) as replica:
        contacts = replica.collection(Contact)
        ada, bob = contacts.create(key="ada", name="Ada"), contacts.create(key="bob", name="Bob")
        await replica.flushed()
        store = replica._store  # pyright: ignore[reportPrivateUsage]

        def fail(*_: object) -> None:
            raise StoreFailed("The disk is away.", hint="Plug it in.")

        def inner() -> None:
            with monkeypatch.context() as patched, replica.transaction("inner"):
                ada.name = "changed again"
                bob.name = "changed too"
                patched.setattr(store, "load", fail)
                raise Undone

        def outer() -> None:
            with replica.transaction("outer"):
                ada.name = "changed"
                with pytest.raises(StoreFailed, match="away"):
                    inner()
                with pytest.raises(StoreFailed, match="away"):
                    bob.name = "later"

        with pytest.raises(StoreFailed, match="away"):
            outer()
        assert (ada.name, bob.name) == ("Ada", "Bob")
        bob.name = "works again"
        assert bob.name == "works again"


async def test_a_seed_is_no_part_of_a_transaction(tmp_path: Path) -> None:
    async with Replica.open(tmp_path / "a.db", models=[Contact]) as replica:
        with (
            pytest.raises(TransactionConflict, match="cannot be seeded inside a transaction"),
            replica.transaction(),
        ):
            replica.seed("pages/p", lambda page: page.text("body").append("x"))
        assert replica.to_dict() == {}


async def test_a_savepoint_held_open_by_a_generator_undoes_nothing_later(tmp_path: Path) -> None:
    async with Replica.open(tmp_path / "a.db", models=[Contact]) as replica:
        contacts = replica.collection(Contact)

        def lazily() -> Any:
            with replica.transaction("inner"):
                contacts.create(key="ada", name="Ada")
                yield

        with replica.transaction("outer"):
            held = lazily()
            next(held)
        with replica.transaction("another"):
            contacts.create(key="bob", name="Bob")
            held.close()
        assert {record.key for record in contacts} == {"ada", "bob"}
