import pytest

from chalicelib.paths import PathSet, problem_of, problem_of_prefix


@pytest.mark.parametrize(
    "path", ["/", "/*", "/orders", "/orders/", "/orders/*", "/caf\u00e9/7", "/my orders", "/*/7", "/*/7/*", "/*/*"]
)
def test_a_path_is_segments_and_perhaps_all_that_is_below(path: str) -> None:
    assert problem_of(path) is None


@pytest.mark.parametrize(
    "path", ["", "orders", "//", "/orders//7", "/or*", "/*/", "/a/*/", "/*7/8", "/orders?x=1", "/a#b", "/a\n", None, 7]
)
def test_anything_else_is_refused_with_what_is_allowed(path: object) -> None:
    assert "/orders/*" in (problem_of(path) or "")


@pytest.mark.parametrize("prefix", ["", "/", "/chaos/", "chaos", "/chaos/*", "/*/chaos"])
def test_a_prefix_ends_in_a_segment(prefix: str) -> None:
    assert problem_of_prefix(prefix)
    assert problem_of_prefix("/v1/chaos") is None


@pytest.mark.parametrize(
    ("paths", "path", "named"),
    [
        (["/health"], "/health", True),
        (["/health"], "/health/", True),
        (["/health/"], "/health", True),
        (["/health"], "/healthy", False),
        (["/health"], "/health/deep", False),
        (["/orders/*"], "/orders/7", True),
        (["/orders/*"], "/orders/", True),
        (["/orders/*"], "/orders", False),
        (["/orders/*"], "/orders-archive/7", False),
        (["/"], "/", True),
        (["/"], "/orders", False),
        (["/*"], "/anything/below", True),
        ([], "/", False),
        (["/orders/*/items"], "/orders/7/items", True),
        (["/orders/*/items"], "/orders/7/items/", True),
        (["/orders/*/items"], "/orders//items", False),
        (["/orders/*/items"], "/orders/7/8/items", False),
        (["/orders/*/items"], "/orders/7/items/1", False),
        (["/orders/*/items"], "/orders/items", False),
        (["/orders/*/items/"], "/orders/7/items", True),
        (["/orders/*/items/*"], "/orders/7/items", False),
        (["/orders/*/items/*"], "/orders/7/items/", True),
        (["/orders/*/items/*"], "/orders/7/items/1/2", True),
        (["/orders/*/items/*"], "/orders/7/parts/1", False),
        (["/*/*"], "/orders/7", True),
        (["/*/*"], "/orders", False),
        (["/*/health", "/orders"], "/orders", True),
    ],
)
def test_a_list_of_paths_names_whole_segments(paths: list[str], path: str, *, named: bool) -> None:
    assert (path in PathSet(paths)) is named
    assert bool(PathSet(paths)) is bool(paths)
