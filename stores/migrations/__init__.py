"""The way from an empty database, or an older layout, to today's tables: Alembic migrations.

Imported only when there is something to migrate, because Alembic takes as long to import as a
large store takes to open.

Alembic's usual ``context`` and ``op`` are one object for the whole process: two stores that were
made at once, each in its own thread, ran their statements on each other's connection. Here every
upgrade makes its own objects, and a migration gets ``op`` as an argument.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from syncline.stores.tables import schema

FOLDER = Path(__file__).parent


def upgrade(connection: Connection) -> None:
    """Run every migration that the database does not have, in the transaction of ``connection``.

    May run in many threads at once, each with a connection of its own. MariaDB commits each
    statement that changes a table by itself: there an upgrade that was cut short goes on with the
    next one, so migrations are written to be run again.
    """
    scripts = ScriptDirectory(str(FOLDER))

    def missing(revision: str | tuple[str, ...], _: MigrationContext) -> Iterable[MigrationStep]:
        newest_first = scripts.iterate_revisions("head", revision or "base")
        return [
            MigrationStep.upgrade_from_script(scripts.revision_map, script)
            for script in reversed(list(newest_first))
        ]

    context = MigrationContext.configure(
        connection, opts={"version_table": schema.layout.name, "fn": missing}
    )
    context.run_migrations(op=Operations(context))
