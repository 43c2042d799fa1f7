"""Where a shared type is: which document, and which operation in it made the type."""

from __future__ import annotations

from dataclasses import dataclass, replace

from syncline.engine.fields import Host
from syncline.engine.history.structs import Id


@dataclass(frozen=True)
class Place:
    """``made_by`` is None for the root itself. A rebuilt document is another one: ``epoch``."""

    host: Host
    address: str
    root: str
    where: str
    made_by: Id | None = None
    epoch: int = 0

    def inside(self, made_by: Id, where: str) -> Place:
        """The place of a shared type under the same root."""
        return replace(self, made_by=made_by, where=where, epoch=self.host.document().epoch)
