"""In processes of their own, which have few descriptors."""

import os
import subprocess
import sys
from pathlib import Path

import coverage
import pytest

PROJECT = Path(__file__).parents[2]

BEGIN = """
import os, resource, subprocess, sys, threading
from chalicelib.effects import descriptors
from chalicelib.effects.descriptors import RESERVED, Descriptors, Wanted
from chalicelib.own_calls import RESERVES, lent_reserves, own_calls
from tests.effects.support import surroundings
from tests.support import NOW, a_run

LIMIT = 256
resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, 400))
active = []
effect = Descriptors(surroundings(lambda: active, lambda: NOW, lambda _: threading.Event().wait()))

def hold(left=20, token="1"):
    active.append(a_run("file_descriptor_exhaustion", token=token))
    return effect.hold(active[-1], Wanted(left=left))

def end(index=0):
    del active[index]
    effect.settle(active)

def numbers():
    return [number for number in range(400) if descriptors.is_open(number)]

def open_all():
    opened = []
    try:
        while True:
            opened.append(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        assert error.errno == 24
    return opened

def close(opened):
    for number in opened:
        os.close(number)
    return len(opened)

before = numbers()
"""

PROMISES = {
    "exactly so many are left, the lowest ones, and all are given back": """
details, counters = hold()
held = details["held_descriptors"]
assert counters == {"held_descriptors": held} and details["descriptors_left"] == 20, details
assert held == LIMIT - len(before) - 20
opened = open_all()
assert (len(opened), max(opened) < 60) == (20, True), opened
close(opened)
assert effect.hold(active[0], Wanted(left=20)) == (details, {})
end()
assert numbers() == before
""",
    "what is held is for no program that is started": """
hold()
shown = subprocess.run(["ls", "/dev/fd"], capture_output=True, text=True, check=True).stdout.split()
assert len(shown) < 10, shown
""",
    "the module has its reserve where nothing is left, and takes it back": """
hold()
opened = open_all()
for lend in (own_calls, lent_reserves, own_calls):
    with lend():
        with own_calls():
            assert close(open_all()) == RESERVED
        assert close(open_all()) == RESERVED
    assert open_all() == []
close(opened)
end()
assert (numbers(), RESERVES.present) == (before, ())
""",
    "what the host took of the reserve is taken back when it lets it go": """
hold()
opened = open_all()
with own_calls():
    taken = [os.open(os.devnull, os.O_RDONLY) for _ in range(3)]
assert open_all() == []
close(taken)
with own_calls():
    pass
assert open_all() == []
close(opened)
end()
assert numbers() == before
""",
    "a run that ends while its reserve is lent takes nothing back": """
hold()
with own_calls():
    end()
assert numbers() == before
""",
    "a file that the host has opened under a number of ours stays open": """
hold()
number = max(numbers())
os.close(number)
os.dup2(0, number)
end()
assert numbers() == sorted([*before, number])
""",
    "a large limit is lowered meanwhile, and restored": """
descriptors.MOST = 100
assert hold()[0]["held_descriptors"] == 100 - len(before) - 20
assert resource.getrlimit(resource.RLIMIT_NOFILE) == (100, 400)
assert close(open_all()) == 20
end()
assert resource.getrlimit(resource.RLIMIT_NOFILE) == (LIMIT, 400)
assert numbers() == before
""",
    "a limit that the host has set meanwhile stays": """
descriptors.MOST = 100
hold()
resource.setrlimit(resource.RLIMIT_NOFILE, (120, 400))
end()
assert resource.getrlimit(resource.RLIMIT_NOFILE) == (120, 400)
""",
    "two runs leave what the stricter one does": """
hold(left=40)
hold(left=10, token="2")
assert close(open_all()) == 10
end(1)
assert close(open_all()) == 40
end()
assert numbers() == before
""",
    "where fewer are left already the run says so": """
details, counters = hold(left=1000)
assert details["problem"] == "no more file descriptors than that are left already", details
assert resource.getrlimit(resource.RLIMIT_NOFILE) == (LIMIT, 400)
end()
assert numbers() == before
""",
    "what the host interrupts while it is taken and while it is given back is taken and given back later": """
class TimedOut(BaseException):
    pass

def once(owner, name, when):
    original, calls = getattr(owner, name), []
    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == when:
            raise TimedOut
        return original(*arguments)
    setattr(owner, name, interrupted)

once(descriptors.Copies, "lowest_last", 1)
try:
    hold()
except TimedOut:
    effect.look()
    assert effect.holdings[0].shown["held_descriptors"] == LIMIT - len(before) - 20, effect.holdings[0].shown
    assert effect.holdings[0].problem is None
assert [held for held in RESERVES.present] == effect.holdings
opened = open_all()
assert (len(opened), max(opened) < 60) == (20, True), opened
close(opened)
once(descriptors.Copies, "_close", 100)
try:
    end()
    raise SystemExit("it was not interrupted")
except TimedOut:
    assert effect.is_holding
effect.settle(active)
assert (numbers(), effect.is_holding, RESERVES.present) == (before, False, ())
""",
    "a time-out that comes in the middle of it takes no descriptor with it": """
import signal

def time_out(*_):
    raise TimeoutError

def add(*arguments):
    signal.setitimer(signal.ITIMER_REAL, (1 + number % 40) / 1_000_000)
    try:
        original(*arguments)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)

signal.signal(signal.SIGALRM, time_out)
original, descriptors.Copies.add = descriptors.Copies.add, add
interrupted = 0
for number in range(200):
    active.append(a_run("file_descriptor_exhaustion", token=str(number)))
    try:
        effect.hold(active[-1], Wanted(left=20))
    except TimeoutError:
        interrupted += 1
    end()
    assert (numbers(), effect.is_holding) == (before, False), number
assert interrupted > 20, interrupted
""",
    "a system without limits says so": """
descriptors.HAS_LIMITS = False
assert hold()[0] == {"problem": "this system has no limit of file descriptors"}
""",
}


MEASURED = """
import coverage
coverage.Coverage(data_suffix=True, auto_data=True).start()  # which is combined with ours
"""


@pytest.mark.parametrize("promise", PROMISES)
def test_descriptors(promise: str) -> None:
    # A time-out at any moment would leave a lock of coverage's locked, and its process would wait for it for ever.
    is_measured = coverage.Coverage.current() is not None and "setitimer" not in PROMISES[promise]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", (MEASURED if is_measured else "") + BEGIN + PROMISES[promise]],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
