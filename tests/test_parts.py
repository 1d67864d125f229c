"""The parts of the test suite, as the Makefile has them."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
MAKEFILE = (TESTS.parent / "Makefile").read_text().replace("\\\n", "")
PARTS = dict(re.findall(r"^(TESTS\w*) := (.*)$", MAKEFILE, flags=re.MULTILINE))
FILES = sorted(TESTS.rglob("test_*.py"))


def files(part: str) -> list[Path]:
    """What pytest collects in it."""
    found = []
    for pattern in PARTS[part].split():
        entries = list(TESTS.parent.glob(pattern))
        assert entries, f"{pattern} of {part} is not there"
        for entry in entries:
            found += sorted(entry.rglob("test_*.py")) if entry.is_dir() else [entry]
    return found


def test_every_file_of_tests_is_in_exactly_one_part() -> None:
    collected = sorted(file for part in PARTS for file in files(part))
    assert collected == FILES, "each folder of tests is named once in the TESTS… variables of the Makefile"


@pytest.mark.parametrize("part", PARTS)
def test_every_part_is_run_by_one_target_which_test_all_makes(part: str) -> None:
    targets = re.findall(r"^([a-z-]+):(?: .*)?\n((?:\t.*\n)+)", MAKEFILE, flags=re.MULTILINE)
    (target,) = [name for name, recipe in targets if f"$({part})" in recipe]
    (everything,) = [recipe for name, recipe in targets if name == "test-all"]
    assert f"$(MAKE) {target}\n" in everything
