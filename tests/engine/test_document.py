"""Documents: what is captured, what the CRDT library's failures become, and what is let go."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pycrdt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from syncline.engine.document.cells import cells_of
from syncline.engine.document.document import EMPTY_UPDATE, Document, merge_updates
from syncline.engine.errors import DocumentBroken, SchemaError, ValueRefused
from syncline.engine.updates.parse import parse_update

CLIENT = 5
# A map entry whose content has no length, under the next clock of client 5: yrs panics on it.
POISON = bytes.fromhex("010105002801016d016b0000")
GARBAGE = b"\xff"


@pytest.fixture
def document() -> Document:
    return Document(CLIENT)


def _fill(document: Document) -> None:
    with document.transaction():
        document.map("map").set("k", "v")
        document.array("array").insert(0, "a")
        document.text("text").insert(0, "é")


FILLED = {"array": ["a"], "map": {"k": "v"}, "text": "é"}


# Capturing


def test_a_local_transaction_becomes_one_update_of_our_client(document: Document) -> None:
    _fill(document)
    (update,) = document.take_captured()
    assert parse_update(update).ranges == {CLIENT: ((0, 3),)}
    assert document.take_captured() == []
    other = Document(6, [update])
    assert other.to_dict() == document.to_dict() == FILLED


def test_changes_outside_a_transaction_are_captured_one_by_one(document: Document) -> None:
    document.map("map").set("a", 1)
    document.map("map").delete("a")
    document.array("array").insert(0, 1)
    document.array("array").delete(0)
    document.text("text").insert(0, "ab")
    document.text("text").delete(0, 1)
    updates = document.take_captured()
    assert len(updates) == 6
    assert Document(6, updates).to_dict() == {"text": "b"}


def test_a_transaction_that_changes_nothing_makes_no_update(document: Document) -> None:
    with document.transaction():
        pass
    assert document.take_captured() == []


def test_a_transaction_inside_another_is_part_of_it(document: Document) -> None:
    with document.transaction():
        document.map("map").set("a", 1)
        with document.transaction():
            document.map("map").set("b", 2)
    assert len(document.take_captured()) == 1


def test_remote_updates_are_not_captured(document: Document) -> None:
    other = Document(6)
    _fill(other)
    (update,) = other.take_captured()
    assert document.apply(update)
    assert document.take_captured() == []
    document.map("map").set("k", "w")
    (captured,) = document.take_captured()
    assert set(parse_update(captured).ranges) == {CLIENT}


def test_apply_says_whether_anything_changed(document: Document) -> None:
    other = Document(6)
    _fill(other)
    (update,) = other.take_captured()
    assert document.apply(update)
    assert not document.apply(update)
    assert not document.apply(EMPTY_UPDATE)
    document.map("map").set("mine", 1)
    assert not document.apply(update)
    other.map("map").delete("k")
    assert document.apply(other.take_captured()[0])  # deletes alone are a change too


def test_a_log_is_loaded_and_is_not_captured() -> None:
    first = Document(6)
    _fill(first)
    first.map("map").set("k", "w")
    loaded = Document(CLIENT, first.take_captured())
    assert loaded.take_captured() == []
    assert loaded.to_dict() == first.to_dict() == {**FILLED, "map": {"k": "w"}}
    assert loaded.state_vector() == first.state_vector()


# Exceptions inside a transaction


@pytest.mark.parametrize(
    "raised",
    [
        ValueError("mine"),
        RuntimeError("mine"),
        KeyError("mine"),
        ValueRefused("It is refused.", hint="Give another."),
        KeyboardInterrupt(),
    ],
    ids=lambda raised: type(raised).__name__,
)
def test_the_caller_s_exception_passes_and_the_changes_before_it_stay(
    document: Document, raised: BaseException
) -> None:
    with pytest.raises(type(raised)) as caught, document.transaction():  # noqa: PT012
        document.map("map").set("before", 1)
        raise raised
    assert caught.value is raised
    assert not document.broken
    assert document.map("map").items() == {"before": 1}
    assert len(document.take_captured()) == 1
    document.map("map").set("after", 2)
    assert len(document.take_captured()) == 1


def test_an_exception_of_the_caller_does_not_keep_the_document(document: Document) -> None:
    class Large:
        pass

    def fail() -> weakref.ref[Large]:
        large = Large()
        with pytest.raises(ValueError, match="Large"), document.transaction():
            raise ValueError(large)
        return weakref.ref(large)

    gc.disable()
    try:
        assert fail()() is None  # no cycle waits for the collector
    finally:
        gc.enable()


# The native library's failures

SENTENCE = "The CRDT library failed on this document, so its state in memory is not used."
HINT = "Open it again: it is rebuilt from its log. If that fails too, an update in the log is bad."


def _break(document: Document) -> None:
    document.map("map").set("k", "v")
    document.take_captured()
    with pytest.raises(DocumentBroken) as broken:
        document.apply(POISON)
    assert broken.value.message == SENTENCE
    assert broken.value.hint == HINT
    # PanicException derives from BaseException: an `except Exception` would let it through.
    assert not isinstance(broken.value.__cause__, Exception)


@pytest.mark.slow
def test_a_panic_becomes_document_broken_and_the_document_refuses_further_use(
    document: Document,
) -> None:
    roots = document.map("map"), document.array("array"), document.text("text")
    items, array, text = roots
    _break(document)
    assert document.broken
    uses: list[Any] = [
        lambda: document.map("new"),
        lambda: document.apply(EMPTY_UPDATE),
        lambda: document.diff({}),
        document.to_dict,
        document.state_vector,
        items.items,
        array.items,
        text.content,
        lambda: items.set("k", 1),
        lambda: items.delete("k"),
        lambda: array.insert(0, 1),
        lambda: array.delete(0),
        lambda: text.insert(0, "x"),
        lambda: text.delete(0, 1),
    ]
    for use in uses:
        with pytest.raises(DocumentBroken) as refused:
            use()
        assert refused.value.message == SENTENCE
    with pytest.raises(DocumentBroken), document.transaction():
        pytest.fail("a broken document opened a transaction")
    assert document.take_captured() == []


@pytest.mark.parametrize("update", [GARBAGE, b"", POISON[:-1]], ids=["garbage", "empty", "cut"])
def test_bytes_that_are_no_update_break_the_document(document: Document, update: bytes) -> None:
    # They must not get here: the parser stands before it.
    with pytest.raises(DocumentBroken) as broken:
        document.apply(update)
    assert document.broken
    assert isinstance(broken.value.__cause__, ValueError)


def test_a_panic_inside_a_transaction_breaks_the_document(document: Document) -> None:
    with pytest.raises(DocumentBroken), document.transaction():  # noqa: PT012
        document.map("map").set("a", 1)
        document.map("map").set("k", "\ud800")
    assert document.broken


def test_a_damaged_log_is_refused() -> None:
    with pytest.raises(DocumentBroken, match="rebuilt from its log"):
        Document(CLIENT, [GARBAGE])


def test_the_caller_s_mistakes_do_not_break_the_document(document: Document) -> None:
    with pytest.raises(KeyError):
        document.map("map").delete("nothing")
    with pytest.raises(IndexError):
        document.array("array").delete(3)
    with pytest.raises(TypeError):
        document.apply("text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert not document.broken
    _fill(document)
    assert document.to_dict() == FILLED


def test_a_root_has_one_type(document: Document) -> None:
    text = document.text("notes")
    assert document.text("notes") is text
    with pytest.raises(SchemaError) as refused:
        document.map("notes")
    assert refused.value.message == "The root 'notes' is open as TextRoot, not as MapRoot."
    assert refused.value.hint == "A root of a document has one type for ever; use another name."
    with pytest.raises(SchemaError, match="is open as TextRoot, not as ArrayRoot"):
        document.array("notes")
    document.map("fields")
    with pytest.raises(SchemaError, match="The root 'fields' is open as MapRoot, not as TextRoot"):
        document.text("fields")
    text.insert(0, "still a text")
    assert text.content() == "still a text"


# Letting go


def _used() -> Document:
    document = Document(CLIENT)
    _fill(document)
    cells_of(document, "fields").write("name", b'"x"', 1)
    document.map("map").items()
    return document


@pytest.mark.slow
@pytest.mark.parametrize("broken", [False, True], ids=["well", "broken"])
def test_a_closed_document_is_freed(*, broken: bool) -> None:
    document = _used()
    if broken:
        _break(document)
    wrapper = weakref.ref(document)
    native = weakref.ref(document._doc)  # pyright: ignore[reportPrivateUsage]
    document.close()
    del document
    gc.collect()
    assert wrapper() is None
    assert native() is None


def test_a_closed_document_hears_nothing_more() -> None:
    document = _used()
    document.take_captured()
    document.touched.clear()
    root = document.map("map")
    document.close()
    with pytest.raises(DocumentBroken):
        root.set("k", "w")
    assert document.take_captured() == []
    assert document.touched == set()


def test_a_closed_document_does_not_wait_for_the_collector_of_garbage() -> None:
    document = _used()
    gone = weakref.ref(document)
    collecting = gc.isenabled()
    gc.disable()
    try:
        document.close()
        del document
        assert gone() is None
    finally:
        if collecting:
            gc.enable()


def test_only_a_broken_document_may_fail_to_close(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(doc: object, subscription: object) -> None:
        raise ValueError("poisoned lock")

    broken, well = _used(), _used()
    _break(broken)
    monkeypatch.setattr(pycrdt.Doc, "unobserve", fail, raising=True)
    broken.close()
    with pytest.raises(ValueError, match="poisoned lock"):
        well.close()


# State vectors and differences


def test_a_state_vector_follows_every_change(document: Document) -> None:
    assert document.state_vector() == {}
    document.map("map").set("a", 1)
    assert document.state_vector() == {CLIENT: 1}
    document.text("text").insert(0, "abc")
    assert document.state_vector() == {CLIENT: 4}
    other = Document(6)
    other.array("array").insert(0, 1)
    document.apply(other.take_captured()[0])
    assert document.state_vector() == {CLIENT: 4, 6: 1}
    document.text("text").delete(0, 3)
    assert document.state_vector() == {CLIENT: 4, 6: 1}  # a deletion has no clock


def test_a_difference_brings_another_up_to_date(document: Document) -> None:
    other = Document(6)
    _fill(document)
    other.apply(document.diff({}))
    assert other.to_dict() == FILLED
    document.map("map").set("k", "w")
    other.map("map").set("mine", 1)
    difference = document.diff(other.state_vector())
    assert parse_update(difference).ranges == {CLIENT: ((3, 4),)}
    other.apply(difference)
    document.apply(other.diff(document.state_vector()))
    assert other.to_dict() == document.to_dict()
    assert other.state_vector() == document.state_vector() == {CLIENT: 4, 6: 1}
    assert not document.apply(document.diff(other.state_vector()))


# Merging


def _log(length: int) -> list[bytes]:
    """As many updates, by two clients that know of each other, in causal order."""
    first, second = Document(6), Document(7)
    log: list[bytes] = []
    for number in range(length):
        writer, reader = (first, second) if number % 3 else (second, first)
        with writer.transaction():
            writer.map("map").set(f"k{number % 7}", number)
            text = writer.text("text")
            text.insert(number % (len(text.content()) + 1), "é😀"[number % 2])
        (update,) = writer.take_captured()
        reader.apply(update)
        log.append(update)
    return log


@pytest.mark.parametrize("length", [1, 2, 99, 100, 101, 250])
def test_merging_in_chunks_equals_applying_one_by_one(length: int) -> None:
    log = _log(length)
    merged = merge_updates(log)
    one_by_one, at_once = Document(8, log), Document(8, [merged])
    assert at_once.to_dict() == one_by_one.to_dict()
    assert len(at_once.text("text").content()) == length
    assert at_once.state_vector() == one_by_one.state_vector()
    assert parse_update(merged).needs == {}


def test_chunks_are_merged_again_until_one_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    log = _log(30)
    expected = Document(8, log).to_dict()
    sizes: list[int] = []

    def merge(*updates: bytes) -> bytes:
        sizes.append(len(updates))
        return native(*updates)

    native = pycrdt.merge_updates
    monkeypatch.setattr("syncline.engine.document.document._MERGE_CHUNK", 4)
    monkeypatch.setattr(pycrdt, "merge_updates", merge)
    assert Document(8, [merge_updates(log)]).to_dict() == expected
    assert sizes == [4] * 7 + [2] + [4, 4] + [2]


def test_merging_nothing_and_one() -> None:
    assert merge_updates([]) == EMPTY_UPDATE
    (update,) = _log(1)
    assert merge_updates((update,)) == update
    assert Document(8, [EMPTY_UPDATE]).to_dict() == {}


def test_merging_garbage_is_refused() -> None:
    with pytest.raises(DocumentBroken) as broken:
        merge_updates([*_log(2), GARBAGE])
    assert broken.value.message == SENTENCE


def test_an_interrupted_merge_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*updates: bytes) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr(pycrdt, "merge_updates", interrupt)
    with pytest.raises(KeyboardInterrupt):
        merge_updates(_log(2))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9), st.sampled_from("abé😀"))))
@example([(True, 0, "a"), (True, 1, "é"), (False, 1, ""), (True, 0, "😀"), (False, 0, "")])
def test_a_text_is_cut_between_its_characters(steps: list[tuple[bool, int, str]]) -> None:
    """Whatever it was before: the place that was used last is one in the content as it is now."""
    document, expected = Document(1), ""
    text = document.text("t")
    for inserts, number, character in steps:
        if inserts:
            place = number % (len(expected) + 1)
            text.insert(place, character)
            expected = expected[:place] + character + expected[place:]
        elif expected:
            place = number % len(expected)
            text.delete(place, 1)
            expected = expected[:place] + expected[place + 1 :]
        update = document.diff({})
        parse_update(update)  # a character cut in two leaves an empty half
        assert text.content() == Document(2, [update]).text("t").content() == expected
