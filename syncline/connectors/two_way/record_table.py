"""The record documents in a connected database, each under the number of its last change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from syncline.connectors.bookkeeping.schema import RECORDS
from syncline.connectors.bookkeeping.state import State
from syncline.connectors.database.rows import batches

from .record_document import RecordDocument

_R = RECORDS.c


class StoredRecord(NamedTuple):
    """A document as it is stored. ``version`` is the number of its last change here."""

    rid: str
    kind: str
    version: int
    document: bytes


class RecordTable:
    """The documents of one pipeline in one database, in a transaction.

    Versions are given out under the lock that every pass takes first, so that who reads on from a
    version misses nothing. The ids by match key are read once, and known until ``save``.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._connection = state.connection
        self._mine = _R.pipeline == state.pipeline
        self._by_match: dict[str, list[str]] = {}

    def lock(self) -> int:
        """Keep other passes out until the transaction ends; return the last version."""
        if self._state.meta("version", lock=True) is None:
            self._state.set_meta("version", "0")
        return self.head

    @property
    def head(self) -> int:
        """The last version given out."""
        return int(self._state.meta("version") or "0")

    def skip_to(self, version: int) -> None:
        """Give out no version up to ``version`` any more."""
        self._state.set_meta("version", str(max(version, self.head)))

    def load(self, rids: Iterable[str]) -> dict[str, StoredRecord]:
        found: dict[str, StoredRecord] = {}
        for batch in batches(rids):
            for stored in self._select(_R.rid.in_(batch)):
                found[stored.rid] = stored
        return found

    def since(self, version: int, limit: int) -> list[StoredRecord]:
        """At most ``limit`` records above ``version``, by version."""
        return self._select(_R.version > version, limit=limit)

    def in_conflict(self) -> list[StoredRecord]:
        """The records that exist and have conflicting values."""
        return self._select(_R.conflict.is_(True), _R.live.is_(True))

    def _select(
        self, *conditions: sa.ColumnElement[bool], limit: int | None = None
    ) -> list[StoredRecord]:
        statement = (
            sa.select(_R.rid, _R.kind, _R.version, _R.document)
            .where(self._mine, *conditions)
            .order_by(_R.version)
            .limit(limit)
        )
        return [
            StoredRecord(rid, kind, version, bytes(document))
            for rid, kind, version, document in self._connection.execute(statement)
        ]

    def by_match(self, keys: Iterable[str]) -> dict[str, list[str]]:
        """The ids of the records with these match keys, in order, by match key."""
        wanted = set(keys)
        for batch in batches(sorted(wanted - self._by_match.keys())):
            found: dict[str, list[str]] = {key: [] for key in batch}
            statement = sa.select(_R.match, _R.rid).where(self._mine, _R.match.in_(batch))
            for match, rid in self._connection.execute(statement):
                found[str(match)].append(rid)
            for rids in found.values():
                rids.sort()  # ordered by SQL, SQLite would read all records in that order
            self._by_match |= found
        return {key: rids for key in wanted if (rids := self._by_match[key])}

    def dead(self, rids: Iterable[str]) -> set[str]:
        """Those of ``rids`` that are deleted."""
        found: set[str] = set()
        for batch in batches(rids):
            statement = sa.select(_R.rid).where(self._mine, _R.rid.in_(batch), _R.live.is_(False))
            found.update(self._connection.execute(statement).scalars())
        return found

    def save(self, documents: Sequence[RecordDocument], authors: Mapping[int, str]) -> None:
        """Store what has changed, each under a version of its own."""
        self._by_match.clear()
        version = self.head
        for batch in batches(documents):
            self._connection.execute(
                sa.delete(RECORDS).where(self._mine, _R.rid.in_([each.rid for each in batch]))
            )
            rows: list[dict[str, object]] = []
            for document in batch:
                version += 1
                rows.append(
                    {
                        "pipeline": self._state.pipeline,
                        "rid": document.rid,
                        "kind": document.record.name,
                        "version": version,
                        "match": document.match_key(authors) if document.joinable else None,
                        "live": document.live,
                        "conflict": bool(document.conflicts),
                        "document": document.dump(),
                    }
                )
            self._connection.execute(sa.insert(RECORDS), rows)
        if documents:
            self._state.set_meta("version", str(version))
