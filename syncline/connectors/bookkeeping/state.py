"""What Syncline keeps in a connected database, in tables of its own.

Everything that a pipeline has to remember of a system lies in that system, so a pass changes it in
one transaction with the user's rows, and the machine that runs the pipeline keeps nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.schema import CreateTable

from syncline.connectors.database.rows import KEYS_AT_ONCE, Key, Rows, batches, decode_key
from syncline.connectors.database.tables import MARIADB_OPTIONS, PREFIX
from syncline.connectors.database.triggers import DIRTY, key_expression

_PIPELINE = 40
_TABLE = 64
_KEY = 255


def _long_text() -> sa.types.TypeEngine[str]:
    return sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


def _long_bytes() -> sa.types.TypeEngine[bytes]:
    return sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")


def _counter() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


_METADATA = sa.MetaData()
_TABLE_OPTIONS: Mapping[str, Any] = {
    **MARIADB_OPTIONS,
    "sqlite_autoincrement": True,  # numbers of notes are not used again
}

META = sa.Table(
    f"{PREFIX}meta",
    _METADATA,
    sa.Column("pipeline", sa.String(_PIPELINE), primary_key=True),
    sa.Column("name", sa.String(120), primary_key=True),
    sa.Column("value", _long_text(), nullable=False),
    **_TABLE_OPTIONS,
)
NOTES = sa.Table(
    DIRTY,
    _METADATA,
    sa.Column("seq", _counter(), primary_key=True, autoincrement=True),
    sa.Column("pipeline", sa.String(_PIPELINE), nullable=False),
    sa.Column("tbl", sa.String(_TABLE), nullable=False),
    sa.Column("pk", sa.Text()),
    sa.Column("origin", sa.String(8)),
    sa.Column("at", sa.BigInteger()),
    sa.Column("gone", sa.Integer()),
    sa.Index(f"{DIRTY}_by_table", "pipeline", "tbl"),
    **_TABLE_OPTIONS,
)
SHADOW = sa.Table(
    f"{PREFIX}shadow",
    _METADATA,
    sa.Column("pipeline", sa.String(_PIPELINE), primary_key=True),
    sa.Column("tbl", sa.String(_TABLE), primary_key=True),
    sa.Column("pk", sa.String(_KEY), primary_key=True),
    sa.Column("rid", sa.String(36), nullable=False),
    sa.Column("row", _long_text()),
    sa.Index(f"{PREFIX}shadow_by_record", "pipeline", "rid", "tbl"),
    **_TABLE_OPTIONS,
)
RECORDS = sa.Table(
    f"{PREFIX}records",
    _METADATA,
    sa.Column("pipeline", sa.String(_PIPELINE), primary_key=True),
    sa.Column("rid", sa.String(36), primary_key=True),
    sa.Column("kind", sa.String(_PIPELINE), nullable=False),
    sa.Column("version", sa.BigInteger(), nullable=False),
    sa.Column("match", sa.String(64)),
    sa.Column("live", sa.Boolean(), nullable=False),
    sa.Column("conflict", sa.Boolean(), nullable=False),
    sa.Column("document", _long_bytes(), nullable=False),
    sa.Index(f"{PREFIX}records_by_version", "pipeline", "version"),
    sa.Index(f"{PREFIX}records_by_match", "pipeline", "match"),
    **_TABLE_OPTIONS,
)
QUARANTINE = sa.Table(
    f"{PREFIX}quarantine",
    _METADATA,
    sa.Column("pipeline", sa.String(_PIPELINE), primary_key=True),
    sa.Column("system", sa.String(_PIPELINE), primary_key=True),
    sa.Column("tbl", sa.String(_TABLE), primary_key=True),
    sa.Column("pk", sa.String(_KEY), primary_key=True),
    sa.Column("field", sa.String(_TABLE), primary_key=True),
    sa.Column("rule", sa.String(_TABLE), nullable=False),
    sa.Column("message", sa.Text(), nullable=False),
    sa.Column("hint", sa.Text(), nullable=False),
    sa.Column("original", _long_text()),
    sa.Column("suggested", _long_text()),
    sa.Column("first_seen", sa.BigInteger(), nullable=False),
    sa.Column("last_seen", sa.BigInteger(), nullable=False),
    sa.Column("tries", sa.Integer(), nullable=False),
    **_TABLE_OPTIONS,
)


OUTBOX = sa.Table(
    f"{PREFIX}outbox",
    _METADATA,
    sa.Column("seq", _counter(), primary_key=True, autoincrement=True),
    sa.Column("pipeline", sa.String(_PIPELINE), nullable=False),
    sa.Column("target", sa.String(16), nullable=False),
    sa.Column("change", _long_text(), nullable=False),
    sa.Index(f"{PREFIX}outbox_by_target", "pipeline", "target", "seq"),
    **_TABLE_OPTIONS,
)


_NOTE = (NOTES.c.seq, NOTES.c.tbl, NOTES.c.pk, NOTES.c.origin, NOTES.c.at, NOTES.c.gone)


class Note(NamedTuple):
    """A change that a trigger noted (``origin`` None), that a pass made (``own``), or a row that is
    to be compared with what was agreed on last (``agreed``; its ``pk`` is as ``encode_key``
    writes it). Without a ``pk`` it is about all rows. ``at`` is in milliseconds since the epoch;
    ``gone`` is 1 if a row of this key went: one that is there now may be another."""

    seq: int
    table: str
    pk: str | None
    origin: str | None
    at: int | None
    gone: int | None

    def key(self, rows: Rows) -> Key | None:
        """The key of the row, or None if it has no canonical form, or the note is about all."""
        if self.pk is None:
            return None
        return decode_key(self.pk) if self.origin == "agreed" else rows.parse_noted(self.pk)


def has_state(connection: sa.Connection) -> bool:
    """Whether the tables are there."""
    return sa.inspect(connection).has_table(RECORDS.name)


def create_state(connection: sa.Connection) -> None:
    """Make the tables that are missing. In MariaDB this ends a transaction that runs."""
    _METADATA.create_all(connection)


def create_passing_state(connection: sa.Connection) -> None:
    """Make the tables for this connection only, for a pass that is to leave nothing."""
    for table in _METADATA.sorted_tables:
        sql = str(CreateTable(table).compile(connection))
        connection.execute(sa.text(sql.replace("CREATE TABLE", "CREATE TEMPORARY TABLE", 1)))


# Built once: many are executed in each pass.
_OF = META.c.pipeline == sa.bindparam("of")
_CALLED = META.c.name == sa.bindparam("called")
_META = sa.select(META.c.value).where(_OF, _CALLED)
_META_LOCKED = _META.with_for_update()
_METAS = sa.select(META.c.name, META.c.value).where(_OF)
_NEW_META = sa.insert(META)
_ABOUT = sa.and_(
    NOTES.c.pipeline == sa.bindparam("of"), NOTES.c.tbl.in_(sa.bindparam("tables", expanding=True))
)
_NOTES = (
    sa.select(*_NOTE)
    .where(_ABOUT, NOTES.c.seq > sa.bindparam("after"))
    .order_by(NOTES.c.seq)
    .limit(sa.bindparam("most"))
)
_COUNT_NOTES = sa.select(sa.func.count()).select_from(NOTES).where(_ABOUT)
_CHANGE_META = sa.update(META).where(_OF, _CALLED).values(value=sa.bindparam("value"))


class State:
    """One pipeline's part of the tables, in a transaction."""

    def __init__(self, connection: sa.Connection, pipeline: str) -> None:
        self.connection = connection
        self.pipeline = pipeline

    # Meta

    def meta(self, name: str, *, lock: bool = False) -> str | None:
        """A remembered value; with ``lock`` nobody else takes it until the transaction ends."""
        locks = lock and self.connection.dialect.name != "sqlite"
        found = self.connection.execute(_META_LOCKED if locks else _META, self._named(name))
        value: str | None = found.scalar_one_or_none()
        return value

    def metas(self, prefix: str) -> dict[str, str]:
        """All remembered values whose name begins with ``prefix``, by the rest of the name."""
        return {
            name.removeprefix(prefix): value
            for name, value in self.connection.execute(_METAS, {"of": self.pipeline})
            if name.startswith(prefix)
        }

    def set_meta(self, name: str, value: str) -> None:
        known = self.meta(name)
        if known is None:
            new = {"pipeline": self.pipeline, "name": name, "value": value}
            self.connection.execute(_NEW_META, new)
        elif known != value:
            self.connection.execute(_CHANGE_META, self._named(name) | {"value": value})

    def _named(self, name: str) -> dict[str, str]:
        return {"of": self.pipeline, "called": name}

    def forget_meta(self, name: str) -> None:
        self.connection.execute(
            sa.delete(META).where(META.c.pipeline == self.pipeline, META.c.name == name)
        )

    # Notes

    def notes(self, tables: Iterable[str], limit: int, after: int = 0) -> list[Note]:
        """The oldest notes about ``tables`` that can be seen, beyond the number ``after``."""
        wanted = self._about(tables) | {"after": after, "most": limit}
        return [Note(*row) for row in self.connection.execute(_NOTES, wanted)]

    def last_note(self) -> int:
        """The highest number of a note, 0 without any."""
        return self.connection.execute(sa.select(sa.func.max(NOTES.c.seq))).scalar_one() or 0

    def own_notes(self, after: int) -> list[Note]:
        """The notes about what this transaction wrote since the note ``after``."""
        statement = (
            sa.select(*_NOTE)
            .where(NOTES.c.pipeline == self.pipeline, NOTES.c.seq > after)
            .order_by(NOTES.c.seq)
        )
        if self.connection.dialect.name != "sqlite":  # there nobody else writes meanwhile
            statement = statement.where(NOTES.c.origin == "own")
        return [Note(*row) for row in self.connection.execute(statement)]

    def count_notes(self, tables: Iterable[str]) -> int:
        """How many notes wait."""
        return int(self.connection.execute(_COUNT_NOTES, self._about(tables)).scalar_one())

    def noted_tables(self) -> list[str]:
        """The tables that notes are about."""
        statement = sa.select(NOTES.c.tbl).where(NOTES.c.pipeline == self.pipeline).distinct()
        return list(self.connection.execute(statement).scalars())

    def forget_notes(self, table: str) -> None:
        """Delete all notes about a table."""
        self.connection.execute(
            sa.delete(NOTES).where(NOTES.c.pipeline == self.pipeline, NOTES.c.tbl == table)
        )

    def count_gone(self, table: str) -> int:
        """How many keys of a table have notes that a row went; some may be there again."""
        counted = sa.select(sa.func.count(NOTES.c.pk.distinct())).where(*self._gone(table))
        return int(self.connection.execute(counted).scalar_one())

    def gone_keys(self, rows: Rows) -> Iterator[list[Key]]:
        """These keys, some at a time."""
        after = ""
        while True:
            statement = (
                sa.select(NOTES.c.pk)
                .where(*self._gone(rows.table.name), NOTES.c.pk > after)
                .distinct()
                .order_by(NOTES.c.pk)
                .limit(KEYS_AT_ONCE)
            )
            noted = list(self.connection.execute(statement).scalars())
            if not noted:
                return
            after = noted[-1]
            keys = (rows.parse_noted(pk) for pk in noted)
            yield [key for key in keys if key is not None]

    def _gone(self, table: str) -> tuple[sa.ColumnElement[bool], ...]:
        return (NOTES.c.pipeline == self.pipeline, NOTES.c.tbl == table, NOTES.c.gone == 1)

    def _about(self, tables: Iterable[str]) -> dict[str, Any]:
        return {"of": self.pipeline, "tables": list(tables)}

    def delete_notes(self, seqs: Iterable[int]) -> None:
        """Delete exactly these: a range would take along what was committed meanwhile."""
        for batch in batches(seqs):
            self.connection.execute(sa.delete(NOTES).where(NOTES.c.seq.in_(batch)))

    def note_rows(self, rows: Iterable[tuple[str, str]]) -> None:
        """Note rows by (table, key as ``encode_key`` writes it)."""
        for batch in batches(rows):
            noted = [
                {"pipeline": self.pipeline, "tbl": table, "pk": pk, "origin": "agreed"}
                for table, pk in batch
            ]
            self.connection.execute(sa.insert(NOTES), noted)

    def note_all(self, rows: Rows) -> None:
        """Note every row that the table has, and every row that was agreed on: what has not changed
        is found to be so when it is looked at."""
        dialect = self.connection.dialect
        key: sa.ColumnElement[str] = sa.literal_column(
            key_expression(rows.table, dialect.name, dialect.identifier_preparer.quote)
        )
        tagged = (sa.literal(self.pipeline), sa.literal(rows.table.name))
        present = sa.select(*tagged, key).select_from(rows.table.sql)
        agreed = sa.select(*tagged, SHADOW.c.pk, sa.literal("agreed")).where(
            SHADOW.c.pipeline == self.pipeline, SHADOW.c.tbl == rows.table.name
        )
        columns = ["pipeline", "tbl", "pk", "origin"]
        self.connection.execute(sa.insert(NOTES).from_select(columns[:3], present))
        self.connection.execute(sa.insert(NOTES).from_select(columns, agreed))
