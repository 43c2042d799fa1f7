"""Criteria are no truth values: `and`, `or`, `not` and `in` raise instead of dropping one."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from syncline import Record, Replica, SetOf, Text, col
from syncline.engine.errors import UsageError


class Contact(Record, collection="contacts"):
    name: str
    age: int = 0
    done: bool = False
    price: Decimal = Decimal(0)
    notes: Text
    tags: SetOf[str]


C: Any = Contact
NAME: Any = Contact.name == "Ada"  # to a type checker a bool
AGE: Any = Contact.age == 3
MISUSED: list[Callable[[], Any]] = [
    lambda: NAME and AGE,
    lambda: NAME or AGE,
    lambda: not NAME,
    lambda: AGE != 3 and NAME,
    lambda: C.name != "Ada" and AGE,
    lambda: 0 < C.age < 3,
    lambda: C.age > 0 and NAME,
    lambda: C.done and NAME,
    lambda: not C.done,
    lambda: C.key == "a" or NAME,
    lambda: C.price == 1 and NAME,
    lambda: C.price < 1 and NAME,
    lambda: (NAME & AGE) and C.done,
    lambda: (NAME | AGE) or C.done,
    lambda: ~NAME and AGE,
    lambda: C.name.like("a%") and AGE,
    lambda: C.name.in_(["a"]) and AGE,
    lambda: C.name.is_(None) or AGE,
    lambda: C.name.is_not(None) or AGE,
    lambda: C.age.between(1, 2) and NAME,
    lambda: C.tags.contains("x") and NAME,
    lambda: C.notes.contains("x") and NAME,
    lambda: C.age + 1 == 3 and NAME,
    lambda: 1 + C.age == 3 and NAME,
    lambda: func.coalesce(C.name, "") == "x" and NAME,
    lambda: C.name in ("Ada", "Bob"),
    lambda: C.name in ["Ada", "Bob"],
    lambda: "Ada" in C.name,
    lambda: "x" in C.tags,
    lambda: NAME in [AGE, C.done],
    lambda: "x" if NAME else "y",
]


@pytest.mark.parametrize("number", range(len(MISUSED)))
def test_an_expression_is_neither_true_nor_false(number: int) -> None:
    with pytest.raises(UsageError, match=r"is neither true nor false|cannot ask") as refused:
        MISUSED[number]()
    assert "&" in str(refused.value.hint) or ".contains(" in str(refused.value.hint)


async def test_what_is_meant_works(tmp_path: Path) -> None:
    async with Replica.open(tmp_path / "a.db", models=[Contact]) as replica:
        contacts = replica.collection(Contact)
        contacts.create(key="a", name="Ada", age=3, price=Decimal("9.5"), tags={"x"})
        contacts.create(key="b", name="Ada", age=4, price=Decimal(10), notes="hello")
        contacts.create(key="c", name="Bob", age=3, done=True)

        def keys(*criteria: Any) -> str:
            return "".join(contact.key for contact in contacts.where(*criteria))

        assert keys(NAME, AGE) == keys(NAME & AGE) == "a"
        assert keys(NAME | AGE) == "abc"
        assert keys(~NAME) == keys(C.name != "Ada") == keys(C.done) == "c"
        assert keys((C.age > 2) & (C.age < 4)) == keys(C.age.between(2, 3)) == "ac"
        assert keys(C.name.in_(["Bob", "Eve"])) == "c"
        assert keys(C.tags.contains("x")) == "a"
        assert keys(C.price > 9) == keys(NAME) == "ab"
        assert keys(func.lower(C.name) == "ada", C.age + 1 == 5) == "b"
        assert keys(C.key.in_(select(C.key).where(NAME & AGE))) == "a"
        order = contacts.where(NAME).order_by(col(Contact.price).desc(), func.lower(C.name))
        assert [contact.key for contact in order] == ["b", "a"]
        assert {Contact.name: 1}[Contact.name] == 1  # they are hashed by what they are
