"""Globs: they agree with the obvious recursive matcher, and no pattern takes more than its length times that of the path."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmoe_graph.load.globs import Glob

LAW = settings(deadline=None, derandomize=True, max_examples=300)
NAMES = st.text("ab.", min_size=1, max_size=4)
PATHS = st.lists(NAMES, min_size=1, max_size=5).map("/".join)
PARTS = st.text("ab.*?", min_size=1, max_size=4).filter(lambda part: "**" not in part) | st.just("**")
PATTERNS = st.lists(PARTS, min_size=1, max_size=5).map("/".join)


def segment(pattern: str, name: str) -> bool:
    """The definition: ? is one character, * is any number of them."""
    if not pattern:
        return not name
    if pattern[0] == "*":
        return any(segment(pattern[1:], name[cut:]) for cut in range(len(name) + 1))
    return bool(name) and pattern[0] in ("?", name[0]) and segment(pattern[1:], name[1:])


def obvious(parts: list[str], names: list[str]) -> bool:
    """The definition: ** is any number of folders; at the end it is everything below, at least one name."""
    if not parts:
        return not names
    if parts == ["**"]:
        return bool(names)
    if parts[0] == "**":
        return any(obvious(parts[1:], names[cut:]) for cut in range(len(names) + 1))
    return bool(names) and segment(parts[0], names[0]) and obvious(parts[1:], names[1:])


@LAW
@given(PATTERNS, PATHS)
def test_globs_agree_with_the_obvious_matcher(pattern: str, path: str) -> None:
    """The linear matcher and the definition say the same of every path."""
    assert Glob(pattern).matches(path) == obvious(pattern.split("/"), path.split("/"))


@LAW
@given(PATTERNS, PATHS)
def test_folders_that_are_skipped_hold_no_match(pattern: str, path: str) -> None:
    """A walk may leave out a folder only if nothing below it matches; what matches lies below the literal prefix."""
    glob = Glob(pattern)
    if glob.matches(path):
        names = path.split("/")
        assert all(glob.may_match_below("/".join(names[:end])) for end in range(len(names)))
        assert not glob.literal_prefix or path.startswith(glob.literal_prefix + "/")


@LAW
@given(PATHS, PATHS)
def test_a_literal_matches_itself_alone(pattern: str, path: str) -> None:
    """Without wildcards a pattern is a path."""
    glob = Glob(pattern)
    assert glob.is_literal
    assert glob.matches(path) == (pattern == path)
    assert glob.matches(pattern)


@LAW
@given(PATTERNS, PATHS)
def test_doubled_stars_say_no_more_than_one(pattern: str, path: str) -> None:
    """a/**/**/b is a/**/b."""
    assert Glob(pattern.replace("**", "**/**")).matches(path) == Glob(pattern).matches(path)


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("**", "a", True),
        ("**", "a/b/c", True),
        ("a/**", "a", False),
        ("a/**", "a/b", True),
        ("a/**", "ab/c", False),
        ("**/b", "b", True),
        ("**/b", "a/a/b", True),
        ("a/**/b", "a/b", True),
        ("a/*", "a/b/c", False),
        ("*.py", "a/x.py", False),
        ("*.py", ".py", True),
        ("a?c", "a/c", False),
        ("a?c", "aéc", True),
        ("[ab]", "a", False),
        ("[ab]", "[ab]", True),
        ("{a,b}", "a", False),
        ("*", ".hidden", True),
    ],
)
def test_what_each_sign_means(pattern: str, path: str, matches: bool) -> None:
    """* and ? stay in a segment, ** crosses them; brackets, braces and leading dots are ordinary."""
    assert Glob(pattern).matches(path) is matches


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*a" * 300 + "b", "a" * 600),
        ("**/a/" * 30 + "b", "a/" * 60 + "c"),
        ("**/*/" * 30 + "b", "a/" * 60 + "c"),
        ("**/" + "*a" * 100 + "b/**/" + "*a" * 100 + "b", "/".join(["a" * 200] * 30)),
        ("?*" * 300 + "b", "a" * 600),
    ],
)
def test_hostile_patterns_take_no_exponential_time(pattern: str, path: str) -> None:
    """Patterns that make a backtracking matcher hang are answered at once."""
    start = time.perf_counter()
    assert not Glob(pattern).matches(path)
    assert time.perf_counter() - start < 2
