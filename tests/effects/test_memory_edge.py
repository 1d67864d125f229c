import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
SIZE_MB = 512
ROUNDS = 100


@pytest.mark.timeout(300)
def test_whatever_the_api_accepts_a_process_of_512_mb_survives_a_hundred_times(tell: Callable[[str], None]) -> None:
    command = [sys.executable, "-m", "tests.effects.edge", str(ROUNDS), str(SIZE_MB)]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT), "PYTHONDONTWRITEBYTECODE": "1"}
    told = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    rounds = [[int(number) for number in line.split()] for line in told.stdout.splitlines()]
    assert len(rounds) == ROUNDS
    asked, held, after = zip(*rounds, strict=True)
    tell(f"{ROUNDS} runs of {min(asked)} to {max(asked)} MB: at most {max(held)} resident, {max(after)} after a stop")
    assert max(asked) > SIZE_MB / 2
    assert max(held) < SIZE_MB
    assert all(resident >= amount for amount, resident, _ in rounds)
    assert max(after) < after[0] + 32
