"""Records: classes whose annotations are the fields of CRDT documents."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    TypeVar,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    overload,
)
from weakref import WeakKeyDictionary

from syncline.engine.clock import COUNTER_BITS
from syncline.engine.document.cells import cells_of
from syncline.engine.document.types import ValueType
from syncline.engine.errors import (
    SchemaError,
    SynclineError,
    UsageError,
    WrongType,
)
from syncline.engine.fields import FieldView, Host
from syncline.engine.names import Address, check_collection
from syncline.engine.records.projection import KEY, check_projectable, projected
from syncline.engine.records.schema import (
    REGISTERS,
    DeleteVsEdit,
    FieldSpec,
    OnConflict,
    Schema,
    unknown_field,
)

from .rules import check_default, check_reads, cleaning_of

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from syncline.cleaning.field import FieldCleaner

T = TypeVar("T")

_POLICIES = ("newest", "surface", "max", "min")


@dataclass(frozen=True, slots=True)
class _Declaration:
    """What ``field()`` says beside the annotation."""

    default: Callable[[], Any] | None
    on_conflict: OnConflict
    stored_as: str | None = None


_REQUIRED: Any = object()


def field(
    *,
    default: Any = _REQUIRED,
    default_factory: Callable[[], Any] | None = None,
    on_conflict: OnConflict = "newest",
    stored_as: str | None = None,
) -> Any:
    """Say more about a field than its annotation does.

    ``default`` (or ``default_factory``, called at each read) is what the field reads as while
    nobody has written it; a field without one must be given to ``create``. ``on_conflict`` says
    what concurrent writes read as: the ``newest`` by time; ``surface``, which reads as the newest
    and lists all in ``record.conflicts()`` until someone writes the field again; the ``max`` or the
    ``min``. ``stored_as`` is the name by which documents know the field, where that is another: a
    field that is renamed keeps it, and goes on sharing its values with replicas that have not heard
    of the new name. Raises SchemaError for a policy that there is not.
    """
    if on_conflict not in _POLICIES:
        raise SchemaError(
            f"There is no conflict policy {on_conflict!r}.",
            hint=f"Use one of {', '.join(_POLICIES)}.",
        )
    factory = default_factory
    if default is not _REQUIRED:
        factory = _constant(default)
    return _Declaration(factory, on_conflict, stored_as)


def _constant(value: Any) -> Callable[[], Any]:
    return lambda: value


@dataclass(frozen=True, slots=True)
class ConflictingValue:
    """One of the values written concurrently. ``written_at`` is in UTC, by the writer's clock, and
    ``client_id`` is the number of the writer's store."""

    value: Any
    written_at: datetime
    client_id: int


@dataclass(frozen=True, slots=True)
class Conflict:
    """A field that holds several concurrent values: ``values``, two or more, newest first. Writing
    the field resolves it."""

    field: str
    values: tuple[ConflictingValue, ...]


class _Key:
    """The descriptor behind ``key``."""

    @overload
    def __get__(self, record: None, owner: type[Record]) -> ColumnElement[str]: ...
    @overload
    def __get__(self, record: Record, owner: type[Record]) -> str: ...
    def __get__(self, record: Record | None, owner: type[Record]) -> ColumnElement[str] | str:
        return _column(owner, KEY) if record is None else _address_of(record).key


class Record:
    """Base of all records:

        class Contact(Record, collection="contacts"):
            name: str
            phone: str | None = None
            notes: Text

    ``delete_vs_edit="keep-edit"`` brings a deleted record back when another device edited it at the
    same time; by default the deletion wins. Records are handles: two handles of one key are equal
    and show the same content. A handle is made by a Collection, never by calling the class.

    Assigning a field is one change, immediate and local. It raises WrongType or ValueRefused for
    what cannot be stored, UnknownField for a name that is not declared, and RecordNotFound, as
    reading does, when the record was deleted. Declaring a class raises SchemaError for a field that
    cannot be one.

    On the class a field is the column of its SQL table, as in
    ``contacts.where(Contact.name == …)``. To type checkers it stays what its annotation says, and
    ``col(Contact.name)`` is the column.
    """

    __schema__: ClassVar[Schema]
    _host: Host
    _address: Address

    def __init_subclass__(
        cls, *, collection: str = "", delete_vs_edit: DeleteVsEdit = "delete-wins", **rest: Any
    ) -> None:
        super().__init_subclass__(**rest)
        if not collection:
            raise SchemaError(
                f"The record class {cls.__name__} names no collection.",
                hint=f'Write `class {cls.__name__}(Record, collection="…")`.',
            )
        hints = _hints(cls)
        typed = {name: cleaning_of(hint, f"{collection}.{name}") for name, hint in hints}
        check_reads(collection, {name: rules for name, (_, rules) in typed.items()})
        fields = {
            name: _field_spec(cls, collection, name, hint, rules)
            for name, (hint, rules) in typed.items()
        }
        _check_stored_names(collection, fields)
        cls.__schema__ = Schema(check_collection(collection), fields, delete_vs_edit)
        check_projectable(cls.__schema__)
        for name, spec in fields.items():
            setattr(cls, name, _Field(name, spec))

    def __init__(self) -> None:
        raise SchemaError(
            f"{type(self).__name__} records are not made by calling the class.",
            hint=f"Use replica.collection({type(self).__name__}).create(…).",
        )

    @classmethod
    def attach(cls, host: Host, address: Address) -> Any:
        """A handle of the record at ``address``."""
        record = object.__new__(cls)
        object.__setattr__(record, "_host", host)
        object.__setattr__(record, "_address", address)
        return record

    key = _Key()
    """What names the record in its collection: a str. On the class, the key's column."""

    def conflicts(self) -> list[Conflict]:
        """The fields declared ``on_conflict="surface"`` that hold different concurrent values.
        Raises RecordNotFound."""
        cells = cells_of(self._host.document(), REGISTERS)
        found: list[Conflict] = []
        for name, spec in self.__schema__.fields.items():
            siblings = cells.siblings(spec.name) if spec.on_conflict == "surface" else []
            if any(cell.value != siblings[0].value for cell in siblings):
                values = tuple(
                    ConflictingValue(
                        spec.value.restore(cell.value), _time_of(cell.stamp), cell.writer
                    )
                    for cell in siblings
                )
                found.append(Conflict(name, values))
        return found

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values, by name: a Text as a str, a Counter as an int, a SetOf or
        ListOf as a list, a MapOf as a dict. Raises RecordNotFound."""
        return {name: _plain(getattr(self, name)) for name in self.__schema__.fields}

    if not TYPE_CHECKING:  # type checkers would take any name for a field

        def __setattr__(self, name: str, value: Any) -> None:
            if name not in self.__schema__.fields:
                raise unknown_field(self.__schema__.collection, name, self.__schema__.fields)
            object.__setattr__(self, name, value)

        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            raise unknown_field(self.__schema__.collection, name, self.__schema__.fields)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Record):
            return NotImplemented
        return self._address == other._address and self._host.same_place(other._host)

    def __hash__(self) -> int:
        return hash(self._address)

    def __repr__(self) -> str:
        try:
            content = ", ".join(f"{name}={value!r}" for name, value in self.to_dict().items())
        except SynclineError as error:
            content = error.code
        return f"<{type(self).__name__} {self._address.key}: {content}>"


class _OtherFields(Mapping[str, Any]):
    """The fields of a record as a mapping that reads them when asked."""

    def __init__(self, record: Record) -> None:
        self._record = record

    def __getitem__(self, name: str) -> Any:
        if name not in self._record.__schema__.fields:
            raise KeyError(name)
        return getattr(self._record, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._record.__schema__.fields)

    def __len__(self) -> int:
        return len(self._record.__schema__.fields)


class _Field:
    """The descriptor behind one declared field."""

    def __init__(self, name: str, spec: FieldSpec) -> None:
        self.name = name
        self.spec = spec

    def __get__(self, record: Record | None, owner: type[Record]) -> Any:
        if record is None:
            return _column(owner, self.name)
        if self.spec.view is not None:
            return self._view(record)
        cell = self.spec.choose(cells_of(_host_of(record).document(), REGISTERS))
        if cell is not None:
            return self.spec.value.restore(cell.value)
        return self.spec.default() if self.spec.default else None

    def __set__(self, record: Record, value: Any) -> None:
        where = f"{record.__schema__.collection}.{self.name}"
        if self.spec.view is not None:
            if self._view(record).same_as(value):
                return  # `record.visits += 1` has counted and now assigns the view that it got
            raise WrongType(
                f"{where} is a {self.spec.view.__name__}, which is edited, not assigned.",
                hint="Use its methods, for example append, add, insert or +=.",
            )
        host = _host_of(record)
        precisely = f"{_address_of(record)}.{self.name}"
        encoded = self.spec.encode(value, _OtherFields(record), where, precisely)
        with host.writing() as document:
            cells = cells_of(document, REGISTERS)
            cells.write(self.spec.name, encoded, host.tick(cells.stamp(self.spec.name)))

    def _view(self, record: Record) -> FieldView:
        if self.spec.view is None:
            raise AssertionError("a register has no view")
        collection = record.__schema__.collection
        return self.spec.view(_host_of(record), collection, self.spec.name, self.spec.value)


def _host_of(record: Record) -> Host:
    host: Host = object.__getattribute__(record, "_host")
    return host


def _address_of(record: Record) -> Address:
    address: Address = object.__getattribute__(record, "_address")
    return address


_columns: WeakKeyDictionary[type[Record], Mapping[str, ColumnElement[Any]]] = WeakKeyDictionary()


def columns_of(model: type[Record]) -> Mapping[str, ColumnElement[Any]]:
    """The columns of the table of ``model`` by field, and ``key``; always the same objects."""
    columns = _columns.get(model)
    if columns is None:
        from syncline.stores.tables.projection import sql_table

        made = dict(sql_table(projected(model.__schema__)).c.items())
        columns = _columns.setdefault(model, made)  # another thread may have been faster
    return columns


def _column(model: type[Record], name: str) -> ColumnElement[Any]:
    if "__schema__" not in model.__dict__:
        raise AttributeError(f"{model.__name__} has no columns")
    return columns_of(model)[name]


def col(field: T) -> ColumnElement[T]:
    """The column of a field, for type checkers: ``col(Contact.phone).is_not(None)``.

    Raises UsageError for anything but a field taken from a record class.
    """
    from sqlalchemy import ColumnElement

    value: Any = field
    if not isinstance(value, ColumnElement):
        raise UsageError(
            f"{value!r:.60} is not a field of a record class.",
            hint="Write col(Contact.name), with the class and not with a record.",
        )
    return cast("ColumnElement[T]", value)


def _plain(value: Any) -> Any:
    return value.to_plain() if isinstance(value, FieldView) else value


def _time_of(stamp: int) -> datetime:
    return datetime.fromtimestamp((stamp >> COUNTER_BITS) / 1000, UTC)


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


def _hints(cls: type[Record]) -> list[tuple[str, Any]]:
    inherited = {"__schema__", "_host", "_address"}
    try:
        hints = get_type_hints(cls, include_extras=True)
    except NameError as error:
        raise SchemaError(
            f"An annotation of {cls.__name__} uses a name that is not defined: {error.name}.",
            hint="Import or define it above the class, at the top level of the module.",
        ) from error
    reserved = {name for name in vars(Record) if not name.startswith("__")} - inherited
    for name in hints:
        if name in reserved or (name.startswith("_") and name not in inherited):
            raise SchemaError(
                f"{cls.__name__}.{name} cannot be a field, because records use that name.",
                hint="Choose another name, one that does not begin with an underscore.",
            )
    return [(name, hint) for name, hint in hints.items() if name not in inherited]


def _field_spec(
    cls: type[Record], collection: str, name: str, annotation: Any, rules: FieldCleaner | None
) -> FieldSpec:
    owner = f"{collection}.{name}"
    declared: Any = cls.__dict__.get(name, _REQUIRED)
    if not isinstance(declared, _Declaration):
        default = None if declared is _REQUIRED else _constant(declared)
        declared = _Declaration(default, "newest")
    stored = name if declared.stored_as is None else declared.stored_as
    origin = get_origin(annotation) or annotation
    if isinstance(origin, type) and issubclass(origin, FieldView):
        view: type[FieldView] = origin
        if declared.default is not None or declared.on_conflict != "newest":
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
        return FieldSpec(stored, ValueType(item[0], owner), view)
    value = ValueType(annotation, owner)
    if declared.default is not None:
        value.encode(declared.default(), owner)
        if rules is not None:
            check_default(rules, declared.default(), owner)
    clean = None if rules is None else rules.clean
    return FieldSpec(stored, value, None, declared.default, declared.on_conflict, clean)
