"""A file that is written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO


@contextmanager
def written_whole(file: Path, *, encoding: str, newline: str) -> Generator[TextIO]:
    """A stream to what takes the place of ``file`` when the block ends well. What is written lies
    beside it meanwhile, under a name that nobody can know before, for its owner alone. Raises
    OSError."""
    descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", suffix=".new", dir=file.parent)
    try:
        with os.fdopen(descriptor, "w", encoding=encoding, newline=newline) as stream:
            yield stream
        Path(name).replace(file)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
