"""The bounded cache: what stays, what goes, and who hears of it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from syncline.engine.bounded_cache import BoundedCache
from tests.profiles import scaled

KEYS = st.sampled_from("abcdefg")


class AgainstAModel(RuleBasedStateMachine):
    """Beside the cache a plain list of what it should hold, least recently used first."""

    @initialize(count=st.integers(1, 4), weight=st.none() | st.integers(0, 12))
    def begin(self, count: int, weight: int | None) -> None:
        self.count, self.weight = count, weight
        self.gone: list[tuple[str, int]] = []
        self.cache = BoundedCache[str, int](
            count, weight, on_evict=lambda key, value: self.gone.append((key, value))
        )
        self.kept: list[tuple[str, int, int]] = []  # key, value, weight
        self.expected: list[tuple[str, int]] = []  # what went

    def place(self, key: str) -> int | None:
        return next((at for at, item in enumerate(self.kept) if item[0] == key), None)

    @rule(key=KEYS, value=st.integers(), weight=st.integers(0, 9))
    def put(self, key: str, value: int, weight: int) -> None:
        self.cache.put(key, value, weight)
        if (at := self.place(key)) is not None:
            del self.kept[at]
        self.kept.append((key, value, weight))
        while len(self.kept) > 1 and (
            len(self.kept) > self.count
            or (self.weight is not None and sum(item[2] for item in self.kept) > self.weight)
        ):
            self.expected.append(self.kept.pop(0)[:2])

    @rule(key=KEYS)
    def get(self, key: str) -> None:
        at = self.place(key)
        if at is None:
            assert self.cache.get(key) is None
        else:
            self.kept.append(self.kept.pop(at))
            assert self.cache.get(key) == self.kept[-1][1]

    @rule(key=KEYS)
    def discard(self, key: str) -> None:
        self.cache.discard(key)
        if (at := self.place(key)) is not None:
            self.expected.append(self.kept.pop(at)[:2])

    @rule()
    def clear(self) -> None:
        self.cache.clear()
        self.expected += [item[:2] for item in self.kept]
        self.kept.clear()

    @invariant()
    def what_went_is_what_should(self) -> None:
        assert self.gone == self.expected


AgainstAModel.TestCase.settings = settings(deadline=None, max_examples=scaled(200))
test_against_a_model = AgainstAModel.TestCase


def test_five_values_cross_a_bound_of_two() -> None:
    gone: list[str] = []
    cache = BoundedCache[str, int](2, on_evict=lambda key, _value: gone.append(key))
    for value, key in enumerate("abcde"):
        cache.put(key, value)
    assert [cache.get(key) for key in "abcde"] == [None, None, None, 3, 4]
    assert gone == ["a", "b", "c"]


def test_what_is_used_stays() -> None:
    cache = BoundedCache[str, int](2)
    for value, key in enumerate("abcde"):
        cache.put(key, value)
        assert cache.get("a") == 0
    assert [cache.get(key) for key in "abcde"] == [0, None, None, None, 4]


def test_the_longest_unused_are_forgotten() -> None:
    cache = BoundedCache[str, int](3)
    for key, value in {"a": 1, "b": 2, "c": 3}.items():
        cache.put(key, value)
    assert cache.get("a") == 1
    for key, value in {"d": 4, "e": 5}.items():
        cache.put(key, value)
    assert [cache.get(key) for key in "abcde"] == [1, None, None, 4, 5]


def test_five_values_cross_a_weight_of_two() -> None:
    cache = BoundedCache[str, int](100, 2)
    for value, key in enumerate("abcde"):
        cache.put(key, value, 1)
    assert [cache.get(key) for key in "abcde"] == [None, None, None, 3, 4]


def test_the_newest_stays_however_heavy() -> None:
    gone: list[str] = []
    cache = BoundedCache[str, int](9, 10, on_evict=lambda key, _value: gone.append(key))
    cache.put("light", 1, 1)
    cache.put("heavy", 2, 11)
    assert (cache.get("light"), cache.get("heavy")) == (None, 2)
    cache.put("light", 3, 1)
    assert gone == ["light", "heavy"]


def test_a_value_may_grow() -> None:
    gone: list[str] = []
    cache = BoundedCache[str, list[int]](9, 10, on_evict=lambda key, _value: gone.append(key))
    value = [1]
    cache.put("other", [], 4)
    cache.put("growing", value, 1)
    cache.put("growing", value, 6)
    assert (gone, cache.get("growing")) == ([], value)
    cache.put("growing", value, 7)
    assert (gone, cache.get("growing")) == (["other"], value)


@given(st.lists(st.tuples(KEYS, st.integers(0, 5)), max_size=30))
def test_every_value_that_comes_goes_once(puts: list[tuple[str, int]]) -> None:
    # Values that nobody else closes: none may be lost, and none closed twice.
    gone: list[int] = []
    cache = BoundedCache[str, int](3, 6, on_evict=lambda _key, value: gone.append(value))
    for value, (key, weight) in enumerate(puts):
        cache.discard(key)
        cache.put(key, value, weight)
    cache.clear()
    assert sorted(gone) == list(range(len(puts)))
