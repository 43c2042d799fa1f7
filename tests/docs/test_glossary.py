"""docs/glossary.md has few words, in order, each with one meaning, and each is used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
GLOSSARY = DOCS / "glossary.md"
PAGE = GLOSSARY.read_text(encoding="utf-8")
ROWS = re.findall(r"^\| \*\*(.+?)\*\* \| (.+) \|$", PAGE, re.MULTILINE)
TERMS = [term for term, _ in ROWS]


def test_it_is_short_and_in_order() -> None:
    assert 20 <= len(TERMS) <= 40
    assert sorted(set(TERMS)) == TERMS
    assert len(TERMS) == PAGE.count("\n| **")


def test_each_term_has_one_meaning_in_a_sentence_or_two() -> None:
    for term, meaning in ROWS:
        assert re.fullmatch(r"[A-Z].*\.", meaning), term
        assert len(meaning) <= 140, term


@pytest.mark.parametrize("term", TERMS)
def test_each_term_is_used(term: str) -> None:
    word = re.compile(rf"\b{term}(s|es)?\b".replace(" ", r"[\s_]+"), re.IGNORECASE)
    pages = [path for path in [ROOT / "README.md", *DOCS.glob("*.md")] if path != GLOSSARY]
    assert any(word.search(path.read_text(encoding="utf-8")) for path in pages)
