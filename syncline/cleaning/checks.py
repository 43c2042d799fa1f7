"""Rules that check a value once it is clean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from syncline.engine.document.values import same_value
from syncline.engine.suggestions import closest

from .rule import Row, Rule, Stage, check_option


class Check(Rule):
    stage: ClassVar[Stage] = "check"


class MaxLength(Check):
    """Refuse text of more than ``length`` code points."""

    name: ClassVar[str] = "max-length"

    def __init__(self, length: int) -> None:
        whole = type(length) is int and length > 0
        check_option(whole, self.name, f"takes no length of {length!r}", "Give a number above 0.")
        self._length = length

    def apply(self, value: Any, row: Row) -> Any:
        if isinstance(value, str) and len(value) > self._length:
            raise self.refusal(
                value,
                f"has {len(value)} characters, and at most {self._length} are allowed",
                hint="Shorten it.",
                suggestion=value[: self._length].rstrip(),
            )
        return value


class Pattern(Check):
    """Refuse text that the regular expression ``pattern`` does not match as a whole."""

    name: ClassVar[str] = "pattern"

    def __init__(self, pattern: str) -> None:
        try:
            self._pattern = re.compile(pattern)
        except (re.error, TypeError) as error:
            check_option(
                False,
                self.name,
                f"cannot read {pattern!r}: {error}",
                "Write a regular expression as Python's re module takes it.",
            )

    def apply(self, value: Any, row: Row) -> Any:
        if isinstance(value, str) and not self._pattern.fullmatch(value):
            raise self.refusal(
                value,
                f"does not match {self._pattern.pattern}",
                hint="Correct the value, or the pattern.",
            )
        return value


class OneOf(Check):
    """Take only ``values``. Text is matched whatever its case, and ``synonyms`` map other spellings
    to a value."""

    name: ClassVar[str] = "one-of"

    def __init__(self, *values: str | int, synonyms: Mapping[str, str | int] | None = None) -> None:
        synonyms = synonyms or {}
        check_option(
            bool(values), self.name, "has no values", 'Name them: one-of = ["open", "done"].'
        )
        strange = [value for value in values if type(value) not in (str, int)]
        check_option(
            not strange, self.name, f"takes no {strange[:1]}", "Values are texts and whole numbers."
        )
        self.values = values
        self._folded: dict[str, str | int] = {}
        for spelling, value in [*((value, value) for value in values), *synonyms.items()]:
            known = self._knows(value)
            check_option(
                known,
                self.name,
                f"has a synonym of {value!r}, which is none of its values",
                f"Its values are {self._spelled()}.",
            )
            if isinstance(spelling, str):
                meant = self._folded.setdefault(spelling.strip().casefold(), value)
                check_option(
                    meant == value,
                    self.name,
                    f"has {spelling!r} for both {meant!r} and {value!r}",
                    "Text is matched whatever its case: leave one of them out.",
                )

    def apply(self, value: Any, row: Row) -> Any:
        if value is None or self._knows(value):
            return value
        folded = value.strip().casefold() if isinstance(value, str) else None
        if folded in self._folded:
            return self._folded[folded]
        close = closest(folded or "", self._folded)
        raise self.refusal(
            value,
            f"is none of {self._spelled()}",
            hint="Correct it, or add a synonym.",
            suggestion=self._folded[close] if close else None,
        )

    def _knows(self, value: object) -> bool:
        return any(same_value(value, each) for each in self.values)

    def _spelled(self) -> str:
        return ", ".join(str(value) for value in self.values)


class Required(Check):
    """Refuse None, and text that is empty or all white space."""

    name: ClassVar[str] = "required"

    def apply(self, value: Any, row: Row) -> Any:
        if value is None or (isinstance(value, str) and not value.strip()):
            raise self.refusal(value, "is no value, and one is required", hint="Fill it in.")
        return value
