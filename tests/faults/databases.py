"""Databases of their own for the relays of these tests."""

from __future__ import annotations

import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import URL, create_engine, make_url
from sqlalchemy.exc import SQLAlchemyError

from syncline.engine.errors import InvalidUrl
from syncline.stores import SqlStore

SERVERS = {
    "postgresql": os.environ.get(
        "SYNCLINE_POSTGRES_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/postgres"
    ),
    "mariadb": os.environ.get(
        "SYNCLINE_MARIADB_URL", "mariadb+pymysql://root@127.0.0.1:3306/?charset=utf8mb4"
    ),
}
KINDS = ("sqlite", *SERVERS)


@contextmanager
def database(kind: str, folder: Path) -> Generator[str]:
    """The store URL of a new, empty database, which is dropped in the end.

    Skips the test when the service is not there; fails it under SYNCLINE_REQUIRE_SERVICES=1.
    """
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'relay.db'}"
        return
    server = make_url(SERVERS[kind])
    name = f"syncline_faults_{secrets.token_hex(6)}"
    store = server.set(database=name).render_as_string(hide_password=False)
    try:
        SqlStore(store)
        _execute(server, f"CREATE DATABASE {name}")
    except (InvalidUrl, ImportError, SQLAlchemyError) as error:
        reason = f"{kind} cannot be used: {error}"
        if os.environ.get("SYNCLINE_REQUIRE_SERVICES") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    try:
        yield store
    finally:
        force = " WITH (FORCE)" if kind == "postgresql" else ""
        _execute(server, f"DROP DATABASE {name}{force}")


def _execute(server: URL, statement: str) -> None:
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)
    finally:
        engine.dispose()
