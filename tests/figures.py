"""Figures of the code: size, complexity, constructor parameters, duplicates. `python -m tests.figures [PATH …]`

Branches a line: the branches in functions over the lines of code in their bodies, without comments and docstrings.
It is the definition closest to what was measured before: Starlette 0.26 (0.25), this project at 9879b09 0.35 (0.36).
"""

import ast
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import mean

BRANCHES = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.match_case, ast.IfExp, ast.comprehension)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DOCUMENTED = (ast.Module, ast.ClassDef, *FUNCTIONS)
MOST_LINES, MOST_COMPLEXITY, MOST_PARAMETERS = 40, 10, 7
DUPLICATE_LINES = 6
"""How many lines in a row, indentation aside, make a duplicate. Imports and single brackets do not count."""


def docstring(node: ast.AST) -> range:
    """The lines of a module's, a class's or a function's docstring."""
    first = node.body[0] if isinstance(node, DOCUMENTED) and node.body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return range(first.lineno, (first.end_lineno or first.lineno) + 1)
    return range(0)


def branches(nodes: Iterable[ast.AST]) -> int:
    """How many branches the nodes are: an `and` is one, a comprehension one and each of its `if`s another."""
    return sum(
        len(node.values) - 1
        if isinstance(node, ast.BoolOp)
        else isinstance(node, BRANCHES) + len(getattr(node, "ifs", ()))
        for node in nodes
    )


def complexity(function: ast.AST) -> int:
    """Cyclomatic complexity. A function within belongs to it."""
    return 1 + branches(ast.walk(function))


@dataclass(frozen=True)
class Function:
    name: str
    node: ast.FunctionDef | ast.AsyncFunctionDef

    @property
    def lines(self) -> range:
        return range(self.node.lineno, (self.node.end_lineno or self.node.lineno) + 1)

    @property
    def body(self) -> range:
        return range(self.node.body[0].lineno, self.lines.stop)

    @property
    def length(self) -> int:
        """Its lines, signature included, docstring excluded."""
        return len(self.lines) - len(docstring(self.node))

    @property
    def parameters(self) -> int:
        """How many it takes besides `self`."""
        arguments = self.node.args
        return len([*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]) - 1


class Source:
    """One file."""

    def __init__(self, path: Path, name: str) -> None:
        self.name = name
        self.lines = path.read_text().splitlines()
        self.tree = ast.parse(path.read_text())
        self.nodes = list(ast.walk(self.tree))

    @cached_property
    def code(self) -> dict[int, str]:
        """The lines, by number, that are neither blank nor a comment nor part of a docstring."""
        strings = {number for node in self.nodes for number in docstring(node)}
        stripped = ((number, line.strip()) for number, line in enumerate(self.lines, 1) if number not in strings)
        return {number: line for number, line in stripped if line and not line.startswith("#")}

    @cached_property
    def functions(self) -> list[Function]:
        owners = {
            id(child): f"{node.name}." for node in self.nodes if isinstance(node, ast.ClassDef) for child in node.body
        }
        found = [node for node in self.nodes if isinstance(node, FUNCTIONS)]
        return [Function(f"{self.name}:{node.lineno} {owners.get(id(node), '')}{node.name}", node) for node in found]

    def windows(self) -> Iterator[tuple[str, list[int]]]:
        """Each run of lines that is long enough to be a duplicate, and where it stands."""
        imports = {
            node.lineno + n
            for node in self.nodes
            if isinstance(node, ast.Import | ast.ImportFrom)
            for n in range((node.end_lineno or 0) - node.lineno + 1)
        }
        numbers = [number for number, line in self.code.items() if number not in imports and line.strip("()[]{},:")]
        for first in range(len(numbers) - DUPLICATE_LINES + 1):
            window = numbers[first : first + DUPLICATE_LINES]
            yield "\n".join(self.code[number] for number in window), window


def duplicates(sources: list[Source]) -> list[str]:
    """The blocks that stand somewhere else, too, the longest first, each as often as it stands."""
    windows = [(source, *window) for source in sources for window in source.windows()]
    times = Counter(text for _, text, _ in windows)
    repeated = {source.name: set[int]() for source in sources}
    for source, text, numbers in windows:
        if times[text] > 1:
            repeated[source.name].update(numbers)
    blocks = [
        (len(block), f"{name}:{block[0]}-{block[-1]}")
        for name, numbers in repeated.items()
        for block in in_a_row(numbers)
    ]
    return [f"{length:4} lines  {where}" for length, where in sorted(blocks, reverse=True)]


def in_a_row(numbers: Iterable[int]) -> Iterator[list[int]]:
    """The numbers, divided where there is a gap of more than a blank line, a comment or a bracket."""
    block: list[int] = []
    for number in sorted(numbers):
        if block and number > block[-1] + 3:
            yield block
            block = []
        block.append(number)
    if block:
        yield block


def ratio(part: int, whole: int) -> str:
    return f"{part / whole:.2f}" if whole else "-"


def figures(path: Path) -> Iterator[str]:
    """The report, line by line."""
    paths = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    sources = [Source(each, str(each.relative_to(path.parent))) for each in paths]
    functions = [function for source in sources for function in source.functions]
    degrees = {function.name: complexity(function.node) for function in functions}
    inside = {id(node): node for function in functions for node in ast.walk(function.node)}
    total = branches(inside.values())
    bodies = sum(len({n for each in source.functions for n in each.body} & source.code.keys()) for source in sources)
    statements = sum(isinstance(node, ast.stmt) for node in inside.values())
    constructors = {each.name: each.parameters for each in functions if each.node.name == "__init__"}
    lengths = {function.name: function.length for function in functions}
    yield f"files                     {len(sources)}"
    yield f"lines of code             {sum(len(source.code) for source in sources)}"
    yield f"lines                     {sum(len(source.lines) for source in sources)}"
    yield f"functions                 {len(functions)}"
    yield f"complexity, mean          {mean(degrees.values()) if degrees else 0:.2f}"
    yield f"branches a line           {ratio(total, bodies)}"
    yield f"branches a statement      {ratio(total, statements)}"
    yield from above("complexity", degrees, MOST_COMPLEXITY)
    yield from above("lines of a function", lengths, MOST_LINES)
    yield from above("constructor parameters", constructors, MOST_PARAMETERS)
    found = duplicates(sources)
    yield f"duplicates                {len(found)} blocks"
    yield from (f"  {each}" for each in found[:10])


def above(what: str, values: dict[str, int], most: int) -> Iterator[str]:
    """The largest one, and those that are larger than they should be."""
    large = sorted(((value, name) for name, value in values.items() if value > most), reverse=True)
    yield f"{what:25} at most {max(values.values(), default=0)}, above {most}: {len(large)}"
    yield from (f"  {value:4}  {name}" for value, name in large)


if __name__ == "__main__":
    for argument in sys.argv[1:] or ["chalicelib"]:
        print(argument, *figures(Path(argument)), sep="\n")
