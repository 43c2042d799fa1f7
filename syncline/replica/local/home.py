"""Where a replica's store belongs: the workspace that it is a replica of, and the relay that its
cursor is about."""

from __future__ import annotations

from collections.abc import Mapping

from syncline.engine.errors import WorkspaceMismatch
from syncline.engine.protocol.handshake import lineage
from syncline.engine.updates.causal import HoldBack

from .journal import Journal

# What stands behind the dot in the identity of a relay that is being compared.
_BEHIND = ".behind"  # it was restored
_MOVED = ".moved"  # we have come from another one


class Home:
    """Kept in the store's meta. ``joined`` is the workspace's name at the relay, once a relay has
    been named; ``relay`` the identity of the relay, once it was reached."""

    def __init__(self, meta: Mapping[str, str], journal: Journal, hold_back: HoldBack) -> None:
        self.joined: str | None = meta.get("joined")
        self.relay: str | None = meta.get("relay")
        self._journal = journal
        self._hold_back = hold_back

    def join(self, workspace: str) -> None:
        """Bind this replica to ``workspace``. Raises WorkspaceMismatch if it belongs to another."""
        if self.joined is None:
            self.joined = workspace
            self._journal.set_meta("joined", workspace)
        elif self.joined != workspace:
            raise WorkspaceMismatch(
                f"This store is a replica of the workspace {self.joined!r}, not of {workspace!r}.",
                hint="One store holds one replica of one workspace: open another store for "
                f"{workspace!r}, or correct the path of the relay's URL.",
            )

    def join_relay(self, relay: str) -> None:
        """Remember the relay that the cursor is about from now on; the session has checked that it
        may be."""
        if self.relay != relay:
            self.relay = relay
            self._journal.set_meta("relay", relay)

    @property
    def moved(self) -> bool:
        """Whether we have come to this relay from another one, and the two are being compared: what
        it has may be of another origin than what we have."""
        return self.relay is not None and self.relay.endswith(_MOVED)

    def begin_comparison(self, relay: str, head: int) -> None:
        """Follow the log of a restored relay, or of one that we move to, from its ``head``. Until
        ``join_relay`` says that what came before has been compared, a new connection begins with
        that again."""
        another = self.relay is None or lineage(self.relay) != lineage(relay)
        self.join_relay(f"{lineage(relay)}{_MOVED if another or self.moved else _BEHIND}")
        self._hold_back.reset(head)
        self._journal.set_meta("cursor", str(head))
