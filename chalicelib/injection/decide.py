"""The pure decision: which faults of the active runs one call meets."""

from collections.abc import Sequence

from ..faults.base import Chance, Fault
from .plan import Plan

Hit = tuple[Plan, Fault]
"""One fault of one run, for one call."""


def decide(plans: Sequence[Plan], chance: Chance) -> list[Hit]:
    """The hits in the order in which they are applied."""
    hits: list[Hit] = []
    for plan in plans:
        if plan.share < 1.0 and chance() >= plan.share:
            continue
        for fault in plan.faults:
            if fault.share >= 1.0 or chance() < fault.share:
                hits.append((plan, fault))  # noqa: PERF401 - most plans have one fault: no comprehension is faster
    if len(hits) > 1:
        hits.sort(key=_order)
    return hits


def _order(hit: Hit) -> int:
    return hit[1].order
