"""The tables of a one-way pipeline's file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from .common import HALF, PIPELINE_KEYS, check_urls, read_common, read_notify
from .reader import Reader
from .spec import OneWay, SystemSpec, TableSpec


def read_one_way(spec: Mapping[str, Any], head: Mapping[str, Any], read: Reader) -> OneWay:
    """The pipeline; what is wrong is in ``read.problems``."""
    read.known(spec, ("pipeline", "source", "destination", "table", "notify"), "")
    read.known(head, PIPELINE_KEYS, "pipeline")
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
    check_urls(systems, read)
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
        **read_common(head, read),
        systems={name: system for name, (system, _) in systems.items()},
        notify=read_notify(spec, None, read),
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
        max_deletes=read.limit(spec, "max_deletes", where, HALF) or HALF,
        new_columns=read.choice(spec, "new_columns", where, ("add", "ignore", "stop"), "add"),
        removed_columns=read.choice(spec, "removed_columns", where, ("keep", "stop"), "keep"),
    )
