from typing import Any

import pytest

from chalicelib.api.http import Request
from chalicelib.bootstrap import bootstrap
from chalicelib.errors import Misconfigured
from chalicelib.frameworks.control_plane import ControlPlaneModule
from chalicelib.settings import Settings
from tests.injection.support import FakeCall
from tests.support import Clock, FakeResultStore, FakeRunStore, FakeTokenStore

PATH = "/chaos_experiments/test"
REQUEST = Request(method="GET", path="/test", headers={}, query={}, body=b"")


def test_who_is_not_let_in_costs_the_table_no_read(clock: Clock) -> None:
    runs = FakeRunStore()
    stores: Any = {"runs": runs, "results": FakeResultStore(), "tokens": FakeTokenStore(), "clock": clock}
    module = ControlPlaneModule(
        settings=Settings(stage="qa"), open_endpoints=False, wire=lambda **options: bootstrap(**options, **stores)
    )
    assert module.answer(REQUEST, FakeCall(PATH)).status == 401
    assert runs.reads == 0


def test_where_the_module_cannot_be_wired_the_test_endpoint_says_so() -> None:
    def refuse(**_: object) -> Any:
        raise Misconfigured("CHAOS_STAGE is wrong.")

    response = ControlPlaneModule(wire=refuse).answer(REQUEST, FakeCall(PATH))
    assert (response.status, response.content["code"]) == (503, "misconfigured")


@pytest.mark.parametrize("broken", [False, True])
def test_it_says_where_the_table_could_not_be_read(clock: Clock, *, broken: bool) -> None:
    stores: Any = {"runs": FakeRunStore(broken=broken), "results": FakeResultStore(), "tokens": FakeTokenStore()}
    module = ControlPlaneModule(
        settings=Settings(stage="qa"), wire=lambda **options: bootstrap(**options, **stores, clock=clock)
    )
    tested = module.answer(REQUEST, FakeCall(PATH)).content["resultset"]
    assert tested["problem"] == ("store_unavailable" if broken else None)
