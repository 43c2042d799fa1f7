"""A relay's URL is checked before anything is sent there."""

from __future__ import annotations

import pytest

from syncline.engine.errors import InvalidUrl
from syncline.transports import parse_path_prefix, parse_relay_url


@pytest.mark.parametrize(
    ("url", "workspace"),
    [
        ("ws://localhost:8765/crm", "crm"),
        ("wss://relay.example/a.b-c_d", "a.b-c_d"),
        ("wss://relay.example/crm/", "crm"),
        ("WS://127.0.0.1/crm", "crm"),
        ("ws://[::1]:8765/crm", "crm"),
        ("ws://rélais.example/crm", "crm"),
        ("wss://relay.example/sync/crm", "crm"),
        ("wss://relay.example:8443/a/b%20c/crm/", "crm"),
        ("ws://h/%63rm", "crm"),
        ("ws://h/sync/a%2Db", "a-b"),
    ],
)
def test_the_workspace_is_the_last_part_of_the_path(url: str, workspace: str) -> None:
    assert parse_relay_url(url) == workspace


@pytest.mark.parametrize(
    ("url", "problem", "hint"),
    [
        ("http://h:1/crm", "is not a websocket URL", 'Write "ws://h:1/crm".'),
        ("https://h/crm", "is not a websocket URL", 'Write "wss://h/crm".'),
        ("h:8765/crm", "does not begin with ws:// or wss://", "ws://localhost:8765/crm"),
        ("crm", "does not begin with ws:// or wss://", "ws://localhost:8765/crm"),
        ("", "does not begin with ws:// or wss://", "ws://localhost:8765/crm"),
        ("ws:/h/crm", "does not begin with ws:// or wss://", "ws://localhost:8765/crm"),
        ("ws://:8765/crm", "names no host", "ws://localhost:8765/crm"),
        ("ws://h:port/crm", "has no valid host and port", "ws://localhost:8765/crm"),
        ("ws://h:65536/crm", "has no valid host and port", "ws://localhost:8765/crm"),
        ("ws://[::1/crm", "has no valid host and port", "ws://localhost:8765/crm"),
        ("ws://a..b/crm", "has no valid host and port", "ws://localhost:8765/crm"),
        ("ws://h:0/crm", "has port 0", "ws://localhost:8765/crm"),
        ("ws://h:1", "names no workspace", 'Add its name, for example "ws://h:1/crm".'),
        ("ws://h:1/", "names no workspace", 'Add its name, for example "ws://h:1/crm".'),
        ("ws://h//crm", "has an empty part", "the last part names the workspace"),
        ("ws://h/crm//", "has an empty part", "the last part names the workspace"),
        ("ws://h/sync//crm", "has an empty part", "the last part names the workspace"),
        ("ws://h/../crm", 'has an empty part, "." or ".."', "the last part names the workspace"),
        ("ws://h/%2e%2E/crm", "has an empty part", "the last part names the workspace"),
        ("ws://h/sync/CRM", "ends with 'CRM', which cannot name a workspace", "1 to 63 of a-z"),
        ("ws://h/sync%2Fcrm", "ends with 'sync%2Fcrm', which cannot name", "1 to 63 of a-z"),
        ("ws://h/CRM", "ends with 'CRM', which cannot name a workspace", "1 to 63 of a-z"),
        ("ws://h/crm?a=b", "goes on after the workspace", "Leave out the part from '?'"),
        ("ws://h/crm#a", "goes on after the workspace", "Leave out the part from '?'"),
        ("ws://h/crm?", "goes on after the workspace", "Leave out the part from '?'"),
        ("ws://h/crm\n", "contains a space or a control character", "ws://localhost:8765/crm"),
        ("ws://h/cr m", "contains a space or a control character", "ws://localhost:8765/crm"),
    ],
)
def test_other_urls_are_refused_with_what_to_write(url: str, problem: str, hint: str) -> None:
    with pytest.raises(InvalidUrl) as refused:
        parse_relay_url(url)
    assert f" {problem}" in refused.value.message
    assert hint in refused.value.hint


@pytest.mark.parametrize(
    "url",
    [
        "ws://user:hunter2@h/crm",
        "ws://hunter2@h/crm",
        "http://user:hunter2@h/crm",
        "ws://h/crm?token=hunter2",
        "ws://user:hunter2@h/",
        "ws://user:hunter2@h:port/crm",
        "ws://h/crm hunter?token=hunter2",
    ],
)
def test_an_error_shows_neither_password_nor_token(url: str) -> None:
    with pytest.raises(InvalidUrl) as refused:
        parse_relay_url(url)
    assert "hunter2" not in str(refused.value)


def test_credentials_are_refused() -> None:
    with pytest.raises(InvalidUrl, match=r"'ws://\*\*\*@h/crm' contains credentials"):
        parse_relay_url("ws://user:secret@h/crm")


@pytest.mark.parametrize(
    ("given", "prefix"),
    [("", ""), ("/", ""), ("/sync", "/sync"), ("sync/", "/sync"), ("/a/b-c_d.e~/", "/a/b-c_d.e~")],
)
def test_a_path_prefix_has_one_form(given: str, prefix: str) -> None:
    assert parse_path_prefix(given) == prefix


@pytest.mark.parametrize("given", ["/a//b", "/..", "/a/./b", "/a b", "/a?b", "https://h/sync"])
def test_what_cannot_be_a_path_prefix(given: str) -> None:
    with pytest.raises(InvalidUrl, match="cannot be the path prefix of a relay"):
        parse_path_prefix(given)
