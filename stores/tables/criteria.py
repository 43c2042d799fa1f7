"""Criteria that are not mistaken for truth values.

``where(A == x and B == y)`` would drop a criterion in silence: ``and``, ``or``, ``not`` and ``in``
ask an expression for its truth, and SQLAlchemy gives one for ``==``.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NoReturn, cast
from weakref import WeakSet

from sqlalchemy import ColumnElement
from sqlalchemy.sql.operators import OperatorType

from syncline.engine.errors import UsageError

_guarded: WeakSet[type[Any]] = WeakSet()
"""The classes made by ``_guarded_class``."""


def _no_truth(expression: Any) -> NoReturn:
    raise UsageError(
        f"The expression {expression!s:.60} is neither true nor false before the database "
        "evaluates it.",
        hint="Join criteria by commas, & and |, negate with ~, and ask whether a field is one of "
        "several with col(field).in_([…]): `and`, `or`, `not` and `in` work at once.",
    )


def _no_elements(expression: Any, _item: object) -> NoReturn:
    raise UsageError(
        f"`in` cannot ask {expression!s:.60} for an element.",
        hint="Write col(field).contains(element).",
    )


@cache
def _guarded_class(kind: type[Any]) -> type[Any]:
    def operate(self: Any, op: OperatorType, *other: Any, **kwargs: Any) -> Any:
        return guarded(kind.operate(self, op, *other, **kwargs))

    def reverse_operate(self: Any, op: OperatorType, other: Any, **kwargs: Any) -> Any:
        return guarded(kind.reverse_operate(self, op, other, **kwargs))

    # One base only: the class of an expression can change to one of the same layout.
    made = type(
        kind.__name__,
        (kind,),
        {
            "__slots__": (),
            "__module__": __name__,
            "__bool__": _no_truth,
            "__contains__": _no_elements,
            "__hash__": kind.__hash__,
            "operate": operate,
            "reverse_operate": reverse_operate,
            "inherit_cache": True,
        },
    )
    _guarded.add(made)
    return made


def guarded(expression: ColumnElement[Any]) -> ColumnElement[Any]:
    """``expression``, changed so that to take it for a truth value raises UsageError, as does what
    operators make of it."""
    if type(expression) not in _guarded:
        cast("Any", expression).__class__ = _guarded_class(cast("Any", type(expression)))
    return expression
