"""Names of tables and columns: what they mean, how alike they are, and names made from them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import NamedTuple

from syncline.connectors.file.reader import MAX_NAME


class Meaning(NamedTuple):
    """What a column's name says: a ``concept``, "" if it is none of those known, and the words that
    say which one of several it is, such as ``billing``."""

    concept: str
    qualifiers: frozenset[str]


_COLUMNS = {
    "phone": "phone tel telephone telefon phone_number phone_no telephone_number tel_no",
    "mobile": "mobile mobile_phone mobile_number cell cellphone cell_phone handy",
    "fax": "fax telefax fax_number",
    "email": "email mail e_mail email_address mail_address email_addr e_mail_address",
    "url": "url website web_site homepage home_page web website_url site_url",
    "country": "country country_code country_name land nation",
    "zip": "zip zip_code zipcode postal_code postalcode postcode post_code plz",
    "city": "city town locality ort",
    "state": "state province region county state_code",
    "address": "address street street_address address_line strasse",
    "company": "company company_name organization organisation firm employer",
    "vat": "vat vat_id vat_number vat_no vatin tax_id ust_id ustid",
    "iban": "iban",
    "currency": "currency currency_code",
    "language": "language lang language_code locale",
    "first_name": "first_name firstname given_name forename fname vorname",
    "last_name": "last_name lastname surname family_name lname nachname",
    "full_name": "full_name fullname name display_name contact_name customer_name person_name",
    "birthday": "birthday birth_date birthdate date_of_birth dob",
    "created": "created created_at created_on date_created creation_date inserted_at",
    "updated": "updated updated_at updated_on modified modified_at last_modified last_update "
    "changed_at",
    "price": "price unit_price",
    "quantity": "quantity qty",
    "notes": "notes note comment comments remark remarks",
    "description": "description descr",
}
_TABLES = {
    "contact": "contact customer client person people member lead",
    "company": "company organization organisation firm account business",
    "product": "product item article good",
    "order": "order purchase sale",
    "invoice": "invoice bill",
    "ticket": "ticket case issue request",
    "employee": "employee staff worker",
    "user": "user login",
}


def _by_phrase(concepts: Mapping[str, str]) -> dict[str, str]:
    return {phrase: concept for concept, phrases in concepts.items() for phrase in phrases.split()}


_CONCEPT_OF_COLUMN = _by_phrase(_COLUMNS)
_CONCEPT_OF_TABLE = _by_phrase(_TABLES)
_LONGEST = 3
"""Words of the longest phrase above."""
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_CAPITAL_BEGINS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SEPARATORS = re.compile(r"[^A-Za-z0-9]+")


@lru_cache(maxsize=10_000)
def words(name: str) -> tuple[str, ...]:
    """The words of a name in small letters: of ``BillingEmail2`` billing, email and 2."""
    found = tuple(word.lower() for word in _WORD.findall(_without_accents(name)))
    # Letters of other scripts are no words to the pattern above.
    return found or tuple(re.findall(r"\w+", name.casefold()))


def _without_accents(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name.replace("ß", "ss"))
    return "".join(char for char in plain if not unicodedata.combining(char))


def singular(word: str) -> str:
    """An English word in the singular, as far as its ending tells."""
    if word == "people":
        return "person"
    for ending, other in (("ies", "y"), ("sses", "ss"), ("xes", "x"), ("ches", "ch")):
        if word.endswith(ending) and len(word) > len(ending) + 1:
            return word.removesuffix(ending) + other
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


@lru_cache(maxsize=10_000)
def meaning(column: str, table: str) -> Meaning:
    """What a column of ``table`` means, by its name; the table's own name in it says nothing."""
    parts = list(words(column))
    own = {*words(table), *map(singular, words(table))}
    while len(parts) > 1 and parts[0] in own:
        del parts[0]
    for length in range(min(_LONGEST, len(parts)), 0, -1):
        for start in range(len(parts) - length, -1, -1):
            concept = _CONCEPT_OF_COLUMN.get("_".join(parts[start : start + length]))
            if concept:
                return Meaning(concept, frozenset(parts[:start] + parts[start + length :]))
    return Meaning("", frozenset(parts))


@lru_cache(maxsize=100_000)
def column_likeness(first: str, first_table: str, second: str, second_table: str) -> float:
    """How likely two columns mean the same, by their names: 0 to 1."""
    if first.casefold() == second.casefold():
        return 1.0
    one, other = meaning(first, first_table), meaning(second, second_table)
    if one == other:
        return 0.97
    if one.concept and one.concept == other.concept:
        return 0.6 if one.qualifiers and other.qualifiers else 0.85
    if one.concept or other.concept:
        return 0.0
    return likeness("".join(sorted(one.qualifiers)), "".join(sorted(other.qualifiers)))


@lru_cache(maxsize=100_000)
def table_likeness(first: str, second: str) -> float:
    """How likely two tables are of the same things, by their names: 0 to 1."""
    one = [singular(word) for word in words(first)]
    other = [singular(word) for word in words(second)]
    if one == other:
        return 1.0
    concepts = [_CONCEPT_OF_TABLE.get(each[-1], "") if each else "" for each in (one, other)]
    if concepts[0] and concepts[0] == concepts[1]:
        return 0.9
    return likeness("".join(one), "".join(other))


def likeness(first: str, second: str) -> float:
    """How alike two texts are, 0 to 1: with rapidfuzz if that is installed."""
    try:
        from rapidfuzz import fuzz
    except ImportError:
        import difflib

        return difflib.SequenceMatcher(None, first, second, autojunk=False).ratio()
    return fuzz.ratio(first, second) / 100


def safe_name(text: str, default: str, taken: Collection[str] = ()) -> str:
    """A name of small ASCII letters, digits and _ that is not in ``taken``. Digits stay where they
    are, so that people find their names again: ``crm2`` and ``1shop_x`` are not changed."""
    apart = _CAPITAL_BEGINS.sub("_", _without_accents(text))
    name = _SEPARATORS.sub("_", apart).lower().strip("_")[:MAX_NAME].strip("_") or default
    number, free = 2, name
    while free in taken:
        ending = f"_{number}"
        free = name[: MAX_NAME - len(ending)] + ending
        number += 1
    return free


def record_name(table: str, taken: Collection[str] = ()) -> str:
    """The name of the records whose rows ``table`` holds: its last word in the singular."""
    *others, last = safe_name(table, "record").split("_")
    return safe_name("_".join([*others, singular(last)]), "record", taken)
