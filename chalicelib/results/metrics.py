"""What is injected, as CloudWatch metrics: lines in the log of Lambda, in the Embedded Metric Format."""

import logging
from collections.abc import Mapping
from typing import Any

from ..faults.base import declared_counters
from ..lazy import cached_property
from ..runs.run import Run
from ..settings import Settings
from .dependencies import dependencies
from .tally import REQUESTS, Tally

log = logging.getLogger(__name__)

NAMESPACE = "ChaosExperiments"
DIMENSIONS = ("Application", "Stage", "Experiment")
COUNTS = ("Requests", "RequestsHit", "RequestsUntouched", "UntouchedErrors")
"""Stable names: dashboards and alarms are made of them. Those of faults are where they are declared."""

OF_CALLS = ("OutgoingCalls", "OutgoingCallsHit", "OutgoingCallsFailed")
"""Beside them, of runs about outgoing calls."""

UNITS = {"seconds": "Seconds", "MB": "Megabytes"}
"""CloudWatch's, of what is not merely counted."""


class Metrics:
    """Called with the counts that were flushed to the table. Without Powertools for AWS Lambda nothing is written."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __call__(self, run: Run, counts: Mapping[str, int]) -> None:
        """One line. Never raises."""
        try:
            if counts and self._provider:
                self._write(run, counts)
        except Exception:
            log.exception("Could not write the metrics of run %s", run.run_id, extra={"run_id": run.run_id})

    def _write(self, run: Run, counts: Mapping[str, int]) -> None:
        own = (self._settings.application, self._settings.stage or "", run.experiment)
        tally = Tally(dict(counts))
        metrics = self._provider(namespace=NAMESPACE, service=self._settings.application)
        for name, value in zip(DIMENSIONS, own, strict=True):
            metrics.add_dimension(name=name, value=value)
        counted = (
            tally.get(REQUESTS),
            tally.requests("hit"),
            tally.requests("untouched"),
            tally.untouched_errors,
        )
        for name, count in zip(COUNTS, counted, strict=True):
            metrics.add_metric(name=name, unit="Count", value=count)
        if run.dependency is not None:
            found = dependencies(counts)
            for name, what in zip(OF_CALLS, ("calls", "calls_hit", "errors"), strict=True):
                metrics.add_metric(name=name, unit="Count", value=sum(getattr(each, what) for each in found))
        for counter in declared_counters():
            if counter.metric:
                unit = UNITS.get(counter.unit, "Count")
                metrics.add_metric(name=counter.metric, unit=unit, value=counter.value(counts))
        metrics.flush_metrics()

    @cached_property
    def _provider(self) -> Any:  # noqa: ANN401 - Powertools' class, where it is installed
        try:
            from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import (  # noqa: PLC0415
                AmazonCloudWatchEMFProvider,
            )
        except ImportError:
            return None
        return AmazonCloudWatchEMFProvider
