"""Rules that repair text: encoding, invisible characters, space, case."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import ClassVar

from .rule import Rule, TextRule, library

_BLANKS = re.compile(r"[^\S\n]+")
_SPACES = re.compile(r"\s+")
_LINE_BREAKS = re.compile("\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_LAYOUT = re.compile(r"[\n\t]")
# Fillers that are letters, marks or symbols to Unicode, and show nothing.
_FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_JOINERS = "\u200c\u200d"
_JOINED = frozenset({"Lo", "Mn", "Mc", "So", "Sk"})
_VIRAMA = 9


@dataclass(frozen=True, eq=False)
class FixText(TextRule):
    """Undo wrong decoding (``Ã¼`` is ``ü``), HTML entities, ligatures and full-width letters, as
    ftfy does. Quotation marks stay as they are."""

    name: ClassVar[str] = "fix-text"

    def __post_init__(self) -> None:
        library("ftfy", self.name)

    def rewrite(self, text: str) -> str:
        from ftfy import TextFixerConfig, fix_text

        return fix_text(text, TextFixerConfig(uncurl_quotes=False, explain=False))


@dataclass(frozen=True, eq=False)
class StripControl(TextRule):
    """Remove control characters and what shows nothing: zero-width space, soft hyphen, byte-order
    mark, marks of direction. Line breaks and tabs become a space, or stay with ``multiline``.

    Joiners stay where scripts and emoji need them: between letters without case, marks, symbols.
    """

    name: ClassVar[str] = "strip-control"
    multiline: bool = False

    def rewrite(self, text: str) -> str:
        text = _LINE_BREAKS.sub("\n", text)
        if not self.multiline:
            text = _LAYOUT.sub(" ", text)
        return "".join(char for place, char in enumerate(text) if _is_visible(text, place))


@dataclass(frozen=True, eq=False)
class CollapseSpace(TextRule):
    """Make each run of white space one space, and none at the ends. With ``multiline``, line by
    line."""

    name: ClassVar[str] = "collapse-space"
    multiline: bool = False

    def rewrite(self, text: str) -> str:
        if not self.multiline:
            return _SPACES.sub(" ", text).strip()
        lines = _LINE_BREAKS.sub("\n", text).split("\n")
        return "\n".join(_BLANKS.sub(" ", line).strip() for line in lines).strip()


@dataclass(frozen=True, eq=False)
class Trim(TextRule):
    """Remove white space at the ends."""

    name: ClassVar[str] = "trim"

    def rewrite(self, text: str) -> str:
        return text.strip()


@dataclass(frozen=True, eq=False)
class Lowercase(TextRule):
    """Make all letters small, in NFC."""

    name: ClassVar[str] = "lowercase"

    def rewrite(self, text: str) -> str:
        return unicodedata.normalize("NFC", text.lower())


@dataclass(frozen=True, eq=False)
class Uppercase(TextRule):
    """Make all letters capital, in NFC; ``ß`` becomes ``SS``."""

    name: ClassVar[str] = "uppercase"

    def rewrite(self, text: str) -> str:
        return unicodedata.normalize("NFC", text.upper())


@dataclass(frozen=True, eq=False)
class Casefold(TextRule):
    """Remove the differences of case, for comparison: ``Straße`` and ``STRASSE`` are one. In
    NFC."""

    name: ClassVar[str] = "casefold"

    def rewrite(self, text: str) -> str:
        # Unicode, definition D145: without the first normalization, a mark can keep its place.
        folded = unicodedata.normalize("NFD", text).casefold()
        return unicodedata.normalize("NFC", folded)


@dataclass(frozen=True, eq=False)
class UnicodeNfc(TextRule):
    """Compose letters and their marks: ``e`` and an accent become ``é``."""

    name: ClassVar[str] = "unicode-nfc"

    def rewrite(self, text: str) -> str:
        return unicodedata.normalize("NFC", text)


@dataclass(frozen=True, eq=False)
class EmptyToNull(TextRule):
    """Make text that is empty, or all white space, no value."""

    name: ClassVar[str] = "empty-to-null"

    def rewrite(self, text: str) -> str | None:
        return text if text.strip() else None


def _is_visible(text: str, place: int) -> bool:
    char = text[place]
    if char in "\n\t":
        return True
    if char in _JOINERS:
        return _joins(text, place)
    category = unicodedata.category(char)
    # Unassigned characters stay: a newer Unicode may have assigned them. Noncharacters never are.
    noncharacter = (ord(char) & 0xFFFE) == 0xFFFE or 0xFDD0 <= ord(char) <= 0xFDEF
    return not (category in ("Cc", "Cf", "Cs") or noncharacter or char in _FILLERS)


def _joins(text: str, place: int) -> bool:
    before, after = text[max(0, place - 1) : place], text[place + 1 : place + 2]
    if before and unicodedata.combining(before) == _VIRAMA:
        return True
    return all(char and unicodedata.category(char) in _JOINED for char in (before, after))


TEXT_RULES: tuple[type[Rule], ...] = (
    FixText,
    StripControl,
    CollapseSpace,
    Trim,
    Lowercase,
    Uppercase,
    Casefold,
    UnicodeNfc,
    EmptyToNull,
)
"""The rules that need no options."""
