"""Declarations: from the annotations of a record class to the fields of its schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import get_annotations
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from syncline.engine.document.types import ValueType
from syncline.engine.errors import SchemaError
from syncline.engine.fields import FieldView
from syncline.engine.records.schema import FieldSpec, OnConflict

from .descriptors import FieldAttribute
from .rules import check_default, check_reads, cleaning_of

if TYPE_CHECKING:
    from syncline.cleaning.field import FieldCleaner

_POLICIES = ("newest", "surface", "max", "min")
_NOT_GIVEN: Any = object()


@dataclass(frozen=True, slots=True)
class _Declaration:
    """What ``field()`` says beside the annotation."""

    default: Any = _NOT_GIVEN
    factory: Callable[[], Any] | None = None
    missing: Any = _NOT_GIVEN
    on_conflict: OnConflict = "newest"
    stored_as: str | None = None


def field(
    *,
    default: Any = _NOT_GIVEN,
    default_factory: Callable[[], Any] | None = None,
    missing: Any = _NOT_GIVEN,
    on_conflict: OnConflict = "newest",
    stored_as: str | None = None,
) -> Any:
    """Say more about a field than its annotation does.

    ``default``, or what ``default_factory`` makes, is written into a record that is created without
    the field; a field with neither must be given. ``missing`` is what records read as that were
    created before the class had the field, in rows and queries too; without it that is the default,
    if it is always the same, else None. ``on_conflict`` says what concurrent writes read as: the
    ``newest`` by time; ``surface``, which reads as the newest and lists all in
    ``record.conflicts()`` until someone writes the field again; the ``max`` or the ``min``.
    ``stored_as`` is the name by which documents know the field, where that is another: a field that
    is renamed keeps it, and goes on sharing its values with replicas that have not heard of the new
    name. Raises SchemaError.
    """
    if on_conflict not in _POLICIES:
        raise SchemaError(
            f"There is no conflict policy {on_conflict!r}.",
            hint=f"Use one of {', '.join(_POLICIES)}.",
        )
    return _Declaration(default, default_factory, missing, on_conflict, stored_as)


def declared_fields(
    cls: type, collection: str, reserved: set[str], own: set[str]
) -> dict[str, FieldAttribute]:
    """The fields that the annotations of ``cls`` declare, its own and inherited ones, by name.

    ``reserved`` names cannot be fields; ``own`` ones are annotated for the class itself. Raises
    SchemaError, WrongType.
    """
    hints = _hints(cls, reserved, own)
    typed = {name: cleaning_of(hint, f"{collection}.{name}") for name, hint in hints}
    check_reads(collection, {name: rules for name, (_, rules) in typed.items()})
    fields: dict[str, FieldAttribute] = {}
    for name, (hint, rules) in typed.items():
        declared = _declared(cls, name)
        spec = _field_spec(declared, f"{collection}.{name}", hint, rules)
        fields[name] = FieldAttribute(name, spec, declared)
    _check_stored_names(collection, {name: each.spec for name, each in fields.items()})
    return fields


def _declared(cls: type, name: str) -> Any:
    """What the class, or the nearest that it inherits from, says of the field ``name``."""
    for base in cls.__mro__:
        if name in base.__dict__:
            found = base.__dict__[name]
            return found.declared if isinstance(found, FieldAttribute) else found
        if name in get_annotations(base):
            break  # declared anew, and without a default
    return _NOT_GIVEN


def _hints(cls: type, reserved: set[str], own: set[str]) -> list[tuple[str, Any]]:
    try:
        hints = get_type_hints(cls, include_extras=True)
    except NameError as error:
        raise SchemaError(
            f"An annotation of {cls.__name__} uses a name that is not defined: {error.name}.",
            hint="Import or define it above the class, at the top level of the module.",
        ) from error
    for name in hints:
        if name in reserved or (name.startswith("_") and name not in own):
            raise SchemaError(
                f"{cls.__name__}.{name} cannot be a field, because records use that name.",
                hint="Choose another name, one that does not begin with an underscore.",
            )
    return [(name, hint) for name, hint in hints.items() if name not in own]


def _field_spec(
    declared: Any, owner: str, annotation: Any, rules: FieldCleaner | None
) -> FieldSpec:
    name = owner.rpartition(".")[2]
    origin = get_origin(annotation) or annotation
    if isinstance(origin, type) and issubclass(origin, FieldView):
        return _view_spec(declared, name, owner, annotation, origin, rules)
    if not isinstance(declared, _Declaration):
        declared = _Declaration(declared)
    value = ValueType(annotation, owner, frozen=True)
    factory = declared.factory
    constant = unwritten = None
    if declared.default is not _NOT_GIVEN:
        constant = value.encode(declared.default, owner)
        factory = _constant(declared.default)
    if factory is not None:
        example = factory()
        value.encode(example, owner)
        if rules is not None:
            check_default(rules, example, owner)
    if declared.missing is not _NOT_GIVEN:
        unwritten = value.encode(declared.missing, f"field(missing=…) of {owner}")
    return FieldSpec(
        name if declared.stored_as is None else declared.stored_as,
        value,
        None,
        factory,
        declared.on_conflict,
        None if rules is None else rules.clean,
        constant,
        unwritten,
    )


def _view_spec(
    declared: Any,
    name: str,
    owner: str,
    annotation: Any,
    view: type[FieldView],
    rules: FieldCleaner | None,
) -> FieldSpec:
    if isinstance(declared, view):
        declared = _NOT_GIVEN  # `notes: Text = Text()`, for type checkers
    if not isinstance(declared, _Declaration):
        declared = _Declaration(declared)
    wrong = (
        declared.default is not _NOT_GIVEN
        or declared.factory is not None
        or declared.missing is not _NOT_GIVEN
        or declared.on_conflict != "newest"
    )
    if wrong:
        raise SchemaError(
            f"{owner} is a {view.__name__}, which takes no default and no conflict policy.",
            hint="It starts empty and merges by itself.",
        )
    if rules is not None:
        raise SchemaError(
            f"{owner} is a {view.__name__}, which takes no cleaning rules.",
            hint="Rules clean values that are assigned, such as those of a str field.",
        )
    item = get_args(annotation) or (Any,)
    stored = name if declared.stored_as is None else declared.stored_as
    return FieldSpec(stored, ValueType(item[0], owner, frozen=True), view)


def _constant(value: Any) -> Callable[[], Any]:
    return lambda: value


def _check_stored_names(collection: str, fields: Mapping[str, FieldSpec]) -> None:
    seen: dict[str, str] = {}
    for name, spec in fields.items():
        if not spec.name.isidentifier() or spec.name.startswith("_"):
            raise SchemaError(
                f"{collection}.{name} cannot be stored as {spec.name!r}.",
                hint="stored_as takes the name that the field had before: letters, digits and "
                "underscores, beginning with a letter.",
            )
        if (other := seen.setdefault(spec.name, name)) != name:
            raise SchemaError(
                f"{collection}.{other} and {collection}.{name} are both stored as {spec.name!r}.",
                hint="Give one of them another name, or another stored_as.",
            )
