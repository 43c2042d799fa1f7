"""Cleaning: rules that give the values of a field one form, in pipeline files and on records.

The libraries that decide come with ``pip install "syncline[clean]"``; a rule that needs one that is
missing raises MissingLibrary when it is made.
"""

from syncline.engine.errors import InvalidRule, InvalidValue, MissingLibrary
from syncline.engine.problems import Problem

from .accounts import Iban, Vat
from .checks import MaxLength, OneOf, Pattern, Required
from .field import Clean, FieldCleaner, OnInvalid
from .numbers import Boolean, Integer, Number
from .parse import InvalidRules, parse_rules
from .phone import Phone
from .places import Country, Currency, Language
from .rule import Row, Rule
from .similar import SimilarRows, similar
from .text import (
    Casefold,
    CollapseSpace,
    EmptyToNull,
    FixText,
    Lowercase,
    StripControl,
    Trim,
    UnicodeNfc,
    Uppercase,
)
from .times import Date, DateTime
from .web import Email, Url

__all__ = [
    "Boolean",
    "Casefold",
    "Clean",
    "CollapseSpace",
    "Country",
    "Currency",
    "Date",
    "DateTime",
    "Email",
    "EmptyToNull",
    "FieldCleaner",
    "FixText",
    "Iban",
    "Integer",
    "InvalidRule",
    "InvalidRules",
    "InvalidValue",
    "Language",
    "Lowercase",
    "MaxLength",
    "MissingLibrary",
    "Number",
    "OnInvalid",
    "OneOf",
    "Pattern",
    "Phone",
    "Problem",
    "Required",
    "Row",
    "Rule",
    "SimilarRows",
    "StripControl",
    "Trim",
    "UnicodeNfc",
    "Uppercase",
    "Url",
    "Vat",
    "parse_rules",
    "similar",
]
