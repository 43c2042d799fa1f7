"""The way from an empty database, or an older layout, to today's tables: Alembic migrations.

Imported only when there is something to migrate, because Alembic takes as long to import as a
large store takes to open.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

FOLDER = Path(__file__).parent


def upgrade(connection: Connection) -> None:
    """Run every migration that the database does not have, in the transaction of ``connection``.

    MariaDB commits each statement that changes a table by itself: there an upgrade that was cut
    short goes on with the next one, so migrations are written to be run again.
    """
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
