import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


@pytest.mark.skipif(sys.platform != "linux", reason="the clock that nobody shifts is one of Linux")
def test_a_fork_lets_go_of_what_it_inherits_and_its_parent_does_not() -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "tests.effects.forking"]
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    before, holding, child, parent = json.loads(done.stdout)
    assert (before["disk_mb"], before["ahead"], before["limit"]) == (0, 0, 500)
    assert (holding["disk_mb"], holding["ahead"], holding["limit"]) == (3, 1000, 250)
    assert holding["descriptors"] > 220
    assert (child["disk_mb"], child["ahead"], child["limit"]) == (0, 0, 500)
    assert child["descriptors"] < before["descriptors"] + 6
    assert (parent["disk_mb"], parent["ahead"], parent["limit"]) == (3, 1000, 250)
    assert parent["descriptors"] > 220
