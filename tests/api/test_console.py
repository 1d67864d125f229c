import re
from hashlib import sha256
from pathlib import Path

from chalicelib.api import console
from chalicelib.settings import Settings
from tests.api.conftest import Control
from tests.support import Clock

FOLDER = Path(console.__file__).parent


def test_the_page_has_all_it_needs_and_lets_nothing_else_in(control: Control) -> None:
    answer = control.ask("GET", "/console", caller=None)
    assert answer.status == 200
    assert answer.all_headers["Content-Type"] == "text/html; charset=utf-8"
    policy = answer.all_headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", answer.body.split("<script>")[0])
    assert not re.search(r"<[^>]+ (style|on\w+)=", answer.body.split("<script>")[0])


def test_the_hashes_are_those_of_what_is_in_the_page(control: Control) -> None:
    answer = control.ask("GET", "/console", caller=None)
    policy = answer.all_headers["Content-Security-Policy"]
    for text in re.findall(r"<(?:style|script)>(.*?)</(?:style|script)>", answer.body, flags=re.DOTALL):
        assert console._hash(text) in policy


def test_it_says_which_stage_it_is_of_and_escapes_its_name(clock: Clock) -> None:
    body = Control(clock, Settings(stage='<b>"prod')).ask("GET", "/console", caller=None).body
    assert "<b>" not in body.split("<script>")[0]
    assert "&lt;b&gt;&quot;prod" in body
    assert 'data-tone="production"' in body
    assert 'data-tone="development"' in Control(clock, Settings(stage="dev")).ask("GET", "/console", caller=None).body
    assert 'data-tone="staging"' in Control(clock, Settings(stage="qa")).ask("GET", "/console", caller=None).body


def test_what_is_from_others_is_as_its_checksum_says() -> None:
    told = dict(re.findall(r"\| `(\S+)` \|.*`([0-9a-f]{64})` \|", (FOLDER / "vendor/README.md").read_text()))
    assert told.keys() == {"uPlot.iife.min.js", "uPlot.min.css"}
    for name, checksum in told.items():
        assert sha256((FOLDER / "vendor" / name).read_bytes()).hexdigest() == checksum
