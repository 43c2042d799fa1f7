"""The API reference has every public name, once, and each says what it is."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from syncline.engine import errors

PAGES = Path(__file__).parents[2] / "docs" / "api"
PACKAGES = {
    "syncline": "syncline",
    "connectors": "syncline.connectors",
    "cleaning": "syncline.cleaning",
    "stores": "syncline.stores",
    "transports": "syncline.transports",
}


def shown(page: str) -> list[str]:
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    return re.findall(r"^::: (\S+)", text, re.MULTILINE)


@pytest.mark.parametrize("page", PACKAGES)
def test_a_page_has_every_public_name(page: str) -> None:
    package = PACKAGES[page]
    public = {
        f"{package}.{name}"
        for name in import_module(package).__all__
        # Errors have a page of their own.
        if not hasattr(errors, name)
    }
    listed = [name for name in shown(page) if name != package]
    assert sorted(listed) == sorted(public)


def _object(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError:
        module, _, attribute = name.rpartition(".")
        return getattr(import_module(module), attribute)


@pytest.mark.parametrize("page", [*PACKAGES, "testing", "errors"])
def test_what_is_shown_has_a_docstring(page: str) -> None:
    for name in shown(page):
        found = _object(name)
        if inspect.isclass(found) or inspect.isroutine(found) or inspect.ismodule(found):
            own = (found.__doc__ or "").removeprefix(f"{getattr(found, '__name__', '')}(")
            assert own == found.__doc__, f"{name} has no docstring"


@pytest.mark.parametrize("kind", [each for each in vars(errors).values() if inspect.isclass(each)])
def test_every_error_says_when_it_is_raised(kind: type) -> None:
    assert "__doc__" in vars(kind)
    assert kind.__doc__
