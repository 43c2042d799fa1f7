"""The quarantine as a CSV file, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from pathlib import Path

from syncline.cli.whole_file import written_whole
from syncline.connectors.bookkeeping.quarantine import Quarantined
from syncline.engine.errors import UsageError

COLUMNS = (
    "pipeline",
    "system",
    "table",
    "key",
    "field",
    "rule",
    "message",
    "hint",
    "original",
    "suggested",
    "first_seen",
    "last_seen",
    "tries",
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""How cells begin that a spreadsheet may run, by OWASP's page on CSV injection."""

# Where semicolons divide cells, quotes that begin inside of one mean nothing: then a semicolon, or
# the end of a line, is followed by a new cell.
_CELL_WITHIN = re.compile(r"([;\t\r\n])(?=[\s\"']*[=+\-@])")


def export_csv(file: Path, entries: Iterable[Quarantined]) -> None:
    """Write the entries to ``file``: whole or not at all. UTF-8 with a mark at its beginning, which
    spreadsheets need to read it as such. Raises UsageError."""
    try:
        with written_whole(file, encoding="utf-8-sig", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(COLUMNS)
            for entry in entries:
                writer.writerow([_cell(entry, column) for column in COLUMNS])
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(
            f"{file} cannot be written: {reason}.", hint="Name another file."
        ) from error


def _cell(entry: Quarantined, column: str) -> str:
    value = getattr(entry, column)
    if value is None:
        return ""
    text = value.isoformat() if column in ("first_seen", "last_seen") else str(value)
    text = _CELL_WITHIN.sub(r"\1'", text)
    return f"'{text}" if text.startswith(_FORMULA) else text
