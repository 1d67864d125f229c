"""Renders answers for a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table

from .usage import allowed, plain

Shown = Mapping[str, Any]
VERDICTS = {"held": "[green]held[/]", "failed": "[red]failed[/]", "too_few_requests": "[yellow]too few requests[/]"}
STATUSES = {"running": "[cyan]running[/]", "aborted": "[red]aborted[/]", "inactive": "[dim]never ran[/]"}
BAR = 36


def seconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value * 1000:.3g} ms" if value < 1 else f"{value:.3g} s"


def experiments(listed: Shown) -> RenderableType:
    """What can be started, with its options."""
    parts: list[RenderableType] = []
    for each in listed["available_experiments"]:
        table = Table(box=None, padding=(0, 2, 0, 0))
        for column in ("option", "default", "allowed"):
            table.add_column(column, style="dim" if column != "option" else "")
        for name, schema in each["parameters"]["properties"].items():
            table.add_row(f"--{name.replace('_', '-')}", plain(schema["default"]), allowed(schema) or "yes or no")
        parts += [f"[bold]{each['name']}[/]  {escape(each['description'])}", table, ""]
    return Group(*parts)


def stage(listed: Shown) -> str:
    """The application and its stage, and why nothing can be started there."""
    colour = "white on red" if listed.get("production") else "white on blue"
    text = f"[{colour}] {escape(listed.get('application', ''))} {escape(listed.get('stage', '')).upper()} [/]"
    if listed.get("halt"):
        halt = listed["halt"]
        text += f" [red]halted by {escape(halt['halted_by'])}: {escape(halt['reason'])}[/]"
    elif listed.get("locked"):
        text += " [red]locked: the stage is named like production, so nothing can be started[/]"
    return text


def run(shown: Shown) -> RenderableType:
    """A run: the time that is left, its results, the verdict on its hypothesis."""
    status = STATUSES.get(shown["status"], shown["status"])
    head = f"[bold]{shown['name']}[/] {status}"
    if shown["status"] == "inactive":
        return head
    parts: list[RenderableType] = [head]
    total = shown["parameters"]["duration_seconds"]
    if shown["status"] == "running":
        bar = Table.grid()  # a bar alone does not end its line
        bar.add_row(ProgressBar(total=total, completed=total - shown["remaining_seconds"], width=BAR))
        parts.append(bar)
        parts.append(
            f"{shown['remaining_seconds']:.0f} s left of {total:g} s, started by {escape(shown['started_by'])}"
        )
    elif shown["ended_by"]:
        why = f": {escape(shown['end_reason'])}" if shown["end_reason"] else ""
        parts.append(f"ended by {escape(shown['ended_by'])}{why}")
    parts += _results(shown["results"])
    if shown.get("hypothesis"):
        hypothesis = shown["hypothesis"]
        so_far = ", so far" if shown["status"] == "running" else ""
        parts.append(f"Hypothesis{so_far}: {VERDICTS[hypothesis['verdict']]}. {escape(hypothesis['explanation'])}")
    if shown["defect"]:
        parts.append(f"[red]Defect: {escape(shown['defect'])}[/]")
    return Group(*parts)


def _results(results: Shown) -> list[RenderableType]:
    if not results:
        return ["[dim]No results yet: there were no requests, or their counts are not flushed yet.[/]"]
    where = "1 environment" if results["environments"] == 1 else f"{results['environments']} environments"
    figures = [f"{results['requests']} requests, {results['requests_hit']} hit, in {where}"]
    if results["injected_errors"]:
        figures.append(f"injected errors {results['actual_error_rate']:.1%}")
    if results["injected_delay_seconds"]:
        figures.append(f"total delay {seconds(results['injected_delay_seconds'])}")
    if results["held_memory_mb"]:
        figures.append(f"total memory {results['held_memory_mb']} MB")
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("", "requests", "50 %", "95 %", "99 %"):
        table.add_column(column, justify="right" if column else "left")
    for side in ("hit", "untouched"):
        each = results[side]
        table.add_row(side, str(each["requests"]), *(seconds(each[f"p{p}_seconds"]) for p in (50, 95, 99)))
    return [", ".join(figures), table]


NARROW = 110
"""A window with fewer columns has lines instead of a table."""


def lines(history: Sequence[Shown]) -> str:
    """One line an entry, for other programs."""
    return "\n".join("\t".join(" ".join(cell.split()) for cell in _entry(entry)) for entry in history)


def entries(history: Sequence[Shown], width: int) -> RenderableType:
    rows = [_entry(entry) for entry in history]
    if width < NARROW:
        return Group(*("\n".join(map(escape, filter(None, row))) + "\n" for row in rows))
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("time (UTC)", "what", "by, reason", "outcome", "run"):
        table.add_column(column, overflow="fold", no_wrap=column in ("what", "run"))
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def _entry(entry: Shown) -> tuple[str, ...]:
    shown = entry["run"]
    how = str(entry["details"].get("message", ""))
    if shown:
        how = shown["status"] + (f": {shown['end_reason']}" if shown["end_reason"] else "")
    what = shown["name"] if shown else entry["action"]
    why = entry["by"] + (f": {entry['reason']}" if entry["reason"] else "")
    return entry["at"][:19].replace("T", " "), what, why, how, entry["id"] if shown else ""


def bars(counts: Mapping[str, int]) -> RenderableType:
    """How many of each, as bars."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    most = max(counts.values(), default=1)
    for name, count in counts.items():
        table.add_row(escape(name), str(count), ProgressBar(total=most, completed=count, width=BAR // 2))
    return table
