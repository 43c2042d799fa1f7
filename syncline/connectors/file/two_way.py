"""The tables of a two-way pipeline's file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from syncline.engine.records.schema import DeleteVsEdit
from syncline.engine.suggestions import did_you_mean

from .common import HALF, PIPELINE_KEYS, check_urls, read_common, read_notify
from .reader import Reader
from .spec import ConflictPolicy, MappedField, MappedRecord, Prefer, RelaySpec, SystemSpec, TwoWay
from .text import is_url

_COLLECTION = re.compile(r"[a-z0-9][a-z0-9_-]*")


def read_two_way(spec: Mapping[str, Any], head: Mapping[str, Any], read: Reader) -> TwoWay:
    """The pipeline; what is wrong is in ``read.problems``."""
    read.known(spec, ("pipeline", "system", "record", "notify"), "")
    read.known(head, (*PIPELINE_KEYS, "relay", "relay_token"), "pipeline")
    systems: dict[str, tuple[SystemSpec, str]] = {}
    captures: dict[str, Any] = {}
    tables = read.table(spec, "system", "")
    for name in tables:
        where = f"system.{name}"
        table = read.table(tables, name, "system.")
        read.name(name, where)
        read.known(table, ("url", "capture"), where)
        systems[name] = (read.system(table, name, where), where)
        captures[name] = read.capture(table, where)
    relay = _relay(head, read)
    if len(systems) < 2 and not (systems and relay):
        read.problem("system", "There have to be two systems or more.", "Write [system.NAME].")
    check_urls(systems, read)
    specs = read.table(spec, "record", "")
    if not specs:
        read.problem("record", "There is no record.", "Write [record.NAME] with its tables.")
    records = {
        name: _record(
            name, read.table(specs, name, "record."), list(systems), specs, relay is not None, read
        )
        for name in specs
    }
    for name in specs if relay is not None else ():
        if not _COLLECTION.fullmatch(name):
            message = f"At a relay {name!r:.60} cannot name a record."
            hint = "There, names have lower-case letters, digits, - and _."
            read.problem(f"record.{name}", message, hint)
    for name in systems:
        if specs and not any(name in record.tables for record in records.values()):
            message = f"No record is in the system {name}."
            read.problem(f"system.{name}", message, "Add it to a record's `in`, or remove it.")
    for name in systems:
        used: dict[str, str] = {}
        for record in records.values():
            shared = record.tables.get(name)
            if shared and used.setdefault(shared, record.name) != record.name:
                message = f"{record.name} and {used[shared]} are in the same table of {name}."
                read.problem(f"record.{record.name}.in", message, "Give each a table.")
    return TwoWay(
        **read_common(head, read),
        systems={name: system for name, (system, _) in systems.items()},
        notify=read_notify(spec, records, read),
        captures=captures,
        records=records,
        relay=relay,
    )


def _relay(head: Mapping[str, Any], read: Reader) -> RelaySpec | None:
    url = read.text(head, "relay", "pipeline", "")
    token = read.text(head, "relay_token", "pipeline", "")
    if url and not is_url(url, ("ws", "wss")):
        read.problem("pipeline.relay", "It is no ws or wss URL.", 'Write "ws://host:8765/name".')
    if token and not url:
        read.problem("pipeline.relay_token", "There is no relay.", "Name it in relay.")
    return RelaySpec(url, token or None) if url else None


def _record(
    name: str,
    spec: Mapping[str, Any],
    systems: list[str],
    records: Mapping[str, Any],
    alone: bool,
    read: Reader,
) -> MappedRecord:
    where = f"record.{name}"
    read.name(name, where)
    read.known(spec, ("in", "match", "on_delete", "delete_vs_edit", "max_deletes", "field"), where)
    hint = 'Write in = { crm = "contacts", … }.'
    tables: dict[str, str] = {}
    for system, table in read.table(spec, "in", f"{where}.", hint).items():
        if not _is_system(system, systems, f"{where}.in.{system}", read):
            continue
        if not isinstance(table, str) or not table.strip():
            read.problem(f"{where}.in.{system}", "It has to be the name of a table.", hint)
        tables[system] = table if isinstance(table, str) else ""
    if len(tables) < (1 if alone else 2) and isinstance(spec.get("in", {}), dict):
        message = "It has to be in two systems or more."
        read.problem(f"{where}.in", message, hint)
    specs = read.table(spec, "field", f"{where}.")
    fields = {
        each: _field(
            each, read.table(specs, each, f"{where}.field."), name, list(tables), records, read
        )
        for each in specs
    }
    if not fields:
        hint = f"Write [record.{name}.field.NAME]."
        read.problem(where, "It has no fields.", hint)
    match = read.texts(spec, "match", where)
    read.names(match, fields, "field", f"{where}.match")
    for each, mapped in fields.items():
        for other in sorted(mapped.cleaner.reads):
            if other in fields:
                continue
            message = f"Its rules read the field {other!r:.60}, which is not there."
            read.problem(f"{where}.field.{each}", message, did_you_mean(other, fields))
    _check_once(where, fields, read)
    policies: tuple[DeleteVsEdit, ...] = ("delete-wins", "keep-edit")
    return MappedRecord(
        name=name,
        tables=tables,
        fields=fields,
        match=match,
        on_delete=read.choice(spec, "on_delete", where, ("mark", "apply", "ignore"), "mark"),
        delete_vs_edit=read.choice(spec, "delete_vs_edit", where, policies, "delete-wins"),
        max_deletes=read.limit(spec, "max_deletes", where, HALF) or HALF,
    )


def _check_once(where: str, fields: Mapping[str, MappedField], read: Reader) -> None:
    used: dict[tuple[str, str], str] = {}
    for name, mapped in fields.items():
        for system, columns in mapped.columns.items():
            for column in columns:
                other = used.setdefault((system, column), name)
                if other != name or columns.count(column) > 1:
                    message = f"The column {column} of {system} is {other} already."
                    read.problem(f"{where}.field.{name}.in", message, "A column is in one field.")


def _is_system(name: str, systems: list[str], where: str, read: Reader) -> bool:
    if name in systems:
        return True
    hint = did_you_mean(name, systems) if systems else "Write [system.NAME]."
    read.problem(where, f"There is no system {name!r:.60} here.", hint)
    return False


def _field(
    name: str,
    spec: Mapping[str, Any],
    record: str,
    systems: list[str],
    records: Mapping[str, Any],
    read: Reader,
) -> MappedField:
    where = f"record.{record}.field.{name}"
    read.name(name, where)
    own = ("in", "conflict", "owner", "ref")
    cleaner = read.cleaner(spec, where, own)
    columns: dict[str, tuple[str, ...]] = {}
    placed = spec.get("in", name)
    hint = 'Write in = { crm = "column", … }, or in = "column".'
    if isinstance(placed, str) and placed.strip():
        columns = dict.fromkeys(systems, (placed,))
    elif isinstance(placed, dict):
        for system in cast("dict[str, Any]", placed):
            at = f"{where}.in.{system}"
            if _is_system(system, systems, at, read):
                found = read.texts(cast("dict[str, Any]", placed), system, f"{where}.in")
                columns[system] = found
                if cast("dict[str, Any]", placed)[system] == []:
                    read.problem(at, "It names no column.", f'Write {system} = "column".')
        if not placed:
            read.problem(f"{where}.in", "It is in no system.", hint)
    else:
        read.problem(f"{where}.in", "It has to say its columns.", hint)
    ref = read.text(spec, "ref", where, "") or None
    if ref is not None:
        _check_ref(ref, f"{where}.ref", columns, records, read)
    owner = read.text(spec, "owner", where, "") or None
    if owner is not None:
        _is_system(owner, list(columns), f"{where}.owner", read)
    return MappedField(name, columns, cleaner, _conflict(spec, where, columns, read), owner, ref)


def _check_ref(
    ref: str,
    where: str,
    columns: Mapping[str, tuple[str, ...]],
    records: Mapping[str, Any],
    read: Reader,
) -> None:
    if ref not in records:
        read.names([ref], records, "record", where)
        return
    if any(len(each) > 1 for each in columns.values()):
        read.problem(where, "It is in one column per system.", "Name one column.")
    tables: Any = read.table(records, ref, "record.").get("in")
    for system in columns:
        if isinstance(tables, dict) and system not in tables:
            message = f"The record {ref} is not in the system {system}, and this field is."
            read.problem(where, message, f"Add {system} to `in` of {ref}, or remove it here.")


def _conflict(
    spec: Mapping[str, Any], where: str, columns: Mapping[str, Any], read: Reader
) -> ConflictPolicy:
    value = spec.get("conflict", "newest")
    if isinstance(value, dict):
        table = cast("dict[str, Any]", value)
        read.known(table, ("prefer",), f"{where}.conflict")
        systems = read.texts(table, "prefer", f"{where}.conflict")
        for system in systems:
            _is_system(system, list(columns), f"{where}.conflict.prefer", read)
        if not table.get("prefer"):
            message, hint = "It prefers no system.", 'Write conflict = { prefer = ["crm"] }.'
            read.problem(f"{where}.conflict", message, hint)
        return Prefer(systems)
    return read.choice(spec, "conflict", where, ("newest", "surface"), "newest")
