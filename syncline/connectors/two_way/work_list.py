"""What a transaction looks at: rows by their notes, and what waits in quarantine."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from syncline.connectors.bookkeeping.notes import Note
from syncline.connectors.bookkeeping.quarantine import unusable_key
from syncline.connectors.database.pages import is_key, stand_in
from syncline.connectors.database.rows import Key

from .apply import is_of_no_row, records_without_row
from .capture import UNNOTED, Noted
from .mapping import TableMapping
from .transaction import SystemTransaction


class WorkList:
    """The rows to look at in a transaction. ``mappings`` are its tables by record."""

    def __init__(
        self, transaction: SystemTransaction, mappings: Mapping[str, TableMapping]
    ) -> None:
        self._transaction = transaction
        self._mappings = mappings
        self._tables = [mapping.table.name for mapping in mappings.values()]

    def of(
        self, notes: Sequence[Note], *, retry: bool
    ) -> tuple[dict[str, dict[Key, Noted]], list[str]]:
        """The rows by table, and the records without a row. ``retry``: also those that were refused
        for a reason that may have passed."""
        transaction = self._transaction
        noted: dict[str, dict[Key, Noted]] = {table: {} for table in self._tables}
        unusable: dict[str, set[Key]] = {table: set() for table in self._tables}
        waiting: list[str] = []
        for note in notes:
            if note.pk is None:
                transaction.notes.add_all(mapping_of(note, self._mappings).rows)
            elif (key := key_of(note, self._mappings)) is None:
                continue
            elif note.origin in ("agreed", "record") and is_of_no_row(key):
                waiting += records_without_row([key])
            elif is_key(key):
                known = noted[note.table].get(key, UNNOTED)
                at = note.at if note.at is not None else known.at
                noted[note.table][key] = Noted(at, known.gone or note.gone == 1)
            else:
                unusable[note.table].add(key)
        self._hold_unusable(unusable)
        for table in self._tables if retry else ():
            keys = transaction.quarantine.keys(transaction.system, table, transient=True)
            without_row = records_without_row(keys)
            waiting += without_row
            for key in keys:
                if key[-1] not in without_row:
                    noted[table].setdefault(key, UNNOTED)
        return noted, waiting

    def _hold_unusable(self, noted: Mapping[str, Collection[Key]]) -> None:
        """Rows that no key can be remembered of are listed as long as they are there."""
        for mapping in self._mappings.values():
            table = mapping.table.name
            rows = mapping.rows.by_keys(self._transaction.connection, noted[table])
            for key in noted[table]:
                self._transaction.release(table, [stand_in(key)])
                if key in rows:
                    self._transaction.refuse(table, stand_in(key), [unusable_key(key)])


def mapping_of(note: Note, mappings: Mapping[str, TableMapping]) -> TableMapping:
    """The table that a note is about."""
    return next(each for each in mappings.values() if each.table.name == note.table)


def key_of(note: Note, mappings: Mapping[str, TableMapping]) -> Key | None:
    """The key of the row that a note is about."""
    return note.key(mapping_of(note, mappings).rows)
