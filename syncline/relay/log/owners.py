"""Whose the ids are that operations are written under.

Yjs takes (client id, clock) for the name of an operation. Who writes under another one's client id
makes that one's next edit a repetition that nobody takes; who pushes under another one's replica id
makes its batches conflict. So a client id belongs to the device that first wrote under it, a
replica id to the principal. What belongs to nobody may be brought by anybody: it is in documents
that were written elsewhere, or that this relay has lost and gets back.

Blocking; in the thread that commits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from syncline.engine.bounded_cache import BoundedCache
from syncline.stores import Store

_KEPT = 100_000  # ids of whom it is known to whom they belong, or that they belong to nobody
_NOBODY = ""
_REPLICA = "replica "
_EDITOR = "editor "


@dataclass(frozen=True, slots=True)
class Writer:
    """Who submits. ``principal`` is the name of its principal, empty where nobody is asked who they
    are. A replica has an id, and those of the stores that its own was copied from; an editor has
    none. ``client_id`` is the one that a replica writes under, if it may make that its own now."""

    principal: str = ""
    replica: str = ""
    former: frozenset[str] = frozenset()
    client_id: int | None = None

    @property
    def owner(self) -> str:
        """As it stands in the store."""
        return _REPLICA + self.replica if self.replica else _EDITOR + self.principal

    def owns(self, owner: str) -> bool:
        """Whether a client id of ``owner`` is this writer's."""
        if owner.startswith(_REPLICA):
            replica = owner.removeprefix(_REPLICA)
            return replica == self.replica or replica in self.former
        if self.replica:
            return False
        # Where nobody was, or is, asked who they are, all editors are one.
        return owner in (self.owner, _EDITOR) or not self.principal


class Owners:
    """Whose the ids of writers are, as ``store`` says. What a transaction would add stands in a
    mapping of its own until it is committed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept = BoundedCache[tuple[str, str], str](_KEPT)

    def foreign(
        self,
        workspace: str,
        writer: Writer,
        clients: Iterable[int],
        uncommitted: Mapping[tuple[str, str], str],
    ) -> list[int]:
        """Those of ``clients`` that belong to somebody else."""
        found = self._find(workspace, list(map(str, clients)), uncommitted)
        return [int(client) for client, owner in found.items() if owner and not writer.owns(owner)]

    def claim(
        self,
        workspace: str,
        writer: Writer,
        clients: Iterable[int],
        uncommitted: dict[tuple[str, str], str],
    ) -> None:
        """Make ``writer`` the owner of those of ``clients`` that belong to nobody, and of its
        replica id."""
        for client, owner in self._find(workspace, list(map(str, clients)), uncommitted).items():
            # What belonged to an editor whom nobody asked belongs to the principal from now on.
            if owner != writer.owner and (not owner or (owner == _EDITOR and writer.principal)):
                uncommitted[workspace, client] = self._entry(writer.owner)
        if writer.replica and writer.principal:
            known = self._find(workspace, [writer.replica], uncommitted)[writer.replica]
            if not known:
                uncommitted[workspace, writer.replica] = self._entry(writer.principal)

    def may_use(
        self, workspace: str, writer: Writer, uncommitted: Mapping[tuple[str, str], str]
    ) -> bool:
        """Whether the replica id of ``writer`` is its principal's, or nobody's."""
        if not writer.principal:
            return True
        owner = self._find(workspace, [writer.replica], uncommitted)[writer.replica]
        return owner in (_NOBODY, writer.principal)

    def committed(self, added: Mapping[tuple[str, str], str]) -> None:
        """What was claimed is stored."""
        for key, entry in added.items():
            self._kept.put(key, entry)

    def _find(
        self, workspace: str, ids: list[str], uncommitted: Mapping[tuple[str, str], str]
    ) -> dict[str, str]:
        """The owner of each of ``ids``."""
        found: dict[str, str] = {}
        unknown: list[str] = []
        for each in ids:
            entry = uncommitted.get((workspace, each))
            if entry is None:
                entry = self._kept.get((workspace, each))
            if entry is None:
                unknown.append(each)
            else:
                found[each] = self._valid(entry)
        if unknown:
            stored = self._store.owners(workspace, unknown)
            for each in unknown:
                entry = stored.get(each, _NOBODY)
                self._kept.put((workspace, each), entry)
                found[each] = self._valid(entry)
        return found

    # A relay that was restored has lost what owners wrote, and takes it from whoever brings it
    # back. So in the store an owner stands behind the generation of the relay that it is one of.

    def _valid(self, entry: str) -> str:
        generation, _, owner = entry.partition(" ")
        return owner if generation == self._generation else _NOBODY

    def _entry(self, owner: str) -> str:
        return f"{self._generation} {owner}"

    @cached_property
    def _generation(self) -> str:
        return self._store.meta("").get("relay", "").partition(".")[2] or "0"
