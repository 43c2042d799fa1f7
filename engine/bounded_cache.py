"""A bounded cache: of what can be had again, what was used last."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


def _nothing(_key: object, _value: object) -> None:
    """What happens to most values that go: nobody has to close them."""


class BoundedCache(Generic[K, V]):
    """Values by key: at most ``count`` of them, of at most ``weight`` together, in the unit of the
    weights that ``put`` is given.

    Beyond either bound the least recently used go. The newest stays, however heavy, since whoever
    put it there is about to use it. ``on_evict`` is called with the key and the value of each that
    goes, also by ``discard`` and ``clear``, after it has gone; it must not put anything in.
    """

    def __init__(
        self,
        count: int,
        weight: int | None = None,
        *,
        on_evict: Callable[[K, V], None] = _nothing,
    ) -> None:
        self._count = count
        self._max_weight = weight
        self._on_evict = on_evict
        self._items: OrderedDict[K, tuple[V, int]] = OrderedDict()  # oldest use first
        self._weight = 0

    def get(self, key: K) -> V | None:
        """The value, which is then the one used last; None if it is not here."""
        item = self._items.get(key)
        if item is None:
            return None
        self._items.move_to_end(key)
        return item[0]

    def put(self, key: K, value: V, weight: int = 0) -> None:
        """Keep ``value``. A former value of ``key`` is replaced and does not count as evicted: it
        may be the same one, of another weight."""
        self._weight += weight - self._items.pop(key, (None, 0))[1]
        self._items[key] = (value, weight)
        while len(self._items) > 1 and self._exceeded:
            self.discard(next(iter(self._items)))

    @property
    def _exceeded(self) -> bool:
        if len(self._items) > self._count:
            return True
        return self._max_weight is not None and self._weight > self._max_weight

    def discard(self, key: K) -> None:
        """Let a value go, if it is here."""
        item = self._items.pop(key, None)
        if item is not None:
            self._weight -= item[1]
            self._on_evict(key, item[0])

    def clear(self) -> None:
        """Let every value go."""
        for key in list(self._items):
            self.discard(key)
