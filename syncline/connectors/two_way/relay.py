"""A relay as a peer of the systems of a pipeline, so that pipelines on several machines meet.

Theory of operation. The records of a pipeline are documents, and a relay carries documents. Here is
a replica of the relay's workspace, which is empty when a process begins and fetches everything: so
the machine keeps nothing, and what a relay has lost is put back by whoever has it. A document goes
to the relay as the difference to what the relay has; what comes from there is handed to each system
like what another system has. One more document holds what all machines have to agree on: which
system wrote under which client id, and the kinds of the fields.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, TypeVar

from syncline.connectors.file.spec import RelaySpec
from syncline.engine.document.document import Document
from syncline.engine.errors import SynclineError
from syncline.engine.names import Address
from syncline.engine.records.changes import Origin
from syncline.engine.updates.parse import parse_update
from syncline.replica.replica import Replica

from .record_table import StoredRecord
from .replica import RECORDS_AT_ONCE, Incoming

T = TypeVar("T")

RELAY = "relay"
"""What the relay is called in reports."""
RELAY_SECONDS = 10.0
"""How long a pass waits for the relay."""
_AGREED = "syncline.pipeline"
"""The collection of what machines agree on, by pipeline. No record has a name with a dot."""


class RecordsReplica(Replica):
    """A replica that takes and gives whole documents, whoever wrote them."""

    def listen(self, listener: Callable[[Address, Origin], None]) -> None:
        """Tell ``listener`` of every change of any document from now on."""
        self._workspace.records.subscribe_to_documents(listener)

    def dump(self, address: Address) -> bytes:
        """The document as one update."""
        return self._workspace.documents.get(address).diff({})

    def clock(self, address: Address, client_id: int) -> int:
        """How much of a document this writer has written."""
        return self._workspace.state_vector(address).get(client_id, 0)

    def push(self, address: Address, dump: bytes) -> None:
        """Send the relay what a document has that it does not."""
        document = Document(0, [dump])
        update = document.diff(self._workspace.state_vector(address))
        document.close()
        self._workspace.seed(address, update, parse_update(update))


class RelayPeer:
    """The relay's workspace, for one pipeline. Blocking, in a thread of its own; to be closed."""

    def __init__(self, pipeline: str, kinds: Iterable[str], relay: RelaySpec) -> None:
        self._agreed = str(Address(_AGREED, pipeline))
        self._kinds = frozenset(kinds)
        self._changes: dict[Address, int] = {}
        """The documents that came from the relay, each under the number of its last change."""
        self._number = 0
        self._given: dict[str, int] = {}
        """Up to which change each system has got them."""
        self._taken: dict[str, int] = {}
        """Up to which version the documents of each system were sent."""
        self._away = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._folder = tempfile.TemporaryDirectory(prefix="syncline-")
        try:
            self._replica = self._call(self._open(relay))
        except BaseException:
            self._stop()
            raise

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _open(self, relay: RelaySpec) -> RecordsReplica:
        file = f"{self._folder.name}/relay.db"
        replica = RecordsReplica.open(file, relay=relay.url, token=relay.token)
        await replica.__aenter__()
        replica.listen(self._changed)
        return replica

    def _changed(self, address: Address, origin: Origin) -> None:
        if origin == "remote" and address.collection in self._kinds:
            self._number += 1
            self._changes[address] = self._number

    def exchange(self) -> str | None:
        """Wait until the relay has what we have, and we what it has. Returns why it has not come to
        that."""
        return self._call(self._exchange())

    async def _exchange(self) -> str | None:
        reason: str | None = None
        # A relay that did not answer is not waited for again before it is connected to.
        patience = 0.0 if self._away and self._replica.status.link != "online" else RELAY_SECONDS
        try:
            async with asyncio.timeout(patience):
                await self._replica.synced()
        except TimeoutError:
            reason = f"The relay has not answered for {RELAY_SECONDS:g} seconds."
            reason = self._replica.status.error or reason
        except SynclineError as error:
            reason = error.message
        self._away = reason is not None
        return reason

    # To the systems

    def records_for(self, system: str) -> Incoming:
        """What has come from the relay that the system has not got from here."""
        return self._call(self._records_since(self._given.get(system, 0)))

    async def _records_since(self, after: int) -> Incoming:
        changed = [address for address, number in self._changes.items() if number > after]
        changed.sort(key=self._changes.__getitem__)
        changed = changed[:RECORDS_AT_ONCE]
        until = self._changes[changed[-1]] if changed else after
        return Incoming(
            RELAY,
            until,
            [
                StoredRecord(address.key, address.collection, 0, self._replica.dump(address))
                for address in changed
            ],
        )

    def gave(self, system: str, until: int) -> None:
        """The system has committed the changes up to ``until``."""
        self._given[system] = until

    def forget(self, system: str) -> None:
        """Exchange everything with the system anew."""
        self._given.pop(system, None)
        self._taken.pop(system, None)

    @property
    def given(self) -> dict[str, int]:
        """Up to which change each system has got them."""
        return dict(self._given)

    @given.setter
    def given(self, given: dict[str, int]) -> None:
        self._given = dict(given)

    @property
    def pending(self) -> int:
        """How many changes have come that not all systems have got."""
        given = min(self._given.values(), default=0)
        return sum(number > given for number in self._changes.values())

    # From the systems

    def taken(self, system: str) -> int:
        """Up to which version the relay was sent the documents of the system."""
        return self._taken.get(system, 0)

    def take(self, system: str, until: int, records: Iterable[StoredRecord]) -> None:
        """Send documents of a system, which has them up to the version ``until``."""
        self._call(self._take([*records]))
        self._taken[system] = until

    async def _take(self, records: Iterable[StoredRecord]) -> None:
        for stored in records:
            self._replica.push(Address(stored.kind, stored.rid), stored.document)
            await asyncio.sleep(0)  # the link is to send meanwhile

    def is_ahead(self, client_id: int, clocks: Mapping[tuple[str, str], int]) -> bool:
        """Whether the relay has something of a writer that the writer itself does not have: then it
        was restored from a backup. ``clocks`` say by (kind, rid) how much it has."""
        return self._call(self._is_ahead(client_id, clocks))

    async def _is_ahead(self, client_id: int, clocks: Mapping[tuple[str, str], int]) -> bool:
        return any(
            self._replica.clock(address, client_id) > clocks.get((address[0], address[1]), 0)
            for address in self._changes
        )

    # What machines agree on

    def agree(self, about: str, known: Mapping[str, str]) -> dict[str, str]:
        """What all machines say ``about`` something: theirs counts, and ``known`` is added."""
        return self._call(self._agree(about, known))

    async def _agree(self, about: str, known: Mapping[str, str]) -> dict[str, str]:
        shared = self._replica.document(self._agreed).map(about)
        theirs = {name: str(shared[name]) for name in shared}
        for name, value in known.items():
            if name not in theirs:
                shared[name] = value
        return dict(known) | theirs

    def close(self) -> None:
        """Leave the relay."""
        try:
            self._call(self._replica.__aexit__(None, None, None))
        finally:
            self._stop()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._folder.cleanup()
