"""Whether a record exists: deletions beside edits, under both policies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncline.engine.document.cells import cells_of
from syncline.engine.document.document import Document
from syncline.engine.records.liveness import is_live, write_live
from syncline.engine.records.schema import LIVE, REGISTERS, DeleteVsEdit
from tests.engine.devices import Device, exchange
from tests.profiles import scaled

POLICIES: tuple[DeleteVsEdit, ...] = get_args(DeleteVsEdit)
Edit = Callable[[Device], object]


def _write(device: Device, policy: DeleteVsEdit, *, live: bool) -> int:
    with device.writing() as document:
        stamp = device.tick(cells_of(document, REGISTERS).stamp(LIVE))
        write_live(document, live, policy, stamp)
    return stamp


def _set_register(device: Device) -> None:
    with device.writing() as document:
        cells_of(document, REGISTERS).write("name", b'"x"', device.tick())


def _add_to_map(device: Device) -> None:
    device.map["k"] = 1


EDITS: dict[str, Edit] = {
    "register": _set_register,
    "text": lambda device: device.text.append("typed"),
    "counter": lambda device: device.counter.__iadd__(1),
    "set": lambda device: device.set.add("x"),
    "list": lambda device: device.list.append("x"),
    "map": _add_to_map,
}


def _pair(policy: DeleteVsEdit) -> tuple[Device, Device]:
    """Two devices that both have the record."""
    ada, bob = Device(2**40 + 1), Device(2**40 + 2)
    _write(ada, policy, live=True)
    exchange(ada, bob)
    return ada, bob


def _lives(*devices: Device) -> bool:
    """Whether the record exists; the same for all devices, and for one that loads it anew."""
    found = {is_live(device.document()) for device in devices}
    document = devices[0].document()
    found.add(is_live(Document(7, [document.diff({})])))
    assert len(found) == 1, "devices that know the same disagree"
    return found.pop()


def test_a_record_does_not_exist_before_it_is_created() -> None:
    device = Device(1)
    assert not is_live(device.document())
    _set_register(device)  # an edit whose creation this replica has not seen
    assert not is_live(device.document())


@pytest.mark.parametrize("policy", POLICIES)
def test_creating_deleting_and_creating_again(policy: DeleteVsEdit) -> None:
    ada, bob = _pair(policy)
    assert _lives(ada, bob)
    _write(bob, policy, live=False)
    assert is_live(ada.document())
    exchange(ada, bob)
    assert not _lives(ada, bob)
    _write(ada, policy, live=True)  # having seen the deletion
    exchange(ada, bob)
    assert _lives(ada, bob)
    _write(ada, policy, live=False)
    exchange(ada, bob)
    assert not _lives(ada, bob)


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("edited_first", [True, False])
def test_an_edit_at_the_same_time_as_a_deletion(
    edit: Edit, policy: DeleteVsEdit, *, edited_first: bool
) -> None:
    ada, bob = _pair(policy)
    ada.now, bob.now = (3_000, 2_000) if edited_first else (2_000, 3_000)
    _write(ada, policy, live=False)
    edit(bob)
    assert not is_live(ada.document())
    assert is_live(bob.document())
    exchange(ada, bob)
    assert _lives(ada, bob) is (policy == "keep-edit")
    # The edit is in the document either way.
    assert ada.document().to_dict() == bob.document().to_dict()


@pytest.mark.parametrize("policy", POLICIES)
def test_an_edit_that_the_deletion_has_seen_does_not_keep_the_record(policy: DeleteVsEdit) -> None:
    ada, bob = _pair(policy)
    for edit in EDITS.values():
        edit(bob)
    exchange(ada, bob)
    _write(ada, policy, live=False)
    exchange(ada, bob)
    assert not _lives(ada, bob)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_record_that_two_delete_at_once_is_deleted(policy: DeleteVsEdit) -> None:
    # Neither deletion has seen the other, which is an operation too.
    ada, bob = _pair(policy)
    carol = Device(2**40 + 3)
    carol.receive([ada.document().diff({})])
    _set_register(bob)
    for device in (ada, bob, carol):
        _write(device, policy, live=False)
    exchange(ada, bob, carol)
    # Bob's deletion has seen bob's edit.
    assert not _lives(ada, bob, carol)


@pytest.mark.parametrize("carols_time", [500, 5_000])
def test_an_edit_that_one_of_two_deletions_has_seen_does_not_keep_the_record(
    carols_time: int,
) -> None:
    ada, bob = _pair("keep-edit")
    carol = Device(2**40 + 3)
    carol.receive([ada.document().diff({})])
    _set_register(bob)
    exchange(ada, bob, carol)  # ada has seen this one
    _set_register(bob)
    exchange(bob, carol)
    _write(ada, "keep-edit", live=False)
    carol.now = carols_time  # hers, which has seen it, is the older or the newer deletion
    _write(carol, "keep-edit", live=False)
    ada.receive([bob.document().diff({})])
    assert is_live(ada.document())
    exchange(ada, carol)
    bob.receive([ada.document().diff({})])
    assert not _lives(ada, bob, carol)


def test_an_edit_that_no_deletion_has_seen_keeps_the_record_until_one_does() -> None:
    ada, bob = _pair("keep-edit")
    _write(ada, "keep-edit", live=False)
    bob.text.append("still needed")
    exchange(ada, bob)
    assert _lives(ada, bob)
    _write(bob, "keep-edit", live=False)
    exchange(ada, bob)
    assert not _lives(ada, bob)


@pytest.mark.parametrize("policy", POLICIES)
def test_the_later_of_a_creation_and_a_deletion_decides(policy: DeleteVsEdit) -> None:
    ada, bob = _pair(policy)
    _write(ada, policy, live=False)
    exchange(ada, bob)
    ada.now, bob.now = 3_000, 2_000
    _write(bob, policy, live=True)
    _write(ada, policy, live=False)  # once more, for example by a program that does not look
    exchange(ada, bob)
    # The creation is an edit that the deletion has not seen.
    assert _lives(ada, bob) is (policy == "keep-edit")


def test_the_layout_of_deletions() -> None:
    ada, bob = _pair("delete-wins")
    _write(ada, "delete-wins", live=False)
    newest = cells_of(ada.document(), REGISTERS).newest(LIVE)
    assert newest is not None
    assert newest.value is False
    _write(ada, "keep-edit", live=True)
    exchange(ada, bob)
    _set_register(bob)
    _write(bob, "keep-edit", live=False)
    newest = cells_of(bob.document(), REGISTERS).newest(LIVE)
    assert newest is not None
    # ada's three writes; bob's edit, and the deletion itself.
    assert newest.value == [[2**40 + 1, 3], [2**40 + 2, 2]]


@pytest.mark.parametrize(
    "encoded",
    [
        b'"deleted"',
        b"5",
        b"{}",
        b"null",
        b"[]",
        b"[5]",
        b"[[1]]",
        b"[[1,2,3]]",
        b'[["1","5"]]',
        b"[[null,null]]",
        b'[[1,{"$decimal":"1"}]]',
        b'["12"]',
        b"[[1,1.5]]",
    ],
)
def test_a_deletion_of_another_layout_has_seen_nothing(encoded: bytes) -> None:
    ada, bob = _pair("keep-edit")
    with bob.writing() as document:
        cells_of(document, REGISTERS).write(LIVE, encoded, bob.tick())
    exchange(ada, bob)
    assert _lives(ada, bob)


# Any history: against a model that knows who had seen what.


@dataclass(frozen=True)
class _Event:
    """What a device did, and which events it had seen."""

    what: str
    stamp: int
    writer: int
    past: frozenset[int]


def _expected(events: list[_Event], policy: DeleteVsEdit) -> bool:
    writes = [number for number, event in enumerate(events) if event.what != "edit"]
    surviving = [
        number for number in writes if not any(number in events[later].past for later in writes)
    ]
    if not surviving:
        return False
    newest = max(surviving, key=lambda number: (events[number].stamp, events[number].writer))
    if events[newest].what == "create":
        return True
    deletions = [number for number in surviving if events[number].what == "delete"]
    seen = {number for deletion in deletions for number in (*events[deletion].past, deletion)}
    return policy == "keep-edit" and len(seen) < len(events)


def _known(events: list[_Event], known: set[int]) -> list[_Event]:
    """The history as one device knows it, its events numbered anew."""
    numbers = {old: new for new, old in enumerate(sorted(known))}
    return [
        replace(events[old], past=frozenset(numbers[seen] for seen in events[old].past))
        for old in numbers
    ]


STEPS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["create", "delete", "delete", "edit", "edit", "hear", "hear"]),
        st.integers(0, 2),
        st.sampled_from(sorted(EDITS)),
    ),
    max_size=25,
)


@settings(max_examples=scaled(300), deadline=None)
@given(
    steps=STEPS, policy=st.sampled_from(POLICIES), ids=st.permutations([2**33, 2**40 + 2, 2**52])
)
def test_any_history_ends_as_the_model_says(
    steps: list[tuple[int, str, int, str]], policy: DeleteVsEdit, ids: list[int]
) -> None:
    devices = [Device(client_id) for client_id in ids]
    past: list[set[int]] = [set(), set(), set()]
    events: list[_Event] = []
    for who, what, other, edit in steps:
        device = devices[who]
        device.now += other  # at times the same time as another device's
        if what == "hear":
            device.receive([devices[other].document().diff(device.document().state_vector())])
            past[who] |= past[other]
        else:
            stamp = 0
            if what == "edit":
                EDITS[edit](device)
            else:
                stamp = _write(device, policy, live=what == "create")
            past[who].add(len(events))
            events.append(_Event(what, stamp, ids[who], frozenset(past[who]) - {len(events)}))
        assert is_live(device.document()) is _expected(_known(events, past[who]), policy)
    for device in devices:
        device.written()
        device.receive([each.document().diff({}) for each in devices])
    assert _lives(*devices) is _expected(events, policy)
