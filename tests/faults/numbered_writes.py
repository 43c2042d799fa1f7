"""A store that is written to, write by write, in a process of its own; and what must be in it.

``python -m tests.faults.numbered_writes STORE FIRST COUNT SYNCHRONOUS``, with disk_log.c loaded.
"""

from __future__ import annotations

import ctypes
import hashlib
import random
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.pool import Pool

from syncline.engine.names import Address
from syncline.stores import DocumentWrite, OutboxBatch, Receipt, SqlStore, Write

WORKSPACE = "crm"
REPLICA = "a" * 32
DOCUMENTS = 5


def content(number: int, part: int) -> bytes:
    """The bytes of one of the two updates of a write."""
    seed = hashlib.sha256(b"%d %d" % (number, part)).digest()
    return seed * random.Random(seed).randrange(1, 100)


def address(number: int) -> Address:
    return Address("notes", str(number % DOCUMENTS))


def numbered_write(number: int) -> Write:
    """What a relay and a replica put into one transaction, numbers from 1."""
    return Write(
        WORKSPACE,
        documents=(
            DocumentWrite(
                address(number), (content(number, 0), content(number, 1)), b"%d" % number
            ),
        ),
        receipt=Receipt(REPLICA, number, b"digest %d" % number),
        outbox=(OutboxBatch(number, content(number, 2)),),
        acknowledged=number - 1,
        meta={"last": str(number)},
    )


def check(store: SqlStore, least: int) -> None:
    """Raise AssertionError unless the open ``store`` has the first writes, ``least`` or more, each
    whole and nothing else."""
    last = int(store.meta(WORKSPACE).get("last", "0"))
    assert last >= least, f"write {least} was acknowledged, and {last} is the last"
    page = store.since(WORKSPACE, 0, max_bytes=1 << 30, max_updates=1 << 30)
    found = [(update.seq, update.address, update.data) for update in page.updates]
    expected = [
        (2 * number - 1 + part, address(number), content(number, part))
        for number in range(1, last + 1)
        for part in (0, 1)
    ]
    assert found == expected, f"the log of {last} writes is not what was written"
    assert page.head == 2 * last
    assert store.last_batch(WORKSPACE, REPLICA) == last
    outbox = [OutboxBatch(last, content(last, 2))] if last else []
    assert store.outbox(WORKSPACE, limit=10) == outbox
    for number in range(max(1, last - DOCUMENTS + 1), last + 1):
        stored = store.load(WORKSPACE, address(number))
        assert stored is not None
        assert stored.state_vector == b"%d" % number
        receipt = store.receipt(WORKSPACE, REPLICA, number)
        assert receipt is not None
        assert receipt.digest == b"digest %d" % number


def main(path: str, first: int, count: int, synchronous: str) -> None:
    mark = ctypes.CDLL(None).disk_log_mark
    mark.argtypes = [ctypes.c_int64]

    def connected(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA wal_autocheckpoint=20")  # so that there are some
        if synchronous != "FULL":
            connection.execute(f"PRAGMA synchronous={synchronous}")

    event.listen(Pool, "connect", connected)
    store = SqlStore(Path(path))
    store.open()
    for number in range(first, first + count):
        store.write([numbered_write(number)])
        mark(number)
    store.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
