from typing import Any

import pytest
from pydantic import ValidationError

from chalicelib.experiments.disk_exhaustion import DiskExhaustion
from chalicelib.faults.disk import HoldDisk


def test_each_request_asks_for_the_disk_space_of_its_run() -> None:
    assert list(DiskExhaustion().faults(DiskExhaustion.Parameters(disk_mb=7))) == [HoldDisk(megabytes=7)]
    elsewhere = DiskExhaustion.Parameters(disk_mb=7, path="/var/log")
    assert list(DiskExhaustion().faults(elsewhere)) == [HoldDisk(megabytes=7, path="/var/log")]


def test_the_defaults_are_pinned() -> None:
    assert DiskExhaustion.Parameters().model_dump(exclude_none=True) == {
        "disk_mb": 100,
        "duration_seconds": 30.0,
        "percentage": 100.0,
    }


@pytest.mark.parametrize("disk_mb", [0, -1, 1.5, "100", True, None, 1_000_001])
def test_anything_but_a_whole_number_from_1_is_refused(disk_mb: Any) -> None:
    with pytest.raises(ValidationError, match="disk_mb"):
        DiskExhaustion.Parameters(disk_mb=disk_mb)


@pytest.mark.parametrize("path", ["", "tmp", "./tmp", "~", "C:\\", "/srv\x00", "/srv\n", "/" + 1000 * "x", 7, None])
def test_anything_but_a_path_from_the_root_on_is_refused(path: Any) -> None:
    with pytest.raises(ValidationError, match="path"):
        DiskExhaustion.Parameters(path=path)


@pytest.mark.parametrize("path", ["/srv/..", "/..", "/srv/../etc"])
def test_a_path_that_leads_upwards_is_refused(path: str) -> None:
    with pytest.raises(ValidationError, match=r"path must not contain '\.\.'"):
        DiskExhaustion.Parameters(path=path)
