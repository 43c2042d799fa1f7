"""Records that tests use."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from enum import Enum

from syncline import Counter, ListOf, MapOf, Record, Replica, SetOf, Text, field


class Stage(Enum):
    LEAD = "lead"
    CUSTOMER = "customer"


class Contact(Record, collection="contacts"):
    name: str
    phone: str | None = None
    email: str | None = field(default=None, on_conflict="surface")
    stage: Stage = Stage.LEAD
    credit: Decimal = field(default=Decimal("0.00"), on_conflict="max")
    born: date | None = None
    notes: Text
    visits: Counter
    tags: SetOf[str]
    numbers: ListOf[str]
    extra: MapOf[int]


class Draft(Record, collection="drafts", delete_vs_edit="keep-edit"):
    title: str
    body: Text


def link_of(replica: Replica) -> str:
    """The state of the link, as a plain string: type checkers take it for constant otherwise."""
    return replica.status.link
