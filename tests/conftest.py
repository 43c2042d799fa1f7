"""What holds for all tests: where their files are, and how failures in shipped suites look."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

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
    """One more worker than cores: many tests wait, for a browser or another process."""
    return (os.cpu_count() or 1) + 1
