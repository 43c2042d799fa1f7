"""Every link inside the repository leads to a file and to a place in it; every path that a page
names is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for places in ("*.md", "docs/*.md", "docs/api/*.md", "examples/web/*.md")
    for path in ROOT.glob(places)
)
FENCE = re.compile(r"^( *)(`{3,}).*?^\1\2 *$\n?", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!\!)\[[^\]]*\]\(([^)\s]+)\)")
PATH = re.compile(
    r"`((?:syncline|engine|stores|transports|tests|examples|benchmarks|docs|\.ci)/[\w./-]+)`"
)
MADE = {"examples/web/dist", "docs/site/node_modules"}
"""Folders that commands make."""


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """Where a link can lead in a page: its headings, and what its API reference shows."""
    text = prose(page)
    found = set(re.findall(r"^::: (\S+)", text, re.MULTILINE))
    for title in re.findall(r"^#{1,6} +(.+?) *$", text, re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        # A second one of the same name has another anchor on the site than elsewhere.
        assert slug not in found, f"{page.name} has two headings called {title}"
        found.add(slug)
    return found


def links(page: Path) -> Iterator[tuple[Path, str]]:
    for target in LINK.findall(prose(page)):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            yield (page.parent / path).resolve() if path else page, anchor


def test_the_pages_are_found() -> None:
    names = {page.relative_to(ROOT).as_posix() for page in PAGES}
    assert names >= {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/api/syncline.md"}
    assert len(list(links(ROOT / "README.md"))) > 20


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in links(page):
        assert target.exists(), f"{page.name} links to {target}"
        assert target.is_relative_to(ROOT), f"{page.name} links out of the repository"
        if anchor:
            assert anchor in anchors(target), f"{page.name} links to {target.name}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_are_there(page: Path) -> None:
    base = page.parent if page.parent.name == "web" else ROOT
    named = set(PATH.findall(prose(page))) - MADE
    assert sorted(path for path in named if not (base / path).exists()) == []


def test_every_page_is_reached_from_the_front_page() -> None:
    reached, waiting = set[Path](), [ROOT / "docs" / "index.md"]
    while waiting:
        page = waiting.pop()
        if page.suffix == ".md" and page not in reached:
            reached.add(page)
            waiting += [target for target, _ in links(page)]
    assert {page for page in PAGES if page.name != "README.md"} <= reached
