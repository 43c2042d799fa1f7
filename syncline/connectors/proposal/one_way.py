"""What is proposed for a pipeline from a source to a destination."""

from __future__ import annotations

import re
from typing import Any

from syncline.connectors.database.values import Unreadable

from .names import Meaning, meaning
from .rules import SuggestedRule, suggest
from .samples import SystemSample, TableSample
from .text import Document, begin, count_of


def write_one_way(
    name: str, purpose: str, source: SystemSample, destination: SystemSample
) -> tuple[str, list[str]]:
    """The text of the pipeline file, and what was proposed, in sentences."""
    document = begin(name, purpose, "one-way")
    document.blank()
    document.header("source")
    document.url(source)
    document.put(
        "capture",
        "compare",
        "where triggers are not allowed; without it, by triggers",
        active=False,
    )
    document.put("tables", ["*"], "patterns of names; new tables are taken along")
    if source.skipped:
        document.comment("Left out, for the reasons at the end of this file:")
        document.put("exclude", [_pattern(each) for each in source.skipped])
    else:
        document.put("exclude", ["Log*", "Person.Password"], "tables or columns", active=False)
    document.blank()
    document.header("destination")
    document.url(destination)
    document.blank()
    document.comment("A table may also have:")
    document.items(
        [
            'exclude = ["Column"], columns that are left out',
            'rename = { Old = "new" }, columns of other names there',
            'to = "another name", of the table there',
            "history = true, which keeps every version of a row",
            'on_delete = "apply" (or "mark", or "ignore")',
            'max_deletes = "50%": with more of them it stops, and writes nothing',
        ]
    )
    document.comment(
        "Rules that would suit the values stand below as comments: the destination gets values as "
        "they are until you remove the #."
    )
    rules = 0
    for sample in source.tables.values():
        rules += _table(document, sample, destination)
    if source.skipped:
        document.blank()
        document.comment("These tables cannot take part:")
        for skipped, reason in source.skipped.items():
            document.comment(reason)
            document.header("table", array=True, active=False)
            document.put("name", skipped, active=False)
    notes = [_tables_note(source)]
    unfit = [name for name in source.tables if _there(name, destination) in destination.skipped]
    if unfit:
        notes.append(
            f"{destination.name} has tables that cannot take rows: {', '.join(unfit)}. The file "
            "says why; give those another name with to."
        )
    if rules:
        notes.append(
            f"{_number(rules, 'cleaning rule')} would suit the values: they are in the file, as "
            "comments."
        )
    return str(document), notes


def _tables_note(source: SystemSample) -> str:
    note = f"{_number(len(source.tables), 'table')} will be copied from {source.name}"
    if not source.skipped:
        return f"{note}."
    return f"{note}, and {len(source.skipped)} left out: {', '.join(source.skipped)}."


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _pattern(name: str) -> str:
    """A pattern that only ``name`` matches."""
    return re.sub(r"([*?[])", r"[\1]", name)


def _table(document: Document, sample: TableSample, destination: SystemSample) -> int:
    """Add one table; returns how many rules are proposed."""
    table = sample.table
    document.blank()
    document.header("table", array=True)
    document.put("name", table.name, count_of(sample))
    _existing(document, sample, destination)
    if table.unsupported:
        columns = ", ".join(f"{name} ({type_})" for name, type_ in table.unsupported.items())
        document.comment(f"Left out, because their types are not supported: {columns}.")
    rows = [
        {name: None if isinstance(value, Unreadable) else value for name, value in row.items()}
        for row in sample.rows
    ]
    meanings = {name: meaning(name, table.name) for name in table.columns}
    rules = 0
    for name, meant in meanings.items():
        rule = _rule(name, meant, rows, meanings, sample)
        if rule is not None:
            document.header("table", "field", name, active=False)
            document.rule(rule, "keep-old", active=False)
            rules += 1
    return rules


def _rule(
    name: str,
    meant: Meaning,
    rows: list[dict[str, Any]],
    meanings: dict[str, Meaning],
    sample: TableSample,
) -> SuggestedRule | None:
    if sample.table.columns[name].kind != "text":
        return None
    texts = {each: m for each, m in meanings.items() if sample.table.columns[each].kind == "text"}
    return suggest(meant, [row[name] for row in rows], rows, country_beside(meant, texts))


def country_beside(meant: Meaning, fields: dict[str, Meaning]) -> str | None:
    """The field that says in which country a phone number is: of ``billing_phone`` the
    ``billing_country``, else the one without a qualifier, else the first."""
    countries = [name for name, each in fields.items() if each.concept == "country"]
    countries.sort(
        key=lambda name: (
            fields[name].qualifiers != meant.qualifiers,
            len(fields[name].qualifiers),
        )
    )
    return countries[0] if countries else None


def _there(name: str, destination: SystemSample) -> str | None:
    """The table of the destination that is called ``name``, or nearly so, or None."""
    names = [*destination.tables, *destination.skipped]
    alike = {each.casefold(): each for each in names}
    return name if name in names else alike.get(name.casefold())


def _existing(document: Document, sample: TableSample, destination: SystemSample) -> None:
    """What the destination has already by the table's name."""
    name = sample.table.name
    there = _there(name, destination)
    if there is None:
        return
    if there in destination.skipped:
        document.comment(
            "the destination has this table already, but it cannot take part: "
            f"{destination.skipped[there]}"
        )
        document.put("to", f"{there}_copy", active=False)
        return
    if there != name:
        document.put("to", there, f"{destination.name} has this table", active=False)
        return
    document.comment("The destination has this table already: rows of equal keys are replaced.")
    columns = destination.tables[there].table.columns
    if missing := [each for each in sample.table.columns if each not in columns]:
        document.comment(f"It has no {', '.join(missing)} there.")
