"""Dates and instants, from text in formats that are named, never guessed."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from typing import Any, ClassVar, TypeVar
from zoneinfo import ZoneInfo

from .rule import Row, Rule, Stage, check_option

T = TypeVar("T")

_ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_ISO_DATETIME = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d([.,]\d{1,6})?)?(Z|[+-]\d\d:?\d\d)?", re.ASCII
)
_HINT = "Formats are those of Python's strptime, such as %d.%m.%Y, and need year, month and day."
# No part of one can be taken for another part of it, or of the other.
_PROBES = (datetime(2001, 2, 3, 4, 5, tzinfo=UTC), datetime(1999, 12, 31, 23, 59, tzinfo=UTC))


class Date(Rule):
    """A date, from text in one of ``formats`` or in ISO 8601 (2026-01-31). Text that two formats
    read as two dates is refused."""

    name: ClassVar[str] = "Date"
    stage: ClassVar[Stage] = "type"
    gives: ClassVar[type] = date

    def __init__(self, *formats: str) -> None:
        self._formats = _checked(formats, self.name, lambda read: read.date(), date.isoformat)

    def apply(self, value: Any, row: Row) -> Any:
        if isinstance(value, datetime):
            if value.time() == time():
                return value.date()
        elif isinstance(value, date):
            return value
        elif isinstance(value, str):
            found = _read(value.strip(), self._formats, _ISO_DATE)
            dates = {each.date() for each in found}
            if len(dates) == 1:
                return dates.pop()
            if dates:
                raise self.refusal(
                    value,
                    f"may be {' or '.join(map(str, sorted(dates)))}",
                    hint="Write it as 2026-01-31.",
                )
        raise self.refusal(value, "is not a date", hint=_expected(self._formats, "2026-01-31"))


class DateTime(Rule):
    """An instant in UTC, from text in one of ``formats`` or in ISO 8601.

    ``zone``, such as ``Europe/Berlin``, is where times without an offset were taken; without it
    they are refused. Of a time that a night has twice, the first is meant.
    """

    name: ClassVar[str] = "DateTime"
    stage: ClassVar[Stage] = "type"
    gives: ClassVar[type] = datetime

    def __init__(self, *formats: str, zone: str | None = None) -> None:
        self._formats = _checked(
            formats,
            self.name,
            lambda read: read.replace(second=0, microsecond=0, tzinfo=None),
            lambda moment: moment.replace(tzinfo=None).isoformat(),
        )
        self._zone: ZoneInfo | None = None
        try:
            self._zone = None if zone is None else ZoneInfo(zone)
        except (ValueError, OSError, KeyError, TypeError):
            hint = 'Write a name of the IANA database, such as "Europe/Berlin".'
            check_option(False, self.name, f"knows no time zone {zone!r}", hint)

    def apply(self, value: Any, row: Row) -> Any:
        found: set[datetime] = set()
        if isinstance(value, datetime):
            found = {value}
        elif isinstance(value, str):
            found = _read(value.strip(), self._formats, _ISO_DATETIME)
        instants = {self._instant(each, value) for each in found}
        if len(instants) == 1:
            return instants.pop()
        if instants:
            raise self.refusal(
                value,
                f"may be {' or '.join(map(str, sorted(instants)))}",
                hint="Write it as 2026-01-31T12:00:00Z.",
            )
        hint = _expected(self._formats, "2026-01-31T12:00:00Z")
        raise self.refusal(value, "is not a date and time", hint=hint)

    def _instant(self, read: datetime, value: object) -> datetime:
        if read.tzinfo is None and self._zone is None:
            raise self.refusal(
                value, "does not say in which time zone", hint="Name the zone in the rule."
            )
        local = read if read.tzinfo else read.replace(tzinfo=self._zone)
        try:
            instant = local.astimezone(UTC)
            exists = read.tzinfo or instant.astimezone(self._zone).replace(tzinfo=None) == read
        except OverflowError as error:
            hint = "Years are 1 to 9999 in UTC."
            raise self.refusal(value, "is out of range", hint=hint) from error
        if not exists:
            raise self.refusal(
                value, f"does not exist in {self._zone}: clocks skipped it", hint="Correct it."
            )
        return instant


def _checked(
    formats: tuple[str, ...],
    rule: str,
    keep: Callable[[datetime], T],
    iso: Callable[[T], str],
) -> tuple[str, ...]:
    """``formats``, if each reads what it writes, and ISO 8601 as nothing else. Raises
    InvalidRule."""
    for each in formats:
        try:
            good = all(
                (read := _strptime(probe.strftime(each), each)) is not None
                and keep(read) == keep(probe)
                for probe in _PROBES
            )
        except (ValueError, TypeError):
            good = False
        check_option(good, rule, f"cannot read what {each!r} writes", _HINT)
        for probe in map(keep, _PROBES):
            misread = _strptime(iso(probe), each)
            check_option(
                misread is None or keep(misread) == probe,
                rule,
                f"has the format {each!r}, which takes {iso(probe)} for {misread}",
                "What looks like ISO 8601 is always read as such. Choose another format.",
            )
    return formats


def _strptime(text: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(text, form)  # noqa: DTZ007  # the rule knows the zone
    except ValueError:
        return None


def _read(text: str, formats: tuple[str, ...], iso: re.Pattern[str]) -> set[datetime]:
    """Everything that ``text`` can mean."""
    if iso.fullmatch(text):
        try:
            return {datetime.fromisoformat(text)}
        except ValueError:
            return set()
    return {read for each in formats if (read := _strptime(text, each)) is not None}


def _expected(formats: tuple[str, ...], iso: str) -> str:
    return f"Write it as {' or '.join((*formats, iso))}."
