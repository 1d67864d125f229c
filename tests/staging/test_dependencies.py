"""The drill of 20 October 2025: the application's table has no DNS, in all environments; the module's own has."""

import itertools
import time
from collections.abc import Iterator

import pytest

from tests.staging.account import Account
from tests.staging.fleet import SIZE, Answer, Fleet, Stage, Tell, environments, everywhere, feels, spared
from tests.staging.test_agreement import last, told

pytestmark = pytest.mark.timeout(900)

REFRESH_SECONDS = 1.0
FAILURE = "dependency_failure"


@pytest.fixture(scope="module")
def _stock(account: Account) -> Iterator[None]:
    dynamodb = account.client("dynamodb")
    dynamodb.create_table(
        TableName="stock",
        KeySchema=[{"AttributeName": "item", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "item", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    dynamodb.put_item(TableName="stock", Item={"item": {"S": "tea"}, "number": {"N": "7"}})
    yield
    dynamodb.delete_table(TableName="stock")


@pytest.mark.usefixtures("_stock")
def test_the_table_has_no_dns_and_a_stop_is_obeyed_by_every_environment_within_a_second(
    stage: Stage, rounds: int, tell: Tell
) -> None:
    starts: list[float] = []
    stops: list[float] = []
    moments = itertools.cycle((0.13, 0.71, 0.42, 0.95, 0.28))  # between the environments' reads
    with Fleet(stage, "/stock") as fleet:
        fleet.wait_until(lambda answers: len(environments(answers)) >= SIZE, since=0, seconds=90)
        for _ in range(rounds):
            stage.start(FAILURE, dependency="dynamodb", fault="dns", scope_of_calls="process", duration_seconds=120)
            started = time.time()
            fleet.wait_until(everywhere(feels(FAILURE)), since=started)
            starts += last(fleet.answers(started), spared(FAILURE), since=started)
            time.sleep(next(moments))
            run = stage.stop(FAILURE)
            stopped = time.time()
            fleet.wait_until(everywhere(spared(FAILURE)), since=stopped)
            time.sleep(0.5)
            stops += last(fleet.answers(stopped), feels(FAILURE), since=stopped)
            assert run["status"] == "stopped"
        answers = fleet.answers()
    tell(told("start", starts))
    tell(told("stop", stops))
    assert [answer for answer in answers if answer.status != expected(answer)] == []
    assert max(stops) <= REFRESH_SECONDS


def expected(answer: Answer) -> int:
    """What the application answers where boto3 says that it cannot connect to the endpoint, and otherwise."""
    return 503 if FAILURE in answer.touched else 200
