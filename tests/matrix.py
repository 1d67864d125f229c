"""Which of the tests that are there many times, each with other parameters, are run without --whole-matrix."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest


def leave_out(config: pytest.Config, items: list[pytest.Item], is_run: Callable[[pytest.Item], bool]) -> None:
    """Without --whole-matrix, deselect the tests that are not to be run. Each is asked for once, in their order."""
    if config.getoption("--whole-matrix"):
        return
    left_out = [item for item in items if not is_run(item)]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


def parameters_of(item: pytest.Item) -> Mapping[str, Any]:
    """The parameters of a test by their names; empty where it has none."""
    return item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
