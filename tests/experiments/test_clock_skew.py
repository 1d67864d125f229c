from typing import Any

import pytest
from pydantic import ValidationError

from chalicelib.experiments.clock_skew import ClockSkew
from chalicelib.faults.clock_skew import SkewClock


def test_each_request_asks_for_the_clock_of_its_run() -> None:
    parameters = ClockSkew.Parameters(offset_seconds=-60, modules=["shop.*", "billing"])
    assert list(ClockSkew().faults(parameters)) == [SkewClock(seconds=-60, modules=("shop.*", "billing"))]


def test_the_defaults_are_pinned_and_mean_the_hosts_own_modules() -> None:
    assert ClockSkew.Parameters().model_dump(exclude_none=True) == {
        "offset_seconds": 300.0,
        "duration_seconds": 30.0,
        "percentage": 100.0,
    }
    assert list(ClockSkew().faults(ClockSkew.Parameters())) == [SkewClock(seconds=300.0)]


@pytest.mark.parametrize("offset_seconds", ["300", True, None, float("nan"), 2_592_001, -2_592_001])
def test_anything_but_a_number_within_30_days_is_refused(offset_seconds: Any) -> None:
    with pytest.raises(ValidationError, match="offset_seconds"):
        ClockSkew.Parameters(offset_seconds=offset_seconds)


@pytest.mark.parametrize(
    "name", ["", "*", "shop.", ".shop", "shop*", "shop.**", "shop orders", "shop/orders", "a" * 201]
)
def test_anything_but_a_name_of_modules_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="modules"):
        ClockSkew.Parameters(modules=[name])


@pytest.mark.parametrize("modules", [[], "shop", None, ["shop"] * 21])
def test_a_list_of_up_to_20_names_is_wanted(modules: Any) -> None:
    with pytest.raises(ValidationError, match="modules"):
        ClockSkew.Parameters(modules=modules)


@pytest.mark.parametrize(
    "name",
    ["time", "datetime", "ssl.*", "email.utils", "botocore.*", "urllib3", "jwt.*", "chalicelib.*", "chalicelib.aws"],
)
def test_a_clock_on_which_signatures_and_the_end_of_the_run_depend_is_nobodys_to_shift(name: str) -> None:
    with pytest.raises(ValidationError, match=f"modules must not name {name.replace('*', '.')}: signatures"):
        ClockSkew.Parameters(modules=["shop", name])
