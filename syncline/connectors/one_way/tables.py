"""The tables of a one-way pipeline: which ones go, and their like at the destination."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase

import orjson
import sqlalchemy as sa
from sqlalchemy.schema import CreateColumn, CreateIndex, CreateTable

from syncline.connectors.bookkeeping.state import State
from syncline.connectors.database.tables import (
    Column,
    Table,
    cannot_be_made,
    in_order,
    names_of,
    reflect,
    sql_type,
    table_for,
    without,
)
from syncline.connectors.file.spec import Cursor, OneWay, TableSpec
from syncline.connectors.report import Finding
from syncline.engine.errors import PipelineStopped, SystemRefused
from syncline.engine.suggestions import did_you_mean

from .history import history_of
from .plan import DELETED_AT, TablePlan, WithColumns, shaped, with_mark

COPIED = "copied:"
"""Remembered at the destination by table: the plan by which all of its rows were copied; empty
when they are to be compared again."""
COPYING = "copying:"
"""Remembered at the destination by table: how far a copy has come."""


def compare_again(state: State, names: Iterable[str]) -> None:
    """Let all rows of these tables be compared."""
    for name in names:
        if state.meta(f"{COPYING}{name}") is not None or state.meta(f"{COPIED}{name}") is not None:
            state.set_meta(f"{COPIED}{name}", "")
        state.forget_meta(f"{COPYING}{name}")


def included(pipeline: OneWay, names: Iterable[str]) -> list[str]:
    """Those of the source's tables that the pipeline is about."""
    return [
        name
        for name in names
        if (name in pipeline.tables or _matches(name, pipeline.include))
        and not _matches(name, pipeline.exclude)
    ]


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def spec_of(pipeline: OneWay, name: str) -> TableSpec:
    return pipeline.tables.get(name) or TableSpec(name, name)


def source_tables(
    pipeline: OneWay, connection: sa.Connection
) -> tuple[dict[str, Table], list[Finding]]:
    """The tables that go, each without the columns that are left out and after those that its
    foreign keys name; and what is wrong with others."""
    names = names_of(connection)
    findings = [
        Finding(
            True,
            f"table {name}",
            f"The source has no table {name!r}.",
            did_you_mean(name, names or ["…"]),
        )
        for name in pipeline.tables
        if name not in names
    ]
    tables: dict[str, Table] = {}
    for name in included(pipeline, names):
        spec = spec_of(pipeline, name)
        try:
            table = reflect(connection, name)
            left_out = {
                column for column in table.columns if _matches(f"{name}.{column}", pipeline.exclude)
            }
            table = without(table, left_out | spec.exclude)
        except SystemRefused as error:
            asked = name in pipeline.tables
            findings.append(Finding(asked, f"table {name}", error.message, error.hint))
            continue
        findings += _findings(pipeline, spec, table, left_out)
        tables[name] = table
    if not tables:
        message = "No table of the source goes anywhere."
        hint = f"It has {', '.join(names[:20]) or 'none'}; see tables and exclude in [source]."
        findings.append(Finding(True, "source.tables", message, hint))
    return {name: tables[name] for name in in_order(tables)}, findings


def _findings(pipeline: OneWay, spec: TableSpec, table: Table, left_out: set[str]) -> list[Finding]:
    findings = [
        Finding(
            False,
            f"table {table.name}",
            f"{table.name}.{column} is left out: its type {type_} is not supported.",
            "Name it in exclude to say so.",
        )
        for column, type_ in table.unsupported.items()
        if column not in spec.exclude and column not in left_out
    ]
    named: Mapping[str, Iterable[str]] = {
        "field": spec.cleaners,
        "rename": spec.rename,
    }
    if isinstance(pipeline.capture, Cursor):
        named = {**named, "source.capture": [pipeline.capture.column]}
    for where, columns in named.items():
        for column in columns:
            if column not in table.columns:
                message = f"The table {table.name} has no column {column!r}."
                hint = did_you_mean(column, table.columns)
                findings.append(Finding(True, f"table {table.name}.{where}", message, hint))
    return findings


class TargetSchema:
    """The tables at the destination, in a transaction; with ``dry_run`` as they would be made."""

    def __init__(self, connection: sa.Connection, state: State, *, dry_run: bool) -> None:
        self._connection = connection
        self._state = state
        self._dry_run = dry_run
        self._names = set(names_of(connection))
        self._dialect = "mysql" if connection.dialect.name == "mariadb" else connection.dialect.name

    def plan(self, spec: TableSpec, source: Table, dialect: str) -> tuple[TablePlan, bool]:
        """How ``source`` is copied, its like being made or added to where it has to be, and whether
        that like is there. Raises SystemRefused, PipelineStopped."""
        wanted = shaped(spec, source)
        exists = spec.target in self._names
        self._check_columns(spec, source)
        missing: list[Column] = []
        there = target = with_mark(wanted) if spec.on_delete == "mark" else wanted
        if exists:
            there = reflect(self._connection, spec.target)
            missing = self._missing(spec, there, wanted)
            target = self._complete(there, missing)
        else:
            if (reason := cannot_be_made(target, self._dialect)) is not None:
                hint = "Leave it out, or let its rows go to a table that is there."
                raise SystemRefused(f"It cannot be made: {reason}.", hint=hint)
            compare_again(self._state, [spec.name])
            if not self._dry_run:
                self._make(target)
                target = reflect(self._connection, spec.target)
                exists = True
        plan = TablePlan(spec, source, target, (dialect, self._dialect))
        if missing and self._dry_run:
            added = [column.name for column in missing]
            plan.target_rows = WithColumns(there, self._dialect, added)
        if spec.history and not self._dry_run:
            self._make_history(plan)
        return plan, exists

    def _check_columns(self, spec: TableSpec, source: Table) -> None:
        """Compare the columns with those of the last pass."""
        text = self._state.meta(f"columns:{spec.name}")
        known: list[str] = orjson.loads(text) if text else list(source.columns)
        removed = [name for name in known if name not in source.columns]
        if removed and spec.removed_columns == "stop":
            raise PipelineStopped(
                f"The source's table {spec.name} has no column {removed[0]!r} any more, and its "
                "removed_columns is stop.",
                hint='Let removed_columns be "keep", or name the column in exclude.',
            )
        added = [name for name in source.columns if name not in known]
        if added and spec.new_columns == "stop":
            raise PipelineStopped(
                f"The source's table {spec.name} has a new column {added[0]!r}, and its "
                "new_columns is stop.",
                hint='Let new_columns be "add" or "ignore", or name the column in exclude.',
            )
        now = orjson.dumps(list(source.columns)).decode()
        if text != now:
            self._state.set_meta(f"columns:{spec.name}", now)

    def _missing(self, spec: TableSpec, there: Table, wanted: Table) -> list[Column]:
        missing: list[Column] = []
        if spec.new_columns == "add":
            missing = [
                column
                for name, column in wanted.columns.items()
                if name not in there.columns and name not in there.unsupported
            ]
        if spec.on_delete == "mark" and DELETED_AT not in there.columns:
            missing.append(with_mark(wanted).columns[DELETED_AT])
        return missing

    def _complete(self, there: Table, missing: list[Column]) -> Table:
        if not missing:
            return there
        if self._dry_run:
            added = {column.name: column for column in missing}
            return replace(there, columns={**there.columns, **added})
        for column in missing:
            self._add(there.name, column)
        return reflect(self._connection, there.name)

    def _make(self, table: Table) -> None:
        made = table_for(table, table.name, list(table.columns.values()), self._dialect)
        self._connection.execute(CreateTable(made))

    def _add(self, table: str, column: Column) -> None:
        made = sa.Table(
            table, sa.MetaData(), sa.Column(column.name, sql_type(column, self._dialect))
        )
        described = CreateColumn(made.c[column.name]).compile(dialect=self._connection.dialect)
        quoted = self._connection.dialect.identifier_preparer.quote(table)
        statement = f"ALTER TABLE {quoted} ADD COLUMN {described}"
        self._connection.execute(sa.text(statement.replace(":", "\\:")))

    def _make_history(self, plan: TablePlan) -> None:
        made = history_of(plan.target, plan.columns.values(), self._dialect)
        if made.name not in self._names:
            self._connection.execute(CreateTable(made))
            for index in made.indexes:
                self._connection.execute(CreateIndex(index))
            return
        there = {each["name"] for each in sa.inspect(self._connection).get_columns(made.name)}
        for name in plan.columns.values():
            if name not in there:
                self._add(made.name, plan.target.columns[name])
