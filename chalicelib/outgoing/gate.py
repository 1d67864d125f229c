"""What the patches ask about each outgoing call, on behalf of one module."""

from collections.abc import Callable, Sequence

from ..faults.base import Fail, Failure, Outcome
from ..injection.call import OutgoingCall
from ..injection.decide import Hit
from ..injection.drivers import AsyncInjection, SyncInjection
from ..injection.outgoing import OutgoingCalls, Passage


class Gate:
    """Where the outgoing calls of this process pass, for the runs of one module."""

    def __init__(self, calls: OutgoingCalls, injection: SyncInjection, on_loop: AsyncInjection) -> None:
        self.enter: Callable[[OutgoingCall], Passage | None] = calls.enter
        """None where no run of the module is about the call. Does not block."""
        self.mark: Callable[[OutgoingCall], None] = calls.mark
        """To be called right before the call is made: what is decided about its request is sent along."""
        self._calls = calls
        self._injection = injection
        self._on_loop = on_loop

    @property
    def is_observing(self) -> bool:
        """Whether somebody asks what this process calls."""
        return self._calls.are_observed

    def meet(self, passage: Passage) -> Failure | None:
        """Apply what the call meets, which may wait. How it is to fail; None: it is made."""
        hits = self._calls.decide(passage)
        return _failure(self._injection.apply(passage.result, hits)) if hits else None

    async def meet_on_loop(self, passage: Passage) -> Failure | None:
        """As `meet`, on an event loop."""
        hits: Sequence[Hit] = self._calls.decide(passage)
        return _failure(await self._on_loop.apply(passage.result, hits)) if hits else None

    def leave(self, passage: Passage, status: int | None, error: BaseException | None) -> None:
        """The call has ended: with a status where it has one, or with an exception."""
        self._calls.finish(passage, status, error)


def _failure(outcome: Outcome) -> Failure | None:
    return outcome.failure if isinstance(outcome, Fail) else None
