"""Errors: where, what, hint, and nothing that could take over a terminal or a CI log."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmoe_graph.errors import (
    MOST_FAULTS_SHOWN,
    DeclarationError,
    Fault,
    HostError,
    Location,
    NmoeGraphError,
    SnapshotError,
    UsageError,
    counted,
    did_you_mean,
    printable,
    render_fault,
    render_faults,
)

LAW = settings(deadline=None, derandomize=True, max_examples=300)
ESC, RIGHT_TO_LEFT, ZERO_WIDTH = "\x1b", chr(0x202E), chr(0x200B)


@pytest.mark.parametrize(
    ("kind", "code"), [(DeclarationError, 2), (UsageError, 2), (SnapshotError, 2), (HostError, 3), (NmoeGraphError, 2)]
)
def test_every_error_is_of_one_family_and_has_its_exit_code(kind: type[NmoeGraphError], code: int) -> None:
    """The exit code belongs to the class; a text makes one fault with its hint."""
    error = kind("it is broken", hint="mend it")
    assert isinstance(error, NmoeGraphError)
    assert error.exit_code == code
    assert error.faults == (Fault("it is broken", hint="mend it"),)


def test_an_error_carries_every_fault() -> None:
    """Faults are kept in their order, and str() names the place of each."""
    faults = [Fault("one", Location("a.toml", 3, 4)), Fault("two")]
    error = DeclarationError(faults)
    assert error.faults == tuple(faults)
    assert str(error) == "a.toml:3:4: one; two"


def test_what_to_do_stands_in_the_last_line_of_a_traceback() -> None:
    """A notebook shows str() and nothing else of an error, so the hint is in it."""
    assert str(UsageError("there is no target x", hint="did you mean y?")) == "there is no target x (did you mean y?)"


@pytest.mark.parametrize(("number", "words"), [(0, "0 gates"), (1, "1 gate"), (2, "2 gates")])
def test_one_is_no_plural(number: int, words: str) -> None:
    """As people say it."""
    assert counted(number, "gate") == words


@pytest.mark.parametrize(
    ("place", "text"),
    [
        (Location("a.toml"), "a.toml"),
        (Location("a.toml", 3), "a.toml:3:1"),
        (Location("a.toml", 3, 7), "a.toml:3:7"),
        (Location(f"a{ESC}[2J", 3, 7), "a<U+001B>[2J:3:7"),
    ],
)
def test_places_read_as_editors_expect(place: Location, text: str) -> None:
    """file, file:line:column; the name of a file cannot command a terminal."""
    assert str(place) == text


def test_places_sort_by_file_line_column() -> None:
    """Output is in the order of a file, whatever order faults were found in."""
    places = [Location("b", 1, 1), Location("a", 10, 1), Location("a", 9, 5), Location("a", 9, 2)]
    assert sorted(places) == [places[3], places[2], places[1], places[0]]


@LAW
@given(st.text())
def test_printable_text_has_no_control_or_direction_characters(text: str) -> None:
    """Whatever goes in, only tabs and visible characters come out, and no workflow command stands at the start."""
    shown = printable(text)
    assert all(char == "\t" or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for char in shown)
    assert not shown.startswith(("::", "##["))


@LAW
@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "S"])).filter(lambda text: not text.startswith(("::", "##["))))
def test_printable_leaves_honest_text_alone(text: str) -> None:
    """Letters, digits, punctuation and symbols of every script stay as they are."""
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"red{ESC}[31m", "red<U+001B>[31m"),
        (f"a{RIGHT_TO_LEFT}b{ZERO_WIDTH}c", "a<U+202E>b<U+200B>c"),
        ("one\ntwo\r", "one<U+000A>two<U+000D>"),
        ("::error::no", "\\::error::no"),
        ("##[group]", "\\##[group]"),
        ("tab\tstays", "tab\tstays"),
        ("\ud800", "<U+D800>"),
    ],
)
def test_printable_spells_out_what_is_dangerous(text: str, shown: str) -> None:
    """Each dangerous character becomes its code point."""
    assert printable(text) == shown


def test_printable_cuts_at_a_limit() -> None:
    """A long text is cut, and says so."""
    assert printable("x" * 20, limit=5) == "xxxxx…"
    assert printable("x" * 5, limit=5) == "xxxxx"


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("tiemout_s", "did you mean timeout_s?"),
        ("TIMEOUT_S", "did you mean timeout_s?"),
        ("gpu", "did you mean gpus?"),
        ("zebra", ""),
        ("", ""),
    ],
)
def test_did_you_mean_names_the_nearest_word_or_nothing(word: str, hint: str) -> None:
    """Only a near word is proposed; case does not count."""
    assert did_you_mean(word, ["timeout_s", "gpus", "cmd"]) == hint


def test_did_you_mean_is_the_same_for_any_order() -> None:
    """Ties are broken by the words and not by the order in which they come."""
    words = ["gate_a", "gate_b", "gate_c"]
    assert did_you_mean("gate_", words) == did_you_mean("gate_", words[::-1]) != ""


def test_a_fault_is_rendered_with_a_caret_below_its_place() -> None:
    """Head, source line, caret, hint: one line each."""
    fault = Fault("unknown key tire", Location("gates.toml", 12, 3, 4), "did you mean tier?", "  tire = 1")
    assert render_fault(fault).split("\n") == [
        "error: gates.toml:12:3: unknown key tire",
        "  12 |   tire = 1",
        "     |   ^^^^",
        "hint: did you mean tier?",
    ]


def test_a_fault_without_place_or_source_is_one_line() -> None:
    """What is not known is left out; a warning says that it is one."""
    assert render_fault(Fault("no git here")) == "error: no git here"
    assert render_fault(Fault("slow", Location("a.toml", 1, 1), level="warning")) == "warning: a.toml:1:1: slow"


def test_the_caret_follows_characters_that_are_spelt_out() -> None:
    """An escaped character before the place moves the caret by what is shown."""
    lines = render_fault(Fault("x", Location("a", 1, 3), source=f"a{ESC}b")).split("\n")
    assert lines[1].index("b") == lines[2].index("^")


@LAW
@given(st.text(max_size=400), st.text(max_size=400), st.text(max_size=400), st.integers(0, 500), st.integers(0, 500))
def test_a_rendered_fault_is_at_most_four_safe_lines(what: str, hint: str, source: str, column: int, width: int) -> None:
    """No input adds a line or a control character to what people see."""
    lines = render_fault(Fault(what, Location("f", 1, column, width), hint, source)).split("\n")
    assert len(lines) <= 4
    assert all(printable(line).lstrip("\\") == line.lstrip("\\") for line in lines)


def test_long_lists_of_faults_are_cut_and_counted() -> None:
    """However many faults there are, the output stays small."""
    shown = render_faults([Fault(f"{index} " + "x" * 5000, hint="y" * 5000) for index in range(MOST_FAULTS_SHOWN + 7)])
    assert shown.endswith("... and 7 more")
    assert len(shown) < 65536


def test_faults_as_data() -> None:
    """Programs get level, message, place and hint, and no raw control character either."""
    assert Fault(f"a{ESC}", Location("f", 2, 3), "h").to_dict() == {
        "level": "error",
        "message": "a<U+001B>",
        "at": {"file": "f", "line": 2, "column": 3},
        "hint": "h",
    }
    assert Fault("a").to_dict()["at"] is None
