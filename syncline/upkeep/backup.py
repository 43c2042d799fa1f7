"""Backup and restore of a whole store, any SQL database to a file and back.

A backup is a SQLite store of its own: one file, of one moment, that ``syncline inspect`` reads. It
is taken while the store is in use. Restoring makes a relay's store that of another relay and a
replica's store that of another replica, because what either of them wrote after the backup may
exist elsewhere: replicas then compare with the relay instead of trusting their cursors, and nobody
uses operation numbers a second time.
"""

from __future__ import annotations

import os
import random
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from syncline.engine.errors import StoreBusy, StoreError
from syncline.engine.protocol.handshake import lineage
from syncline.stores import SqlStore, Write
from syncline.stores.databases.files import mode_of


@dataclass(frozen=True, slots=True)
class StoreCopy:
    """What a backup or a restored store has: its role, and each workspace's head.

    ``relay`` is the identity of a relay's store, None for a replica's.
    """

    role: str
    heads: dict[str, int]
    relay: str | None


def backup(store: str | Path, file: str | Path, *, force: bool = False) -> StoreCopy:
    """Save a copy of ``store`` (a path or a SQLAlchemy URL) as ``file``, also while it is in use.

    Everything that was acknowledged before the call is in it. The copy is read through and flushed
    to the disk before it takes its name; ``force`` replaces a file of that name. Nobody but its
    owner may read it, unless it replaces a file that others may read. Raises StoreError.
    """
    target = Path(file).resolve()
    _check_target(target, force)
    source = SqlStore(store, exclusive=False)
    source.open()
    try:
        before = {name: source.head(name) for name in source.workspaces()}
        with TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
            partial = Path(folder) / target.name
            source.save_copy(partial)
            copy = _examined(partial)
            if any(copy.heads.get(name, 0) < head for name, head in before.items()):
                raise StoreError(
                    "The copy lacks some of what was in the store.",
                    hint="Take the backup again, and report this if it happens again.",
                )
            _flush(partial)
            _check_target(target, force)  # while the source is open: it may be the same file
            partial.chmod(mode_of(target))
            partial.replace(target)
        _flush(target.parent)
        return copy
    finally:
        source.close()


def restore(
    file: str | Path,
    store: str | Path,
    *,
    force: bool = False,
    rng: random.Random | None = None,
) -> StoreCopy:
    """Put the backup ``file`` into ``store``, a new or empty one; ``force`` replaces what it has.

    In one commit: a restore that fails leaves the store as it was. ``rng`` draws the relay's new
    identity; the system's generator unless given. Raises StoreBusy when the store
    is in use, and StoreError when it is not empty.
    """
    source = SqlStore(file, exclusive=False)
    source.open()
    try:
        source.check()
        with TemporaryDirectory(prefix="syncline-restore-", dir=_folder_beside(file)) as folder:
            renewed = Path(folder) / "store.db"
            source.save_copy(renewed)
            _renew(renewed, rng or random.SystemRandom())
            return _put(renewed, store, force)
    finally:
        source.close()


def _put(renewed: Path, store: str | Path, force: bool) -> StoreCopy:
    target = SqlStore(store)
    target.open()
    try:
        held = target.workspaces()
        if held and not force:
            raise StoreError(
                f"The store is not empty: it has {len(held)} workspaces.",
                hint="Restore into a new file and give the relay that one, or replace everything "
                "in this store with --force.",
            )
        source = SqlStore(renewed, exclusive=False)
        source.open()
        try:
            target.take_copy(source)
        finally:
            source.close()
        target.check()
        return _summary(target)
    finally:
        target.close()


def _renew(path: Path, rng: random.Random) -> None:
    """Give a restored store another identity, as a relay or as a replica.

    Opening it for writing also brings a backup of an older layout up to date.
    """
    store = SqlStore(path)
    store.open()
    try:
        known = store.meta("").get("relay")
        if known is not None:
            # Of the same lineage, so that replicas know it for the relay they joined, restored.
            identity = f"{lineage(known)}.{rng.getrandbits(64):016x}"
            store.write([Write("", meta={"relay": identity})])
        # Replicas that find another fingerprint than their store's draw new ids. A file system may
        # give the restored file the number that the lost one had, so the old one has to go.
        for name in store.workspaces():
            if "fingerprint" in store.meta(name):
                store.write([Write(name, meta={"fingerprint": "restored"})])
    finally:
        store.close()


def _examined(path: Path) -> StoreCopy:
    copy = SqlStore(path, exclusive=False)
    copy.open()
    try:
        copy.check()
        return _summary(copy)
    finally:
        copy.close()


def _summary(store: SqlStore) -> StoreCopy:
    meta = store.meta("")
    heads = {name: store.head(name) for name in store.workspaces()}
    return StoreCopy(meta.get("role", "unknown"), heads, meta.get("relay"))


def _check_target(target: Path, force: bool) -> None:
    if not target.parent.is_dir():
        raise StoreError(
            f"The folder {target.parent} for the backup does not exist.",
            hint="Create the folder first, or correct the path.",
        )
    if target.exists() and not force:
        raise StoreError(
            f"There is a file {target} already.",
            hint="Give another name, or replace it with --force.",
        )
    if target.with_name(f"{target.name}-wal").exists():
        raise StoreBusy(
            f"{target} is a store that is open, or was not closed.",
            hint="Give the backup a name of its own.",
        )


def _folder_beside(file: str | Path) -> Path | None:
    """The backup's folder, which has room for one, if it may be written; else the system's."""
    folder = Path(file).resolve().parent
    return folder if os.access(folder, os.W_OK) else None


def _flush(path: Path) -> None:
    """Have the file or the folder on the disk."""
    with suppress(PermissionError):  # Windows opens no folders
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
