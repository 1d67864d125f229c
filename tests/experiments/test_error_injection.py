import random

import pytest
from pydantic import ValidationError

from chalicelib.experiments.error_injection import ErrorInjection
from chalicelib.faults import Answer

EXPERIMENT = ErrorInjection()
ERROR = Answer(500, "injected_error", "Chaos experiment: injected error")


@pytest.mark.parametrize(
    ("error_rate", "chance", "hit"),
    [(0.3, 0.299, True), (0.3, 0.3, False), (0.0, 0.0, False), (1.0, 0.999, True)],
)
def test_chance_decides(error_rate: float, chance: float, *, hit: bool) -> None:
    faults = list(EXPERIMENT.faults(EXPERIMENT.Parameters(error_rate=error_rate), lambda: chance))
    assert faults == ([ERROR] if hit else [])


def test_the_share_is_the_rate() -> None:
    chance = random.Random(7).random  # noqa: S311 - seeded, to be the same each time
    parameters = EXPERIMENT.Parameters(error_rate=0.3)
    hits = sum(bool(list(EXPERIMENT.faults(parameters, chance))) for _ in range(10_000))
    assert hits == pytest.approx(3000, abs=151)  # 3.29 standard deviations: the 99.9 % interval


def test_defaults_are_safe() -> None:
    assert EXPERIMENT.Parameters().model_dump() == {"duration_seconds": 30.0, "error_rate": 0.1}


@pytest.mark.parametrize("refused", [-0.001, 1.001, "0.1", True, None, float("nan")])
def test_refused(refused: object) -> None:
    with pytest.raises(ValidationError):
        EXPERIMENT.Parameters.model_validate({"error_rate": refused})
