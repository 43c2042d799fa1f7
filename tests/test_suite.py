"""What `make quick`, `make test` and `make test-all` promise: nothing is left out unseen."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.profiles import PROFILES, Profile

HERE = Path(__file__).parent
ROOT = HERE.parent
# Lists all tests with their markers: those that were found, and those that the profile runs.
COLLECT = """
import json, sys
import pytest

class Lists:
    def __init__(self):
        self.found, self.left_out = {}, []

    @pytest.hookimpl(trylast=True)
    def pytest_itemcollected(self, item):
        self.found[item.nodeid] = item

    def pytest_deselected(self, items):
        self.left_out += [item.nodeid for item in items]

lists = Lists()
told, *places = sys.argv[1:]
options = ["--collect-only", "-qq", "-p", "no:cacheprovider"]
code = pytest.main([*options, *places], plugins=[lists])
found = {name: [m.name for m in item.iter_markers()] for name, item in lists.found.items()}
with open(told, "w") as file:
    json.dump([int(code), found, lists.left_out], file)
"""


def collect(profile: str, folder: Path, *places: str) -> tuple[dict[str, set[str]], set[str]]:
    """The tests of these places or all, with their markers, and which of them a profile leaves
    out."""
    told = folder / f"{profile}.json"
    done = subprocess.run(
        [sys.executable, "-c", COLLECT, told, *places],
        cwd=ROOT,
        env={**os.environ, "SYNCLINE_TESTS": profile},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    code, found, left_out = json.loads(told.read_text())
    assert code == 0, done.stdout
    return {name: set(markers) for name, markers in found.items()}, set(left_out)


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    found, left_out = collect("all", tmp_path_factory.mktemp("all"))
    assert left_out == set(), "make test-all leaves tests out"
    return found


def taken(by: Profile, tests: dict[str, set[str]]) -> set[str]:
    return {name for name, markers in tests.items() if by.takes(markers)}


def files(tests: Iterable[str]) -> set[str]:
    return {name.partition("::")[0] for name in tests}


@pytest.mark.slow
def test_every_test_file_is_collected(everything: dict[str, set[str]]) -> None:
    there = {path.relative_to(ROOT).as_posix() for path in HERE.rglob("test_*.py")}
    assert files(everything) == there


def test_tests_stand_in_test_files() -> None:
    """Where pytest does not look, a test would never run."""
    for path in HERE.rglob("*.py"):
        if not path.name.startswith("test_"):
            tests = re.findall(
                r"^(?:async )?def test_\w+|^class Test\w+\(", path.read_text(), re.MULTILINE
            )
            assert tests == [], path


@pytest.mark.slow
def test_make_test_reaches_every_file_but_those_marked_as_a_whole(
    everything: dict[str, set[str]],
) -> None:
    reached = files(taken(PROFILES["test"], everything))
    assert files(everything) - reached == {
        *(f"tests/interop/test_{name}.py" for name in ("access", "durability", "editing", "edits")),
        *(f"tests/interop/test_{name}.py" for name in ("hocuspocus", "presence", "shapes")),
        "tests/interop/test_wire_points.py",
        *("tests/browser/test_page.py", "tests/browser/test_record.py"),
        "tests/stores/test_server_faults.py",
        *("tests/docs/test_first_app_page.py", "tests/docs/test_typing.py"),
        "tests/test_packaging.py",
    }


@pytest.mark.slow
def test_check_test_and_rest_are_all(everything: dict[str, set[str]]) -> None:
    test, rest = taken(PROFILES["test"], everything), taken(PROFILES["rest"], everything)
    packaging = {name for name in everything if name.startswith("tests/test_packaging.py")}
    assert taken(PROFILES["quick"], everything) < test
    assert test | rest | packaging == set(everything)
    assert packaging & (test | rest) == set()
    twice = test & rest
    assert twice == {name for name in test if "scaled" in everything[name]}


@pytest.mark.slow
def test_a_run_leaves_out_what_its_profile_says(
    everything: dict[str, set[str]], tmp_path: Path
) -> None:
    found, left_out = collect("test", tmp_path, "tests/stores", "tests/simulation")
    assert found.keys() - left_out == taken(PROFILES["test"], found)
    there = ("tests/stores/", "tests/simulation/")
    # As many, though not by the same name: it says how many seeds are tried.
    assert len(found) == sum(name.startswith(there) for name in everything)


def test_all_is_in_full() -> None:
    assert PROFILES["all"] == Profile()
    assert PROFILES["rest"].one_in == 1


@pytest.mark.slow
def test_the_declared_markers_are_the_ones_that_count(everything: dict[str, set[str]]) -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]
    assert settings["strict"], "a marker that is not declared would be taken for one that is"
    declared = {line.partition(":")[0] for line in settings["markers"]}
    counting = {name for each in PROFILES.values() for name in (*each.leaves_out, *each.only)}
    assert declared == counting
    assert declared <= set[str]().union(*everything.values()), "no test has this marker"


def test_the_makefile_and_ci_run_them() -> None:
    makefile = (ROOT / "Makefile").read_text()
    runs = dict(
        re.findall(r"^([\w-]+):.*\n\tSYNCLINE_TESTS=(\w+) .* -m pytest", makefile, re.MULTILINE)
    )
    assert runs == {"quick": "quick", "test": "test", "test-all": "all", "rest": "rest"}
    run = (ROOT / ".ci" / "run").read_text()
    assert re.findall(r"make (?:-\S+ )*(\S+)(?: ARGS=(\S+))?$", run, re.MULTILINE) == [
        ("check", ""),
        ("coverage", ""),
        ("test", "--ignore=tests/engine"),
        ("rest", "--ignore=tests/engine"),
    ]
