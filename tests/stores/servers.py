"""PostgreSQL and MariaDB as tests find them: a database of its own for each test that asks."""

from __future__ import annotations

import os
import uuid
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from tests.profiles import missing, uses

SERVERS = {
    "postgresql": os.environ.get(
        "SYNCLINE_POSTGRESQL", "postgresql+psycopg://postgres@127.0.0.1:5432/postgres"
    ),
    "mariadb": os.environ.get("SYNCLINE_MARIADB", "mariadb+pymysql://root@127.0.0.1:3306/mysql"),
}

_CONNECTIONS = {
    "postgresql": "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
    " AND pid <> pg_backend_pid()",
    "mariadb": "SELECT id FROM information_schema.processlist WHERE db = DATABASE()"
    " AND id <> CONNECTION_ID()",
}
# PostgreSQL waits until the process is gone, MariaDB's KILL only marks it.
_END = {"postgresql": "SELECT pg_terminate_backend({}, 10000)", "mariadb": "KILL {}"}


class TestDatabase:
    """One database, seen by its administrator."""

    __test__ = False

    def __init__(self, kind: str, url: str) -> None:
        self.kind = kind
        parsed = make_url(url)
        self.engine = _engine(parsed.render_as_string(hide_password=False))
        self.url = parsed.set(drivername=kind).render_as_string(hide_password=False)

    def execute(self, *statements: str) -> list[Any]:
        """Run statements one by one; return the rows of the last."""
        rows: Sequence[Any] = []
        with self.engine.connect() as connection:
            for statement in statements:
                result = connection.exec_driver_sql(statement)
                rows = result.all() if result.returns_rows else []
        return list(rows)

    def connections(self) -> list[int]:
        """The numbers of everybody else's connections."""
        return [row[0] for row in self.execute(_CONNECTIONS[self.kind])]

    def end_connections(self) -> None:
        """End everybody else's connections, and wait until the server has done so."""
        ended = self.connections()
        for number in ended:
            with_number = _END[self.kind].format(number)
            try:
                self.execute(with_number)
            except OperationalError as error:
                if "1094" not in str(error):  # it is gone already
                    raise
        while set(self.connections()) & set(ended):
            pass


@contextmanager
def database(kind: str) -> Generator[TestDatabase]:
    """A new, empty database that is dropped at the end. Skips the test where there is no server."""
    uses(kind)
    server = _engine(SERVERS[kind])
    name = f"syncline_test_{uuid.uuid4().hex}"
    try:
        with server.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
    except OperationalError as error:
        missing(f"no {kind} server: {str(error.orig).splitlines()[0]}")
    url = make_url(SERVERS[kind]).set(database=name)
    try:
        yield TestDatabase(kind, url.render_as_string(hide_password=False))
    finally:
        force = " WITH (FORCE)" if kind == "postgresql" else ""
        with server.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name}{force}")


def _engine(url: str) -> Engine:
    return create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
