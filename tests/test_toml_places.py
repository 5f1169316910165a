"""Where things stand in TOML: a parser gives values, and faults want lines and columns."""

from __future__ import annotations

import pytest
from conftest import Scratch
from hypothesis import given, settings
from hypothesis import strategies as st

from nmoe_graph import Workspace
from nmoe_graph.errors import DeclarationError
from nmoe_graph.load.tomltext import read_toml

_SPACE = st.sampled_from(["", " ", "\n", "\n  ", ' # a ] " comment, with [\n', "\t"])
_ATOMS = st.sampled_from(
    ['"a, [b]"', "'x\"]'", "3", "true", '"""q\n"] , """', "'''\n['''", '{a = [1, "]"], b = "x,"}', '"\\""', "1.5", "[]"]
)


@st.composite
def _arrays(draw: st.DrawFn, depth: int = 0) -> tuple[str, list[tuple[tuple[int, ...], int]]]:
    """The text of an array, and by item path where in the text the item begins."""
    text, places = "[" + draw(_SPACE), []
    for number in range(draw(st.integers(0, 4))):
        inner: list[tuple[tuple[int, ...], int]] = []
        item = draw(_ATOMS)
        if depth < 2 and draw(st.booleans()):
            item, inner = draw(_arrays(depth + 1))
        places.append(((number,), len(text)))
        places += [((number, *path), len(text) + at) for path, at in inner]
        text += item + draw(_SPACE) + "," + draw(_SPACE)
    return text + "]", places


@settings(deadline=None, derandomize=True, max_examples=300)
@given(_arrays(), _arrays())
def test_every_item_of_an_array_has_its_place(
    one: tuple[str, list[tuple[tuple[int, ...], int]]], two: tuple[str, list[tuple[tuple[int, ...], int]]]
) -> None:
    """Whatever the layout, comments, strings and tables in it; and the keys behind an array have theirs."""
    text = f"[t]\na = {one[0]}\nb = {two[0]} # end\nc = 1\n"
    reading = read_toml(text.encode(), "x.toml")
    lines = text.split("\n")

    def offset(place: tuple[int, int]) -> int:
        return sum(len(line) + 1 for line in lines[: place[0] - 1]) + place[1] - 1

    for key, (array, places) in {"a": one, "b": two}.items():
        begin = text.index(f"\n{key} = {array}") + len(f"\n{key} = ")
        found = {path[2:]: offset(at) - begin for path, at in reading.values.items() if path[:2] == ("t", key) and len(path) > 2}
        assert found == dict(places)
    assert lines[reading.values[("t", "c")][0] - 1] == "c = 1"


def test_an_item_that_is_wrong_is_shown_where_it_stands(scratch: Scratch) -> None:
    """Not where its list begins, which may be a page above."""
    gates = "configs/gates/gates.toml"
    scratch.replace(gates, '[gates."cpu:import"]\n', '[gates."cpu:import"]\ninputs = [\n  "a/**",\n  "../b",\n]\n')
    line = scratch.read(gates).split("\n").index('  "../b",') + 1
    with pytest.raises(DeclarationError) as caught:
        Workspace.open(scratch.root).affected(since="main")
    (fault,) = caught.value.faults
    assert (str(fault.at), fault.source) == (f"{gates}:{line}:3", '  "../b",')
