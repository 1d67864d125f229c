"""What the processes have called, as the API shows it."""

from collections.abc import Iterable
from typing import get_args

from ..dependencies import OUT_OF_REACH
from ..experiments.dependency_failure import FaultName
from ..results.seen import OTHER, Seen, SeenCalls
from ..runs.observation import OBSERVED_SECONDS, Observation
from .shapes import Dependencies, ShownDependency, iso

SHOWN_SECONDS = 3600.0
"""How long ago the observations began that are shown."""

FAULTS = get_args(FaultName)
FURTHER = "Calls to further dependencies: a process tells 100 of them apart."

FIRST = (
    "All processes observe their outgoing calls for {seconds:g} seconds from now on, as soon as they serve a request. "
    "Ask again in a few seconds."
)
NOTHING = "No outgoing call has been seen yet. Send requests to the application, and ask again in a few seconds."
GOES_ON = "The processes go on observing for {seconds:g} seconds. Ask again for newer numbers."


def shown(seen: Seen, observation: Observation, *, was_asked: bool) -> Dependencies:
    """`was_asked`: whether the processes were observing when this was asked."""
    rows = sorted(_rows(seen), key=lambda row: (-row["calls"], row["client"], row["dependency"]))
    return {
        "observing": was_asked,
        "observing_since": iso(observation.began),
        "observed_until": iso(observation.until),
        "message": _message(rows, was_asked=was_asked),
        "dependencies": rows,
    }


def _message(rows: Iterable[ShownDependency], *, was_asked: bool) -> str:
    if not was_asked:
        return FIRST.format(seconds=OBSERVED_SECONDS)
    return GOES_ON.format(seconds=OBSERVED_SECONDS) if any(row["calls"] for row in rows) else NOTHING


def _rows(seen: Seen) -> Iterable[ShownDependency]:
    together: dict[tuple[str, str], SeenCalls] = {}
    for key, calls in seen.items():
        together.setdefault((key.client, key.dependency), SeenCalls()).merge(calls)
    for (client, dependency), calls in together.items():
        yield {
            "client": client,
            "dependency": dependency,
            "calls": calls.calls,
            "errors": calls.errors,
            "p50_seconds": _seconds(calls, 0.5),
            "p95_seconds": _seconds(calls, 0.95),
            "faults": [fault for fault in FAULTS if fault in calls.faults],
            "note": FURTHER if client == OTHER else OUT_OF_REACH.get(client),
        }


def _seconds(calls: SeenCalls, share: float) -> float | None:
    seconds = calls.percentile(share)
    return None if seconds is None else round(seconds, 6)
