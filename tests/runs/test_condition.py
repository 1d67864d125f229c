"""Conditions: a reference that is too simple to be wrong, and what a match costs at most."""

import re
import time
from random import Random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chalicelib.globs import glob
from chalicelib.runs.condition import LONGEST_TEXT, compiled

LETTERS = st.text(alphabet="ab*.?[\\\n\u00e9", max_size=12)
TEXTS = st.text(alphabet="ab.?[\\\n\u00e9", max_size=16)
MANY = settings(max_examples=1_000, deadline=None, database=None)


def is_like(text: str, pattern: str) -> bool:
    """What a glob means, as a regular expression says it."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.DOTALL) is not None


@MANY
@given(LETTERS, TEXTS)
@example("ab*ba", "aba")
@example("a*a", "a")
@example("a*b*b", "ab")
def test_a_glob_is_any_characters_for_each_star_and_itself_otherwise(pattern: str, text: str) -> None:
    assert glob(pattern)(text) is is_like(text, pattern)


class Counted(str):
    """A text that counts how many of its places were looked at, as `find` looks at them from left to right."""

    __slots__ = ("looked_at",)

    def find(self, piece: str, start: Any = 0, end: Any = None) -> int:
        at = super().find(piece, start, len(self) if end is None else end)
        self.looked_at = getattr(self, "looked_at", 0) + (len(self) - start if at < 0 else at + len(piece) - start)
        return at


def adverse(chance: Random) -> tuple[str, str]:
    """A pattern and a text of few letters, which are nearly found everywhere."""
    letters = chance.choice(["*a", "*ab", "**aab", "*aaaaab"])
    pattern = "".join(chance.choice(letters) for _ in range(chance.randint(1, LONGEST_TEXT)))
    unit = chance.choice(["a", "ab", "aab", "aaaab"])
    return pattern, unit * chance.randint(0, 40) + chance.choice(["", "b", "a"])


@settings(max_examples=500, deadline=None, database=None)
@given(st.integers(0, 2**64))
def test_no_glob_of_ten_thousand_looks_at_a_place_of_the_text_twice(seed: int) -> None:
    chance = Random(seed)  # noqa: S311 - not for secrets
    for _ in range(20):
        pattern, text = adverse(chance)
        counted = Counted(text)
        assert glob(pattern)(counted) is glob(pattern)(text)
        assert getattr(counted, "looked_at", 0) <= len(text), (pattern, text)


@pytest.mark.parametrize(
    "pattern",
    ["*a" * 100, "*" * 200, "a*" * 99 + "b*", "*" + "a" * 97 + "b*", "*" + "a" * 49 + "b" + "a" * 49 + "*", "*ab" * 66],
)
def test_a_text_that_is_sixteen_times_longer_takes_about_that_much_more(pattern: str) -> None:
    def seconds(text: str) -> float:
        matches, taken = glob(pattern), []
        for _ in range(7):
            began = time.thread_time()
            for _ in range(3):
                matches(text)
            taken.append(time.thread_time() - began)
        return min(taken)

    length = 4_000
    assert seconds("a" * 16 * length) < 64 * max(seconds("a" * length), 1e-6)  # a square would be 256 times as much


KINDS = st.sampled_from(["equals", "prefix", "glob"])
ONE = (
    LETTERS
    | st.builds(lambda kind, text: {kind: text}, KINDS, LETTERS)
    | st.builds(lambda x: {"exists": x}, st.booleans())
)


def meets(value: str | None, condition: Any) -> bool:
    """What a condition means."""
    if isinstance(condition, list):
        return any(meets(value, each) for each in condition)
    if isinstance(condition, str):
        return value == condition
    ((kind, wanted),) = condition.items()
    if kind == "exists":
        return (value is not None) is wanted
    if value is None:
        return False
    return {"equals": value == wanted, "prefix": value[: len(wanted)] == wanted, "glob": is_like(value, wanted)}[kind]


@MANY
@given(ONE | st.lists(ONE, min_size=1, max_size=4), st.none() | TEXTS)
def test_a_condition_is_met_as_it_is_meant(condition: Any, value: str | None) -> None:
    assert compiled(condition)(value) is meets(value, condition)
