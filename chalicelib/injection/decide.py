"""The pure decision: which faults of the active runs one call meets."""

from collections.abc import Sequence
from functools import partial

from ..faults.base import Chance, Fault
from .call import Call
from .plan import Plan

Hit = tuple[Plan, Fault, Chance]
"""One fault of one run, for one call, and what it draws from."""


def decide(plans: Sequence[Plan], chance: Chance, call: Call, notes: list[tuple[Plan, str]]) -> list[Hit]:
    """The hits in the order in which they are applied. `notes` gets the counters that the call adds to besides."""
    hits: list[Hit] = []
    for plan in plans:
        drawn = chance
        if plan.selector is not None:
            selected = plan.selector.select(call, chance, partial(_note, notes, plan))
            if selected is None:
                continue
            drawn = selected
        elif plan.share < 1.0 and chance() >= plan.share:
            continue
        for fault in plan.faults:
            if fault.share >= 1.0 or drawn() < fault.share:
                hits.append((plan, fault, drawn))  # noqa: PERF401 - most plans have one fault: no comprehension is faster
    if len(hits) > 1:
        hits.sort(key=_order)
    return hits


def _note(notes: list[tuple[Plan, str]], plan: Plan, name: str) -> None:
    notes.append((plan, name))


def _order(hit: Hit) -> int:
    return hit[1].order
