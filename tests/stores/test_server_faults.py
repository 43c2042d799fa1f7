"""SqlStore on a server: broken connections, a server away, deadlocks, a lost right to write."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import ExceptionContext

from syncline.engine.errors import StoreBusy, StoreFailed
from syncline.engine.names import Address
from syncline.stores import DocumentWrite, SqlStore, Write
from tests.stores.numbered import assert_holds, numbered
from tests.stores.proxy import Proxy
from tests.stores.servers import TestDatabase

HIDDEN = "s3cret"
WAITING = {
    "postgresql": "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
    " AND wait_event_type = 'Lock'",
    "mariadb": "SELECT 1 FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'",
}


@pytest.fixture
def proxy(server: TestDatabase) -> Iterator[Proxy]:
    url = make_url(server.url)
    assert url.host
    assert url.port
    proxy = Proxy(url.host, url.port)
    yield proxy
    proxy.close()


@pytest.fixture
def store(server: TestDatabase, proxy: Proxy) -> Iterator[SqlStore]:
    """A store behind the proxy, with one numbered write."""
    url = make_url(server.url).set(host="127.0.0.1", port=proxy.port)
    store = SqlStore(url.render_as_string(hide_password=False))
    store.open()
    store.write([numbered(1)])
    assert_holds(store, 1)
    yield store
    store.close()


def assert_failed(error: StoreFailed) -> None:
    assert "cannot be reached or failed" in error.message
    assert error.retry_after == 5.0


def test_connections_that_break_between_two_calls(store: SqlStore, proxy: Proxy) -> None:
    for n in range(1, 6, 2):
        proxy.drop()
        assert_holds(store, n)  # reads take new connections
        with pytest.raises(StoreFailed) as caught:
            store.write([numbered(n + 1)])
        assert_failed(caught.value)
        assert_holds(store, n)
        store.write([numbered(n + 1), numbered(n + 2)])
        assert_holds(store, n + 2)


@pytest.mark.parametrize("count", [0, 1, 40, 300, 1000, 20_000, 70_000])
def test_a_write_that_breaks_in_the_middle(store: SqlStore, proxy: Proxy, count: int) -> None:
    proxy.drop_after(count)
    with pytest.raises(StoreFailed) as caught:
        store.write([numbered(n, size=30_000) for n in range(2, 8)])
    assert_failed(caught.value)
    assert_holds(store, 1)
    store.write([numbered(2)])
    assert_holds(store, 2)


def test_a_read_that_breaks_in_the_middle_is_read_again(store: SqlStore, proxy: Proxy) -> None:
    proxy.drop_after(10)
    assert_holds(store, 1)


def test_a_server_that_is_away_for_a_while(store: SqlStore, proxy: Proxy) -> None:
    proxy.refuse(True)
    for _ in range(3):
        with pytest.raises(StoreFailed) as caught:
            store.write([numbered(2)])
        assert_failed(caught.value)
        with pytest.raises(StoreFailed) as caught:
            store.head("w")
        assert_failed(caught.value)
    proxy.refuse(False)
    assert_holds(store, 1)
    store.write([numbered(2)])
    assert_holds(store, 2)


def test_opening_while_the_server_is_away(server: TestDatabase, proxy: Proxy) -> None:
    url = make_url(server.url).set(host="127.0.0.1", port=proxy.port, password=HIDDEN)
    store = SqlStore(url.render_as_string(hide_password=False))
    proxy.refuse(True)
    with pytest.raises(StoreFailed) as caught:
        store.open()
    assert_failed(caught.value)
    assert HIDDEN not in str(caught.value) + repr(caught.value) + repr(store)
    proxy.refuse(False)


def test_connections_that_the_server_ends(store: SqlStore, server: TestDatabase) -> None:
    server.end_connections()
    assert_holds(store, 1)
    server.end_connections()
    with pytest.raises(StoreFailed) as caught:
        store.write([numbered(2)])
    assert_failed(caught.value)
    store.write([numbered(2)])
    assert_holds(store, 2)


def test_the_right_to_write_that_somebody_took_meanwhile(
    store: SqlStore, server: TestDatabase, proxy: Proxy
) -> None:
    proxy.drop()
    with closing(SqlStore(server.url)) as other:
        other.open()
        other.write([numbered(2)])
        with pytest.raises(StoreFailed):
            store.write([numbered(3)])
        for _ in range(2):
            with pytest.raises(StoreBusy, match="already open in another program") as caught:
                store.write([numbered(3)])
            assert caught.value.retry_after == 5.0
        assert_holds(store, 2)
    store.write([numbered(3)])
    assert_holds(store, 3)


def test_a_database_that_was_replaced_is_not_written(
    store: SqlStore, server: TestDatabase, proxy: Proxy
) -> None:
    names = [table for table in _tables(server) if table.startswith("syncline_")]
    proxy.drop()
    server.end_connections()
    if server.kind == "postgresql":
        server.execute(f"DROP TABLE {', '.join(names)}")
    else:
        off, on = "SET foreign_key_checks = 0", "SET foreign_key_checks = 1"
        server.execute(off, f"DROP TABLE {', '.join(names)}", on)
        server.execute("DO SLEEP(1)")  # it dates tables by the second
    with closing(SqlStore(server.url)) as other:
        other.open()
    with pytest.raises(StoreFailed):
        store.write([numbered(2)])
    with pytest.raises(Exception, match="was replaced by another store"):
        store.write([numbered(2)])
    assert store.head("w") == 0


def _tables(server: TestDatabase) -> list[str]:
    schema = "current_schema()" if server.kind == "postgresql" else "DATABASE()"
    return [
        row[0]
        for row in server.execute(
            f"SELECT table_name FROM information_schema.tables WHERE table_schema = {schema}"
        )
    ]


def test_a_deadlock_is_tried_again(store: SqlStore, server: TestDatabase) -> None:
    """Another program and the store wait for each other; whoever gives way, the write succeeds."""
    store.write([Write("x"), Write("y")])
    writes = [
        Write(name, (DocumentWrite(Address("pages", "a"), (b"1",), b""),)) for name in ("x", "y")
    ]
    gave_way: list[str] = []

    def record(context: ExceptionContext) -> None:
        gave_way.append(str(context.original_exception))

    lock = "UPDATE syncline_workspaces SET head = head WHERE name = '{}'"
    heads: list[int] = []
    thread = threading.Thread(target=lambda: heads.extend(store.write(writes)))
    with server.engine.connect().execution_options(isolation_level="READ COMMITTED") as other:
        if server.kind == "postgresql":
            # Whoever looks for a deadlock first gives way: not this one.
            other.exec_driver_sql("SET deadlock_timeout = '1min'")
        other.exec_driver_sql("CREATE TABLE weight (n INTEGER)")
        other.commit()
        # MariaDB ends the one that changed less: not this one.
        other.exec_driver_sql("INSERT INTO weight VALUES (1)" + ", (1)" * 1000)
        other.exec_driver_sql(lock.format("y"))
        event.listen(Engine, "handle_error", record)
        try:
            thread.start()
            while not server.execute(WAITING[server.kind]):
                pass
            other.exec_driver_sql(lock.format("x"))
            other.commit()
        finally:
            thread.join()
            event.remove(Engine, "handle_error", record)
    assert heads == [1, 1]
    assert [store.head(name) for name in ("x", "y")] == [1, 1]
    assert len(gave_way) == 1
    assert "deadlock" in gave_way[0].lower()
