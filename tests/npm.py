"""Node, packages of npm, and the build of the web example: installed and built once for each state
of the lock file and the sources."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from filelock import FileLock

from tests.profiles import missing, uses

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "web"
NPM_SECONDS = 180.0
_AT_ONCE = FileLock(ROOT / ".npm.lock")
"""Held by the one process of a test run that installs or builds."""


def program(name: str, *places: str) -> str:
    """The path of a program; skips the test without it, or fails it where services are required."""
    uses(name)
    found = shutil.which(name) or next((place for place in places if Path(place).exists()), None)
    if found is None:
        missing(f"no {name}")
    return found


def run(*command: str, folder: Path, given: str = "") -> str:
    """Run a command to its end; returns its output."""
    done = _done(command, folder, given)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def install(folder: Path) -> None:
    """``npm ci``, unless what the lock file says is there. Skips the test where that fails."""
    npm = program("npm")
    lock = [folder / "package.json", folder / "package-lock.json"]
    with _AT_ONCE, _Stamp(folder / "node_modules" / ".installed", lock) as stamp:
        if stamp.is_old:
            done = _done([npm, "ci", "--no-audit", "--no-fund"], folder)
            if done.returncode != 0:
                missing(f"npm ci failed: {(done.stderr or done.stdout)[-400:]}")


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
    with _AT_ONCE, _Stamp(EXAMPLE / "node_modules" / ".built", sources) as stamp:
        if stamp.is_old or not (built / "index.html").exists():
            run(program("npm"), "run", "build", folder=EXAMPLE)
    return built


def _done(
    command: Sequence[str], folder: Path, given: str = ""
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        input=given,
        capture_output=True,
        text=True,
        timeout=NPM_SECONDS,
        check=False,
    )


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
