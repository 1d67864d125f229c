"""CloudWatch's alarms behind the port: the only module that knows CloudWatch."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..errors import AlarmsUnavailable, UnknownAlarm
from ..own_calls import own_calls
from ..settings import Settings
from ..time_limits import within

PER_CALL = 100
TIMEOUTS = 4
"""How many time-outs of the table all of the way to the alarms may take, which are not always as near as the table."""

LAMBDA_SECONDS = 2.0
"""The least that it may take in Lambda, where a cold environment computes meanwhile."""


class CloudWatchAlarms:
    """`Alarms` on CloudWatch. Its client is made when it is first needed."""

    def __init__(self, settings: Settings, limit_seconds: float | None = None) -> None:
        """All of the way may take `limit_seconds`; four time-outs of the table unless given."""
        self._settings = settings
        self._limit_seconds = limit_seconds or TIMEOUTS * settings.table_timeout_seconds
        if settings.in_lambda:
            self._limit_seconds = max(self._limit_seconds, LAMBDA_SECONDS)
        self._opening = threading.Lock()
        self._client: Any = None

    @own_calls()
    def firing(self, names: Sequence[str]) -> Mapping[str, str]:
        try:
            self._open()
            described = within(self._limit_seconds, lambda: list(self._described(names)))
            known = {alarm["AlarmName"]: alarm for alarm in described}
        except Exception as error:
            answer = getattr(error, "response", None) or {}  # time-outs have one that is None
            code = answer.get("Error", {}).get("Code") or type(error).__name__
            raise AlarmsUnavailable(
                f"Could not read the states of the alarms from CloudWatch ({code}). Check the region, and that the "
                "credentials of this application allow cloudwatch:DescribeAlarms."
            ) from error
        missing = [name for name in names if name not in known]
        if missing:
            raise UnknownAlarm(
                f"CloudWatch has no alarm named {', '.join(missing)} in this account and region. Check the spelling, "
                "upper and lower case included."
            )
        return {name: alarm.get("StateReason", "") for name, alarm in known.items() if alarm["StateValue"] == "ALARM"}

    def _described(self, names: Sequence[str]) -> Iterator[dict[str, Any]]:
        """The alarms, in as many calls as it takes."""
        for begin in range(0, len(names), PER_CALL):
            asked = list(names[begin : begin + PER_CALL])
            answer = self._open().describe_alarms(AlarmNames=asked, AlarmTypes=["MetricAlarm", "CompositeAlarm"])
            yield from answer.get("MetricAlarms", ())
            yield from answer.get("CompositeAlarms", ())

    def _open(self) -> Any:  # noqa: ANN401 - botocore's clients have no type
        with self._opening:
            if self._client is None:
                from botocore.config import Config  # noqa: PLC0415 - only where a run has alarms

                from .. import aws  # noqa: PLC0415

                each = self._limit_seconds / 2
                config = Config(connect_timeout=each, read_timeout=each, retries={"total_max_attempts": 1})
                self._client = aws.session(self._settings).create_client("cloudwatch", config=config)
        return self._client
