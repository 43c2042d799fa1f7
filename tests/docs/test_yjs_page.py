"""Programs of docs/yjs.md print what the page shows; tests/interop runs those that need Node."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.test_examples import output_of

PAGE = (Path(__file__).parents[2] / "docs" / "yjs.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n((?:(?!```).)*)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize(("program", "output"), PROGRAMS, ids=range(len(PROGRAMS)))
async def test_a_program(program: str, output: str, tmp_path: Path) -> None:
    assert await output_of(program, tmp_path) == output


def test_every_program_is_run() -> None:
    elsewhere = 2  # tests/interop/test_yjs_page.py
    assert len(PROGRAMS) == PAGE.count("```python") - elsewhere == 3
