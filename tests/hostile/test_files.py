"""Files that Syncline reads and writes, where somebody else had a hand in them."""

from __future__ import annotations

import csv
import logging
import os
import stat
import sys
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from syncline.access import token_file as token_file_module
from syncline.access.access import Credentials, Principal
from syncline.access.token_file import SMALL_BYTES, TokenFile
from syncline.access.token_grants import MAX_DOTS, Grant, read_grants
from syncline.cli.pipelines.init import write_file
from syncline.cli.pipelines.quarantine_export import export_csv
from syncline.cli.plain import plain_lines
from syncline.connectors.bookkeeping.quarantine import Quarantined
from syncline.connectors.database.rows import encode_key
from syncline.engine.errors import UsageError
from syncline.relay.web.static_files import StaticFiles
from syncline.stores.databases.from_url import readable
from tests.access.tokens import ADMIN, TABLES, Clock, token_file
from tests.cli.processes import run, serving

posix = pytest.mark.skipif(sys.platform == "win32", reason="links, pipes and modes of POSIX")


def quarantined(original: str) -> Quarantined:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return Quarantined(
        "crm",
        "shop",
        "people",
        encode_key(("1",)),
        "name",
        "Name",
        "no",
        "",
        original,
        None,
        at,
        at,
        1,
    )


@pytest.mark.parametrize("delimiter", [",", ";"])
@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "a;=1+1",
        'a; "=1+1"',
        "a;;@SUM(A1)",
        "a;\t-1+cmd",
        "a\n=1+1",
    ],
)
def test_no_cell_of_an_export_is_a_formula(tmp_path: Path, text: str, delimiter: str) -> None:
    """Spreadsheets of half the world divide cells at semicolons."""
    file = tmp_path / "quarantine.csv"
    export_csv(file, [quarantined(text)])
    with file.open(encoding="utf-8-sig", newline="") as stream:
        for row in csv.reader(stream, delimiter=delimiter):
            assert not any(
                cell.strip("\"' \t\n").startswith(("=", "@", "-", "+")) and not cell.startswith("'")
                for cell in row
            ), row


def test_other_semicolons_stay(tmp_path: Path) -> None:
    file = tmp_path / "quarantine.csv"
    export_csv(file, [quarantined("a; b;c")])
    assert "a; b;c" in file.read_text(encoding="utf-8-sig")


@posix
def test_a_link_that_lies_in_wait_beside_an_export_is_not_followed(tmp_path: Path) -> None:
    victim, file = tmp_path / "victim", tmp_path / "quarantine.csv"
    victim.write_text("precious")
    (tmp_path / ".quarantine.csv.new").symlink_to(victim)
    export_csv(file, [quarantined("x")])
    assert victim.read_text() == "precious"
    assert not file.is_symlink()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@posix
def test_a_link_that_lies_in_wait_beside_a_pipeline_file_is_not_followed(tmp_path: Path) -> None:
    victim, file = tmp_path / "victim", tmp_path / "crm.toml"
    victim.write_text("precious")
    file.write_text("old")
    (tmp_path / ".crm.toml.new").symlink_to(victim)
    write_file(file, "new", replace=True)
    assert victim.read_text() == "precious"
    assert file.read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".crm.toml.new",
        "crm.toml",
        "victim",
    ]


# A token file


@posix
def test_a_pipe_is_no_token_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    with pytest.raises(UsageError, match="cannot be read"):
        TokenFile(pipe)
    now = Clock()
    path = token_file(tmp_path)
    tokens = TokenFile(path, now=now)
    pipe.replace(path)
    now.now += 1
    tokens.access(Principal("ada"), "crm", None)  # it looks at the file
    assert "cannot be read" in caplog.text
    assert "Its last version stays in use" in caplog.text


@pytest.mark.parametrize("most", [2, MAX_DOTS])
@pytest.mark.parametrize("key", ["{0}", "token = {{ {0} = 1 }}", "[{0}]"])
def test_a_key_of_many_parts_is_refused_at_once(
    most: int, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syncline.access.token_grants.MAX_DOTS", most)
    began = time.perf_counter()
    for part in ("a", '"a"', "'b'"):
        with pytest.raises(UsageError, match="a key of many parts"):
            read_grants("tokens.toml", key.format(".".join([part] * (most + 2))).encode())
    with pytest.raises(UsageError, match="a key of many parts"):
        read_grants("tokens.toml", ("a." * 1_000_000).encode())
    assert time.perf_counter() - began < 5


def test_dots_in_names_tokens_and_comments_are_no_parts_of_keys() -> None:
    dots = "." * 50
    text = f"""
        # {dots}
        [[token]]
        token = "{dots}"  # {dots}
        name = '{dots}!'
        access = "read"
    """
    (grant,) = read_grants("tokens.toml", text.encode()).values()
    assert grant.name == f"{dots}!"


@pytest.mark.parametrize("most", [2, SMALL_BYTES])
async def test_a_large_new_token_file_is_read_in_a_thread(
    tmp_path: Path, most: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(token_file_module, "SMALL_BYTES", most)
    threads: list[threading.Thread] = []

    def read(where: str, data: bytes) -> Mapping[str, Grant]:
        threads.append(threading.current_thread())
        return read_grants(where, data)

    monkeypatch.setattr(token_file_module, "read_grants", read)
    now = Clock()
    path = token_file(tmp_path)
    tokens = TokenFile(path, now=now)
    padding = "# " + "x" * most + "\n"
    token_file(
        tmp_path, {ADMIN: TABLES[ADMIN], "new-token": padding + 'name = "new"\naccess = "read"\n'}
    )
    now.now += 1
    tokens.access(Principal("ada"), "crm", None)  # it looks at the file
    for thread in threading.enumerate():
        if thread.daemon and thread is not threading.current_thread():
            thread.join(10)
    assert len(threads) == 2
    assert threads[0] is threading.current_thread() is not threads[1]
    assert (await tokens.authenticate(Credentials("new-token"))).name == "new"


# Files of a web page, output, names of stores


@posix
def test_a_link_to_a_dotfile_is_not_served(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SECRET=1")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text("secret")
    (tmp_path / "page.html").write_text("<p>")
    (tmp_path / "env.txt").symlink_to(".env")
    (tmp_path / "config.txt").symlink_to(".git/config")
    (tmp_path / "same.html").symlink_to("page.html")
    files = StaticFiles(tmp_path)
    assert files.answer("/env.txt") is None
    assert files.answer("/config.txt") is None
    assert files.answer("/same.html") is not None


def test_what_a_database_says_is_no_command_to_the_terminal() -> None:
    assert plain_lines("a\x1b[2Jb\nc\x9bd") == "a\\x1b[2Jb\nc\\x9bd"


@pytest.mark.slow
async def test_an_error_is_no_command_to_the_terminal(tmp_path: Path) -> None:
    code, _, told = await run("sync", str(tmp_path / "no\x1b[2Jfile.toml"))
    assert code != 0
    assert "\x1b[2J" not in told
    assert "\\x1b[2J" in told


def test_a_store_is_named_without_its_secrets() -> None:
    assert readable("postgresql://ada:secret@host/crm?password=secret") == (
        "postgresql://***@host/crm?password=***"
    )
    assert readable("relay.db") == "relay.db"


@posix
@pytest.mark.slow
async def test_what_a_relay_makes_is_for_its_owner_alone(tmp_path: Path) -> None:
    async with serving(tmp_path / "relay.db"):
        made = modes(tmp_path)
    assert made
    assert set(made.values()) == {0o600}, made


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
