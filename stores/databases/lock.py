"""One writer per store file: a lock that names its holder and dies with it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from filelock import FileLock, Timeout

from syncline.engine.errors import StoreBusy, StoreError, StoreFailed

from .files import NONE_LEFT, mode_of, out_of_files


class StoreLock:
    """The exclusive right to write ``path``, held through ``<path>.lock``.

    The lock belongs to the open file, not to the process: a second open in this process is
    refused as one in another is, and the kernel frees it when the holder dies, however that
    happens. The holder's process id is written into the lock file, which stays behind when the
    lock is released: removing it would let two processes hold two files of one name. A new lock
    file has the mode of ``path``, as what SQLite puts beside it has.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.with_name(path.name + ".lock")
        self._held: FileLock | None = None

    def acquire(self) -> None:
        """Raises StoreBusy naming the holder, StoreError or StoreFailed when it cannot lock."""
        # A new one each time. A FileLock that is held lets the same process in once more, so two
        # threads could both open one store; and a child of a fork may not use its parent's.
        lock = FileLock(
            self._file,
            timeout=0,
            mode=mode_of(self._path),
            thread_local=False,  # closing from another thread than opening must free it
            fallback_to_soft=False,  # a lock by mere existence outlives a killed holder
            on_acquired=_sign,
        )
        try:
            lock.acquire()
        except Timeout:
            raise self._busy() from None
        except OSError as error:
            if error.errno in NONE_LEFT:
                raise out_of_files(self._path) from error
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                raise StoreFailed(
                    f"The lock file {self._file} cannot be written: {error.strerror}.",
                    hint="Free some disk space or mend the disk, then open the store again.",
                    retry_after=5.0,
                ) from error
            raise StoreError(
                f"The store {self._path} cannot be locked: {error.strerror} ({self._file}).",
                hint="The store needs a folder it may write in, on a file system with locks; "
                "to look without writing, use `syncline inspect`, or SqlStore(…, exclusive=False).",
            ) from error
        self._held = lock

    def release(self) -> None:
        """Free the lock; releasing twice is allowed."""
        lock, self._held = self._held, None
        if lock is not None:
            lock.release()

    def _busy(self) -> StoreBusy:
        holder = self._holder()
        if holder is None:
            who = "another process"
        elif holder == os.getpid():
            who = f"this process ({holder})"
        else:
            who = f"process {holder}"
        return StoreBusy(
            f"The store {self._path} is already open in {who}.",
            hint="Close it there first, or give this program a file of its own; to look without "
            "writing, use `syncline inspect`, or SqlStore(…, exclusive=False).",
        )

    def _holder(self) -> int | None:
        try:
            signed = self._file.read_bytes()
        except OSError:  # Windows lets nobody read a locked file
            return None
        return int(signed) if signed.isdigit() else None


def _sign(descriptor: int) -> None:
    os.ftruncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
