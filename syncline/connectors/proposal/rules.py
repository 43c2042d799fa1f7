"""Cleaning rules for columns whose names and sampled values call for one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from syncline.cleaning import FieldCleaner, InvalidRules, parse_rules
from syncline.cleaning.places import FIELD
from syncline.engine.errors import InvalidValue

from .names import Meaning

ENOUGH = 0.8
"""Share of the sampled values that must pass a rule for it to be proposed."""
TEXT_RULES = ("fix-text", "strip-control", "collapse-space")

_TYPES = {
    "email": "Email",
    "url": "URL",
    "country": "Country",
    "currency": "Currency",
    "language": "Language",
    "iban": "IBAN",
    "vat": "VAT",
}
_PHONES = ("phone", "mobile", "fax")
_FREE_TEXT = ("first_name", "last_name", "full_name", "company", "city", "address")


class SuggestedRule(NamedTuple):
    """A rule for one field: ``key`` and ``value`` of its table; of the ``tried`` values it takes
    ``passed``, and changes ``changed``. ``doubt`` says why it may not stand as it is, or is ""."""

    key: str
    value: Any
    passed: int
    tried: int
    changed: int
    doubt: str = ""

    @property
    def is_contact(self) -> bool:
        """Whether it is for phone numbers or e-mail addresses."""
        return self.value in ("Email", "E164") or isinstance(self.value, dict)


def suggest(
    meaning: Meaning,
    values: Sequence[Any],
    rows: Sequence[Mapping[str, Any]],
    country: str | None,
) -> SuggestedRule | None:
    """The rule for a field, or None. ``values`` are those sampled, each of the row beside it, which
    has the other fields by name; ``country`` is the field that names a country."""
    pairs = [
        (value, row)
        for value, row in zip(values, rows, strict=True)
        if isinstance(value, str) and value.strip()
    ]
    if not pairs or len(pairs) < sum(value not in (None, "") for value in values):
        return None
    if meaning.concept in _PHONES:
        return _phone(pairs, country)
    kind = _TYPES.get(meaning.concept) or _by_shape([value for value, _ in pairs])
    rule = _tried("type", kind, pairs) if kind is not None else None
    if rule is not None and rule.passed >= ENOUGH * rule.tried:
        return rule
    if rule is not None and meaning.concept == "email":
        return rule._replace(doubt="too many values do not pass; look at them first")
    if meaning.concept in _FREE_TEXT:
        rule = _tried("clean", list(TEXT_RULES), pairs)
        return rule if rule is not None and rule.changed else None
    return None


def _phone(
    pairs: Sequence[tuple[Any, Mapping[str, Any]]], country: str | None
) -> SuggestedRule | None:
    chain = [f"{FIELD}{country}"] if country is not None else []
    specs = [{"phone": "E164", "region": chain}, "E164"] if chain else ["E164"]
    rules = [rule for spec in specs if (rule := _tried("type", spec, pairs)) is not None]
    # Of equals the first: the country helps with the next number, if none of these needs it.
    best = max(rules, key=lambda rule: rule.passed, default=None)
    if best is None or best.passed >= ENOUGH * best.tried:
        return best
    example = {"phone": "E164", "region": [*chain, "US"]}
    doubt = "name the country in which numbers without + are dialled"
    return best._replace(value=example, doubt=doubt)


def _by_shape(values: Collection[str]) -> str | None:
    """The type that most values look like, whatever the name of their column."""
    for kind, looks in (("Email", _looks_like_email), ("URL", _looks_like_url)):
        if sum(map(looks, values)) >= ENOUGH * len(values):
            return kind
    return None


def _looks_like_email(value: str) -> bool:
    return value.count("@") == 1 and " " not in value.strip()


def _looks_like_url(value: str) -> bool:
    return value.lower().startswith(("http://", "https://"))


def _tried(
    key: str, value: Any, pairs: Sequence[tuple[Any, Mapping[str, Any]]]
) -> SuggestedRule | None:
    """How a rule does with the sample; None if a library for it is missing."""
    cleaner = cleaner_of({key: value})
    if cleaner is None:
        return None
    passed = changed = 0
    for original, row in pairs:
        try:
            clean = cleaner.clean(original, row)
        except InvalidValue:
            continue
        passed += 1
        changed += clean != original
    return SuggestedRule(key, value, passed, len(pairs), changed)


def cleaner_of(spec: Mapping[str, Any]) -> FieldCleaner | None:
    """The rules of one field, or None where the libraries for them are not installed."""
    try:
        return parse_rules(spec, "proposal")
    except InvalidRules:
        return None
