"""Refuses what cannot be although each field by itself can: a hypothesis that nothing could prove wrong, a ramp that is
never over, a target that names what is never hit.
"""

from ..experiments.base import Experiment, Parameters
from ..paths import PathSet
from ..runs.options import Hypothesis, StartOptions
from .endpoints import TEST
from .problems import Problem, shown, wrong

WHOLE = 100.0

NO_UNTOUCHED, NO_HITS, NO_TIME = "no_untouched_requests", "no_hit_requests", "no_time_to_hit"
NEVER_HIT = "never_hit"
"""The kinds of these problems, for clients that have words of their own for them."""


def problems(options: StartOptions, parameters: Parameters, experiment: Experiment) -> list[Problem]:
    """What is wrong with a start whose fields are all valid by themselves."""
    found = [_endless_ramp(options, parameters)]
    if expected := options.hypothesis:
        found.append(_no_time(expected, parameters))
        found.append(_no_hits(expected, options))
        if _hits_everything(options, parameters, experiment):
            found.append(_no_untouched(expected, parameters))
    return [problem for problem in found if problem]


def _endless_ramp(options: StartOptions, parameters: Parameters) -> Problem | None:
    """A ramp begins when the baseline is over."""
    baseline = options.hypothesis.baseline_seconds if options.hypothesis else 0.0
    longest = parameters.duration_seconds - baseline
    if options.ramp_seconds is None or options.ramp_seconds <= longest or longest <= 0:
        return None
    before = f" less the baseline of {baseline:g}" if baseline else ""
    return {
        "field": "ramp_seconds",
        "kind": NO_TIME,
        "problem": f"must be at most duration_seconds{before}, which is {longest:g}: the run would be over before its "
        f"share has grown to percentage; got {options.ramp_seconds:g}",
        "allowed": f"a number greater than 0 and at most {longest:g} (seconds)",
    }


def _no_hits(expected: Hypothesis, options: StartOptions) -> Problem | None:
    if not options.dry_run or expected.of == "untouched":
        return None
    return {
        "field": "hypothesis.of",
        "kind": NO_HITS,
        "problem": f'must be "untouched" in a dry run, which hits no request; got "{expected.of}"',
        "allowed": '"untouched", or no dry_run',
    }


def never_hit(options: StartOptions, prefix: str) -> list[Problem]:
    """The paths of a target that are endpoints of this module, below the prefix."""
    paths = (options.target and options.target.paths) or []
    never = [path for path in paths if f"{path}/".startswith(f"{prefix}/") and prefix + TEST not in PathSet([path])]
    allowed = f"paths of the application, or {prefix}{TEST}"
    why = "endpoints of this module are never hit; leave it out"
    return [{**wrong("target.paths", allowed, f"{shown(path)}: {why}"), "kind": NEVER_HIT} for path in never]


def _no_untouched(expected: Hypothesis, parameters: Parameters) -> Problem | None:
    if not expected.judges_untouched:
        return None
    return {
        "field": "hypothesis",
        "kind": NO_UNTOUCHED,
        "problem": f"is about requests that no run hits, and there are none: the run hits every request (percentage "
        f'{parameters.percentage:g}). Lower percentage, for example to 20, or send "of": "hit" in hypothesis to judge '
        "the requests that the run hits",
        "allowed": 'with a percentage below 100, or with "of": "hit"',
    }


def _no_time(expected: Hypothesis, parameters: Parameters) -> Problem | None:
    if expected.baseline_seconds < parameters.duration_seconds:
        return None
    return {
        "field": "hypothesis.baseline_seconds",
        "kind": NO_TIME,
        "problem": f"must be less than duration_seconds, which is {parameters.duration_seconds:g}: nothing is hit "
        f"before the baseline is over; got {expected.baseline_seconds:g}",
        "allowed": f"a number from 0 to less than {parameters.duration_seconds:g} (seconds)",
    }


def _hits_everything(options: StartOptions, parameters: Parameters, experiment: Experiment) -> bool:
    """Whether no request is left untouched: none is out of the target, and each meets a fault.

    Not where outgoing calls are hit: requests that make none are untouched. If all make some, the verdict is that these
    are too few.
    """
    if experiment.applies_to == "dependency":
        return False
    if parameters.percentage < WHOLE or _is_targeted(options) or _leaves_some(options):
        return False
    try:
        return any(fault.share >= 1 for fault in experiment.faults(parameters))
    except Exception:  # noqa: BLE001 - a defect of the experiment, which then hits nothing
        return False


def _is_targeted(options: StartOptions) -> bool:
    """Whether the start leaves some requests, or environments, out of the run."""
    chosen = options.content().get("target") or {}
    return any(each != WHOLE for each in chosen.values())


def _leaves_some(options: StartOptions) -> bool:
    """Whether the start leaves calls out that its target has: those without a key are, too, whatever the percentage."""
    limits = (options.max_requests, options.first, options.sticky, options.ramp_seconds)
    is_decided_elsewhere = options.dry_run or options.propagate
    return is_decided_elsewhere or (options.every or 1) > 1 or any(limit is not None for limit in limits)
