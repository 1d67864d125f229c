"""What a service sends along with the calls that it makes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests
import urllib3
from botocore.session import Session

from chalicelib.injection.propagation import LASTS_SECONDS, Seal, Verdict
from chalicelib.outgoing.installation import INSTALLATION
from chalicelib.own_calls import own_calls
from chalicelib.runs.run import Run
from chalicelib.settings import Settings
from tests.dependencies.harness import Dependencies, answering
from tests.injection.support import FakeCall
from tests.support import NOW, Clock, a_run

KEY = "sixteen bytes or more"
SETTINGS = Settings(stage="dev", propagation_key=KEY)


class Next:
    """The service that is called: what its baggages are, in order; None for a request without."""

    def __init__(self, url: str, got: list[str | None]) -> None:
        self.url = url
        self.got = got

    def verdicts(self, run: Run) -> list[bool | None]:
        """What the run has decided, as who has the key reads it. Forgets what it got."""
        got, self.got[:] = list(self.got), []
        reads = Seal(KEY, Clock()).propagation(run)
        assert reads
        found: list[Verdict | None] = [reads.read(each) for each in got]
        return [None if each is None else each.is_hit for each in found]


@pytest.fixture
def following() -> Iterator[Next]:
    with answering("baggage") as (url, got):
        yield Next(url, got)


def travelling(name: str = "latency_injection", **more: Any) -> Run:
    options = {"propagate": True, **more.pop("options", {})}
    return a_run(name, label="slow", options=options, duration_seconds=60.0, **more)


@contextmanager
def active(run: Run, *, chance: float = 0.0, settings: Settings = SETTINGS) -> Iterator[Dependencies]:
    made = Dependencies(run, chance=chance, settings=settings)
    made.refresh()
    try:
        yield made
    finally:
        made.stop()
        assert not INSTALLATION.gates


@pytest.mark.parametrize(("chance", "is_hit"), [(0.1, True), (0.9, False)])
def test_a_call_that_serves_a_request_says_whether_that_is_hit(following: Next, *, chance: float, is_hit: bool) -> None:
    run = travelling(percentage=50.0)
    with active(run, chance=chance) as service, service.request():
        requests.get(following.url, timeout=5)
        urllib3.PoolManager().request("GET", following.url, headers={"Baggage": "a=1"})
        (_, merged) = following.got
        assert merged
        assert merged.startswith("a=1,chaos.slow=")
        assert following.verdicts(run) == [is_hit, is_hit]


def test_a_dry_run_says_what_it_would_hit(following: Next) -> None:
    run = travelling(options={"dry_run": True})
    with active(run) as service, service.request():
        requests.get(following.url, timeout=5)
    assert following.verdicts(run) == [True]


def test_what_came_goes_on_as_it_came_and_no_longer_than_it_holds(following: Next) -> None:
    run = travelling(percentage=100.0)
    sealed = Seal(KEY, Clock()).propagation(run)
    assert sealed
    came = sealed.own(is_hit=False, until=NOW + 60)
    with active(run) as service, service.request(FakeCall("/orders", baggage=came)) as result:
        assert not result.hits
        service.clock.now += LASTS_SECONDS / 2
        service.refresh()
        requests.get(following.url, timeout=5)
        service.clock.now += LASTS_SECONDS / 2
        service.refresh()
        requests.get(following.url, timeout=5)
    assert following.got == [came, None]


@pytest.mark.parametrize(("path", "is_hit"), [("/orders", True), ("/carts", False)])
def test_a_run_about_outgoing_calls_says_whether_the_request_is_in_its_target(
    following: Next, *, path: str, is_hit: bool
) -> None:
    run = travelling(
        "dependency_failure", dependency="127.0.0.1:9", fault="refused", options={"target": {"paths": ["/orders"]}}
    )
    with active(run) as service, service.request(FakeCall(path)):
        requests.get(following.url, timeout=5)
    assert following.verdicts(run) == [is_hit]


@pytest.mark.parametrize("is_hit", [True, False])
def test_a_verdict_stands_for_the_target_of_a_run_about_outgoing_calls(*, is_hit: bool) -> None:
    run = travelling(
        "dependency_failure",
        dependency="127.0.0.1:9",
        fault="timeout",
        options={"target": {"paths": ["/orders" if not is_hit else "/carts"]}},
    )
    sealed = Seal(KEY, Clock()).propagation(run)
    assert sealed
    came = sealed.own(is_hit=is_hit, until=NOW + 60)
    raises = pytest.raises(requests.ReadTimeout if is_hit else requests.ConnectionError)
    with active(run) as service, service.request(FakeCall("/orders", baggage=came)), raises:
        requests.get("http://127.0.0.1:9", timeout=3)


def test_nothing_is_sent_with_other_calls(following: Next) -> None:
    """Those of no request, of one that is answered or has reached no route, signed ones, and the module's own."""
    with active(travelling()) as service:
        requests.get(following.url, timeout=5)
        with service.request() as result:
            requests.get(following.url, headers={"Authorization": "AWS4-HMAC-SHA256 Credential=x"}, timeout=5)
            with own_calls():
                requests.get(following.url, timeout=5)
            result.reached_route = False
            requests.get(following.url, timeout=5)
            result.reached_route, result.is_answered = True, True
            requests.get(following.url, timeout=5)
    assert following.got == [None] * 5


def test_nothing_is_sent_to_aws(following: Next) -> None:
    made = Session()
    made.set_credentials("its", "own")
    client = made.create_client("dynamodb", region_name="us-east-1", endpoint_url=following.url)
    with active(travelling()) as service, service.request():
        client.list_tables()
    assert following.got == [None]


def test_without_such_a_run_nothing_is_installed(following: Next) -> None:
    with active(a_run()) as service, service.request():
        assert not INSTALLATION.gates
        requests.get(following.url, timeout=5)
    assert following.got == [None]


def test_without_a_key_nothing_is_installed() -> None:
    with active(travelling(), settings=Settings(stage="dev")):
        assert not INSTALLATION.gates


def test_a_defect_of_it_loses_no_call(following: Next, monkeypatch: pytest.MonkeyPatch) -> None:
    with active(travelling()) as service, service.request():
        monkeypatch.setattr("chalicelib.injection.outgoing.with_members", None)
        assert requests.get(following.url, timeout=5).status_code == 200


def test_the_headers_that_the_caller_has_stay_its_own(following: Next) -> None:
    headers = {"X-Own": "1"}
    with active(travelling()) as service, service.request():
        urllib3.PoolManager().request("GET", following.url, headers=headers)
    assert headers == {"X-Own": "1"}
    assert following.got != [None]


def test_an_agent_that_passes_baggage_on_is_corrected(following: Next) -> None:
    """OpenTelemetry's: it sends what came with the request, also what has expired."""
    instrumentation = pytest.importorskip("opentelemetry.instrumentation.requests").RequestsInstrumentor()
    from opentelemetry import baggage, context  # noqa: PLC0415 - only where it is installed

    run = travelling()
    came = baggage.set_baggage("chaos.slow", "0.1.x.old", baggage.set_baggage("user", "a b"))
    instrumentation.instrument()
    token = context.attach(came)
    try:
        with active(run) as service, service.request():
            requests.get(following.url, timeout=5)
    finally:
        context.detach(token)
        instrumentation.uninstrument()
    (got,) = following.got
    assert got
    user, verdict = got.split(",")
    assert user == "user=a+b"
    assert following.verdicts(run) == [True]
    assert baggage.get_baggage("chaos.slow", _read_by_opentelemetry(verdict)) == verdict.partition("=")[2]


def _read_by_opentelemetry(header: str) -> Any:
    from opentelemetry.baggage.propagation import W3CBaggagePropagator  # noqa: PLC0415 - as above

    return W3CBaggagePropagator().extract({"baggage": header})


def test_a_run_that_begins_while_a_request_is_served_says_nothing_of_it(following: Next) -> None:
    late = a_run("error_injection", label="late", token="2", options={"propagate": True}, duration_seconds=60.0)
    with active(travelling()) as service, service.request():
        service.store.runs[late.label] = late
        service.refresh()
        requests.get(following.url, timeout=5)
    (got,) = following.got
    assert got
    assert [member.partition("=")[0] for member in got.split(",")] == ["chaos.slow"]


def test_before_its_baseline_is_over_a_run_says_that_it_hits_nothing(following: Next) -> None:
    run = travelling(options={"hypothesis": {"p95_seconds": 1.0, "of": "hit", "baseline_seconds": 10.0}})
    with active(run) as service, service.request():
        requests.get(following.url, timeout=5)
    assert following.verdicts(run) == [False]
