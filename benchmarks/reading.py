"""What reading many records costs, beside reading the same rows with sqlite3.

    python benchmarks/reading.py [RECORDS ...]

For each number of records the seconds that it takes to read one field of each, and all fields of
each: with sqlite3 alone, by rows() and values(), and by a loop over the records, which loads a
document for each. The last column is how many times as long as sqlite3.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from syncline import Record, Replica, SetOf, Text


class Contact(Record, collection="contacts"):
    name: str
    phone: str | None = None
    notes: Text
    tags: SetOf[str]


async def fill(path: Path, count: int) -> None:
    async with Replica.open(path, models=[Contact]) as replica:
        contacts = replica.collection(Contact)
        for start in range(0, count, 500):
            with replica.transaction():
                for number in range(start, min(start + 500, count)):
                    contacts.create(name=f"name {number}", phone="1", notes="hello", tags={"a"})
            await replica.flushed()


def seconds(read: Callable[[], Any]) -> float:
    """The shortest of three: what else the machine does makes it longer only."""
    taken: list[float] = []
    for _ in range(3):
        begun = time.perf_counter()
        read()
        taken.append(time.perf_counter() - begun)
    return min(taken)


def plain(path: Path, columns: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        query = f"SELECT {columns} FROM contacts ORDER BY key"  # noqa: S608  a constant
        rows = connection.execute(query).fetchall()
    if columns != "name":
        return [(*row[:3], json.loads(row[3])) for row in rows]
    return rows


async def measure(path: Path, count: int) -> None:
    one = seconds(lambda: plain(path, "name"))
    whole = seconds(lambda: plain(path, "name, phone, notes, tags"))
    async with Replica.open(path, models=[Contact]) as replica:
        contacts = replica.collection(Contact)
        cases: list[tuple[str, Callable[[], Any], float]] = [
            ('values("name")', lambda: list(contacts.values("name")), one),
            ("rows()", lambda: list(contacts.rows()), whole),
            ('rows(mode="json")', lambda: list(contacts.rows(mode="json")), whole),
            ("record.name", lambda: [record.name for record in contacts], one),
            ("record.to_dict()", lambda: [record.to_dict() for record in contacts], whole),
        ]
        print(f"{count:,} records: sqlite3 one field {one:.3f} s, all fields {whole:.3f} s")
        for what, read, base in cases:
            taken = seconds(read)
            print(f"  {what:20} {taken:8.3f} s {taken / base:8.1f} x")


async def main() -> None:
    for count in [int(argument) for argument in sys.argv[1:]] or [20_000]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "a.db"
            await fill(path, count)
            await measure(path, count)


if __name__ == "__main__":
    asyncio.run(main())
