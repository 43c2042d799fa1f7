"""What holds for all tests: which of them run, where their files are, and how failures in shipped
suites look."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, cast

import hypothesis
import pytest

from tests.profiles import PROFILE, scaled

# Failures inside the shipped contract suites show their values, as those of a test module do.
pytest.register_assert_rewrite("syncline.testing")

# Files of tests lie in memory where there is room: many wait for the disk more than they compute,
# and none is about the death of the machine but those that simulate it: what a killed process has
# written is there in memory as well. A TMPDIR that is set is kept.
_MEMORY = Path("/dev/shm")  # noqa: S108
_ROOM = 4 << 30
if "TMPDIR" not in os.environ and _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _ROOM:
    os.environ["TMPDIR"] = str(_MEMORY)  # for the processes that tests start, too
    tempfile.tempdir = None


def pytest_xdist_auto_num_workers() -> int:
    """One more worker than cores where many tests wait, for a browser or another process."""
    return (os.cpu_count() or 1) + ("slow" not in PROFILE.leaves_out)


# A reduced run is the same each time, so that no change fails by luck; a full one tries others.
hypothesis.settings.register_profile("full", hypothesis.settings.get_profile("default"))
hypothesis.settings.register_profile(
    "reduced", max_examples=scaled(100), derandomize=True, deadline=None, database=None
)
hypothesis.settings.load_profile("full" if PROFILE.one_in == 1 else "reduced")

_SERVERS = {"postgresql", "mariadb"}


def _is_for_a_server(item: pytest.Item) -> bool:
    """Whether a parameter of the test is a kind of server, or several kinds. As a parameter that is
    called ``name`` it is but a word."""
    callspec: Any = getattr(item, "callspec", None)
    parameters: dict[str, Any] = callspec.params if callspec is not None else {}
    return any(
        kind in _SERVERS
        for name, value in parameters.items()
        for kind in (cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,))
        if name != "name" and isinstance(kind, str)
    )


# Before pytest's own, which deselects by the -m of the command line.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what shows by itself, and leave out what the profile leaves out."""
    for item in items:
        if _is_for_a_server(item):
            item.add_marker("services")
        if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
            item.add_marker("scaled")
    taken: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        markers = {marker.name for marker in item.iter_markers()}
        (taken if PROFILE.takes(markers) else left_out).append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = taken
