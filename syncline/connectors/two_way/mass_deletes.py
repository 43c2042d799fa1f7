"""Mass deletions: somebody may have emptied a table by accident, and that is not to go on."""

from __future__ import annotations

import sqlalchemy as sa

from syncline.connectors.bookkeeping.notes import Notes
from syncline.connectors.file.spec import MappedRecord
from syncline.engine.errors import PipelineStopped

from .mapping import TableMapping
from .shadows import Shadows


def check_all_deletes(
    connection: sa.Connection, pipeline: str, system: str, mapping: TableMapping
) -> None:
    """Count the rows that went from the table of one record since they were agreed on, before any
    of it is taken over. Raises PipelineStopped."""
    table, limit = mapping.table.name, mapping.record.max_deletes
    notes, shadows = Notes(connection, pipeline), Shadows(connection, pipeline)
    known = shadows.count(table)
    if not known:
        return
    # Rows that came meanwhile hide as many that went where nothing is noted.
    fewer = known - mapping.rows.count(connection)
    number = max(notes.count_gone(table), fewer)
    if not limit.exceeded(number, known):
        return
    # Keys may have been used again, or be of rows that were never agreed on.
    noted = 0
    for keys in notes.gone_keys(mapping.rows):
        there = mapping.rows.by_keys(connection, keys)
        agreed = shadows.by_keys(table, [key for key in keys if key not in there])
        noted += sum(shadow.agreed is not None for shadow in agreed.values())
    check_deletes(mapping.record, system, table, max(noted, fewer), known)


def check_deletes(record: MappedRecord, system: str, table: str, number: int, total: int) -> None:
    """Raise PipelineStopped if so many of ``total`` rows are not to go at once."""
    if record.max_deletes.exceeded(number, total):
        raise PipelineStopped(
            f"{number:,} of {total:,} rows of {system}.{table} are gone, more than max_deletes = "
            f"{record.max_deletes} allows; nothing was written.",
            hint="If that is meant, run syncline sync FILE --allow-deletes once; otherwise put the "
            "rows back.",
        )
