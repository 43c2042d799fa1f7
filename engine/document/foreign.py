"""Members of an Enum or a Literal that only another version of the program knows.

Such a value reads as what is stored, a str or a number, and remembers whose it is: so it can be
written back, alone or inside a list or a dict, and an edit by the older program keeps it. A plain
str of the same content is refused as ever, because it may be a slip of the pen.
"""

from __future__ import annotations

from typing import Any, cast


class ForeignMember:
    """A stored value of ``declared``, an Enum or a Literal, that is none of its members here."""

    declared: Any

    @property
    def value(self) -> Any:
        """What is stored, as a member's ``value`` would be."""
        base: Any = next(base for base in _BASES if isinstance(self, base))
        return base(self)

    @property
    def name(self) -> str:
        """What is stored, as text: its name is not known here."""
        return str(self.value)


class _ForeignText(ForeignMember, str):  # noqa: SLOT000 - it says whose it is
    pass


class _ForeignInt(ForeignMember, int):
    pass


class _ForeignFloat(ForeignMember, float):
    pass


class _ForeignBytes(ForeignMember, bytes):
    pass


_BASES: dict[type[Any], Any] = {
    str: _ForeignText,
    int: _ForeignInt,
    float: _ForeignFloat,
    bytes: _ForeignBytes,
}


def foreign_member(stored: Any, declared: Any) -> Any:
    """``stored`` as a member of ``declared`` that is not known here; as it is, if it is none of the
    types that enums usually have."""
    kind = _BASES.get(cast("type[Any]", type(stored)))
    if kind is None:
        return stored
    member = kind(stored)
    member.declared = declared
    return member
