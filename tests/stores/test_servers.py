"""SqlStore on PostgreSQL and MariaDB: URLs, the right to write, neighbours, what fits."""

from __future__ import annotations

import importlib.util
import logging
import traceback
from contextlib import closing
from importlib.machinery import ModuleSpec

import pytest
from sqlalchemy.engine import make_url

from syncline.engine.errors import InvalidUrl, StoreBusy, StoreDamaged, StoreError
from syncline.engine.names import Address
from syncline.stores import DocumentWrite, OutboxBatch, SqlStore, Write
from syncline.stores.databases.server import Server
from syncline.stores.sql import compiled as sql_compiled
from tests.stores.numbered import assert_holds, numbered
from tests.stores.servers import TestDatabase

HIDDEN = "s3cret"
A = Address("pages", "a")
B = Address("pages", "b")


def opened(url: str, *, exclusive: bool = True) -> SqlStore:
    store = SqlStore(url, exclusive=exclusive)
    store.open()
    return store


# URLs and drivers


def test_a_url_may_name_the_driver(server: TestDatabase) -> None:
    driver = {"postgresql": "psycopg", "mariadb": "pymysql"}[server.kind]
    url = make_url(server.url).set(drivername=f"{server.kind}+{driver}")
    with closing(opened(url.render_as_string(hide_password=False))) as store:
        store.write([numbered(1)])
        assert store.path is None
    if server.kind == "mariadb":
        url = url.set(drivername="mysql+pymysql")
        with closing(opened(url.render_as_string(hide_password=False))) as store:
            assert_holds(store, 1)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://me:s3cret@host", "The postgresql URL names no database."),
        ("mysql://me:s3cret@host/", "The mariadb URL names no database."),
        ("postgresql+asyncpg://me:s3cret@host/db", "does not use the postgresql driver asyncpg"),
        ("mysql+asyncmy://me:s3cret@host/db", "does not use the mariadb driver asyncmy"),
    ],
)
def test_urls_that_are_refused(url: str, message: str) -> None:
    with pytest.raises(InvalidUrl) as caught:
        SqlStore(url)
    assert message in caught.value.message
    assert HIDDEN not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "message", "hint"),
    [
        ("postgresql://h/d", "No driver for postgresql is installed.", "syncline[postgres]"),
        ("mariadb://h/d", "No driver for mariadb is installed.", "syncline[mysql]"),
        ("mysql+mysqldb://h/d", "is installed under the name mysqldb.", "syncline[mysql]"),
    ],
)
def test_a_driver_that_is_not_installed(
    url: str, message: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(_name: str) -> ModuleSpec | None:
        return None

    monkeypatch.setattr(importlib.util, "find_spec", nothing)
    with pytest.raises(StoreError) as caught:
        SqlStore(url)
    assert message in caught.value.message
    assert f'pip install "{hint}"' in caught.value.hint


def test_no_password_in_any_message(server: TestDatabase) -> None:
    url = make_url(server.url).set(username="nobody_here", password=HIDDEN)
    key = "password" if server.kind == "mariadb" else "sslpassword"
    for given in (url, url.update_query_dict({key: HIDDEN})):
        store = SqlStore(given.render_as_string(hide_password=False))
        with pytest.raises(StoreError) as caught:
            store.open()
        shown = "".join(traceback.format_exception(caught.value)) + repr(store)
        assert HIDDEN not in shown
        assert store.path is None
        assert str(make_url(server.url).database) in shown


def test_a_database_that_does_not_exist(server: TestDatabase) -> None:
    url = make_url(server.url).set(database="syncline_test_missing")
    store = SqlStore(url.render_as_string(hide_password=False))
    with pytest.raises(StoreError, match=r"syncline_test_missing") as caught:
        store.open()
    assert caught.value.retry_after is None or server.kind == "postgresql"


# One writer, many who look


def test_a_second_store_is_refused(server: TestDatabase) -> None:
    with closing(opened(server.url)) as store:
        for other, holder in (
            (SqlStore(server.url), "another program (server "),
            (store, "this SqlStore"),
        ):
            with pytest.raises(StoreBusy) as caught:
                other.open()
            assert f"is already open in {holder}" in caught.value.message
            assert "exclusive=False" in caught.value.hint
        store.write([numbered(1)])
        with closing(opened(server.url, exclusive=False)) as looking:
            assert_holds(looking, 1)
            store.write([numbered(2)])
            assert_holds(looking, 2)
            assert looking.fingerprint() == store.fingerprint()
            with pytest.raises(StoreError, match="opened for looking only"):
                looking.write([numbered(3)])
    with closing(opened(server.url)) as store:
        assert_holds(store, 2)
    assert server.connections() == []


def test_looking_creates_nothing(server: TestDatabase) -> None:
    with pytest.raises(StoreError, match="is empty"):
        opened(server.url, exclusive=False)
    assert server.connections() == []


# Neighbours


def test_other_tables_are_left_alone(server: TestDatabase) -> None:
    server.execute("CREATE TABLE updates (id INTEGER)", "INSERT INTO updates VALUES (7)")
    with closing(opened(server.url)) as store:
        store.write([numbered(1)])
    with closing(opened(server.url)) as store:
        assert_holds(store, 1)
    assert [tuple(row) for row in server.execute("SELECT * FROM updates")] == [(7,)]


def test_a_table_in_the_way_is_named(server: TestDatabase) -> None:
    server.execute("CREATE TABLE syncline_meta (id INTEGER)")
    with pytest.raises(StoreError, match="has a table syncline_meta that Syncline did not make"):
        opened(server.url)
    server.execute("DROP TABLE syncline_meta")
    opened(server.url).close()


def test_a_missing_table_is_damage(server: TestDatabase) -> None:
    opened(server.url).close()
    server.execute("DROP TABLE syncline_refused")
    with pytest.raises(StoreDamaged, match="it has no table syncline_refused"):
        opened(server.url)


def test_databases_of_one_server_have_stores_of_their_own(server: TestDatabase) -> None:
    from tests.stores.servers import database

    with database(server.kind) as second:
        one, two = opened(server.url), opened(second.url)
        with closing(one), closing(two):
            assert one.fingerprint() != two.fingerprint()


# What fits


def test_names_are_told_apart_as_they_are_written(server: TestDatabase) -> None:
    keys = ["a", "A", "a ", "á", "a\u0301", "ﬁ", "fi", "ß", "ss"]
    with closing(opened(server.url)) as store:
        store.write([Write("w", (DocumentWrite(Address("c", key), (b"1",), b""),)) for key in keys])
        assert [info.address.key for info in store.documents("w")] == sorted(keys)
        store.write([Write("w", meta={"a": "1", "A": "2", "a ": "3"})])
        assert store.meta("w") == {"a": "1", "A": "2", "a ": "3"}


def test_the_longest_names_fit(server: TestDatabase) -> None:
    address = Address("😀" * 63, "😀" * 512)
    with closing(opened(server.url)) as store:
        store.write([Write("w" * 63, (DocumentWrite(address, (b"1",), b""),))])
        document = store.load("w" * 63, address)
        assert document is not None
        assert document.address == address
        with pytest.raises(StoreError, match="cannot hold a value"):
            store.write([Write("w" * 64)])
        assert store.workspaces() == ["w" * 63]


@pytest.mark.parametrize("filler", [b"\x00", b"'", b"\xff", bytes(range(256))])
def test_an_update_of_eight_mebibytes_fits(server: TestDatabase, filler: bytes) -> None:
    update = filler * (8 * 2**20 // len(filler))
    writes = [
        Write("w", (DocumentWrite(A, (b"1", update, b"3"), update[: 2**20], True),)),
        Write("w", outbox=(OutboxBatch(1, update), OutboxBatch(2, b"small"))),
        Write("w", (DocumentWrite(B, (b"4",), update[:-1]),)),
    ]
    with closing(opened(server.url)) as store:
        assert store.write(writes) == [3, 3, 4]
        document = store.load("w", A)
        assert document is not None
        assert document.updates == (b"1", update, b"3")
        assert document.live is True
        state = store.state("w", B)
        assert state is not None
        assert state.state_vector == update[:-1]
        assert store.write([Write("w", (DocumentWrite(B, (), update),))]) == [4]
        state = store.state("w", B)
        assert state is not None
        assert state.state_vector == update
        page = store.since("w", 1, max_bytes=1, max_updates=9)
        assert [row.data for row in page.updates] == [update]
        assert store.outbox("w", limit=1) == [OutboxBatch(1, update)]


def test_what_the_server_takes_in_no_packet(
    server: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    if server.kind == "postgresql":
        pytest.skip("PostgreSQL has no such limit")
    with closing(opened(server.url)) as store:
        limit = server.execute("SELECT @@max_allowed_packet")[0][0]
        for piece, size in ((sql_compiled.PIECE_BYTES, limit + 1), (limit, limit // 2)):
            monkeypatch.setattr(sql_compiled, "PIECE_BYTES", piece)
            with pytest.raises(StoreError, match=f"max_allowed_packet of {limit} bytes") as caught:
                store.write([Write("w", (DocumentWrite(A, (bytes(size),), b""),))])
            assert caught.value.retry_after is None
            assert "Raise max_allowed_packet" in caught.value.hint
        store.write([numbered(1)])
        assert_holds(store, 1)


# What makes commits durable


def test_the_writer_waits_for_the_disk(
    server: TestDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    if server.kind == "mariadb":
        assert server.execute("SELECT @@innodb_flush_log_at_trx_commit")[0][0] == 1
        opened(server.url).close()
        assert caplog.records == []
        return
    name = make_url(server.url).database
    server.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    seen: list[str] = []
    with closing(opened(server.url)) as store:
        database = store._database  # pyright: ignore[reportPrivateUsage]
        database.transact(
            lambda connection: seen.append(
                connection.exec_driver_sql("SHOW synchronous_commit").scalar_one()
            )
        )
    assert seen == ["on"]


def test_a_setting_that_loses_commits_is_named(caplog: pytest.LogCaptureFixture) -> None:
    from syncline.stores.databases.postgresql import PostgreSql

    database: Server = PostgreSql(make_url("postgresql://me:s3cret@host/db"))
    with caplog.at_level(logging.WARNING):
        database.warn("fsync=off")
    assert "postgresql://host/db is on a server with fsync=off" in caplog.text
    assert HIDDEN not in caplog.text
