"""The quarantine as a CSV file, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

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


def export_csv(file: Path, entries: Iterable[Quarantined]) -> None:
    """Write the entries to ``file``: whole or not at all. UTF-8 with a mark at its beginning, which
    spreadsheets need to read it as such. Raises UsageError."""
    new = file.with_name(f".{file.name}.new")
    try:
        with new.open("w", encoding="utf-8-sig", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(COLUMNS)
            for entry in entries:
                writer.writerow([_cell(entry, column) for column in COLUMNS])
        new.replace(file)
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
    return f"'{text}" if text.startswith(_FORMULA) else text
