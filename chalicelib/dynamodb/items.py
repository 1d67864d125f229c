"""What runs and events look like in the table. Every version reads the envelope of a run that any version wrote.

The envelope of a run is a handful of plain attributes: what it takes to list, stop and halt it. The rest are two JSON
objects, `parameters` and `options`. An option that a newer version adds is kept and echoed by this one.

An item of what runs is a run, whatever is in it: its key ends with the run's label. One whose envelope is damaged is
listed with what can be read, stopped and halted. A damaged halt is a halt. In the history, the results and the tokens
what cannot be read is left out.

`format` counts the meanings of these objects: a version that makes a run mean something that older ones would inject
wrongly raises it. A run of a higher format than ours, or with JSON that is none, is `unreadable`: it is listed, stopped
and halted, and never injected. Format 1 (items without the attribute) had the options `reason`, `alarms` and
`hypothesis` as attributes of their own, and the same `parameters`: versions of that format see, inject and stop the
runs of format 2, too, but do not know their options; alarms and hypotheses are then watched by the others.
Format 3 are runs with a target of environments or a baseline, of which versions before it would hit too much, and
format 4 those with any other criterion, or with a limit, a key, a ramp, a dry run or verdicts that travel. All others
are still written as format 2, so that those versions go on to inject them.

The label is an attribute where it is not the experiment's name. Versions before labels expect the experiment's name in
the key: they list, stop and halt a run with a label as a damaged one, and do not inject it.
"""

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, cast

from pynamodb.attributes import Attribute, BooleanAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.expressions.condition import Condition

from ..runs.event import Action, Event
from ..runs.observation import Observation
from ..runs.run import FOREVER, NEVER, Run
from .table import RETENTION_SECONDS, Item, ttl

log = logging.getLogger(__name__)

T = TypeVar("T")

FORMAT = 4
FORMAT_OF_ENVIRONMENTS = 3
"""Of a run with a baseline, or a target of environments alone."""

FORMAT_OF_ALL_REQUESTS = 2
"""Of a run with neither: an older version hits the same requests."""

SINCE_FORMAT_4 = frozenset({"max_requests", "first", "every", "sticky", "seed", "ramp_seconds", "dry_run", "propagate"})
"""Options without which an older version would hit too much. (A target of more than environments, too.)"""

RUN = "run#"
HALT = "halt"
OBSERVE = "observe"
"""Sort keys in the scope's partition: that of a run ends with its label."""

HISTORY = "history#"
LAST = "last#"
"""Partition keys, before the scope: of all runs and events, and of the last run of each experiment and label."""

LATEST = 32_503_680_000.0
"""The year 3000, in epoch seconds: a later time is a damaged one."""

OPTION_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "reason": str,
    "alarms": list,
    "hypothesis": dict,
    "target": dict,
    "max_requests": int,
    "first": dict,
    "every": int,
    "sticky": dict,
    "seed": str,
    "ramp_seconds": (int, float),
    "dry_run": bool,
    "propagate": bool,
}
MOST_DIGITS = 18
"""Of a whole number: one with more is damaged."""

LONGEST_ID = 64
DEEPEST = 20
"""How many objects and lists within each other are read."""

DAMAGED = (LookupError, TypeError, ValueError, AttributeError, RecursionError)
"""What reading an item fails with that is not as it should be."""

UNREADABLE_HALT = "The item of the halt in the table is damaged, so everything is halted until somebody resumes."

Raw = Mapping[str, Mapping[str, Any]]
"""An item as DynamoDB gives it: one that cannot be read fails where it is read, and nowhere else."""


class RunItem(Item):
    format = NumberAttribute()
    run_id = UnicodeAttribute()
    experiment = UnicodeAttribute()
    label = UnicodeAttribute(null=True)
    scenario = UnicodeAttribute(null=True)
    started_at = NumberAttribute()
    expires_at = NumberAttribute()
    started_by = UnicodeAttribute()
    started_from = UnicodeAttribute(null=True)
    ended_at = NumberAttribute(null=True)
    ended_by = UnicodeAttribute(null=True)
    ended_from = UnicodeAttribute(null=True)
    end_reason = UnicodeAttribute(null=True)
    aborted = BooleanAttribute(null=True)
    is_spent = BooleanAttribute(null=True)
    defect = UnicodeAttribute(null=True)
    parameters = UnicodeAttribute()
    options = UnicodeAttribute(null=True)


class LastRunItem(Item):
    """Which run was the last one of the experiment that the key names, and which one had it as its label."""

    run_id = UnicodeAttribute(null=True)
    labelled = UnicodeAttribute(null=True)


class EventItem(Item):
    event_id = UnicodeAttribute()
    action = UnicodeAttribute()
    at = NumberAttribute()
    by = UnicodeAttribute()
    source = UnicodeAttribute(null=True)
    reason = UnicodeAttribute(null=True)
    experiment = UnicodeAttribute(null=True)
    details = UnicodeAttribute(null=True)


class HaltItem(EventItem):
    """In effect as long as it is there. Format 1 left it there, and wrote when it was resumed from."""

    resumed_at = NumberAttribute(null=True)


class ObservationItem(Item):
    """Asks all environments to observe their outgoing calls. It says by itself until when."""

    began = NumberAttribute()
    until = NumberAttribute()


def is_typed(attribute: Attribute[Any]) -> Condition:
    """Whether the item has the attribute, and it is of the type that it is to be of."""
    return cast("Condition", attribute.is_type())  # type: ignore[no-untyped-call]


def attributes_of_run(run: Run) -> dict[str, Any]:
    """Those of a run that has not ended."""
    return {
        "format": format_of(run),
        "run_id": run.run_id,
        "experiment": run.experiment,
        "label": run.label if run.label != run.experiment else None,
        "scenario": run.scenario,
        "started_at": run.started_at,
        "expires_at": run.expires_at,
        "started_by": run.started_by,
        "started_from": run.started_from or None,
        "parameters": json.dumps(run.parameters),
        "options": json.dumps(run.options) if run.options else None,
    }


def format_of(run: Run) -> int:
    """The lowest one whose versions hit the right requests."""
    target = run.options.get("target", {})
    if run.options.keys() & SINCE_FORMAT_4 or target.keys() - {"environments_percentage"}:
        return FORMAT
    return FORMAT_OF_ENVIRONMENTS if target or run.hits_from > run.started_at else FORMAT_OF_ALL_REQUESTS


def attributes_of_event(event: Event) -> dict[str, Any]:
    return {
        "event_id": event.event_id,
        "action": event.action,
        "at": event.at,
        "by": event.by,
        "source": event.source or None,
        "reason": event.reason,
        "experiment": event.experiment,
        "details": json.dumps(event.details) if event.details else None,
    }


def retention(epoch_seconds: float) -> Any:  # noqa: ANN401 - as pynamodb types it
    """From when on the table may forget what happened then."""
    return ttl(epoch_seconds + RETENTION_SECONDS)


def read_run(raw: Raw) -> Run | None:
    """The run of an item; None, logged, where even the envelope cannot be read."""
    try:
        return Run(
            run_id=raw["run_id"]["S"],
            experiment=raw["experiment"]["S"],
            label=_text(raw, "label") or "",
            scenario=_text(raw, "scenario"),
            started_at=moment(raw, "started_at"),
            expires_at=moment(raw, "expires_at"),
            started_by=raw["started_by"]["S"],
            started_from=_text(raw, "started_from") or "",
            ended_at=moment(raw, "ended_at") if "ended_at" in raw else None,
            ended_by=_text(raw, "ended_by"),
            ended_from=_text(raw, "ended_from"),
            end_reason=_text(raw, "end_reason"),
            aborted=bool(raw.get("aborted", {}).get("BOOL")),
            is_spent=bool(raw.get("is_spent", {}).get("BOOL")),
            defect=_text(raw, "defect"),
            **_content(raw),
        )
    except DAMAGED as error:
        log.debug("Cannot read the item %s: %r", raw.get("sk"), error)
        return None


def read_current(raw: Raw) -> Run:
    """The run of an item of what runs. Its key says which label it has, whatever else it says."""
    label = raw["sk"]["S"].removeprefix(RUN)
    run = read_run(raw)
    if run and run.label == label and is_identifier(run.run_id):
        return run
    return Run(
        run_id=_readable(raw, "run_id", _required_text, RUN + label),
        experiment=_damaged_experiment(raw, label),
        label=label,
        parameters={},
        started_at=_readable(raw, "started_at", moment, NEVER),
        expires_at=_readable(raw, "expires_at", moment, FOREVER),
        started_by=_readable(raw, "started_by", _required_text, ""),
        started_from=_readable(raw, "started_from", _required_text, ""),
        unreadable=True,
        damaged=True,
    )


def _damaged_experiment(raw: Raw, label: str) -> str:
    """The one that the item names, where it also says that its key is a label; otherwise that is its name."""
    if not label or _readable(raw, "label", _required_text, "") != label:
        return label
    return _readable(raw, "experiment", _required_text, "") or label


def is_identifier(run_id: str) -> bool:
    """Whether a run of this id can be in the history."""
    return 1 <= len(run_id) <= LONGEST_ID and run_id.isascii() and run_id.isprintable() and " " not in run_id


def is_halt(raw: Raw) -> bool:
    """Whether an item of the scope's partition is a halt that is in effect."""
    return bool(raw["sk"]["S"] == HALT and "N" not in raw.get("resumed_at", {}))


def read_observation(found: Iterable[Raw]) -> Observation | None:
    """The observation among the items of the scope's partition; None, too, where it cannot be read."""
    for raw in found:
        if raw["sk"]["S"] == OBSERVE:
            try:
                return Observation(moment(raw, "began"), moment(raw, "until"))
            except DAMAGED as error:
                log.debug("Cannot read the item %s: %r", OBSERVE, error)
    return None


def read_halt(raw: Raw) -> Event:
    """The halt of its item, which is one whatever is in it."""
    return read_event(raw) or Event(
        event_id=HALT,
        at=_readable(raw, "at", moment, 0.0),
        action="halt",
        by=_readable(raw, "by", _required_text, "unknown"),
        reason=_readable(raw, "reason", _required_text, UNREADABLE_HALT),
    )


def read_event(raw: Raw) -> Event | None:
    """The event of an item; None, logged, where it cannot be read."""
    try:
        return Event(
            event_id=raw["event_id"]["S"],
            at=moment(raw, "at"),
            action=cast("Action", raw["action"]["S"]),
            by=raw["by"]["S"],
            source=_text(raw, "source") or "",
            reason=_text(raw, "reason"),
            experiment=_text(raw, "experiment"),
            details=_object(raw, "details"),
        )
    except DAMAGED as error:
        log.debug("Cannot read the item %s: %r", raw.get("sk"), error)
        return None


def _content(raw: Raw) -> dict[str, Any]:
    """What is not of the envelope."""
    try:
        if (_number(raw, "format") or 1) <= FORMAT:
            options = _object(raw, "options") if "format" in raw else _options_of_format_1(raw)
            _check_options(options)
            return {"parameters": _object(raw, "parameters"), "options": options}
    except DAMAGED:
        pass  # as one of a format that is not known
    return {"parameters": {}, "options": {}, "unreadable": True}


def _check_options(options: Mapping[str, Any]) -> None:
    """Those that are shown are of the types that they are shown as. Raises TypeError."""
    for name in options.keys() & OPTION_TYPES.keys():
        if not isinstance(options[name], OPTION_TYPES[name]):
            raise TypeError(f"{name} is of another type")
    if not all(isinstance(alarm, str) for alarm in options.get("alarms", ())):
        raise TypeError("alarms are no texts")


def _options_of_format_1(raw: Raw) -> dict[str, Any]:
    options = {
        "reason": _text(raw, "reason"),
        "alarms": _json(_text(raw, "alarms") or "[]"),
        "hypothesis": _object(raw, "hypothesis"),
    }
    return {name: value for name, value in options.items() if value}


def _object(raw: Raw, name: str) -> dict[str, Any]:
    content = _json(_text(raw, name) or "{}")
    if not isinstance(content, dict):
        raise TypeError(f"{name} is no JSON object")
    return content


def _json(text: str) -> Any:  # noqa: ANN401 - JSON
    """What can be sent on as JSON, too. Raises one of DAMAGED."""
    content = _DECODER.decode(text)
    if _is_deep(content):
        raise ValueError(f"more than {DEEPEST} levels")
    if "\\u" in text:
        json.dumps(content, ensure_ascii=False).encode()  # half a character, which nobody can print
    return content


def _is_deep(content: Any) -> bool:  # noqa: ANN401 - JSON
    level = [content]
    for _ in range(DEEPEST):
        level = [child for each in level for child in _children(each)]
        if not level:
            return False
    return True


def _children(content: Any) -> Iterable[Any]:  # noqa: ANN401 - JSON
    if isinstance(content, dict):
        return content.values()
    return content if isinstance(content, list) else ()


def _finite(text: str) -> float:
    """A number of JSON, which must not be NaN, Infinity or 1e400."""
    number = float(text)
    if not abs(number) < FOREVER:
        raise ValueError(f"{text} is no number")
    return number


def _whole(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise ValueError("too many digits")
    return int(text)


_DECODER = json.JSONDecoder(parse_float=_finite, parse_int=_whole, parse_constant=_finite)


def moment(raw: Raw, name: str) -> float:
    """A time, in epoch seconds."""
    at = float(raw[name]["N"])
    if not at <= LATEST:
        raise ValueError(f"{name} is no time")
    return max(at, 0.0)


def _readable(raw: Raw, name: str, read: Callable[[Raw, str], T], otherwise: T) -> T:
    try:
        return read(raw, name)
    except DAMAGED:
        return otherwise


def _required_text(raw: Raw, name: str) -> str:
    value: str = raw[name]["S"]
    return value


def _text(raw: Raw, name: str) -> str | None:
    value: str | None = raw[name]["S"] if name in raw else None
    return value


def _number(raw: Raw, name: str) -> float | None:
    return float(raw[name]["N"]) if name in raw else None
