import math
import random

import pytest

from chalicelib.results.judgement import BY_CHANCE, evidence, fails_beyond_chance, interval, judge
from chalicelib.results.tally import Tally
from chalicelib.runs.options import Hypothesis


def seen(requests: int, errors: int = 0, slow: int = 0) -> Tally:
    tally = Tally()
    tally.merge({"requests": requests, "untouched.2xx": requests - errors, "untouched.5xx": errors})
    tally.merge({"untouched.slow": slow, "untouched.b27": requests})
    return tally


def test_it_held_where_no_more_failed_than_may() -> None:
    judgement = judge(Hypothesis(max_error_rate=0.01), seen(1000, errors=10))
    assert judgement.verdict == "held"
    assert judgement.explanation == (
        "Error rate: held. 10 of 1000 untouched requests failed, 1 % "
        "(95 % confidence interval 0.544 % to 1.83 %); the limit is 1 %."
    )
    (figure,) = judgement.figures
    assert figure.low is not None
    assert figure.high is not None
    assert figure.low < 0.01 < figure.high


def test_it_failed_where_more_failed_than_chance_explains() -> None:
    judgement = judge(Hypothesis(max_error_rate=0.01), seen(1000, errors=40))
    assert judgement.verdict == "failed"
    assert "failed. 40 of 1000" in judgement.explanation


def test_a_little_more_than_may_is_no_verdict() -> None:
    assert judge(Hypothesis(max_error_rate=0.01), seen(1000, errors=12)).verdict == "too_few_requests"


def test_with_fewer_requests_than_it_wants_there_is_no_verdict() -> None:
    judgement = judge(Hypothesis(max_error_rate=0.01, min_requests=50), seen(49, errors=49))
    assert judgement.verdict == "too_few_requests"
    assert judgement.explanation == "Untouched requests counted: 49; a verdict needs at least 50."
    assert not fails_beyond_chance(Hypothesis(max_error_rate=0.01, min_requests=50), seen(49, errors=49))


def test_without_any_request_there_are_no_figures() -> None:
    judgement = judge(Hypothesis(max_error_rate=0.0, p95_seconds=1.0), Tally())
    assert judgement.verdict == "too_few_requests"
    assert {figure.observed for figure in judgement.figures} == {None}


def test_where_none_may_fail_one_is_enough() -> None:
    none = Hypothesis(max_error_rate=0.0)
    assert judge(none, seen(200)).verdict == "held"
    assert judge(none, seen(200, errors=1)).verdict == "failed"
    assert fails_beyond_chance(none, seen(200, errors=1))


def test_where_all_may_fail_none_is_too_many() -> None:
    assert judge(Hypothesis(max_error_rate=1.0), seen(200, errors=200)).verdict == "held"
    assert not fails_beyond_chance(Hypothesis(max_error_rate=1.0), seen(10**6, errors=10**6))


def test_one_of_twenty_may_be_slower_than_the_95th_percentile() -> None:
    expected = Hypothesis(p95_seconds=1.0)
    assert judge(expected, seen(1000, slow=50)).verdict == "held"
    assert judge(expected, seen(1000, slow=90)).verdict == "failed"
    assert fails_beyond_chance(expected, seen(1000, slow=150))


def test_the_worst_bound_decides_and_each_says_what_it_saw() -> None:
    judgement = judge(Hypothesis(max_error_rate=0.5, p95_seconds=1.0), seen(1000, errors=1, slow=500))
    assert judgement.verdict == "failed"
    assert [figure.verdict for figure in judgement.figures] == ["held", "failed"]
    assert "Error rate: held" in judgement.explanation
    assert "500 of 1000 untouched requests took longer than 1 s" in judgement.explanation


def test_much_evidence_is_no_error() -> None:
    assert evidence(10**6, 10**6, 0.001) == math.inf
    assert evidence(0, 10**6, 0.001) == 0.0


@pytest.mark.parametrize("allowed", [0.01, 0.05, 0.3])
def test_what_holds_is_never_found_to_fail_however_often_it_is_judged(allowed: float) -> None:
    chance = random.Random(1)  # noqa: S311 - not for secrets
    expected = Hypothesis(max_error_rate=allowed, min_requests=1)
    for _ in range(100):
        errors = 0
        for requests in range(1, 1001):
            errors += chance.random() < allowed
            assert evidence(errors, requests, allowed) < 1 / BY_CHANCE
        assert not fails_beyond_chance(expected, seen(1000, errors=errors))


def test_what_fails_is_found_soon() -> None:
    chance = random.Random(1)  # noqa: S311 - not for secrets
    needed = []
    for _ in range(100):
        errors = requests = 0
        while evidence(errors, requests, 0.01) < 1 / BY_CHANCE:
            requests += 1
            errors += chance.random() < 0.2
        needed.append(requests)
    assert max(needed) < 200


def test_what_was_found_to_fail_beyond_chance_is_judged_so_at_the_end() -> None:
    for allowed in (0.001, 0.01, 0.05, 0.3, 0.9):
        for requests in (50, 100, 1000, 10000):
            for errors in range(requests + 1):
                if evidence(errors, requests, allowed) >= 1 / BY_CHANCE:
                    assert judge(Hypothesis(max_error_rate=allowed), seen(requests, errors=errors)).verdict == "failed"
                    break


def test_the_interval_is_wilsons() -> None:
    low, high = interval(10, 100)
    assert low == pytest.approx(0.0552, abs=1e-3)
    assert high == pytest.approx(0.1744, abs=1e-3)
    assert interval(0, 0) == (0.0, 1.0)
    assert interval(0, 50)[0] == 0.0
    assert interval(50, 50)[1] == 1.0
