"""`table`: where runs and tokens are kept."""

from typing import Annotated

import typer

from ..dynamodb.table import create_table
from .desk import desk_of
from .stages import settings_of

app = typer.Typer(help="Where runs and tokens are kept.", no_args_is_help=True)


@app.callback()
def table() -> None:
    pass


@app.command()
def create(
    context: typer.Context, stage: Annotated[str, typer.Option(help="Of which stage (default: CHAOS_STAGE).")] = ""
) -> None:
    """Make the table when it is missing."""
    settings = settings_of(stage)
    made = create_table(settings)
    told = f"The table {settings.table} {'is made' if made else 'was there already'}."
    desk_of(context).say({"table": settings.table, "made": made}, told)
