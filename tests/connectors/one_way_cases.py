"""What the tests of one-way pipelines share: a source, a destination, and the pipeline between."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from syncline.connectors import PipelineRun, open_run
from syncline.connectors.database.tables import PREFIX
from syncline.connectors.file.load import parse_pipeline
from syncline.connectors.file.spec import OneWay
from syncline.connectors.report import PassReport

from .two_sides import Side, empty

KINDS = ("sqlite", "postgresql", "mariadb")
_HEAD = """
[pipeline]
name = "shop-reporting"
mode = "one-way"
{pipeline}
[source]
url = "${{SOURCE}}"
{source_keys}
[destination]
url = "${{DESTINATION}}"
"""


class Crash(BaseException):
    """The process dies here: what is not committed is lost."""


class Pair:
    """A source, a destination, and a run of a pipeline between them."""

    def __init__(self, source: Side, destination: Side, pipeline: OneWay) -> None:
        self.source = source
        self.destination = destination
        self.pipeline = pipeline
        self.now = 1_800_000_000_000
        self._crash_at: int | None = None
        self.run = self._start()

    def _start(self) -> PipelineRun:
        run = open_run(self.pipeline, lambda: self.now)
        for system in run.systems.values():
            event.listen(system.engine, "before_cursor_execute", self._on_statement)
        return run

    def _on_statement(self, *_: Any) -> None:
        if self._crash_at is not None:
            self._crash_at -= 1
            if self._crash_at < 0:
                raise Crash

    def restart(self, text: str | None = None, **settings: str) -> None:
        """Another process goes on; with ``text`` the file says something else."""
        self.run.close()
        if text is not None:
            self.pipeline = pipeline_of(self.source, self.destination, text, **settings)
        self.run = self._start()

    def sync(self, **options: Any) -> PassReport:
        report = self.run.sync(**options)
        assert not report.waiting, report.waiting
        return report

    def crashes(self, statements: int) -> bool:
        """Whether a sync dies if it is cut off after so many statements; another process goes
        on."""
        self._crash_at = statements
        try:
            self.run.sync(allow_deletes=True)
        except Crash:
            return True
        else:
            return False
        finally:
            self._crash_at = None
            self.restart()

    def settled(self) -> None:
        """Nothing is left to do, and both are equal."""
        report = self.sync()
        assert report.changed == 0, report.flows
        result = self.run.verify()
        assert result.equal, (result.differences, result.waiting)

    def rows(self, table: str, order: str = "id", columns: str = "*") -> list[tuple[Any, ...]]:
        """The rows at the destination."""
        return rows(self.destination, table, order, columns)

    def held(self) -> dict[str, str]:
        """The rules by which rows are in quarantine, by the keys of these."""
        return {each.key: each.rule for each in self.run.quarantine()}

    def close(self) -> None:
        self.run.close()


def rows(side: Side, table: str, order: str = "id", columns: str = "*") -> list[tuple[Any, ...]]:
    return [tuple(row) for row in side.execute(f"SELECT {columns} FROM {table} ORDER BY {order}")]


def pipeline_of(
    source: Side, destination: Side, text: str = "", *, source_keys: str = "", pipeline: str = ""
) -> OneWay:
    """The pipeline that a file describes; ``text`` are its tables."""
    urls = {"SOURCE": source.spec.url, "DESTINATION": destination.spec.url}
    head = _HEAD.format(source_keys=source_keys, pipeline=pipeline)
    read = parse_pipeline(head + text, "shop.toml", urls)
    assert isinstance(read, OneWay)
    return read


@contextmanager
def two_databases(kinds: tuple[str, str], folder: Path) -> Generator[tuple[Side, Side]]:
    """An empty source and an empty destination."""
    with empty(kinds[0], folder, "src") as first, empty(kinds[1], folder, "dst") as second:
        sides = Side("source", kinds[0], first), Side("destination", kinds[1], second)
        try:
            yield sides
        finally:
            for side in sides:
                side.close()


@contextmanager
def pair(
    kinds: tuple[str, str],
    folder: Path,
    text: str = "",
    *setup: str,
    there: tuple[str, ...] = (),
    **settings: str,
) -> Generator[Pair]:
    """A pair of databases; ``setup`` are statements for the source, ``there`` for the other one."""
    with two_databases(kinds, folder) as (source, destination):
        for statement in setup:
            source.create(statement)
        for statement in there:
            destination.create(statement)
        made = Pair(source, destination, pipeline_of(source, destination, text, **settings))
        try:
            yield made
        finally:
            made.close()


ITEMS = "CREATE TABLE items (id INTEGER PRIMARY KEY, name VARCHAR(80), price DECIMAL(10, 2))"


def items(count: int, first: int = 1) -> str:
    """A statement that inserts so many items."""
    values = ", ".join(f"({n}, 'item {n}', {n}.25)" for n in range(first, first + count))
    return f"INSERT INTO items VALUES {values}"


def everything(side: Side) -> Mapping[str, Any]:
    """All that a database holds: the rows of every table, and the triggers."""
    found: dict[str, Any] = {}
    with side.engine.connect() as connection:
        quote = connection.dialect.identifier_preparer.quote
        for name in sa.inspect(connection).get_table_names():
            table = connection.execute(sa.text(f"SELECT * FROM {quote(name)}")).all()
            found[name] = sorted(map(repr, table))
        statement = sa.text(_TRIGGERS[connection.dialect.name])
        found["triggers"] = sorted(connection.execute(statement).scalars())
        found["columns"] = {
            name: [each["name"] for each in sa.inspect(connection).get_columns(name)]
            for name in sa.inspect(connection).get_table_names()
        }
    return found


def ours(side: Side) -> list[str]:
    """The names of tables that Syncline made for itself."""
    names = sa.inspect(side.engine).get_table_names()
    return [name for name in names if name.startswith(PREFIX)]


_TRIGGERS = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'",
    "postgresql": "SELECT tgname || tgenabled::text FROM pg_trigger WHERE NOT tgisinternal",
    "mysql": "SELECT trigger_name FROM information_schema.triggers"
    " WHERE trigger_schema = DATABASE()",
    "mariadb": "SELECT trigger_name FROM information_schema.triggers"
    " WHERE trigger_schema = DATABASE()",
}
