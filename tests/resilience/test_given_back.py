"""What a run took is given back: by every experiment, in each framework on a real server, however the run ends.

Each experiment is tried once. With `--whole-matrix` each is tried in each framework with each end, and again and again
in one of them, so often as `--rounds` says.
"""

import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import product
from pathlib import Path

import psutil
import pytest
import requests

from chalicelib.experiments.catalogue import installed
from tests.loopback import PATIENCE_SECONDS, until
from tests.resilience.hosting import API, FRAMEWORKS, Answer, Host, ask, users
from tests.resilience.signs import ONCE, SIGNS, During, is_hit, parameters_of
from tests.resilience.taken import CPU_SECONDS, LATE_SECONDS, Taken, a_second, measure
from tests.resilience.upstream import upstream

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="asks Linux what a process has"),
]

WAYS = ("stop", "expiry", "halt", "kill -9")
LONG_SECONDS = 600.0
SHORT_SECONDS = (3.0, 12.0, 48.0)
"""How long a run lasts that is to expire: longer, where it was over before it was felt."""

Tell = Callable[[str], None]
Case = tuple[str, str, str]


def cases(*, whole: bool) -> list[Case]:
    """Experiment, framework and end: all of them, or so many that each experiment and each pair is among them."""
    names, pairs = list(installed()), list(product(FRAMEWORKS, WAYS))
    if whole:
        return [(name, *pair) for pair in pairs for name in names]
    count = max(len(names), len(pairs))
    return [(names[each % len(names)], *pairs[each % len(pairs)]) for each in range(count)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    whole = metafunc.config.getoption("--whole-matrix")
    if "case" in metafunc.fixturenames:
        found = sorted(cases(whole=whole), key=lambda case: list(FRAMEWORKS).index(case[1]))
        metafunc.parametrize("case", found, ids=[", ".join(case) for case in found])
    if "again" in metafunc.fixturenames:
        pairs = list(product(installed(), ("stop", "kill -9"))) if whole else [("resource_exhaustion", "stop")]
        metafunc.parametrize("again", pairs, ids=[", ".join(pair) for pair in pairs])


class Trial:
    """A host, what it had before anything ran, and a run there."""

    def __init__(self, host: Host, own_ports: set[int]) -> None:
        self.host = host
        self._own_ports = own_ports
        self._warm_up()
        self._before = self._measure()
        self._idle = a_second(host.main, host.lines)

    def _warm_up(self) -> None:
        """A run that takes nothing, felt by each process: what is imported for it, stays."""
        size = len(self.host.environments())
        self._start("latency_injection")
        with users(self.host, 6) as seen:
            until(lambda: len({each.headers["X-Chaos-Environment"] for each in list(seen) if each.is_hit}) == size)
        self.host.control("POST", "/stop", {"experiment_name": "latency_injection"})
        until(lambda: not ask(self.host).is_hit)
        until(lambda: not [name for name in self._measure().threads if name.startswith("chaos")])

    def _measure(self) -> Taken:
        return measure(self.host.main, self.host.lines, self.host.temporary, own_ports=self._own_ports)

    def _start(self, name: str, duration_seconds: float = LONG_SECONDS) -> None:
        parameters = parameters_of(name, duration_seconds=duration_seconds)
        self.host.control("POST", "/start", {"experiment_name": name, **parameters})

    def _is_running(self) -> bool:
        return bool(self.host.control("GET", "/list")["active_experiments"])

    def lives(self, name: str, end: str) -> None:
        """A run is felt, ends, and has given back what it took."""
        self._is_felt_until_it_expires(name) if end == "expiry" else self._is_felt(name)
        getattr(self, f"_{end.partition(' ')[0]}")(name)
        assert not self._is_running()
        self.host.server.call("POST", f"{API}/resume", json={})  # where it was halted

    def _is_felt(self, name: str) -> None:
        self._start(name)
        assert self._feel(name, PATIENCE_SECONDS), f"{name} takes nothing, and does nothing:\n{self.host.log()}"

    def _is_felt_until_it_expires(self, name: str) -> None:
        for seconds in SHORT_SECONDS:
            self._start(name, seconds)
            if self._feel(name, seconds):
                return
            until(lambda: not self._is_running())
        raise AssertionError(f"{name} takes nothing, and does nothing:\n{self.host.log()}")

    def _feel(self, name: str, seconds: float) -> bool:
        """Ask for orders until it has taken something, or done something. The control plane answers meanwhile."""
        environments, ends = self.host.environments(), time.monotonic() + seconds
        is_felt = False
        with users(self.host) as seen:
            while not is_felt and time.monotonic() < ends:
                is_felt = self._is_seen(name, environments, list(seen))
                time.sleep(0.05)
            if not self.host.is_dead():
                assert self.host.control("GET", "/list")["available_experiments"]
        self.host.revive()
        return is_felt

    def _is_seen(self, name: str, environments: list[int], seen: list[Answer]) -> bool:
        during = During(self.host, self._before, environments, seen, self._measure)
        return SIGNS.get(name, is_hit)(during)

    # Its ends: nobody asks for an order meanwhile

    def _stop(self, name: str) -> None:
        if name not in ONCE or self._is_running():
            self.host.control("POST", "/stop", {"experiment_name": name})

    def _halt(self, name: str) -> None:
        self.host.control("POST", "/halt", {"reason": f"{name} is enough"})

    def _expiry(self, _name: str) -> None:
        until(lambda: not self._is_running())

    def _kill(self, name: str) -> None:
        """What has come in the place of the process obeys what is still active."""
        self.host.kill()
        self.host.revive()
        if name not in ONCE:
            assert self._feel(name, PATIENCE_SECONDS), f"a new process does not obey {name}:\n{self.host.log()}"
        self._stop(name)

    # Afterwards

    def check(self, tell: Tell) -> None:
        """Everything is as it was before, and the application answers."""
        ends = time.monotonic() + PATIENCE_SECONDS
        while left := self._not_given_back():
            assert time.monotonic() < ends, "\n".join([*left, self.host.log()])
            time.sleep(0.1)
        self._check_that_it_is_idle(ends, tell)
        answer = ask(self.host)
        assert (answer.status, answer.is_hit, answer.order.get("upstream")) == (201, False, 200), answer

    def _not_given_back(self) -> list[str]:
        try:
            return self._measure().not_given_back(self._before)
        except (psutil.Error, OSError, ValueError) as error:  # a process has come or gone meanwhile
            return [repr(error)]

    def _check_that_it_is_idle(self, ends: float, tell: Tell) -> None:
        while True:
            second = a_second(self.host.main, self.host.lines)
            is_late = second.late_seconds > LATE_SECONDS
            if second.cpu_seconds <= self._idle.cpu_seconds + CPU_SECONDS and not is_late:
                return
            if time.monotonic() > ends:
                break
        assert is_late, f"{second.cpu_seconds:.2f} s of processor in a second, {self._idle.cpu_seconds:.2f} s before"
        assert second.our_lateness > LATE_SECONDS / 2, f"the event loop is {second.late_seconds:.2f} s late"
        tell(f"This machine is too busy to see whether an event loop is late: {second}")


Trials = Callable[[str], AbstractContextManager[Trial]]


@pytest.fixture(scope="module")
def trials(dynamodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trials]:
    """The trial in each framework, made when it is asked for; a case that fails takes its host with it."""
    made: dict[str, Trial] = {}

    def new(framework: str) -> Trial:
        variables = {
            "AWS_ENDPOINT_URL_DYNAMODB": dynamodb_url,
            "CHAOS_TABLE": f"given-back-{uuid.uuid4().hex[:8]}",
            "UPSTREAM": address,
        }
        host = Host(framework, tmp_path_factory.mktemp(framework), variables)
        try:
            host.start()
            return Trial(host, {int(dynamodb_url.rpartition(":")[2])})
        except BaseException:
            host.close()
            raise

    @contextmanager
    def trial(framework: str) -> Iterator[Trial]:
        made[framework] = made.get(framework) or new(framework)
        try:
            yield made[framework]
        except BaseException:
            made.pop(framework).host.close()
            raise

    with upstream() as address:
        yield trial
        for each in made.values():
            each.host.close()


def test_what_it_took_is_given_back(case: Case, trials: Trials, tell: Tell) -> None:
    name, framework, end = case
    with trials(framework) as trial:
        trial.lives(name, end)
        trial.check(tell)


@pytest.mark.timeout(3600)
def test_again_and_again(again: tuple[str, str], trials: Trials, tell: Tell, pytestconfig: pytest.Config) -> None:
    name, end = again
    with trials("fastapi" if name == "event_loop_block" else "flask") as trial:
        for _ in range(pytestconfig.getoption("--rounds")):
            trial.lives(name, end)
            trial.check(tell)


TRIES = 40


def orders(experiments: Iterable[str]) -> dict[str, int]:
    """When what each experiment does is applied: with its least order."""
    catalogue = installed()
    made = {name: catalogue[name].Parameters(**parameters_of(name)) for name in experiments}
    return {name: min(fault.order for fault in catalogue[name].faults(each)) for name, each in made.items()}


def injected(host: Host) -> list[str]:
    """Which experiments hit one request to the test endpoint, in their order; none where it got no whole answer."""
    with suppress(requests.RequestException, ValueError):
        answer = requests.get(f"{host.server.url}{API}/test", headers={"Connection": "close"}, timeout=2)
        return [each["experiment"] for each in answer.json()["resultset"].get("injected", ())]
    return []


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_all_together_keep_their_order_and_the_control_plane_and_a_halt_ends_them(
    framework: str, trials: Trials, tell: Tell
) -> None:
    names = [name for name in installed() if name not in ONCE]
    place = orders(names)
    with trials(framework) as trial:
        host = trial.host
        every = [{"experiment_name": name, "percentage": 40.0, **parameters_of(name)} for name in names]
        host.control("POST", "/start", {"experiments": every})
        seen: set[str] = set()
        with users(host):
            for _ in range(TRIES):
                hit = injected(host)
                assert [place[name] for name in hit] == sorted(place[name] for name in hit), hit
                seen.update(hit)
            assert len(host.control("GET", "/list")["active_experiments"]) == len(names)
        halted = time.monotonic()
        assert len(host.control("POST", "/halt", {"reason": "all of them"})["ended_runs"]) == len(names)
        assert not host.control("GET", "/list")["active_experiments"]
        host.server.call("POST", f"{API}/resume", json={})
        trial.check(tell)
        seconds = time.monotonic() - halted
        tell(f"{framework}: {len(seen)} of {len(names)} hit tests; all given back {seconds:.1f} s after a halt")
        assert len(seen) > 1
