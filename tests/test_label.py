"""Labels: one canonical spelling per target, patterns, and gate ids as another spelling of the same name."""

from __future__ import annotations

import pytest
from conftest import Scratch
from hypothesis import given, settings
from hypothesis import strategies as st

from nmoe_graph import Workspace
from nmoe_graph.errors import UsageError
from nmoe_graph.label import Label, parse_label, parse_pattern

LAW = settings(deadline=None, derandomize=True, max_examples=300)
SEGMENTS = st.text("abzAZ09_.+-@", min_size=1, max_size=8).filter(lambda text: text not in (".", "..", "..."))
PATHS = st.lists(SEGMENTS, min_size=1, max_size=3).map("/".join)
LABELS = st.builds(Label, PATHS | SEGMENTS.map("gates/{}".format) | st.sampled_from(["", "gates"]), PATHS)


@LAW
@given(LABELS)
def test_printing_and_parsing_are_inverse(label: Label) -> None:
    """The printed form of a label is read back as the same label, from any package."""
    assert parse_label(str(label)) == label
    assert parse_label(str(label), "some/where") == label


@LAW
@given(LABELS)
def test_the_short_form_means_the_same(label: Label) -> None:
    """What a person types for a label (a gate's id, or the label) is that label."""
    assert parse_label(label.short) == label


@LAW
@given(PATHS, SEGMENTS)
def test_relative_names_are_looked_up_in_their_package(package: str, name: str) -> None:
    """:name is //package:name, and //a/b stands for //a/b:b."""
    assert parse_label(f":{name}", package) == Label(package, name)
    assert parse_label(f"//{package}") == Label(package, package.rpartition("/")[2])


@LAW
@given(SEGMENTS, SEGMENTS)
def test_gate_ids_and_labels_are_two_spellings(space: str, name: str) -> None:
    """b200:x is //gates/b200:x and back; //gates:b200:x, as people type it, is the same."""
    label = parse_label(f"{space}:{name}")
    assert label == Label(f"gates/{space}", name) == Label.of_gate(f"{space}:{name}")
    assert parse_label(f"//gates:{space}:{name}") == label
    assert label.gate_id == label.short == f"{space}:{name}"


@pytest.mark.parametrize("text", ["//gates:tier_a", "//nmoe:lib", "//contracts:01", "//:root"])
def test_only_gates_have_a_gate_id(text: str) -> None:
    """Bundles, contracts and all others are written as labels."""
    label = parse_label(text)
    assert label.gate_id is None
    assert label.short == text


@LAW
@given(st.text(max_size=40) | st.text("/:.-@a ", max_size=12), st.sampled_from(["", "a/b"]))
def test_any_text_is_a_label_or_a_usage_error(text: str, package: str) -> None:
    """Nothing but UsageError ever comes out of the parsers, and what is accepted prints to something accepted."""
    for parse in (parse_label, parse_pattern):
        try:
            parsed = parse(text, package)
        except UsageError as error:
            assert error.faults[0].hint
            continue
        if isinstance(parsed, Label):
            assert parse_label(str(parsed)) == parsed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nmoe",
        "/nmoe:lib",
        "//nmoe:",
        "//",
        "///a",
        "//a//b",
        "//a/../b:c",
        "//a/./b:c",
        "//a:b/../c",
        "//a b:c",
        "//a:b c",
        "//größe:x",
        "//a:b\n",
        ":x\x1b[0m",
        "//a:" + "x" * 400,
        "//a/...:b",
        "a:b:c",
        ".:a",
        "a:..",
    ],
)
def test_malformed_labels_are_refused(text: str) -> None:
    """Each is refused with a hint on what labels look like, and is never echoed raw."""
    with pytest.raises(UsageError) as caught:
        parse_label(text)
    fault = caught.value.faults[0]
    assert "labels look like" in fault.hint
    assert "\x1b" not in fault.what
    assert "\n" not in fault.what


@pytest.mark.parametrize(
    ("pattern", "matched"),
    [
        ("//...", {"//:r", "//a:a", "//a:b", "//a/b:c", "//ab:d"}),
        ("...", {"//:r", "//a:a", "//a:b", "//a/b:c", "//ab:d"}),
        ("//a/...", {"//a:a", "//a:b", "//a/b:c"}),
        ("//a:b", {"//a:b"}),
        ("//a", {"//a:a"}),
        (":r", {"//:r"}),
    ],
)
def test_patterns_match_whole_packages(pattern: str, matched: set[str]) -> None:
    """//a/... takes a and what is below it, and not its neighbour ab."""
    labels = [parse_label(text) for text in ("//:r", "//a:a", "//a:b", "//a/b:c", "//ab:d")]
    parsed = parse_pattern(pattern)
    assert {str(label) for label in labels if parsed.matches(label)} == matched


def test_a_minus_sign_marks_a_pattern_as_subtracted() -> None:
    """-P matches what P matches, and says that it takes away."""
    plain, minus = parse_pattern("//a/..."), parse_pattern("-//a/...")
    assert (plain.negative, minus.negative) == (False, True)
    assert minus.matches(Label("a/b", "c"))


@pytest.fixture
def graph(scratch: Scratch):  # type: ignore[no-untyped-def]
    scratch.write("docs/BUILD.toml", '[files.all]\nsrcs = ["a.txt"]\n[files.other]\nsrcs = ["*.txt"]\n')
    return Workspace.open(scratch.root).analysis().graph


@pytest.mark.parametrize(
    ("patterns", "chosen"),
    [
        (["cpu:import"], ["cpu:import"]),
        (["//gates/cpu:all"], ["cpu:compileall", "cpu:grep", "cpu:import"]),
        (["//gates/...", "-//gates:all"], ["b200:train", "cpu:compileall", "cpu:grep", "cpu:import"]),
        (["-cpu:grep", "//gates/cpu:all"], ["cpu:compileall", "cpu:import"]),
        (["//docs:all"], ["//docs:all"]),
        (["//docs/...", "-//docs:all"], ["//docs:other"]),
        (["//gates/cpu:all", "-//nothing/..."], ["cpu:compileall", "cpu:grep", "cpu:import"]),
        (["cpu:import", "cpu:import"], ["cpu:import"]),
    ],
)
def test_selection_is_union_then_subtraction(graph, patterns: list[str], chosen: list[str]) -> None:  # type: ignore[no-untyped-def]
    """Order of patterns does not count; a target named `all` beats the wildcard."""
    assert [label.short for label in graph.select(patterns)] == chosen


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [("cpu:imprt", "cpu:import"), ("//gates:tier_b", "//gates:tier_a"), ("//dcos/...", "docs"), ("//docs:oter", "//docs:other")],
)
def test_unknown_targets_are_usage_errors_with_the_nearest_name(graph, pattern: str, hint: str) -> None:  # type: ignore[no-untyped-def]
    """A typo is answered with what was probably meant."""
    with pytest.raises(UsageError) as caught:
        graph.select([pattern])
    assert caught.value.faults[0].hint.startswith("did you mean")
    assert hint in caught.value.faults[0].hint
