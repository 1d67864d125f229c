"""What is printed beside the answer: on the standard error."""

import shutil
import sys
import textwrap


def note(text: str, program: str) -> None:
    """In a terminal, sentences are wrapped between words. Commands are not: they are there to be pasted."""
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns
        text = "\n".join(line if program in line else _wrapped(line, width) for line in text.split("\n"))
    print(text, file=sys.stderr, flush=True)


def _wrapped(line: str, width: int) -> str:
    return "\n".join(textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False))
