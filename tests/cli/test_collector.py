"""Garbage collections of a relay: what was looked at is left alone, but not for ever."""

from __future__ import annotations

import gc
import weakref

from syncline.cli.relay.collector import LOOK_AT_ALL_SECONDS, quiet_collections


class Circle:
    def __init__(self) -> None:
        self.itself = self


def test_what_survives_is_left_out_until_all_is_looked_at() -> None:
    time = 0.0
    with quiet_collections(lambda: time):
        circle = Circle()
        gone = weakref.ref(circle)
        gc.collect()  # it survives
        frozen = gc.get_freeze_count()
        assert frozen > 0
        del circle
        time = LOOK_AT_ALL_SECONDS - 1
        gc.collect()
        assert gone() is not None
        time = LOOK_AT_ALL_SECONDS
        gc.collect()
        assert gone() is None
        assert gc.get_freeze_count() > 0
    assert gc.get_freeze_count() == 0


def test_young_garbage_goes_at_once() -> None:
    with quiet_collections():
        gone = weakref.ref(Circle())
        gc.collect()
        assert gone() is None
