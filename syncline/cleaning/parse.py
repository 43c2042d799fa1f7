"""Reading rules from a pipeline file: what the table of one field says about its values."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias, cast

from syncline.engine.errors import InvalidRule, MissingLibrary
from syncline.engine.problems import Problem, Problems
from syncline.engine.suggestions import did_you_mean

from .accounts import Iban, Vat
from .checks import MaxLength, OneOf, Pattern, Required
from .field import ON_INVALID, FieldCleaner, OnInvalid, contradictions, text_rule
from .numbers import Boolean, Integer, Number
from .phone import Phone
from .places import Country, Currency, Language
from .rule import Rule
from .text import TEXT_RULES, CollapseSpace, StripControl
from .times import Date, DateTime
from .web import Email, Url

FIELD_KEYS = ("type", "clean", "required", "on_invalid")
"""The keys of a field's table that are about its values."""


class InvalidRules(InvalidRule):
    """The table of a field cannot stand. ``problems`` has everything that is wrong with it."""

    def __init__(self, problems: Collection[Problem]) -> None:
        self.problems = tuple(problems)
        sentences = " ".join(f"{each.key}: {each.message}" for each in self.problems)
        hints = dict.fromkeys(each.hint for each in self.problems)
        super().__init__(sentences, hint=" ".join(hints))


def parse_rules(
    spec: Mapping[str, Any], where: str, *, other_keys: Collection[str] = ()
) -> FieldCleaner:
    """The rules in the table ``spec`` of one field, which stands in the file at ``where``.

    ``other_keys`` are the keys that others read. Raises InvalidRules.
    """
    problems = Problems()
    for key in spec.keys() - {*FIELD_KEYS, *other_keys}:
        hint = did_you_mean(key, [*FIELD_KEYS, *other_keys])
        problems.add(f"{where}.{key}", f"There is no key {key!r}.", hint)
    rules = [
        *_clean(spec.get("clean", []), f"{where}.clean", problems),
        *_type(spec.get("type"), f"{where}.type", problems),
    ]
    required = spec.get("required", False)
    if required is True:
        rules.append(Required())
    elif required is not False:
        message = f"It takes true or false, not {required!r}."
        problems.add(f"{where}.required", message, "Write required = true.")
    on_invalid: OnInvalid = spec.get("on_invalid", "quarantine")
    if on_invalid not in ON_INVALID:
        message = f"There is no policy {on_invalid!r}."
        problems.add(f"{where}.on_invalid", message, did_you_mean(str(on_invalid), ON_INVALID))
    for message, hint in contradictions(rules, on_invalid):
        problems.add(where, message, hint)
    if problems:
        raise InvalidRules(sorted(problems.found))
    return FieldCleaner(rules, on_invalid)


# What a value of the file becomes; raising InvalidRule if it cannot.
_Reader: TypeAlias = Callable[[Any], Any]


def _refuse(value: object, wanted: str) -> InvalidRule:
    return InvalidRule(f"It takes {wanted}, not {value!r:.60}.", hint=f"Write {wanted}.")


def _list(value: object) -> list[Any] | None:
    return cast("list[Any]", value) if isinstance(value, list) else None


def _table(value: object) -> dict[str, Any] | None:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _refuse(value, "a text")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    entries = _list(value)
    if entries is None or not all(isinstance(entry, str) for entry in entries):
        raise _refuse(value, "a text or a list of texts")
    return tuple(entries)


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise _refuse(value, "a whole number")
    return value


def _values(value: object) -> tuple[str | int, ...]:
    entries = _list(value)
    if not entries or not all(type(entry) in (str, int) for entry in entries):
        raise _refuse(value, "a list of texts or whole numbers")
    return tuple(entries)


def _table_of(kinds: tuple[type, ...], wanted: str) -> _Reader:
    def read(value: object) -> Any:
        entries = _table(value)
        if entries is None or not all(type(entry) in kinds for entry in entries.values()):
            raise _refuse(value, wanted)
        return entries

    return read


def _word(word: str, meaning: Any) -> _Reader:
    def read(value: Any) -> Any:
        if value != word:
            raise _refuse(value, f'"{word}"')
        return meaning

    return read


def _locale(value: Any) -> str | None:
    return None if value == "digits" else _text(value)


@dataclass(frozen=True)
class _Table:
    """How ``{ head = …, option = … }`` makes a rule: the value of the head is the first argument,
    or all of them with ``spread``."""

    make: Callable[..., Rule]
    head: _Reader
    options: Mapping[str, _Reader] = field(default_factory=dict[str, _Reader])
    spread: bool = False


def _phone(_: None, region: tuple[str, ...] = ()) -> Phone:
    return Phone(region)


_TYPES: Mapping[str, Callable[[], Rule]] = {
    rule.name: rule
    for rule in (
        *(Phone, Email, Url, Country, Currency, Language, Iban, Vat),
        *(Date, DateTime, Number, Integer, Boolean),
    )
}
_TYPE_TABLES = {
    "phone": _Table(_phone, _word("E164", None), {"region": _texts}),
    "url": _Table(Url, _texts, spread=True),
    "vat": _Table(Vat, _texts),
    "date": _Table(Date, _texts, spread=True),
    "datetime": _Table(DateTime, _texts, {"zone": _text}, spread=True),
    "decimal": _Table(Number, _locale, {"places": _whole, "rounding": _text}),
    "boolean": _Table(Boolean, _table_of((bool,), "a table of words, each true or false")),
}
_CLEAN_TABLES = {
    "strip-control": _Table(StripControl, _word("multiline", True)),
    "collapse-space": _Table(CollapseSpace, _word("multiline", True)),
    "max-length": _Table(MaxLength, _whole),
    "pattern": _Table(Pattern, _text),
    "one-of": _Table(
        OneOf,
        _values,
        {"synonyms": _table_of((str, int), "a table from other spellings to values")},
        spread=True,
    ),
}


def _clean(entries: Any, where: str, problems: Problems) -> list[Rule]:
    if not isinstance(entries, list):
        message = f"It takes a list of rules, not {entries!r:.60}."
        problems.add(where, message, 'Write clean = ["fix-text", "collapse-space"].')
        return []
    rules: list[Rule] = []
    for place, entry in enumerate(cast("list[Any]", entries)):
        at = f"{where}[{place}]"
        if isinstance(entry, dict):
            known = [rule.name for rule in TEXT_RULES]
            rules += _from_table(cast("dict[str, Any]", entry), at, _CLEAN_TABLES, known, problems)
        elif str(entry) in _CLEAN_TABLES.keys() - {rule.name for rule in TEXT_RULES}:
            message = f"The rule {entry!r} needs an option."
            problems.add(at, message, f"Write {{ {entry} = … }}.")
        else:
            rules += _make(partial(text_rule, str(entry)), at, problems)
    return rules


def _type(spec: Any, where: str, problems: Problems) -> list[Rule]:
    if spec is None:
        return []
    if isinstance(spec, dict):
        return _from_table(cast("dict[str, Any]", spec), where, _TYPE_TABLES, (), problems)
    if not isinstance(spec, str) or spec not in _TYPES:
        hint = did_you_mean(str(spec), _TYPES)
        problems.add(where, f"There is no type {spec!r}.", hint)
        return []
    return _make(_TYPES[spec], where, problems)


def _from_table(
    table: dict[str, Any],
    where: str,
    tables: Mapping[str, _Table],
    plain: Collection[str],
    problems: Problems,
) -> list[Rule]:
    """The rule that ``table`` makes, or none and a problem. ``plain`` are rules without options."""
    head = next((key for key in table if key in tables), None)
    if head is None:
        name = next(iter(table), "")
        message = f"{name!r} is not the name of a rule with options."
        hint = f'Write "{name}" alone.' if name in plain else did_you_mean(name, tables)
        problems.add(where, message, hint)
        return []
    kind = tables[head]
    before = len(problems)
    read: dict[str, Any] = {}
    for key, value in table.items():
        reader = kind.head if key == head else kind.options.get(key)
        if reader is None:
            message = f"{head} has no option {key!r}."
            hint = did_you_mean(key, kind.options) if kind.options else "It has none: leave it out."
            problems.add(f"{where}.{key}", message, hint)
            continue
        try:
            read[key] = reader(value)
        except InvalidRule as error:
            problems.add(f"{where}.{key}", error.message, error.hint)
    if len(problems) > before:
        return []
    first = read.pop(head)
    return _make(lambda: kind.make(*(first if kind.spread else [first]), **read), where, problems)


def _make(make: Callable[[], Rule], where: str, problems: Problems) -> list[Rule]:
    try:
        return [make()]
    except (InvalidRule, MissingLibrary) as error:
        problems.add(where, error.message, error.hint)
        return []
