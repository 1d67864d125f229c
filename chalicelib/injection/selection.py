"""Which calls a run hits, where its options say more than a percentage: its target, a key, a seed, a ramp, every nth.

Without I/O, and without pydantic: how many calls it may hit in all, which the table knows, is in `budgets.py`.
"""

from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from ..faults.base import Chance
from ..results.tally import MATCHED, WITHOUT_KEY
from ..runs.run import Run
from .call import Call

if TYPE_CHECKING:
    from ..runs.key import ReadKey
    from ..runs.options import StartOptions
    from ..runs.target import Matcher

Note = Callable[[Run, str], None]
"""Called with a run and the name of a counter of it, which one call adds 1 to."""

OPTIONS = ("sticky", "seed", "every", "ramp_seconds", "propagate")
"""The options of a start that a selector reads."""

WHOLE = 100.0
DRAW_BYTES = 8
DIGEST_BYTES = 64
ROUNDED_BITS = 11
"""A float has 53 bits: what 64 make would be rounded, sometimes to 1."""

SMALLEST_STEP = 2.0**-53


class Criterion(NamedTuple):
    """One thing that decides whether a call is hit.

    `name` is as in a start: `target.paths`, `target.headers.x-tenant`, `percentage`, `sticky`, `every`. `allowed` is
    what the start says, `seen` what the call has, both as JSON. `probability` is how likely the call passes it: 1.0 or
    0.0 where that is known.
    """

    name: str
    allowed: object
    seen: object
    probability: float


class Draws:
    """The chance that is in a digest, from a place on: the same numbers for the same digest, evenly spread."""

    __slots__ = ("_at", "_digest")

    def __init__(self, digest: bytes, at: int) -> None:
        self._digest = digest
        self._at = at

    def __call__(self) -> float:
        if self._at >= DIGEST_BYTES:
            self._digest, self._at = blake2b(self._digest).digest(), 0
        at = self._at
        self._at += DRAW_BYTES
        return draw(self._digest, at)


def draw(digest: bytes, at: int = 0) -> float:
    """One number of a digest, from 0 up to, not including, 1."""
    return (int.from_bytes(digest[at : at + DRAW_BYTES]) >> ROUNDED_BITS) * SMALLEST_STEP


class Selector:
    """Decides for one run whether it hits a call. One for each plan; safe to share between threads.

    In this order: the target, then a key, a seed or chance against the share (which a ramp lets grow), then every nth.

    A key is hashed with the seed, or else with the run's id, and with nothing else: so it is the same for all
    environments, applications and versions. Without a key, a seed is hashed with the number of the call among those
    of this environment that matched. The faults' own shares are drawn from the same hash.
    """

    __slots__ = (
        "_clock",
        "_every",
        "_hash",
        "_matcher",
        "_numbers",
        "_ramp_seconds",
        "_ramps_from",
        "_read_key",
        "_run",
        "_share",
        "_sticky",
        "_turns",
    )

    def __init__(
        self, run: Run, share: float, matcher: "Matcher | None", chosen: "StartOptions", clock: Callable[[], float]
    ) -> None:
        self._run = run
        self._share = share
        self._matcher = matcher
        self._clock = clock
        self._sticky: Mapping[str, str] | None = run.options.get("sticky")
        self._read_key: ReadKey | None = chosen.sticky.reader() if chosen.sticky else None
        self._numbers: Iterator[int] | None = count(1) if chosen.seed is not None and not chosen.sticky else None
        self._every = chosen.every
        self._turns = count(1)
        self._ramp_seconds = chosen.ramp_seconds
        self._ramps_from = run.hits_from
        seed = run.run_id if chosen.seed is None else chosen.seed
        self._hash = blake2b(blake2b(seed.encode()).digest())

    def select(self, call: Call, chance: Chance, note: Note) -> Chance | None:
        """None where the call is not hit; otherwise the chance by which its faults are chosen."""
        if self._matcher is not None:
            if not self._matcher.matches(call):
                return None
            note(self._run, MATCHED)
        if self._read_key is not None:
            key = self._read_key(call)
            if key is None:
                note(self._run, WITHOUT_KEY)
                return None
        elif self._numbers is not None:
            key = str(next(self._numbers))
        else:
            return chance if chance() < self.share() and self._is_turn() else None
        digest = self._digest(key)
        return Draws(digest, DRAW_BYTES) if draw(digest) < self.share() and self._is_turn() else None

    def take(self, call: Call, chance: Chance, note: Note, *, is_hit: bool) -> Chance | None:
        """As `select`, where another service has decided."""
        if not is_hit:
            return None
        if self._matcher is not None:
            note(self._run, MATCHED)
        return self.chance_of(call) or chance

    def _is_turn(self) -> bool:
        return self._every is None or not next(self._turns) % self._every

    def share(self) -> float:
        """The share of the calls that are hit now: with a ramp, more and more from when the run hits anything."""
        if self._ramp_seconds is None:
            return self._share
        passed = self._clock() - self._ramps_from
        return self._share * min(max(passed / self._ramp_seconds, 0.0), 1.0)

    def chance_of(self, call: Call) -> Chance | None:
        """What the faults' own shares are drawn from where a key decides; None where it is chance, or there is no key.

        It counts nothing.
        """
        key = self._read_key(call) if self._read_key else None
        return None if key is None else Draws(self._digest(key), DRAW_BYTES)

    def explain(self, call: Call) -> list[Criterion]:
        """What decides, in order, for `POST /preview`. Counts nothing, and draws nothing."""
        checks = self._matcher.criteria if self._matcher else ()
        found = [Criterion(check.name, check.allowed, check.seen(call), float(check.matches(call))) for check in checks]
        found.append(self._explain_share(call))
        if self._every is not None:
            found.append(Criterion("every", self._every, None, 1 / self._every))
        return found

    def _explain_share(self, call: Call) -> Criterion:
        share = self.share()
        if self._read_key is None:
            return Criterion("percentage", self._share * WHOLE, None, share)
        key = self._read_key(call)
        is_hit = key is not None and draw(self._digest(key)) < share
        return Criterion("sticky", self._sticky, key, float(is_hit))

    def _digest(self, key: str) -> bytes:
        hashed = self._hash.copy()
        hashed.update(key.encode("utf-8", "surrogatepass"))
        return hashed.digest()


def selector(run: Run, share: float, matcher: "Matcher | None", *, clock: Callable[[], float]) -> Selector | None:
    """What decides for a run; None where its share alone does.

    Raises ValueError where its options cannot be read.
    """
    chosen = {name: run.options[name] for name in OPTIONS if run.options.get(name) is not None}
    if matcher is None and not chosen:
        return None
    from ..runs.options import StartOptions  # noqa: PLC0415 - pydantic, which a process in which nothing runs does without

    return Selector(run, share, matcher, StartOptions.model_validate(chosen), clock)
