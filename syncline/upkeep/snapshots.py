"""Who makes snapshots: a process of its own, or a thread of this one.

A relay does not trust what it stores. A document made to hang or to crash the CRDT library does so
to whoever reads its content, and the library holds Python's lock while it works, so a relay has a
process beside it read documents: a hanging one is ended after a while, and the commits go on.

The process reads from its standard input: how many parts follow, then each part after its length;
the parts are the state vector and the updates. It answers with one byte (an outcome), a length and
that many bytes: the snapshot, or the sentence that says why there is none.
"""

from __future__ import annotations

import asyncio
import signal
import struct
import sys
from typing import TYPE_CHECKING, BinaryIO, Protocol

from syncline.engine.errors import SnapshotRefused
from syncline.engine.history.snapshot import make_snapshot

if TYPE_CHECKING:
    from syncline.stores import StoreCalls

PATIENCE_SECONDS = 60
"""How long one snapshot may take; a log of 5 MB in 100,000 updates takes 8 seconds."""

_LENGTH = struct.Struct("<I")
_ANSWER = struct.Struct("<BI")
_MADE, _NOT_SMALLER, _REFUSED = range(3)


class Snapshots(Protocol):
    """Makes snapshots, one at a time."""

    async def make(self, updates: tuple[bytes, ...], state_vector: bytes) -> bytes | None:
        """As ``syncline.engine.history.snapshot.make_snapshot``."""
        ...

    async def close(self) -> None:
        """Let go of what it needs for that; ``make`` takes hold of it again."""
        ...


class SnapshotThread:
    """Makes them in this process: for a replica, which reads its documents anyway."""

    def __init__(self, store_thread: StoreCalls) -> None:
        self._store_thread = store_thread

    async def make(self, updates: tuple[bytes, ...], state_vector: bytes) -> bytes | None:
        return await self._store_thread(make_snapshot, updates, state_vector)

    async def close(self) -> None:
        """Its thread is its maker's to close."""


class SnapshotProcess:
    """Makes them in a process that starts with the first one and ends with ``close``."""

    def __init__(self, patience: float = PATIENCE_SECONDS) -> None:
        self._patience = patience
        self._process: asyncio.subprocess.Process | None = None

    async def make(self, updates: tuple[bytes, ...], state_vector: bytes) -> bytes | None:
        try:
            async with asyncio.timeout(self._patience):
                outcome, data = await self._ask(_request(updates, state_vector))
        except TimeoutError:
            await self.close()
            raise _failed(f"making a snapshot takes more than {self._patience:g} seconds") from None
        except (asyncio.IncompleteReadError, OSError) as error:
            await self.close()
            raise _failed("the process that makes the snapshot ended on it") from error
        except BaseException:
            await self.close()  # cancelled in the middle of a conversation
            raise
        if outcome == _REFUSED:
            raise SnapshotRefused(
                data.decode(), hint="Nothing was changed; look at the disk if updates are missing."
            )
        return data if outcome == _MADE else None

    async def _ask(self, request: bytes) -> tuple[int, bytes]:
        process = self._process
        if process is None:
            # Without the working directory on its path, where anything may lie.
            process = self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "syncline.upkeep.snapshots"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
        if process.stdin is None or process.stdout is None:
            raise AssertionError("both are pipes")
        process.stdin.write(request)
        await process.stdin.drain()
        outcome, length = _ANSWER.unpack(await process.stdout.readexactly(_ANSWER.size))
        return outcome, await process.stdout.readexactly(length)

    async def close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            if process.returncode is None:
                process.kill()  # it has nothing to lose
            await process.communicate()


def _request(updates: tuple[bytes, ...], state_vector: bytes) -> bytes:
    parts = [_LENGTH.pack(1 + len(updates))]
    for part in (state_vector, *updates):
        parts += [_LENGTH.pack(len(part)), part]
    return b"".join(parts)


def _failed(why: str) -> SnapshotRefused:
    return SnapshotRefused(
        f"The log is not compacted: {why}.",
        hint="The document may have been made to harm its readers; nothing was changed.",
    )


def _work(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until there are no more."""
    while len(count := requests.read(_LENGTH.size)) == _LENGTH.size:
        state_vector, *updates = [_read_part(requests) for _ in range(*_LENGTH.unpack(count))]
        # Should the parent be gone, nobody else ends a document that hangs. The default action of
        # this signal needs no help from Python.
        if sys.platform != "win32":
            signal.alarm(2 * PATIENCE_SECONDS)
        try:
            made = make_snapshot(updates, state_vector)
            answer = (_NOT_SMALLER, b"") if made is None else (_MADE, made)
        except SnapshotRefused as error:
            answer = (_REFUSED, error.message.encode())
        if sys.platform != "win32":
            signal.alarm(0)
        answers.write(_ANSWER.pack(answer[0], len(answer[1])) + answer[1])
        answers.flush()


def _read_part(requests: BinaryIO) -> bytes:
    (length,) = _LENGTH.unpack(requests.read(_LENGTH.size))
    return requests.read(length)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends this
    _work(sys.stdin.buffer, sys.stdout.buffer)
