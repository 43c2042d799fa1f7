"""A key that is used again: what is gone of the deleted record, and what comes later anyway."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from syncline.engine.document.cells import cells_of
from syncline.engine.records.emptying import begin_empty
from syncline.engine.records.liveness import is_live
from syncline.engine.records.schema import LIVE, REGISTERS
from tests.engine.devices import Device, exchange
from tests.engine.records import set_live

EMPTY = Device(9).content()

Edit = Callable[[Device, int], None]


def _count(device: Device, what: int) -> None:
    device.counter += what


def _map(device: Device, what: int) -> None:
    device.map[f"k{what}"] = what


def _name(device: Device, what: int) -> None:
    with device.writing() as document:
        cells = cells_of(document, REGISTERS)
        cells.write(f"r{what}", b"1", device.tick(cells.stamp(f"r{what}")))


EDITS: list[Edit] = [
    _count,
    _map,
    _name,
    lambda device, what: device.text.append(f"é{what}😀"),
    lambda device, what: device.set.add(what),
    lambda device, what: device.list.append(what),
]
edits = st.lists(st.tuples(st.integers(0, 1), st.sampled_from(EDITS), st.integers(-3, 3)))


def pair() -> tuple[Device, Device]:
    return Device(2**40), Device(2**41)


def content(device: Device) -> dict[str, Any]:
    """Without the order of the set, which is by clocks that have gone further here."""
    return {**device.content(), "set": sorted(device.set)}


def create_again(device: Device) -> None:
    with device.writing() as document:
        begin_empty(document, ())
        set_live(device, True, "delete-wins")


def registers(device: Device) -> set[str]:
    return set(cells_of(device.document(), REGISTERS).names()) - {LIVE}


@settings(deadline=None)
@given(before=edits, rounds=st.integers(1, 3), both=st.booleans(), after=edits)
def test_what_was_seen_is_gone_however_often_and_wherever(
    before: list[tuple[int, Edit, int]],
    rounds: int,
    both: bool,
    after: list[tuple[int, Edit, int]],
) -> None:
    devices, fresh = pair(), pair()
    for _ in range(rounds):
        for which, edit, what in before:
            edit(devices[which], what)
        exchange(*devices)
        set_live(devices[0], False, "delete-wins")
        exchange(*devices)
        for device in devices if both else devices[:1]:
            create_again(device)
        exchange(*devices)
        for device in devices:
            assert device.content() == EMPTY
            assert not registers(device)
            assert is_live(device.document())
    # And what comes then stands as in a record that never was another.
    for made in (devices, fresh):
        for which, edit, what in after:
            edit(made[which], what)
        exchange(*made)
    for device, other in zip(devices, fresh, strict=True):
        assert content(device) == content(other)
        assert registers(device) == registers(other)


@settings(deadline=None)
@given(before=edits, concurrent=st.lists(st.tuples(st.sampled_from(EDITS), st.integers(-3, 3))))
def test_an_edit_that_was_not_seen_is_in_the_new_record_and_nothing_else(
    before: list[tuple[int, Edit, int]], concurrent: list[tuple[Edit, int]]
) -> None:
    ada, bob = pair()
    # Cells are compared by their elements, so the old ones must be others than the later.
    for which, edit, what in before:
        edit((ada, bob)[which], what + 100)
    exchange(ada, bob)
    set_live(ada, False, "delete-wins")
    create_again(ada)
    alone = Device(bob.document().client_id)
    for edit, what in concurrent:
        edit(bob, what)
        edit(alone, what)
    exchange(ada, bob)
    for device in (ada, bob):
        assert content(device) == content(alone)
        assert registers(device) == registers(alone)


def test_a_step_that_was_not_seen_does_not_bring_back_the_count() -> None:
    ada, bob = pair()
    bob.counter += 300
    exchange(ada, bob)
    set_live(ada, False, "delete-wins")
    create_again(ada)
    bob.counter += 1
    exchange(ada, bob)
    assert ada.counter == bob.counter == 1


def test_fields_of_other_schemas_go_too_and_foreign_roots_stay() -> None:
    device = Device(2**40)
    document = device.document()
    with document.transaction():
        document.text("text:unknown").insert(0, "private")
        document.map("set:unknown").set('"x"/7', "[5,null]")
        document.map("fields").set("newer/7", '[5,{"$new":1}]')  # of a version that knows more
        document.map("fields").set("no cell", "kept")
        document.map("counter:unknown").set("x", "4")
        document.map("meta").set("title", "an editor's own")
        document.text("note").insert(0, "an editor's own")
    set_live(device, False, "delete-wins")
    create_again(device)
    assert document.to_dict() == {
        "fields": {
            "no cell": "kept",
            f"$live/{2**40}": document.map("fields").items()[f"$live/{2**40}"],
        },
        "meta": {"title": "an editor's own"},
        "note": "an editor's own",
    }


def test_the_steps_of_many_writers_are_taken_back_in_one_order() -> None:
    """The library's map has another order at each load, and one seed is to give one simulation."""
    writers = [Device(2**41 + number) for number in range(12)]
    for number, writer in enumerate(writers):
        writer.counter += number + 1
    counted = [update for writer in writers for update in writer.written()]
    written: set[bytes] = set()
    for _ in range(5):
        again = Device(2**42)
        again.receive(counted)
        create_again(again)
        written.update(again.written())
    assert len(written) == 1
