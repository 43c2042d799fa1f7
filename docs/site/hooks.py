"""What the site has beside docs/: pages from the top of the repository, examples, mermaid.

Links in the sources lead through the repository, so that they work where the sources are read. Here
each is turned into the one that leads to the same file on the site.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
MERMAID = Path(__file__).parent / "node_modules/@mermaid-js/tiny/dist/mermaid.tiny.js"
TOP = ("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE")
LINK = re.compile(r"(\]\()([^)#:\s]+)([)#])")


def _examples() -> list[str]:
    left_out = {"dist", "node_modules", "__pycache__"}
    files = (path for path in (ROOT / "examples").rglob("*") if path.is_file())
    inside = (path.relative_to(ROOT) for path in files)
    return sorted(path.as_posix() for path in inside if not left_out & set(path.parts))


def on_files(files: Files, config: Any) -> Files:
    """Add what lies outside docs/."""
    if not MERMAID.exists():
        raise PluginError("Diagrams need mermaid: run `make site`, which installs it.")
    files.append(File.generated(config, "assets/mermaid.js", abs_src_path=str(MERMAID)))
    css = Path(__file__).parent / "extra.css"
    files.append(File.generated(config, "assets/extra.css", abs_src_path=str(css)))
    for name in (*TOP, *_examples()):
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files


def _on_site(path: str) -> str:
    """Where a file of the repository is on the site."""
    return "index.md" if path == "README.md" else path.removeprefix("docs/")


def _in_repository(uri: str) -> str:
    """Where a page of the site is in the repository."""
    return uri if uri in TOP or uri.startswith("examples/") else f"docs/{uri}"


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links through the repository into links through the site."""
    here: str = page.file.src_uri
    folder = posixpath.dirname(_in_repository(here))

    def turned(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, link[2]))
        on_site = posixpath.relpath(_on_site(target), posixpath.dirname(here) or ".")
        return f"{link[1]}{on_site}{link[3]}"

    return LINK.sub(turned, markdown)
