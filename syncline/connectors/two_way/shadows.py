"""Shadows: for each row of a connected table, its record and what was agreed on about it last."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from syncline.connectors.bookkeeping.schema import SHADOW
from syncline.connectors.database.rows import Key, batches, decode_key, encode_key
from syncline.engine.document.values import decode_value, encode_value

from .mapping import Agreed


class Shadow(NamedTuple):
    """The row ``key`` is the record ``rid``. Without ``agreed`` the row is gone, and its record
    lives on elsewhere."""

    key: Key
    rid: str
    agreed: Agreed | None


class Shadows:
    """The shadows of one pipeline in one database, in a transaction."""

    def __init__(self, connection: sa.Connection, pipeline: str) -> None:
        self._connection = connection
        self._pipeline = pipeline

    def by_keys(self, table: str, keys: Iterable[Key]) -> dict[Key, Shadow]:
        """The shadows of these rows, as far as there are any."""
        encoded = [encode_key(key) for key in keys]
        return {shadow.key: shadow for shadow in self._find(table, SHADOW.c.pk, encoded)}

    def by_records(self, table: str, rids: Iterable[str]) -> dict[str, Shadow]:
        """The shadows of these records in a table. One whose row is there comes before others."""
        found: dict[str, Shadow] = {}
        for shadow in self._find(table, SHADOW.c.rid, list(rids)):
            known = found.get(shadow.rid)
            if known is None or known.agreed is None:
                found[shadow.rid] = shadow
        return found

    def _find(
        self, table: str, column: sa.ColumnElement[Any], values: Sequence[str]
    ) -> Iterable[Shadow]:
        for batch in batches(values):
            statement = sa.select(SHADOW.c.pk, SHADOW.c.rid, SHADOW.c.row).where(
                self._of(table), column.in_(batch)
            )
            for pk, rid, row in self._connection.execute(statement):
                yield Shadow(decode_key(pk), rid, _parse(row))

    def _of(self, table: str) -> sa.ColumnElement[bool]:
        return sa.and_(SHADOW.c.pipeline == self._pipeline, SHADOW.c.tbl == table)

    def save(self, table: str, shadows: Sequence[Shadow]) -> None:
        """Put these in the place of what was known about their rows."""
        self.delete(table, [shadow.key for shadow in shadows])
        for batch in batches(shadows):
            rows = [
                {
                    "pipeline": self._pipeline,
                    "tbl": table,
                    "pk": encode_key(shadow.key),
                    "rid": shadow.rid,
                    "row": None if shadow.agreed is None else _write(shadow.agreed),
                }
                for shadow in batch
            ]
            self._connection.execute(sa.insert(SHADOW), rows)

    def delete(self, table: str, keys: Iterable[Key]) -> None:
        for batch in batches(keys):
            encoded = [encode_key(key) for key in batch]
            self._connection.execute(
                sa.delete(SHADOW).where(self._of(table), SHADOW.c.pk.in_(encoded))
            )

    def parted(self, table: str) -> set[str]:
        """The records whose rows are gone here, or are not followed any more."""
        statement = sa.select(SHADOW.c.rid).where(self._of(table), SHADOW.c.row.is_(None))
        return set(self._connection.execute(statement).scalars())

    def count(self, table: str) -> int:
        """How many rows were there when they were last agreed on."""
        statement = (
            sa.select(sa.func.count())
            .select_from(SHADOW)
            .where(self._of(table), SHADOW.c.row.is_not(None))
        )
        return int(self._connection.execute(statement).scalar_one())


def _write(agreed: Agreed) -> str:
    made = [] if agreed.made is None else [agreed.made]
    parts = [agreed.columns, agreed.fields, *made]
    return encode_value(parts, where="the shadow of a row").decode()


def _parse(text: str | None) -> Agreed | None:
    return None if text is None else Agreed(*decode_value(text))
