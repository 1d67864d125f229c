from collections.abc import Sequence
from typing import Protocol

from ..plan import Plan


class Effect(Protocol):
    """What runs hold in this process until they are over: memory, patches, and whatever must be given back."""

    @property
    def is_holding(self) -> bool:
        """Whether anything is held."""

    def is_due(self, active: Sequence[Plan]) -> bool:
        """Whether something is held for a run that is not active. Does not block."""

    def settle(self, active: Sequence[Plan]) -> None:
        """Give back what is held for runs that are not active. May block."""
