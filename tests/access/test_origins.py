"""Web pages that connect: handshakes as a browser sends them, with Origin and Host."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncline import Relay
from syncline.access.origins import OriginPolicy, parse_origins
from syncline.access.token_file import TokenFile
from syncline.engine.errors import UsageError
from syncline.transports.loopback import is_loopback
from tests.access.tokens import token_file
from tests.transports.raw_client import handshake

ANYWHERE = "0.0.0.0"  # noqa: S104


@pytest.mark.parametrize("subprotocol", ["syncline", "anything"])
@pytest.mark.parametrize(
    ("origin", "host", "status"),
    [
        (None, "127.0.0.1:8765", 101),  # no browser
        ("http://localhost:5173", "127.0.0.1:8765", 101),
        ("http://127.0.0.1", "127.0.0.1:8765", 101),
        ("http://[::1]:80", "127.0.0.1:8765", 101),
        ("https://app.localhost", "127.0.0.1:8765", 101),
        ("capacitor://localhost", "127.0.0.1:8765", 101),
        ("https://evil.example", "127.0.0.1:8765", 403),
        ("null", "127.0.0.1:8765", 403),
        ("", "127.0.0.1:8765", 403),
        ("https://localhost.evil.example", "127.0.0.1:8765", 403),
        ("http://127.0.0.1.evil.example", "127.0.0.1:8765", 403),
        ("http://localhost@evil.example", "127.0.0.1:8765", 403),
        # A site that has its own name resolved to 127.0.0.1: the same host, and yet a stranger.
        ("http://evil.example:8765", "evil.example:8765", 403),
    ],
)
async def test_a_relay_on_loopback_is_for_pages_of_this_machine(
    tmp_path: Path, origin: str | None, host: str, status: int, subprotocol: str
) -> None:
    async with Relay(tmp_path / "relay.db", port=0) as relay:
        headers = [f"Host: {host}", *([] if origin is None else [f"Origin: {origin}"])]
        answer = await handshake(relay.port, *headers, subprotocol=subprotocol)
        assert answer[0] == status
        if status == 403:
            assert "--allow-origin" in answer[1]


async def test_several_origins_are_none(tmp_path: Path) -> None:
    async with Relay(tmp_path / "relay.db", port=0) as relay:
        ours, theirs = "Origin: http://localhost", "Origin: https://evil.example"
        assert (await handshake(relay.port, "Host: localhost", ours))[0] == 101
        assert (await handshake(relay.port, "Host: localhost", ours, theirs))[0] == 403


async def test_a_listed_site_may_connect(tmp_path: Path) -> None:
    listed = ["https://app.example.com", "http://other.example:8080/"]
    async with Relay(tmp_path / "relay.db", port=0, allow_origins=listed) as relay:
        for origin, status in [
            ("https://app.example.com", 101),
            ("https://app.example.com:443", 101),
            ("http://other.example:8080", 101),
            ("http://localhost", 101),
            ("http://app.example.com", 403),
            ("https://app.example.com:8443", 403),
            ("http://other.example", 403),
        ]:
            answer = await handshake(relay.port, "Host: 127.0.0.1", f"Origin: {origin}")
            assert (origin, answer[0]) == (origin, status)


async def test_beyond_loopback_a_relays_own_pages_may_connect(tmp_path: Path) -> None:
    async with Relay(tmp_path / "relay.db", host=ANYWHERE, port=0) as relay:
        for host, origin, status in [
            ("notes.example:8765", "http://notes.example:8765", 101),
            ("notes.example", "https://notes.example", 101),
            ("notes.example:8765", "http://notes.example", 403),
            ("notes.example", "http://other.example", 403),
            ("", "http://other.example", 403),
            ("notes.example", "null", 403),
        ]:
            answer = await handshake(relay.port, f"Host: {host}", f"Origin: {origin}")
            assert (origin, answer[0]) == (origin, status)


async def test_with_tokens_all_sites_may_come_unless_there_is_a_list(tmp_path: Path) -> None:
    tokens = TokenFile(token_file(tmp_path))
    header = "Origin: https://evil.example"
    async with Relay(tmp_path / "a.db", port=0, authenticator=tokens) as relay:
        assert (await handshake(relay.port, "Host: localhost", header))[0] == 101
    listed = ["https://app.example.com"]
    async with Relay(
        tmp_path / "b.db", port=0, authenticator=tokens, allow_origins=listed
    ) as relay:
        assert (await handshake(relay.port, "Host: localhost", header))[0] == 403
        listed_header = "Origin: https://app.example.com"
        assert (await handshake(relay.port, "Host: localhost", listed_header))[0] == 101


def test_who_is_refused_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    policy = OriginPolicy((), host="127.0.0.1", authenticated=False)
    assert "--allow-origin https://evil.example" in str(
        policy.refusal("https://evil.example", "127.0.0.1")
    )
    assert "https://evil.example" in caplog.text
    assert "\x1b" not in str(policy.refusal("https://\x1b[31m", "127.0.0.1")) + caplog.text


@pytest.mark.parametrize(
    "text", ["*", "app.example.com", "https://", "https://a.example/path", "https://a:x", "null"]
)
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no origin of web pages"):
        parse_origins([text])


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1.2.3", "localhost", "LOCALHOST", "::1", "[::1]"]
)
def test_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", ANYWHERE, "::", "192.168.1.1", "example.com", "localhost.x"])
def test_not_loopback(host: str) -> None:
    assert not is_loopback(host)
