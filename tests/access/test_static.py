"""Files for browsers, beside the relay's websockets."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncline import Relay
from syncline.engine.errors import LimitExceeded, UsageError
from syncline.relay.web.static_files import MAX_STATIC_BYTES, StaticFiles
from tests.transports.raw_client import http, raw_websocket


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "dist"
    for path, content in {
        "index.html": "<p>home",
        "assets/app-1a2b.js": "1",
        "assets/app.css": "2",
        "assets/app.js.map": "{}",
        "assets/logo.svg": "<svg/>",
        "assets/lib.wasm": "3",
        "assets/font.woff2": "4",
        "assets/ä b.txt": "5",
        "assets/unknown.xyz": "6",
        "docs/index.html": "<p>docs",
        ".env": "secret",
        ".git/config": "secret",
        ".well-known/security.txt": "7",
        "healthz": "not me",
    }.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    (tmp_path / "outside.txt").write_text("secret")
    (folder / "link.txt").symlink_to(tmp_path / "outside.txt")
    (folder / "up").symlink_to(tmp_path)
    return folder


@pytest.mark.parametrize(
    ("target", "kind", "body"),
    [
        ("/", "text/html; charset=utf-8", "<p>home"),
        ("/index.html?x=1", "text/html; charset=utf-8", "<p>home"),
        ("/docs/", "text/html; charset=utf-8", "<p>docs"),
        ("/assets/app-1a2b.js", "text/javascript; charset=utf-8", "1"),
        ("/assets/app.css", "text/css; charset=utf-8", "2"),
        ("/assets/app.js.map", "application/json", "{}"),
        ("/assets/logo.svg", "image/svg+xml", "<svg/>"),
        ("/assets/lib.wasm", "application/wasm", "3"),
        ("/assets/font.woff2", "font/woff2", "4"),
        ("/assets/%C3%A4%20b.txt", "text/plain; charset=utf-8", "5"),
        ("/assets/unknown.xyz", "application/octet-stream", "6"),
        ("/.well-known/security.txt", "text/plain; charset=utf-8", "7"),
        ("/healthz", "text/plain; charset=utf-8", "ok\n"),  # the relay's own comes first
    ],
)
async def test_files(tmp_path: Path, site: Path, target: str, kind: str, body: str) -> None:
    async with Relay(tmp_path / "relay.db", port=0, static=site) as relay:
        answer = await http(relay.port, "GET", target)
        assert (answer.status, answer.headers["content-type"]) == (200, kind)
        assert answer.body.decode() == body
        head = await http(relay.port, "HEAD", target)
        assert (head.status, head.body) == (200, b"")
        assert head.headers["content-length"] == str(len(body))


@pytest.mark.parametrize(
    "target",
    [
        "/assets/",  # no listing
        "/.env",
        "/.git/config",
        "/link.txt",
        "/up/outside.txt",
        "/../outside.txt",
        "/%2e%2e/outside.txt",
        "/assets/..%2f..%2foutside.txt",
        "/assets//app.css",
        "//index.html",
        "/index.html%00",
        "/INDEX.html/",
    ],
)
async def test_nothing_else_is_there(tmp_path: Path, site: Path, target: str) -> None:
    async with Relay(tmp_path / "relay.db", port=0, static=site) as relay:
        answer = await http(relay.port, "GET", target)
        assert answer.status in (404, 426)
        assert b"secret" not in answer.body


async def test_a_folder_is_led_to_its_slash(tmp_path: Path, site: Path) -> None:
    async with Relay(tmp_path / "relay.db", port=0, static=site) as relay:
        answer = await http(relay.port, "GET", "/docs")
        assert (answer.status, answer.headers["location"]) == (308, "/docs/")


async def test_websockets_go_on_beside_files(tmp_path: Path, site: Path) -> None:
    (site / "crm").mkdir()
    (site / "crm" / "index.html").write_text("<p>a page of the name of a workspace")
    async with (
        Relay(tmp_path / "relay.db", port=0, static=site) as relay,
        raw_websocket(relay.port),  # to /crm
    ):
        assert (await http(relay.port, "GET", "/crm/")).status == 200


async def test_what_comes_later_is_not_served(tmp_path: Path, site: Path) -> None:
    async with Relay(tmp_path / "relay.db", port=0, static=site) as relay:
        (site / "new.txt").write_text("x")
        (site / "index.html").write_text("<p>changed")
        assert (await http(relay.port, "GET", "/new.txt")).status == 426
        assert (await http(relay.port, "GET", "/")).body == b"<p>home"


def test_a_folder_that_cannot_be_served(tmp_path: Path, site: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file or directory"):
        StaticFiles(tmp_path / "none")
    with pytest.raises(UsageError, match="cannot be read: Not a directory"):
        StaticFiles(site / "index.html")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no files"):
        StaticFiles(tmp_path / "empty")
    with (site / "large.bin").open("wb") as file:
        file.truncate(MAX_STATIC_BYTES)
    with pytest.raises(LimitExceeded, match="more than 64 MiB"):
        StaticFiles(site)
