"""What runs and events look like in the table. Every version reads the envelope of a run that any version wrote.

The envelope of a run is a handful of plain attributes: what it takes to list, stop and halt it. The rest are two JSON
objects, `parameters` and `options`. An option that a newer version adds is kept and echoed by this one.

`format` counts the meanings of these objects: a version that makes a run mean something that older ones would inject
wrongly raises it. A run of a higher format than ours, or with JSON that is none, is `unreadable`: it is listed, stopped
and halted, and never injected. Format 1 (items without the attribute) had the options `reason`, `alarms` and
`hypothesis` as attributes of their own, and the same `parameters`: versions of that format see, inject and stop the
runs of format 2, too, but do not know their options; alarms and hypotheses are then watched by the others.
Format 3 are runs with a target, of which versions before it would hit every call. All others are still written as
format 2, so that those versions go on to inject them.
"""

import json
import logging
from collections.abc import Mapping
from typing import Any, cast

from pynamodb.attributes import BooleanAttribute, NumberAttribute, UnicodeAttribute

from ..runs.event import Action, Event
from ..runs.run import Run
from .table import RETENTION_SECONDS, Item, ttl

log = logging.getLogger(__name__)

FORMAT = 3
FORMAT_WITHOUT_TARGET = 2

Raw = Mapping[str, Mapping[str, Any]]
"""An item as DynamoDB gives it: one that cannot be read fails where it is read, and nowhere else."""


class RunItem(Item):
    format = NumberAttribute()
    run_id = UnicodeAttribute()
    experiment = UnicodeAttribute()
    started_at = NumberAttribute()
    expires_at = NumberAttribute()
    started_by = UnicodeAttribute()
    started_from = UnicodeAttribute(null=True)
    ended_at = NumberAttribute(null=True)
    ended_by = UnicodeAttribute(null=True)
    ended_from = UnicodeAttribute(null=True)
    end_reason = UnicodeAttribute(null=True)
    aborted = BooleanAttribute(null=True)
    defect = UnicodeAttribute(null=True)
    parameters = UnicodeAttribute()
    options = UnicodeAttribute(null=True)


class LastRunItem(Item):
    """Which run of an experiment was the last one."""

    run_id = UnicodeAttribute()


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


def attributes_of_run(run: Run) -> dict[str, Any]:
    """Those of a run that has not ended."""
    return {
        "format": FORMAT if "target" in run.options else FORMAT_WITHOUT_TARGET,
        "run_id": run.run_id,
        "experiment": run.experiment,
        "started_at": run.started_at,
        "expires_at": run.expires_at,
        "started_by": run.started_by,
        "started_from": run.started_from or None,
        "parameters": json.dumps(run.parameters),
        "options": json.dumps(run.options) if run.options else None,
    }


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
            started_at=float(raw["started_at"]["N"]),
            expires_at=float(raw["expires_at"]["N"]),
            started_by=raw["started_by"]["S"],
            started_from=_text(raw, "started_from") or "",
            ended_at=_number(raw, "ended_at"),
            ended_by=_text(raw, "ended_by"),
            ended_from=_text(raw, "ended_from"),
            end_reason=_text(raw, "end_reason"),
            aborted=bool(raw.get("aborted", {}).get("BOOL")),
            defect=_text(raw, "defect"),
            **_content(raw),
        )
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        log.warning("Skipped the item %s, which this version cannot read: %r", raw.get("sk"), error)
        return None


def read_event(raw: Raw) -> Event | None:
    """The event of an item; None, logged, where it cannot be read."""
    try:
        return Event(
            event_id=raw["event_id"]["S"],
            at=float(raw["at"]["N"]),
            action=cast("Action", raw["action"]["S"]),
            by=raw["by"]["S"],
            source=_text(raw, "source") or "",
            reason=_text(raw, "reason"),
            experiment=_text(raw, "experiment"),
            details=_object(raw, "details"),
        )
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        log.warning("Skipped the item %s, which this version cannot read: %r", raw.get("sk"), error)
        return None


def _content(raw: Raw) -> dict[str, Any]:
    """What is not of the envelope."""
    try:
        if (_number(raw, "format") or 1) <= FORMAT:
            options = _object(raw, "options") if "format" in raw else _options_of_format_1(raw)
            return {"parameters": _object(raw, "parameters"), "options": options}
    except (LookupError, TypeError, ValueError):
        pass  # as one of a format that is not known
    return {"parameters": {}, "options": {}, "unreadable": True}


def _options_of_format_1(raw: Raw) -> dict[str, Any]:
    options = {
        "reason": _text(raw, "reason"),
        "alarms": json.loads(_text(raw, "alarms") or "[]"),
        "hypothesis": _object(raw, "hypothesis"),
    }
    return {name: value for name, value in options.items() if value}


def _object(raw: Raw, name: str) -> dict[str, Any]:
    content = json.loads(_text(raw, name) or "{}")
    if not isinstance(content, dict):
        raise TypeError(f"{name} is no JSON object")
    return content


def _text(raw: Raw, name: str) -> str | None:
    value: str | None = raw[name]["S"] if name in raw else None
    return value


def _number(raw: Raw, name: str) -> float | None:
    return float(raw[name]["N"]) if name in raw else None
