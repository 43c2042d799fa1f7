"""What a pipeline remembers under a name, such as how far it has read a peer."""

from __future__ import annotations

import sqlalchemy as sa

from .schema import META

# Built once: many are executed in each pass.
_OF = META.c.pipeline == sa.bindparam("of")
_CALLED = META.c.name == sa.bindparam("called")
_META = sa.select(META.c.value).where(_OF, _CALLED)
_META_LOCKED = _META.with_for_update()
_METAS = sa.select(META.c.name, META.c.value).where(_OF)
_NEW_META = sa.insert(META)
_CHANGE_META = sa.update(META).where(_OF, _CALLED).values(value=sa.bindparam("value"))


class State:
    """What one pipeline remembers in one database, in a transaction."""

    def __init__(self, connection: sa.Connection, pipeline: str) -> None:
        self.connection = connection
        self.pipeline = pipeline

    def meta(self, name: str, *, lock: bool = False) -> str | None:
        """A remembered value; with ``lock`` nobody else takes it until the transaction ends."""
        locks = lock and self.connection.dialect.name != "sqlite"
        found = self.connection.execute(_META_LOCKED if locks else _META, self._named(name))
        value: str | None = found.scalar_one_or_none()
        return value

    def metas(self, prefix: str) -> dict[str, str]:
        """All remembered values whose name begins with ``prefix``, by the rest of the name."""
        return {
            name.removeprefix(prefix): value
            for name, value in self.connection.execute(_METAS, {"of": self.pipeline})
            if name.startswith(prefix)
        }

    def set_meta(self, name: str, value: str) -> None:
        known = self.meta(name)
        if known is None:
            new = {"pipeline": self.pipeline, "name": name, "value": value}
            self.connection.execute(_NEW_META, new)
        elif known != value:
            self.connection.execute(_CHANGE_META, self._named(name) | {"value": value})

    def _named(self, name: str) -> dict[str, str]:
        return {"of": self.pipeline, "called": name}

    def forget_meta(self, name: str) -> None:
        self.connection.execute(
            sa.delete(META).where(META.c.pipeline == self.pipeline, META.c.name == name)
        )
