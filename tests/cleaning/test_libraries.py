"""Without the libraries of the extra: everything imports, and the rule that needs one says so."""

from __future__ import annotations

import asyncio
import sys

PROGRAM = """
import sys

LIBRARIES = {
    "babel", "email_validator", "ftfy", "phonenumbers", "pycountry", "rapidfuzz", "stdnum",
}


class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in LIBRARIES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Absent())

from syncline import Record
from syncline.cleaning import *

for make in (
    FixText, Phone, Email, Country, Currency, Language, Iban, Vat,
    lambda: Number("de"),
    lambda: similar([], ["name"]),
    lambda: Clean("fix-text"),
):
    try:
        make()
    except MissingLibrary as error:
        print(error.code, error)
    else:
        raise AssertionError(make)

try:
    parse_rules({"type": "Email", "clean": ["fix-text"]}, "contact.email")
except InvalidRules as error:
    print(error)

for rule, value in (
    (StripControl(), "a"), (CollapseSpace(), "a"), (Url(), "http://b.org"), (Integer(), 7),
    (Number(), 7), (Date("%d.%m.%Y"), "01.02.2020"), (DateTime(), "2020-01-01T00:00Z"),
    (Boolean(), True), (OneOf("a"), "a"), (MaxLength(3), "a"), (Pattern("a"), "a"),
):
    assert rule.clean(value, {}) is not None, rule
"""


async def test_a_missing_library_is_named_when_the_rule_is_made() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-W", "error", "-c", PROGRAM),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    sentence = (
        "missing-library The rule {} needs the library {}, which is not installed. "
        'Hint: pip install "syncline[clean]"'
    )
    needs = {
        "fix-text": "ftfy",
        "E164": "phonenumbers",
        "Email": "email_validator",
        "Country": "pycountry",
        "Currency": "pycountry",
        "Language": "pycountry",
        "IBAN": "stdnum",
        "VAT": "stdnum",
        "Decimal": "babel",
        "similar": "rapidfuzz",
    }
    *lines, last, parsed = out.decode().splitlines()
    assert lines == [sentence.format(rule, module) for rule, module in needs.items()]
    assert last == lines[0]
    assert parsed == (
        "contact.email.clean[0]: The rule fix-text needs the library ftfy, which is not installed. "
        "contact.email.type: The rule Email needs the library email_validator, which is not "
        'installed. Hint: pip install "syncline[clean]"'
    )


async def test_importing_loads_none_of_them() -> None:
    code = (
        "import sys, syncline, syncline.records.record, syncline.cleaning;"
        "print({'babel', 'email_validator', 'ftfy', 'phonenumbers', 'pycountry', 'rapidfuzz',"
        " 'stdnum'} & sys.modules.keys())"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert out == b"set()\n"
