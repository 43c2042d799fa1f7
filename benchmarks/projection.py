"""What the SQL tables cost: python benchmarks/projection.py

Prints the time to make the rows of 500 records, to commit 500 changed records with and without
rows, to rebuild a table, and to open the store of RECORDS records with its table unchanged.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from syncline import Counter, Record, SetOf, Text
from syncline.engine.document.cells import cells_of
from syncline.engine.document.document import Document
from syncline.engine.document.values import encode_value
from syncline.engine.names import Address
from syncline.engine.records.liveness import write_live
from syncline.engine.records.projection import Rows, projected
from syncline.engine.records.schema import REGISTERS
from syncline.engine.updates.parse import encode_state_vector
from syncline.stores import DocumentWrite, SqlStore, Write

RECORDS = 100_000
CHANGED = 500
ROUNDS = 15


class Contact(Record, collection="contacts"):
    name: str
    phone: str | None = None
    email: str | None = None
    city: str | None = None
    notes: Text
    visits: Counter
    tags: SetOf[str]


TABLE = projected(Contact.__schema__)


def milliseconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return (time.perf_counter() - begin) * 1e3


def made(number: int) -> Document:
    document = Document(1)
    with document.transaction():
        write_live(document, True, "delete-wins", 1)
        for name in ("name", "phone", "city"):
            encoded = encode_value(f"{name} {number}", where=name)
            cells_of(document, REGISTERS).write(name, encoded, 2)
        document.text("text:notes").insert(0, "Called back.")
    return document


def writes(documents: list[Document], start: int, rows: Rows | None) -> list[Write]:
    changes = tuple(
        DocumentWrite(
            Address("contacts", f"{start + number:06}"),
            tuple(document.take_captured()) or (b"\0\0",),
            encode_state_vector(document.state_vector()),
            live=True,
            row=rows.row(document) if rows else None,
        )
        for number, document in enumerate(documents)
    )
    return [Write("local", documents=changes)]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = SqlStore(Path(folder) / "contacts.db")
        store.open()
        store.project([TABLE])
        rows = Rows(TABLE)
        documents = [made(number) for number in range(CHANGED)]
        made_rows = [
            milliseconds(lambda: [rows.row(document) for document in documents])
            for _ in range(ROUNDS)
        ]
        print(f"making {CHANGED} rows: {statistics.median(made_rows):.1f} ms")
        store.write(writes(documents, 0, rows))
        for name, with_rows in (("without", None), ("with", rows)):
            times: list[float] = []
            for _ in range(ROUNDS):
                batch = writes(documents, 0, with_rows)
                times.append(milliseconds(partial(store.write, batch)))
            print(f"committing {CHANGED} {name} rows: {statistics.median(times):.1f} ms")
        for start in range(CHANGED, RECORDS, CHANGED):
            store.write(writes([made(number) for number in range(CHANGED)], start, rows))
        store.close()
        opening = milliseconds(store.open)
        declaring = milliseconds(lambda: store.project([TABLE]))
        print(f"opening {RECORDS:,} records: {opening:.1f} ms, their table: {declaring:.1f} ms")
        rebuilding = milliseconds(lambda: store.project([TABLE], anew=True))
        print(f"rebuilding the table: {rebuilding / 1e3:.1f} s")
        store.close()


if __name__ == "__main__":
    main()
