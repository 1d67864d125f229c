import json
import subprocess
import sys
import uuid
from collections.abc import Callable

import pytest

from chalicelib import cli
from tests.cli.conftest import COMMAND, Run, Terminal
from tests.contract.servers import Server

LATENCY = ("start", "latency_injection")


def status(server: Server, name: str = "latency_injection") -> dict[str, object]:
    answer = server.call("GET", "/chaos_experiments/status", params={"experiment_name": name})
    content: dict[str, object] = answer.json()["resultset"]
    return content


def test_the_list_shows_what_can_be_started_with_which_options(run: Run) -> None:
    done = run("list")
    assert done.returncode == 0
    assert "latency_injection" in done.stdout
    assert "--delay-seconds" in done.stdout
    assert "from 0 to 60 seconds" in done.stdout


def test_into_a_pipe_go_no_escape_codes_and_with_json_nothing_but_json(run: Run) -> None:
    assert run(*LATENCY, "--delay-seconds", "0", "--detach").returncode == 0
    for arguments in (["list"], ["status", "latency_injection"], ["watch"], ["history"], ["test", "--requests", "3"]):
        plain, first, last = run(*arguments), run("--json", *arguments), run(*arguments, "--json")
        assert "\x1b" not in plain.stdout + plain.stderr
        assert isinstance(json.loads(first.stdout), dict)
        assert isinstance(json.loads(last.stdout), dict)


def test_what_reads_a_part_of_it_and_goes_is_no_failure(environment: dict[str, str]) -> None:
    piped = f"{' '.join(COMMAND)} list | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", piped], env=environment, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert "DEV" in done.stdout


def test_what_is_published_as_parameters_are_options(run: Run) -> None:
    output = run(*LATENCY, "--help").stdout
    for option in ("--duration-seconds", "--percentage", "--delay-seconds", "--allow-timeout", "--no-allow-timeout"):
        assert option in output
    assert "Allowed: from 0 to 60 seconds. Default: 2." in " ".join(output.split())
    assert "<=" not in output


def test_a_start_sends_what_was_said_and_nothing_else(run: Run, server: Server) -> None:
    output = run(
        *LATENCY, "--delay-seconds", "0.5", "--percentage", "20", "--reason", "why not", "--max-error-rate", "0.01",
        "--abort", "--environments-percentage", "50", "--detach", "--json",
    )  # fmt: skip
    shown = json.loads(output.stdout)
    assert shown["parameters"] == {
        "duration_seconds": 30.0,
        "percentage": 20.0,
        "delay_seconds": 0.5,
        "allow_timeout": False,
    }
    assert (shown["reason"], shown["target"]) == ("why not", {"environments_percentage": 50.0})
    assert "target: environments percentage 50" in run("status", LATENCY[1]).stdout
    assert (shown["hypothesis"]["max_error_rate"], shown["hypothesis"]["abort"]) == (0.01, True)
    assert status(server)["run_id"] == shown["run_id"]


def test_what_is_spelled_wrong_is_suggested_right(run: Run) -> None:
    wrong_option = run(*LATENCY, "--delay-secnds", "3")
    assert wrong_option.returncode == 2
    assert "--delay-seconds" in wrong_option.stderr
    wrong_experiment = run("start", "latency_injecton")
    assert wrong_experiment.returncode == 2
    assert "latency_injection" in wrong_experiment.stderr
    assert run(*LATENCY, "--delay-seconds", "two").returncode == 2


def test_what_the_api_refuses_is_reported_in_its_words(run: Run, server: Server) -> None:
    refused = run("stop", "latency_injection")
    assert refused.returncode == 1
    assert "latency_injection is not running" in refused.stderr
    assert json.loads(run("stop", "latency_injection", "--json").stdout)["code"] == "not_running"
    wrong_token = run("list", CHAOS_TOKEN="wrong")
    assert wrong_token.returncode == 1
    assert "does not accept the token from CHAOS_TOKEN" in wrong_token.stderr


def test_an_application_that_does_not_answer_has_a_code_of_its_own(run: Run) -> None:
    for arguments in (["list"], [*LATENCY]):
        done = run(*arguments, "--json", CHAOS_URL="http://127.0.0.1:1/chaos_experiments")
        assert done.returncode == 3
        assert json.loads(done.stdout)["code"] == "unreachable"
        assert "Nothing answers at" in done.stderr
        assert "Traceback" not in done.stderr


def test_what_answers_otherwise_is_reported_as_a_wrong_address(run: Run, server: Server) -> None:
    done = run("list", CHAOS_URL=f"{server.url}/nowhere/at/all", CHAOS_TOKEN="")
    assert done.returncode == 1
    assert f"Note: using {server.url}/chaos_experiments" in done.stderr
    assert "No token was given" in done.stderr


def test_a_run_is_watched_to_its_end_and_its_hypothesis_is_the_exit_code(
    run: Run, environment: dict[str, str], server: Server
) -> None:
    short = ("--duration-seconds", "1.5", "--delay-seconds", "0", "--percentage", "50")
    nobody_came = run(*LATENCY, *short)
    assert nobody_came.returncode == 7
    assert "No request reached the application while the run was active." in nobody_came.stdout
    assert status(server)["status"] == "completed"
    watched = subprocess.Popen(
        [*COMMAND, *LATENCY, "--duration-seconds", "4", "--percentage", "50", "--delay-seconds", "0",
         "--p95-seconds", "0.000001", "--min-requests", "5"],
        env=environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    while status(server)["status"] != "running":
        assert watched.poll() is None
    while watched.poll() is None:
        run("test", "--requests", "60", "--target", "/orders/7")
    output, _ = watched.communicate(timeout=30)
    assert watched.returncode == 4
    assert "failed" in output


def test_a_run_without_a_verdict_is_no_success(run: Run, environment: dict[str, str], server: Server) -> None:
    watched = subprocess.Popen(
        [*COMMAND, *LATENCY, "--duration-seconds", "3", "--percentage", "50", "--delay-seconds", "0",
         "--max-error-rate", "0.00001"],
        env=environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    while watched.poll() is None:
        run("test", "--requests", "30", "--target", "/orders/7")
    assert watched.returncode == 6
    assert "no verdict, too few requests" in watched.communicate()[0]


def test_a_hypothesis_that_nothing_could_prove_wrong_starts_nothing(run: Run, server: Server) -> None:
    refused = run(*LATENCY, "--max-error-rate", "0.01")
    assert refused.returncode == 1
    assert "Add --percentage 20 to hit only some" in refused.stderr
    assert status(server)["status"] != "running"


def test_halt_and_resume(run: Run, server: Server) -> None:
    run(*LATENCY, "--detach")
    assert json.loads(run("halt", "--reason", "enough").stdout)["reason"] == "enough"
    refused = run(*LATENCY, "--detach")
    assert refused.returncode == 1
    assert "Halted by developer" in refused.stderr
    assert "halted by developer: enough" in run("watch").stdout
    assert run("resume").returncode == 0
    assert run("resume").returncode == 1


def test_a_report_of_the_last_run_in_each_form(run: Run, server: Server, tmp_path: object) -> None:
    run(*LATENCY, "--duration-seconds", "1", "--detach")
    run_id = status(server)["run_id"]
    assert run("report").stdout.startswith("# Latency injection")
    assert run("report", str(run_id), "--format", "html").stdout.startswith("<!doctype html>")
    assert json.loads(run("report", "--json").stdout)["run"]["run_id"] == run_id
    kept = run("report", "--format", "html", "--output", f"{tmp_path}/report.html")
    assert "The report is in" in kept.stderr
    assert run("report", "no-such-run").returncode == 1


def test_the_test_draws_what_came_back(run: Run, server: Server) -> None:
    run("start", "error_injection", "--error-rate", "1", "--detach")
    output = run("test", "--requests", "10").stdout
    assert "500  10" in " ".join(output.split("\n")).replace("   ", "  ")
    assert "error_injection" in output
    own = json.loads(run("test", "--requests", "4", "--target", f"{server.url}/health", "--json").stdout)
    assert own["statuses"] == {"200": 4}
    assert run("test", "--requests", "2", "--target", "http://127.0.0.1:1/").returncode == 3


def test_where_it_is_and_the_token_come_from_a_profile_that_only_the_user_can_read(
    run: Run, environment: dict[str, str], tmp_path: object
) -> None:
    url, token = environment["CHAOS_URL"], environment["CHAOS_TOKEN"]
    nothing = {"CHAOS_URL": "", "CHAOS_TOKEN": ""}
    assert run("profile", "add", "staging", "--url", url, "--token", token, **nothing).returncode == 0
    assert run("profile", "add", "other", "--url", "http://127.0.0.1:1", "--token", "x", **nothing).returncode == 0
    assert run("list", **nothing).returncode == 3
    assert run("--profile", "staging", "list", **nothing).returncode == 0
    assert run("--profile", "staging", *LATENCY, "--detach", **nothing).returncode == 0
    assert run("profile", "use", "staging", **nothing).returncode == 0
    assert run("list", **nothing).returncode == 0
    listed = run("profile", "list", **nothing).stdout
    assert f"* staging      {url}" in listed
    assert token not in listed
    assert json.loads(run("--json", "profile", "list", **nothing).stdout)["profiles"].keys() == {"staging", "other"}
    unknown = run("--profile", "prod", "list", **nothing)
    assert unknown.returncode == 1
    assert "There is no profile 'prod'. Available: staging, other." in unknown.stderr
    kept = tmp_path / ".config/chaos-experiments/profiles.json"  # type: ignore[operator]
    assert oct(kept.stat().st_mode & 0o777) == "0o600"
    assert oct(kept.parent.stat().st_mode & 0o777) == "0o700"
    kept.chmod(0o644)
    refused = run("list", **nothing)
    assert refused.returncode == 1
    assert f"chmod 600 {kept}" in refused.stderr
    kept.chmod(0o600)
    assert run("profile", "remove", "staging", **nothing).returncode == 0
    assert "staging" not in run("profile", "list", **nothing).stdout


def test_the_current_profiles_token_goes_to_no_other_address(run: Run, environment: dict[str, str]) -> None:
    added = ("profile", "add", "staging", "--url", "http://127.0.0.1:1", "--token", environment["CHAOS_TOKEN"])
    assert run(*added).returncode == 0
    refused = run("list", CHAOS_TOKEN="")
    assert refused.returncode == 1
    assert "No token was given" in refused.stderr


def test_a_halt_asks_nobody_first_whatever_its_reason(server: Server, run: Run) -> None:
    assert run("halt", "--reason", "start").returncode == 0
    nobodys = {"CHAOS_URL": "http://127.0.0.1:1", "CHAOS_APPLICATION": uuid.uuid4().hex[:8]}
    stage = run("halt", "--stage", "dev", "--reason", "start", **nobodys)
    assert "none runs in this folder" in stage.stderr


Open = Callable[..., Terminal]


def test_in_a_terminal_a_bar_counts_down_and_ctrl_c_stops_the_run_and_says_so(terminal: Open, server: Server) -> None:
    watched = terminal(*LATENCY, "--duration-seconds", "60", "--delay-seconds", "0")
    first = int(watched.until(r"(\d+) s left of 60 s"))
    while int(watched.until(r"(\d+) s left of 60 s")) >= first:
        pass
    assert "━" in watched.text
    assert "\x1b[" in (watched.process.after + watched.process.before + "\x1b[")
    server.call("GET", "/orders/7")
    watched.until(r"1 requests, 1 hit, in 1 environment")
    watched.process.sendintr()
    watched.until("Stopped latency_injection. No process injects it after")
    assert watched.end() == 130
    ended = status(server)
    assert (ended["status"], ended["end_reason"]) == ("stopped", "Ctrl-C")


def test_what_runs_is_watched_until_ctrl_c_and_goes_on(terminal: Open, run: Run, server: Server) -> None:
    watched = terminal("watch")
    watched.until("Nothing is running")
    run(*LATENCY, "--duration-seconds", "60", "--delay-seconds", "0", "--detach")
    watched.until("s left of 60 s")
    watched.process.sendintr()
    assert watched.end() == 0
    assert status(server)["status"] == "running"


def test_the_command_that_is_reported_can_be_pasted(
    terminal: Open, environment: dict[str, str], server: Server
) -> None:
    started = terminal(*LATENCY, "--detach", columns=200)
    command = started.until(r"Stop it: ([^\r\n]+)")
    assert started.end() == 0
    assert status(server)["status"] == "running"
    subprocess.run(command, shell=True, env=environment, check=True, capture_output=True)  # noqa: S602 - it is ours
    assert status(server)["status"] == "stopped"


def test_ctrl_c_where_a_token_is_asked_for_is_reported_and_nothing_is_kept(terminal: Open, run: Run) -> None:
    asked = terminal("profile", "add", "staging", "--url", "http://127.0.0.1:1/x")
    asked.until("Token:")
    asked.process.sendintr()
    asked.until("Canceled.")
    assert asked.end() == 1
    assert run("profile", "list").stdout == "There are no profiles.\n"


def test_in_a_terminal_sentences_are_wrapped_between_words_and_commands_are_not(terminal: Open) -> None:
    narrow = terminal("--token", "wrong", "status", "latency_injection", columns=60)
    assert narrow.end() == 1
    assert "A token is valid for one stage. In stage dev, copy the token\nthat the server printed." in narrow.text
    command = "-m chalicelib token create --stage <stage> --name <you> --role operator"
    assert command in narrow.text.replace("\n", "")


@pytest.mark.parametrize("arguments", [["list"], ["watch"], ["history"], ["status", "latency_injection"]])
def test_a_narrow_window_is_readable(terminal: Open, run: Run, arguments: list[str]) -> None:
    run(*LATENCY, "--delay-seconds", "0", "--detach")
    narrow = terminal(*arguments, columns=40)
    if arguments == ["watch"]:
        narrow.until("s left of")
        narrow.process.sendintr()
    assert narrow.end() == 0
    assert "latency_injection" in narrow.text.replace("\n", "").replace(" ", "") or "latency" in narrow.text


def test_experiments_and_options_are_completed(run: Run) -> None:
    def completed(words: str) -> str:
        return run(
            _CHAOS_EXPERIMENTS_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(len(words.split()) - 1)
        ).stdout

    assert "error_injection" in completed("chaos-experiments start err")
    assert "--delay-seconds" in completed("chaos-experiments start latency_injection --del")
    assert "history" in completed("chaos-experiments his")
    assert completed("chaos-experiments stop err").split() == ["error_injection"]
    assert "resource_exhaustion" in completed("chaos-experiments history --experiment res")


def test_where_typer_is_missing_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith("chalicelib.cli.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "typer", None)
    assert cli.main(["list"]) == 1
    assert (
        "such as typer.\nUse the virtual environment: .venv/bin/python -m chalicelib list\n" in capsys.readouterr().err
    )
