"""`history` and `report`."""

import json
import os
import sys
import time
import webbrowser
from collections.abc import Iterator, Mapping
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from ..errors import Misconfigured, UnknownRun
from . import render
from .complete import active, known
from .context import CommandContext, context_of
from .usage import Wrong, choice, number

KEPT_SECONDS = 24 * 3600.0
"""How long a report is kept that was shown in the browser and not asked to be saved."""


class Form(StrEnum):
    json = "json"
    markdown = "markdown"
    html = "html"


def history(
    typer_context: typer.Context,
    experiment: Annotated[
        str, typer.Option(metavar="<experiment>", autocompletion=known, help="Show entries of this experiment only.")
    ] = "",
    *,
    label: Annotated[
        str,
        typer.Option(metavar="<label>", autocompletion=active("label"), help="Show runs with this label only."),
    ] = "",
    since: Annotated[
        str, typer.Option(metavar="<time>", help="Show entries from this time on, such as 2026-11-24T09:00:00Z.")
    ] = "",
    limit: Annotated[
        int,
        typer.Option(
            parser=number("--limit", type="integer", minimum=1, maximum=100),
            metavar="<number>",
            help="Show at most this many entries. Allowed: from 1 to 100.",
        ),
    ] = 20,
    before: Annotated[
        str, typer.Option(metavar="<cursor>", help="Show entries older than this cursor, which the last page printed.")
    ] = "",
) -> None:
    """Show who did what, when and why, also what was refused. The newest entry is first."""
    context = context_of(typer_context)
    asked = {"limit": limit, "experiment_name": experiment, "label": label, "since": since, "before": before}
    page = context.remote.ask("GET", "/history?" + urlencode({name: value for name, value in asked.items() if value}))
    if sys.stdout.isatty():
        context.print_result(page, render.entries(page["entries"], context.console.width))
    else:
        context.print_text(page, render.lines(page["entries"]))
    if page["next"]:
        context.print_note(f"There may be older entries: add --before {page['next']}")


ReportForm = Annotated[
    Form,
    typer.Option(
        "--format",
        parser=choice("--format", Form),
        metavar="<json|markdown|html>",
        autocompletion=lambda: list(Form),
        help="The format of the report.",
    ),
]


def report(
    typer_context: typer.Context,
    run_id: Annotated[
        str,
        typer.Argument(
            metavar="run",
            autocompletion=active("run_id"),
            help="The id of a run; see `history`. Default: the last run.",
        ),
    ] = "",
    *,
    label: Annotated[
        str,
        typer.Option(metavar="<label>", autocompletion=active("label"), help="The last run with this label."),
    ] = "",
    form: ReportForm = Form.markdown,
    output: Annotated[
        Path | None, typer.Option(metavar="<file>", help="Write the report to this file instead of the terminal.")
    ] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Open the report in the browser, as HTML.")] = False,
) -> None:
    """Print a run's report, with the verdict on its hypothesis."""
    context = context_of(typer_context)
    if run_id and label:
        raise Wrong("Which run? Give its id or --label, not both.", ctx=typer_context)
    run_id = run_id or _last_run(context, {"label": label} if label else {})
    text = _report(context, run_id, _form(form, as_html=open_it, as_json=context.as_json))
    if open_it:
        _open(context, _saved(context, text, output or _shown_reports(time.time()) / f"{run_id}.html"))
    elif output:
        _saved(context, text, output)
    else:
        print(text)


def _form(form: Form, *, as_html: bool, as_json: bool) -> Form:
    """--json goes before --open, which goes before --format."""
    if as_json:
        return Form.json
    return Form.html if as_html else form


def _report(context: CommandContext, run_id: str, form: Form) -> str:
    text = context.remote.text("/report?" + urlencode({"run_id": run_id, "format": form.value}))
    return json.dumps(json.loads(text)["resultset"], indent=2) if form is Form.json else text


def _saved(context: CommandContext, text: str, output: Path) -> Path:
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Misconfigured(f"Cannot write the report to {output}: {error.strerror}. Give another --output.") from None
    context.print_note(f"The report is in {output}")
    return output


def _shown_reports(now: float) -> Path:
    """The user's own folder for reports that a browser shows: it reads them when this command is over."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(cache) / "chaos-experiments/reports"
    with suppress(OSError):  # which is told where the report is written
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for report in folder.glob("*.html"):
            if report.stat().st_mtime < now - KEPT_SECONDS:
                report.unlink(missing_ok=True)
    return folder


def _open(context: CommandContext, output: Path) -> None:
    if not webbrowser.open(output.resolve().as_uri()):
        context.print_note("No browser could be started. Open the file yourself.")


def _last_run(context: CommandContext, filters: Mapping[str, str]) -> str:
    for entry in _entries(context, filters):
        if entry["run"]:
            return str(entry["id"])
    if filters:
        raise UnknownRun(f"The history has no run with the label {filters['label']!r}. Runs are kept for 90 days.")
    raise UnknownRun("There is no run in the history yet: start an experiment first.")


def _entries(context: CommandContext, filters: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """The whole history, page by page."""
    asked = {"limit": 100, **filters}
    page = context.remote.ask("GET", "/history?" + urlencode(asked))
    yield from page["entries"]
    while page["next"]:
        page = context.remote.ask("GET", "/history?" + urlencode({**asked, "before": page["next"]}))
        yield from page["entries"]
