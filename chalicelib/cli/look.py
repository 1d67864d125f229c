"""What there is and what runs; a stop, and a test of what is felt."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any
from urllib.parse import urlencode

import typer
import urllib3
from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape

from ..runs.tally import bucket, upper_bound
from . import show
from .complete import known
from .desk import Desk, desk_of
from .exits import UNREACHABLE
from .remote import Refused, Unreachable, is_passing

Experiment = Annotated[str, typer.Argument(help="Its name, such as latency_injection.", autocompletion=known)]


def list_experiments(context: typer.Context) -> None:
    """Show what can be started, with which options, and what runs."""
    desk = desk_of(context)
    listed = desk.remote.ask("GET", "/list")
    desk.give(listed, show.stage(listed), "", show.experiments(listed), *map(show.run, listed["active_experiments"]))


def stop(
    context: typer.Context, experiment: Experiment, reason: Annotated[str, typer.Option(help="For the history.")] = ""
) -> None:
    """Stop an experiment; every environment obeys within a second."""
    desk = desk_of(context)
    body = {"experiment_name": experiment, **({"reason": reason} if reason else {})}
    run = desk.remote.ask("POST", "/stop", body)
    desk.give(run, show.run(run))


def status(context: typer.Context, experiment: Experiment) -> None:
    """Show the run that is running, or the last one."""
    desk = desk_of(context)
    run = desk.remote.ask("GET", "/status?" + urlencode({"experiment_name": experiment}))
    desk.give(run, show.run(run))


def watch(context: typer.Context) -> None:
    """Show what runs, until Ctrl-C. Where there is no terminal, once."""
    desk = desk_of(context)
    listed = desk.remote.ask("GET", "/list")
    if not desk.is_live:
        desk.give(listed, _running(listed))
        return
    try:
        with Live(_running(listed), console=desk.console, auto_refresh=False) as live:
            while True:
                time.sleep(1)
                live.update(_running_or_silent(desk), refresh=True)
    except KeyboardInterrupt:
        return


def _running_or_silent(desk: Desk) -> RenderableType:
    """What cannot be told at the moment may be told at the next."""
    try:
        return _running(desk.remote.ask("GET", "/list"))
    except (Refused, Unreachable) as error:
        if not is_passing(error):
            raise
        return f"[red]{escape(error.message)}[/] Trying again."


def _running(listed: dict[str, Any]) -> RenderableType:
    runs = [show.run(run) for run in listed["active_experiments"]]
    return Group(show.stage(listed), *(runs or ["[dim]Nothing runs.[/]"]))


def test(
    context: typer.Context,
    requests: Annotated[int, typer.Option(min=1, max=10_000, help="How many.")] = 20,
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="How many at a time.")] = 4,
    target: Annotated[str, typer.Option(help="A URL of the application (default: the test endpoint).")] = "",
) -> None:
    """Send requests, and draw what came back."""
    desk = desk_of(context)
    url = target or f"{desk.remote.url}/test"
    pool = urllib3.PoolManager(maxsize=concurrency, timeout=65.0, retries=False)

    def ask(_number: int) -> tuple[str, float, str]:
        began = time.perf_counter()
        try:
            answer = pool.request("GET", url)
        except urllib3.exceptions.HTTPError as error:
            return type(error).__name__, time.perf_counter() - began, ""
        return str(answer.status), time.perf_counter() - began, answer.headers.get("X-Chaos-Experiment", "")

    with ThreadPoolExecutor(concurrency) as threads:
        answers = list(threads.map(ask, range(requests)))
    _draw(desk, url, answers)
    if not any(status.isdigit() for status, _, _ in answers):
        raise typer.Exit(UNREACHABLE)


def _draw(desk: Desk, url: str, answers: list[tuple[str, float, str]]) -> None:
    statuses = Counter(status for status, _, _ in answers)
    touched = Counter(names or "untouched" for _, _, names in answers)
    buckets = Counter(bucket(seconds) // 4 * 4 for _, seconds, _ in answers)
    times = {f"up to {show.seconds(upper_bound(number + 4))}": buckets[number] for number in sorted(buckets)}
    told = {"url": url, "requests": len(answers), "statuses": statuses, "touched": touched, "times": times}
    desk.give(
        told,
        f"{len(answers)} requests to {url}",
        "[bold]Answers[/]", show.bars(statuses),
        "[bold]Touched by[/]", show.bars(touched),
        "[bold]Times[/]", show.bars(times),
    )  # fmt: skip
