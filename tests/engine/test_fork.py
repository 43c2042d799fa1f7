"""Forking: edits of an old history made again on a new one, and what is acknowledged of the old."""

from __future__ import annotations

from collections import Counter as Multiset
from random import Random
from typing import Any

import pycrdt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncline.engine.document.document import Document
from syncline.engine.errors import LimitExceeded, ValueRefused
from syncline.engine.history.fork import reapply
from syncline.engine.history.rebuild import rebuild
from syncline.engine.records.liveness import is_live
from syncline.engine.updates.parse import covers, parse_update
from tests.engine.devices import Device
from tests.engine.records import delete_record, set_live
from tests.engine.test_convergence import STEPS, Operation
from tests.engine.writers import Writer, history
from tests.profiles import scaled

FRESH = 2**40 + 7
CLIENTS = [77, 2**45]  # who writes on the new history: below and above the one who rebuilt it
CELL_ROOTS = ("fields", "counter:counter", "set:set", "list:list", "map:map")
Steps = list[tuple[int, Operation | None, int, int]]


def _copy(document: Document) -> Document:
    return Document(document.client_id, [document.diff({})])


def _reapplied(base: Document, edited: Document, onto: Document) -> bool:
    """Reapply, and check that what it captured brings any other replica to the same content."""
    before = onto.diff({})
    onto.take_captured()
    wrote = reapply(base, edited, onto)
    captured = onto.take_captured()
    assert len(captured) == wrote
    other = Document(3, [before])
    for update in captured:
        info = parse_update(update)
        assert covers(other.state_vector(), info.needs)
        assert set(info.ranges) <= {onto.client_id}
        other.apply(update)
    assert other.to_dict() == onto.to_dict()
    return wrote


class _Fork:
    """A device whose edits are not acknowledged while its document is rebuilt.

    ``relay`` writes for everyone else. The device's last state that the relay knew is the base.
    """

    def __init__(self) -> None:
        self.relay = Device(2**40 + 1)
        self.device = Device(2**33 + 2)

    def acknowledge(self) -> None:
        """Both know everything from here on; what they do then is concurrent."""
        self.relay.receive(self.device.written())
        self.device.receive(self.relay.written())
        self.base = _copy(self.device.document())

    def merged(self) -> dict[str, Any]:
        """What one history would have given."""
        document = _copy(self.relay.document())
        document.apply(self.device.document().diff(document.state_vector()))
        return document.to_dict()

    def rebuilt(self, client_id: int | None = None) -> Device:
        """The device on the new history, its edits made again."""
        device = Device(client_id or self.device.document().client_id, now=10**6)
        device.receive([rebuild(self.relay.document(), FRESH)])
        device.content()  # the views have read: what is written by others than they shows as well
        _reapplied(self.base, self.device.document(), device.document())
        return device


@pytest.fixture
def fork() -> _Fork:
    fork = _Fork()
    fork.acknowledge()
    return fork


@settings(max_examples=scaled(150), deadline=None)
@given(before=STEPS, after=STEPS, keeps_id=st.booleans())
def test_cells_end_as_in_one_history(before: Steps, after: Steps, keeps_id: bool) -> None:
    fork = _Fork()
    writers = [fork.relay, fork.device]
    for who, operation, place, what in before:
        writers[who % 2].now += what
        if operation is None:
            fork.acknowledge()
        else:
            operation(writers[who % 2], place, what)
    fork.acknowledge()
    for who, operation, place, what in after:
        writers[who % 2].now += what
        if operation is not None:
            operation(writers[who % 2], place, what)

    device = fork.rebuilt(None if keeps_id else 2**41)
    content, expected, base = device.document().to_dict(), fork.merged(), fork.base.to_dict()
    for root in CELL_ROOTS:
        found, cells = content.get(root, {}), expected.get(root, {})
        # An element added again keeps its stamp, so a cell that was written again by its writer
        # looks as it did to the one who removed it: the only thing that a rebuild forgets.
        again = {
            key: value
            for key, value in cells.items()
            if key not in found
            and base.get(root, {}).get(key) == value
            and key not in fork.device.document().map(root).items()
        }
        assert {**found, **again} == cells
    assert int(device.counter) == sum(map(int, expected.get("counter:counter", {}).values()))

    again_content = device.document().to_dict()
    _reapplied(fork.base, fork.device.document(), device.document())
    twice = device.document().to_dict()
    for root in CELL_ROOTS:
        assert twice.get(root) == again_content.get(root)


@settings(max_examples=scaled(150), deadline=None)
@given(before=STEPS, after=STEPS)
def test_edits_alone_end_as_they_were(before: Steps, after: Steps) -> None:
    fork = _Fork()
    for who, operation, place, what in before:
        if operation is not None:
            operation([fork.relay, fork.device][who % 2], place, what)
    fork.acknowledge()
    for _, operation, place, what in after:
        fork.device.now += what
        if operation is not None:
            operation(fork.device, place, what)
    device = fork.rebuilt()
    assert device.document().to_dict() == fork.device.document().to_dict()
    assert device.content() == fork.device.content()


SHARED = "".join(map(chr, range(0x4E00, 0x4E40)))  # each once, so that what is left can be told
OURS, THEIRS = "ABCDE😀", "vwxyzé"
EDITS = st.lists(
    st.tuples(st.booleans(), st.booleans(), st.integers(0, 99), st.integers(1, 6)), max_size=30
)


@settings(max_examples=scaled(200), deadline=None)
@given(edits=EDITS, client_id=st.sampled_from(CLIENTS))
def test_texts_keep_what_both_have_typed(
    edits: list[tuple[bool, bool, int, int]], client_id: int
) -> None:
    fork = _Fork()
    fork.relay.text.append(SHARED)
    fork.acknowledge()
    for ours, inserts, place, length in edits:
        device, letters = (fork.device, OURS) if ours else (fork.relay, THEIRS)
        if inserts:
            device.text.insert(place % (len(device.text) + 1), letters[:length])
        elif device.text:
            start = place % len(device.text)
            device.text.delete(start, min(length, len(device.text) - start))
    edited, others, found = (
        device.text.to_plain() for device in (fork.device, fork.relay, fork.rebuilt(client_id))
    )
    assert _only(found, OURS) == _only(edited, OURS)
    assert _only(found, THEIRS) == _only(others, THEIRS)
    left = "".join(letter for letter in SHARED if letter in edited and letter in others)
    assert _only(found, SHARED) == left


def _only(text: str, letters: str) -> str:
    return "".join(letter for letter in text if letter in letters)


@settings(max_examples=scaled(150), deadline=None)
@given(seed=st.integers(0, 2**32))
def test_documents_of_editors_end_as_they_were_edited(seed: int) -> None:
    random = Random(seed)
    base, edited = _edited(random)
    onto = Document(random.choice(CLIENTS), [rebuild(base, FRESH)])
    _reapplied(base, edited, onto)
    assert _shown(onto) == _shown(edited)


@settings(max_examples=scaled(150), deadline=None)
@given(seed=st.integers(0, 2**32))
def test_documents_of_editors_keep_what_both_have_typed(seed: int) -> None:
    random = Random(seed)
    base, edited = _edited(random)
    relay = Writer(6)
    relay.apply(base.diff({}))
    for _ in range(15):
        relay.edit(random)
    onto = Document(random.choice(CLIENTS), [rebuild(Document(1, [relay.update_since()]), FRESH)])
    _reapplied(base, edited, onto)
    texts = [Multiset(document.text("text").content()) for document in (base, edited, onto)]
    assert texts[1] - texts[0] <= texts[2]
    ours = set(edited.map("map").items()) - set(base.map("map").items())
    assert ours <= set(onto.map("map").items())


def _edited(random: Random) -> tuple[Document, Document]:
    """A document by several writers, and the same edited further."""
    group = history(random, writers=3, edits=40)
    for writer in group[1:]:
        group[0].learn_from(writer)
    device = Writer(5)
    device.apply(group[0].update_since())
    base = Document(77, [device.update_since()])
    for _ in range(15):
        device.edit(random)
    return base, Document(77, [device.update_since()])


def _shown(document: Document) -> str:
    reader = Writer(9)
    reader.apply(document.diff({}))
    return reader.content()


def test_nothing_is_written_for_nothing(fork: _Fork) -> None:
    empty = Document(1)
    assert not reapply(empty, empty, Document(2))
    fork.relay.text.append("theirs")
    fork.relay.set.add(1)
    onto = Document(2, [rebuild(fork.relay.document(), FRESH)])
    assert not reapply(fork.base, fork.base, onto)
    assert onto.take_captured() == []


def test_an_empty_document_is_edited_anew(fork: _Fork) -> None:
    fork.device.text.append("héllo 😀")
    fork.device.list.extend([1, 2])
    assert fork.rebuilt().content() == fork.device.content()


def test_the_same_word_edited_by_both(fork: _Fork) -> None:
    fork.relay.text.append("the cat 😀 sat")
    fork.acknowledge()
    fork.relay.text.delete(4, 3)
    fork.relay.text.insert(4, "dog")
    fork.device.text.insert(7, "s")
    fork.device.text.insert(9, "🎩")
    assert fork.rebuilt().text == "the dogs 🎩😀 sat"
    fork.device.text.delete(4, 4)
    fork.device.text.insert(4, "cow")
    assert fork.rebuilt().text in ("the dogcow 🎩😀 sat", "the cowdog 🎩😀 sat")


def test_deletions_only(fork: _Fork) -> None:
    fork.relay.text.append("one two three")
    fork.relay.list.extend([1, 2, 3])
    fork.relay.set.add("x")
    fork.relay.map["k"] = 1
    fork.acknowledge()
    fork.device.text.delete(0, 4)
    fork.device.text.delete(4, 5)
    del fork.device.list[1]
    fork.device.set.discard("x")
    del fork.device.map["k"]
    fork.relay.text.insert(5, "!")
    assert fork.rebuilt().content() == {
        "text": "t!wo ", "counter": 0, "set": [], "list": [1, 3], "map": {},
    }  # fmt: skip


def test_all_deleted_by_the_others(fork: _Fork) -> None:
    fork.relay.text.append("one two three")
    fork.acknowledge()
    fork.relay.text.delete(0, 13)
    fork.device.text.insert(4, "and ")
    fork.device.text.delete(0, 1)
    assert fork.rebuilt().text == "and "


def test_places_that_fall_together_keep_their_order(fork: _Fork) -> None:
    fork.relay.text.append("abcdef")
    fork.acknowledge()
    fork.relay.text.delete(1, 4)
    fork.device.text.insert(4, "2")
    fork.device.text.insert(2, "1")
    fork.device.text.insert(0, "0")
    assert fork.rebuilt().text == "0a12f"


def test_items_of_a_list_are_there_once(fork: _Fork) -> None:
    fork.relay.list.extend("abcd")
    fork.acknowledge()
    fork.device.list.move(3, 0)
    fork.device.list.extend("xyz")
    fork.device.list.move(5, 1)
    fork.device.list[2] = "A"
    del fork.device.list[3]
    fork.relay.list.move(1, 3)
    fork.relay.list.append("r")
    rebuilt = fork.rebuilt()
    assert sorted(rebuilt.list) == sorted("dyAcrxz")
    again = list(rebuilt.list)
    _reapplied(fork.base, fork.device.document(), rebuilt.document())
    assert rebuilt.list == again
    # The relay had the edits, and its acknowledgement was lost.
    late = Device(2)
    late.receive([rebuild(fork.device.document(), FRESH)])
    _reapplied(fork.base, fork.device.document(), late.document())
    assert late.list == fork.device.list


@pytest.mark.slow
def test_a_list_of_which_others_have_changed_a_thousand_items(fork: _Fork) -> None:
    fork.relay.list.extend(range(3_000))
    fork.acknowledge()
    for number in range(1_000):
        fork.relay.list.insert(number * 3, f"new {number}")
        del fork.relay.list[number * 3 + 1]
    model = list(fork.relay.list)
    assert len(model) == 3_000
    del fork.device.list[2_999]
    fork.device.list.insert(2_000, "ours")
    del fork.device.list[1_996]
    model.remove(2_999)
    model.remove(1_996)
    found = list(fork.rebuilt().list)
    assert [item for item in found if item != "ours"] == model
    place = found.index("ours")
    assert {1_998, 1_999, 2_000, 2_001} & {*found[place - 2 : place], *found[place + 1 : place + 3]}


def test_steps_of_a_counter_count_once(fork: _Fork) -> None:
    fork.device.counter += 5
    fork.relay.counter += 100
    fork.acknowledge()
    fork.device.counter += 3
    fork.relay.counter -= 1
    rebuilt = fork.rebuilt()
    assert rebuilt.counter == 107
    # The relay had the edit, and its acknowledgement was lost.
    late = Document(2, [rebuild(fork.device.document(), FRESH)])
    assert not reapply(fork.base, fork.device.document(), late)
    # The writer has counted on, on the new history, before its old steps were made again.
    early = Device(fork.device.document().client_id)
    early.receive([rebuild(fork.relay.document(), FRESH)])
    early.counter += 20
    _reapplied(fork.base, fork.device.document(), early.document())
    assert early.counter == 127


def test_what_was_written_again_is_not_removed(fork: _Fork) -> None:
    fork.relay.map["k"] = fork.relay.map["gone"] = 1
    fork.acknowledge()
    fork.relay.now += 1_000
    fork.relay.map["k"] = 2
    del fork.device.map["k"]
    del fork.device.map["gone"]
    assert fork.rebuilt().map.to_plain() == {"k": 2}
    fork.device.now = fork.relay.now + 1_000
    fork.device.map["k"] = 3
    rebuilt = fork.rebuilt()
    assert rebuilt.map.to_plain() == {"k": 3}
    assert len(rebuilt.document().map("map:map").items()) == 2  # neither has seen the other


def test_a_newer_write_stays(fork: _Fork) -> None:
    fork.device.map["k"] = 1
    fork.acknowledge()
    fork.device.map["k"] = 2
    # The new history knows a later write of this writer already.
    later = Device(9, now=10**7)
    later.receive([rebuild(fork.device.document(), FRESH)])
    with later.writing() as document:
        key = f"k/{fork.device.document().client_id}"
        document.map("map:map").set(key, f"[{later.tick()},3]")
    _reapplied(fork.base, fork.device.document(), later.document())
    assert later.map["k"] == 3


@pytest.mark.parametrize("theirs", ["nothing", "an edit", "a removal", "a deletion"])
def test_a_deletion_under_keep_edit_sees_what_it_saw(fork: _Fork, theirs: str) -> None:
    set_live(fork.relay, True, "keep-edit")
    fork.relay.set.add("x")
    fork.acknowledge()
    if theirs == "an edit":
        fork.relay.text.append("kept")
    elif theirs == "a removal":
        fork.relay.set.discard("x")
    elif theirs == "a deletion":
        delete_record(fork.relay)
    fork.device.counter += 1
    delete_record(fork.device)
    rebuilt = fork.rebuilt()
    assert is_live(rebuilt.document()) is (theirs == "an edit")
    rebuilt.counter += 1
    assert is_live(rebuilt.document())
    delete_record(rebuilt)
    assert not is_live(rebuilt.document())


def test_an_edit_keeps_a_record_that_others_deleted(fork: _Fork) -> None:
    set_live(fork.relay, True, "keep-edit")
    fork.acknowledge()
    delete_record(fork.relay)
    fork.device.text.append("kept")
    rebuilt = fork.rebuilt()
    assert is_live(rebuilt.document())
    assert rebuilt.text == "kept"


def test_a_record_created_again_replaces_the_deletion(fork: _Fork) -> None:
    set_live(fork.relay, True, "keep-edit")
    delete_record(fork.relay)
    fork.acknowledge()
    fork.device.now += 1_000
    set_live(fork.device, True, "keep-edit")
    rebuilt = fork.rebuilt()
    assert is_live(rebuilt.document())
    assert len(rebuilt.document().map("fields").items()) == 1


def test_a_deleted_record_stays_deleted(fork: _Fork) -> None:
    set_live(fork.relay, True, "delete-wins")
    fork.acknowledge()
    fork.relay.now += 10
    set_live(fork.relay, False, "delete-wins")
    fork.device.text.append("unseen")
    rebuilt = fork.rebuilt()
    assert not is_live(rebuilt.document())
    assert rebuilt.text == "unseen"


@pytest.mark.slow
def test_a_long_text_with_edits_everywhere(fork: _Fork) -> None:
    fork.relay.text.append("".join(f"line {number} 😀\n" for number in range(17_000)))
    fork.acknowledge()
    assert len(fork.base.text("text:text").content()) > 200_000
    for place in range(0, 200_000, 20_000):
        fork.relay.text.delete(place, 40)
        fork.relay.text.insert(place, "THEIRS\n")
        fork.device.text.delete(place + 10_000, 40)
        fork.device.text.insert(place + 10_000, "OURS\n")
    assert fork.rebuilt().document().to_dict() == fork.merged()


# Documents without a schema


def _shared(update: bytes = b"\x00\x00", client_id: int = 5) -> pycrdt.Doc[Any]:
    doc: pycrdt.Doc[Any] = pycrdt.Doc(client_id=client_id)
    doc.get("list", type=pycrdt.Array)
    doc.get("xml", type=pycrdt.XmlFragment)
    doc.get("map", type=pycrdt.Map)
    doc.apply_update(update)
    return doc


def _forked(base: pycrdt.Doc[Any], edited: pycrdt.Doc[Any], relay: pycrdt.Doc[Any]) -> Any:
    documents = [Document(1, [doc.get_update()]) for doc in (base, edited, relay)]
    onto = Document(8, [rebuild(documents[2], FRESH)])
    _reapplied(documents[0], documents[1], onto)
    return _shared(onto.diff({}))


def _three(base: pycrdt.Doc[Any]) -> tuple[pycrdt.Doc[Any], pycrdt.Doc[Any]]:
    """Two replicas of ``base``: this device, and everyone else."""
    return _shared(base.get_update(), 6), _shared(base.get_update(), 7)


def _nested() -> pycrdt.Doc[Any]:
    base = _shared()
    for number in range(3):
        base["list"].append(pycrdt.Map({"n": number, "inner": pycrdt.Text("x")}))
    base["map"]["type"] = pycrdt.Map({"a": 1})
    return base


def test_types_in_types_are_edited_where_they_are_now() -> None:
    base = _nested()
    ours, theirs = _three(base)
    ours["list"][1]["inner"].insert(1, "!")
    ours["list"][2]["ours"] = 1
    ours["map"]["type"]["b"] = 2
    theirs["list"].insert(0, "first")
    theirs["list"][3]["theirs"] = 1
    theirs["map"]["type"]["a"] = 3
    found = _forked(base, ours, theirs)
    assert found["list"].to_py() == [
        "first",
        {"n": 0, "inner": "x"},
        {"n": 1, "inner": "x!"},
        {"n": 2, "inner": "x", "ours": 1, "theirs": 1},
    ]
    assert found["map"].to_py() == {"type": {"a": 3, "b": 2}}


def test_a_type_that_is_not_found_is_put_beside() -> None:
    base = _nested()
    ours, theirs = _three(base)
    ours["list"][1]["ours"] = 1
    ours["map"]["type"]["ours"] = 1
    del theirs["list"][1]
    del theirs["map"]["type"]
    found = _forked(base, ours, theirs)
    assert [item["n"] for item in found["list"].to_py()] == [0, 1, 2]
    assert found["list"].to_py()[1] == {"n": 1, "inner": "x", "ours": 1}
    assert found["map"].to_py() == {"type": {"a": 1, "ours": 1}}


def test_what_others_changed_is_not_deleted() -> None:
    base = _nested()
    ours, theirs = _three(base)
    del ours["list"][1]
    del ours["list"][0]
    del ours["map"]["type"]
    theirs["list"][1]["theirs"] = 1
    theirs["map"]["type"]["theirs"] = 1
    found = _forked(base, ours, theirs)
    assert [item["n"] for item in found["list"].to_py()] == [1, 2]
    assert found["map"].to_py() == {"type": {"a": 1, "theirs": 1}}


def test_a_key_set_by_both_is_what_is_written_again() -> None:
    base = _shared()
    base["map"]["both"] = base["map"]["kept"] = base["map"]["gone"] = 0
    ours, theirs = _three(base)
    ours["map"]["both"] = 1
    ours["map"]["new"] = pycrdt.Array([1])
    del ours["map"]["gone"]
    del ours["map"]["kept"]
    theirs["map"]["both"] = 2
    theirs["map"]["kept"] = 3
    found = _forked(base, ours, theirs)
    assert found["map"].to_py() == {"both": 1, "kept": 3, "new": [1]}


def test_a_type_that_others_replaced_stays_replaced() -> None:
    base = _nested()
    ours, theirs = _three(base)
    ours["map"]["type"]["ours"] = 1
    theirs["map"]["type"] = "text"
    assert _forked(base, ours, theirs)["map"].to_py() == {"type": "text"}


def test_paragraphs_of_an_editor() -> None:
    base = _shared()
    for word in ("one", "two", "three"):
        element = pycrdt.XmlElement("p")
        base["xml"].children.append(element)
        element.children.append(pycrdt.XmlText(word))
    ours, theirs = _three(base)
    ours["xml"].children[0].children[0].insert(3, " ours")
    ours["xml"].children[2].attributes["class"] = "c"
    theirs["xml"].children[1].children[0].insert(3, " theirs")
    theirs["xml"].children[0].children[0].insert(0, "and ")
    found = str(_forked(base, ours, theirs)["xml"])
    assert found == '<p>and one ours</p><p>two theirs</p><p class="c">three</p>'


def test_types_nested_too_deep_are_refused() -> None:
    base = _shared()
    inner = base["list"]
    for _ in range(120):
        inner.append(pycrdt.Array())
        inner = inner[0]
    ours, theirs = _three(base)
    ours["list"].append(1)
    with pytest.raises(LimitExceeded) as refused:
        _forked(base, ours, theirs)
    assert refused.value.message == (
        "This document nests shared types deeper than 100 levels, so its edits cannot be made "
        "again on its new history."
    )
    assert refused.value.hint == "Copy the edits by hand; the old history still shows them."


def test_an_edited_document_of_another_history_is_refused() -> None:
    base, edited = Document(1), Document(2)
    base.text("t").insert(0, "x")
    with pytest.raises(ValueRefused) as refused:
        reapply(base, edited, Document(3))
    assert refused.value.message == (
        "The edited document is not a later state of the base that it is compared with."
    )
    assert refused.value.hint == "Give the same history without and with the edits."
