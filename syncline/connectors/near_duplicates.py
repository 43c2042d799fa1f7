"""Near-duplicates: rows of a pipeline that may be the same twice, for a person to look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from syncline.cleaning.similar import similar
from syncline.engine.errors import UsageError
from syncline.engine.suggestions import did_you_mean

from .database.rows import Key, Row, Rows, show_key
from .database.tables import names_of, reflect
from .database.values import Unreadable
from .file.spec import OneWay, TwoWay
from .one_way.plan import DELETED_AT
from .one_way.target import DESTINATION
from .running.run import PipelineRun
from .two_way.mapping import TableMapping, kinds_of
from .verification import PAGE

ROWS_COMPARED = 50_000
"""Rows of a table that are compared; of more, the first by key."""


class NearDuplicate(NamedTuple):
    """Two rows of one table that score at least the threshold. Fields in ``agree`` are equal but
    for case, accents and the order of words; ``fields`` are the values that were compared."""

    name: str
    system: str
    keys: tuple[str, str]
    score: float
    agree: tuple[str, ...]
    fields: dict[str, tuple[Any, Any]]


class _Compared(NamedTuple):
    name: str
    system: str
    rows: list[tuple[str, dict[str, Any]]]
    fields: list[str]


def near_duplicates(
    run: PipelineRun, name: str | None = None, threshold: float = 90.0
) -> list[NearDuplicate]:
    """The pairs in each record or table of a pipeline, or in the one called ``name``, the most
    similar first. Records are compared in the first system that has them; of the tables of a
    one-way pipeline, those with rules, at the destination. Writes nothing.

    Raises UsageError, SystemUnavailable, SystemRefused, MissingLibrary, and InvalidRule for a
    threshold that is not from 1 to 100.
    """
    pipeline = run.pipeline
    if isinstance(pipeline, OneWay):
        known = {table: spec.target for table, spec in pipeline.tables.items()}
        wanted = [name] if name else [each for each in known if pipeline.tables[each].cleaners]
        tables = [_table(run, known.get(each, each)) for each in wanted]
    else:
        if name is not None and name not in pipeline.records:
            hint = did_you_mean(name, pipeline.records)
            raise UsageError(f"{pipeline.name} has no record {name!r}.", hint=hint)
        tables = [_record(run, pipeline, each) for each in ([name] if name else pipeline.records)]
    found = [pair for table in tables for pair in _pairs(table, threshold)]
    return sorted(found, key=lambda pair: -pair.score)


def _pairs(table: _Compared, threshold: float) -> Iterator[NearDuplicate]:
    if not table.fields:
        return
    rows = [values for _, values in table.rows]
    for pair in similar(rows, table.fields, threshold):
        (first, ours), (second, theirs) = table.rows[pair.first], table.rows[pair.second]
        yield NearDuplicate(
            table.name,
            table.system,
            (first, second),
            pair.score,
            pair.agree,
            {name: (ours.get(name), theirs.get(name)) for name in table.fields},
        )


def _record(run: PipelineRun, pipeline: TwoWay, name: str) -> _Compared:
    record = pipeline.records[name]
    system = next(each for each in pipeline.systems if each in record.tables)
    with run.systems[system].reading() as connection:
        table = reflect(connection, record.tables[system])
        kinds = kinds_of(record, {system: table})
        mapping = TableMapping(record, system, table, run.systems[system].dialect, kinds)
        fields = [
            each
            for each, field in mapping.fields.items()
            if kinds[each] == "text" and not field.ref
        ]
        rows = [
            (show_key(key), _readable(mapping.read(row).clean, fields))
            for key, row in _rows(connection, mapping.rows)
        ]
    return _Compared(name, system, rows, fields)


def _table(run: PipelineRun, name: str) -> _Compared:
    system = run.systems[DESTINATION]
    with system.reading() as connection:
        if name not in (names := names_of(connection)):
            hint = did_you_mean(name, names) if names else "Run syncline sync FILE first."
            raise UsageError(f"The destination has no table {name!r}.", hint=hint)
        table = reflect(connection, name)
        fields = [
            each.name
            for each in table.columns.values()
            if each.kind == "text" and each.name not in table.key
        ]
        rows = [
            (show_key(key), _readable(row, fields))
            for key, row in _rows(connection, Rows(table, system.dialect))
            if row.get(DELETED_AT) is None
        ]
    return _Compared(name, DESTINATION, rows, fields)


def _rows(connection: sa.Connection, rows: Rows) -> Iterator[tuple[Key, Row]]:
    after: Key | None = None
    for _ in range(ROWS_COMPARED // PAGE):
        page = rows.page(connection, after, PAGE)
        for row in page:
            yield rows.key_of(row), row
        if len(page) < PAGE:
            return
        after = rows.key_of(page[-1])


def _readable(row: Mapping[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    return {
        name: value
        for name in fields
        if (value := row.get(name)) is not None and not isinstance(value, Unreadable)
    }
