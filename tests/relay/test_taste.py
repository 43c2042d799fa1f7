"""The ledger takes nothing that was not tasted, and notices what was tasted on another document."""

from __future__ import annotations

from dataclasses import replace

from syncline.engine.errors import StoreFailed
from syncline.engine.names import Address
from syncline.engine.protocol.messages import Entry
from syncline.relay.log.ledger import INCOMING, Ledger
from syncline.relay.log.place import Place
from syncline.relay.log.submission import Outcome, Settled, Submission
from syncline.relay.log.taste import TASTE_AGAIN, Taste
from syncline.stores import MemoryStore
from tests.engine.update_bytes import section, typed, update
from tests.relay.clients import NOTE, Author

PLACE: Place = ("crm", NOTE)


def ledger(**limits: int) -> Ledger:
    store = MemoryStore()
    store.open()
    return Ledger(store, limits=replace(INCOMING, **limits))


def offered(taste: Taste | None, *updates: bytes, address: Address = NOTE) -> Submission:
    entries = tuple(Entry(address, each) for each in updates)
    return Submission("crm", "editor:1", entries, taste=taste)


def outcome(ledger: Ledger, submission: Submission) -> Outcome:
    (one,), _ = ledger.commit([submission])
    return one


def test_what_was_not_tasted_is_tasted_again_and_not_stored() -> None:
    book, author = ledger(), Author()
    first, second = author.type("a"), author.type("b")
    taste = Taste((True, False), set())
    assert outcome(book, offered(taste, first, second)) is TASTE_AGAIN
    # Nothing of it is stored, and the state is that of before.
    settled = outcome(book, offered(None, second))
    assert isinstance(settled, Settled)
    assert settled.refusals[0].code == "missing-dependencies"
    settled = outcome(book, offered(Taste((True, True), set()), first, second))
    assert settled == Settled(2)


def test_what_was_skipped_is_refused_by_the_ledger_in_its_own_words() -> None:
    book = ledger()
    settled = outcome(book, offered(Taste((False,), set()), b"\7nonsense"))
    assert isinstance(settled, Settled)
    assert settled.refusals[0].code == "invalid-update"


def test_what_was_tasted_on_a_refused_update_is_tasted_again() -> None:
    book = ledger(max_clients=1)
    one, two = (update(section(client, 0, typed("x"))) for client in (1, 2))
    more = update(section(1, 1, typed("y")))
    spoilt: set[Place] = set()
    together = [offered(Taste((True,), spoilt), each) for each in (one, two, more)] + [
        offered(Taste((True,), spoilt), one, address=Address("pages", "other"))
    ]
    outcomes, _ = book.commit(together)
    assert outcomes[0] == Settled(1)
    assert isinstance(outcomes[1], Settled)
    assert outcomes[1].refusals[0].code == "limit-exceeded"
    assert outcomes[2] is TASTE_AGAIN
    assert outcomes[3] == Settled(2)
    assert spoilt == {PLACE}
    assert outcome(book, offered(Taste((True,), set()), more)) == Settled(3)


def test_also_update_by_update_nothing_goes_in_untasted() -> None:
    book, author = ledger(), Author()
    submission = offered(Taste((True, False), set()), author.type("a"), author.type("b"))
    result, committed = book.commit_singly(submission, StoreFailed("It fails.", hint="Wait."))
    assert result is TASTE_AGAIN
    assert len(committed) == 1
