"""The kinds of databases that there are adapters for, by SQLAlchemy's names, and their drivers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Backend(NamedTuple):
    """A kind of database. ``drivers`` are (SQLAlchemy's name, module to import), the preferred one
    first; ``extra`` is that of Syncline with which it is installed."""

    kind: str
    extra: str
    drivers: tuple[tuple[str, str], ...]


SQLITE = Backend("sqlite", "", (("pysqlite", "sqlite3"),))
POSTGRESQL = Backend(
    "postgresql",
    "postgres",
    (("psycopg", "psycopg"), ("psycopg2", "psycopg2"), ("pg8000", "pg8000")),
)
MARIADB = Backend(
    "mariadb",
    "mysql",
    (("pymysql", "pymysql"), ("mysqldb", "MySQLdb"), ("mariadbconnector", "mariadb")),
)
BACKENDS: Mapping[str, Backend] = {
    "sqlite": SQLITE,
    "postgresql": POSTGRESQL,
    "mysql": MARIADB,  # the same databases under SQLAlchemy's older name
    "mariadb": MARIADB,
}
"""By the name that a URL has before ``+`` and ``://``."""
