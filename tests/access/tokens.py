"""Token files for tests, and relays that use them."""

from __future__ import annotations

from pathlib import Path

ADMIN, READER, PAGES, NOTE = "admin-token", "reader-token", "pages-token", "note-token"
"""May do everything, may read everything, has one collection, has one document and may read it."""

TABLES = {
    ADMIN: 'name = "admin"\naccess = "write"\n',
    READER: 'name = "reader"\naccess = "read"\n',
    PAGES: 'name = "pages"\naccess = "write"\nworkspaces = ["crm"]\ncollections = ["pages"]\n',
    NOTE: 'name = "note"\naccess = "read"\ndocuments = ["pages/note"]\n',
}


def token_file(folder: Path, tables: dict[str, str] | None = None) -> Path:
    """Write a token file; another one takes its place at once."""
    tables = TABLES if tables is None else tables
    path, written = folder / "tokens.toml", folder / "tokens.toml.new"
    written.touch(mode=0o600)
    written.write_text(
        "\n".join(f'[[token]]\ntoken = "{token}"\n{table}' for token, table in tables.items())
    )
    written.replace(path)
    return path


class Clock:
    """Seconds, as the test sets them."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now
