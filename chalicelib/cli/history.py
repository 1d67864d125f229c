"""What happened, and reports of it."""

import json
import sys
import tempfile
import webbrowser
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

import typer

from ..errors import Misconfigured, UnknownRun
from . import show
from .complete import known
from .desk import Desk, desk_of


class Form(StrEnum):
    json = "json"
    markdown = "markdown"
    html = "html"


def history(
    context: typer.Context,
    experiment: Annotated[str, typer.Option(help="Of which experiment alone.", autocompletion=known)] = "",
    since: Annotated[str, typer.Option(help="From when on, in ISO 8601.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many.")] = 20,
    before: Annotated[str, typer.Option(help="The page before which one, as the page itself says.")] = "",
) -> None:
    """Show who did or tried what, when and why; the newest first."""
    desk = desk_of(context)
    asked = {"limit": limit, "experiment_name": experiment, "since": since, "before": before}
    page = desk.remote.ask("GET", "/history?" + urlencode({name: value for name, value in asked.items() if value}))
    if sys.stdout.isatty():
        desk.give(page, show.entries(page["entries"], desk.console.width))
    else:
        desk.say(page, show.lines(page["entries"]))
    if page["next"]:
        desk.tell(f"Older: --before {page['next']}")


def report(
    context: typer.Context,
    run_id: Annotated[str, typer.Argument(help="Of which run, as `history` tells it (default: the last one).")] = "",
    form: Annotated[Form, typer.Option("--format", help="In which form.")] = Form.markdown,
    output: Annotated[Path | None, typer.Option(help="Into which file.")] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Show it as a page in the browser.")] = False,
) -> None:
    """Tell what a run was, what it did, and what came of it."""
    desk = desk_of(context)
    run_id = run_id or _last_run(desk)
    form = Form.json if desk.as_json else Form.html if open_it else form
    text = desk.remote.text("/report?" + urlencode({"run_id": run_id, "format": form.value}))
    if form is Form.json:
        text = json.dumps(json.loads(text)["resultset"], indent=2)
    if open_it and output is None:
        output = Path(tempfile.mkdtemp(prefix="chaos-report-")) / f"{run_id}.html"
    if output is None:
        print(text)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Misconfigured(f"The report cannot be written to {output}: {error.strerror}.") from None
    desk.tell(f"The report is in {output}")
    if open_it and not webbrowser.open(output.resolve().as_uri()):
        desk.tell("There is no browser here to show it.")


def _last_run(desk: Desk) -> str:
    page = desk.remote.ask("GET", "/history?limit=100")
    while True:
        for entry in page["entries"]:
            if entry["run"]:
                return str(entry["id"])
        if not page["next"]:
            raise UnknownRun("There was no run yet.")
        page = desk.remote.ask("GET", "/history?" + urlencode({"limit": 100, "before": page["next"]}))
