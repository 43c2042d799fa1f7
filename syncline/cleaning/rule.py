"""Rules: what turns the value of a field into its one clean form, or refuses it.

Theory of operation. Two systems in sync settle only if cleaning what is clean changes nothing. No
library promises that, and a composition of functions that do need not. So a value goes through its
rules again and again until a pass changes nothing: ``clean(clean(x)) == clean(x)`` then holds
because the last pass was a pass over the result. A value that does not come to rest is refused.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce
from typing import Any, ClassVar, Literal, TypeAlias

from syncline.engine.errors import InvalidRule, InvalidValue, MissingLibrary

MAX_PASSES = 16
"""How often a value goes through its rules to come to rest; real ones take two or three."""

Row: TypeAlias = Mapping[str, Any]
"""The other fields of the value's row or record, by name."""
Stage: TypeAlias = Literal["text", "type", "check"]
STAGES: tuple[Stage, ...] = ("text", "type", "check")


class Rule:
    """One rule. Rules are immutable, and are made with their options.

    ``None`` is no value: rules leave it alone, but for ``Required``. ``stage`` says when a rule
    acts: text is repaired, then read as a type, then checked.
    """

    name: ClassVar[str]
    stage: ClassVar[Stage] = "text"
    gives: ClassVar[type] = str
    """The type of the values that come out; of a rule of the stage ``type``."""

    def clean(self, value: Any, row: Row) -> Any:
        """The clean form of ``value``. Raises InvalidValue."""
        return settle(value, row, (self,))

    @property
    def reads(self) -> frozenset[str]:
        """The other fields that the rule looks at."""
        return frozenset()

    def apply(self, value: Any, row: Row) -> Any:
        """One pass over a value that is not None; ``clean`` repeats it. Raises InvalidValue."""
        raise NotImplementedError

    def refusal(
        self, value: object, what: str, *, hint: str, suggestion: object = None
    ) -> InvalidValue:
        """The error for ``value``, which ``what`` says is wrong, such as "is not an e-mail
        address"."""
        if suggestion is not None:
            hint = f"Perhaps {suggestion!r} was meant. {hint}"
        return InvalidValue(
            f"{_shorten(value)} {what}.", hint=hint, rule=self.name, suggestion=suggestion
        )


class TextRule(Rule):
    """A rule about text; what is not text stays as it is."""

    def apply(self, value: Any, row: Row) -> Any:
        return self.rewrite(value) if isinstance(value, str) else value

    def rewrite(self, text: str) -> str | None:
        """The text after one pass. Raises InvalidValue."""
        raise NotImplementedError


class TypedText(Rule):
    """A rule that reads text, without the white space around it, as a type, and gives text."""

    stage: ClassVar[Stage] = "type"

    def apply(self, value: Any, row: Row) -> Any:
        if not isinstance(value, str):
            raise self.refusal(
                value, f"is not text but {type(value).__qualname__}", hint="Store it as text."
            )
        text = value.strip()
        if not text:
            raise self.refusal(
                value, "is empty", hint='The rule "empty-to-null" before this one takes it as NULL.'
            )
        return self.read(text, row)

    def read(self, text: str, row: Row) -> str:
        """The canonical form of ``text``. Raises InvalidValue."""
        raise NotImplementedError


def settle(value: Any, row: Row, rules: Sequence[Rule]) -> Any:
    """``value`` after as many passes through ``rules`` as it takes to come to rest.

    Each stage comes to rest before the next one acts, so that a check does not refuse what is half
    repaired. Raises InvalidValue if a rule refuses the value, or if it does not come to rest in 16
    passes.
    """
    stages = [[rule for rule in rules if rule.stage == stage] for stage in STAGES]
    stages = [stage for stage in stages if stage]
    if len(stages) > 1:
        return _repeat(
            value, rules, lambda value: reduce(partial(_settle_stage, row), stages, value)
        )
    return _settle_stage(row, value, rules)


def _settle_stage(row: Row, value: Any, rules: Sequence[Rule]) -> Any:
    return _repeat(value, rules, lambda value: reduce(partial(_apply, row), rules, value))


def _apply(row: Row, value: Any, rule: Rule) -> Any:
    return value if value is None and rule.stage != "check" else rule.apply(value, row)


def _repeat(value: Any, rules: Sequence[Rule], step: Callable[[Any], Any]) -> Any:
    before = value
    for _ in range(MAX_PASSES):
        after = step(before)
        if _same(before, after):
            return after
        before = after
    raise InvalidValue(
        f"{_shorten(value)} does not come to rest under {', '.join(rule.name for rule in rules)}.",
        hint=f"After {MAX_PASSES} passes each one still changes it. Correct it at its source.",
        rule=rules[0].name,
    )


def library(name: str, rule: str) -> Any:
    """The module ``name``. Raises MissingLibrary."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingLibrary(
            f"The rule {rule} needs the library {name.partition('.')[0]}, which is not installed.",
            hint='pip install "syncline[clean]"',
        ) from error


def check_option(holds: bool, rule: str, problem: Callable[[], str] | str, hint: str) -> None:
    """Raise InvalidRule unless ``holds``."""
    if not holds:
        text = problem if isinstance(problem, str) else problem()
        raise InvalidRule(f"The rule {rule} {text}.", hint=hint)


def _same(before: Any, after: Any) -> bool:
    # 1, 1.0 and True are equal, Decimal("1.0") and Decimal("1") too, and not the same.
    return type(before) is type(after) and (
        before is after or (before == after and str(before) == str(after))
    )


def _shorten(value: object) -> str:
    try:
        text = f'"{value}"' if isinstance(value, str) else str(value)
    except ValueError:  # Python writes no int of more than 4,300 digits
        text = "A number of thousands of digits"
    text = "".join(
        char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text[:60]
    )
    return text if len(text) < 60 else f"{text[:57]}..."
