"""What Alembic runs to migrate: the migrations, on the connection that it was handed."""

from __future__ import annotations

from alembic import context

from syncline.stores.tables import schema

if __name__ == "env_py":  # Alembic's name for it; imported as a module it does nothing
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=schema.tables,
        version_table=schema.layout.name,
    )
    context.run_migrations()
