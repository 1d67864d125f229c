from dataclasses import dataclass

from ..effects.cpu import CPU, MILLISECONDS, Cpu, Wanted
from .base import Counter
from .hold import Hold


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCpu(Hold):
    """Use a share of each of so many cores until the run ends."""

    load: float
    cores: int = 1
    kind = "cpu"
    effect = Cpu
    counters = (
        Counter(
            name="cpu_seconds",
            title="Used CPU time, total of all environments",
            unit="seconds",
            key=CPU,
            per_unit=MILLISECONDS,
        ),
    )

    @property
    def wanted(self) -> Wanted:
        return Wanted(load=self.load, cores=self.cores)
