"""``syncline verify FILE.toml``: whether the systems of a pipeline show the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from syncline.cli.exit_codes import ExitCode
from syncline.cli.plain import counted, plain, shown
from syncline.connectors.bookkeeping.quarantine import KEY_RULE
from syncline.connectors.verification import RowDifference, SideCount, Verification

from .command import opened, output, print_json, waiting_for

SHOWN = 50
"""Differences that are shown as text; JSON has them as far as they are named."""


def verify_pipeline(file: Path, *, json: bool) -> None:
    """Compare all rows of all systems. Exit code 3 means that they are not equal."""
    with opened(file) as run, waiting_for("Comparing all rows …"):
        found = run.verify()
    if json:
        print_json(verification_as_json(found))
    else:
        _print(file, found)
    if not found.equal:
        raise typer.Exit(ExitCode.PROBLEMS)


def verification_as_json(found: Verification) -> dict[str, Any]:
    return {
        "pipeline": found.pipeline,
        "equal": found.equal,
        "rows": found.rows,
        "quarantined": found.quarantined,
        "pending": found.waiting,
        "left_out": found.left_out,
        "sides": [side_as_json(each) for each in found.sides],
        "difference_count": found.count,
        "differences": [
            {
                "name": each.name,
                "keys": each.keys,
                "missing_in": each.missing_in or None,
                "fields": each.fields,
            }
            for each in found.differences
        ],
    }


def side_as_json(side: SideCount) -> dict[str, Any]:
    return {
        "name": side.name,
        "system": side.system,
        "other": side.other,
        "rows": side.rows,
        "equal": side.equal,
        "different": side.different,
        "missing": side.missing,
        "held": dict(side.held),
        "ignored": side.ignored,
        "unread": side.unread,
        "partly": side.partly,
    }


def _print(file: Path, found: Verification) -> None:
    console = output()
    for each in found.differences[:SHOWN]:
        console.print(describe_difference(each), style="yellow")
    if found.count > SHOWN:
        console.print(f"… and {found.count - min(found.count, SHOWN):,} more")
    rows = ", ".join(f"{name} {number:,}" for name, number in found.rows.items())
    console.print(f"Rows compared: {rows or 'none'}.")
    for side in found.sides:
        if not side.compared or side.ignored or side.unread or side.partly or KEY_RULE in side.held:
            console.print(f"  {describe_side(side)}")
    if found.quarantined:
        rows = counted(found.quarantined, "row")
        console.print(f"{rows} in quarantine left out: syncline quarantine {file}")
    for name, reason in found.left_out.items():
        console.print(f"{name} is left out: {plain(reason)}", style="red")
    for name, number in found.waiting.items():
        if number:
            waits = "waits" if number == 1 else "wait"
            console.print(f"{counted(number, 'change')} of {name} {waits}: syncline sync {file}")
    if found.count:
        console.print(f"Not equal: {counted(found.count, 'difference')}.", style="bold red")
        if not any(found.waiting.values()):
            name = found.differences[0].name
            console.print(f"To compare and write anew: syncline resync {file} {name}")
    elif found.left_out:
        console.print("Not equal: there are tables that are left out.", style="bold red")
    elif found.unproven:
        console.print(
            "Not known to be equal: there are rows of which nothing can be said.", style="bold red"
        )
    elif found.equal:
        console.print("Equal.", style="bold green")
    else:
        console.print("Not equal until these changes have gone on.", style="bold red")


def describe_side(side: SideCount) -> str:
    """``contact in crm, with accounting: 12 of 14 rows compared; 1 held (E164 1); …``."""
    about = f"{side.name} in {side.system}, with {side.other}"
    if not side.rows:
        return f"{about}: it has no rows"
    parts = [f"{side.compared:,} of {counted(side.rows, 'row')} compared"]
    if side.partly:
        parts.append(f"{side.partly:,} of them but for fields in quarantine")
    if side.held:
        reasons = ", ".join(f"{plain(rule)} {number:,}" for rule, number in side.held.items())
        parts.append(f"{side.held.total():,} held ({reasons})")
    if side.ignored:
        parts.append(f"{side.ignored:,} left alone by a rule")
    if side.unread:
        parts.append(f"{side.unread:,} beyond a page without a readable key")
    return f"{about}: {'; '.join(parts)}"


def describe_difference(each: RowDifference) -> str:
    """``contact crm 12, accounting 881: email crm a@x.org, accounting b@x.org``."""
    keys = ", ".join(f"{system} {plain(key)}" for system, key in each.keys.items())
    if each.missing_in:
        return f"{each.name} {keys}: missing in {each.missing_in}"
    fields = "; ".join(
        f"{name} {', '.join(f'{system} {shown(value)}' for system, value in values.items())}"
        for name, values in each.fields.items()
    )
    return f"{each.name} {keys}: {fields}"
