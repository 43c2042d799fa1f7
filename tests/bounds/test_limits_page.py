"""docs/limits.md says what the code says, and leaves nothing out."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from syncline.engine.protocol.messages import Limits
from syncline.engine.updates.update_values import UpdateLimits
from syncline.relay.quotas import QuotaLimits
from syncline.transports import Timeouts

ROOT = Path(__file__).parents[2]
UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "s": 1, "min": 60, "h": 3600, "d": 86_400}
BOUND = re.compile(
    r"(^|_)(MAX|CAPACITY|KEPT|SECONDS|BYTES|UPDATES|ENTRIES|READERS|PAGE|LIMIT|WAITING|BACKOFF|BACKLOG"
    r"|DOCUMENTS|RANGES|CHUNK|BATCH|BATCHES|FETCHED|STEPS|TRIES|ATTEMPTS)(_|$)"
)
"""Names of constants that bound something."""
NO_BOUNDS = {
    # What a number or a frame can hold at all, or what follows from another bound.
    "syncline.engine.protocol.binary_frames._MAX_ADDRESS_BYTES",
    "syncline.engine.clock.MAX_STAMP",
    "syncline.engine.identity.MAX_CLIENT_ID",
    "syncline.engine.protocol.json_object._MAX_BASE64",
    "syncline.engine.lib0._MAX_BYTES",
    "syncline.engine.lib0.MAX_UINT",
    "syncline.engine.updates.update_values._BYTES",
    "syncline.engine.updates.parse.MAX_CLOCK",
    "syncline.transports.closing._MAX_REASON",
    # What a thing costs, or its size, which is always this.
    "syncline.relay.log.committer._ENTRY_BYTES",
    "syncline.relay.log.committer._BATCH_COST",
    "syncline.transports.bounded_connection._SLICE_BYTES",
    "syncline.relay.log.committer._BYTES_PER_UPDATE",
    "syncline.engine.protocol.messages.DIGEST_BYTES",
    "syncline.engine.history.snapshot.ROW_BYTES",
}
LAYERS = {
    "engine": "syncline.engine",
    "stores": "syncline.stores",
    "transports": "syncline.transports",
}


class Row(NamedTuple):
    value: float
    where: str


def rows() -> list[Row]:
    """The rows of the page's tables, one for each place in the code."""
    found: list[Row] = []
    for line in (ROOT / "docs/limits.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4 and cells[2].startswith("`"):
            number, _, unit = cells[1].partition(" ")
            found.append(Row(float(number.replace(",", "")) * UNITS[unit], cells[2].strip("`")))
    return found


def value_in_code(where: str) -> Any:
    """The constant, field default or parameter default at ``module.NAME``, ``module.Class.field``
    or ``module.function(parameter)``."""
    path, _, parameter = where.rstrip(")").partition("(")
    names = path.split(".")
    for cut in range(len(names) - 1, 0, -1):
        try:
            found: Any = importlib.import_module(".".join(names[:cut]))
        except ModuleNotFoundError:
            continue
        for index, name in enumerate(names[cut:], start=cut):
            if inspect.isclass(found) and index == len(names) - 1:
                # A field with slots is a descriptor in the class: the default is elsewhere.
                return inspect.signature(found).parameters[name].default
            found = getattr(found, name)
        return inspect.signature(found).parameters[parameter].default if parameter else found
    raise AssertionError(f"nothing is at {where}")


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.where)
def test_the_page_says_what_the_code_says(row: Row) -> None:
    assert value_in_code(row.where) == row.value


def bounds_in_code() -> Iterator[str]:
    for folder in ("engine", "stores", "transports", "syncline"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            inside = file.relative_to(ROOT / folder)
            # Each layer is met under its own folder, not under the link to it.
            if folder == "syncline" and inside.parts[0] in {*LAYERS, "testing", "cli"}:
                continue
            module = ".".join([LAYERS.get(folder, folder), *inside.with_suffix("").parts])
            for node in ast.parse(file.read_text()).body:
                if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                    name = node.targets[0].id
                    if name.isupper() and BOUND.search(name):
                        yield f"{module}.{name}"


@pytest.mark.slow
def test_the_page_leaves_nothing_out() -> None:
    listed = {row.where for row in rows()}
    numbers = {
        where
        for where in bounds_in_code()
        if isinstance(value_in_code(where), int | float) and where not in NO_BOUNDS
    }
    assert numbers - listed == set()
    for settings in (Limits, Timeouts, UpdateLimits, QuotaLimits):
        names = {f"{settings.__module__}.{settings.__name__}.{f.name}" for f in fields(settings)}
        assert names - listed == set()
    assert len(listed) == len(rows())
