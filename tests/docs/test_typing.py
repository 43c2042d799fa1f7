"""What type checkers see of a record class: mypy and pyright, on programs as users write them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECONDS = 600
MYPY = ("mypy", "--strict", "--follow-imports=silent")

RIGHT = """
from __future__ import annotations

from typing import assert_type

from syncline import Collection, Counter, ListOf, MapOf, Record, Replica, SetOf, Text, col, field


class Contact(Record, collection="contacts"):
    name: str
    phone: str | None = None
    rating: int = field(default=3, on_conflict="max")
    size: int = field(missing=1)
    seen: list[str] = field(default_factory=list[str])
    notes: Text = Text()
    visits: Counter = Counter()
    tags: SetOf[str] = SetOf()
    numbers: ListOf[str] = ListOf()
    extra: MapOf[int] = MapOf()


class Plain(Record, collection="plains"):
    name: str
    notes: Text


def use(replica: Replica) -> None:
    contacts = replica.collection(Contact)
    assert_type(contacts, Collection[Contact])
    ada = contacts.add(Contact(name="Ada", size=3))
    assert_type(ada, Contact)
    assert_type(ada.name, str)
    assert_type(ada.phone, str | None)
    assert_type(ada.rating, int)
    assert_type(ada.notes, Text)
    assert_type(ada.tags, SetOf[str])
    assert_type(ada.key, str)
    contacts.add(Contact(name="Ada", size=1, phone="1", rating=5, seen=["x"]), key="ada")
    found = contacts.where(Contact.name == "x", col(Contact.phone).is_(None)).order_by(Contact.name)
    assert_type(found.first(), Contact | None)
    assert_type(found.exists(), bool)
    assert_type(contacts.where(Contact.key == "a").all(), list[Contact])
    ada.tags |= {"a"}
    ada.tags -= {"a"}
    ada.visits += 1
    ada.extra |= {"a": 1}
    ada.notes += "x"
    ada.seen += ["y"]
    assert_type(ada.notes[0:3], str)
    by_record = {ada: 1}
    ada.update(name="x", phone=str(by_record))
    ada.delete()
    replica.collection(Plain).create(name="x", notes="y").notes.append("z")
"""

WRONG = """
from __future__ import annotations

from syncline import Collection, Record, Text, field


class Contact(Record, collection="contacts"):
    name: str
    size: int = field(on_conflict="max")
    phone: str | None = None
    notes: Text = Text()


def misuse(contacts: Collection[Contact]) -> None:
    Contact(size=1)  # wrong: name is missing
    Contact(name="a")  # wrong: size is missing
    Contact(name="a", size="x")  # wrong: a str
    Contact(name="a", size=1, phone=5)  # wrong: an int
    Contact(name="a", size=1, nmae="b")  # wrong: no such field
    Contact("a", 1)  # wrong: not by position
    contacts.add("x")  # wrong: no record
    ada = contacts.add(Contact(name="a", size=1))
    ada.size = "x"  # wrong: a str
    ada.nmae = "x"  # wrong: no such field
    ada.notes = "x"  # wrong: edited, not assigned
"""


def wrong_lines() -> set[int]:
    return {number for number, line in enumerate(WRONG.split("\n"), 1) if "# wrong:" in line}


def run(folder: Path, *command: str) -> tuple[int, str]:
    # Type checkers do not see what a checkout installs for development.
    environment = {**os.environ, "MYPYPATH": str(ROOT), "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("typed")
    (folder / "right.py").write_text(RIGHT)
    (folder / "wrong.py").write_text(WRONG)
    options = {"typeCheckingMode": "strict", "extraPaths": [str(ROOT)]}
    (folder / "pyrightconfig.json").write_text(json.dumps(options))
    return folder


@pytest.mark.timeout(2 * SECONDS)
@pytest.mark.long
def test_mypy(programs: Path) -> None:
    code, said = run(programs, *MYPY, "right.py")
    assert code == 0, said
    code, said = run(programs, *MYPY, "wrong.py")
    lines = re.findall(r"^wrong\.py:(\d+): error", said, re.MULTILINE)
    assert set(map(int, lines)) == wrong_lines(), said


@pytest.mark.timeout(2 * SECONDS)
@pytest.mark.long
def test_pyright(programs: Path) -> None:
    _, said = run(programs, "pyright", "--pythonpath", sys.executable, "--outputjson")
    found: dict[str, set[int]] = {"right.py": set(), "wrong.py": set()}
    for problem in json.loads(said)["generalDiagnostics"]:
        found[Path(problem["file"]).name].add(problem["range"]["start"]["line"] + 1)
    assert found == {"right.py": set(), "wrong.py": wrong_lines()}, said
