"""What a pass did, as people read it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from syncline.cli.plain import counted, plain, plural, shown, written
from syncline.connectors.bookkeeping.quarantine import Quarantined
from syncline.connectors.file.spec import OneWay, TwoWay
from syncline.connectors.report import Flow, MergedField, MergedRecord, PassReport, RefusedRow

EXAMPLES = 5
"""Conflicts, merges and refused rows that are shown of each."""

_CLEANED = {
    "E164": ("phone number", "reformatted"),
    "Email": ("email address", "normalized"),
    "URL": ("web address", "normalized"),
    "Date": ("date", "reformatted"),
    "DateTime": ("time", "reformatted"),
    "Decimal": ("number", "reformatted"),
    "Integer": ("number", "reformatted"),
    "Boolean": ("yes or no", "reformatted"),
    "Country": ("country", "standardized"),
    "Currency": ("currency", "standardized"),
    "Language": ("language", "standardized"),
    "IBAN": ("IBAN", "reformatted"),
    "VAT": ("VAT number", "reformatted"),
    "text": ("text", "tidied"),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a report: a label, how many, and the rest, which is ``near`` when it says what
    was counted. A label of "" continues the line before."""

    label: str
    count: int | None
    text: str
    style: str = "bold"
    near: bool = False


def print_report(console: Console, report: PassReport, pipeline: OneWay | TwoWay) -> None:
    """All that a pass did, or would do."""
    for line in layout(report_lines(report, pipeline)):
        console.print(line)
    for notice in report.notices:
        console.print(plain(notice))
    console.print(_ending(report))


def report_lines(report: PassReport, pipeline: OneWay | TwoWay) -> list[Line]:
    """What a pass did; nothing, if there was nothing to do."""
    return [*_flows(report, pipeline), *_findings(report)]


def layout(lines: Iterable[Line]) -> Iterator[Text]:
    """The lines, with labels and numbers in columns."""
    rows = list(lines)
    width = max((len(row.label) for row in rows), default=0)
    digits = max((len(f"{row.count:,}") for row in rows if row.count is not None), default=0)
    for row in rows:
        count = f"{row.count:,}" if row.count is not None else ""
        gap = " " if row.near else "   "
        rest = f"   {count:>{digits}}{gap}{row.text}" if digits else f"   {row.text}"
        yield Text.assemble((f"{row.label:<{width}}", row.style), rest.rstrip())


def _flows(report: PassReport, pipeline: OneWay | TwoWay) -> Iterator[Line]:
    flows = {names: report.flows[names] for names in _in_order(report, pipeline)}
    cleaned = cleanings(report)
    digits = max((len(f"{flow.fields:,}") for flow in flows.values()), default=0)
    noun = _noun(pipeline)
    counts = [_what(flow, noun, digits) for flow in flows.values()]
    width = max(map(len, counts), default=0)
    own = [(source, target) for source, target in flows if _is_own(source, target, pipeline)]
    # They are not counted by direction, so only one line may say them.
    told = (own or list(flows))[0] if len(own or flows) == 1 else None
    for (names, flow), what in zip(flows.items(), counts, strict=True):
        parts = [", ".join(_details(flow)), ", ".join(cleaned if names == told else ())]
        details = "; ".join(filter(None, parts))
        text = f"{what:<{width}}   ({details})" if details else what
        yield Line(_label(*names, pipeline), flow.rows, text, near=True)
    if cleaned and told is None:
        yield Line("cleaned", report.cleaned.total(), ", ".join(cleaned))


def _in_order(report: PassReport, pipeline: OneWay | TwoWay) -> list[tuple[str, str]]:
    """The flows in which there were rows: of a two-way pipeline first what was cleaned, and the
    systems in the order of the file, since which of them was first is chance."""
    found = [names for names, flow in report.flows.items() if flow.rows]
    if not isinstance(pipeline, TwoWay):
        return found
    rank = {name: number for number, name in enumerate(pipeline.systems)}  # the relay is last
    return sorted(
        found,
        key=lambda names: (names[0] != names[1], *(rank.get(each, len(rank)) for each in names)),
    )


def _is_own(source: str, target: str, pipeline: OneWay | TwoWay) -> bool:
    """Whether these are rows that a system wrote anew as its rules want them."""
    return source == target and isinstance(pipeline, TwoWay)


def _label(source: str, target: str, pipeline: OneWay | TwoWay) -> str:
    if _is_own(source, target, pipeline):
        return f"cleaned in {source}"
    return source if source == target else f"{source} -> {target}"


def _what(flow: Flow, noun: str, digits: int) -> str:
    what = noun if flow.rows == 1 else plural(noun)
    if not flow.fields:
        return what
    return f"{what}, {flow.fields:>{digits},} {'field' if flow.fields == 1 else 'fields'}"


def _noun(pipeline: OneWay | TwoWay) -> str:
    if isinstance(pipeline, TwoWay):
        return next(iter(pipeline.records)) if len(pipeline.records) == 1 else "record"
    return "row"


def _details(flow: Flow) -> list[str]:
    if flow.rows in (flow.inserted, flow.deleted):
        return ["new" if flow.inserted else "deleted"]
    named = ((flow.inserted, "new"), (flow.deleted, "deleted"))
    return [f"{number:,} {what}" for number, what in named if number]


def cleanings(report: PassReport) -> list[str]:
    """What the rules changed: ``9 phone numbers reformatted``."""
    found: list[str] = []
    for rule, number in report.cleaned.most_common():
        if rule in _CLEANED:
            noun, done = _CLEANED[rule]
            found.append(f"{counted(number, noun)} {done}")
        else:
            found.append(f"{counted(number, 'value')} of {rule} cleaned")
    return found


def _findings(report: PassReport) -> Iterator[Line]:
    yield from _examples(
        "merged by field", report.merged_count, [describe_merge(each) for each in report.merged]
    )
    label = "conflict" if report.conflict_count == 1 else "conflicts"
    conflicts = [describe_conflict(each) for each in report.conflicts]
    yield from _examples(label, report.conflict_count, conflicts, "yellow")
    refused = [describe_refusal(each) for each in report.refused]
    yield from _examples("quarantined", report.refused_count, refused, "yellow")
    for reason in report.waiting.values():
        yield Line("waiting", None, plain(reason), "red")
    for table, reason in report.left_out.items():
        yield Line("left out", None, plain(f"{table}: {reason}"), "red")


def _examples(label: str, count: int, examples: list[str], style: str = "bold") -> Iterator[Line]:
    for place, example in enumerate(examples[:EXAMPLES]):
        first = place == 0
        yield Line(label if first else "", count if first else None, example, style)
    if count > len(examples[:EXAMPLES]) > 0:
        yield Line("", None, f"… and {count - len(examples[:EXAMPLES]):,} more", style)


def describe_merge(merged: MergedRecord) -> str:
    by_field = ", ".join(f"{name} from {system}" for name, system in merged.fields.items())
    return f"{shown(merged.label)}: {by_field}"


def describe_conflict(conflict: MergedField) -> str:
    """``Li Wei / email: crm li@a.com 14:01:30, accounting li@b.com 14:03:02 -> newest``."""
    values = ", ".join(
        f"{name} {shown(value)} {written(conflict.at[name])}"
        for name, value in conflict.values.items()
    )
    outcome = "undecided" if conflict.policy == "surface" else conflict.policy
    return f"{shown(conflict.label)} / {conflict.field}: {values} -> {outcome}"


def describe_refusal(row: RefusedRow) -> str:
    """``accounting customers 881: phone "n/a" is not a phone number``."""
    return _refused(row.system, row.table, row.key, row.refusal.field, row.refusal.message)


def describe_held(entry: Quarantined) -> str:
    return _refused(entry.system, entry.table, entry.key, entry.field, entry.message)


def _refused(system: str, table: str, key: str, field: str, message: str) -> str:
    what = f"{field} " if field else ""
    return plain(f"{system} {table} {key}: {what}{message.removesuffix('.')}")


def _ending(report: PassReport) -> str:
    more = " More is left: sync again." if report.more else ""
    if report.changed and not report.dry_run:
        return f"Wrote {counted(report.changed, 'row')}.{more}"
    if report.changed or report.waiting:
        return f"Nothing was written.{more}"
    return "Nothing to do." if report.dry_run else f"Nothing had changed.{more}"
