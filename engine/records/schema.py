"""Schemas: what a collection's records are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from syncline.engine.document.cells import Cell, Cells
from syncline.engine.document.document import Document
from syncline.engine.document.types import ValueType
from syncline.engine.errors import InvalidValue, SchemaMismatch, UnknownField, ValueRefused
from syncline.engine.fields import FieldView, ListOf, MapOf, SetOf, Text
from syncline.engine.fields.list_layout import ARRAY
from syncline.engine.suggestions import did_you_mean

Cleaner: TypeAlias = Callable[[Any, Mapping[str, Any]], Any]
"""Gives the form of a value that is stored, by the other fields of its record. Raises
InvalidValue."""
OnConflict: TypeAlias = Literal["newest", "surface", "max", "min"]
DeleteVsEdit: TypeAlias = Literal["delete-wins", "keep-edit"]

REGISTERS = "fields"
"""The root map that holds the registers of a record."""
REGISTER = "register"
"""The kind of a field that holds one value."""
CELL_ROOTS = (SetOf.kind, ListOf.kind, MapOf.kind)
"""The kinds of fields that have a root map of cells of their own."""
LIVE = "$live"
"""The register that says whether the record exists; deleting writes false into it."""


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One field: a register when ``view`` is None, else a shared type with that view.

    ``name`` is the one that documents store; the schema knows the field by that of its attribute,
    which may be another after a renaming. ``value`` is the type of the register, or of the items of
    a SetOf, ListOf or MapOf. ``default`` makes what is written when a record is created without the
    field; ``constant`` is that in its encoded form, if it is always the same. ``unwritten`` is the
    encoded value that a record shows in which nobody has written the field, because it is older
    than the field or than the storing of defaults.
    """

    name: str
    value: ValueType
    view: type[FieldView] | None = None
    default: Callable[[], Any] | None = None
    on_conflict: OnConflict = "newest"
    clean: Cleaner | None = None
    constant: bytes | None = None
    unwritten: bytes | None = None

    def __post_init__(self) -> None:
        if self.unwritten is None and self.default is not None:
            object.__setattr__(self, "unwritten", self.constant or self._unwritten(self.default))

    def _unwritten(self, default: Callable[[], Any]) -> bytes | None:
        first, second = (self.value.encode(default(), self.name) for _ in range(2))
        # A factory that makes something new each time has nothing that all readers could show.
        return first if first == second else None

    @property
    def kind(self) -> str:
        """What decides the layout: ``register`` or the view's kind."""
        return REGISTER if self.view is None else self.view.kind

    def encode(self, value: Any, others: Mapping[str, Any], owner: str, where: str) -> bytes:
        """The encoded form of ``value``, cleaned by ``others``, the other fields of its record.

        ``owner`` is the field in its collection, ``where`` the field of the very record. Raises
        WrongType, ValueRefused.
        """
        if self.clean is None:
            return self.value.encode(value, owner)
        try:
            cleaned = self.clean(value, others)
        except InvalidValue as error:
            self.value.encode(value, owner)  # WrongType says more than that a rule refused it
            raise ValueRefused(
                f"{where}: {error.message.removesuffix('.')} (rule {error.rule}).", hint=error.hint
            ) from error
        return self.value.encode(cleaned, owner)

    def choose(self, cells: Cells) -> Cell | None:
        """The cell that this field shows, by its policy."""
        siblings = cells.siblings(self.name)
        if len(siblings) > 1 and self.on_conflict in ("max", "min"):
            siblings = written(siblings)
            extreme = max if self.on_conflict == "max" else min
            try:
                return extreme(siblings, key=lambda cell: cell.value)
            except TypeError:  # None beside a number: they do not compare, so time decides
                return siblings[0]
        return siblings[0] if siblings else None


def written(siblings: list[Cell]) -> list[Cell]:
    """The cells among ``siblings``, which are newest first, that stand for a conflict: a default,
    whose stamp is 0, is none beside what somebody wrote."""
    return [cell for cell in siblings if cell.stamp] or siblings


@dataclass(frozen=True, slots=True)
class Schema:
    """The fields of one collection, by the name of their attribute, and its policies.

    ``kinds`` are their kinds by stored name, ``attributes`` the names of their attributes by stored
    name.
    """

    collection: str
    fields: Mapping[str, FieldSpec]
    delete_vs_edit: DeleteVsEdit = "delete-wins"
    kinds: Mapping[str, str] = field(init=False)
    attributes: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        kinds = {spec.name: spec.kind for spec in self.fields.values()}
        attributes = {spec.name: name for name, spec in self.fields.items()}
        object.__setattr__(self, "kinds", kinds)
        object.__setattr__(self, "attributes", attributes)

    def watch(self, document: Document) -> None:
        """Open the roots of every field, so that ``document.touched`` tells of changes in them."""
        document.map(REGISTERS)
        for name, kind in self.kinds.items():
            if kind == Text.kind:
                document.text(f"{kind}:{name}")
            elif kind != REGISTER:
                document.map(f"{kind}:{name}")
            if kind == ListOf.kind:
                document.array(f"{ARRAY}:{name}")

    def field(self, name: str) -> FieldSpec:
        """The field called ``name``. Raises UnknownField."""
        try:
            return self.fields[name]
        except KeyError:
            raise unknown_field(self.collection, name, self.fields) from None

    def check_against(self, stored: Mapping[str, str]) -> None:
        """Raise SchemaMismatch if a field's data was written with another kind of field."""
        for name, kind in self.kinds.items():
            before = stored.get(name, kind)
            if before != kind:
                raise SchemaMismatch(
                    f"{self.collection}.{name} is declared as a {kind}, but this store holds it as "
                    f"a {before}.",
                    hint=f"Give the new {kind} another name and copy the old values over; data of "
                    "one kind is never read as another.",
                )


def unknown_field(owner: str, name: str, known: Iterable[str]) -> UnknownField:
    """The error for a field that ``owner`` does not declare, with the likeliest one meant."""
    return UnknownField(
        f"{owner} has no field {name!r}.",
        hint=did_you_mean(name, known, "Its fields are"),
    )
