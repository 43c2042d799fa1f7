"""Two writers of one database, below the lock that keeps stores from it."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import ExitStack, closing, contextmanager

import pytest
from sqlalchemy import Connection

from syncline.engine.errors import StoreError
from syncline.engine.names import Address
from syncline.stores import DocumentWrite, SqlStore, Write
from syncline.stores.databases.from_url import database_of
from syncline.stores.sql.compiled import Lookup
from syncline.stores.sql.projection_keeper import ProjectionKeeper
from syncline.stores.sql.write import Writer

A = Address("pages", "a")
EACH = 60


@pytest.fixture
def created(location: str) -> str:
    """The place of an empty store that nobody has open."""
    store = SqlStore(location)
    store.open()
    store.close()
    return location


@contextmanager
def writing(location: str) -> Generator[Connection]:
    engine = database_of(location).writer_engine()
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def test_two_writers_leave_no_hole_that_a_reader_could_miss(created: str) -> None:
    problems: list[BaseException] = []
    heads: list[int] = []
    start = threading.Barrier(2)

    def write(name: str) -> None:
        try:
            with writing(created) as connection:
                writer = Writer(name, ProjectionKeeper(name))
                start.wait()
                for n in range(EACH):
                    shared = DocumentWrite(A, (b"%d" % n,) * (n % 3), b"")
                    own = DocumentWrite(Address(name, str(n % 5)), (b"1", b"2"), b"")
                    heads.extend(writer.write(connection, [Write("w", (shared, own))]))
        except BaseException as error:
            problems.append(error)
            raise

    threads = [threading.Thread(target=write, args=(name,)) for name in ("left", "right")]
    reader = SqlStore(created, exclusive=False)
    reader.open()
    seen: list[int] = []
    with closing(reader):
        for thread in threads:
            thread.start()
        total = 2 * (2 * EACH + EACH)
        cursor = 0
        while cursor < total and not problems:
            page = reader.since("w", cursor, max_bytes=2**30, max_updates=7)
            seen += [update.seq for update in page.updates]
            cursor = page.cursor
        for thread in threads:
            thread.join()
        assert problems == []
        assert seen == list(range(1, total + 1))
        assert reader.head("w") == max(heads) == total
        assert len(set(heads)) == 2 * EACH
        assert {info.updates for info in reader.documents("w")} == {2 * EACH, EACH // 5 * 2}


def test_what_another_writer_changed_is_looked_up(created: str) -> None:
    def content(*data: bytes, epoch: int = 0) -> list[Write]:
        return [Write("w", (DocumentWrite(A, data, b"", epoch=epoch),))]

    with ExitStack() as stack:
        one, two = (stack.enter_context(writing(created)) for _ in range(2))
        left, right = (
            Writer("The left store", ProjectionKeeper("The left store")),
            Writer("The right store", ProjectionKeeper("The right store")),
        )
        assert left.write(one, content(b"1")) == [1]
        assert right.write(two, content(b"2")) == [2]
        assert right.write(two, content(b"3", epoch=1)) == [3]
        with pytest.raises(StoreError, match="pages/a in epoch 1, and this write is of epoch 0"):
            left.write(one, content(b"4"))
        assert left.write(one, content(b"5", epoch=1)) == [4]
        assert left.write(one, content(b"6", epoch=2)) == [5]
        # The right writer remembers epoch 1, and begins one that is there already.
        assert right.write(two, content(b"7", epoch=2)) == [6]
    with closing(SqlStore(created, exclusive=False)) as store:
        store.open()
        document = store.load("w", A)
        assert document is not None
        assert (document.updates, document.epoch) == ((b"6", b"7"), 2)


def test_a_workspace_that_another_writer_makes_meanwhile(
    created: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between looking for the workspace and making it, another writer makes it."""
    with ExitStack() as stack:
        one, two = (stack.enter_context(writing(created)) for _ in range(2))
        look_up = Lookup.find
        raced: list[Connection] = []

        def find(self: Lookup, connection: Connection, *args: object) -> object:
            found = list(look_up(self, connection, *args))  # type: ignore[arg-type]
            if connection is one and not raced:
                raced.append(connection)
                if connection.dialect.name != "sqlite":  # there it waits for the first to end
                    Writer("The other store", ProjectionKeeper("The other store")).write(
                        two, [Write("w", meta={"other": "1"})]
                    )
            return iter(found)

        monkeypatch.setattr(Lookup, "find", find)
        writer = Writer("The store", ProjectionKeeper("The store"))
        assert writer.write(one, [Write("w", (DocumentWrite(A, (b"1",), b""),))]) == [1]
        assert raced
