"""What `--help` prints."""

import re
import shlex

import pytest

from chalicelib.bootstrap import bootstrap
from chalicelib.cli import PROGRAM
from chalicelib.cli.commands import ORDER, build
from chalicelib.cli.examples import EXAMPLES
from chalicelib.experiments.catalogue import installed
from tests.cli.conftest import Run

COMMANDS = [name for name in EXAMPLES if name]


def commands_of(command: object, name: str = "") -> list[str]:
    """The command, and all below it that are not made of what an application publishes."""
    below = getattr(command, "commands", {})
    return [name, *(each for word, one in below.items() for each in commands_of(one, f"{name} {word}".lstrip()))]


def test_every_command_has_an_example() -> None:
    assert sorted(commands_of(build([], bootstrap, PROGRAM))) == sorted(EXAMPLES)


@pytest.mark.parametrize("example", [each for examples in EXAMPLES.values() for each in examples])
def test_every_example_is_made_of_options_that_there_are(run: Run, example: str) -> None:
    assert run(*shlex.split(example), "--help").returncode == 0


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_ends_in_its_example_in_one_line(run: Run, name: str) -> None:
    output = run(*name.split(), "--help").stdout.rstrip().splitlines()
    assert output[-1] == f"    {PROGRAM} {EXAMPLES[name][-1]}"


def test_the_first_command_is_start_and_no_summary_is_cut(run: Run) -> None:
    output = run("--help", COLUMNS="80").stdout
    listed = re.findall(r"^  ([a-z]+)  +[A-Z]", output.partition("Commands:")[2], re.MULTILINE)
    assert tuple(listed) == ORDER
    assert ORDER[0] == "start"
    assert "..." not in output.partition("Commands:")[2]


def test_the_help_of_an_experiment_has_limits_and_defaults_in_words_and_an_example(run: Run) -> None:
    output = " ".join(run("start", "latency_injection", "--help").stdout.split())
    assert "Allowed: above 0, up to 3600 seconds. Default: 30." in output
    assert "Allowed: from 0 to 60 seconds. Default: 2." in output
    assert "Allowed: from 1 to 1000000." in output
    assert "Default: no." in output
    assert output.endswith(
        "Example: chaos-experiments start latency_injection --delay-seconds 2 --percentage 20 --duration-seconds 60"
    )


def test_the_summary_of_an_experiment_fits_into_a_line(run: Run) -> None:
    summary = installed()["latency_injection"].description.partition(",")[0]
    assert re.search(rf"^  latency_injection +{summary[:40]}", run("start", "--help").stdout, re.MULTILINE)


@pytest.mark.parametrize("broken", [{"CHAOS_URL": "http://127.0.0.1:1/x"}, {"CHAOS_TOKEN": "a b"}])
def test_the_help_of_start_needs_no_application(run: Run, broken: dict[str, str]) -> None:
    done = run("start", "latency_injection", "--help", **broken)
    assert done.returncode == 0
    assert "--delay-seconds" in done.stdout
    assert "These are the experiments of this version" in done.stderr


def test_without_an_application_experiments_are_completed_all_the_same(run: Run) -> None:
    words = "chaos-experiments start err"
    done = run(
        CHAOS_URL="http://127.0.0.1:1/x",
        _CHAOS_EXPERIMENTS_COMPLETE="complete_bash",
        COMP_WORDS=words,
        COMP_CWORD="2",
    )
    assert (done.stdout.split(), done.stderr) == (["error_injection"], "")
