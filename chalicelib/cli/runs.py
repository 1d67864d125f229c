"""What can be started and what is running; `stop`; and `test`, which shows what requests meet."""

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

from ..results.tally import bucket, upper_bound
from . import render
from .address import address
from .complete import known
from .context import Desk, desk_of
from .exits import UNREACHABLE
from .remote import REASONS, Refused, Unreachable, is_passing
from .usage import number, parser

Experiment = Annotated[
    str,
    typer.Argument(metavar="experiment", help="Its name, such as latency_injection.", autocompletion=known),
]


def list_experiments(context: typer.Context) -> None:
    """List the experiments with their options, and what is running."""
    desk = desk_of(context)
    listed = desk.remote.ask("GET", "/list")
    desk.give(
        listed, render.stage(listed), "", render.experiments(listed), *map(render.run, listed["active_experiments"])
    )


def stop(
    context: typer.Context,
    experiment: Experiment,
    reason: Annotated[str, typer.Option(metavar="<text>", help="Why it is stopped, for the history.")] = "",
) -> None:
    """Stop an experiment. It takes a second to reach every process of the application."""
    desk = desk_of(context)
    body = {"experiment_name": experiment, **({"reason": reason} if reason else {})}
    run = desk.remote.ask("POST", "/stop", body)
    desk.give(run, render.run(run))


def status(context: typer.Context, experiment: Experiment) -> None:
    """Show the current run of an experiment, or the last one."""
    desk = desk_of(context)
    run = desk.remote.ask("GET", "/status?" + urlencode({"experiment_name": experiment}))
    desk.give(run, render.run(run))


def watch(context: typer.Context) -> None:
    """Show what is running, once a second until Ctrl-C. Where the output is no terminal, only once."""
    desk = desk_of(context)
    listed = desk.remote.ask("GET", "/list")
    if not desk.is_live:
        desk.give(listed, _running(listed))
        return
    try:
        with Live(_running(listed), console=desk.console, auto_refresh=False) as live:
            while True:
                time.sleep(1)
                live.update(_running_or_why_not(desk), refresh=True)
    except KeyboardInterrupt:
        return


def _running_or_why_not(desk: Desk) -> RenderableType:
    """What is running, or what is wrong at the moment."""
    try:
        return _running(desk.remote.ask("GET", "/list"))
    except (Refused, Unreachable) as error:
        if not is_passing(error):
            raise
        return f"[red]{escape(error.message)}[/] Trying again."


def _running(listed: dict[str, Any]) -> RenderableType:
    runs = [render.run(run) for run in listed["active_experiments"]]
    return Group(render.stage(listed), *(runs or ["[dim]Nothing is running.[/]"]))


def test(
    context: typer.Context,
    requests: Annotated[
        int,
        typer.Option(
            parser=number("--requests", type="integer", minimum=1, maximum=10_000),
            metavar="<number>",
            help="How many requests to send. Allowed: from 1 to 10000.",
        ),
    ] = 20,
    concurrency: Annotated[
        int,
        typer.Option(
            parser=number("--concurrency", type="integer", minimum=1, maximum=64),
            metavar="<number>",
            help="How many of them at a time. Allowed: from 1 to 64.",
        ),
    ] = 4,
    target: Annotated[
        str | None,
        typer.Option(
            parser=parser("--target", address),
            metavar="<address>",
            help="An address of the application. Default: the test endpoint, which does nothing by itself.",
        ),
    ] = None,
) -> None:
    """Send requests, and show status codes and response times.

    Also shows which experiments hit the requests. Needs no token.
    """
    desk = desk_of(context)
    if not target:
        desk.remote.locate()
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
    named = {REASONS.get(status, status): count for status, count in statuses.items()}
    buckets = Counter(bucket(seconds) // 4 * 4 for _, seconds, _ in answers)
    times = {f"up to {render.seconds(upper_bound(number + 4))}": buckets[number] for number in sorted(buckets)}
    told = {"url": url, "requests": len(answers), "statuses": statuses, "touched": touched, "times": times}
    desk.give(
        told,
        f"{len(answers)} requests to {url}",
        "[bold]Status codes[/]", render.bars(named),
        "[bold]Hit by[/]", render.bars(touched),
        "[bold]Response times[/]", render.bars(times),
    )  # fmt: skip
