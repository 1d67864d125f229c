"""The pure decision: which faults of the active runs one call meets."""

from collections.abc import Sequence
from typing import Protocol

from ..faults.base import Chance, Fault
from ..runs.run import Run
from .call import Call
from .plan import Plan
from .propagation import Verdicts

Hit = tuple[Plan, Fault, Chance]
"""One fault of one run, for one call, and what it draws from."""


class Decided(Protocol):
    """What is decided about: a call, and what becomes known of it."""

    call: Call
    verdicts: Verdicts

    def note(self, run: Run, name: str) -> None:
        """Add 1 to a counter of a run, beside those of faults and requests."""


def decide(plans: Sequence[Plan], chance: Chance, decided: Decided) -> list[Hit]:
    """The hits in the order in which they are applied."""
    hits: list[Hit] = []
    for plan in plans:
        drawn = chance
        if plan.selector is not None:
            propagation = plan.inherits
            inherited = propagation.inherited(decided) if propagation is not None else None
            if inherited is None:
                selected = plan.selector.select(decided.call, chance, decided.note)
            else:
                selected = plan.selector.take(decided.call, chance, decided.note, is_hit=inherited.is_hit)
            if selected is None:
                continue
            drawn = selected
        elif plan.share < 1.0 and chance() >= plan.share:
            continue
        for fault in plan.faults:
            if (fault.share >= 1.0 or drawn() < fault.share) and fault.concerns(decided.call):
                hits.append((plan, fault, drawn))  # noqa: PERF401 - most plans have one fault: no comprehension is faster
    if len(hits) > 1:
        hits.sort(key=_order)
    return hits


def _order(hit: Hit) -> int:
    return hit[1].order
