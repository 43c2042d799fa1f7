"""Rules for what has an ISO code: countries, currencies, languages."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, ClassVar

from .rule import Row, TypedText, check_option, library

FIELD = "field:"
"""Begins the entry of a chain that is another field's value."""

_LANGUAGES_OF_NAMES = (
    "en ar bg cs da de el es et fa fi fr ga he hi hr hu id is it ja ko lt lv mt nb nl pl pt ro ru "
    "sk sl sr sv th tr uk vi zh zh_Hant"
)
"""The languages in which names are known, beside English; codes as Babel has them."""

# Names in wide use that neither ISO 3166 nor CLDR lists.
_COUNTRY_ALIASES = {
    "UK": "GB",
    "Great Britain": "GB",
    "Britain": "GB",
    "England": "GB",
    "Scotland": "GB",
    "Wales": "GB",
    "Northern Ireland": "GB",
    "Holland": "NL",
    "The Netherlands": "NL",
    "Turkey": "TR",
    "Ivory Coast": "CI",
    "Cape Verde": "CV",
    "Macedonia": "MK",
    "Swaziland": "SZ",
    "Burma": "MM",
    "UAE": "AE",
}
_CLOSE = 80.0


class _Coded(TypedText):
    """Text that names an entry of a list by code or by name; gives the code."""

    noun: ClassVar[str]

    def __init__(self) -> None:
        library("pycountry", self.name)
        library("babel", self.name)
        library("rapidfuzz", self.name)

    @classmethod
    def index(cls) -> Mapping[str, str]:
        """Codes by the normalized form of everything that means them."""
        raise NotImplementedError

    def read(self, text: str, row: Row) -> str:
        index = self.index()
        found = index.get(_normal(text))
        if found is None:
            raise self.refusal(
                text,
                f"is not a {self.noun}",
                hint=f"Write the ISO code or the name of the {self.noun}.",
                suggestion=_closest(text, index),
            )
        return found


class Country(_Coded):
    """An ISO 3166-1 alpha-2 code, from any ISO code, the English or a common local name."""

    name: ClassVar[str] = "Country"
    noun: ClassVar[str] = "country"

    @classmethod
    def index(cls) -> Mapping[str, str]:
        return _countries()


class Currency(_Coded):
    """An ISO 4217 code, from the code in any case, the number or a name. Signs are refused, but for
    ``€``: others belong to several currencies."""

    name: ClassVar[str] = "Currency"
    noun: ClassVar[str] = "currency"

    @classmethod
    def index(cls) -> Mapping[str, str]:
        return _currencies()


class Language(_Coded):
    """An ISO 639 code of two letters, of three where there is none of two, from any ISO 639 code or
    a name."""

    name: ClassVar[str] = "Language"
    noun: ClassVar[str] = "language"

    @classmethod
    def index(cls) -> Mapping[str, str]:
        return _languages()


def country_of(text: object) -> str | None:
    """The ISO 3166-1 alpha-2 code of the country that ``text`` names, or None."""
    return _countries().get(_normal(text)) if isinstance(text, str) else None


class CountryChain:
    """Countries to try in order: codes or names, or ``field:country`` for the value of another
    field. A field that names no country is skipped. Raises InvalidRule."""

    def __init__(self, entries: str | Iterable[str], rule: str) -> None:
        self._entries = (entries,) if isinstance(entries, str) else tuple(entries)
        for entry in self._entries:
            check_option(
                entry.removeprefix(FIELD) != ""
                and (entry.startswith(FIELD) or bool(country_of(entry))),
                rule,
                f"knows no country {entry!r}",
                'Write an ISO code, such as "US", or "field:" and the name of another field.',
            )

    @property
    def reads(self) -> frozenset[str]:
        """The names of the fields in the chain."""
        fields = (entry for entry in self._entries if entry.startswith(FIELD))
        return frozenset(entry.removeprefix(FIELD) for entry in fields)

    def codes(self, row: Row) -> list[str]:
        """The ISO 3166-1 alpha-2 codes for ``row``."""
        named = (
            row.get(entry.removeprefix(FIELD)) if entry.startswith(FIELD) else entry
            for entry in self._entries
        )
        return [code for value in named if (code := country_of(value))]


def _normal(text: str) -> str:
    """``text`` without case, accents, punctuation and space. Signs stay: they name currencies."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return "".join(char for char in plain if char.isalnum() or unicodedata.category(char) == "Sc")


def _closest(text: str, index: Mapping[str, str]) -> str | None:
    from rapidfuzz import fuzz, process

    # Beside a short code, every other short code is close.
    names = [name for name in index if len(name) > 3]
    close = process.extractOne(_normal(text), names, scorer=fuzz.ratio, score_cutoff=_CLOSE)
    return index[close[0]] if close else None


def _index(*tiers: Iterable[tuple[str | None, str]]) -> Mapping[str, str]:
    """Codes by normalized name. What an earlier tier names stays; a name that one tier gives to two
    codes means neither."""
    index: dict[str, str] = {}
    for tier in tiers:
        fresh: dict[str, set[str]] = {}
        for name, code in tier:
            key = _normal(name or "")
            if key and key not in index:
                fresh.setdefault(key, set()).add(code)
        index.update((key, min(codes)) for key, codes in fresh.items() if len(codes) == 1)
    return index


def _local_names(kind: str, codes: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    from babel import Locale

    for language in _LANGUAGES_OF_NAMES.split():
        for code, name in getattr(Locale.parse(language), kind).items():
            if code in codes:
                yield name, codes[code]


def _entries(kind: str) -> list[Any]:
    return list(getattr(library("pycountry", kind), kind))


@lru_cache(maxsize=1)
def _countries() -> Mapping[str, str]:
    countries = _entries("countries")
    codes: dict[str, str] = {country.alpha_2: country.alpha_2 for country in countries}
    return _index(
        [
            (code, country.alpha_2)
            for country in countries
            for code in (country.alpha_2, country.alpha_3, country.numeric)
        ],
        _COUNTRY_ALIASES.items(),
        [
            (getattr(country, attribute, None), country.alpha_2)
            for country in countries
            for attribute in ("name", "official_name", "common_name")
        ],
        _local_names("territories", codes),
    )


@lru_cache(maxsize=1)
def _currencies() -> Mapping[str, str]:
    currencies = _entries("currencies")
    codes: dict[str, str] = {currency.alpha_3: currency.alpha_3 for currency in currencies}
    return _index(
        [(code, item.alpha_3) for item in currencies for code in (item.alpha_3, item.numeric)],
        [("€", "EUR")],
        [(currency.name, currency.alpha_3) for currency in currencies],
        _local_names("currencies", codes),
    )


@lru_cache(maxsize=1)
def _languages() -> Mapping[str, str]:
    languages = _entries("languages")
    codes: dict[str, str] = {
        language.alpha_3: getattr(language, "alpha_2", language.alpha_3) for language in languages
    }
    codes |= {code: code for code in codes.values()}
    return _index(
        codes.items(),
        [
            (getattr(language, "bibliographic", None), codes[language.alpha_3])
            for language in languages
        ],
        [
            (getattr(language, attribute, None), codes[language.alpha_3])
            for language in languages
            for attribute in ("name", "common_name", "inverted_name")
        ],
        _local_names("languages", codes),
    )
