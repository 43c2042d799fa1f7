"""Updates: vectors by hand, all that pycrdt writes, and what is needed."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycrdt import Doc, Map, Text

from syncline.engine.errors import InvalidUpdate, MalformedFrame
from syncline.engine.updates.parse import (
    MAX_CLOCK,
    UpdateInfo,
    covers,
    decode_state_vector,
    encode_state_vector,
    parse_update,
)
from tests.engine.update_bytes import (
    ROOT,
    after,
    deletes,
    gc,
    item,
    section,
    skip,
    text,
    typed,
    uint,
    update,
    values,
)
from tests.engine.writers import Made, Writer, history, merge
from tests.profiles import scaled

seeds = st.integers(0, 2**32 - 1)


def test_the_builders_build_what_pycrdt_writes() -> None:
    doc = Doc[Text](client_id=300)
    doc["t"] = written = Text()
    written += "é"
    assert update(section(300, 0, typed("é"))) == doc.get_update()


def test_an_empty_update_brings_and_needs_nothing() -> None:
    info = parse_update(b"\0\0")
    assert info == UpdateInfo({}, {}, frozenset(), 0, 0, {}, placed=False, parts=0)
    assert info.ends() == {}
    assert info.advance({1: 2}) == {1: 2}


def test_a_map_set() -> None:
    info = parse_update(bytes.fromhex("010105002801067265636f7264056669656c64017702763000"))
    assert info.ranges == {5: ((0, 1),)}
    assert info.roots == {"record"}
    assert info.structs == 1
    assert info.needs == {}


def test_a_map_set_again_needs_and_deletes_the_old_value() -> None:
    # Client 5, clock 1, after (5, 0): "x"; deletes clock 0 of client 5.
    info = parse_update(bytes.fromhex("01010501a80500017701780105010001"))
    assert info.ranges == {5: ((1, 2),)}
    assert info.deletes == {5: ((0, 1),)}
    assert info.roots == frozenset()
    assert info.needs == {5: 1}


@pytest.mark.parametrize(
    ("struct", "length"),
    [
        (gc(7), 7),
        (item(1, uint(7)), 7),
        (item(3, text(b"\xff\x00")), 1),
        (typed("abc"), 3),
        (typed("é"), 1),
        (typed("a😀b"), 4),
        (typed("\ufffd"), 1),
        (item(5, text('{"image": [1, "\\u00e9"]}')), 1),
        (item(6, text("bold") + text("null")), 1),
        (item(7, b"\x00"), 1),
        (item(7, b"\x01"), 1),
        (item(7, b"\x02"), 1),
        (item(7, b"\x03" + text("p")), 1),
        (item(7, b"\x04"), 1),
        (item(7, b"\x06"), 1),
        (item(9, text("guid") + b"\x76\x01" + text("k") + b"\x78"), 1),
        (values(b"\x7f", b"\x7e", b"\x79", b"\x78"), 4),
        (values(b"\x7c" + b"1234", b"\x7b" + b"12345678", b"\x7a" + b"12345678"), 3),
        (values(b"\x7d\x3f", b"\x7d\xff\x01", b"\x7d" + b"\xff" * 7 + b"\x0f"), 3),
        (values(b"\x77" + text("é"), b"\x74" + text(b"\xff")), 2),
        (values(b"\x75\x02\x7e\x75\x00", b"\x76\x01" + text("k") + b"\x76\x00"), 2),
        (bytes([0x24]) + ROOT + text("key") + text("a"), 1),
    ],
)
def test_a_struct_has_its_length_and_pycrdt_reads_the_same(struct: bytes, length: int) -> None:
    data = update(section(1, 0, struct, after(1, length - 1, 4, text("!"))))
    info = parse_update(data)
    assert info.ranges == {1: ((0, length + 1),)}
    assert info.structs == 2
    assert info.nested == (struct[0] == 7)
    doc = Doc[Map[object]]()
    doc.apply_update(data)
    assert decode_state_vector(doc.get_state()) == info.ends()


@pytest.mark.parametrize(
    ("struct", "others"),
    [
        (typed("x"), {}),
        (after(2, 0, 4, text("x")), {2: 1}),
        (bytes([0x44]) + uint(2) + uint(6) + text("x"), {2: 7}),
        (bytes([0xC4]) + uint(2) + uint(6) + uint(300) + uint(9) + text("x"), {2: 7, 300: 10}),
        (bytes([0xC4]) + uint(2) + uint(6) + uint(2) + uint(3) + text("x"), {2: 7}),
        (item(4, text("x"), place=b"\0" + uint(3) + uint(4)), {3: 5}),
    ],
)
def test_origins_and_parents_are_needed(struct: bytes, others: dict[int, int]) -> None:
    assert parse_update(update(section(1, 0, struct))).needs == others
    assert parse_update(update(section(1, 5, struct))).needs == {1: 5, **others}


def test_own_origins_add_nothing_to_what_comes_before() -> None:
    assert parse_update(update(section(1, 5, after(1, 0, 4, text("x"))))).needs == {1: 5}
    own_parent = item(4, text("x"), place=b"\0" + uint(1) + uint(4))
    assert parse_update(update(section(1, 5, own_parent))).needs == {1: 5}


def test_what_an_update_brings_is_not_needed() -> None:
    own = section(1, 0, typed("abc"), after(1, 2, 4, text("d")))
    other = section(2, 3, after(1, 1, 4, text("x")))
    both = parse_update(update(other, own, deletes=deletes((1, [(0, 4)]), (2, [(3, 1)]))))
    assert both.needs == {2: 3}
    assert both.ends() == {1: 4, 2: 4}


def test_deletes_beyond_what_is_brought_are_needed() -> None:
    info = parse_update(update(section(1, 2, typed("x")), deletes=deletes((1, [(7, 2), (0, 1)]))))
    assert info.needs == {1: 9}
    assert info.deletes == {1: ((7, 2), (0, 1))}
    assert parse_update(update(deletes=deletes((4, [(0, 3)])))).needs == {4: 3}


def test_the_clocks_of_a_gap_are_needed() -> None:
    gapped = section(1, 0, typed("abc"), skip(5), after(1, 7, 4, text("x")), gc(2))
    info = parse_update(update(gapped))
    assert info.ranges == {1: ((0, 3), (8, 11))}
    assert info.needs == {1: 8}
    assert info.advance({1: 8}) == {1: 11}
    assert info.advance({}) == {1: 3}
    leading = parse_update(update(section(1, 2, skip(5), gc(2), gc(1), skip(1), gc(4))))
    assert leading.ranges == {1: ((7, 10), (11, 15))}
    assert leading.needs == {1: 11}


def test_a_gap_is_needed_even_where_later_clocks_of_it_are_brought() -> None:
    other = section(2, 0, after(1, 9, 4, text("x")))
    gapped = section(1, 0, typed("abc"), skip(5), gc(3))
    assert parse_update(update(other, gapped)).needs == {1: 8}
    beyond = section(2, 0, after(1, 11, 4, text("x")))
    assert parse_update(update(beyond, gapped)).needs == {1: 12}


def test_advance_counts_only_what_continues() -> None:
    info = parse_update(update(section(1, 4, gc(3)), section(2, 0, gc(1))))
    assert info.advance({1: 3}) == {1: 3, 2: 1}
    assert info.advance({1: 4}) == {1: 7, 2: 1}
    assert info.advance({1: 6, 3: 1}) == {1: 7, 2: 1, 3: 1}
    assert info.advance({1: 9, 2: 5}) == {1: 9, 2: 5}


def test_covers() -> None:
    assert covers({}, {})
    assert covers({1: 2, 3: 4}, {1: 2})
    assert not covers({1: 1, 3: 4}, {1: 2})
    assert not covers({}, {1: 1})


# Structs that wait for each other


def test_clients_may_wait_for_each_other_in_turns() -> None:
    first = section(1, 0, typed("a"), after(2, 0, 4, b"\x01c"), after(2, 1, 4, b"\x01e"))
    second = section(2, 0, after(1, 0, 4, b"\x01b"), after(1, 1, 4, b"\x01d"))
    data = update(second, first)
    assert parse_update(data).needs == {}
    doc = Doc[Text]()
    doc.apply_update(data)
    assert decode_state_vector(doc.get_state()) == {1: 3, 2: 2}


def test_waiting_for_what_the_document_knows_already_is_no_ring() -> None:
    # A document that knows clock 2 of both, as the last runs need, knows what seems to wait.
    old = [
        section(2, 0, after(1, 0, 4, b"\x01b"), skip(1), gc(1)),
        section(1, 0, after(2, 0, 4, b"\x01a"), skip(1), gc(1)),
    ]
    assert parse_update(update(*old)).needs == {1: 2, 2: 2}


def test_what_is_known_already_does_not_wait() -> None:
    # Who knows clock 2 of client 1, as its last run needs, knows its clock 0 and what that took.
    known = section(1, 0, after(2, 9, 4, b"\x01a"), skip(1), gc(1))
    later = section(2, 5, after(1, 2, 4, text("x" * 7)))
    assert parse_update(update(known, later)).needs == {1: 2, 2: 5}


@pytest.mark.slow
def test_a_long_chain_of_waits_is_checked_in_passing() -> None:
    turns = 20_000
    first = [after(2, clock, 4, b"\x01a") for clock in range(turns)]
    second = [after(1, clock, 4, b"\x01b") for clock in range(turns)]
    many = [section(c, 0, after(1, turns, 4, b"\x01z")) for c in range(3, 5_003)]
    data = update(section(1, 0, gc(1), *first), section(2, 0, *second), *many)
    # No clock is asked: checked turn by turn against all others, this takes minutes.
    assert parse_update(data).ends()[1] == turns + 1


# All that pycrdt writes


def written_by(writers: list[Writer], random: Random) -> list[bytes]:
    """Updates, merges of neighbours and of others, snapshots and differences."""
    updates = [made.update for writer in writers for made in writer.made]
    found = [*updates, *(writer.update_since() for writer in writers)]
    found += [
        writer.update_since(encode_state_vector(other.state_vector()))
        for writer in writers
        for other in writers
    ]
    if updates:
        found += [
            merge(random.sample(updates, random.randint(1, min(6, len(updates)))))
            for _ in range(10)
        ]
    return found


@given(seeds)
@settings(deadline=None)
def test_all_that_pycrdt_writes_is_valid_and_understood(seed: int) -> None:
    random = Random(seed)
    for data in written_by(history(random), random):
        info = parse_update(data)
        if info.needs:
            continue
        fresh = Writer(99)
        fresh.apply(data)
        assert fresh.state_vector() == info.ends() == info.advance({})


@given(seeds)
@settings(deadline=None, max_examples=scaled(20))
def test_a_valid_update_is_refused_when_cut_anywhere_or_continued(seed: int) -> None:
    random = Random(seed)
    data = merge([writer.update_since() for writer in history(random, edits=15)])
    for size in range(len(data)):
        with pytest.raises(InvalidUpdate):
            parse_update(data[:size])
    with pytest.raises(InvalidUpdate, match="bytes follow its end"):
        parse_update(data + b"\0")


@given(seeds)
@settings(deadline=None)
def test_any_change_of_bytes_is_parsed_or_refused(seed: int) -> None:
    random = Random(seed)
    for data in written_by(history(random, edits=8), random):
        changed = bytearray(data)
        for _ in range(random.randint(1, 3)):
            changed[random.randrange(len(changed))] = random.randrange(256)
        try:
            info = parse_update(bytes(changed))
        except InvalidUpdate:
            continue
        assert covers(info.advance(info.needs), info.ends())


# What is needed


def deliver(updates: list[bytes], into: Writer) -> list[bytes]:
    """Apply updates as soon as they are covered, until none is; return those left."""
    held = [(data, parse_update(data)) for data in updates]
    progress = True
    while progress:
        progress = False
        for one in list(held):
            data, info = one
            state = into.state_vector()
            if covers(state, info.needs):
                into.apply(data)
                assert into.state_vector() == info.advance(state), data.hex()
                held.remove(one)
                progress = True
    return [data for data, _ in held]


@given(seeds)
@settings(deadline=None, max_examples=scaled(300))
def test_updates_in_any_order_converge_when_held_until_covered(seed: int) -> None:
    random = Random(seed)
    writers = history(random, writers=random.randint(2, 4), edits=40)
    updates = [made.update for writer in writers for made in writer.made]
    complete = Writer(99)
    for writer in writers:
        complete.apply(writer.update_since())
    random.shuffle(updates)
    if random.random() < 0.5:
        # Neighbours after shuffling: merging them leaves gaps.
        size = random.randint(1, 5)
        updates = [merge(updates[at : at + size]) for at in range(0, len(updates), size)]
    updates += random.sample(updates, len(updates) // 3)
    random.shuffle(updates)
    replica = Writer(98)
    left = deliver(updates, replica)
    if left:
        # Merged updates may need each other in a ring; whoever has all heals it with a difference.
        replica.learn_from(complete)
        assert deliver(left, replica) == []
    assert replica.state_vector() == complete.state_vector()
    assert replica.content() == complete.content()


@given(seeds)
@settings(deadline=None, max_examples=scaled(300))
def test_a_replica_may_be_stored_and_loaded_at_any_time(seed: int) -> None:
    """pycrdt drops what is pending when a document is stored, so nothing may ever be."""
    random = Random(seed)
    writers = history(random, edits=40)
    updates = [made.update for writer in writers for made in writer.made]
    random.shuffle(updates)
    replica, complete = Writer(98), Writer(99)
    while updates:
        cut = random.randint(1, len(updates))
        updates = deliver(updates[:cut], replica) + updates[cut:]
        loaded = Writer(97)
        loaded.apply(replica.update_since())
        replica = loaded
    for writer in writers:
        complete.apply(writer.update_since())
    assert replica.content() == complete.content()


@given(seeds)
@settings(deadline=None, max_examples=scaled(300))
def test_single_updates_always_find_an_order(seed: int) -> None:
    random = Random(seed)
    writers = history(random, writers=3, edits=40)
    updates = [made.update for writer in writers for made in writer.made]
    random.shuffle(updates)
    replica, complete = Writer(98), Writer(99)
    assert deliver(updates, replica) == []
    for writer in writers:
        complete.apply(writer.update_since())
    assert replica.content() == complete.content()


@given(seeds)
@settings(deadline=None)
def test_an_update_needs_no_more_than_its_writer_knew(seed: int) -> None:
    for writer in history(Random(seed)):
        for made in writer.made:
            assert covers(made.before, parse_update(made.update).needs)


@given(seeds)
@settings(deadline=None, max_examples=scaled(60))
def test_every_need_is_real(seed: int) -> None:
    """With one operation less than is needed, an update does not integrate completely."""
    writers = history(Random(seed), edits=15)
    made = [one for writer in writers for one in writer.made]
    for one in made:
        info = parse_update(one.update)
        for client, clock in info.needs.items():
            replica = without(made, client, clock)
            state = replica.state_vector()
            assert not covers(state, info.needs)
            replica.apply(one.update)
            incomplete = not covers(replica.state_vector(), info.ends())
            deletes_it = any(
                start <= clock - 1 < start + length
                for start, length in info.deletes.get(client, ())
            )
            assert incomplete or deletes_it


def without(made: list[Made], client: int, clock: int) -> Writer:
    """A replica of everything that can be had without operation ``clock - 1`` of ``client``."""
    replica = Writer(99)
    allowed = [one.update for one in made if parse_update(one.update).ends().get(client, 0) < clock]
    deliver(allowed, replica)
    return replica


# State vectors


def test_a_state_vector_has_these_bytes() -> None:
    state = {1: 5, 300: 128}
    assert encode_state_vector(state).hex() == "02ac0280010105"
    assert encode_state_vector(dict(reversed(state.items()))).hex() == "02ac0280010105"
    assert encode_state_vector({}) == b"\0"


@given(st.dictionaries(st.integers(0, 2**53 - 1), st.integers(0, MAX_CLOCK), max_size=50))
def test_a_state_vector_that_was_encoded_is_decoded(state: dict[int, int]) -> None:
    assert decode_state_vector(encode_state_vector(state)) == state


def test_pycrdt_reads_and_writes_the_same_state_vectors() -> None:
    writer = history(Random(1), writers=3)[0]
    assert decode_state_vector(encode_state_vector(writer.state_vector())) == writer.state_vector()
    assert (
        parse_update(writer.update_since(encode_state_vector(writer.state_vector()))).ranges == {}
    )


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "ends early"),
        (b"\x01\x05", "ends early"),
        (b"\x02\x05\x01\x05\x02", "names client 5 twice"),
        (b"\x00\x00", "goes on for 1 bytes"),
        (uint(1) + uint(1) + uint(2**31), "has 2147483648 where at most 2147483647 is allowed"),
        (uint(1 << 28) + b"\0\0", "has 268435456 where at most 1000000 is allowed"),
    ],
)
def test_a_bad_state_vector_is_refused(data: bytes, sentence: str) -> None:
    with pytest.raises(MalformedFrame) as caught:
        decode_state_vector(data)
    assert sentence in caught.value.message


def test_the_clients_of_a_state_vector_can_be_limited() -> None:
    assert decode_state_vector(b"\x01\x05\x01", max_clients=1) == {5: 1}
    with pytest.raises(MalformedFrame, match="at most 0 is allowed"):
        decode_state_vector(b"\x01\x05\x01", max_clients=0)
