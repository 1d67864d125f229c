"""What the tests of the engine share: a call, and a catalogue with a defective experiment in it."""

from collections.abc import Iterator, Mapping, Sequence

from chalicelib.experiments.base import Experiment, Parameters
from chalicelib.experiments.catalogue import BUILT_IN, Catalogue
from chalicelib.faults.base import Fault
from chalicelib.faults.wait import Wait
from chalicelib.injection.call import LambdaContext, RequestCall, remaining_seconds
from chalicelib.injection.engine import InjectionResult
from chalicelib.runs.run import Run


class Defective(Experiment):
    """Fails half-way."""

    name = "defective"
    Parameters = Parameters

    def faults(self, parameters: Parameters) -> Iterator[Fault]:
        yield Wait(seconds=60)
        raise ZeroDivisionError("a defect")


def catalogue() -> Catalogue:
    return Catalogue([*BUILT_IN, Defective])


class FakeCall(RequestCall):
    """A request for a path."""

    method = "GET"

    def __init__(self, path: str, context: LambdaContext | None = None, **headers: str) -> None:
        self.name = path
        self.context = context
        self.headers = headers
        self.queries: Mapping[str, Sequence[str]] = {}

    def query(self, name: str) -> Sequence[str]:
        return self.queries.get(name, ())

    def header(self, name: str) -> str | None:
        return self.headers.get(name.replace("-", "_"))

    @property
    def remaining_seconds(self) -> float:
        return remaining_seconds(self.context)


def unnoted(_run: Run, _name: str) -> None:
    """A `Note` for a test that is not about what is counted."""


def decided() -> InjectionResult:
    """A call that is about to be decided."""
    return InjectionResult((), FakeCall("/"), 0.0, "here")
