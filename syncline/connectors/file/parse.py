"""The tables of a pipeline file as pipelines, one-way and two-way."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, cast

from syncline.cleaning.field import meant
from syncline.engine.records.schema import DeleteVsEdit

from .reader import Reader
from .spec import (
    Conflict,
    Limit,
    MappedField,
    MappedRecord,
    Notify,
    OneWay,
    Prefer,
    RelaySpec,
    SystemSpec,
    TableSpec,
    TwoWay,
)
from .text import is_url

_COLLECTION = re.compile(r"[a-z0-9][a-z0-9_-]*")
_HALF = Limit(percent=50)
_PIPELINE = ("name", "purpose", "mode", "every", "stop_if_over")


def read_pipeline(spec: Mapping[str, Any], read: Reader) -> OneWay | TwoWay | None:
    """The pipeline, as far as it can be read; what is wrong is in ``read.problems``."""
    if "pipeline" not in spec:
        read.problem("pipeline", "The table [pipeline] is missing.", "Begin with [pipeline].")
    head = read.table(spec, "pipeline", "")
    mode = head.get("mode")
    if mode == "one-way":
        return _one_way(spec, head, read)
    if mode == "two-way":
        return _two_way(spec, head, read)
    message = "It is missing." if mode is None else f"There is no mode {mode!r:.40}."
    read.problem("pipeline.mode", message, 'Write mode = "one-way" or mode = "two-way".')
    # For the problems of the rest.
    if spec.keys() & {"source", "destination", "table"}:
        _one_way(spec, head, read)
    elif spec.keys() & {"system", "record"}:
        _two_way(spec, head, read)
    else:
        tables = ("source", "destination", "table", "system", "record")
        read.known(spec, ("pipeline", *tables, "notify"), "")
        read.known(head, (*_PIPELINE, "relay"), "pipeline")
        _common(head, read)
    return None


def _common(head: Mapping[str, Any], read: Reader) -> dict[str, Any]:
    name = read.text(head, "name", "pipeline")
    if name:
        read.name(name, "pipeline.name")
    return {
        "name": name,
        "purpose": read.text(head, "purpose", "pipeline", ""),
        "every": read.seconds(head, "every", "pipeline", "30s"),
        "stop_if_over": read.limit(head, "stop_if_over", "pipeline", None),
    }


def _check_urls(systems: Mapping[str, tuple[SystemSpec, str]], read: Reader) -> None:
    seen: dict[str, str] = {}
    for spec, where in systems.values():
        other = seen.setdefault(spec.url, where)
        if spec.url and other != where:
            message = f"It is the same database as {other}."
            read.problem(f"{where}.url", message, "Name two databases.")


def _notify(
    spec: Mapping[str, Any], records: Mapping[str, MappedRecord] | None, read: Reader
) -> tuple[Notify, ...]:
    found: list[Notify] = []
    for where, each in read.array(spec, "notify"):
        read.known(each, ("url", "on", "fields"), where)
        url = read.text(each, "url", where)
        if url and not is_url(url, ("http", "https")):
            read.problem(f"{where}.url", "It is no http or https URL.", "Write https://….")
        on = read.texts(each, "on", where)
        fields = read.texts(each, "fields", where)
        if records is not None:
            read.names(on, records, "record", f"{where}.on")
            known = [records[name] for name in on if name in records] or records.values()
            names = dict.fromkeys(field for record in known for field in record.fields)
            read.names(fields, names, "field", f"{where}.fields")
        found.append(Notify(url, frozenset(on), frozenset(fields)))
    return tuple(found)


# One-way


def _one_way(spec: Mapping[str, Any], head: Mapping[str, Any], read: Reader) -> OneWay:
    read.known(spec, ("pipeline", "source", "destination", "table", "notify"), "")
    read.known(head, _PIPELINE, "pipeline")
    systems: dict[str, tuple[SystemSpec, str]] = {}
    for name, keys in (
        ("source", ("url", "capture", "tables", "exclude")),
        ("destination", ("url",)),
    ):
        table = read.table(spec, name, "")
        if name not in spec:
            read.problem(name, f"The table [{name}] is missing.", f"Write [{name}] with a url.")
        else:
            read.known(table, keys, name)
            systems[name] = (read.system(table, name, name), name)
    _check_urls(systems, read)
    source = read.table(spec, "source", "")
    tables: dict[str, TableSpec] = {}
    targets: dict[str, str] = {}
    for where, each in read.array(spec, "table"):
        described = _table(each, where, read)
        name, target = described.name, described.target
        if not name:
            continue
        if name in tables:
            message = f"The table {name} is described twice."
            read.problem(f"{where}.name", message, "Put both together.")
        elif targets.setdefault(target, name) != name:
            message = f"{name} and {targets[target]} go to the same table."
            read.problem(f"{where}.to", message, "Give one of them another `to`.")
        tables[name] = described
    return OneWay(
        **_common(head, read),
        systems={name: system for name, (system, _) in systems.items()},
        notify=_notify(spec, None, read),
        capture=read.capture(source, "source"),
        include=read.texts(source, "tables", "source", ("*",)),
        exclude=read.texts(source, "exclude", "source"),
        tables=tables,
    )


def _table(spec: Mapping[str, Any], where: str, read: Reader) -> TableSpec:
    read.known(
        spec,
        (
            *("name", "to", "exclude", "rename", "history", "on_delete", "max_deletes"),
            *("new_columns", "removed_columns", "field"),
        ),
        where,
    )
    name = read.text(spec, "name", where)
    rename = read.table(spec, "rename", f"{where}.")
    if not all(isinstance(each, str) and each.strip() for each in rename.values()):
        read.problem(f"{where}.rename", "New names are texts.", 'Write { Fax = "fax" }.')
        rename = {}
    counts = Counter(rename.values())
    for column, new in rename.items():
        if counts[new] > 1:
            message = f"Several columns get the name {new}."
            read.problem(f"{where}.rename.{column}", message, "Give each a name of its own.")
    exclude = frozenset(read.texts(spec, "exclude", where))
    cleaners = {
        column: read.cleaner(
            read.table(read.table(spec, "field", f"{where}."), column, f"{where}.field."),
            f"{where}.field.{column}",
            (),
        )
        for column in read.table(spec, "field", f"{where}.")
    }
    for key, columns in (("field", cleaners), ("rename", rename)):
        for column in columns:
            if column in exclude:
                message = f"The column {column} is left out by exclude."
                read.problem(f"{where}.{key}.{column}", message, "Remove one of the two.")
    return TableSpec(
        name=name,
        target=read.text(spec, "to", where, name) or name,
        exclude=exclude,
        rename=rename,
        cleaners=cleaners,
        history=read.flag(spec, "history", where),
        on_delete=read.choice(spec, "on_delete", where, ("mark", "apply", "ignore"), "apply"),
        max_deletes=read.limit(spec, "max_deletes", where, _HALF) or _HALF,
        new_columns=read.choice(spec, "new_columns", where, ("add", "ignore", "stop"), "add"),
        removed_columns=read.choice(spec, "removed_columns", where, ("keep", "stop"), "keep"),
    )


# Two-way


def _two_way(spec: Mapping[str, Any], head: Mapping[str, Any], read: Reader) -> TwoWay:
    read.known(spec, ("pipeline", "system", "record", "notify"), "")
    read.known(head, (*_PIPELINE, "relay", "relay_token"), "pipeline")
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
    _check_urls(systems, read)
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
        **_common(head, read),
        systems={name: system for name, (system, _) in systems.items()},
        notify=_notify(spec, records, read),
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
            read.problem(f"{where}.field.{each}", message, meant(other, fields))
    _check_once(where, fields, read)
    policies: tuple[DeleteVsEdit, ...] = ("delete-wins", "keep-edit")
    return MappedRecord(
        name=name,
        tables=tables,
        fields=fields,
        match=match,
        on_delete=read.choice(spec, "on_delete", where, ("mark", "apply", "ignore"), "mark"),
        delete_vs_edit=read.choice(spec, "delete_vs_edit", where, policies, "delete-wins"),
        max_deletes=read.limit(spec, "max_deletes", where, _HALF) or _HALF,
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
    hint = meant(name, systems) if systems else "Write [system.NAME]."
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
) -> Conflict:
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
