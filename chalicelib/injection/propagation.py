"""The scope of a run, sent along: which requests it hits, in W3C baggage, signed with a key that services share."""

import hmac
import logging
import re
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

from ..runs.run import CLOCKS_DIFFER_SECONDS, Run
from .call import Call

log = logging.getLogger(__name__)

HEADER = "baggage"
OURS = "chaos."
"""What the keys of our members begin with; the label of the run follows."""

LASTS_SECONDS = 10.0
"""For how long a verdict holds, in all services together."""

LONGEST_BYTES, MOST_MEMBERS = 8192, 64
"""Of a baggage: what W3C has everybody pass on."""

NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
"""A label or an id that needs no escapes in a baggage, whoever reads and writes it on its way."""

VALUE = re.compile(r"(?P<hit>[01])\.(?P<expires>[0-9]{1,15})\.[A-Za-z0-9_.-]{1,64}\.(?P<signature>[A-Za-z0-9_-]{43})")
"""What is said of a request: whether it is hit, until when that holds (milliseconds), the run of whoever decided it."""

MILLISECONDS = 1000


class Verdict(NamedTuple):
    """What a service before this one has decided about a request. `text` is what is passed on."""

    is_hit: bool
    expires_at: float
    text: str


Verdicts = Mapping[str, Verdict | None]
"""By the run's id; None where no service before has decided. Of one request."""

UNREAD: Verdicts = {}


class Received(Protocol):
    """A request that may have brought verdicts."""

    call: Call
    verdicts: Verdicts


class Seal:
    """Signs what services tell each other, and checks it."""

    def __init__(self, key: str, clock: Callable[[], float]) -> None:
        self._key = key.encode()
        self.clock = clock

    def sealed(self, text: str) -> str:
        return f"{text}.{self._signature(text)}"

    def is_genuine(self, text: str) -> bool:
        signed, _, signature = text.rpartition(".")
        return hmac.compare_digest(self._signature(signed), signature)

    def _signature(self, text: str) -> str:
        return urlsafe_b64encode(hmac.digest(self._key, text.encode(), "sha256")).rstrip(b"=").decode()

    def propagation(self, run: Run) -> "Propagation | None":
        """None where the run does not propagate."""
        may = run.propagates and NAME.fullmatch(run.label) and NAME.fullmatch(run.run_id)
        return Propagation(self, run) if may else None


class Propagation:
    """One run's verdicts: those that come with a request, and those that go with the calls that are made for it."""

    __slots__ = ("_begin", "_run_id", "_seal")

    def __init__(self, seal: Seal, run: Run) -> None:
        self._seal = seal
        self._run_id = run.run_id
        self._begin = f"{OURS}{run.label}="

    def inherited(self, request: Received) -> Verdict | None:
        """What came with the request: read once, so that it stands for as long as the request is served."""
        if self._run_id not in request.verdicts:
            found = self.read(request.call.header(HEADER))
            request.verdicts = {**request.verdicts, self._run_id: found}
        return request.verdicts[self._run_id]

    def read(self, baggage: str | None) -> Verdict | None:
        """The verdict in a baggage; None where there is none that is genuine and holds."""
        if baggage is None or self._begin not in baggage or len(baggage) > LONGEST_BYTES:
            return None
        return next(filter(None, map(self._verified, _members(baggage))), None)

    def _verified(self, member: str) -> Verdict | None:
        text = member.partition(";")[0].strip()
        found = VALUE.fullmatch(text, len(self._begin)) if text.startswith(self._begin) else None
        if found is None:
            return None
        now, expires_at = self._seal.clock(), int(found["expires"]) / MILLISECONDS
        if not now < expires_at <= now + LASTS_SECONDS + CLOCKS_DIFFER_SECONDS or not self._seal.is_genuine(text):
            return None
        return Verdict(found["hit"] == "1", expires_at, text)

    def passed_on(self, verdict: Verdict) -> str | None:
        """As it came; None where it holds no longer."""
        return verdict.text if self._seal.clock() < verdict.expires_at else None

    def own(self, *, is_hit: bool, until: float) -> str:
        """The verdict of this service, which holds no longer than the run."""
        expires_at = min(self._seal.clock() + LASTS_SECONDS, until)
        return self._seal.sealed(f"{self._begin}{int(is_hit)}.{int(expires_at * MILLISECONDS)}.{self._run_id}")


def inherited(seal: Seal | None, run: Run, baggage: str | None) -> bool | None:
    """Whether a run hits a request with this baggage, by what is said there; None where nothing is."""
    propagation = seal.propagation(run) if seal else None
    verdict = propagation.read(baggage) if propagation else None
    return None if verdict is None else verdict.is_hit


def with_members(baggage: str | None, members: Iterable[str]) -> str:
    """A baggage with these members in the place of others of the same keys, as far as there is room."""
    added = {member.partition("=")[0]: member for member in members}
    kept = [each for each in _members(baggage or "") if each.partition("=")[0].strip() not in added]
    for member in added.values():
        longer = [*kept, member]
        if len(longer) <= MOST_MEMBERS and len(",".join(longer).encode()) <= LONGEST_BYTES:
            kept = longer
    return ",".join(kept)


def _members(baggage: str) -> list[str]:
    return [member for each in baggage.split(",") if (member := each.strip())]
