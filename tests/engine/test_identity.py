"""Identities: drawn at random, kept, and drawn anew for a copy; and the keys made for records."""

from __future__ import annotations

import random
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.engine.identity import MAX_CLIENT_ID, Identity, uuid7


class Extreme(random.Random):
    """Draws the lowest or the highest of what it may."""

    def __init__(self, *, highest: bool) -> None:
        super().__init__(0)
        self.highest = highest

    def random(self) -> float:
        return 1 - 2**-53 if self.highest else 0.0

    def getrandbits(self, k: int, /) -> int:
        return (1 << k) - 1 if self.highest else 0

    def _randbelow(self, n: int) -> int:
        return n - 1 if self.highest else 0


@pytest.mark.parametrize(
    ("highest", "replica", "client_id"),
    [(False, "0" * 32, 2**32), (True, "f" * 32, 2**53 - 1)],
)
def test_ids_are_within_their_bounds(*, highest: bool, replica: str, client_id: int) -> None:
    identity = Identity.draw(Extreme(highest=highest), "print")
    assert identity == Identity(replica, client_id, "print")
    assert 2**32 <= identity.client_id <= MAX_CLIENT_ID == 2**53 - 1


def test_one_seed_draws_one_identity() -> None:
    first = Identity.draw(random.Random(1), "print")
    assert Identity.draw(random.Random(1), "print") == first
    assert Identity.draw(random.Random(2), "print").replica != first.replica
    assert Identity.draw(random.Random(2), "print").client_id != first.client_id


def test_an_identity_is_recalled_from_what_was_kept() -> None:
    rng = random.Random(1)
    identity, is_new = Identity.recall({}, rng, "print")
    assert is_new
    kept = {**identity.to_meta(), "cursor": "5"}
    assert all(isinstance(value, str) for value in kept.values())
    assert Identity.recall(kept, rng, "print") == (identity, False)


def test_a_copy_becomes_someone_else() -> None:
    rng = random.Random(1)
    original = Identity.draw(rng, "the device and inode of the original")
    copy, is_new = Identity.recall(original.to_meta(), rng, "those of the copy")
    assert is_new
    assert copy.fingerprint == "those of the copy"
    assert copy.replica != original.replica
    assert copy.client_id != original.client_id
    assert copy.authors == (copy.client_id, original.client_id)
    # The copy stays who it has become; a copy of it knows both.
    third, _ = Identity.recall(copy.to_meta(), rng, "those of a third")
    assert third.authors == (third.client_id, copy.client_id, original.client_id)
    assert Identity.recall(copy.to_meta(), rng, "those of the copy") == (copy, False)


@given(now=st.integers(0, 2**48 - 1), seed=st.integers(0, 2**32))
def test_uuid7_is_a_uuid_of_version_7_made_at_that_time(now: int, seed: int) -> None:
    text = uuid7(lambda: now, random.Random(seed))
    made = uuid.UUID(text)
    assert str(made) == text  # lower case, with dashes
    assert made.version == 7
    assert made.variant == uuid.RFC_4122
    assert made.int >> 80 == now


@given(times=st.lists(st.integers(0, 2**48 - 1), unique=True), seed=st.integers(0, 2**32))
def test_uuid7_sorts_by_time(times: list[int], seed: int) -> None:
    rng = random.Random(seed)
    made = {now: uuid7(lambda now=now: now, rng) for now in times}  # type: ignore[misc]
    assert sorted(made.values()) == [made[now] for now in sorted(times)]


def test_uuid7_has_74_random_bits() -> None:
    rng = random.Random(0)
    drawn = [uuid.UUID(uuid7(lambda: 0, rng)).int for _ in range(200)]
    assert len(set(drawn)) == 200
    varied, same = 0, drawn[0]
    for value in drawn:
        varied |= value ^ drawn[0]
        same &= value
    assert varied.bit_count() == 74
    lowest = uuid.UUID(uuid7(lambda: 0, Extreme(highest=False)))
    highest = uuid.UUID(uuid7(lambda: 0, Extreme(highest=True)))
    assert str(lowest) == "00000000-0000-7000-8000-000000000000"
    assert str(highest) == "00000000-0000-7fff-bfff-ffffffffffff"
