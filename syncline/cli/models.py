"""Record classes named on the command line."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

from syncline.engine.errors import UsageError
from syncline.records.record import Record


def load_models(paths: Iterable[str]) -> list[type[Record]]:
    """The record classes at ``paths``, each written ``module:Name``. Raises UsageError.

    Modules are looked for in the working directory too.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    return [_load(path) for path in paths]


def _load(path: str) -> type[Record]:
    module, colon, name = path.partition(":")
    if not (colon and module and name):
        raise UsageError(
            f"{path!r} names no record class.",
            hint="Write module:Name, for example --models myapp.records:Contact.",
        )
    try:
        found: object = getattr(import_module(module), name, None)
    except ImportError as error:
        raise UsageError(
            f"The module of {path!r} cannot be imported: {error}.",
            hint="Run the command in the folder of the module, or install the package that has it.",
        ) from error
    if not (isinstance(found, type) and issubclass(found, Record) and found is not Record):
        raise UsageError(
            f"{module} has no record class {name!r}.",
            hint="Name a class that derives from Record.",
        )
    return found
