"""Whatever experiments an application publishes, the console has a form of each, which starts it."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from chalicelib.api import responses
from chalicelib.experiments.base import Experiment
from chalicelib.experiments.catalogue import Catalogue, installed
from tests.browser.conftest import Open
from tests.browser.pages import fill, sign_in, title
from tests.contract.servers import SERVERS, Server, serving
from tests.experiments.odd import ODD, least
from tests.loopback import free_port

pytestmark = pytest.mark.timeout(300)

EVERY = Catalogue([*(type(each) for each in installed().values()), *ODD])
REFUSED = {"error": True, "error_message": "No.", "code": "invalid_parameters", "details": []}


@pytest.fixture(scope="module")
def server_and_table(dynamodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    """One server does: the console is the same in all."""
    table, folder = f"browser-{free_port()}", tmp_path_factory.mktemp("browser")
    variables = {"AWS_ENDPOINT_URL_DYNAMODB": dynamodb_url, "CHAOS_TABLE": table}
    with serving(SERVERS["fastapi, uvicorn"], folder, **variables) as server:
        yield server, table


def sent_by(page: Page, server: Server) -> list[dict[str, Any]]:
    """Of an application with all of the experiments: the bodies of the starts, which it refuses."""
    listed = server.call("GET", "/chaos_experiments/list").json()
    available = [responses.experiment(each, {}) for each in EVERY.values()]
    listed["resultset"]["available_experiments"] = json.loads(json.dumps(available))
    sent: list[dict[str, Any]] = []

    def refuse(route: Route) -> None:
        sent.append(route.request.post_data_json)
        route.fulfill(status=400, json=REFUSED)

    page.context.route("**/list", lambda route: route.fulfill(json=listed))
    page.context.route("**/start", refuse)
    return sent


def press_start(page: Page, card: Locator, name: str) -> None:
    with page.expect_response("**/start"):
        card.get_by_role("button", name=f"Start {title(name)}", exact=True).click()


def enter(control: Locator, value: Any) -> None:
    """A value into a field, as a person would."""
    kind = control.evaluate("control => control.type")
    if kind == "checkbox":
        control.set_checked(value)
    elif kind == "select-one":
        control.select_option(value)
    elif isinstance(value, list):
        control.fill(("\n" if kind == "textarea" else ",").join(str(each) for each in value))
    else:
        control.fill(value if isinstance(value, str) else json.dumps(value))


def tries(experiment: Experiment) -> Iterator[tuple[str, Any]]:
    """Each parameter that has a field of its own, with its examples, and what there is to choose from."""
    properties = responses.experiment(experiment, {})["parameters"]["properties"]
    for name, schema in properties.items():
        is_map = schema.get("type") == "object"
        words = [True, False] if schema.get("type") == "boolean" else schema.get("enum", ())
        for value in () if is_map else (*schema.get("examples", ()), *words):
            yield name, value


def test_the_form_of_each_sends_its_defaults_and_what_is_entered(open_console: Open, server: Server) -> None:
    page = open_console().page
    sent = sent_by(page, server)
    sign_in(page)
    for experiment in EVERY.values():
        name, needed = experiment.name, least(experiment)
        card = fill(page, name)
        for field, value in needed.items():
            enter(card.locator(f'[name="{field}"]'), value)
        press_start(page, card, name)
        defaults = sent[-1]
        assert defaults.pop("experiment_name") == name
        assert experiment.Parameters(**defaults) == experiment.Parameters(**needed), name
        for field, value in tries(experiment):
            control = card.locator(f'[name="{field}"]')
            before = control.is_checked() if isinstance(value, bool) else control.input_value()
            enter(control, value)
            press_start(page, card, name)
            assert sent[-1].get(field, experiment.Parameters.model_fields[field].default) == value, (name, field)
            enter(control, before)
        card.locator("summary").first.click()


def test_each_field_has_a_name_and_says_what_it_is(open_console: Open, server: Server) -> None:
    page = open_console().page
    sent_by(page, server)
    sign_in(page)
    for experiment in EVERY.values():
        card = fill(page, experiment.name)
        for name, schema in responses.experiment(experiment, {})["parameters"]["properties"].items():
            if schema.get("type") != "object":
                control = card.locator(f'[name="{name}"]')
                expect(control).to_have_accessible_name(re.compile(f"^{title(name)[:4]}"))
                expect(control).to_have_accessible_description(re.compile("[a-z]{2}.*[.]"))
        card.locator("summary").first.click()


def test_each_that_there_is_starts_by_its_form_and_runs(open_console: Open, server: Server) -> None:
    """As a dry run: what they do has other tests."""
    page = open_console().page
    sign_in(page)
    for experiment in installed().values():
        card = fill(page, experiment.name)
        for field, value in least(experiment).items():
            enter(card.locator(f'[name="{field}"]'), value)
        card.locator("summary", has_text="Aim and preview").click()
        card.get_by_label("Dry run").check()
        card.get_by_role("button", name=f"Start {title(experiment.name)}", exact=True).click()
        expect(page.get_by_role("article", name=title(experiment.name))).to_be_visible()
        assert (
            server.call("POST", "/chaos_experiments/stop", json={"experiment_name": experiment.name}).status_code == 200
        )
        expect(page.locator("#running article")).to_have_count(0)
        card.locator("summary").first.click()
