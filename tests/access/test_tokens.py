"""TokenFile: what it knows, what it says of a wrong file, and how it follows a changed one."""

from __future__ import annotations

import hashlib
import logging
import os
import resource
from pathlib import Path

import pytest

from syncline.access.access import Access, Credentials
from syncline.access.token_file import RELOAD_SECONDS, TokenFile
from syncline.engine.errors import NotAuthenticated, UsageError
from syncline.engine.names import Address
from tests.access.tokens import ADMIN, NOTE, PAGES, READER, TABLES, Clock, token_file

WELCOME, NOTES, CARD = Address("pages", "welcome"), Address("pages", "note"), Address("cards", "x")
NONE, READ, WRITE = Access.NONE, Access.READ, Access.WRITE


async def test_each_token_may_what_its_table_says(tmp_path: Path) -> None:
    tokens = TokenFile(token_file(tmp_path))
    expected = {
        ADMIN: (WRITE, WRITE, WRITE, WRITE, WRITE),
        READER: (READ, READ, READ, READ, READ),
        PAGES: (WRITE, WRITE, WRITE, NONE, NONE),
        NOTE: (READ, NONE, READ, NONE, READ),
    }
    for token, accesses in expected.items():
        principal = await tokens.authenticate(Credentials(token))
        assert token not in repr(principal)
        assert (
            tokens.access(principal, "crm", None),
            tokens.access(principal, "crm", WELCOME),
            tokens.access(principal, "crm", NOTES),
            tokens.access(principal, "crm", CARD),
            tokens.access(principal, "hr", NOTES),
        ) == accesses


async def test_collections_and_documents_add_up(tmp_path: Path) -> None:
    table = 'name = "a"\naccess = "read"\ncollections = ["cards"]\ndocuments = ["pages/note"]\n'
    tokens = TokenFile(token_file(tmp_path, {NOTE: table}))
    principal = await tokens.authenticate(Credentials(NOTE))
    found = [tokens.access(principal, "crm", each) for each in (WELCOME, NOTES, CARD)]
    assert found == [NONE, READ, READ]


async def test_a_digest_stands_for_its_token(tmp_path: Path) -> None:
    path = tmp_path / "t.toml"
    digest = hashlib.sha256(b"long enough").hexdigest().upper()
    path.write_text(f'[[token]]\nsha256 = "{digest}"\nname = "a"\naccess = "read"\n')
    path.chmod(0o600)
    principal = await TokenFile(path).authenticate(Credentials("long enough"))
    assert principal.name == "a"
    with pytest.raises(NotAuthenticated):
        await TokenFile(path).authenticate(Credentials(digest))


@pytest.mark.parametrize("token", [None, "unknown", "", ADMIN.upper(), "\ud800"])
async def test_who_has_no_known_token_is_not_let_in(tmp_path: Path, token: str | None) -> None:
    tokens = TokenFile(token_file(tmp_path))
    with pytest.raises(NotAuthenticated) as caught:
        await tokens.authenticate(Credentials(token))
    assert not token or token not in str(caught.value)
    assert not token or token not in repr(Credentials(token))


def test_all_problems_are_told_at_once_and_no_token(tmp_path: Path) -> None:
    path = tmp_path / "t.toml"
    path.write_text("""\
[[token]]
name = "ada"
token = "s3cret with spaces"
access = "s3cret"
acess = "read"
documents = ["s3cret"]

[[token]]
name = "s3cret-token"
token = "s3cret-token"
access = "read"
collections = []

[[token]]
name = "bob"
sha256 = "s3cret"
token = "s3cret"
access = "read"

[[token]]
sha256 = "s3cret"
access = "write"
workspaces = ["CRM"]

[[token]]
name = "one"
token = "s3cret-twice"
access = "read"
[[token]]
name = "two"
token = "s3cret-twice"
access = "read"

["s3cret/x"]
""")
    with pytest.raises(UsageError) as caught:
        TokenFile(path)
    error = caught.value
    assert "s3cret" not in str(error)
    assert str(path) in error.message
    assert error.message.splitlines()[1:] == [
        "the file: it has an unknown table or key; known are token.",
        "token 1 (line 1): it has an unknown key, perhaps meant as access.",
        (
            "token 1 (line 1): token: it is no text of 1 to 8192 visible ASCII characters without "
            "spaces."
        ),
        'token 1 (line 1): access: write "read" or "write".',
        (
            'token 1 (line 1), documents, number 1: Write "collection/key", for example '
            '"pages/welcome".'
        ),
        "token 2 (line 8): name: it is the token itself, and names stand in logs.",
        "token 2 (line 8): collections: it is no list of at least one; leave it out to allow all.",
        "token 3 (line 14): write either token or sha256.",
        "token 4 (line 20): sha256: it is no text of 64 hexadecimal digits.",
        "token 4 (line 20): name: give it one, of at most 100 characters, for the log.",
        (
            "token 4 (line 20), workspaces, number 1: A workspace name is 1 to 63 of a-z, 0-9, "
            "dot, dash and underscore, starting with a letter or digit."
        ),
        "token 6 (line 29): its token stands in the file twice; give each its own.",
    ]
    assert "docs/security.md" in error.hint


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[[token]]\ntoken = "s3cret\n', "line 2, column 16: this is no TOML."),
        ("", "the file: it has no tokens; begin each with a line [[token]]."),
        ('[token]\ntoken = "s3cret"', "the file: write [[token]], with two brackets, above each"),
        ('token = ["s3cret"]', "token 1: it is no table; begin it with a line [[token]]."),
        ("\udcff", "the file: it is no UTF-8 text."),
        # The parser fails on these, and not with its own error.
        ("x = " + "[" * 5000, "the file: this is no TOML."),
        ("x = " + "9" * 5000, "the file: this is no TOML."),
    ],
)
def test_what_is_no_table_of_tokens(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "t.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError) as caught:
        TokenFile(path)
    assert problem in caught.value.message
    assert "s3cret" not in str(caught.value)


def test_a_file_that_is_not_there_or_far_too_large(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        TokenFile(tmp_path / "none.toml")
    large = tmp_path / "large.toml"
    large.write_bytes(b"#" * ((4 << 20) + 1))
    with pytest.raises(UsageError, match="more than 4,194,304 bytes"):
        TokenFile(large)


@pytest.mark.slow
def test_a_large_file_tells_the_line_of_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "t.toml"
    table = '[[token]]\nname = "a"\naccess = "read"\ntoken = "t{}"\n' + "#" * 270 + "\n"
    path.write_text("".join(map(table.format, range(12_000))) + "[[token]]\n")
    with pytest.raises(UsageError, match=r"token 12001 \(line 60001\)"):
        TokenFile(path)


async def test_a_token_taken_back_is_of_no_use_from_then_on(tmp_path: Path) -> None:
    clock = Clock()
    tokens = TokenFile(token_file(tmp_path), now=clock)
    principal = await tokens.authenticate(Credentials(READER))
    kept = await tokens.authenticate(Credentials(ADMIN))
    token_file(tmp_path, {ADMIN: TABLES[ADMIN]})
    clock.now = RELOAD_SECONDS - 0.01  # the file is not looked at again so soon
    assert tokens.access(principal, "crm", NOTES) is READ
    clock.now = RELOAD_SECONDS
    assert tokens.access(principal, "crm", NOTES) is NONE
    assert tokens.access(kept, "crm", NOTES) is WRITE
    with pytest.raises(NotAuthenticated):
        await tokens.authenticate(Credentials(READER))


async def test_other_rights_hold_at_once(tmp_path: Path) -> None:
    clock = Clock()
    tokens = TokenFile(token_file(tmp_path), now=clock)
    before = await tokens.authenticate(Credentials(PAGES))
    token_file(tmp_path, {**TABLES, PAGES: 'name = "pages"\naccess = "write"\n'})
    clock.now = RELOAD_SECONDS
    assert tokens.access(before, "crm", CARD) is WRITE
    assert tokens.access(before, "crm", None) is NONE  # a replica connects again, and compares
    after = await tokens.authenticate(Credentials(PAGES))
    assert tokens.access(after, "crm", None) is WRITE
    assert before.scope != after.scope == ""


async def test_another_name_is_nothing_to_connect_again_for(tmp_path: Path) -> None:
    clock = Clock()
    tokens = TokenFile(token_file(tmp_path), now=clock)
    before = await tokens.authenticate(Credentials(PAGES))
    token_file(tmp_path, {PAGES: TABLES[PAGES].replace('"pages"', '"p"', 1)})
    clock.now = RELOAD_SECONDS
    assert tokens.access(before, "crm", None) is WRITE
    assert tokens.access(before, "hr", None) is NONE


@pytest.mark.parametrize("wrong", ["[[token]]\n", "x = " + "[" * 5000, None])
async def test_a_broken_new_version_leaves_the_old_one(
    tmp_path: Path, wrong: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    path = token_file(tmp_path)
    tokens = TokenFile(path, now=clock)
    principal = await tokens.authenticate(Credentials(READER))
    path.unlink() if wrong is None else path.write_text(wrong)
    for second in range(1, 4):
        clock.now = second * RELOAD_SECONDS
        assert tokens.access(principal, "crm", NOTES) is READ
    errors = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert len(errors) == 1  # once, not every second
    assert "last version" in errors[0].getMessage()
    token_file(tmp_path, {ADMIN: TABLES[ADMIN]})
    clock.now += RELOAD_SECONDS
    assert tokens.access(principal, "crm", NOTES) is NONE


async def test_a_file_that_could_not_be_opened_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A relay may have no file descriptor left just when a token is taken back."""
    clock = Clock()
    tokens = TokenFile(token_file(tmp_path), now=clock)
    principal = await tokens.authenticate(Credentials(READER))
    token_file(tmp_path, {ADMIN: TABLES[ADMIN]})
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        for second in (1, 2):
            clock.now = second * RELOAD_SECONDS
            assert tokens.access(principal, "crm", NOTES) is READ
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert [each.levelno for each in caplog.records] == [logging.ERROR]  # said once
    clock.now += RELOAD_SECONDS
    assert tokens.access(principal, "crm", NOTES) is NONE


async def test_a_change_that_keeps_time_and_size_is_seen(tmp_path: Path) -> None:
    """As by a tool that copies a file with its times."""
    clock = Clock()
    path = token_file(tmp_path, {"token-1": TABLES[ADMIN]})
    tokens = TokenFile(path, now=clock)
    principal = await tokens.authenticate(Credentials("token-1"))
    before = path.stat()
    path.write_text(path.read_text().replace("token-1", "token-2"))
    times = (before.st_atime_ns, before.st_mtime_ns)
    os.utime(path, ns=times)
    while path.stat().st_ctime_ns == before.st_ctime_ns:  # the system's clock is coarse
        os.utime(path, ns=times)
    clock.now = RELOAD_SECONDS
    assert tokens.access(principal, "crm", NOTES) is NONE
    await tokens.authenticate(Credentials("token-2"))


def test_a_file_that_others_can_read_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = token_file(tmp_path)
    TokenFile(path)
    assert not caplog.records
    path.chmod(0o640)
    TokenFile(path)
    assert "chmod 600" in caplog.text
    assert str(path) in caplog.text
