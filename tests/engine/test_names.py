"""Names: what strangers put into paths, URLs and addresses, and what of it is let in."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.engine.errors import InvalidName
from syncline.engine.names import (
    MAX_KEY_BYTES,
    Address,
    check_collection,
    check_key,
    check_workspace,
)

PLAIN = [
    "a",
    "0",
    "contacts",
    "team-7.notes_2026",
    "a" * 63,
    "a..b",  # no path without a slash
    "a.",
]
NOT_PLAIN = [
    "",
    "a" * 64,
    "A",
    "-a",
    ".",
    "..",
    ".hidden",
    "_a",
    "a/b",
    "../etc",
    "a b",
    "a\n",
    "a\0",
    "a%2fb",
    "ä",
    "аb",  # a Cyrillic letter  # noqa: RUF001
    "٣",
    "a\ud800",
    "x" * 10_000,
]


@pytest.mark.parametrize("name", PLAIN)
def test_plain_names(name: str) -> None:
    assert check_workspace(name) == check_collection(name) == name


@pytest.mark.parametrize("name", NOT_PLAIN, ids=lambda name: f"{name[:12]!a} {len(name)}")
@pytest.mark.parametrize(
    ("noun", "check"), [("workspace", check_workspace), ("collection", check_collection)]
)
def test_names_that_are_not_plain(name: str, noun: str, check: Callable[[str], str]) -> None:
    with pytest.raises(InvalidName) as refused:
        check(name)
    assert refused.value.message == f"{name[:80]!r} cannot name a {noun}."
    assert refused.value.hint == (
        f"A {noun} name is 1 to 63 of a-z, 0-9, dot, dash and underscore, starting with a letter "
        "or digit."
    )
    assert isinstance(refused.value, ValueError)


KEYS = [
    "a",
    "0197a3c2-7e1b-7c4d-9f2a-0123456789ab",
    "Ada Lovelace",
    "ada@example.org",
    "O'Neill & Söhne (1901), +49:~$=!",
    "日本語",
    "हिन्दी",  # with combining marks
    "Ⅷ 5",
    "...",
    ".hidden",
    "-",
    "x" * MAX_KEY_BYTES,
    "é" * (MAX_KEY_BYTES // 2),
]

REFUSED_KEYS = [
    ("", "is empty"),
    (" ", "begins or ends with a space"),
    (" a", "begins or ends with a space"),
    ("a ", "begins or ends with a space"),
    (".", "is a path"),
    ("..", "is a path"),
    ("x" * (MAX_KEY_BYTES + 1), "is longer than 512 bytes"),
    ("é" * (MAX_KEY_BYTES // 2) + "x", "is longer than 512 bytes"),
    ("\ud800" * 171, "is longer than 512 bytes"),
    ("x" * 10_000, "is longer than 512 bytes"),
    ("../etc/passwd", "contains '/'"),
    ("a/b", "contains '/'"),
    ("a\\b", r"contains '\\'"),
    ("a\0b", r"contains '\x00'"),
    ("a\nb", r"contains '\n'"),
    ("a\tb", r"contains '\t'"),
    ("a\x7fb", r"contains '\x7f'"),
    ("a\x85b", r"contains '\x85'"),
    ("a%2fb", "contains '%'"),
    ("a?b", "contains '?'"),
    ("a#b", "contains '#'"),
    ("a;b", "contains ';'"),
    ("a*b", "contains '*'"),
    ('a"b', "contains '\"'"),
    ("a<b", "contains '<'"),
    ("a|b", "contains '|'"),
    ("half \ud83d", r"contains '\ud83d'"),
    ("\ue000", r"contains '\ue000'"),  # private use
    ("\U000e0041", r"contains '\U000e0041'"),  # a tag character
    # Look-alikes of a slash, a backslash, a dot, a colon, a space, and what hides or turns text.
    ("a\u2044b", "contains '\u2044'"),
    ("a\u2215b", "contains '\u2215'"),
    ("a\u29f8b", "contains '\u29f8'"),
    ("a\uff0fb", "contains '\uff0f'"),
    ("a\uff3cb", "contains '\uff3c'"),
    ("\u2024\u2024", "contains '\u2024'"),
    ("\uff0e\uff0e", "contains '\uff0e'"),
    ("a\ua789b", "contains '\ua789'"),
    ("a\u00a0b", r"contains '\xa0'"),
    ("a\u2003b", r"contains '\u2003'"),
    ("a\u2028b", r"contains '\u2028'"),
    ("a\u200bb", r"contains '\u200b'"),
    ("a\u202eb", r"contains '\u202e'"),
    ("a\ufeffb", r"contains '\ufeff'"),
    ("a\u00adb", r"contains '\xad'"),
    ("😀", "contains '😀'"),
    (unicodedata.normalize("NFD", "é"), "is not in Unicode NFC form"),
    ("\u212b", "is not in Unicode NFC form"),  # the Ångström sign, which is the letter Å
]


@pytest.mark.parametrize("key", KEYS, ids=lambda key: f"{key[:12]!a} {len(key)}")
def test_keys(key: str) -> None:
    assert check_key(key) == key
    assert Address.parse(f"pages/{key}") == Address("pages", key)


@pytest.mark.parametrize(
    ("key", "problem"),
    REFUSED_KEYS,
    ids=[f"{key[:12]!a} {len(key)}" for key, _ in REFUSED_KEYS],
)
def test_keys_that_are_refused(key: str, problem: str) -> None:
    with pytest.raises(InvalidName) as refused:
        check_key(key)
    assert refused.value.message == f"The key {key[:80]!r} {problem}."
    assert refused.value.hint == (
        "A key is 1 to 512 bytes of letters, digits, spaces inside and -_.~@:+,()'&=!$, in Unicode "
        "NFC form; leave it out to get a UUIDv7."
    )
    with pytest.raises(InvalidName):
        Address.parse(f"pages/{key}")


@given(key=st.text(max_size=20) | st.text("./\\ %ab\0é", max_size=6))
def test_a_key_that_is_let_in_is_harmless(key: str) -> None:
    try:
        check_key(key)
    except InvalidName:
        return
    assert 1 <= len(key.encode()) <= MAX_KEY_BYTES
    assert not set(key) & set('/\\%?#*"<>|;`\0\n\r\t')
    assert key not in (".", "..")
    assert key == key.strip() == unicodedata.normalize("NFC", key)
    assert all(unicodedata.category(character)[0] != "C" for character in key)
    assert Address.parse(str(Address("pages", key))) == Address("pages", key)


def test_an_address_is_a_collection_and_a_key() -> None:
    address = Address.parse("pages/welcome")
    assert address == Address("pages", "welcome") == ("pages", "welcome")
    assert str(address) == "pages/welcome"


@pytest.mark.parametrize("text", ["", "pages", "pages\\welcome", "x" * 10_000])
def test_an_address_needs_a_slash(text: str) -> None:
    with pytest.raises(InvalidName) as refused:
        Address.parse(text)
    assert refused.value.message == f"The address {text[:80]!r} has no slash."
    assert refused.value.hint == 'Write "collection/key", for example "pages/welcome".'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("/welcome", "'' cannot name a collection."),
        ("Pages/welcome", "'Pages' cannot name a collection."),
        ("pages/", "The key '' is empty."),
        ("pages/a/b", "The key 'a/b' contains '/'."),
        ("../pages/a", "'..' cannot name a collection."),
        ("pages/..", "The key '..' is a path."),
    ],
)
def test_both_parts_of_an_address_are_checked(text: str, problem: str) -> None:
    with pytest.raises(InvalidName) as refused:
        Address.parse(text)
    assert refused.value.message == problem
