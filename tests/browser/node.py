"""Node, its packages, and the example's build: once for each lock file and each state of the
sources."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "web"
NPM_SECONDS = 180.0


def program(name: str, *places: str) -> str:
    """The path of a program; skips the test without it, or fails it where services are required."""
    found = shutil.which(name) or next((place for place in places if Path(place).exists()), None)
    if found is None:
        missing = f"no {name}"
        if os.environ.get("SYNCLINE_REQUIRE_SERVICES") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    return found


def run(*command: str, folder: Path, given: str = "") -> str:
    """Run a command to its end; returns its output."""
    done = subprocess.run(
        command,
        cwd=folder,
        input=given,
        capture_output=True,
        text=True,
        timeout=NPM_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def install(folder: Path) -> None:
    """``npm ci``, unless what the lock file says is there."""
    npm = program("npm")
    lock = [folder / "package.json", folder / "package-lock.json"]
    with _Stamp(folder / "node_modules" / ".installed", lock) as stamp:
        if stamp.is_old:
            run(npm, "ci", "--no-audit", "--no-fund", folder=folder)


def build() -> Path:
    """The folder of the built example."""
    install(EXAMPLE)
    built = EXAMPLE / "dist"
    ours = {"dist", "node_modules", "test"}
    sources = [
        path
        for path in sorted(EXAMPLE.rglob("*"))
        if path.is_file() and path.relative_to(EXAMPLE).parts[0] not in ours
    ]
    with _Stamp(EXAMPLE / "node_modules" / ".built", sources) as stamp:
        if stamp.is_old or not (built / "index.html").exists():
            run(program("npm"), "run", "build", folder=EXAMPLE)
    return built


class _Stamp:
    """A file that holds the hash of what something was made from, written when it is made."""

    def __init__(self, path: Path, sources: Iterable[Path]) -> None:
        digest = hashlib.sha256()
        for source in sources:
            digest.update(f"{source}\0".encode() + source.read_bytes() + b"\0")
        self._path = path
        self._digest = digest.hexdigest()
        self.is_old = not path.exists() or path.read_text() != self._digest

    def __enter__(self) -> _Stamp:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._path.write_text(self._digest)
