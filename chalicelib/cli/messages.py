"""What the application answered, in the words of the command line: it has options where the API has fields."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from .names import called, words
from .usage import LONGEST_SHOWN, either, near, shown

ARGUMENTS = {
    "experiment_name": "The name of the experiment",
    "run_id": "The id of the run",
    "headers": "--answer-header",
    "hypothesis.of": "--hypothesis-of",
    "first.requests": "--first",
    "first.key.header": "--key-header",
    "first.key.query": "--key-query",
    "sticky.header": "--sticky-header",
    "sticky.query": "--sticky-query",
    "request.path": "--request",
    "request.method": "--request",
    "request.headers": "--request-header",
    "request.query": "--request-query",
}
"""Fields of the API that are no options, or say too little as one, or are expected by another name."""

MAPS = ("target.headers", "target.query", "target.event", "request.headers", "request.query", "headers")
"""Fields whose own fields are names that a user gives."""

ITEM = re.compile(r"(\.[0-9]+)+$")
"""The end of the path of an item of a list."""

IN_A_FILE = "experiments."
"""How the fields of a scenario begin: it is in a file, and has no options."""

KINDS: Mapping[tuple[str, str], str] = {
    (
        "no_untouched_requests",
        "hypothesis",
    ): "The hypothesis is about requests that the run does not hit, and it hits all of them.\n"
    "Add --percentage 20 to hit only some, or --hypothesis-of hit to judge the requests that the run hits.",
    (
        "no_hit_requests",
        "hypothesis.of",
    ): "A dry run hits no request, so there is nothing to judge but the untouched ones.\n"
    "Leave out --hypothesis-of, or --dry-run.",
    ("no_time_to_hit", "ramp_seconds"): "--ramp-seconds must be at most --duration-seconds, less --baseline-seconds: "
    "otherwise the run is over before its share has grown to --percentage.",
    (
        "no_time_to_hit",
        "hypothesis.baseline_seconds",
    ): "--baseline-seconds must be less than --duration-seconds: nothing is hit before the baseline is over.",
}
"""What is wrong with several options together, by the API's word for it and the field."""

UNAUTHENTICATED, FORBIDDEN, TOO_MANY, SERVER_ERROR = 401, 403, 429, 500
HOW = "--token, CHAOS_TOKEN or a profile"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer that is no success, and what led to it.

    `content` is the API's envelope, `words` are what anything else answered in its place.
    `is_ours`: the endpoints are at this address.
    """

    url: str
    status: int
    content: Mapping[str, Any]
    words: str = ""
    location: str = ""
    is_ours: bool = True
    sent: Mapping[str, Any] = field(default_factory=dict)
    writes: bool = False
    token_from: str = ""
    program: str
    command: Callable[[str], str]
    """Completes a command for the same application, so that it can be pasted."""

    @property
    def code(self) -> str:
        """The API's word for it; a gateway before the API has none."""
        code = self.content.get("code")
        if isinstance(code, str):
            return code
        return CODES.get(self.status, UNEXPECTED) if self.is_ours else UNEXPECTED

    @property
    def resultset(self) -> Mapping[str, Any]:
        """What the API adds to some errors: the run that is running already, the halt."""
        return self.content.get("resultset") or {}

    @property
    def is_of_a_file(self) -> bool:
        """Whether it is about what is in a file, where there are fields and no options."""
        return "experiments" in self.sent

    @property
    def message(self) -> str:
        return str(self.content.get("error_message") or "")


UNEXPECTED = "unexpected_answer"
CODES: Mapping[int, str] = {UNAUTHENTICATED: "unauthenticated", FORBIDDEN: "forbidden"}


def explained(answer: Answer) -> str:
    """What is wrong, what is allowed, and the command or the option to go on with."""
    return MESSAGES.get(answer.code, _as_it_is)(answer) or _unexpected(answer)


def _as_it_is(answer: Answer) -> str:
    return answer.message


def _unauthenticated(answer: Answer) -> str:
    make = f"{answer.program} token create --stage <stage> --name <you> --role operator"
    if not answer.token_from:
        return (
            f"No token was given, and {answer.url} needs one. Give it with {HOW}.\n"
            f"In stage dev, the server prints a token when it starts. For another stage, create one:\n  {make}"
        )
    return (
        f"{answer.url} does not accept the token from {answer.token_from}: it is unknown there, revoked or expired.\n"
        "A token is valid for one stage. In stage dev, copy the token that the server printed. For another stage, "
        f"create one:\n  {make}"
    )


def _forbidden(answer: Answer) -> str:
    if answer.message:
        return f"{answer.message} Give the token of an operator with {HOW}."
    viewers = (
        "\nOr it is the token of a viewer, and this command needs the token of an operator." if answer.writes else ""
    )
    return _unauthenticated(answer) + viewers


def _already_running(answer: Answer) -> str:
    run = answer.resultset
    if "name" not in run:
        return answer.message
    until = f", and it ends in {run['remaining_seconds']:.0f} s" if run.get("end_time", True) else ""
    beside = ", --label with another name to run beside it" if run.get("label") else ""
    replace = f"Add --restart to replace that run{beside}"
    if answer.is_of_a_file:
        replace = 'Give it "restart": true in the file to replace that run, or another "label" to run beside it'
    return (
        f"{called(run)} is already running: {run['started_by'] or 'somebody'} started it{until}.\n"
        f"{replace}, or stop it: {answer.command(f'stop {words(run)}')}"
    )


def _too_many_runs(answer: Answer) -> str:
    return f"{answer.message}\nSee what runs, and stop what is not needed: {answer.command('watch')}"


def _unknown_endpoint(answer: Answer) -> str:
    return f"{answer.message}\nIt has an older version of the module, which does not have this command: update it."


def _halted(answer: Answer) -> str:
    halt = answer.resultset
    if "halted_by" not in halt:
        return answer.message
    return (
        f"Halted by {halt['halted_by']} at {halt['halted_at']}: {halt['reason']}. Nothing can be started.\n"
        f"An operator ends the halt: {answer.command('resume')}"
    )


def _alarm_active(answer: Answer) -> str:
    return f"{answer.message}\nTo start without it, leave out --alarm."


def _unknown_alarm(answer: Answer) -> str:
    return f"{answer.message}\nCheck the names after --alarm, and the region of the application."


def _unknown_experiment(answer: Answer) -> str:
    if answer.is_of_a_file:
        return answer.message
    name = str(answer.sent.get("experiment_name", ""))
    names = answer.resultset.get("available_experiments", [])
    likely = near(name, names)
    hint = f" Did you mean {either(likely)}?" if likely else ""
    return f"There is no experiment {shown(name)}.{hint} Available: {', '.join(names)}."


def _unknown_run(answer: Answer) -> str:
    way, asked = next(((way, answer.sent[way]) for way in ("label", "scenario") if way in answer.sent), ("", ""))
    found = f"with the {way} {shown(str(asked))}" if way else shown(str(answer.sent.get("run_id", "")))
    listed = answer.command("history")
    return f"The history has no run {found}. Runs are kept for 90 days.\nList the runs: {listed}"


def _missing_parameter(answer: Answer) -> str:
    """An older version, asked about one run, misses what it knows alone."""
    if "experiment_name" in answer.sent or not NEWER.intersection(answer.sent):
        return answer.message
    return (
        "The application has an older version of the module, which takes the name of an experiment alone. Give that "
        "instead of --label, --run-id or --scenario, or update the application."
    )


NEWER = frozenset(("label", "run_id", "scenario"))
"""What the application may be asked about instead of an experiment."""


def _invalid_parameters(answer: Answer) -> str:
    details: Sequence[Mapping[str, Any]] = answer.content.get("details", ())
    return "\n".join(_problem(each, answer.sent) for each in details) or answer.message


def _problem(detail: Mapping[str, Any], sent: Mapping[str, Any]) -> str:
    name, problem, allowed = (str(detail.get(each, "")) for each in ("field", "problem", "allowed"))
    of_all = KINDS.get((str(detail.get("kind")), name))
    if of_all:
        return of_all
    named = name if name.startswith(IN_A_FILE) else _option_of(name, sent)
    return f"{named} {problem}." if allowed in problem else f"{named} {problem}. Allowed: {allowed}."


def _option_of(field: str, sent: Mapping[str, Any]) -> str:
    """The option of a field that was sent, or of an item of it, or of a name in it."""
    of_names = next((each for each in MAPS if field.startswith(f"{each}.")), "")
    whole = of_names or ITEM.sub("", field)
    named = option(whole, is_list=isinstance(_inner(sent, whole.split(".")), list | dict))
    return f"{named} {field.removeprefix(f'{of_names}.')}" if of_names else named


def _inner(content: Any, path: Iterable[str]) -> Any:  # noqa: ANN401 - JSON
    """What is within what was sent; None if there is nothing."""
    for name in path:
        if isinstance(content, list) and name.isdigit():
            content = content[int(name)] if int(name) < len(content) else None
        else:
            content = content.get(name) if isinstance(content, Mapping) else None
    return content


def option(field: str, *, is_list: bool = False) -> str:
    """The option of a field of the API, whose path has dots: the name of the field, without that of the object.

    One that is repeated has the name of one value: --alarm for `alarms`.
    """
    name = field.rpartition(".")[2].replace("_", "-")
    return ARGUMENTS.get(field, f"--{name.removesuffix('s') if is_list else name}")


MESSAGES: Mapping[str, Callable[[Answer], str]] = {
    "unauthenticated": _unauthenticated,
    "forbidden": _forbidden,
    "already_running": _already_running,
    "halted": _halted,
    "alarm_active": _alarm_active,
    "unknown_alarm": _unknown_alarm,
    "too_many_runs": _too_many_runs,
    "unknown_endpoint": _unknown_endpoint,
    "unknown_experiment": _unknown_experiment,
    "unknown_run": _unknown_run,
    "missing_parameter": _missing_parameter,
    "invalid_parameters": _invalid_parameters,
}
"""By the API's code. For any other code the API's own message is printed."""


def _unexpected(answer: Answer) -> str:
    phrase = HTTPStatus(answer.status).phrase if answer.status in set(HTTPStatus) else ""
    summary = f"{answer.url} answered {answer.status} {phrase}".rstrip()
    if answer.words:
        summary += f" ({answer.words[:LONGEST_SHOWN]})"
    if answer.location:
        return (
            f"{summary}: the address is now {answer.location}. Give the new address with --url, CHAOS_URL or a profile."
        )
    if answer.status == TOO_MANY:
        return f"{summary}. Try again later."
    if answer.is_ours:
        return f"{summary}. This is the answer of something else: a proxy, a gateway or the application. Read its log."
    return (
        f"{summary}, which is not an answer of the chaos experiments. Is the address right?\n"
        "It ends in the prefix of the endpoints, such as http://localhost:8000/chaos_experiments. Give it with --url, "
        "CHAOS_URL or a profile."
    )
