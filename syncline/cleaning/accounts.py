"""Numbers with check digits: IBAN and VAT."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from .places import CountryChain
from .rule import Row, TypedText, library

_VAT_PREFIXES = {"GR": "EL"}
"""Countries whose VAT numbers do not begin with their ISO code."""


class Iban(TypedText):
    """An IBAN whose length, structure and check digits python-stdnum accepts, without spaces."""

    name: ClassVar[str] = "IBAN"

    def __init__(self) -> None:
        self._stdnum: Any = library("stdnum.iban", self.name)

    def read(self, text: str, row: Row) -> str:
        from stdnum.exceptions import ValidationError

        try:
            found: str = self._stdnum.validate(text)
        except ValidationError as error:
            raise self.refusal(text, "is not an IBAN", hint=str(error)) from error
        return found


class Vat(TypedText):
    """A VAT number of the European Union that python-stdnum accepts, with its country's prefix.

    ``country`` (a code, ``field:country``, or several in order) says whose number one without a
    prefix is.
    """

    name: ClassVar[str] = "VAT"

    def __init__(self, country: str | Iterable[str] = ()) -> None:
        self._stdnum: Any = library("stdnum.eu.vat", self.name)
        library("pycountry", self.name)
        library("babel", self.name)
        self._countries = CountryChain(country, self.name)

    @property
    def reads(self) -> frozenset[str]:
        return self._countries.reads

    def read(self, text: str, row: Row) -> str:
        from stdnum.exceptions import ValidationError

        prefixes = [_VAT_PREFIXES.get(code, code) for code in self._countries.codes(row)]
        for prefix in ["", *prefixes]:
            try:
                found: str = self._stdnum.validate(prefix + text)
            except ValidationError:
                continue
            return found
        raise self.refusal(
            text,
            "is not a VAT number of the European Union",
            hint="Check its digits, and that it begins with the country's two letters.",
        )
