"""``syncline conflicts``: fields that hold different concurrent values, and their end."""

from __future__ import annotations

from typing import Annotated

import typer

from syncline.cli.plain import counted, shown, written
from syncline.connectors.file.spec import OneWay, TwoWay
from syncline.connectors.report import MergedField
from syncline.connectors.running.run import PipelineRun
from syncline.engine.errors import RecordNotFound, UsageError

from .command import AsJson, PipelineFile, opened, output, print_json, waiting_for
from .status import has_begun
from .sync import conflict_as_json

SHORT = 8
"""Characters of a record's name that are shown at least."""


def conflicts(
    file: PipelineFile,
    resolve: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="RECORD FIELD",
            help="End this conflict; the beginning of the record's name is enough.",
            show_default=False,
        ),
    ] = None,
    take: Annotated[
        str | None,
        typer.Option(
            metavar="SYSTEM", help="The system whose value is the one.", show_default=False
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """List the fields that two systems changed at the same time, or decide one of them.

    The value that is shown until then was chosen by the field's policy.
    """
    if (resolve is None) != (take is None):
        raise typer.BadParameter("--resolve RECORD FIELD and --take SYSTEM belong together.")
    with opened(file) as run, waiting_for("Reading …"):
        found = _conflicts(run)
        if resolve is not None and take is not None:
            decided = _resolve(run, found, *resolve, take)
            found.remove(decided)
        else:
            decided = None
    if json:
        document = {"pipeline": run.pipeline.name, "conflicts": list(map(conflict_as_json, found))}
        print_json(document)
    elif decided is not None:
        value = shown(decided.values[take or ""])
        console = output()
        console.print(
            f"{decided.record} {shown(decided.label)} / {decided.field} is {value} of {take}."
        )
        console.print(f"The next pass takes it to the others: syncline sync {file}")
    else:
        _print(str(file), found)


def _conflicts(run: PipelineRun) -> list[MergedField]:
    if isinstance(run.pipeline, TwoWay):
        for name, system in run.systems.items():
            if not has_begun(system, run.pipeline.name):
                raise UsageError(
                    f"{run.pipeline.name} has not run yet in {name}, so no conflicts are known.",
                    hint="Run syncline sync FILE first.",
                )
    return run.conflicts()


def _resolve(
    run: PipelineRun, found: list[MergedField], rid: str, field: str, take: str
) -> MergedField:
    meant = [each for each in found if each.rid.startswith(rid) and each.field == field]
    if len({each.rid for each in meant}) > 1:
        raise UsageError(
            f"{len(meant)} records with such a conflict begin with {rid!r}.",
            hint="Give more of the record's name.",
        )
    if not meant:
        if isinstance(run.pipeline, OneWay):
            run.resolve(rid, field, take=take)  # which says that there are none
        raise RecordNotFound(
            f"There is no conflict of {field!r} in a record {rid!r}.",
            hint="syncline conflicts FILE lists them.",
        )
    if take not in meant[0].values:
        raise UsageError(
            f"{take!r} has no value in this conflict.",
            hint=f"Take that of {' or '.join(sorted(meant[0].values))}.",
        )
    run.resolve(meant[0].rid, field, take=take)
    return meant[0]


def _print(file: str, found: list[MergedField]) -> None:
    console = output()
    if not found:
        console.print("There are no conflicts.")
        return
    width = short_width([each.rid for each in found])
    for each in found:
        decided = "undecided" if each.policy == "surface" else f"decided by {each.policy}"
        console.print(
            f"{each.rid[:width]}  {each.record} {shown(each.label)} / {each.field}: {decided}",
            style="yellow",
        )
        in_use = _in_use(each)
        for name, value in each.values.items():
            mark = "*" if name in in_use else " "
            console.print(f"  {mark} {name}: {shown(value)}   ({written(each.at[name])})")
    example = found[0]
    system = next(iter(example.values))
    console.print(f"{counted(len(found), 'conflict')}; * is the value in use. To decide one:")
    console.print(
        f"  syncline conflicts {file} --resolve {example.rid[:width]} {example.field} "
        f"--take {system}"
    )


def _in_use(conflict: MergedField) -> list[str]:
    """The systems whose value all show at present: while it is undecided, that of the last."""
    if conflict.policy == "surface":
        return list(conflict.values)[-1:]
    return [name for name, value in conflict.values.items() if value == conflict.chosen]


def short_width(rids: list[str]) -> int:
    """How many characters tell these names apart, as git shortens its own."""
    width = SHORT
    distinct = len(set(rids))
    while len({rid[:width] for rid in rids}) < distinct:
        width += 1
    return width
