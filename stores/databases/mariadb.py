"""What is true of MariaDB only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from sqlalchemy import URL, Connection, text
from sqlalchemy.exc import DataError, DBAPIError, ProgrammingError

from syncline.engine.errors import StoreError
from syncline.stores.faults import already_stored

from . import error_codes
from .backends import MARIADB
from .database import cannot_hold
from .server import CONNECT_SECONDS, LOCK_SECONDS, ROW_LOCK_SECONDS, SILENCE_SECONDS, Server

# Names of locks are the whole server's, and have at most 64 characters.
_NAME = "CONCAT('syncline ', MD5(DATABASE()))"
_TAKE = text(f"SELECT GET_LOCK({_NAME}, {LOCK_SECONDS})")
_HOLDER = text(f"SELECT IS_USED_LOCK({_NAME})")
# STRICT: what does not fit is refused, not cut. The server ends idle sessions after wait_timeout,
# and with this one's session the right to write.
_SESSION = text(
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION',"
    f" SESSION innodb_lock_wait_timeout = {ROW_LOCK_SECONDS}, SESSION wait_timeout = 31536000"
)
_SETTINGS = text(
    "SELECT @@innodb_flush_log_at_trx_commit, @@log_bin, @@sync_binlog, @@max_allowed_packet"
)
_FINGERPRINT = text(
    "SELECT (SELECT variable_value FROM information_schema.global_variables"
    " WHERE variable_name = 'SERVER_UID'), table_schema, create_time"
    " FROM information_schema.tables WHERE table_name = 'syncline_workspaces'"
    " AND table_schema = DATABASE()"
)


class MariaDb(Server):
    backend = MARIADB
    paramstyle = "format"  # which every driver knows

    def __init__(self, url: URL) -> None:
        super().__init__(url)
        self._max_packet = 0

    def arguments(self) -> Mapping[str, object]:
        common = {
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": SILENCE_SECONDS,
            "write_timeout": SILENCE_SECONDS,
        }
        if self._url.get_driver_name() == "mariadbconnector":
            return common
        return common | {"charset": "utf8mb4"}

    def take_lock(self, connection: Connection) -> None:
        if connection.execute(_TAKE).scalar() != 1:
            holder = connection.execute(_HOLDER).scalar()
            raise self.busy(f"another program (server connection {holder})")

    def set_up(self, connection: Connection) -> None:
        connection.execute(_SESSION)
        flush, log, sync, self._max_packet = connection.execute(_SETTINGS).one()
        if flush != 1:
            self.warn(f"innodb_flush_log_at_trx_commit={flush}")
        if log and sync != 1:  # with a binary log, that is what is flushed at a commit
            self.warn(f"sync_binlog={sync}")

    def identity(self, connection: Connection) -> str:
        """The server's identity, the database's name and when a table was made."""
        found = connection.execute(_FINGERPRINT).one()
        return "mariadb:" + ":".join(map(str, found))

    def gave_way(self, error: DBAPIError) -> bool:
        return error_codes.gave_way(error)

    def is_the_drivers(self, error: DBAPIError) -> bool:
        return error_codes.number_of(error) is None and isinstance(error, ProgrammingError)

    def translate(self, error: DBAPIError) -> StoreError:
        too_large = self._too_large(error)
        if too_large is not None:
            return too_large
        number = error_codes.number_of(error)
        if number in error_codes.DUPLICATE_KEY:
            return already_stored(self.name)
        if number in error_codes.LOCK_TIMEOUT:
            return self.locked()
        if number in error_codes.DISK_FULL:
            return self.full(error)
        if number in error_codes.NO_RIGHT:
            return self.refused(error)
        if number in error_codes.OTHER_TABLES | error_codes.FOREIGN_KEY:
            # Our statements are fixed and tested: the tables are not what they were.
            return self.broken(error)
        if number in error_codes.DOES_NOT_FIT or isinstance(error, DataError):
            return cannot_hold(self.name, error.orig)
        return self.failed(error)

    def _too_large(self, error: DBAPIError) -> StoreError | None:
        """The server ends a connection that sends more than max_allowed_packet, often before it
        says why: whether that was it shows in what was sent."""
        for failed in _chain(error):
            largest = max(map(_sent_size, _rows(failed.params)), default=0)
            if error_codes.number_of(failed) in error_codes.PACKET_TOO_LARGE or (
                failed.connection_invalidated and largest > self._max_packet > 0
            ):
                return StoreError(
                    f"{self.name} is on a server whose max_allowed_packet of {self._max_packet} "
                    "bytes is too small for this write; nothing of it was stored.",
                    hint="Raise max_allowed_packet on the server; 16M is enough.",
                )
        return None


def _chain(error: BaseException) -> Iterator[DBAPIError]:
    """The error, and those that it came up in the handling of: a lost connection cannot even be
    rolled back."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, DBAPIError):
            yield found
        found = found.__context__


def _rows(params: Any) -> Iterator[Any]:
    """The rows of an ``executemany``, or the one of an ``execute``."""
    if isinstance(params, list):
        yield from params
    elif params is not None:
        yield params


def _sent_size(row: Any) -> int:
    """Bytes of a row in a statement at most: drivers send two digits for a byte, or escape it."""
    values: Iterable[Any] = cast("dict[str, Any]", row).values() if isinstance(row, dict) else row
    return 2 * sum(len(value) for value in values if isinstance(value, bytes | str))
