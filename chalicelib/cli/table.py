"""`table`: where runs, history and tokens are kept."""

from typing import Annotated

import typer

from ..dynamodb.table import create_table
from .context import context_of
from .stages import settings_of
from .usage import Commands

app = typer.Typer(help="Create the table of a stage, for runs, history and tokens.", cls=Commands, no_args_is_help=True)


@app.callback()
def table() -> None:
    pass


@app.command()
def create(
    typer_context: typer.Context,
    stage: Annotated[str, typer.Option(metavar="<stage>", help="The stage. Default: CHAOS_STAGE.")] = "",
) -> None:
    """Create the table of a stage, unless it exists. Needs AWS credentials."""
    settings = settings_of(stage)
    made = create_table(settings)
    text = f"Created the table {settings.table}." if made else f"The table {settings.table} exists already."
    context_of(typer_context).print_text({"table": settings.table, "made": made}, text)
