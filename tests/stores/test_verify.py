"""Every kind of damage is reported, and a sound store has none."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from syncline.engine.document.document import Document
from syncline.engine.names import Address
from syncline.engine.updates.parse import encode_state_vector
from syncline.stores import DocumentWrite, Problem, SqlStore, Write
from syncline.stores.databases.from_url import database_of

A, B = Address("pages", "a"), Address("pages", "b")


def write_of(address: Address, client: int, edits: int) -> tuple[Write, bytes]:
    """One Write with a document's edits, each an update, and the state vector after them."""
    document = Document(client)
    for n in range(edits):
        with document.transaction():
            document.map("m").set(f"k{n}", n)
    vector = encode_state_vector(document.state_vector())
    return Write("w", (DocumentWrite(address, tuple(document.take_captured()), vector),)), vector


@pytest.fixture
def place(location: str) -> str:
    """Where a closed store is, of two documents: seqs 1 to 3 are A's, 4 and 5 are B's."""
    store = SqlStore(location)
    store.open()
    with closing(store):
        first, _ = write_of(A, 5, 3)
        second, _ = write_of(B, 6, 2)
        store.write([first, second, Write("v", meta={"k": "v"})])
        assert store.verify() == []
    return location


def spoil(place: str, *statements: str) -> None:
    engine = database_of(place).writer_engine()
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def found(place: str) -> list[Problem]:
    store = SqlStore(place, exclusive=False)
    store.open()
    with closing(store):
        return store.verify()


def test_a_sound_store_has_no_problem(place: str) -> None:
    assert found(place) == []
    store = SqlStore(place)
    store.open()
    with closing(store):
        write, _ = write_of(A, 7, 2)
        anew = DocumentWrite(
            A, write.documents[0].updates, write.documents[0].state_vector, epoch=1
        )
        store.write([Write("w", (anew,))])
        assert found(place) == []


@pytest.mark.parametrize(
    ("statement", "address", "message"),
    [
        ("UPDATE syncline_documents SET updates = 9 WHERE key = 'a'", A, "and 9 of"),
        ("UPDATE syncline_documents SET size = 1 WHERE key = 'a'", A, "and 3 of 1 up to 3"),
        ("UPDATE syncline_documents SET last_seq = 2 WHERE key = 'a'", A, "up to 2 are noted"),
        ("UPDATE syncline_documents SET last_seq = 6 WHERE key = 'b'", B, "up to 6 are noted"),
        ("UPDATE syncline_workspaces SET head = 4 WHERE name = 'w'", None, "the head is 4"),
        ("UPDATE syncline_updates SET seq = 0 WHERE seq = 1", None, "goes from seq 0 to 5"),
    ],
)
def test_counts_and_seqs(place: str, statement: str, address: Address | None, message: str) -> None:
    if place.startswith("mariadb"):
        statement = statement.replace("key =", "`key` =")
    spoil(place, statement)
    (problem,) = found(place)
    assert (problem.workspace, problem.address) == ("w", address)
    assert message in problem.message


def test_a_log_that_makes_another_state(place: str) -> None:
    key = "`key`" if place.startswith("mariadb") else "key"
    blob = {"p": "'\\x00'::bytea", "m": "x'00'"}.get(place[0], "x'00'")
    spoil(place, f"UPDATE syncline_documents SET state_vector = {blob} WHERE {key} = 'b'")
    assert found(place) == [Problem("w", B, "Its log makes the state {6: 2}, and {} is noted.")]


def test_a_log_with_a_gap(place: str) -> None:
    spoil(place, "DELETE FROM syncline_updates WHERE seq = 2")
    problems = found(place)
    assert [(problem.workspace, problem.address) for problem in problems] == [("w", A)] * 2
    assert "It has 2 updates" in problems[0].message
    assert "Its update of seq 3 needs changes" in problems[1].message


def test_an_update_that_is_none(place: str) -> None:
    blob = "'\\xff'::bytea" if place.startswith("postgresql") else "x'ff'"
    spoil(place, f"UPDATE syncline_updates SET data = {blob} WHERE seq = 5")
    problems = found(place)
    assert {(problem.workspace, problem.address) for problem in problems} == {("w", B)}
    assert len(problems) == 2


def test_rows_that_belong_to_nothing(place: str) -> None:
    free = {
        "postgresql": (
            "ALTER TABLE syncline_updates DROP CONSTRAINT syncline_updates_document_id_fkey",
        ),
        "mariadb": ("SET foreign_key_checks = 0",),
    }.get(place.partition(":")[0])
    orphan = "UPDATE syncline_updates SET document_id = 99 WHERE seq = 4"
    if free is None:
        import sqlite3

        with closing(sqlite3.connect(place, isolation_level=None)) as connection:
            connection.execute(orphan)
    else:
        spoil(place, *free, orphan)
    problems = found(place)
    assert Problem("", None, "1 updates belong to nothing, the first is 4.") in problems
    assert {problem.address for problem in problems} == {None, B}


@pytest.mark.slow
def test_a_damaged_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "app.db"
    store = SqlStore(path)
    store.open()
    with closing(store):
        for n in range(300):
            write, _ = write_of(Address("pages", f"{n:04}"), n + 1, 2)
            store.write([write])
    content = bytearray(path.read_bytes())
    page = content.rindex(b"0150") // 4096 * 4096
    content[page : page + 8] = b"\xff" * 8
    path.write_bytes(content)
    monkeypatch.setattr("syncline.stores.databases.sqlite.CHECKED_BYTES", 0)
    problems = found(str(path))
    assert problems
    assert problems[0].workspace == ""
