"""What a process did to its files, and the disks that a power cut would have left.

A disk keeps what was written before the last sync of a file. Of what was written after it, any
part may be there: each write whole, in its first sectors only, or not at all. A removed file may
come back only until the next sync of any file: file systems keep the order of their own changes.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

SECTOR = 512
_HEAD = struct.Struct("<cqII")


@dataclass(frozen=True, slots=True)
class Operation:
    """``kind``: Write, Truncate, Sync, Unlink or Mark; ``at`` is offset, length or number."""

    kind: str
    path: str
    at: int
    data: bytes


@dataclass(slots=True)
class Disk:
    """Files by path, and the last mark before the cut, -1 without any."""

    files: dict[str, bytearray] = field(default_factory=dict[str, bytearray])
    mark: int = -1

    def write_to(self, folder: Path) -> None:
        """Put the files into ``folder``, under their last names."""
        for path, content in self.files.items():
            (folder / Path(path).name).write_bytes(content)


def read_log(log: Path) -> list[Operation]:
    data = log.read_bytes()
    operations: list[Operation] = []
    at = 0
    while at < len(data):
        kind, number, size, path_size = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        path = data[at : at + path_size].decode()
        at += path_size
        operations.append(Operation(kind.decode(), path, number, data[at : at + size]))
        at += size
    return operations


def after_power_cut(operations: Sequence[Operation], rng: random.Random) -> Disk:
    """A disk as it may be if the power went after ``operations``."""
    disk = Disk()
    synced = {op.path: index for index, op in enumerate(operations) if op.kind == "S"}
    last_sync = max(synced.values(), default=-1)
    share = rng.choice([0.0, 0.3, 0.7, 1.0])
    for index, op in enumerate(operations):
        durable = index < synced.get(op.path, -1)
        if op.kind == "M":
            disk.mark = op.at
        elif op.kind == "U":
            if index < last_sync or rng.random() < share:
                disk.files.pop(op.path, None)
        elif op.kind != "S" and (durable or rng.random() < share):
            _apply(disk, op, op.data if durable else _torn(op.data, rng))
    return disk


def _torn(data: bytes, rng: random.Random) -> bytes:
    if len(data) > SECTOR and rng.random() < 0.3:
        return data[: SECTOR * rng.randrange(1, len(data) // SECTOR + 1)]
    return data


def _apply(disk: Disk, op: Operation, data: bytes) -> None:
    content = disk.files.setdefault(op.path, bytearray())
    reach = op.at if op.kind == "T" else op.at + len(data)
    if len(content) < reach:
        content.extend(bytes(reach - len(content)))
    if op.kind == "T":
        del content[op.at :]
    else:
        content[op.at : reach] = data
