import sys

import pytest

from chalicelib.cli.notes import note

TEXT = """The table of this stage does not exist in this region.
To create it: program table create --stage staging --and-more

  an indented line"""


def test_in_a_terminal_sentences_are_wrapped_and_commands_stay_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    note(TEXT, "program")
    assert capsys.readouterr().err.splitlines() == [
        "The table of this stage does",
        "not exist in this region.",
        "To create it: program table create --stage staging --and-more",
        "",
        "  an indented line",
    ]


def test_into_a_file_nothing_is_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    note(TEXT, "program")
    assert capsys.readouterr().err == f"{TEXT}\n"
