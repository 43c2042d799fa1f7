"""What Yjs writes no relay refuses: random edits, undone ones and such as collect nothing too."""

from __future__ import annotations

import orjson
import pytest

from syncline.engine.document.document import Document
from syncline.engine.names import Address
from syncline.engine.protocol.messages import Entry
from syncline.relay.log.ledger import Ledger
from syncline.relay.log.submission import Settled, Submission
from syncline.stores import MemoryStore
from tests.interop.editors import HERE
from tests.npm import program, run
from tests.profiles import scaled

pytestmark = [pytest.mark.npm, pytest.mark.scaled]


def _taken(store: MemoryStore, address: Address, *updates: bytes) -> None:
    ledger = Ledger(store)
    for update in updates:
        ((outcome,), _) = ledger.commit([Submission("crm", "ada", (Entry(address, update),))])
        assert isinstance(outcome, Settled)
        assert outcome.refusals == ()


@pytest.mark.slow
def test_a_relay_takes_whatever_yjs_writes(packages: None) -> None:
    said = run(program("node"), "edits.mjs", "1", str(scaled(120)), folder=HERE)
    for history in map(orjson.loads, said.splitlines()):
        store = MemoryStore()
        store.open()
        log = [bytes.fromhex(each) for each in history["log"]]
        middle = len(log) // 2
        pad = Address("pages", "pad")
        _taken(store, pad, *log[:middle])
        stored = store.load("crm", pad)
        assert stored is not None
        # What was collected has no place any more, and others still build on it.
        assert store.compact("crm", stored, Document(1, stored.updates).diff({}))
        _taken(store, pad, *log[middle:])
        for number, whole in enumerate(history["whole"]):
            _taken(store, pad, bytes.fromhex(whole))
            _taken(store, Address("whole", str(number)), bytes.fromhex(whole))
