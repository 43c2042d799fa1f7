"""The diagrams of the pages are drawn by the mermaid that the site serves, without a network."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.profiles import missing

ROOT = Path(__file__).parents[2]
MERMAID = ROOT / "docs/site/node_modules/@mermaid-js/tiny/dist/mermaid.tiny.js"
DIAGRAMS = [
    (page.name, diagram)
    for page in sorted((ROOT / "docs").glob("*.md"))
    for diagram in re.findall(r"```mermaid\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
]


def test_the_architecture_has_its_drawings() -> None:
    assert [name for name, _ in DIAGRAMS].count("architecture.md") == 4


@pytest.mark.browser
def test_every_diagram_is_drawn(tmp_path: Path) -> None:
    chromium = shutil.which("chromium")
    if chromium is None or not MERMAID.exists():
        missing("There is no Chromium, or no mermaid, which `make site` installs.")
    drawn = "".join(f'<pre class="mermaid">{html.escape(text)}</pre>' for _, text in DIAGRAMS)
    page = tmp_path / "page.html"
    page.write_text(
        f'<meta charset="utf-8">{drawn}<script src="{MERMAID.as_uri()}"></script>'
        "<script>mermaid.initialize({startOnLoad: true})</script>",
        "utf-8",
    )
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000"]
    options.append("--proxy-server=127.0.0.1:9")  # nobody is there: the page has no network
    options.append(f"--user-data-dir={tmp_path / 'profile'}")
    dom = subprocess.run(
        [chromium, *options, "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    assert "Syntax error" not in dom
    assert len(re.findall(r'<svg [^>]*id="mermaid-', dom)) == len(DIAGRAMS)
