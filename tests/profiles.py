"""How much of the tests one run takes: SYNCLINE_TESTS names a profile, and without it all run.

A profile leaves out the tests with certain markers (pyproject.toml declares them), and divides how
many seeds, rounds and examples the others try: they say how many with `scaled`.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, NoReturn

import pytest

SERVICES = frozenset({"services", "npm", "browser"})
"""Markers of tests that need what is outside of Python, and may be missing."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Which tests run, by their markers, and how much each of them tries."""

    leaves_out: frozenset[str] = frozenset()
    only: frozenset[str] = frozenset()
    """When there are any, a test needs one of these markers to run."""
    one_in: int = 1
    """The share of seeds, rounds and examples that is tried."""

    def takes(self, markers: Collection[str]) -> bool:
        """Whether a test with these markers runs."""
        return self.leaves_out.isdisjoint(markers) and (
            not self.only or not self.only.isdisjoint(markers)
        )


_NOT_IN_TEST = SERVICES | {"long", "packaging"}
PROFILES = {
    "quick": Profile(_NOT_IN_TEST | {"slow"}, one_in=40),
    "test": Profile(_NOT_IN_TEST, one_in=10),
    # What `test` leaves out or has done in part; `make check` has built the packages.
    "rest": Profile(frozenset({"packaging"}), only=SERVICES | {"long", "scaled"}),
    "all": Profile(),
}
PROFILE = PROFILES[os.environ.get("SYNCLINE_TESTS", "all")]


def scaled(full: int) -> int:
    """How many of ``full`` seeds, rounds or examples are tried: all of them, or a share, and at
    least one. The test has the marker ``scaled``, which all tests of Hypothesis get by themselves.
    """
    return max(1, full // PROFILE.one_in)


def few_quickly(parts: Iterable[object], few: int = 3) -> list[Any]:
    """The parameters of a test that is cut in parts, of which `make quick` takes the first."""
    return [
        part if number < few else pytest.param(part, marks=pytest.mark.slow)
        for number, part in enumerate(parts)
    ]


def uses(what: str) -> None:
    """Fail a test that is about to use a server, npm or a browser where none does: it has no marker
    to say so, and `make test` would need it."""
    if not PROFILE.leaves_out.isdisjoint(SERVICES):
        pytest.fail(f"The test uses {what}, and needs a marker: {', '.join(sorted(SERVICES))}")


def missing(why: str) -> NoReturn:
    """Skip the test that cannot run; fail it where everything must be there."""
    if os.environ.get("SYNCLINE_REQUIRE_SERVICES") == "1":
        pytest.fail(why)
    pytest.skip(why)
