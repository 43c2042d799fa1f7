"""MemoryStore: the object is the disk."""

from __future__ import annotations

from syncline.stores import MemoryStore
from tests.stores.numbered import assert_holds, numbered


def test_a_crash_keeps_the_disk() -> None:
    disk = MemoryStore()
    disk.open()
    disk.write([numbered(1)])
    fingerprint = disk.fingerprint()
    disk.open()  # whoever had it open is gone without a word
    disk.write([numbered(2)])
    assert_holds(disk, 2)
    assert disk.fingerprint() == fingerprint


def test_a_copy_goes_its_own_way_under_its_own_fingerprint() -> None:
    disk = MemoryStore()
    disk.open()
    disk.write([numbered(n) for n in range(1, 30)])
    copy = disk.copy()
    copy.open()
    assert copy.fingerprint() != disk.fingerprint()
    assert_holds(copy, 29)
    disk.write([numbered(30)])
    copy.write([numbered(30, size=1), numbered(31)])
    assert_holds(disk, 30)
    assert_holds(copy, 31)
