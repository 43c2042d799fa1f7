"""Authors: which system wrote under which client id, and which one was restored from a backup."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from syncline.engine.document.document import Document
from syncline.engine.identity import Identity

from .record_table import RecordTable
from .relay import RelayPeer
from .replica import RECORDS_AT_ONCE, Memory
from .systems import TwoWaySystems


class Authors:
    """What all systems of a pipeline agree on about who wrote what."""

    def __init__(self, systems: TwoWaySystems) -> None:
        self._systems = systems
        self._not_restored: set[str] = set()
        """The systems of which this process knows that they were not restored from a backup."""

    def agree(
        self, up: Mapping[str, Any], relay: RelayPeer | None = None, *, dry_run: bool = False
    ) -> dict[int, str]:
        """Which system wrote under which client id; every system is told of all.

        A system whose peers have seen more of it than it has was restored from a backup: what it
        writes from now on must not be taken for what it wrote before.
        """
        memories: dict[str, Memory] = {}
        for name in up:
            with self._systems.reading(name) as connection:
                memories[name] = self._systems.replicas[name].memory(connection)
        authors: dict[int, str] = {}
        for memory in memories.values():
            authors |= memory.authors
        for name, memory in memories.items():
            seen = max((each.cursors.get(name, 0) for each in memories.values()), default=0)
            if relay is not None:
                seen = max(seen, relay.taken(name))
            if seen > memory.head or (relay is not None and self._is_behind(name, relay)):
                authors[self._begin_anew(name, max(seen, memory.head), up)] = name
                if relay is not None:
                    relay.forget(name)
        if relay is not None:
            known = {str(client_id): name for client_id, name in authors.items()}
            agreed = relay.agree("authors", {} if dry_run else known)
            authors = {int(client_id): name for client_id, name in (known | agreed).items()}
        for name, memory in memories.items():
            if missing := authors.keys() - memory.authors.keys():
                with self._systems.writing(name) as connection:
                    for client_id in missing:
                        self._systems.replicas[name].state(connection).set_meta(
                            f"author:{client_id}", authors[client_id]
                        )
        return authors

    def _is_behind(self, name: str, relay: RelayPeer) -> bool:
        """Whether the relay has of a system what the system does not have itself. Looked at once:
        later the relay's cursor tells."""
        if name in self._not_restored:
            return False
        self._not_restored.add(name)
        clocks: dict[tuple[str, str], int] = {}
        after = 0
        with self._systems.reading(name) as connection:
            state = self._systems.replicas[name].state(connection)
            client_id = int(state.meta("client_id") or "0")
            while page := RecordTable(state).since(after, RECORDS_AT_ONCE):
                after = page[-1].version
                for stored in page:
                    document = Document(0, [stored.document])
                    clocks[stored.kind, stored.rid] = document.state_vector().get(client_id, 0)
                    document.close()
        return relay.is_ahead(client_id, clocks)

    def _begin_anew(self, name: str, seen: int, up: Mapping[str, Any]) -> int:
        """Let a restored system write under a new client id, and everybody read all again."""
        client_id = Identity.draw(self._systems.rng, "").client_id
        with self._systems.writing(name) as connection:
            state = self._systems.replicas[name].state(connection)
            state.set_meta("client_id", str(client_id))
            RecordTable(state).skip_to(seen)
            for peer in state.metas("cursor:"):
                state.set_meta(f"cursor:{peer}", "0")
        for peer in up:
            if peer != name:
                with self._systems.writing(peer) as connection:
                    self._systems.replicas[peer].state(connection).set_meta(f"cursor:{name}", "0")
        return client_id
