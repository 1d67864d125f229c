"""`test`: sends requests, and shows how they were answered."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from typing import Annotated, NamedTuple

import typer
import urllib3

from ..api.endpoints import METHODS, PREFIX
from ..own_calls import own_calls
from ..results.tally import bucket, upper_bound
from . import conditions, render
from .address import address_or_path
from .context import CommandContext, context_of
from .exits import EXIT_UNREACHABLE
from .remote import REASONS
from .usage import Wrong, either, number, parser, shown

TIMEOUT_SECONDS = 65.0
"""Longer than the longest delay that can be injected."""


def _method(text: str) -> str:
    if text.upper() not in METHODS:
        raise ValueError(f"must be {either(METHODS)}; got {shown(text)}.")
    return text.upper()


Requests = Annotated[
    int,
    typer.Option(
        parser=number("--requests", type="integer", minimum=1, maximum=10_000),
        metavar="<number>",
        help="How many requests to send. Allowed: from 1 to 10000.",
    ),
]
Concurrency = Annotated[
    int,
    typer.Option(
        parser=number("--concurrency", type="integer", minimum=1, maximum=64),
        metavar="<number>",
        help="How many of them at a time. Allowed: from 1 to 64.",
    ),
]
TargetAddress = Annotated[
    str | None,
    typer.Option(
        parser=parser("--target", address_or_path),
        metavar="<path or address>",
        help="A route of the application, such as /orders, or an address. Its requests count as everybody's. "
        "Default: the test endpoint, which does nothing by itself and counts in no result.",
    ),
]
Method = Annotated[
    str,
    typer.Option(
        parser=parser("--method", _method),
        metavar="<method>",
        autocompletion=lambda: list(METHODS),
        help="The HTTP method of the requests.",
    ),
]
Headers = Annotated[
    list[str] | None,
    typer.Option(metavar="<name=value>", help="A header of the requests, such as x-tenant=acme. Can be repeated."),
]


def load_test(
    typer_context: typer.Context,
    *,
    requests: Requests = 20,
    concurrency: Concurrency = 4,
    target: TargetAddress = None,
    method: Method = "GET",
    header: Headers = None,
) -> None:
    """Send requests, and show status codes and response times.

    Also shows which experiments hit the requests. Needs no token. Requests to the test endpoint are in no result and no
    verdict; to have something to judge, send them to a route of the application: --target /orders.
    """
    context = context_of(typer_context)
    if not target:
        context.remote.locate()
        context.print_note(NOT_COUNTED)
    url = _url(context, target)
    sent = _Request(method, url, _headers(header or (), typer_context))
    pool = urllib3.PoolManager(maxsize=concurrency, timeout=TIMEOUT_SECONDS, retries=False)
    with ThreadPoolExecutor(concurrency) as threads:
        answers = list(threads.map(_measured, repeat(pool, requests), repeat(sent)))
    _draw(context, url, answers)
    if not any(answer.status.isdigit() for answer in answers):
        raise typer.Exit(EXIT_UNREACHABLE)


NOT_COUNTED = (
    "Note: requests to the test endpoint count in no result and no verdict.\n"
    "To send requests that count, name a route of the application: --target /"
)


def _url(context: CommandContext, target: str | None) -> str:
    """Where to send the requests. A path is one of the application that the endpoints belong to."""
    if target is None:
        return f"{context.remote.url}/test"
    if not target.startswith("/"):
        return target
    context.remote.locate()
    return context.remote.url.removesuffix(PREFIX) + target


UNTOUCHED = "untouched"


WOULD_HIT = "X-Chaos-Dry-Run"


class _Request(NamedTuple):
    """What is sent, again and again."""

    method: str
    url: str
    headers: Mapping[str, str]


def _headers(typed: Sequence[str], typer_context: typer.Context) -> Mapping[str, str]:
    try:
        return conditions.read_all(typed)
    except ValueError as error:
        raise Wrong(f"--header {error}", ctx=typer_context) from None


class _Answer(NamedTuple):
    """What came of one request: a status code, or the class of the error; and the experiments that hit it."""

    status: str
    seconds: float
    hit_by: str


@own_calls()
def _measured(pool: urllib3.PoolManager, sent: _Request) -> _Answer:
    began = time.perf_counter()
    try:
        answer = pool.request(sent.method, sent.url, headers=sent.headers)
    except urllib3.exceptions.HTTPError as error:
        return _Answer(type(error).__name__, time.perf_counter() - began, UNTOUCHED)
    return _Answer(str(answer.status), time.perf_counter() - began, _hit_by(answer.headers))


def _hit_by(headers: Mapping[str, str]) -> str:
    rehearsed = [f"{name} (dry run)" for name in headers.get(WOULD_HIT, "").split(", ") if name]
    return ", ".join([*filter(None, [headers.get("X-Chaos-Experiment")]), *rehearsed]) or UNTOUCHED


def _draw(context: CommandContext, url: str, answers: Sequence[_Answer]) -> None:
    statuses = Counter(answer.status for answer in answers)
    touched = Counter(answer.hit_by for answer in answers)
    named = Counter(REASONS.get(answer.status, answer.status) for answer in answers)
    buckets = Counter(bucket(answer.seconds) // 4 * 4 for answer in answers)
    times = {f"up to {render.seconds(upper_bound(number + 4))}": buckets[number] for number in sorted(buckets)}
    summary = {"url": url, "requests": len(answers), "statuses": statuses, "touched": touched, "times": times}
    context.print_result(
        summary,
        f"{len(answers)} requests to {url}",
        "[bold]Status codes[/]", render.bars(named),
        "[bold]Hit by[/]", render.bars(touched),
        "[bold]Response times[/]", render.bars(times),
    )  # fmt: skip
