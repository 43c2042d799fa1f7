"""The scenes of the demonstration: what three devices do to one customer each while offline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from syncline import Collection

from .demo_data import Customer

Customers: TypeAlias = Collection[Customer]
Edit: TypeAlias = Callable[[Customers, str], None]


@dataclass(frozen=True, slots=True)
class Step:
    """What one device does: in words, and in fact."""

    device: str
    words: str
    edit: Edit


@dataclass(frozen=True, slots=True)
class Scene:
    """Concurrent steps on one customer; ``show`` reads what they are about, ``rule`` says why it
    comes out as it does."""

    title: str
    rule: str
    show: Callable[[Customers, str], str]
    steps: Sequence[Step]


def _set_phone(customers: Customers, key: str) -> None:
    customers[key].phone = "+44 20 7946 0958"


def _set_city(customers: Customers, key: str) -> None:
    customers[key].city = "Lisbon"


def _set_country(customers: Customers, key: str) -> None:
    customers[key].country = "Portugal"


def _rename(name: str) -> Edit:
    def edit(customers: Customers, key: str) -> None:
        customers[key].name = name

    return edit


def _set_email(email: str) -> Edit:
    def edit(customers: Customers, key: str) -> None:
        customers[key].email = email

    return edit


def _note(text: str) -> Edit:
    def edit(customers: Customers, key: str) -> None:
        customers[key].notes.append(text)

    return edit


def _visit(times: int) -> Edit:
    def edit(customers: Customers, key: str) -> None:
        customers[key].visits += times

    return edit


def _drop_tag(customers: Customers, key: str) -> None:
    customers[key].tags.discard("customer")


def _add_tags(*tags: str) -> Edit:
    def edit(customers: Customers, key: str) -> None:
        for tag in tags:
            customers[key].tags.add(tag)

    return edit


def _move_first(to_index: int) -> Edit:
    def edit(customers: Customers, key: str) -> None:
        customers[key].wishlist.move(0, to_index)

    return edit


def _wish(title: str) -> Edit:
    def edit(customers: Customers, key: str) -> None:
        customers[key].wishlist.append(title)

    return edit


def _delete(customers: Customers, key: str) -> None:
    customers.delete(key)


def _show_place(customers: Customers, key: str) -> str:
    customer = customers[key]
    return f"{customer.phone}, {customer.city}, {customer.country}"


def _show_email(customers: Customers, key: str) -> str:
    conflicts = customers[key].conflicts()
    if not conflicts:
        return str(customers[key].email)
    listed = " | ".join(str(item.value) for item in conflicts[0].values)
    return f"{customers[key].email} (conflict: {listed})"


def _show_existence(customers: Customers, key: str) -> str:
    return customers[key].name if key in customers else "deleted"


SCENES = (
    Scene(
        "different fields",
        "fields merge one by one",
        _show_place,
        (
            Step("laptop", "phone = +44 20 7946 0958", _set_phone),
            Step("phone", "city = Lisbon", _set_city),
            Step("tablet", "country = Portugal", _set_country),
        ),
    ),
    Scene(
        "the same field",
        "the newest write wins",
        lambda customers, key: customers[key].name,
        (
            Step("laptop", "name = Leonie K.", _rename("Leonie K.")),
            Step("phone", "name = L. Köhler", _rename("L. Köhler")),
            Step("tablet", "name = Dr. Leonie Köhler", _rename("Dr. Leonie Köhler")),
        ),
    ),
    Scene(
        "the same field, surfaced",
        "reads as the newest, and lists the others as a conflict",
        _show_email,
        (
            Step("laptop", "email = home@example.org", _set_email("home@example.org")),
            Step("tablet", "email = work@example.org", _set_email("work@example.org")),
        ),
    ),
    Scene(
        "a text",
        "merges character by character",
        lambda customers, key: str(customers[key].notes).strip(),
        (
            Step("laptop", "append “Called back. ”", _note("Called back. ")),
            Step("phone", "append “Sent an offer. ”", _note("Sent an offer. ")),
            Step("tablet", "append “Likes jazz. ”", _note("Likes jazz. ")),
        ),
    ),
    Scene(
        "a counter",
        "steps add up",
        lambda customers, key: str(customers[key].visits),
        (
            Step("laptop", "visits += 1", _visit(1)),
            Step("phone", "visits += 2", _visit(2)),
            Step("tablet", "visits += 4", _visit(4)),
        ),
    ),
    Scene(
        "a set",
        "an add outlives a concurrent removal",
        lambda customers, key: ", ".join(sorted(customers[key].tags)),
        (
            Step("laptop", "discard “customer”", _drop_tag),
            Step("phone", "add “customer” and “vip”", _add_tags("customer", "vip")),
            Step("tablet", "add “jazz”", _add_tags("jazz")),
        ),
    ),
    Scene(
        "a list",
        "a moved item stays one, where the newest move put it",
        lambda customers, key: ", ".join(customers[key].wishlist),
        (
            Step("laptop", "move the first item to the end", _move_first(2)),
            Step("phone", "move the first item one down", _move_first(1)),
            Step("tablet", "append “Kind of Blue”", _wish("Kind of Blue")),
        ),
    ),
    Scene(
        "delete against edit",
        "the deletion wins (unless the class says keep-edit)",
        _show_existence,
        (
            Step("laptop", "delete the customer", _delete),
            Step("phone", "name = Still here", _rename("Still here")),
            Step("tablet", "visits += 1", _visit(1)),
        ),
    ),
)
