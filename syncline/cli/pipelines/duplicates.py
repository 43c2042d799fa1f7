"""``syncline duplicates``: rows that may be the same twice."""

from __future__ import annotations

from typing import Annotated

import typer

from syncline.cli.plain import counted, plain, shown
from syncline.connectors.near_duplicates import NearDuplicate, near_duplicates

from .command import AsJson, PipelineFile, opened, output, print_json, waiting_for

SHOWN = 50
"""Pairs that are printed; --json has all."""


def duplicates(
    file: PipelineFile,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[RECORD|TABLE]", help="Only this one; else all.", show_default=False
        ),
    ] = None,
    threshold: Annotated[
        float, typer.Option(min=1, max=100, help="How similar; 100 is equal.")
    ] = 90.0,
    json: AsJson = False,
) -> None:
    """List rows that may be the same twice, for review: nothing is merged.

    Correct or delete one of two in its database; the next pass takes that to the others.
    """
    with opened(file) as run, waiting_for("Comparing …"):
        found = near_duplicates(run, name, threshold)
    if json:
        print_json({"pipeline": run.pipeline.name, "pairs": [each._asdict() for each in found]})
    else:
        _print(found)


def _print(found: list[NearDuplicate]) -> None:
    console = output()
    for pair in found[:SHOWN]:
        first, second = map(plain, pair.keys)
        console.print(f"{pair.score:5.1f}  {pair.name} {first} and {second} of {pair.system}")
        for field, (ours, theirs) in pair.fields.items():
            if ours is None and theirs is None:
                continue
            same = ours == theirs
            values = shown(ours) if same else f"{shown(ours)} | {shown(theirs)}"
            console.print(f"       {field}: {values}")
    if len(found) > SHOWN:
        console.print(f"… and {len(found) - SHOWN:,} more.")
    console.print(f"{counted(len(found), 'pair')} to look at." if found else "No near-duplicates.")
