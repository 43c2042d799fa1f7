"""What the users of the simulation do to records and documents."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from decimal import Decimal
from typing import Any

from syncline import Replica
from tests.replica.models import Contact, Draft, Stage

from .marks import Edit, Marks

KEPT = ("x", "y")
"""Contacts that are never deleted: what is written in them has to be there at the end."""
WIKI = "pages/wiki"
WELCOME = "pages/welcome"
SEEDED = "seeded"

_VISIT = "<visit "
_MARK = re.compile(r"<[^<>]*>")


class _Undone(Exception):
    pass


class Editor:
    """Edits at random through ``replica``, in the name of one device."""

    def __init__(self, name: str, rng: random.Random, marks: Marks, *, texts: bool) -> None:
        self._name = name
        self._rng = rng
        self._marks = marks
        self._texts = texts
        self._count = 0

    def edit(self, replica: Replica) -> None:
        """Do one thing."""
        contacts = replica.collection(Contact)
        key = self._rng.choice(KEPT)
        if key not in contacts:
            contacts.create(key=key, name=self._word(), tags=[mark := self._mark()])
            self._made(mark)
            return
        marked = [self._tag, self._number, self._visit]
        if self._texts:
            marked += [self._note, self._note]
        free = [self._registers, self._drafts, self._deletable]
        choice = self._rng.random()
        if choice < 0.6:
            self._rng.choice(marked)(replica, contacts[key])
        elif choice < 0.8:
            self._rng.choice(free)(replica)
        elif choice < 0.9:
            self._wiki(replica)
        elif choice < 0.95:
            self._together(replica, key)
        else:
            self._seed(replica)

    # Marked edits

    def _mark(self) -> str:
        self._count += 1
        return f"<{self._name}{self._count}{self._rng.choice(['', 'é', '😀'])}>"

    def _made(self, mark: str) -> None:
        self._marks.fresh.append(Edit(mark))

    def _removed(self, mark: str) -> None:
        self._marks.fresh.append(Edit(mark, removes=True))

    def _text(self, text: Any) -> None:
        spans = mark_spans(str(text))
        if spans and self._rng.random() < 0.15:
            start, end = self._rng.choice(spans)
            mark = str(text)[start:end]
            text.delete(start, end - start)
            self._removed(mark)
            return
        place = self._rng.choice([0, *(end for _, end in spans)])
        text.insert(place, mark := self._mark())
        self._made(mark)

    def _note(self, _replica: Replica, contact: Contact) -> None:
        self._text(contact.notes)

    def _tag(self, _replica: Replica, contact: Contact) -> None:
        tags = [tag for tag in contact.tags if not tag.startswith(_VISIT)]
        if tags and self._rng.random() < 0.2:
            mark = self._rng.choice(tags)
            contact.tags.discard(mark)
            self._removed(mark)
        else:
            contact.tags.add(mark := self._mark())
            self._made(mark)

    def _number(self, _replica: Replica, contact: Contact) -> None:
        numbers, choice = contact.numbers, self._rng.random()
        place = self._rng.randrange(len(numbers) + 1)
        if len(numbers) and choice < 0.15:
            self._removed(numbers.pop(self._rng.randrange(len(numbers))))
        elif len(numbers) > 1 and choice < 0.4:
            numbers.move(self._rng.randrange(len(numbers)), self._rng.randrange(len(numbers)))
        else:
            numbers.insert(place, mark := self._mark())
            self._made(mark)

    def _visit(self, replica: Replica, contact: Contact) -> None:
        """Counts and, in the same transaction, keeps a receipt: at the end they are as many."""
        with replica.transaction("visit"):
            contact.visits += 1
            contact.tags.add(mark := f"{_VISIT}{self._mark()[1:]}")
        self._made(mark)

    def _wiki(self, replica: Replica) -> None:
        wiki = replica.document(WIKI)
        choice = self._rng.random()
        if choice < 0.4 and self._texts:
            self._text(wiki.text("body"))
        elif choice < 0.7:
            wiki.array("list").insert(self._rng.randrange(9), mark := self._mark())
            self._made(mark)
        else:
            wiki.map("map")[self._rng.choice("abc")] = self._word()

    def _together(self, replica: Replica, key: str) -> None:
        """Several documents in one transaction, which may raise."""
        contact, wiki = replica.collection(Contact)[key], replica.document(WIKI)
        first, second = self._mark(), self._mark()
        raises = self._rng.random() < 0.4
        with suppress(_Undone), replica.transaction("together"):
            contact.tags.add(first)
            wiki.array("list").insert(self._rng.randrange(9), second)
            if raises:
                raise _Undone
        if raises:
            self._marks.undone += [first, second]
        else:
            self._made(first)
            self._made(second)

    # Edits that may be overwritten: only their equality is checked

    def _word(self) -> str:
        return "".join(self._rng.choices("abcdeé😀 ", k=self._rng.randrange(1, 6)))

    def _registers(self, replica: Replica) -> None:
        contact = replica.collection(Contact)[self._rng.choice(list(self._kept(replica)))]
        match self._rng.randrange(6):
            case 0:
                contact.name = self._word()
            case 1:
                contact.email = self._rng.choice([self._word(), None])
            case 2:
                contact.stage = self._rng.choice(list(Stage))
            case 3:
                contact.credit = Decimal(self._rng.randrange(1000)) / 100
            case 4:
                contact.born = date(2000, 1, self._rng.randrange(1, 29))
            case _:
                contact.extra[self._rng.choice("kl")] = self._rng.randrange(100)

    def _kept(self, replica: Replica) -> Iterator[str]:
        return (key for key in KEPT if key in replica.collection(Contact))

    def _drafts(self, replica: Replica) -> None:
        drafts = replica.collection(Draft)
        key = self._rng.choice("de")
        if key not in drafts:
            drafts.create(key=key, title=self._word(), body=self._word())
        elif self._rng.random() < 0.3:
            drafts.delete(key)
        else:
            body = drafts[key].body
            if len(body) > 3 and self._rng.random() < 0.4:
                body.delete(self._rng.randrange(len(body) - 2), 2)
            else:
                body.insert(self._rng.randrange(len(body) + 1), self._word())

    def _deletable(self, replica: Replica) -> None:
        contacts = replica.collection(Contact)
        if "gone" not in contacts:
            contacts.create(key="gone", name=self._word(), tags=[self._word()], visits=1)
        elif self._rng.random() < 0.4:
            contacts.delete("gone")
        else:
            contacts["gone"].notes.append(self._word())
            contacts["gone"].visits += 1

    def _seed(self, replica: Replica) -> None:
        replica.seed(WELCOME, _welcome)
        replica.seed(f"contacts/{SEEDED}", _first_contact)


def _welcome(document: Any) -> None:
    document.text("body").append("Welcome")


def _first_contact(contact: Contact) -> None:
    contact.name = "Ada"
    contact.notes.append("Welcome")
    contact.visits += 1


def present(replica: Replica) -> list[str]:
    """Every mark that ``replica`` shows, and check that no mark was torn."""
    found: list[str] = []
    for key in KEPT:
        contact = replica.collection(Contact).get(key)
        if contact is None:
            continue
        found += [*contact.tags, *contact.numbers, *_marks_in(str(contact.notes))]
        visits = sum(tag.startswith(_VISIT) for tag in contact.tags)
        assert int(contact.visits) == visits, f"{visits} visits were kept, {contact.visits} counted"
    wiki = replica.document(WIKI)
    found += [*_marks_in(str(wiki.text("body"))), *wiki.array("list")]
    body = str(replica.document(WELCOME).text("body"))
    assert body in ("", "Welcome"), f"seeded twice: {body!r}"
    seeded = replica.collection(Contact).get(SEEDED)
    if seeded is not None:
        assert (str(seeded.notes), int(seeded.visits)) == ("Welcome", 1), f"seeded twice: {seeded}"
    return found


def mark_spans(text: str) -> list[tuple[int, int]]:
    """Where the marks in ``text`` begin and end."""
    return [match.span() for match in _MARK.finditer(text)]


def _marks_in(text: str) -> list[str]:
    assert not _MARK.sub("", text), f"torn: {text!r}"
    return _MARK.findall(text)
