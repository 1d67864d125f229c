"""Records of a batch that fail one by one: the handler is called once, with the others, and those are reported."""

from collections.abc import Callable
from typing import Any

import pytest
from chalice import Chalice
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.bootstrap import bootstrap
from chalicelib.frameworks.aws_lambda import inject_chaos
from chalicelib.frameworks.chalice import ChaosExperiments
from chalicelib.settings import Settings
from tests.frameworks.events import Invocation, dynamodb_event, http_event, kinesis_event, sns_event, sqs_event
from tests.support import Clock, FakeResultStore, FakeRunStore, FakeTokenStore, a_run

Ids = list[str]


def ids(event: Any) -> Ids:
    return [each["messageId"] for each in event["Records"]]


def reported(answer: Any) -> Ids:
    return [each["itemIdentifier"] for each in answer["batchItemFailures"]]


class Consumer:
    """A function that gets batches, with the module in it, on fakes. `draws` are what the chance gives."""

    def __init__(self, draws: Callable[[], float] = lambda: 0.0, percentage: float = 50.0) -> None:
        self.clock = Clock()
        self.runs, self.results = FakeRunStore(), FakeResultStore()
        self.run = self.runs.runs["error_injection"] = a_run("error_injection", record_percentage=percentage)
        self.draws = draws
        self.flushes: list[Callable[[], None]] = []
        self.batches: list[Ids] = []
        self.answer: Any = None

    def wire(self, **options: Any) -> Any:
        return bootstrap(
            Settings(stage="dev"),
            runs=self.runs,
            results=self.results,
            tokens=FakeTokenStore(),
            clock=self.clock,
            sleep=self.clock.sleep,
            chance=self.draws,
            schedule=lambda _seconds, flush: self.flushes.append(flush),
            **options,
        )

    def plain(self) -> Callable[[Any, Any], Any]:
        return inject_chaos(wire=self.wire)(self._handler)

    def of_chalice(self) -> Callable[[Any, Any], Any]:
        app = Chalice("tested", configure_logs=False)
        ChaosExperiments(app, wire=self.wire)

        def on_message(event: Any) -> Any:
            return self._handler(event.to_dict(), None)

        handler: Callable[[Any, Any], Any] = app.on_sqs_message(queue="orders")(on_message)
        return handler

    def _handler(self, event: Any, context: Any) -> Any:
        self.batches.append(ids(event) if "messageId" in str(event) else [event])
        return self.answer


def scripted(*drawn: float) -> Callable[[], float]:
    return iter(drawn).__next__


MAKERS = [Consumer.plain, Consumer.of_chalice]
of_each = pytest.mark.parametrize("make", MAKERS, ids=["plain", "Chalice"])
Make = Callable[[Consumer], Callable[[Any, Any], Any]]


@of_each
def test_the_failed_ones_and_only_they_come_back_and_the_handler_gets_the_others_once(make: Make) -> None:
    consumer = Consumer(scripted(0.0, 0.9, 0.1, 0.9))
    answer = make(consumer)(sqs_event("a", "b", "c", "d"), Invocation())

    assert consumer.batches == [["m1", "m3"]]
    assert reported(answer) == ["m0", "m2"]


@of_each
def test_where_all_fail_the_handler_is_not_called(make: Make) -> None:
    consumer = Consumer()
    answer = make(consumer)(sqs_event("a", "b"), Invocation())

    assert not consumer.batches
    assert reported(answer) == ["m0", "m1"]


@of_each
def test_where_none_fails_the_handler_answers_as_ever(make: Make) -> None:
    consumer = Consumer(lambda: 0.9)
    consumer.answer = {"own": 1}
    assert make(consumer)(sqs_event("a", "b"), Invocation()) == {"own": 1}
    assert consumer.batches == [["m0", "m1"]]


@of_each
def test_what_the_handler_reports_itself_stays(make: Make) -> None:
    consumer = Consumer(scripted(0.0, 0.9, 0.9))
    consumer.answer = {"batchItemFailures": [{"itemIdentifier": "m2"}], "own": 1}
    answer = make(consumer)(sqs_event("a", "b", "c"), Invocation())

    assert reported(answer) == ["m2", "m0"]
    assert answer["own"] == 1


def test_a_handler_that_raises_fails_as_ever() -> None:
    consumer = Consumer(scripted(0.0, 0.9))

    @inject_chaos(wire=consumer.wire)
    def handler(event: Any, context: Any) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        handler(sqs_event("a", "b"), Invocation())


@pytest.mark.parametrize("event", [sns_event(), http_event(), {"order": 1}], ids=["SNS", "request", "anything"])
def test_what_is_no_batch_is_not_hit(event: Any) -> None:
    consumer = Consumer(percentage=100.0)
    consumer.answer = {"statusCode": 200, "body": "made"}

    assert consumer.plain()(event, Invocation()) == {"statusCode": 200, "body": "made"}
    assert len(consumer.batches) == 1


@pytest.mark.parametrize("event", [kinesis_event("a", "b", "c"), dynamodb_event(3)], ids=["Kinesis", "DynamoDB"])
def test_of_a_stream_the_handler_gets_what_comes_before_the_first_that_fails(event: Any) -> None:
    consumer = Consumer(scripted(0.9, 0.0))
    answer = consumer.plain()(event, Invocation())

    ((handled,),) = consumer.batches
    assert handled["Records"] == event["Records"][:1]
    assert reported(answer) == ["s1", "s2"]


def test_how_many_failed_is_counted() -> None:
    consumer = Consumer(scripted(0.0, 0.9, 0.1))
    consumer.plain()(sqs_event("a", "b", "c"), Invocation())
    while consumer.flushes:
        consumer.flushes.pop()()

    assert consumer.results.tallies[consumer.run.run_id].counts["failed_records"] == 2


@settings(max_examples=60, deadline=None, database=None)
@given(
    drawn=st.lists(st.tuples(st.floats(0, 0.999), st.sampled_from("xyz")), min_size=1, max_size=10),
    is_fifo=st.booleans(),
    own=st.sets(st.integers(0, 9)),
)
def test_each_record_is_handled_or_reported_and_the_order_of_groups_is_kept(
    drawn: list[tuple[float, str]], own: set[int], *, is_fifo: bool
) -> None:
    groups = tuple(group for _, group in drawn)
    event = sqs_event(*groups, groups=groups if is_fifo else ())
    draws = iter([each for each, _ in drawn])
    consumer = Consumer(lambda: next(draws, 0.999))
    consumer.answer = {"batchItemFailures": [{"itemIdentifier": f"m{number}"} for number in own]}
    answer = consumer.plain()(event, Invocation())

    handled = [each for batch in consumer.batches for each in batch]
    failed = {*ids(event)} - {*handled}
    assert len(consumer.batches) <= 1
    assert len({*handled}) == len(handled)
    its_own = {f"m{number}" for number in own} if handled else set()
    assert {*reported(answer or consumer.answer)} == failed | its_own
    if is_fifo:
        for name in failed:
            first = int(name[1:])
            later = {f"m{each}" for each in range(first, len(groups)) if groups[each] == groups[first]}
            assert later <= failed
