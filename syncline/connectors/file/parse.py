"""The tables of a pipeline file as a pipeline, of whatever mode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .common import PIPELINE_KEYS, read_common
from .one_way import read_one_way
from .reader import Reader
from .spec import OneWay, TwoWay
from .two_way import read_two_way


def read_pipeline(spec: Mapping[str, Any], read: Reader) -> OneWay | TwoWay | None:
    """The pipeline, as far as it can be read; what is wrong is in ``read.problems``."""
    if "pipeline" not in spec:
        read.problem("pipeline", "The table [pipeline] is missing.", "Begin with [pipeline].")
    head = read.table(spec, "pipeline", "")
    mode = head.get("mode")
    if mode == "one-way":
        return read_one_way(spec, head, read)
    if mode == "two-way":
        return read_two_way(spec, head, read)
    message = "It is missing." if mode is None else f"There is no mode {mode!r:.40}."
    read.problem("pipeline.mode", message, 'Write mode = "one-way" or mode = "two-way".')
    # For the problems of the rest.
    if spec.keys() & {"source", "destination", "table"}:
        read_one_way(spec, head, read)
    elif spec.keys() & {"system", "record"}:
        read_two_way(spec, head, read)
    else:
        tables = ("source", "destination", "table", "system", "record")
        read.known(spec, ("pipeline", *tables, "notify"), "")
        read.known(head, (*PIPELINE_KEYS, "relay"), "pipeline")
        read_common(head, read)
    return None
