"""`preview`: what a start, or a run, would do to one request."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import parse_qsl, unquote

import typer
from rich.markup import escape
from rich.table import Table

from . import conditions
from .complete import active
from .context import CommandContext, context_of
from .exits import EXIT_NEVER_HIT, EXIT_REFUSED
from .forms import OwnOption, Verb
from .messages import Answer, explained
from .usage import Wrong, either, plain, shown

METHOD = "GET"
"""That of a request that is given as a path alone."""

REQUEST, REQUEST_HEADER, REQUEST_QUERY, REQUEST_FUNCTION = (
    "--request", "--request-header", "--request-query", "--request-function",
)  # fmt: skip
Asked = Annotated[
    str,
    typer.Option(
        REQUEST,
        metavar="<method path>",
        help="The request, such as 'GET /orders/1?debug=1'. The method may be left out; it is then GET.",
    ),
]
Headers = Annotated[
    list[str] | None,
    typer.Option(REQUEST_HEADER, metavar="<name=value>", help="A header of the request. Can be repeated."),
]
Query = Annotated[
    list[str] | None,
    typer.Option(
        REQUEST_QUERY,
        metavar="<name=value>",
        help="A name in the query of the request, and its value. Can be repeated, also with the same name.",
    ),
]
Function = Annotated[
    str | None,
    typer.Option(
        REQUEST_FUNCTION,
        metavar="<name>",
        help="The Lambda function that gets the request; empty for an application elsewhere. Default: any.",
    ),
]
OWN: Mapping[str, OwnOption] = {
    "request": (REQUEST, "", Asked),
    "request_header": (REQUEST_HEADER, None, Headers),
    "request_query": (REQUEST_QUERY, None, Query),
    "request_function": (REQUEST_FUNCTION, None, Function),
}
WHAT = "Preview what? Give an experiment with its options, or --run-id."
BOTH = "The options of a preview must stand after the experiment."
NO_REQUEST = "--request is required, such as --request 'GET /orders/1'."


def preview_run(
    typer_context: typer.Context,
    *,
    run_id: Annotated[
        str,
        typer.Option(
            "--run-id",
            metavar="<id>",
            autocompletion=active("run_id"),
            help="The run with this id; see `list` and `history`.",
        ),
    ] = "",
    request: Asked = "",
    request_header: Headers = None,
    request_query: Query = None,
    request_function: Function = None,
) -> None:
    """Preview a run. With an experiment after it, that one's command does everything."""
    if typer_context.invoked_subcommand:
        if run_id or request or request_header or request_query or request_function is not None:
            raise Wrong(BOTH, ctx=typer_context)
        return
    if not run_id:
        raise Wrong(WHAT, ctx=typer_context)
    preview_start(
        typer_context,
        {"run_id": run_id},
        request=request,
        request_header=request_header,
        request_query=request_query,
        request_function=request_function,
    )


def preview_start(
    typer_context: typer.Context,
    body: dict[str, Any],
    *,
    request: str,
    request_header: Sequence[str] | None,
    request_query: Sequence[str] | None,
    request_function: str | None,
) -> None:
    """Preview what `body` says: a start, or a run."""
    described = _request(typer_context, request, request_header or (), request_query or ())
    if request_function is not None:
        described["function"] = request_function
    context = context_of(typer_context)
    answer = context.remote.ask("POST", "/preview", {**body, "request": described})
    context.print_result(answer, *_drawn(context, answer, described))
    raise typer.Exit(exit_code(answer))


def exit_code(answer: Mapping[str, Any]) -> int:
    """Whether the request would be hit comes first: another run that is in the way is no answer to that."""
    if not answer["would_hit"]:
        return EXIT_NEVER_HIT
    return EXIT_REFUSED if answer["refused"] else 0


# The request, as it is typed


def _request(typer_context: typer.Context, typed: str, headers: Sequence[str], query: Sequence[str]) -> dict[str, Any]:
    """The request to send. Raises Wrong with everything that is wrong."""
    problems = [] if typed else [NO_REQUEST]
    method, _, address = typed.strip().rpartition(" ")
    path, _, in_path = address.partition("?")
    if typed and not path.startswith("/"):
        problems.append(f"{REQUEST} must be a method and a path, such as 'GET /orders/1'; got {shown(typed)}.")
    made: dict[str, Any] = {"method": (method.strip() or METHOD).upper(), "path": unquote(path)}
    pairs = [*parse_qsl(in_path, keep_blank_values=True), *_pairs(REQUEST_QUERY, query, problems)]
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    made["query"] = {name: each if len(each) > 1 else each[0] for name, each in values.items()}
    made["headers"] = _once(REQUEST_HEADER, list(_pairs(REQUEST_HEADER, headers, problems)), problems)
    if problems:
        raise Wrong("\n".join(problems), ctx=typer_context)
    return {name: value for name, value in made.items() if value}


def _pairs(option: str, typed: Sequence[str], problems: list[str]) -> Iterator[tuple[str, str]]:
    for each in typed:
        try:
            yield conditions.read(each)
        except ValueError as error:
            problems.append(f"{option} {error}")


def _once(option: str, pairs: Sequence[tuple[str, str]], problems: list[str]) -> dict[str, str]:
    names = [name.lower() for name, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        problems.append(f"{option} has {shown(twice)} more than once. Give each name once.")
    return dict(pairs)


# The answer


MARKS = {True: "[green]yes[/]", False: "[red]no[/]"}


def _drawn(context: CommandContext, answer: Mapping[str, Any], request: Mapping[str, Any]) -> Iterator[Any]:
    yield f"[bold]{escape(request['method'])} {escape(request['path'])}[/] {_verdict(answer)}"
    table = Table("matches", box=None, padding=(0, 2, 0, 0))
    for column in ("criterion", "allowed", "the request has"):
        table.add_column(column, overflow="fold")
    for each in answer["criteria"]:
        row = (_named(each["name"]), _text(each["allowed"]), _text(each["seen"]))
        table.add_row(_mark(each), *map(escape, row))
    yield table
    yield from (escape(f"fault: {_fault(each)}") for each in answer["faults"])
    if answer["refused"]:
        yield "[red]A start would be refused:[/]"
        yield from (escape(f"  {line}") for each in answer["refused"] for line in _refusal(context, each))


def _verdict(answer: Mapping[str, Any]) -> str:
    would_hit = answer["would_hit"]
    if answer.get("applies_to") == "dependency":
        return _verdict_on_calls(answer)
    if would_hit is False:
        return "[yellow]would not be hit[/]"
    likely = "" if would_hit is True else f", with a probability of {_percent(would_hit)}"
    dry = ". It is a dry run: nothing would be done to it" if answer.get("dry_run") else ""
    return f"[green]would be hit[/]{likely}{dry}"


def _verdict_on_calls(answer: Mapping[str, Any]) -> str:
    """Of a run about outgoing calls: whether the request makes any, nobody knows."""
    would_hit, calls = answer["would_hit"], f"calls to {escape(_dependency(answer))} that are made for it"
    if would_hit is False:
        return f"[yellow]{calls} would not be hit[/]"
    likely = "" if would_hit == 1 else f", each with a probability of {_percent(would_hit)}"
    dry = ". It is a dry run: nothing would be done to them" if answer.get("dry_run") else ""
    return f"[green]{calls} would be hit[/]{likely}{dry}"


def _dependency(answer: Mapping[str, Any]) -> str:
    return next((_text(each["allowed"]) for each in answer["criteria"] if each["name"] == "dependency"), "a dependency")


def _percent(share: float) -> str:
    return f"{share * 100:.6g} %"


def _mark(criterion: Mapping[str, Any]) -> str:
    if criterion["passes"] is not None:
        return MARKS[criterion["passes"]]
    likely = criterion["probability"]
    return "[yellow]unknown[/]" if likely is None else f"[yellow]{_percent(likely)}[/]"


def _named(name: str) -> str:
    """As a run shows its target: `target.headers.x-tenant` is "headers x-tenant"."""
    return name.removeprefix("target.").replace(".", " ", 1).replace("_", " ")


def _text(value: Any) -> str:  # noqa: ANN401 - JSON
    """In words; a condition as it is typed, without its name."""
    if value in (None, [], {}):
        return "-"
    if isinstance(value, list):
        return either(map(_text, value))
    if not isinstance(value, dict):
        return plain(value)
    if value.keys() <= conditions.KINDS:
        return conditions.in_words(value)
    return ", ".join(f"{name} {_text(each)}" for name, each in value.items() if each is not None)


def _fault(fault: Mapping[str, Any]) -> str:
    """What it is, what it was made with, and which share of the requests meets it."""
    own = {name: value for name, value in fault.items() if name not in ("kind", "share") and value is not None}
    parts = [f"{name.replace('_', ' ')} {_text(value)}" for name, value in own.items()]
    share = [f"{_percent(fault['share'])} of the hit requests"] if fault["share"] < 1 else []
    return " ".join([str(fault["kind"]), ", ".join([*parts, *share])]).strip()


def _refusal(context: CommandContext, refused: Mapping[str, Any]) -> Sequence[str]:
    """Why a start would be refused, as the start would say it."""
    content = {"error_message": refused["message"], **refused}
    answer = Answer(url="", status=0, content=content, program=context.program, command=context.command)
    return explained(answer).splitlines()


PREVIEW = Verb("preview", OWN, "--request 'GET /orders/1'", preview_start)
