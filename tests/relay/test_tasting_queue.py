"""Who is tasted when: turns between authors, an author's order, one round for a document."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from syncline.engine.names import Address
from syncline.engine.protocol.messages import Entry
from syncline.relay.log.submission import Submission
from syncline.relay.tasting import queue as queue_module
from syncline.relay.tasting.queue import MAX_ROUND_UPDATES, TastingQueue, Waiting


def waiting(author: str, *keys: str, update: bytes = b"u") -> Waiting:
    entries = tuple(Entry(Address("pages", key), update) for key in keys)
    return Waiting(Submission("crm", author, entries), author)


def filled(*waitings: Waiting) -> TastingQueue:
    queue = TastingQueue()
    for each in waitings:
        queue.put(each)
    return queue


def authors(round_: Iterable[Waiting]) -> str:
    return "".join(each.submission.author for each in round_)


def test_authors_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "MAX_ROUND_UPDATES", 2)
    queue = filled(*(waiting("a", str(n)) for n in range(4)), waiting("b", "x"), waiting("c", "y"))
    rounds = [authors(queue.next_round()) for _ in range(4)]
    assert rounds == ["ab", "ca", "aa", ""]


def test_a_round_is_full_at_its_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = filled(*(waiting("a", str(n)) for n in range(MAX_ROUND_UPDATES + 1)))
    assert len(queue.next_round()) == MAX_ROUND_UPDATES
    assert len(queue.next_round()) == 1
    monkeypatch.setattr(queue_module, "MAX_ROUND_BYTES", 2)
    queue = filled(*(waiting("a", str(n)) for n in range(3)))
    assert len(queue.next_round()) == 2


def test_a_large_submission_is_given_out_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "MAX_PART_UPDATES", 2)
    large = waiting("a", "1", "2", "3")
    queue = filled(large, waiting("a", "4"), waiting("b", "x"), waiting("c", "3"))
    assert authors(queue.next_round()) == "ab"  # what its author sent next waits, and its documents
    assert [place[1].key for place, _ in large.part()] == ["1", "2"]
    large.integrated += [True, True]
    queue.go_on(large)
    assert authors(queue.next_round()) == "a"
    assert [place[1].key for place, _ in large.part()] == ["3"]
    large.integrated.append(True)
    assert large.is_tasted
    queue.release(large)
    assert sorted(authors(queue.next_round())) == ["a", "c"]


def test_a_large_submission_has_its_documents_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "MAX_PART_UPDATES", 2)
    queue = filled(waiting("a", "1"), waiting("b", "1", "2", "3"), waiting("c", "2"))
    (first,) = queue.next_round()
    assert first.submission.author == "a"  # and nobody overtakes who waits
    queue.release(first)
    assert authors(queue.next_round()) == "b"


def test_a_document_is_in_one_round_at_a_time() -> None:
    queue = filled(waiting("a", "x"), waiting("b", "x"), waiting("c", "y"))
    first = queue.next_round()
    assert authors(first) == "abc"  # together: the second is tasted on top of the first
    queue.put(waiting("d", "x"))
    queue.put(waiting("e", "z"))
    assert authors(queue.next_round()) == "e"
    queue.release(first[0])
    assert authors(queue.next_round()) == ""
    queue.release(first[1])
    assert authors(queue.next_round()) == "d"


def test_an_authors_next_waits_for_the_one_before() -> None:
    queue = filled(waiting("a", "x"))
    (first,) = queue.next_round()
    queue.put(waiting("b", "x"))
    queue.put(waiting("b", "y"))
    assert queue.next_round() == []
    queue.release(first)
    assert [each.submission.entries[0].address.key for each in queue.next_round()] == ["x", "y"]


def test_nobody_overtakes_who_waits_for_several_documents() -> None:
    queue = filled(waiting("a", "x"))
    (first,) = queue.next_round()
    queue.put(waiting("b", "x", "y"))
    queue.put(waiting("c", "y"))
    assert queue.next_round() == []
    queue.release(first)
    assert authors(queue.next_round()) == "bc"


def test_held_authors_wait_and_what_is_put_back_comes_first() -> None:
    queue = filled(waiting("a", "x"), waiting("a", "y"))
    round_ = queue.next_round()
    for each in round_:
        queue.release(each)
    queue.hold(round_[0].author)
    queue.put(waiting("a", "z"))
    queue.put_back(round_)
    assert queue.next_round() == []
    queue.let_go(round_[0].author)
    keys = [each.submission.entries[0].address.key for each in queue.next_round()]
    assert keys == ["x", "y", "z"]
