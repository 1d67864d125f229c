"""Counters of outgoing calls, read again: whatever is among them, and however many there are."""

from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.results.dependencies import MOST_DEPENDENCIES, OTHERS, DependencyCounter, Side, calls_hit, dependencies
from chalicelib.results.tally import Tally
from tests.results.test_recorder import Active, Hit, ServedCall, hit
from tests.support import a_run

RUN, OTHER = a_run("dependency_failure", dependency="dynamodb"), a_run(token="2")


@dataclass
class Outgoing:
    """What a client library calls."""

    client: str = "botocore"
    name: str = "dynamodb:PutItem"


@dataclass
class Called:
    """An outgoing call that runs are about."""

    call: Outgoing
    result: ServedCall
    status: int | None = 200
    error: BaseException | None = None


def called(*hits: Hit, **of: str) -> Any:
    return Called(Outgoing(**of), ServedCall([Active(RUN)], list(hits)))


def test_what_only_another_run_hit_is_on_neither_side() -> None:
    tally = Tally()
    counter = DependencyCounter(RUN.run_id)
    counter.count_request(tally, [called()], 200, is_untouched=False)
    counter.count_request(tally, [called(hit(OTHER))], 200, is_untouched=False)
    counter.count_request(tally, [called()], 200, is_untouched=True)
    counter.count_request(tally, [called(), called(hit(RUN))], 500, is_untouched=False)
    (found,) = dependencies(tally.counts)
    assert (found.calls, found.calls_hit) == (5, 1)
    assert (found.untouched, found.hit) == (Side(requests=1, calls=1), Side(requests=1, calls=2))


def test_calls_of_another_run_are_not_counted() -> None:
    tally = Tally()
    DependencyCounter(OTHER.run_id).count_request(tally, [called()], 200, is_untouched=True)
    assert tally.counts == {}


def test_whatever_a_name_has_in_it_is_read_again_and_cut() -> None:
    tally = Tally()
    DependencyCounter(RUN.run_id).count_alone(tally, called(name="a|b" + "c" * 200))
    (found,) = dependencies(tally.counts)
    assert found.called.name == "a_b" + "c" * 97


def counted(name: str, **counts: int) -> dict[str, int]:
    return {f"d|botocore|{name}|{what.replace('__', '.')}": number for what, number in counts.items()}


def test_what_processes_have_counted_is_added_up_and_read() -> None:
    tally = Tally()
    for _ in range(2):
        tally.merge(counted("dynamodb:PutItem", calls=11, calls_hit=6, errors=7, unreached=1, hit__calls=6, survived=1))
        tally.merge(counted("dynamodb:PutItem", failed=1, untouched__calls=5, untouched__requests=5))
    (found,) = dependencies({**tally.counts, "requests": 7, "delay": 1})
    assert (found.called.client, found.called.name) == ("botocore", "dynamodb:PutItem")
    assert (found.calls, found.calls_hit, found.errors, found.unreached) == (22, 12, 14, 2)
    assert (found.hit, found.untouched) == (Side(requests=4, calls=12), Side(requests=10, calls=10))
    assert (found.amplification, found.effective_error_rate) == (3.0, 0.5)
    assert calls_hit(tally.counts) == 12


def test_where_there_is_nothing_to_compare_there_is_no_ratio() -> None:
    (alone,) = dependencies(counted("sqs", calls=1, calls_hit=1))
    assert (alone.hit.calls_per_request, alone.amplification, alone.effective_error_rate) == (None, None, None)
    (all_hit,) = dependencies(counted("sqs", calls=3, calls_hit=3, hit__calls=3, survived=1))
    assert (all_hit.hit.calls_per_request, all_hit.amplification, all_hit.effective_error_rate) == (3.0, None, 0.0)
    (none_hit,) = dependencies(counted("sqs", calls=3, untouched__calls=3, untouched__requests=3))
    assert (none_hit.untouched.calls_per_request, none_hit.amplification) == (1.0, None)


def test_of_many_the_most_hit_are_shown_and_the_others_are_one() -> None:
    """Each process counts twenty, and not all the same."""
    counts = {f"d||{OTHERS.name}|calls": 5}
    for number in range(30):
        counts |= counted(f"host-{number}", calls=100, calls_hit=number)
    shown = dependencies(counts)
    assert [each.called.name for each in shown[:2]] == ["host-29", "host-28"]
    assert (len(shown), shown[-1].called, shown[-1].calls) == (MOST_DEPENDENCIES + 1, OTHERS, 5 + 10 * 100)
    assert sum(each.calls_hit for each in shown) == calls_hit(counts) == sum(range(30))


@settings(deadline=None)
@given(st.dictionaries(st.text(alphabet="d|.abc", max_size=12) | st.text(), st.integers(0, 10**30), max_size=30))
def test_no_counter_of_another_version_breaks_anything(counts: dict[str, int]) -> None:
    dependencies(counts)
    calls_hit(counts)
