"""The files of a store: how they are made, and what may be seen of them from outside of SQLite.

SQLite's locks belong to the process and its file, not to a connection: when the process closes any
descriptor of that file, the kernel drops all of them (POSIX advisory locks; "How To Corrupt An
SQLite Database File", 2.2). Another program would then take the log away from an open store. So
nothing here opens a file that may be a store; what has to be read of it, SQLite reads.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

from syncline.engine.errors import StoreError, StoreFailed
from syncline.stores.faults import damaged

PRIVATE = 0o600
"""The mode of what is made: nobody but its owner reads or writes it."""

NONE_LEFT = (errno.EMFILE, errno.ENFILE)
"""What the system says when a program, or all of them, have too many files open."""

_HEADER = 100  # bytes; SQLite takes a file of one byte for an empty one

NO_DATABASE = "it does not begin as a SQLite database does"


def make(path: Path) -> None:
    """Make ``path`` an empty file of mode PRIVATE, unless there is a file, which is left as it is.

    SQLite by itself would make one that others can read, and gives the files that it puts beside a
    database the mode of the database. Raises OSError.
    """
    flags = os.O_CREAT | os.O_EXCL | os.O_RDWR
    try:
        descriptor = os.open(path, flags, PRIVATE)
    except FileExistsError:
        return
    os.close(descriptor)  # of a file that SQLite has not seen yet: there are no locks to lose


def mode_of(path: Path) -> int:
    """The mode for a file beside ``path``: the same, and PRIVATE while there is none."""
    try:
        return stat.S_IMODE(path.stat().st_mode) & 0o666
    except OSError:
        return PRIVATE


def examine(path: Path, *, create: bool) -> None:
    """Refuse what cannot be a store by what the file system says of it.

    Raises StoreError: no folder, no file, no right to it.
    """
    try:
        if not path.parent.is_dir():
            raise StoreError(
                f"The folder {path.parent} for the store {path.name} does not exist.",
                hint="Create the folder first, or correct the path.",
            )
        if not path.exists():
            if create:
                return
            raise StoreError(
                f"There is no store at {path}.",
                hint="Correct the path; a store is created when it is opened for writing.",
            )
        if not path.is_file():
            raise StoreError(f"{path} is not a file.", hint="Give the path of a file.")
        if not _allowed(path, os.R_OK | os.W_OK if create else os.R_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise StoreError(
            f"The store {path} cannot be opened: {error.strerror}.",
            hint="Check the owner and the rights of the file and its folder.",
        ) from error


def _allowed(path: Path, mode: int) -> bool:
    # By the effective user where that can be asked for: it is the one who opens.
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def examine_start(path: Path) -> None:
    """Raise StoreDamaged, before SQLite changes anything, for a file that is no database.

    An empty file is new, unless a log of transactions lies beside it. One whose creation was cut
    short has a journal beside it, from which SQLite empties it again.
    """
    # What lies beside it first: another process may be making the store just now, and puts its
    # first page down before it begins a log, and after it began a journal.
    has_log, was_begun = has_beside(path, "-wal"), has_beside(path, "-journal")
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return
    refused = has_log if size == 0 else size < _HEADER or not _is_database(path)
    if refused and not (was_begun or has_beside(path, "-journal")):
        raise damaged(f"The store {path}", NO_DATABASE)


def has_beside(path: Path, suffix: str) -> bool:
    """Whether SQLite's file of that suffix lies beside ``path``, and holds something."""
    beside = path.with_name(path.name + suffix)
    try:
        return beside.stat().st_size > 0
    except FileNotFoundError:
        return False


def _is_database(path: Path) -> bool:
    # Immutable: without locks, and without looking at what lies beside the file.
    options = "mode=ro&immutable=1&cache=private"
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?{options}", uri=True)) as connection:
            connection.execute("PRAGMA schema_version")
    except sqlite3.DatabaseError as error:
        return error.sqlite_errorcode != sqlite3.SQLITE_NOTADB  # anything else shows later
    return True


def are_used_up() -> bool:
    """Whether this process may open no more files: SQLite only says that it cannot open one."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno in NONE_LEFT
    return False


def out_of_files(path: Path) -> StoreFailed:
    """The error for that."""
    return StoreFailed(
        f"The store {path} cannot be opened: this program has too many files open.",
        hint="Close stores that are not in use, or allow it more files (ulimit -n): a store in "
        "use takes up to 20.",
        retry_after=5.0,
    )
