"""What the audit of retries and time-outs counts, and what it takes for a finding."""

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from chalicelib.faults.base import FAILED_CALLS, PROCEED, Fail, Failure, Outcome, Way
from chalicelib.results.audit import (
    AT_ONCE_SECONDS,
    LEAST_AT_ONCE,
    LEAST_PAUSES,
    LONGEST_NAME,
    MOST_ATTEMPTS,
    MOST_FINDINGS,
    MOST_FLOWS,
    Audit,
    attempt,
    calls,
    findings,
)
from chalicelib.results.remedies import REMEDIES, TIMEOUTS, remedy
from chalicelib.results.tally import Tally

RUN, OTHER = "run", "other"
REFUSED = Failure(way="refused")


@dataclass
class Plan:
    run_id: str = RUN


@dataclass
class Applied:
    counters: dict[str, int]


@dataclass
class Hit:
    applied: Applied


@dataclass
class Result:
    plans: Sequence[Plan]
    outcome: Outcome
    hits: Sequence[Hit] = ()


@dataclass
class Call:
    client: str = "urllib3"
    name: str = "payments:443"
    service: str = ""
    method: str = "GET"
    path: str = "/v1"
    timeout_seconds: float = 5.0
    is_repeatable: bool = True


@dataclass
class Passage:
    """An outgoing call; `failure` is what it was made to meet."""

    began: float
    ended: float
    failure: Failure | None = None
    call: Call = field(default_factory=Call)
    place: str = "orders.py:42"
    content: int = 0
    flow: Any = 1
    left_seconds: float = math.inf
    is_limited: bool = False
    status: int | None = 200
    error: type[BaseException] | None = None
    plans: Sequence[Plan] = (Plan(),)

    @property
    def result(self) -> Any:
        if self.failure is None:
            return Result(self.plans, PROCEED)
        return Result(self.plans, Fail(self.failure), [Hit(Applied({FAILED_CALLS: 1}))])


def retried(*pauses: float, failure: Failure = REFUSED, last: Failure | None = REFUSED, **more: Any) -> list[Passage]:
    """One call that is made again after each pause; every attempt takes 1 s."""
    passages = [Passage(0.0, 1.0, failure, **more)]
    for pause in pauses:
        began = passages[-1].ended + pause
        passages.append(Passage(began, began + 1.0, failure, **more))
    passages[-1].failure = last
    return passages


def counted(requests: Iterable[Sequence[Passage]], audit: Audit | None = None) -> Tally:
    audit, counters = audit or Audit(), Tally()
    for passages in requests:
        audit.count_request(passages, RUN, counters)  # type: ignore[arg-type]
    return counters


def found(*requests: Sequence[Passage]) -> list[str]:
    return [each.finding for each in findings(counted(requests).counts)]


# What is a call, and what its retry


def sizes(passages: Sequence[Passage]) -> list[int]:
    return sorted(len(call) for call in calls(map(attempt, passages)))  # type: ignore[arg-type]


def test_an_attempt_after_a_failure_is_a_retry_and_one_after_a_success_another_call() -> None:
    assert sizes(retried(0.1, 0.2)) == [3]
    assert sizes([Passage(0, 1), Passage(2, 3)]) == [1, 1]


@pytest.mark.parametrize("end", [{"error": OSError}, {"status": 503}, {"status": 429}, {"failure": REFUSED}])
def test_what_has_failed(end: Any) -> None:
    assert sizes([Passage(0, 1, **end), Passage(2, 3)]) == [2]


@pytest.mark.parametrize("end", [{"status": 404}, {"status": 200}, {"failure": Failure(way="slow")}])
def test_what_has_not_failed(end: Any) -> None:
    assert sizes([Passage(0, 1, **end), Passage(2, 3)]) == [1, 1]


@pytest.mark.parametrize(
    "other",
    [
        {"place": "orders.py:43"},
        {"content": 7},
        {"call": Call(path="/v2")},
        {"call": Call(method="POST")},
        {"call": Call(name="ledger:443")},
        {"call": Call(client="httpx")},
    ],
)
def test_what_differs_is_no_retry(other: Any) -> None:
    assert sizes([Passage(0, 1, REFUSED), Passage(2, 3, **other)]) == [1, 1]


def test_what_cannot_be_told_from_its_neighbours_is_not_taken_for_their_retry() -> None:
    redis = Call(client="redis", method="", path="", is_repeatable=False, timeout_seconds=math.inf)
    assert sizes(retried(0.0, 0.0, call=redis)) == [1, 1, 1]
    assert sizes(retried(0.0, 0.0, call=redis, content=7)) == [3]
    assert in_background(retried(*[0.0] * 9, failure=Failure(way="timeout"), call=redis)) == ["no_timeout"]


def test_calls_side_by_side_are_not_taken_for_retries() -> None:
    gathered = [Passage(0.0, 1.0 + number, REFUSED, flow=number) for number in range(5)]
    assert sizes(gathered) == [1] * 5
    again = [Passage(each.ended + 0.5, each.ended + 1.0, flow=each.flow) for each in gathered]
    assert sizes([*gathered, *again]) == [2] * 5


def test_each_task_goes_on_with_its_own() -> None:
    first = [Passage(0.0, 1.0, REFUSED, flow=1), Passage(0.0, 1.5, REFUSED, flow=2)]
    again = [Passage(2.0, 3.0, REFUSED, flow=1), Passage(2.1, 3.0, REFUSED, flow=2)]
    made = calls(map(attempt, [*first, *again]))  # type: ignore[arg-type]
    assert [[each.flow for each in call] for call in made] == [[1, 1], [2, 2]]


def test_neighbours_that_fail_at_once_are_not_taken_for_retries() -> None:
    assert sizes([Passage(0, 0, REFUSED, flow=number) for number in range(9)]) == [1] * 9


def test_a_call_that_begins_before_another_one_has_failed_is_no_retry() -> None:
    assert sizes([Passage(0, 2, REFUSED), Passage(1, 3, REFUSED), Passage(4, 5)]) == [1, 2]


# Findings


def test_a_call_without_time_out_is_found_unless_somebody_gives_it_up() -> None:
    def without(**more: Any) -> list[Passage]:
        return [Passage(0, 1, call=Call(timeout_seconds=math.inf), **more)]

    class CancelledError(BaseException):
        pass

    assert found(without()) == ["no_timeout"]
    assert found(without(is_limited=True)) == []
    assert found(without(), without(error=CancelledError)) == []


def test_retries_at_once_are_found_and_a_first_one_may_come_at_once() -> None:
    assert found(*[retried(0.0, 0.0)] * LEAST_AT_ONCE) == ["no_backoff"]
    assert found(*[retried(0.0, 0.0)] * (LEAST_AT_ONCE - 1)) == []
    assert found(*[retried(0.0)] * 100) == []
    assert found(*[retried(0.0, AT_ONCE_SECONDS * 1.1)] * (LEAST_PAUSES - 1)) == []


def test_pauses_that_hardly_differ_are_found() -> None:
    def with_jitter(share: float) -> list[str]:
        chance = random.Random(16)  # noqa: S311 - not for secrets
        return found(*[retried(0.0, 0.5 * chance.uniform(1 - share, 1 + share)) for _ in range(200)])

    assert with_jitter(0.0) == with_jitter(0.02) == ["no_jitter"]
    assert with_jitter(0.1) == with_jitter(1.0) == []
    assert found(*[retried(0.5)] * (LEAST_PAUSES - 1)) == []


def test_a_pause_that_the_answer_asked_for_needs_no_jitter() -> None:
    throttled = Failure(way="throttle")
    assert found(*[retried(1.0, failure=throttled)] * 30) == []


def test_the_pauses_of_botocore_are_sound() -> None:
    chance = random.Random(16)  # noqa: S311 - not for secrets

    def of_dynamodb() -> list[Passage]:
        return retried(*(chance.random() * 0.025 * 2**number for number in range(2)))

    assert found(*[of_dynamodb() for _ in range(500)]) == []


def test_a_retry_after_that_is_ignored_is_found() -> None:
    asked = Failure(way="error", status=503, headers={"retry-after": "2"})
    assert found(retried(1.0, failure=asked)) == ["retry_after_ignored"]
    assert found(retried(2.0, failure=asked)) == []
    assert found(retried(0.5, failure=Failure(way="throttle"))) == ["retry_after_ignored"]
    date = Failure(way="error", headers={"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"})
    assert found(retried(0.5, failure=date)) == []
    of_aws = Call(client="botocore", service="dynamodb", name="dynamodb:PutItem")
    assert found(retried(0.5, failure=Failure(way="throttle"), call=of_aws)) == []


@pytest.mark.parametrize("way", ["lost_reply", "timeout"])
def test_a_write_that_is_made_again_though_it_may_be_done_is_found(way: Way) -> None:
    unknown, write = Failure(way=way), Call(method="POST", is_repeatable=False)
    assert found(retried(0.5, failure=unknown, call=write)) == ["write_repeated"]
    assert found(retried(0.5, failure=unknown)) == []
    assert found(retried(0.5, failure=REFUSED, call=write)) == []


def test_who_asks_whether_a_write_was_done_may_make_it_again() -> None:
    first, again = retried(5.0, failure=Failure(way="lost_reply"), call=Call(method="POST", is_repeatable=False))
    assert found([first, Passage(2.0, 3.0, place="orders.py:50"), again]) == []
    for other in ({"failure": REFUSED}, {"call": Call(name="ledger:443")}, {"flow": 2}):
        assert found([first, Passage(2.0, 3.0, place="orders.py:50", **other), again]) == ["write_repeated"]  # type: ignore[arg-type]


def test_many_attempts_are_found() -> None:
    pauses = [0.5 * 2**number for number in range(MOST_ATTEMPTS)]
    assert found(retried(*pauses)) == ["retry_amplification"]
    assert found(retried(*pauses[1:])) == []
    (only,) = findings(counted([retried(*pauses), retried(*pauses, 100.0)]).counts)
    assert only.calls == 2
    assert "15 times in all, 7.5 times each" in only.explanation


def test_a_time_out_beyond_the_request_is_found_and_so_are_attempts_that_take_too_long_together() -> None:
    slow = Call(timeout_seconds=60.0)
    assert found([Passage(0, 1, call=slow, left_seconds=29.0)]) == ["waits_too_long"]
    assert found([Passage(0, 1, call=slow, left_seconds=61.0)]) == []
    assert found([Passage(0, 1, call=slow)]) == []
    timed_out = Failure(way="timeout")
    assert found(retried(1.0, 2.0, failure=timed_out, last=timed_out, left_seconds=17.0)) == ["waits_too_long"]
    assert found(retried(1.0, 2.0, failure=timed_out, last=timed_out, left_seconds=19.0)) == []
    assert found(retried(1.0, 2.0, left_seconds=17.0)) == []  # they took 1 s each


def test_what_other_calls_took_is_not_held_against_one() -> None:
    first = Passage(0.0, 20.0, REFUSED, place="orders.py:1", left_seconds=30.0, call=Call(timeout_seconds=25.0))
    second = Passage(20.0, 21.0, left_seconds=10.0, call=Call(timeout_seconds=25.0))
    assert found([first, second]) == []


def test_clients_whose_calls_are_only_seen_in_part_are_left_alone() -> None:
    assert found(*[retried(*[0.0] * 9, call=Call(client="socket", timeout_seconds=math.inf))] * 9) == []


def test_only_calls_that_the_run_is_about_count_for_it() -> None:
    assert found(retried(*[0.5] * 9, plans=(Plan(OTHER),))) == []


# In the background


def in_background(passages: Sequence[Passage], audit: Audit | None = None) -> list[str]:
    audit, counters = audit or Audit(), Tally()
    for each in passages:
        audit.count_in_background(each, counters)  # type: ignore[arg-type]
    return [each.finding for each in findings(counters.counts)]


def test_the_rounds_of_a_loop_in_the_background_are_not_taken_for_bad_retries() -> None:
    assert in_background(retried(*[1.0] * 300)) == []


def test_what_no_round_may_do_is_found_in_the_background() -> None:
    assert in_background(retried(*[0.0] * 9)) == ["no_backoff"]
    assert in_background(retried(0.5, failure=Failure(way="throttle"))) == ["retry_after_ignored"]
    write = Call(method="POST", is_repeatable=False)
    assert in_background(retried(0.5, failure=Failure(way="lost_reply"), call=write)) == ["write_repeated"]
    assert in_background(retried(120.0, failure=Failure(way="lost_reply"), call=write)) == []
    assert in_background([Passage(0, 1, call=Call(timeout_seconds=math.inf))]) == ["no_timeout"]
    assert in_background([Passage(0, 1, call=Call(client="asyncio", timeout_seconds=math.inf))]) == []


def test_what_is_remembered_of_the_background_is_bounded() -> None:
    audit = Audit()
    in_background([Passage(number, number, REFUSED, flow=number) for number in range(MOST_FLOWS + 100)], audit)
    assert len(audit._background) == MOST_FLOWS


def test_what_cannot_be_audited_costs_no_count(caplog: pytest.LogCaptureFixture) -> None:
    audit, counters = Audit(), Tally({"requests": 1})
    audit.count_request([object()], RUN, counters)  # type: ignore[list-item]
    audit.count_in_background(object(), counters)  # type: ignore[arg-type]
    assert counters.counts == {"requests": 1}
    assert caplog.text.count("Could not audit outgoing calls") == 2


# Counters and words


def test_counters_have_the_names_that_are_agreed_and_add_up() -> None:
    counters = counted([retried(0.5)] * 2).counts
    name = "f|no_jitter|urllib3|payments:443|orders.py:42|"
    assert counters == {f"{name}n": 2, f"{name}sum": 10_000, f"{name}squares": 50_000_000}


def test_names_are_cut_and_there_are_so_many_findings_at_most() -> None:
    call = Call(name=f"{'h' * 200}|:443", timeout_seconds=math.inf)
    (name,) = counted([[Passage(0, 1, call=call, place=f"{'x/' * 200}a|b.py:1")]]).counts
    _, _, _, dependency, place, _ = name.split("|")
    assert (len(dependency), len(place)) == (LONGEST_NAME, LONGEST_NAME)
    assert place.endswith("/a/b.py:1")
    many = [[Passage(0, 1, call=Call(timeout_seconds=math.inf), place=f"a.py:{line}")] for line in range(100)]
    assert len(counted(many).counts) == MOST_FINDINGS
    jittered = [retried(0.5, place=f"a.py:{line}") for line in range(100)]
    assert len({name.rpartition("|")[0] for name in counted([*jittered, *many]).counts}) == 2 * MOST_FINDINGS
    both = counted(many)
    both.merge(counted([[Passage(0, 1, call=Call(timeout_seconds=math.inf), place="b.py:1")]] * 9).counts)
    shown = findings(both.counts)
    assert (len(shown), shown[0].place, shown[0].calls) == (MOST_FINDINGS, "b.py:1", 9)


def test_what_a_later_version_counts_is_left_out() -> None:
    unknown = {"f|other|urllib3|a:1|b.py:1|n": 1, "f|no_timeout|other|a:1|b.py:1|n": 1, "f|x": 1, "requests": 9}
    assert findings(unknown) == []


@pytest.mark.parametrize("client", TIMEOUTS)
@pytest.mark.parametrize("finding", REMEDIES)
def test_every_finding_has_a_remedy_for_every_client(finding: str, client: str) -> None:
    text = remedy(finding, client)
    assert text.endswith(".")
    assert not any(left in text for left in ("{timeout", "{backoff", "{client", "{one", "{retry_after"))


def test_a_finding_says_what_to_write() -> None:
    (only,) = findings(counted([[Passage(0, 1, call=Call(timeout_seconds=math.inf))]]).counts)
    assert (only.client, only.dependency, only.place, only.calls) == ("urllib3", "payments:443", "orders.py:42", 1)
    assert "1 call had no time-out" in only.explanation
    assert "timeout=(3, 10)" in only.remedy
