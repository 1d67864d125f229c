"""Follows the tutorial literally; `make pictures` takes its pictures."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Open, Picture
from tests.contract.servers import PROJECT, TOKEN, Server, chalice_local, serving
from tests.loopback import free_port

pytestmark = pytest.mark.timeout(300)

TUTORIAL = (PROJECT / "docs/tutorial.md").read_text()
FIELDS = dict(re.findall(r"^\| (\w[\w ]*) \| (.*?) \|$", TUTORIAL.partition("Fill in:")[2], flags=re.MULTILINE))
ADDRESS = "http://localhost:8000"


@pytest.fixture(scope="module")
def server(dynamodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The application of the project itself, as `make run` serves it."""
    variables = {"AWS_ENDPOINT_URL_DYNAMODB": dynamodb_url, "CHAOS_TABLE": f"tutorial-{free_port()}"}
    command = partial(chalice_local, host=PROJECT / "app.py")
    with serving(command, tmp_path_factory.mktemp("tutorial"), **variables) as server:
        yield server


def test_the_tutorial_is_true(open_console: Open, server: Server, picture: Picture) -> None:
    assert f"{ADDRESS}/chaos_experiments/console" in TUTORIAL
    page = open_console(viewport={"width": 1000, "height": 640}, device_scale_factor=2, locale="en-GB").page
    picture(page, "tutorial-sign-in", down_to="#sign-in")
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Sign in").click()

    card = page.locator("#experiment-latency_injection")
    card.locator("summary").first.click()
    card.locator("summary", has_text="Reason, alarms, hypothesis").click()
    FIELDS.pop("field", None)
    assert len(FIELDS) == 6
    for label, value in FIELDS.items():
        card.get_by_label(re.compile(f"^{label}")).first.fill(value)
    card.get_by_role("button", name="Start Latency injection").click()
    running = page.locator("#running article")
    expect(running).to_be_visible()

    server.call("GET", "/chaos_experiments/test")  # what comes while the run is first read is no part of it
    (command,) = re.findall(r"```sh\n(.*?)\n```", TUTORIAL)
    words = shlex.split(command.replace(ADDRESS, server.url))
    assert words[0] == ".venv/bin/python"
    asking = subprocess.Popen([sys.executable, *words[1:]], cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    expect(running.locator(".plot canvas")).to_be_visible(timeout=30_000)
    output, _ = asking.communicate(timeout=120)
    assert "latency_injection" in output
    expect(running.locator("dd").first).to_have_text(re.compile(r"6\d\d|700"))
    expect(running.locator(".verdict")).to_contain_text("so far: held")
    card.locator("summary").first.click()
    picture(page, "tutorial-running", down_to="#running article")

    running.get_by_role("button", name="Stop Latency injection").click()
    page.get_by_role("button", name=re.compile("^Report of Latency injection")).first.click()
    report = page.frame_locator("#report iframe")
    expect(report.locator(".verdict")).to_contain_text("The hypothesis held")
    expect(report.get_by_text(FIELDS["Reason"]).first).to_be_attached()
    page.set_viewport_size({"width": 1000, "height": 740})
    picture(page, "tutorial-report")


@pytest.mark.parametrize("name", re.findall(r"\]\((pictures/[^)]+)\)", TUTORIAL))
def test_its_pictures_are_there(name: str) -> None:
    assert Path(PROJECT / "docs" / name).stat().st_size > 5000
