"""Creating and deleting a record: what it is given, what it gets by default, what is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from syncline.engine.document.cells import cells_of
from syncline.engine.document.document import Document
from syncline.engine.document.values import encode_value
from syncline.engine.errors import UsageError
from syncline.engine.fields import Host
from syncline.engine.records.emptying import begin_empty, purge
from syncline.engine.records.liveness import is_live, write_live
from syncline.engine.records.schema import LIVE, REGISTERS, Schema

from .descriptors import address_of, host_of, schema_of


@dataclass(frozen=True, slots=True)
class NewRecord:
    """The content of a record that is to be created.

    ``given`` and ``defaults`` are encoded registers by stored name, ``contents`` the initial
    content of the other fields by attribute.
    """

    given: Mapping[str, bytes]
    defaults: Mapping[str, bytes]
    contents: Mapping[str, Any]


def lacking(schema: Schema, fields: Mapping[str, Any]) -> str | None:
    """A field that has no default and is not among ``fields``; None if there is none."""
    for name, spec in schema.fields.items():
        if spec.view is None and spec.default is None and name not in fields:
            return name
    return None


def new_record(schema: Schema, fields: Mapping[str, Any], where: str) -> NewRecord:
    """What a record is made of that is given ``fields``. ``where`` names it in errors.

    Raises UnknownField, WrongType, ValueRefused.
    """
    for name in fields:
        schema.field(name)
    specs = schema.fields
    # Each factory is asked once: the rules see the very value that is written.
    values = {
        name: spec.default()
        for name, spec in specs.items()
        if spec.default is not None and name not in fields
    }
    values.update(fields)
    given: dict[str, bytes] = {}
    defaults: dict[str, bytes] = {}
    for name, value in values.items():
        spec = specs[name]
        if spec.view is not None:
            continue
        owner, precisely = f"{schema.collection}.{name}", f"{where}.{name}"
        if name in fields:
            given[spec.name] = spec.encode(value, values, owner, precisely)
        else:
            defaults[spec.name] = spec.constant or spec.encode(value, values, owner, precisely)
    contents = {name: value for name, value in fields.items() if specs[name].view is not None}
    return NewRecord(given, defaults, contents)


def from_draft(draft: Any) -> NewRecord:
    """What ``draft``, a record in no collection, holds."""
    schema = schema_of(draft)
    cells = cells_of(host_of(draft).document(), REGISTERS)
    given: dict[str, bytes] = {}
    defaults: dict[str, bytes] = {}
    contents: dict[str, Any] = {}
    for name, spec in schema.fields.items():
        if spec.view is not None:
            if plain := getattr(draft, name).to_plain():
                contents[name] = plain
        elif (cell := cells.newest(spec.name)) is not None:
            encoded = encode_value(cell.value, where=f"{schema.collection}.{name}")
            (given if cell.stamp else defaults)[spec.name] = encoded
    return NewRecord(given, defaults, contents)


def write_new(document: Document, host: Host, schema: Schema, new: NewRecord) -> None:
    """Create the record, with its registers. Call inside the document's transaction.

    Where a deleted record was, it begins empty. Defaults are as old as that deletion, or have the
    stamp 0: what anyone wrote since is newer.
    """
    cells = cells_of(document, REGISTERS)
    deletion = cells.newest(LIVE)
    if deletion is not None:
        begin_empty(document, (*new.given, *new.defaults))
    before = deletion.stamp if deletion else 0
    write_live(document, True, schema.delete_vs_edit, host.tick(before))
    for name, encoded in new.given.items():
        cells.write(name, encoded, host.tick(cells.stamp(name)))
    for name, encoded in new.defaults.items():
        cells.write(name, encoded, before)


def delete_record(record: Any) -> None:
    """Delete it. Raises RecordNotFound, UsageError for a draft."""
    if not address_of(record).key:
        raise UsageError(
            f"This {type(record).__name__} is in no collection.",
            hint="Only what was created, or added with collection.add(record), can be deleted.",
        )
    host = host_of(record)
    with host.writing() as document:
        _write_deletion(document, host, schema_of(record))


def purge_record(document: Document, host: Host, schema: Schema) -> None:
    """Delete the record, if it exists, with all that it holds. Call inside the document's
    transaction."""
    purge(document)
    if is_live(document):
        _write_deletion(document, host, schema)


def _write_deletion(document: Document, host: Host, schema: Schema) -> None:
    stamp = host.tick(cells_of(document, REGISTERS).stamp(LIVE))
    write_live(document, False, schema.delete_vs_edit, stamp)
