"""Phone numbers in the form E.164, such as +442079460958."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from .places import CountryChain
from .rule import Row, TypedText, library

if TYPE_CHECKING:
    from phonenumbers import PhoneNumber


class Phone(TypedText):
    """A valid phone number, as phonenumbers knows them, in E.164.

    A number without ``+`` is read as one is dialled in each country of ``region`` until it is valid
    there. Extensions are left out, since E.164 has none.
    """

    name: ClassVar[str] = "E164"

    def __init__(self, region: str | Iterable[str] = ()) -> None:
        library("phonenumbers", self.name)
        library("pycountry", self.name)
        library("babel", self.name)
        self._regions = CountryChain(region, self.name)

    @property
    def reads(self) -> frozenset[str]:
        return self._regions.reads

    def read(self, text: str, row: Row) -> str:
        for region in [None, *self._regions.codes(row)]:
            if found := _valid(text, region):
                return found
        # 00 is the prefix of foreign numbers in most countries, and of none in some.
        meant = _valid("+" + text.lstrip("(").removeprefix("00"), None)
        raise self.refusal(
            text,
            "is not a phone number",
            hint="Write it with + and the country code, or name its country in the region.",
            suggestion=meant if text.lstrip("(").startswith("00") else None,
        )


def _valid(text: str, region: str | None) -> str | None:
    """``text`` in E.164 if it is a valid number, dialled in ``region`` or with ``+``."""
    import phonenumbers

    try:
        number: PhoneNumber = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
