"""Every program of docs/records.md prints what the page shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.test_examples import output_of

PAGE = (Path(__file__).parents[2] / "docs" / "records.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize(("program", "output"), PROGRAMS)
async def test_a_program(program: str, output: str, tmp_path: Path) -> None:
    assert await output_of(program, tmp_path) == output


def test_every_program_is_run() -> None:
    assert len(PROGRAMS) == PAGE.count("```python") == 3
