"""Notes: which rows a pass is to look at, written by triggers and by passes themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import sqlalchemy as sa

from syncline.connectors.database.rows import KEYS_AT_ONCE, Key, Rows, batches, decode_key
from syncline.connectors.database.triggers import key_expression

from .schema import NOTES, SHADOW

_COLUMNS = (NOTES.c.seq, NOTES.c.tbl, NOTES.c.pk, NOTES.c.origin, NOTES.c.at, NOTES.c.gone)
# Built once: both are executed in each pass.
_ABOUT = sa.and_(
    NOTES.c.pipeline == sa.bindparam("of"), NOTES.c.tbl.in_(sa.bindparam("tables", expanding=True))
)
_OF_RECORD = NOTES.c.origin == "record"
_OLDEST = (
    sa.select(*_COLUMNS)
    .where(
        _ABOUT,
        NOTES.c.seq > sa.bindparam("after"),
        sa.or_(NOTES.c.origin.is_(None), NOTES.c.origin != "record"),
    )
    .order_by(NOTES.c.seq)
    .limit(sa.bindparam("most"))
)
_OLDEST_OF_RECORDS = (
    sa.select(*_COLUMNS).where(_ABOUT, _OF_RECORD).order_by(NOTES.c.seq).limit(sa.bindparam("most"))
)
_COUNT = sa.select(sa.func.count()).select_from(NOTES).where(_ABOUT)


class Note(NamedTuple):
    """A change that a trigger noted (``origin`` None), that a pass made (``own``), or a row that is
    to be compared with what was agreed on last (``agreed``), or a record that is to get a row
    (``record``); the ``pk`` of these two is as ``encode_key`` writes it. Without a ``pk`` it is
    about all rows. ``at`` is in milliseconds since the epoch; ``gone`` is 1 if a row of this key
    went: one that is there now may be another."""

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
        if self.origin in ("agreed", "record"):
            return decode_key(self.pk)
        return rows.parse_noted(self.pk)


class Notes:
    """The notes of one pipeline in one database, in a transaction."""

    def __init__(self, connection: sa.Connection, pipeline: str) -> None:
        self._connection = connection
        self._pipeline = pipeline

    def oldest(self, tables: Iterable[str], limit: int, after: int = 0) -> list[Note]:
        """The oldest notes about rows of ``tables`` that can be seen, beyond the number
        ``after``."""
        wanted = self._about(tables) | {"after": after, "most": limit}
        return [Note(*row) for row in self._connection.execute(_OLDEST, wanted)]

    def of_records(self, tables: Iterable[str], limit: int) -> list[Note]:
        """The oldest notes about records that are to get a row in one of ``tables``."""
        wanted = self._about(tables) | {"most": limit}
        return [Note(*row) for row in self._connection.execute(_OLDEST_OF_RECORDS, wanted)]

    def last(self) -> int:
        """The highest number of a note, 0 without any."""
        return self._connection.execute(sa.select(sa.func.max(NOTES.c.seq))).scalar_one() or 0

    def own(self, after: int) -> list[Note]:
        """The notes about what this transaction wrote since the note ``after``."""
        statement = (
            sa.select(*_COLUMNS)
            .where(NOTES.c.pipeline == self._pipeline, NOTES.c.seq > after)
            .order_by(NOTES.c.seq)
        )
        if self._connection.dialect.name != "sqlite":  # there nobody else writes meanwhile
            statement = statement.where(NOTES.c.origin == "own")
        return [Note(*row) for row in self._connection.execute(statement)]

    def count(self, tables: Iterable[str]) -> int:
        """How many notes wait."""
        return int(self._connection.execute(_COUNT, self._about(tables)).scalar_one())

    def tables(self) -> list[str]:
        """The tables that notes are about."""
        statement = sa.select(NOTES.c.tbl).where(NOTES.c.pipeline == self._pipeline).distinct()
        return list(self._connection.execute(statement).scalars())

    def forget(self, table: str) -> None:
        """Delete all notes about a table."""
        self._connection.execute(
            sa.delete(NOTES).where(NOTES.c.pipeline == self._pipeline, NOTES.c.tbl == table)
        )

    def count_gone(self, table: str) -> int:
        """How many keys of a table have notes that a row went; some may be there again."""
        counted = sa.select(sa.func.count(NOTES.c.pk.distinct())).where(*self._gone(table))
        return int(self._connection.execute(counted).scalar_one())

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
            noted = list(self._connection.execute(statement).scalars())
            if not noted:
                return
            after = noted[-1]
            keys = (rows.parse_noted(pk) for pk in noted)
            yield [key for key in keys if key is not None]

    def _gone(self, table: str) -> tuple[sa.ColumnElement[bool], ...]:
        return (NOTES.c.pipeline == self._pipeline, NOTES.c.tbl == table, NOTES.c.gone == 1)

    def _about(self, tables: Iterable[str]) -> dict[str, Any]:
        return {"of": self._pipeline, "tables": list(tables)}

    def delete(self, seqs: Iterable[int]) -> None:
        """Delete exactly these: a range would take along what was committed meanwhile."""
        for batch in batches(seqs):
            self._connection.execute(sa.delete(NOTES).where(NOTES.c.seq.in_(batch)))

    def add(self, rows: Iterable[tuple[str, str]], *, of_records: bool = False) -> None:
        """Note rows by (table, key as ``encode_key`` writes it), or records that have none."""
        origin = "record" if of_records else "agreed"
        for batch in batches(rows):
            noted = [
                {"pipeline": self._pipeline, "tbl": table, "pk": pk, "origin": origin}
                for table, pk in batch
            ]
            self._connection.execute(sa.insert(NOTES), noted)

    def add_all(self, rows: Rows) -> None:
        """Note every row that the table has, and every row that was agreed on: what has not changed
        is found to be so when it is looked at."""
        dialect = self._connection.dialect
        key: sa.ColumnElement[str] = sa.literal_column(
            key_expression(rows.table, dialect.name, dialect.identifier_preparer.quote)
        )
        tagged = (sa.literal(self._pipeline), sa.literal(rows.table.name))
        present = sa.select(*tagged, key).select_from(rows.table.sql)
        agreed = sa.select(*tagged, SHADOW.c.pk, sa.literal("agreed")).where(
            SHADOW.c.pipeline == self._pipeline, SHADOW.c.tbl == rows.table.name
        )
        columns = ["pipeline", "tbl", "pk", "origin"]
        self._connection.execute(sa.insert(NOTES).from_select(columns[:3], present))
        self._connection.execute(sa.insert(NOTES).from_select(columns, agreed))
