"""What is true of PostgreSQL only."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, text
from sqlalchemy.exc import DataError, DBAPIError, ProgrammingError

from syncline.engine.errors import StoreError
from syncline.stores.faults import already_stored

from .backends import POSTGRESQL
from .database import cannot_hold
from .error_codes import STATE_LOCK_TIMEOUT, gave_way, state_of
from .server import CONNECT_SECONDS, LOCK_SECONDS, ROW_LOCK_SECONDS, SILENCE_SECONDS, Server

# One store for each schema of each database: the keys of advisory locks are a database's own.
_TAKE = text("SELECT pg_advisory_lock(hashtextextended('syncline ' || current_schema(), 0))")
_HOLDER = text(
    "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND ((classid::bigint << 32) | objid::bigint)"
    " = hashtextextended('syncline ' || current_schema(), 0)"
)
_SETTINGS = text(
    "SELECT current_setting('server_encoding'), current_setting('synchronous_commit'),"
    " current_setting('fsync'), current_setting('full_page_writes')"
)
_FINGERPRINT = text(
    "SELECT (SELECT system_identifier FROM pg_control_system()), d.oid, c.oid"
    " FROM pg_database d, pg_class c"
    " WHERE d.datname = current_database() AND c.oid = 'syncline_workspaces'::regclass"
)


class PostgreSql(Server):
    backend = POSTGRESQL

    def arguments(self) -> Mapping[str, object]:
        if self._url.get_driver_name() == "pg8000":
            return {"timeout": SILENCE_SECONDS, "application_name": "syncline"}
        return {
            "connect_timeout": CONNECT_SECONDS,
            "application_name": "syncline",
            "keepalives_idle": SILENCE_SECONDS // 4,
            "keepalives_interval": SILENCE_SECONDS // 4,
            "keepalives_count": 3,
            "tcp_user_timeout": SILENCE_SECONDS * 1000,
        }

    def take_lock(self, connection: Connection) -> None:
        connection.execute(text(f"SET lock_timeout = '{LOCK_SECONDS}s'"))
        try:
            with connection.begin_nested():
                connection.execute(_TAKE)
        except DBAPIError as error:
            if state_of(error) != STATE_LOCK_TIMEOUT:
                raise
            holder = connection.execute(_HOLDER).scalar()
            raise self.busy(f"another program (server process {holder})") from None
        connection.execute(text(f"SET lock_timeout = '{ROW_LOCK_SECONDS}s'"))

    def set_up(self, connection: Connection) -> None:
        encoding, synchronous, fsync, full_pages = connection.execute(_SETTINGS).one()
        if encoding != "UTF8":
            raise StoreError(
                f"{self.name} is a database with the encoding {encoding}.",
                hint="Create one with ENCODING 'UTF8': names may be in any script.",
            )
        if synchronous == "off":  # the other values all wait for this server's disk
            connection.execute(text("SET synchronous_commit = 'on'"))
        if fsync == "off":
            self.warn("fsync=off")
        if full_pages == "off":
            self.warn("full_page_writes=off")

    def identity(self, connection: Connection) -> str:
        """The server's identity and the numbers it gave to the database and to a table."""
        system, database, table = connection.execute(_FINGERPRINT).one()
        return f"postgresql:{system}:{database}:{table}"

    def gave_way(self, error: DBAPIError) -> bool:
        return gave_way(error)

    def is_the_drivers(self, error: DBAPIError) -> bool:
        return state_of(error) is None and isinstance(error, ProgrammingError)

    def translate(self, error: DBAPIError) -> StoreError:
        state = state_of(error)
        if state is None:  # the driver's own: it found no server, or a value that it cannot send
            if isinstance(error, DataError | ProgrammingError):
                return cannot_hold(self.name, error.orig)
            return self.failed(error)
        match state:
            case "23505":
                return already_stored(self.name)
            case _ if state == STATE_LOCK_TIMEOUT:
                return self.locked()
            case "53100":
                return self.full(error)
            case "3D000" | "42501" | "25006" | "3F000":
                return self.refused(error)
            case _:
                pass
        match state[:2]:
            case "08" | "40" | "53" | "57" | "58":
                return self.failed(error)
            case "22" | "54":
                return cannot_hold(self.name, error.orig)
            case "23" | "42" | "XX":
                # Our statements are fixed and tested: what else fails is the tables' doing.
                return self.broken(error)
            case _:
                return self.refused(error)
