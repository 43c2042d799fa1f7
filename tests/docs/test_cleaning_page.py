"""Every program, file and example of docs/cleaning.md does what the page says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from syncline import cleaning
from syncline.cleaning import FieldCleaner, InvalidValue, Required, Rule, parse_rules
from syncline.cleaning.parse import FIELD_KEYS
from tests.docs.test_examples import output_of

PAGE = (Path(__file__).parents[2] / "docs" / "cleaning.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)
FILES = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


def _unescaped(cell: str) -> str:
    return cell.encode("latin-1", "backslashreplace").decode("unicode_escape")


class Row(NamedTuple):
    """A rule of the page's tables, in a file and on a record, and what it makes of an example."""

    stated: str
    written: str
    before: str
    after: str

    def rules(self) -> tuple[FieldCleaner, Rule]:
        """The rule twice: as the file says it, and as the record does."""
        written: Rule = eval(self.written, dict(vars(cleaning)))  # noqa: S307  # the page is ours
        key, value = (
            ("type", self.stated) if written.stage == "type" else ("clean", f"[{self.stated}]")
        )
        return parse_rules(tomllib.loads(f"{key} = {value}"), "page"), written


CELLS = r"^\| `(.+?)` \| `(.+?)` \| .*? \| `(.+?)` → (.+) \|$"
ROWS = [
    Row(stated, written, _unescaped(before), _unescaped(after))
    for stated, written, before, after in re.findall(CELLS, PAGE, re.MULTILINE)
]


def shown(rule: Rule | FieldCleaner, value: str) -> str:
    """The outcome as the page shows it."""
    try:
        made: Any = rule.clean(value, {})
    except InvalidValue as error:
        return "refused" if error.suggestion is None else f"refused, `{error.suggestion}`?"
    return "NULL" if made is None else f"`{made}`"


@pytest.mark.parametrize("row", ROWS, ids=[f"{at}-{row.written}" for at, row in enumerate(ROWS)])
def test_a_row(row: Row) -> None:
    in_file, on_record = row.rules()
    assert [type(rule) for rule in in_file.rules] == [type(on_record)]
    assert shown(in_file, row.before) == shown(on_record, row.before) == row.after


def test_every_rule_has_a_row() -> None:
    listed = {type(row.rules()[1]) for row in ROWS}
    rules = {
        each
        for name in cleaning.__all__
        if isinstance(each := getattr(cleaning, name), type) and issubclass(each, Rule)
    }
    assert rules - listed == {Rule, Required}
    assert len(ROWS) == len(re.findall(r"^\| `.* → ", PAGE, re.MULTILINE))


@pytest.mark.slow
@pytest.mark.parametrize(("program", "output"), PROGRAMS)
async def test_a_program(program: str, output: str, tmp_path: Path) -> None:
    assert await output_of(program, tmp_path) == output


def test_every_program_is_run_and_every_file_is_read() -> None:
    assert len(PROGRAMS) == PAGE.count("```python") == 3
    (file,) = FILES
    fields = tomllib.loads(file)["record"]["contact"]["field"]
    assert {key for field in fields.values() for key in field} == set(FIELD_KEYS)
    for name, field in fields.items():
        parse_rules(field, name)
