"""The audit log: who was let do what, one line of JSON for each decision, and no content.

Decisions are written beside the relay's work by a thread of their own. They wait in a bounded
queue: what finds no room, because the disk is slower or full, is lost, counted, and said in the
file and in the relay's log.
"""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from dataclasses import dataclass
from pathlib import Path

import orjson

from syncline.engine.clock import Milliseconds
from syncline.engine.errors import UsageError
from syncline.stores import StoreCalls
from syncline.stores.holding import to_the_end

logger = logging.getLogger("syncline.relay")

MAX_WAITING = 50_000
"""Decisions that wait to be written."""
RETRY_SECONDS = 1.0
"""After which a write that failed is tried again."""
_MODE = 0o600
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0)


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided: ``connected``, ``opened`` (a document, by an editor), ``stored``, or
    ``refused`` with its code. ``device`` is the replica's id or the editor's connection."""

    decision: str
    principal: str | None
    address: str
    device: str
    workspace: str
    document: str | None = None
    seq: int | None = None
    size: int | None = None
    code: str | None = None


class AuditLog:
    """Writes decisions to ``path``, which is opened anew for each write, so that it can be moved
    away. ``calls`` runs what blocks, ``now`` is the wall clock."""

    def __init__(self, path: Path, calls: StoreCalls, now: Milliseconds) -> None:
        self._path = path
        self._calls = calls
        self._now = now
        self._waiting: list[bytes] = []
        self._lost = 0
        self._failing = False
        self._filled = asyncio.Event()

    async def open(self) -> None:
        """Raises UsageError if nothing can be written there."""
        try:
            await self._calls(self._write, b"")
        except OSError as error:
            raise UsageError(
                f"The audit log {self._path} cannot be written: {_reason(error)}.",
                hint="Give the path of a file, in a folder that the relay may write.",
            ) from None

    def note(self, decision: Decision) -> None:
        """Have a decision written, soon."""
        if len(self._waiting) >= MAX_WAITING:
            self._lost += 1
            return
        self._waiting.append(self._line(decision))
        self._filled.set()

    def _line(self, decision: Decision | dict[str, object]) -> bytes:
        return orjson.dumps({"time": self._now()} | _known(decision)) + b"\n"

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            if not await self._flush():
                await asyncio.sleep(RETRY_SECONDS)
                self._filled.set()

    async def close(self) -> None:
        """Write what waits, if that can be done."""
        try:
            await self._flush()
            if self._waiting:
                logger.error("%d decisions are missing in the audit log.", len(self._waiting))
        finally:
            await self._calls.close()

    async def _flush(self) -> bool:
        lines, lost = self._waiting, self._lost
        if not lines:
            return True
        self._waiting, self._lost = [], 0
        if lost:
            lines = [*lines, self._line({"decision": "lost", "count": lost})]
        try:
            # Cancelled in between, nobody would know whether they are written.
            await to_the_end(self._calls(self._write, b"".join(lines)))
        except asyncio.CancelledError as cancelled:
            if isinstance(cancelled.__context__, OSError):
                self._put_back(lines, lost)
            raise
        except OSError as error:
            self._put_back(lines, lost)
            if not self._failing:
                logger.error("The audit log cannot be written: %s.", _reason(error))
            self._failing = True
            return False
        if lost:
            logger.error("%d decisions are missing in the audit log: too many came.", lost)
        self._failing = False
        return True

    def _put_back(self, lines: list[bytes], lost: int) -> None:
        kept = lines[: len(lines) - bool(lost)] + self._waiting
        self._waiting = kept[:MAX_WAITING]
        self._lost += lost + len(kept) - len(self._waiting)

    def _write(self, data: bytes) -> None:
        """Raises OSError."""
        descriptor = os.open(self._path, _FLAGS, _MODE)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError("it is no file")
            before = os.fstat(descriptor).st_size
            written = os.write(descriptor, data)
            if written < len(data):  # the disk is full: no half line stays
                os.ftruncate(descriptor, before)
                raise OSError("there is no room left")
        finally:
            os.close(descriptor)


def _known(decision: Decision | dict[str, object]) -> dict[str, object]:
    if isinstance(decision, dict):
        return decision
    fields = ((name, getattr(decision, name)) for name in Decision.__slots__)
    return {name: value for name, value in fields if value is not None}


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
