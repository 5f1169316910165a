"""Digests: two different values never share one, and a key holds exactly what it should."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import pytest
from conftest import Scratch
from hypothesis import given, settings
from hypothesis import strategies as st

from nmoe_graph import Workspace
from nmoe_graph.digest.analysis import Analysis
from nmoe_graph.digest.encoding import digest, encode
from nmoe_graph.digest.keys import IN_KEY, OUTSIDE_KEY, action_manifest, perf_key
from nmoe_graph.digest.manifest import action_key
from nmoe_graph.errors import Location
from nmoe_graph.label import Label, parse_label
from nmoe_graph.model import Gate

LAW = settings(deadline=None, derandomize=True, max_examples=150)
TEXT = st.text(st.characters(), max_size=6) | st.sampled_from(["", "a", "1", "é", "\udcc3\udca9", "\ud800", "float", "i1;"])
ATOMS = st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.binary(max_size=6)
VALUES = st.recursive(ATOMS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=12)


def spelling(value: object) -> str:
    """A text that two values share only if they are the same: types, order of lists, and no order of keys."""
    if isinstance(value, dict):
        return "{" + ",".join(sorted(f"{spelling(key)}:{spelling(item)}" for key, item in value.items())) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(spelling, value)) + "]"
    return f"{type(value).__name__}({value!a})"


def read(data: bytes, at: int = 0) -> tuple[object, int]:
    """The inverse of `encode`, from its description alone."""

    def until(end: bytes) -> tuple[bytes, int]:
        stop = data.index(end, at)
        return data[at + 1 : stop], stop + 1

    tag = data[at : at + 1]
    if tag in b"ntf":
        return {b"n": None, b"t": True, b"f": False}[tag], at + 1
    if tag == b"i":
        word, after = until(b";")
        return int(word), after
    if tag == b"r":
        word, after = until(b";")
        return float.fromhex(word.decode()), after
    word, after = until(b":")
    size = int(word)
    if tag == b"b":
        return data[after : after + size], after + size
    if tag == b"s":
        return data[after : after + size].decode("utf-8", "surrogatepass"), after + size
    items = []
    for _ in range(size if tag == b"l" else 2 * size):
        item, after = read(data, after)
        items.append(item)
    return (items if tag == b"l" else dict(zip(items[::2], items[1::2], strict=True))), after


@LAW
@given(VALUES)
def test_what_is_encoded_can_be_read_back(value: object) -> None:
    """The encoding loses nothing: bytes lead back to one value, so two values never share bytes."""
    data = encode(value)
    found, end = read(data)
    assert end == len(data)
    assert spelling(found) == spelling(value)


@LAW
@given(VALUES, VALUES)
def test_encodings_are_equal_exactly_for_equal_values(one: object, two: object) -> None:
    """Same value, same bytes and digest; another value, others."""
    same = spelling(one) == spelling(two)
    assert (encode(one) == encode(two)) == same
    assert (digest("x", one) == digest("x", two)) == same


@LAW
@given(st.dictionaries(TEXT, VALUES, max_size=5), st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not_count(value: dict[str, object], rng: object) -> None:
    """A mapping is the same in whatever order it was filled."""
    rows = list(value.items())
    rng.shuffle(rows)  # type: ignore[attr-defined]
    assert encode(dict(rows)) == encode(value)


@LAW
@given(VALUES)
def test_the_tag_separates_kinds_of_nodes(value: object) -> None:
    """A digest of one kind can never stand for one of another."""
    assert len({digest(tag, value) for tag in ("action", "perf", "files", "python", "bundle", "contract", "merge", "")}) == 8


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (True, 1),
        (1, "1"),
        (1, 1.0),
        (0.0, -0.0),
        ("a", b"a"),
        (None, ""),
        ([], {}),
        ([["a"], []], [[], ["a"]]),
        (["ab", "c"], ["a", "bc"]),
        ({"a": None}, {}),
        (1.0, {"float": (1.0).hex()}),
        ("é", "\udcc3\udca9"),
    ],
)
def test_values_that_look_alike_differ(one: object, two: object) -> None:
    """Types and boundaries are in the bytes."""
    assert encode(one) != encode(two)


def test_lists_and_tuples_are_one_sequence() -> None:
    """What JSON cannot tell apart is not told apart."""
    assert encode([1, ["a"]]) == encode((1, ("a",)))


def test_values_without_a_canonical_form_are_refused() -> None:
    """A set has no order and an object no spelling."""
    for value in ({1}, object(), [print]):
        with pytest.raises(TypeError):
            encode(value)


GOLDEN = [
    (None, b"n", "659d5655fb4c10ca174d17f0bb029e7206987f27e9bdc999d0ccf5db6bd840e5"),
    (True, b"t", "0fc2b07e509d7a81d513c340e2478fe05bb00809ac49e15e4b00cf665c0d524c"),
    (-1, b"i-1;", "1b1a1d498d713f8da7f0769cce97a16596666e5ba125db0a479ffb42068eb5ac"),
    (1.5, b"r0x1.8000000000000p+0;", "ac45090a6d397466728ba24c3d1cf0467728cdee409b6ec6a368aa7958190568"),
    ("é", b"s2:\xc3\xa9", "d16900ccdfc6e3be0337355b7db7a7333182ced6a898054efddd48121ad8d539"),
    (b"a", b"b1:a", "c40351a1a8a111282eb3080c3f84f1992e936701bda596ed74c3bae244f81e2b"),
    (["1"], b"l1:s1:1", "e379690698005f22e498da372a17992c4502e1d256b4c4bd6b5c66dbc3e4bea5"),
    ({"b": 2, "a": 1}, b"m2:s1:ai1;s1:bi2;", "963407391458006d57d26434eb071367fcec4a070d37f39b7ab4df5073341af1"),
    ({"a": {"b": [None]}}, b"m1:s1:am1:s1:bl1:n", "c0dab866935846ce14baa67564c9276264e28d5cef86faf9ea1d052dc952106e"),
]


@pytest.mark.parametrize(("value", "data", "name"), GOLDEN)
def test_the_encoding_is_pinned(value: object, data: bytes, name: str) -> None:
    """A change of any of these makes every recorded proof worthless: it needs a new ENCODING_VERSION."""
    assert encode(value) == data
    assert digest("test", value) == name


# -- what enters a gate's key --------------------------------------------------------------------------------------------------


@pytest.fixture
def analysis(scratch: Scratch) -> Analysis:
    scratch.write("docs/BUILD.toml", '[files.a]\nsrcs = ["a.txt"]\n[toolchain.t]\nlock = ["docs/a.txt"]\n')
    return Workspace.open(scratch.root).analysis()


def gate(analysis: Analysis, name: str = "b200:train") -> Gate:
    found = analysis.graph.get(parse_label(name))
    assert isinstance(found, Gate)
    return found


def key(analysis: Analysis, one: Gate) -> str:
    """The key of a gate that is like a declared one."""
    if one.gate_kind == "perf":
        return perf_key(one, key(analysis, gate(analysis, one.compare_gate or "")))
    return action_key(action_manifest(one, analysis.gatherer.of(one)[0]))


#: A command gate's fields, each with another value.
IN_COMMAND = {
    "cmd": "python -m nmoe.train configs/tiny.toml",
    "inputs": ("docs/**",),
    "deps": (Label("docs", "a"),),
    "requires_files": ("configs/tiny.toml", "docs/a.txt"),
    "infer": False,
    "exact": True,
    "env": (("A", "1"),),
    "requires": ("NMOE_DATA_PATH", "OTHER"),
    "keyed": ("NMOE_DATA_PATH",),
    "toolchains": (Label("docs", "t"),),
    "arch": "sm_90a",
    "gpus": 2,
    "salt": "again",
    "expects": (("samples.steps", 10),),
}
IN_PERF = {
    "gate_kind": "command",
    "compare_gate": "cpu:import",
    "metric": "loss",
    "better": "lower",
    "ratchet": True,
    "rounds": 2,
    "salt": "again",
}
OUTSIDE = {
    "label": Label("gates/cpu", "other"),
    "tier": "a",
    "timeout_s": 1,
    "writable": ("NMOE_DATA_PATH",),
    "retries": 3,
    "accept_flaky": True,
    "notes": "words",
    "at": Location("elsewhere.toml", 9, 9),
    "places": (("cmd", Location("elsewhere.toml", 9, 9)),),
}


def test_every_field_of_a_gate_is_in_the_key_or_outside() -> None:
    """No field is forgotten, none is in both, and the tables here try every one."""
    assert {field.name for field in dataclasses.fields(Gate)} == IN_KEY | OUTSIDE_KEY
    assert not IN_KEY & OUTSIDE_KEY
    assert IN_COMMAND.keys() | IN_PERF.keys() == IN_KEY
    assert OUTSIDE.keys() == OUTSIDE_KEY


@pytest.mark.parametrize("field", IN_COMMAND)
def test_a_field_in_the_key_changes_it(analysis: Analysis, field: str) -> None:
    """Another command, input, variable, platform or salt is another proof."""
    one = gate(analysis)
    assert getattr(one, field) != IN_COMMAND[field]
    assert key(analysis, replace(one, **{field: IN_COMMAND[field]})) != key(analysis, one)  # type: ignore[arg-type]


@pytest.mark.parametrize("field", IN_PERF)
def test_a_field_in_the_key_of_a_perf_gate_changes_it(analysis: Analysis, field: str) -> None:
    """What is compared, by which metric and in which direction."""
    one = replace(gate(analysis), gate_kind="perf", compare_gate="b200:train", metric="tps")
    assert key(analysis, replace(one, **{field: IN_PERF[field]})) != key(analysis, one)  # type: ignore[arg-type]


@pytest.mark.parametrize("field", OUTSIDE)
def test_a_field_outside_the_key_does_not_change_it(analysis: Analysis, field: str) -> None:
    """Names, places, limits and remarks leave proofs alone, for both kinds of gates."""
    one = gate(analysis)
    perf = replace(one, gate_kind="perf", compare_gate="b200:train", metric="tps")
    for each in (one, perf):
        assert getattr(each, field) != OUTSIDE[field]
        assert key(analysis, replace(each, **{field: OUTSIDE[field]})) == key(analysis, each)  # type: ignore[arg-type]


def test_orders_that_say_nothing_are_not_in_the_key(analysis: Analysis) -> None:
    """The order of required variables, of inputs and of dependencies is a matter of taste."""
    one = replace(gate(analysis), requires=("A", "B"), inputs=("docs/**", "configs/**"), env=(("A", "1"), ("B", "2")))
    two = replace(one, requires=("B", "A"), inputs=("configs/**", "docs/**"), env=(("B", "2"), ("A", "1")))
    assert key(analysis, one) == key(analysis, two)


def test_a_declared_gate_has_the_key_that_was_tried_here(analysis: Analysis) -> None:
    """The helper above computes what the program computes."""
    for name in ("b200:train", "cpu:import", "cpu:compileall", "cpu:grep"):
        assert analysis.digest(parse_label(name)) == key(analysis, gate(analysis, name))


def test_where_a_gate_stands_in_its_file_does_not_count(scratch: Scratch) -> None:
    """Comments, order of gates and of keys, quotes and notes of a gates.toml change no key."""
    before = Workspace.open(scratch.root).analysis().table()
    text = scratch.read("configs/gates/gates.toml")
    head, *tables = text.split("\n[")
    tables = [f"[{table}" for table in tables]
    assert len(tables) == 5
    moved = [
        tables[3].replace("gpus = 1\ntimeout_s = 600", "# one\ntimeout_s = 6_00\nnotes = 'x'\ngpus = 1"),
        *tables[:3],
        tables[4],
    ]
    scratch.write("configs/gates/gates.toml", head + "\n\n" + "\n".join(moved))
    after = Workspace.open(scratch.root).analysis().table()
    assert {label: row.digest for label, row in after.items()} == {label: row.digest for label, row in before.items()}
