"""Tables in a program of many threads, which sets what belongs to all of it as it likes."""

from __future__ import annotations

import decimal
import threading
from typing import Any

import pytest

from syncline import Record
from syncline.records.columns import columns_of
from syncline.stores.tables import projection
from tests.stores.opening import at_once


def test_the_columns_of_a_model_are_the_same_in_every_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those of another table object would make a query read the table twice."""

    class Note(Record, collection="notes"):
        text: str

    both = threading.Barrier(2)
    make = projection.sql_table

    def together(table: Any) -> Any:
        made = make(table)
        both.wait(60)  # neither of them finds what the other made
        return made

    monkeypatch.setattr(projection, "sql_table", together)
    one, other = at_once(lambda: columns_of(Note), lambda: columns_of(Note))
    assert one is other
    assert columns_of(Note) is one


def test_decimals_compare_alike_whatever_the_context_of_the_program() -> None:
    def found() -> list[int]:
        pairs = [
            ("x", "1"),
            ("1", "x"),
            ("x", "y"),
            ("!", "1"),
            ("NaN", "1"),
            ("10", "9"),
            ("1.0", "1"),
            ("2", "1e-40"),
        ]
        return [projection.compare_decimals(one, other) for one, other in pairs]

    expected = found()
    assert expected == [-1, 1, -1, -1, -1, 1, 0, 1]
    with decimal.localcontext(decimal.Context(prec=1, traps=[])):
        assert found() == expected
