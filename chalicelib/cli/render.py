"""Renders answers for a terminal."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table

from .conditions import spelt
from .names import Shown, called
from .options import parameter_options
from .usage import either, plain

VERDICTS = {
    "held": "[green]held[/]",
    "failed": "[red]failed[/]",
    "too_few_requests": "[yellow]no verdict, too few requests[/]",
    "cannot_tell": "[yellow]no verdict[/]",
}
STATUSES = {"running": "[cyan]running[/]", "aborted": "[red]aborted[/]", "inactive": "[dim]never ran[/]"}
BAR = 36
BOTH = 2


def seconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value * 1000:.3g} ms" if value < 1 else f"{value:.3g} s"


def experiments(listed: Shown) -> RenderableType:
    """What can be started, with its options."""
    parts: list[RenderableType] = []
    for each in listed["available_experiments"]:
        table = Table("option", box=None, padding=(0, 2, 0, 0))
        table.add_column("default", style="dim")
        table.add_column("allowed", style="dim")
        for parameter in parameter_options(each["parameters"]["properties"]):
            default = parameter.schema.get("default")
            table.add_row(parameter.name, "-" if default is None else plain(default), escape(parameter.choice))
        parts += [f"[bold]{each['name']}[/]  {escape(each['description'])}", table, ""]
    return Group(*parts)


def stage(listed: Shown) -> str:
    """The application and its stage, why nothing can be started there, and what to know before a start."""
    colour = "white on red" if listed.get("production") else "white on blue"
    text = f"[{colour}] {escape(listed.get('application', ''))} {escape(listed.get('stage', '')).upper()} [/]"
    if listed.get("halt"):
        halt = listed["halt"]
        text += f" [red]halted by {escape(halt['halted_by'])}: {escape(halt['reason'])}[/]"
    elif listed.get("locked"):
        text += " [red]locked: the stage is named like production, so nothing can be started[/]"
    return "\n".join([text, *(f"[yellow]Warning: {escape(each)}[/]" for each in listed.get("warnings", ()))])


def run(shown: Shown) -> RenderableType:
    """A run: the time that is left, its results, the verdict on its hypothesis."""
    dry = " [magenta]dry run[/]" if shown.get("dry_run") else ""
    head = f"[bold]{escape(called(shown))}[/] {STATUSES.get(shown['status'], shown['status'])}{dry}"
    if shown["status"] == "inactive":
        return head
    parts = [head, *_time(shown), *_aim(shown), *_results(shown["results"])]
    if shown.get("hypothesis"):
        parts += _hypothesis(shown["hypothesis"], ", so far" if shown["status"] == "running" else "")
    recovery = shown["results"].get("recovery")
    if recovery:
        colour = "yellow" if recovery["recovered_after_seconds"] is None else "green"
        parts.append(f"After the run: [{colour}]{escape(recovery['explanation'])}[/]")
    if shown["defect"]:
        parts.append(f"[red]Defect: {escape(shown['defect'])}[/]")
    return Group(*parts)


def _hypothesis(hypothesis: Shown, so_far: str) -> Iterator[str]:
    """The verdict; where hit and untouched requests are judged, one for each of them, too."""
    verdict = VERDICTS.get(hypothesis["verdict"], hypothesis["verdict"])
    sides = hypothesis.get("sides", {})
    if len(sides) < BOTH:
        yield f"Hypothesis{so_far}: {verdict}. {escape(hypothesis['explanation'])}"
        return
    yield f"Hypothesis{so_far}: {verdict}."
    for side, judged in sides.items():
        verdict = VERDICTS.get(judged["verdict"], judged["verdict"])
        yield f"  {side.capitalize()} requests: {verdict}. {escape(judged['explanation'])}"


def _time(shown: Shown) -> Iterator[RenderableType]:
    """The time that is left, or who ended the run and why."""
    total, left = shown["parameters"].get("duration_seconds"), shown["remaining_seconds"]
    if shown["status"] == "running" and total is None:  # one that the application cannot read
        yield f"{left:.0f} s left" if left else "ends when it is stopped"
    elif shown["status"] == "running":
        bar = Table.grid()  # a bar alone does not end its line
        bar.add_row(ProgressBar(total=total, completed=total - left, width=BAR))
        yield bar
        yield f"{left:.0f} s left of {total:g} s, started by {escape(shown['started_by'])}"
        baseline = (shown.get("hypothesis") or {}).get("baseline_seconds", 0.0) - (total - left)
        if baseline > 0:
            yield f"[dim]Baseline: nothing is hit for {baseline:.0f} s more.[/]"
    elif shown["status"] == "completed" and shown["end_reason"]:
        yield escape(f"completed before its time: {shown['end_reason']}")
    elif shown["ended_by"]:
        yield f"ended by {escape(_because(shown['ended_by'], shown['end_reason']))}"


def _aim(shown: Shown) -> Iterator[str]:
    """Which calls the run may hit and how many, where not all of them; and the scenario that it is of."""
    target = shown.get("target") or {}
    if text := ", ".join(f"{name.replace('_', ' ')} {_criterion(value)}" for name, value in target.items()):
        yield escape(f"target: {text}")
    options = {name: shown[name] for name in LIMITED if shown.get(name) not in (None, False)}
    if text := ", ".join(f"{name.replace('_', ' ')} {LIMITED[name](value)}" for name, value in options.items()):
        yield escape(text)
    if shown.get("scenario"):
        yield f"[dim]scenario {escape(shown['scenario'])}[/]"


def _criterion(value: Any) -> str:  # noqa: ANN401 - JSON
    """What a target says about one thing, as it is typed."""
    if isinstance(value, Mapping):
        return " and ".join(spelt(name, condition) for name, condition in value.items())
    return either(map(str, value)) if isinstance(value, list) and value else plain(value)


def _key(key: Shown) -> str:
    return ", ".join(f"{place} {name}" for place, name in key.items() if name)


def _first(first: Shown) -> str:
    key = _key(first.get("key") or {})
    return f"{first['requests']} of each {key}" if key else str(first["requests"])


LIMITED: Mapping[str, Callable[[Any], str]] = {
    "max_requests": plain,
    "first": _first,
    "every": plain,
    "sticky": _key,
    "seed": str,
    "ramp_seconds": lambda value: f"{plain(value)} s",
    "propagate": lambda _value: "to other services",
}
"""The options that say which calls are hit beside the target, and how each is shown."""


def _because(what: str, why: str | None) -> str:
    return f"{what}: {why}" if why else what


def _aimed(results: Shown) -> Iterator[str]:
    """What an aim came to, where the run has one."""
    yield from _would_hit(results)
    if results.get("matched") is not None:
        matched = f"{results['matched']:,}"
        yield f"{matched} calls matched" if _is_about_calls(results) else f"{matched} matched the target"
    if results.get("unreached"):
        yield f"{results['unreached']:,} could not be made to fail"
    if results.get("without_key"):
        yield f"{results['without_key']:,} without the key"


def _would_hit(results: Shown) -> Iterator[str]:
    if results.get("would_hit") is not None:
        calls = f"{results['matched']:,} calls" if _is_about_calls(results) else f"{results['requests']:,}"
        yield f"would hit {results['would_hit']:,} of {calls}"


def _is_about_calls(results: Shown) -> bool:
    return results.get("dependencies") is not None


def _dependency(each: Shown) -> Iterator[str]:
    """What came of the calls to one dependency, and of the requests that made them."""
    client = f" by {each['client']}" if each["client"] else ""
    counts = f"{each['calls']:,} calls, {each['calls_hit']:,} hit, {each['errors']:,} failed"
    yield f"[bold]{escape(each['name'])}[/]{escape(client)}: {counts}"
    attempts, hit = each["calls_per_request"]["hit"], each["requests"]["hit"]
    if hit:
        usual = each["amplification"]
        times = "" if usual is None else f", {usual:.3g} times as many as of untouched ones"
        yield f"  {attempts:.3g} calls a request that was hit{times}"
        ends = ", ".join(f"{each[end]:,} {end}" for end in ("survived", "degraded", "failed"))
        yield f"  of {hit:,} such requests {ends}: effective error rate {each['effective_error_rate']:.1%}"


COUNTERS: Mapping[str, Callable[[Shown], str]] = {
    "injected_errors": lambda results: f"injected errors {results['actual_error_rate']:.1%}",
    "injected_delay_seconds": lambda results: f"total delay {seconds(results['injected_delay_seconds'])}",
    "died": lambda results: f"{results['died']} began and were never answered",
    "open": lambda results: f"{results['open']} not answered yet",
    "held_memory_mb": lambda results: f"total memory {results['held_memory_mb']} MB",
}
"""How what was done to requests is shown, where it is not zero."""


def _results(results: Shown) -> list[RenderableType]:
    if not results:
        return ["[dim]No results yet: there were no requests, or their counts are not flushed yet.[/]"]
    is_empty = not (results["requests"] or results.get("died") or results.get("dependencies"))
    if is_empty and "efficacy" in results:
        return [*_remarks(results), *_audit(results)]
    where = "1 environment" if results["environments"] == 1 else f"{results['environments']} environments"
    figures = [f"{results['requests']} requests, {results['requests_hit']} hit, in {where}", *_aimed(results)]
    figures += [render(results) for counter, render in COUNTERS.items() if results.get(counter)]
    others = [each for each in results.get("counters", ()) if each["name"] not in COUNTERS]
    figures += [escape(f"{each['title'].lower()}: {each['value']:.10g} {each['unit']}") for each in others]
    table = Table("", box=None, padding=(0, 2, 0, 0))
    for column in ("requests", "50 %", "95 %", "99 %"):
        table.add_column(column, justify="right")
    for side in ("hit", "untouched"):
        times = map(results[side].get, ("p50_seconds", "p95_seconds", "p99_seconds"))
        table.add_row(side, str(results[side]["requests"]), *map(seconds, times))
    dependencies = [line for each in results.get("dependencies") or () for line in _dependency(each)]
    return [", ".join(figures), table, *dependencies, *_remarks(results), *_audit(results)]


def _audit(results: Shown) -> Iterator[str]:
    """What is wrong with retries and time-outs of outgoing calls, and what to do about it."""
    for found in results.get("audit") or ():
        where = f"{found['place'] or 'unknown place'}: {found['client']} to {found['dependency']}"
        yield f"[yellow]{escape(found['finding'].replace('_', ' '))}[/] {escape(where)}"
        yield f"  {escape(found['explanation'])} {escape(found['remedy'])}"


def _remarks(results: Shown) -> Iterator[str]:
    """What a reader would take the figures for otherwise."""
    if results.get("efficacy", "confirmed") != "confirmed":
        yield f"[yellow]{escape(results['efficacy_explanation'])}[/]"
    test = results.get("test") or {}
    if test.get("requests"):
        yield f"[dim]Calls to the test endpoint: {test['requests']}, {test['hit']} hit. They count nowhere else.[/]"


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
    """Cells: time, what, who and why, what came of it, the id of the run."""
    at, why = entry["at"][:19].replace("T", " "), _because(entry["by"], entry["reason"])
    run = entry["run"]
    if run:
        outcome = ", ".join([run["status"], *_rehearsed(run)])
        return at, called(run), why, _because(outcome, run["end_reason"]), entry["id"]
    return at, entry["action"], why, str(entry["details"].get("message", "")), ""


def _rehearsed(run: Shown) -> Iterator[str]:
    """That it was a dry run, and what it would have hit."""
    if run.get("dry_run"):
        yield "dry run"
        yield from _would_hit(run["results"])


def bars(counts: Mapping[str, int]) -> RenderableType:
    """How many of each, as bars."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    most = max(counts.values(), default=1)
    for name, count in counts.items():
        table.add_row(escape(name), str(count), ProgressBar(total=most, completed=count, width=BAR // 2))
    return table
