"""The change feed: one entry per record, the sum of what its reader has not seen."""

from __future__ import annotations

import pytest

from syncline.engine.errors import LimitExceeded
from syncline.engine.names import Address
from syncline.engine.records.changes import (
    MAX_WAITING,
    ChangeFeed,
    DocumentChange,
    Kind,
    Origin,
    fields_of,
)

ADA = Address("contacts", "ada")


def _change(kind: Kind, key: str = "ada", *fields: str, origin: Origin = "local") -> DocumentChange:
    return DocumentChange(Address("contacts", key), kind, frozenset(fields), origin)


def _taken(feed: ChangeFeed) -> list[DocumentChange]:
    changes: list[DocumentChange] = []
    while (change := feed.take()) is not None:
        changes.append(change)
    return changes


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        ("created", "updated", "created"),
        ("created", "deleted", None),
        ("updated", "updated", "updated"),
        ("updated", "deleted", "deleted"),
        ("deleted", "created", "updated"),
        # These do not follow each other in one replica; the later one is believed.
        ("created", "created", "created"),
        ("updated", "created", "created"),
        ("deleted", "deleted", "deleted"),
        ("deleted", "updated", "updated"),
    ],
)
def test_two_changes_of_one_record_become_one(
    first: Kind, second: Kind, together: Kind | None
) -> None:
    feed = ChangeFeed()
    feed.add(_change(first, "ada", "name", "phone"))
    feed.add(_change(second, "ada", "phone", "notes", origin="remote"))
    expected = together and DocumentChange(
        ADA, together, frozenset({"name", "phone", "notes"}), "remote"
    )
    assert _taken(feed) == ([expected] if expected else [])


def test_what_came_and_went_unseen_may_come_again() -> None:
    feed = ChangeFeed()
    coming: list[Kind] = ["created", "deleted", "created"]
    for kind in coming:
        feed.add(_change(kind))
    assert [change.kind for change in _taken(feed)] == ["created"]
    going: list[Kind] = ["deleted", "created", "deleted"]  # seen before, gone now
    for kind in going:
        feed.add(_change(kind))
    assert [change.kind for change in _taken(feed)] == ["deleted"]


def test_records_come_in_the_order_of_their_first_unseen_change() -> None:
    feed = ChangeFeed()
    for key in ("b", "a", "c", "b", "a"):
        feed.add(_change("updated", key))
    assert len(feed) == 3
    assert [change.address.key for change in _taken(feed)] == ["b", "a", "c"]
    assert len(feed) == 0
    assert feed.take() is None


def test_a_change_that_was_taken_is_not_combined_with_the_next() -> None:
    feed = ChangeFeed()
    feed.add(_change("created"))
    assert feed.take() == _change("created")
    feed.add(_change("deleted"))
    assert feed.take() == _change("deleted")


def test_a_reader_that_is_too_slow_is_told_once_and_goes_on() -> None:
    feed = ChangeFeed(max_waiting=2)
    for key in ("a", "b", "c", "d"):
        feed.add(_change("created", key))
    feed.add(_change("updated", "a", "name"))  # it waits already: there is room for this
    assert len(feed) == 2
    assert feed.take() == _change("created", "a", "name")
    assert feed.take() == _change("created", "b")
    with pytest.raises(LimitExceeded) as refused:
        feed.take()
    assert refused.value.message == "More than 2 changed records waited for this reader."
    assert refused.value.hint == "Read the collection again, then go on reading changes."
    assert feed.take() is None
    feed.add(_change("created", "e"))
    assert feed.take() == _change("created", "e")


@pytest.mark.slow
def test_the_bound_is_documented() -> None:
    feed = ChangeFeed()
    for number in range(MAX_WAITING + 1):
        feed.add(_change("created", str(number)))
    assert len(feed) == MAX_WAITING == 100_000


@pytest.mark.parametrize(
    ("touched", "fields"),
    [
        (set[tuple[str, str | None]](), set[str]()),
        ({("fields", "name/12"), ("fields", "name/13")}, {"name"}),
        ({("fields", "$live/12")}, set[str]()),
        ({("fields", "a/b/12")}, {"a/b"}),
        ({("text:notes", None), ("list:tags", None)}, {"notes", "tags"}),
        ({("counter:visits", "12"), ("fields", "name/1")}, {"visits", "name"}),
    ],
)
def test_fields_of_what_was_touched(touched: set[tuple[str, str | None]], fields: set[str]) -> None:
    assert fields_of(touched) == fields
