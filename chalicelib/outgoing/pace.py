"""How fast a slow answer comes."""

from collections.abc import Iterator

from ..faults.base import Failure

PIECE_SECONDS = 0.1
"""How often a piece of the answer comes, if that is at least a byte."""
LONGEST_SECONDS = 0.5
"""How long to sleep before asking again whether the run goes on."""


class Pace:
    """How fast a slow answer comes: piece by piece, until it is whole, the run is over, or its client gives up."""

    __slots__ = ("_failure", "_left", "_owed", "_patience", "piece")

    def __init__(self, failure: Failure, patience: float) -> None:
        """`patience` is how long the client waits for more of an answer, in seconds."""
        self._failure = failure
        self._patience = patience
        self._left = failure.longest_seconds
        self._owed = 0.0
        self.piece = max(1, int(failure.bytes_per_second * PIECE_SECONDS))
        """How many bytes come at once."""

    def waits(self, size: int) -> Iterator[float]:
        """How long to sleep, and to sleep again, until so many more bytes have come. Raises TimeoutError where the
        client does not wait so long.
        """
        self._owed += size / self._failure.bytes_per_second
        if self._owed < PIECE_SECONDS / 2:
            return
        wait = min(self._owed, self._patience, self._left)
        gives_up = wait == self._patience
        self._owed = 0.0
        while wait > 0:
            if not self._failure.goes_on():
                return
            seconds = min(wait, LONGEST_SECONDS)
            yield seconds
            wait -= seconds
            self._left -= seconds
        if gives_up:
            raise TimeoutError("timed out")
