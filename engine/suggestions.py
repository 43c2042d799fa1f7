"""Suggestions: what a name that nothing has may have been meant for."""

from __future__ import annotations

from collections.abc import Iterable


def closest(name: str, known: Iterable[str]) -> str | None:
    """The one of ``known`` that is most like ``name`` but for case, None if none is like it."""
    import difflib  # a program without mistakes never needs it

    folded = {each.casefold(): each for each in known}
    close = difflib.get_close_matches(name.casefold(), folded, 1)
    return folded[close[0]] if close else None


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "Use") -> str:
    """A hint for whoever wrote ``name``: which of ``known`` was meant, or, after ``otherwise``, all
    of them."""
    names = list(known)
    close = closest(name, names)
    return f"Did you mean {close!r}?" if close else f"{otherwise} {', '.join(names)}."
