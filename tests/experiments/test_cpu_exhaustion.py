from typing import Any

import pytest
from pydantic import ValidationError

from chalicelib.experiments.cpu_exhaustion import MOST_CORES, CpuExhaustion
from chalicelib.faults.cpu import UseCpu


def test_each_request_asks_for_the_cpu_time_of_its_run() -> None:
    parameters = CpuExhaustion.Parameters(load=0.8, cores=2)
    assert list(CpuExhaustion().faults(parameters)) == [UseCpu(load=0.8, cores=2)]


def test_the_defaults_are_pinned() -> None:
    assert CpuExhaustion.Parameters().model_dump(exclude_none=True) == {
        "load": 0.5,
        "cores": 1,
        "duration_seconds": 30.0,
        "percentage": 100.0,
    }


@pytest.mark.parametrize("load", [0, 0.0, -0.1, 1.01, 2, "0.5", True, None, float("nan")])
def test_anything_but_a_share_of_a_core_is_refused(load: Any) -> None:
    with pytest.raises(ValidationError, match="load"):
        CpuExhaustion.Parameters(load=load)


@pytest.mark.parametrize("cores", [0, -1, 1.5, MOST_CORES + 1, "1", True, None])
def test_anything_but_a_number_of_cores_is_refused(cores: Any) -> None:
    with pytest.raises(ValidationError, match="cores"):
        CpuExhaustion.Parameters(cores=cores)
