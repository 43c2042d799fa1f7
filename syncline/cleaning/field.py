"""All the rules of one field, as one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

from syncline.engine.errors import InvalidRule
from syncline.engine.suggestions import did_you_mean

from .checks import MaxLength, OneOf, Pattern, Required
from .rule import STAGES, Row, Rule, settle
from .text import TEXT_RULES, Casefold, Lowercase, Uppercase

OnInvalid: TypeAlias = Literal["keep-old", "blank", "quarantine", "stop"]
ON_INVALID: tuple[OnInvalid, ...] = ("keep-old", "blank", "quarantine", "stop")

_CASES = (Lowercase, Uppercase, Casefold)


class FieldCleaner:
    """The rules of one field: text is repaired, then read as a type, then checked; otherwise they
    act in the order given. ``on_invalid`` says what a pipeline does with a value that they refuse.

    Raises InvalidRule for rules that contradict each other.
    """

    def __init__(self, rules: Iterable[Rule], on_invalid: OnInvalid = "quarantine") -> None:
        self.rules = tuple(sorted(rules, key=lambda rule: STAGES.index(rule.stage)))
        self.on_invalid: OnInvalid = on_invalid
        for message, hint in contradictions(self.rules, on_invalid):
            raise InvalidRule(message, hint=hint)

    def clean(self, value: Any, row: Row) -> Any:
        """The clean form of ``value``, which cleaning again does not change. ``row`` has the other
        fields by name. Raises InvalidValue."""
        return settle(value, row, self.rules) if self.rules else value

    @property
    def reads(self) -> frozenset[str]:
        """The other fields that the rules look at."""
        return frozenset(field for rule in self.rules for field in rule.reads)

    @property
    def required(self) -> bool:
        """Whether there must be a value."""
        return any(isinstance(rule, Required) for rule in self.rules)

    @property
    def gives(self) -> type | None:
        """The type of the values that come out; None without a rule that reads text as a type."""
        return next((rule.gives for rule in self.rules if rule.stage == "type"), None)


class Clean:
    """Rules without options, by name, for an annotation:
    ``Annotated[str, Clean("fix-text", "collapse-space")]``. Raises InvalidRule."""

    def __init__(self, *names: str) -> None:
        self.rules = tuple(text_rule(name) for name in names)


def text_rule(name: str) -> Rule:
    """The rule of text called ``name``. Raises InvalidRule, MissingLibrary."""
    known = {rule.name: rule for rule in TEXT_RULES}
    if name not in known:
        raise InvalidRule(f"There is no rule {name!r}.", hint=did_you_mean(name, known))
    return known[name]()


def contradictions(
    rules: Iterable[Rule], on_invalid: OnInvalid = "quarantine"
) -> list[tuple[str, str]]:
    """What does not go together in the rules of one field: sentences, each with a hint."""
    rules = tuple(rules)
    found: list[tuple[str, str]] = []
    types = [rule for rule in rules if rule.stage == "type"]
    if len(types) > 1:
        both = " and ".join(rule.name for rule in types)
        found.append((f"A field cannot be {both} at once.", "Keep one of them."))
    cases = [rule.name for rule in rules if isinstance(rule, _CASES)]
    if len(set(cases)) > 1:
        found.append((f"{' and '.join(cases)} undo each other.", "Keep one of them."))
    gives = types[0].gives if types else str
    for rule in rules:
        if isinstance(rule, MaxLength | Pattern) and gives is not str:
            message = f"{rule.name} checks text, and {types[0].name} gives {gives.__name__}."
            found.append((message, f"Leave {rule.name} out, or the type."))
        if isinstance(rule, OneOf) and types and any(type(v) is not gives for v in rule.values):
            message = f"one-of has values that are not what {types[0].name} gives."
            found.append((message, f"Write values of type {gives.__name__}, or leave one out."))
    if on_invalid == "blank" and any(isinstance(rule, Required) for rule in rules):
        message = "on_invalid is blank, and a value is required."
        found.append((message, "Use keep-old, quarantine or stop, or leave required out."))
    return found
