"""What runs make of a handler's answer, and of work that is done: proxy answers, streams, blocks."""

import asyncio
import base64
import json
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from chalicelib.bootstrap import bootstrap
from chalicelib.errors import InjectedError
from chalicelib.experiments.base import Experiment, Parameters
from chalicelib.experiments.catalogue import BUILT_IN, Catalogue
from chalicelib.faults.base import DISCONNECT, Applied, Change, Fault, Headers, HitCall, Piece, Sleep
from chalicelib.frameworks.aws_lambda import inject_chaos
from chalicelib.frameworks.background import ChaosExperiments
from chalicelib.settings import Settings
from tests.frameworks.events import Invocation, http_event, load_balancer_event, sqs_event
from tests.frameworks.gateway import rest_event
from tests.support import Clock, FakeResultStore, FakeRunStore, FakeTokenStore, a_run


class Lost(Change):
    """The answer is lost: an error instead."""

    replaces = True

    def begin(self, status: int, headers: Headers) -> tuple[int, Headers]:
        return 503, [("Content-Type", "application/json")]

    def part(self, data: bytes) -> Iterable[Piece]:
        return ()

    def end(self) -> Iterable[Piece]:
        yield Sleep(0.5)
        yield json.dumps({"error_message": "it is lost"}).encode()

    @property
    def counters(self) -> dict[str, int]:
        return {"lost": 1}


class Shouted(Change):
    """Upper case, and what is no text at its end."""

    def begin(self, status: int, headers: Headers) -> tuple[int, Headers]:
        return 203, [*headers, ("X-Loud", "1")]

    def part(self, data: bytes) -> Iterable[Piece]:
        yield data.upper()

    def end(self) -> Iterable[Piece]:
        yield b"\xff"


class Cut(Change):
    """The connection is closed in the middle."""

    def part(self, data: bytes) -> Iterable[Piece]:
        yield data[:1]
        yield DISCONNECT

    def end(self) -> Iterable[Piece]:
        yield DISCONNECT


class Changing(Fault):
    kind = "changing"
    order = 70
    make: Callable[[], Change] = Lost

    def apply(self, call: HitCall) -> Applied:
        del call
        return Applied(change=type(self).make())


class Dropping(Fault):
    kind = "dropping"
    order = 60

    def apply(self, call: HitCall) -> Applied:
        del call
        return Applied(outcome=DISCONNECT)


class Trial(Experiment):
    """Whatever a test tries."""

    name = "trial"
    Parameters = Parameters
    fault: type[Fault] = Changing

    def faults(self, parameters: Parameters) -> Iterator[Fault]:
        yield self.fault()


class Host:
    """A process with the module in it, on fakes, in which a run does what a test tries."""

    def __init__(self, clock: Clock) -> None:
        self.runs, self.results, self.clock = FakeRunStore(), FakeResultStore(), clock
        self.flushes: list[Callable[[], None]] = []
        self.run = self.runs.runs["trial"] = a_run("trial", now=clock.now)
        self.done = 0

    def wire(self, **options: Any) -> Any:
        return bootstrap(
            Settings(stage="dev"),
            runs=self.runs,
            results=self.results,
            tokens=FakeTokenStore(),
            clock=self.clock,
            sleep=self.clock.sleep,
            chance=lambda: 0.0,
            schedule=lambda _seconds, flush: self.flushes.append(flush),
            catalogue=lambda: Catalogue([*BUILT_IN, Trial]),
            **options,
        )

    def handler(self, answer: Any) -> Callable[[Any, Any], Any]:
        @inject_chaos(wire=self.wire)
        def handler(event: Any, context: Any) -> Any:
            self.done += 1
            return answer

        return handler

    @property
    def counts(self) -> dict[str, int]:
        while self.flushes:
            self.flushes.pop()()
        return dict(self.results.tallies[self.run.run_id].counts)


@pytest.fixture
def host(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr(Trial, "fault", Changing)
    monkeypatch.setattr(Changing, "make", Lost)
    return Host(clock)


@pytest.fixture
def _shouting(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Changing, "make", Shouted)


def test_a_request_s_work_is_done_and_its_answer_lost(host: Host) -> None:
    answer = host.handler({"statusCode": 200, "headers": {"X-Own": "1"}, "body": "made"})(rest_event(), Invocation())

    assert (answer["statusCode"], json.loads(answer["body"])) == (503, {"error_message": "it is lost"})
    assert "X-Own" not in answer["headers"]
    assert answer["headers"]["X-Chaos-Experiment"] == "trial"
    assert host.done == 1
    assert sum(host.clock.slept) == 0.5
    assert host.counts["lost"] == 1


@pytest.mark.parametrize(
    "answer", [{"total": Decimal("1.5")}, {"statusCode": 200, "body": "a", "isBase64Encoded": True}]
)
def test_an_answer_that_nobody_can_read_stays_what_it_is(host: Host, answer: Any) -> None:
    """Lambda's runtime has an encoder of its own, which knows more than JSON does."""
    answered = host.handler(answer)(http_event(), Invocation())
    assert answered.items() >= {name: value for name, value in answer.items() if name != "headers"}.items()
    assert host.done == 1


def test_an_event_s_work_is_done_and_fails_all_the_same(host: Host) -> None:
    with pytest.raises(InjectedError, match="it is lost"):
        host.handler("done")(sqs_event("a"), Invocation())
    assert host.done == 1
    assert host.counts["lost"] == 1


def test_a_block_s_work_is_done_and_fails_at_its_end(host: Host, clock: Clock) -> None:
    chaos = ChaosExperiments(wire=host.wire)
    with pytest.raises(InjectedError, match="it is lost"), chaos.inject("send_invoice"):
        host.done += 1

    async def work() -> None:
        async with chaos.inject("send_invoice"):
            host.done += 1

    with pytest.raises(InjectedError, match="it is lost"):
        asyncio.run(work())
    assert host.done == 2
    assert host.counts["lost"] == 2


def test_what_work_raises_itself_is_what_is_raised(host: Host) -> None:
    with pytest.raises(LookupError), ChaosExperiments(wire=host.wire).inject("send_invoice"):
        raise LookupError


@pytest.mark.usefixtures("_shouting")
@pytest.mark.parametrize(
    "given",
    [
        {"statusCode": 200, "headers": {"X-Own": "1"}, "body": "made", "cookies": ["a=b"]},
        {"statusCode": "200", "headers": {"X-Own": "1"}, "body": base64.b64encode(b"made").decode()}
        | {"isBase64Encoded": True},
        {"statusCode": 200, "multiValueHeaders": {"X-Own": ["1"]}, "body": "made"},
    ],
)
def test_a_proxy_answer_is_changed_as_what_the_client_gets(host: Host, given: Any) -> None:
    answer = host.handler(given)(load_balancer_event(multi_value=True), Invocation())

    headers = answer["headers"] or {name: each[0] for name, each in answer["multiValueHeaders"].items()}
    assert (answer["statusCode"], headers["X-Own"], headers["X-Loud"]) == (203, "1", "1")
    assert (base64.b64decode(answer["body"]), answer["isBase64Encoded"]) == (b"MADE\xff", True)
    assert answer.get("cookies") == given.get("cookies")
    assert "Content-Length" not in headers


@pytest.mark.usefixtures("_shouting")
def test_what_an_http_api_would_make_an_answer_of_is_changed_as_that(host: Host) -> None:
    answer = host.handler({"order": 1})(http_event(), Invocation())

    assert (answer["statusCode"], base64.b64decode(answer["body"])) == (203, b'{"ORDER": 1}\xff')
    assert answer["headers"]["content-type"] == "application/json"


@pytest.mark.usefixtures("_shouting")
def test_a_stream_is_changed_in_parts(host: Host) -> None:
    asked = []

    @inject_chaos(wire=host.wire)
    def handler(event: Any, context: Any) -> Iterator[Any]:
        for part in ("a", b"b"):
            asked.append(part)
            yield part

    parts = handler(http_event(), Invocation())
    assert next(parts) == b"A"
    assert asked == ["a"]
    assert list(parts) == [b"B", b"\xff"]


def test_a_stream_whose_answer_is_lost_fails_when_it_is_done(host: Host) -> None:
    @inject_chaos(wire=host.wire)
    def handler(event: Any, context: Any) -> Iterator[bytes]:
        yield b"a"
        host.done += 1

    parts = handler(http_event(), Invocation())
    with pytest.raises(InjectedError, match="it is lost"):
        next(parts)
    assert host.done == 1
    assert host.counts["lost"] == 1


@pytest.mark.parametrize("fault", [Changing, Dropping])
@pytest.mark.parametrize("event", [http_event(), sqs_event("a")], ids=["request", "event"])
def test_a_dropped_connection_is_a_failed_invocation(
    host: Host, monkeypatch: pytest.MonkeyPatch, event: Any, fault: type[Fault]
) -> None:
    monkeypatch.setattr(Changing, "make", Cut)
    monkeypatch.setattr(Trial, "fault", fault)

    with pytest.raises(Exception, match="Chaos experiment"):
        host.handler({"statusCode": 200, "body": "made"})(event, Invocation())
    assert host.done == (fault is Changing)
