"""The lock, the wheel and the sdist: what users install is what the tree holds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from uv import find_uv_bin

pytestmark = pytest.mark.packaging

ROOT = Path(__file__).parents[1]
LAYERS = ("engine", "stores", "transports")


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command to its end, in an environment without paths into the checkout."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in {"PYTHONPATH", "VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT"}
    }
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def build(source: Path, kind: str, target: Path) -> Path:
    """Build one distribution in an isolated environment; return its file."""
    run(find_uv_bin(), "build", "--no-config", f"--{kind}", "--out-dir", target, source, cwd=target)
    (built,) = (path for path in target.iterdir() if path.suffix in {".whl", ".gz"})
    return built


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def tree() -> dict[str, bytes]:
    """The wheel's package files as the checkout says they should be."""
    expected = {"syncline/py.typed": b""}
    for folder in ("syncline", *LAYERS):
        package = "syncline" if folder == "syncline" else f"syncline/{folder}"
        for path in (ROOT / folder).rglob("*.py"):
            inside = path.relative_to(ROOT / folder)
            # The links are the layers' folders again.
            if folder != "syncline" or inside.parts[0] not in LAYERS:
                expected[f"{package}/{inside.as_posix()}"] = path.read_bytes()
    return expected


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout: a build leaves files behind, and takes up those of earlier ones."""
    copy = tmp_path_factory.mktemp("checkout") / "syncline"
    leave = shutil.ignore_patterns(
        ".*", "__pycache__", "*.egg-info", "build", "dist", "node_modules"
    )
    shutil.copytree(ROOT, copy, symlinks=True, ignore=leave)
    return copy


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(checkout, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts folder of a fresh environment: the wheel, with runtime dependencies as locked."""
    folder = tmp_path_factory.mktemp("installed")
    uv = find_uv_bin()
    locked = ("export", "--locked", "--no-dev", "--no-emit-project", "--no-hashes", "--no-header")
    run(uv, *locked, "--project", ROOT, "--output-file", folder / "constraints.txt", cwd=folder)
    run(uv, "venv", "--no-project", "--python", sys.executable, folder / "venv", cwd=folder)
    scripts = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
    install = ("pip", "install", "--python", scripts / "python")
    run(uv, *install, "--constraints", folder / "constraints.txt", wheel, cwd=folder)
    return scripts


def test_the_lock_names_only_the_public_index() -> None:
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    sources = {package["name"]: package["source"] for package in lock["package"]}
    assert sources.pop("syncline") == {"editable": "."}
    assert set(map(str, sources.values())) == {"{'registry': 'https://pypi.org/simple'}"}
    files = [
        file["url"]
        for package in lock["package"]
        for file in [*package.get("wheels", []), *filter(None, [package.get("sdist")])]
    ]
    assert files
    assert [url for url in files if not url.startswith("https://files.pythonhosted.org/")] == []


def test_the_locks_for_node_name_only_the_public_registry() -> None:
    locks = [
        path
        for top in ("docs", "examples", "tests")
        for path in ROOT.glob(f"{top}/*/package-lock.json")
    ]
    assert locks
    for lock in locks:
        packages = json.loads(lock.read_text())["packages"]
        sources = {
            package.get("resolved", "https://registry.npmjs.org/") for package in packages.values()
        }
        assert [
            url for url in sources if not url.startswith("https://registry.npmjs.org/")
        ] == [], lock


@pytest.mark.parametrize("layer", LAYERS)
def test_each_layer_is_linked_into_the_package(layer: str) -> None:
    link = ROOT / "syncline" / layer
    assert link.is_symlink()
    assert link.readlink() == Path("..") / layer


def test_the_wheel_holds_the_tree_and_nothing_else(wheel: Path) -> None:
    packed = {name: data for name, data in contents(wheel).items() if ".dist-info/" not in name}
    expected = tree()
    assert sorted(packed) == sorted(expected)
    assert packed == expected


def test_the_sdist_builds_the_same_wheel(
    checkout: Path, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    sdist = build(checkout, "sdist", tmp_path_factory.mktemp("sdist"))
    again = build(sdist, "wheel", tmp_path_factory.mktemp("again"))
    assert again.name == wheel.name
    assert contents(again) == contents(wheel)


def test_every_module_imports_where_only_the_wheel_is_installed(
    installed: Path, tmp_path: Path
) -> None:
    modules = sorted(
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name in tree()
        # The contract suites are for test suites, which bring pytest.
        if name.endswith(".py") and not name.startswith("syncline/testing/")
    )
    assert "syncline.engine.errors" in modules
    program = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    print(importlib.import_module(name).__file__)\n"
    )
    files = run(installed / "python", "-I", "-c", program, *modules, cwd=tmp_path).splitlines()
    assert len(files) == len(modules)
    assert [file for file in files if not file.startswith(str(installed.parent))] == []


def test_the_installed_command_answers(installed: Path, tmp_path: Path) -> None:
    assert "Usage: syncline" in run(installed / "syncline", "--help", cwd=tmp_path)
