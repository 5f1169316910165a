"""Meaning of files: formatting does not count, everything else does, and every Python says the same."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import warnings
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import nmoe_graph.inputs.meaning as module
from nmoe_graph.inputs.meaning import json_meaning, meaning, python_meaning, toml_meaning

LAW = settings(deadline=None, derandomize=True, max_examples=150)
BASE = b'"""Doc."""\n\nimport a\n\n\n@deco(1)\ndef f(x, y=1):\n    """Two."""\n    return x + y\n'

#: name -> (before, after, the same meaning?)
PYTHON_EDITS: dict[str, tuple[bytes, bytes, bool]] = {
    "comment": (BASE, BASE.replace(b"import a", b"import a  # why"), True),
    "comment line": (BASE, b"#!/usr/bin/env python\n" + BASE, True),
    "blank lines": (BASE, BASE.replace(b"\n\n\n", b"\n"), True),
    "spaces": (BASE, BASE.replace(b"x + y", b"x  +  y"), True),
    "indentation": (BASE, BASE.replace(b"    ", b"  "), True),
    "tabs": (BASE, BASE.replace(b"    ", b"\t"), True),
    "parentheses": (BASE, BASE.replace(b"x + y", b"(x + y)"), True),
    "trailing comma": (BASE, BASE.replace(b"y=1)", b"y=1,)"), True),
    "line continuation": (BASE, BASE.replace(b"x + y", b"x \\\n        + y"), True),
    "line ends": (BASE, BASE.replace(b"\n", b"\r\n"), True),
    "byte order mark": (BASE, b"\xef\xbb\xbf" + BASE, True),
    "no newline at the end": (BASE, BASE.rstrip(b"\n"), True),
    "quotes": (BASE, BASE.replace(b'"', b"'"), True),
    "utf-8 cookie": (BASE, b"# -*- coding: utf-8 -*-\n" + BASE, True),
    "type comment": (b"x = 1\n", b"x = 1  # type: int\n", True),
    "implicit concatenation": (b'x = "ab"\n', b'x = "a" "b"\n', True),
    "escape": (b'x = "a"\n', b'x = "\\x61"\n', True),
    "number's spelling": (b"x = 255\n", b"x = 0x_ff\n", True),
    "semicolon": (b"x = 1\ny = 2\n", b"x = 1; y = 2\n", True),
    "legacy prefix": (b'x = "a"\n', b'x = u"a"\n', True),
    "comment around an f-string": (b'x = f"{a}"\n', b'x = (  # why\n    f"{a}"\n)\n', True),
    "docstring": (BASE, BASE.replace(b"Doc", b"Docs"), False),
    "inner docstring": (BASE, BASE.replace(b"Two", b"Three"), False),
    "docstring's indentation": (b'"""a\nb"""\n', b'"""a\n b"""\n', False),
    "operator": (BASE, BASE.replace(b"+", b"-"), False),
    "identifier": (BASE, BASE.replace(b"def f", b"def g"), False),
    "decorator": (BASE, BASE.replace(b"deco(1)", b"deco(2)"), False),
    "decorator gone": (BASE, BASE.replace(b"@deco(1)\n", b""), False),
    "default": (BASE, BASE.replace(b"y=1", b"y=2"), False),
    "order of statements": (b"x = 1\ny = 2\n", b"y = 2\nx = 1\n", False),
    "import": (BASE, BASE.replace(b"import a", b"import b"), False),
    "annotation": (b"x: int = 1\n", b"x: str = 1\n", False),
    "annotation in parentheses": (b"x: int\n", b"(x): int\n", False),
    "int and float": (b"x = 1\n", b"x = 1.0\n", False),
    "int and bool": (b"x = 1\n", b"x = True\n", False),
    "zero and minus zero": (b"x = 0.0\n", b"x = -0.0\n", False),
    "text and bytes": (b'x = "a"\n', b'x = b"a"\n', False),
    "string contents": (b'x = "a  # b"\n', b'x = "a # b"\n', False),
    "tuple and name": (b"x = (a)\n", b"x = (a,)\n", False),
    "block": (b"if x:\n    y\nz\n", b"if x:\n    y\n    z\n", False),
    "async": (b"def f(): pass\n", b"async def f(): pass\n", False),
    "precedence": (b"x = a + b * c\n", b"x = (a + b) * c\n", False),
    "keyword-only": (b"def f(a, b): pass\n", b"def f(a, *, b): pass\n", False),
    "positional-only": (b"def f(a, b): pass\n", b"def f(a, /, b): pass\n", False),
    "star": (b"f(a)\n", b"f(*a)\n", False),
    "level of an import": (b"from . import a\n", b"from .. import a\n", False),
    "except star": (b"try:\n    a\nexcept B:\n    c\n", b"try:\n    a\nexcept* B:\n    c\n", False),
    "f-string's text": (b'x = f"{a} b"\n', b'x = f"{a} c"\n', False),
    "f-string's expression": (b'x = f"{a}"\n', b'x = f"{b}"\n', False),
    "f-string's conversion": (b'x = f"{a!r}"\n', b'x = f"{a!s}"\n', False),
    "f-string's format": (b'x = f"{a:3}"\n', b'x = f"{a:4}"\n', False),
    "f-string's source counts as it is written": (b'x = f"{a}"\n', b'x = f"{ a }"\n', False),
}

#: Files that count by their bytes, on every interpreter.
BY_BYTES: dict[str, bytes] = {
    "syntax error": b"def f(:\n",
    "Python 2": b'print "x"\n',
    "NUL": b"x = 1\n\0",
    "form feed": b"x = 1\n\f\ny = 2\n",
    "not UTF-8": b'x = "\xff"\n',
    "latin-1": b'# coding: latin-1\nx = "\xe9"\n',
    "latin-1 that mentions utf-8": b'# coding: latin-1, not utf-8\nx = "\xe9"\n',
    "unknown encoding": b"# coding: nonsense\nx = 1\n",
    "identifier outside ASCII": "größe = 1\n".encode(),
    "tabs and spaces mixed": b"if x:\n\ty = 1\n        z = 2\n",
    "type statement (3.12)": b"type X = int\n",
    "type parameters (3.12)": b"def f[T](a: T): pass\n",
    "type parameter's default (3.13)": b"class A[T = int]: pass\n",
    "f-string with its own quotes (3.12)": b'x = f"{a["b"]}"\n',
    "f-string with a backslash (3.12)": b"x = f\"{'\\n'.join(a)}\"\n",
    "f-string with a comment (3.12)": b'x = f"""{a  # b\n}"""\n',
    "f-string nested in formats": b'x = f"{a:{b:{c}}}"\n',
    "bare except list (3.14)": b"try:\n    pass\nexcept A, B:\n    pass\n",
    "t-string (3.14)": b'x = t"{a}"\n',
    "very deep": b"x = a" + b".b" * 100 + b"\n",
    "very many digits": b"x = " + b"9" * 5000 + b"\n",
    "very many parentheses": b"x = " + b"(" * 250 + b"1" + b")" * 250 + b"\n",
    "too large": b"x = 1\n" * 200_000,
}

TOML = b'[a]\nb = 1\nc = [1, 2]\nd = "x"\n\n[e]\nf = 1.5\n'
TOML_EDITS: dict[str, tuple[bytes, bytes, bool]] = {
    "comment": (TOML, TOML.replace(b"b = 1", b"b = 1  # why"), True),
    "spaces": (TOML, TOML.replace(b" = ", b"="), True),
    "order of keys": (TOML, TOML.replace(b"b = 1\nc = [1, 2]", b"c = [1, 2]\nb = 1"), True),
    "order of tables": (TOML, TOML[TOML.index(b"[e]") :] + TOML[: TOML.index(b"[e]")], True),
    "dotted and inline": (TOML, b'a.b = 1\na.c = [1, 2]\na.d = "x"\ne = { f = 1.5 }\n', True),
    "quotes": (TOML, TOML.replace(b'"', b"'"), True),
    "array over lines": (TOML, TOML.replace(b"[1, 2]", b"[\n  1,\n  2,\n]"), True),
    "line ends": (TOML, TOML.replace(b"\n", b"\r\n"), True),
    "number's spelling": (TOML, TOML.replace(b"b = 1", b"b = 0x1"), True),
    "float's spelling": (TOML, TOML.replace(b"1.5", b"15e-1"), True),
    "value": (TOML, TOML.replace(b"b = 1", b"b = 2"), False),
    "key": (TOML, TOML.replace(b"b = 1", b"g = 1"), False),
    "order of an array": (TOML, TOML.replace(b"[1, 2]", b"[2, 1]"), False),
    "int and float": (TOML, TOML.replace(b"b = 1", b"b = 1.0"), False),
    "int and text": (TOML, TOML.replace(b"b = 1", b'b = "1"'), False),
    "int and bool": (TOML, TOML.replace(b"b = 1", b"b = true"), False),
    "date and text": (b"a = 1979-05-27\n", b'a = "1979-05-27"\n', False),
    "date and time": (b"a = 1979-05-27\n", b"a = 1979-05-27T00:00:00\n", False),
    "empty table": (TOML, TOML + b"[g]\n", False),
    "table and array of one": (b"[[a]]\n", b"[a]\n", False),
    "space in text": (TOML, TOML.replace(b'"x"', b'"x "'), False),
}
TOML_BY_BYTES = {
    "no TOML": b"a = \n",
    "not UTF-8": b'a = "\xff"\n',
    "key twice": b"a = 1\na = 1\n",
    "deep": b"a = " + b"[" * 300 + b"]" * 300,
}

JSON = b'{"a": [1, 2.50, {"b": null}], "c": "x", "d": true}\n'
JSON_EDITS: dict[str, tuple[bytes, bytes, bool]] = {
    "blanks": (JSON, JSON.replace(b": ", b":").replace(b", ", b"  ,\n\t"), True),
    "line ends": (JSON, JSON.replace(b"\n", b"\r\n"), True),
    "escape": (JSON, JSON.replace(b'"x"', b'"\\u0078"'), True),
    "escaped slash": (b'"a/b"', b'"a\\/b"', True),
    "order of keys, which a reader sees": (b'{"a": 1, "b": 2}', b'{"b": 2, "a": 1}', False),
    "number's spelling, which a reader can see": (JSON, JSON.replace(b"2.50", b"2.5"), False),
    "large number": (b"[12345678901234567890]", b"[12345678901234567891]", False),
    "int and float": (JSON, JSON.replace(b"[1,", b"[1.0,"), False),
    "int and text": (JSON, JSON.replace(b"[1,", b'["1",'), False),
    "bool and text": (JSON, JSON.replace(b"true", b'"true"'), False),
    "null and false": (JSON, JSON.replace(b"null", b"false"), False),
    "value": (JSON, JSON.replace(b'"x"', b'"y"'), False),
    "key": (JSON, JSON.replace(b'"c"', b'"e"'), False),
    "order of an array": (b"[1, 2]", b"[2, 1]", False),
    "empty object and array": (b"{}", b"[]", False),
    "nesting": (b'[["a"], "b"]', b'[["a", "b"]]', False),
    "space in text": (JSON, JSON.replace(b'"x"', b'"x "'), False),
}
JSON_BY_BYTES = {
    "no JSON": b"{",
    "empty": b"",
    "not UTF-8": b'"\xff"',
    "byte order mark": b"\xef\xbb\xbf{}",
    "key twice": b'{"a": 1, "a": 1}',
    "no number": b"[NaN]",
    "two documents": b"{}\n{}\n",
    "deep": b"[" * 300 + b"]" * 300,
}

#: Pinned: a change of any of these needs a new MEANING_VERSION, since recorded proofs would no longer be found.
GOLDEN = [
    ("x.py", b"", "cbb43cd70e2ff49d063641575e29c649a2e2ed40aa950782fde544ec8e4b880d"),
    ("x.py", b"x = 1\n", "86a3f5e33db7556e1cfd845430b65dc31f9a51e4bfd2937a800b90dc765817e1"),
    ("x.py", BASE, "db8dff494cfb52ec5c1aa601cf4549b9462b2a6c5f94a5f038cfc97bc355faee"),
    ("x.py", b'x = f"{a!r:>{w}}" "b"\n', "9001a474f70787c0f2ff85d40341c7eea523db9e5c58bb80ebdffb9b99403691"),
    (
        "x.py",
        b"match x:\n    case [1, *_] | {'a': A(b=2)} if y:\n        async def f(*a, b: int = 1, **c): await (yield)\n",
        "56e73635a7812da972d202280f8e7b19ba5a92e6b7f2b18f609c59d2e18910cd",
    ),
    (
        "x.py",
        b"x = [1, -2.5, 3j, b'a', None, ..., {**a}, *b, lambda: (c := 1), d[1:2, ::3], not e]\n",
        "ba84892b4c6104354ac3492ee53363a791504d1fb710ff4bd10a71bf9a712e5a",
    ),
    ("x.toml", b"", "07b2fbb8b5da1c304dbc404cb986d8c95d80204c6935d8b5fbb9d150024cc429"),
    ("x.toml", TOML, "38e7e68f462971e49dd699dd0cf8525c9f5b92628dd77aeb5d8f87f775717fb8"),
    (
        "x.toml",
        b"a = [1979-05-27, 1979-05-27T07:32:00Z, 07:32:00, true, -1, nan, '']\n",
        "ffd1bcd8ec49e0b138d90ad197e6429cdbaba3af7a236000ade32bd342c32aff",
    ),
]
GOLDEN_JSON = [
    (b"{}", "4ac392c39e7d321cbf9af11ac8544ec522e2d948be89d628117b4edf447b5a6f"),
    (JSON, "d2c382df5b7d6916515935bee292b20b7429df7b39f53c47d792dd80afc651be"),
    (b'[1e5, -0, "\\ud800", "\xc3\xa9", [], false]', "418dff6d328d5703e9d449652a97f78690218a3f446a9d23382b3e53ae40e484"),
]
OWN = sorted(Path(module.__file__).parent.parent.rglob("*.py"))


@pytest.mark.parametrize("case", PYTHON_EDITS)
def test_edits_of_python_files(case: str) -> None:
    """Formatting and comments change nothing, everything else does."""
    before, after, same = PYTHON_EDITS[case]
    assert before != after
    one, two = python_meaning(before), python_meaning(after)
    assert one is not None
    assert two is not None
    assert (one == two) is same


@pytest.mark.parametrize("case", BY_BYTES)
def test_python_files_that_count_by_their_bytes(case: str) -> None:
    """What the oldest Python cannot parse, or what Pythons read differently, has no meaning but its bytes."""
    assert python_meaning(BY_BYTES[case]) is None


@pytest.mark.parametrize("case", TOML_EDITS)
def test_edits_of_toml_files(case: str) -> None:
    """Order of keys and formatting change nothing, every value and its type does."""
    before, after, same = TOML_EDITS[case]
    assert before != after
    one, two = toml_meaning(before), toml_meaning(after)
    assert one is not None
    assert two is not None
    assert (one == two) is same


@pytest.mark.parametrize("case", TOML_BY_BYTES)
def test_toml_files_that_count_by_their_bytes(case: str) -> None:
    """What is no TOML counts as it is."""
    assert toml_meaning(TOML_BY_BYTES[case]) is None


@pytest.mark.parametrize("case", JSON_EDITS)
def test_edits_of_json_files(case: str) -> None:
    """Blanks and the spelling of strings change nothing; whatever a reader can tell apart does."""
    before, after, same = JSON_EDITS[case]
    assert before != after
    one, two = json_meaning(before), json_meaning(after)
    assert one is not None
    assert two is not None
    assert (one == two) is same


@pytest.mark.parametrize("case", JSON_BY_BYTES)
def test_json_files_that_count_by_their_bytes(case: str) -> None:
    """What readers may read differently counts as it is."""
    assert json_meaning(JSON_BY_BYTES[case]) is None


@pytest.mark.parametrize(("data", "digest"), GOLDEN_JSON)
def test_meanings_of_json_are_pinned(data: bytes, digest: str) -> None:
    """The digest of a JSON file is the one that it always had."""
    assert meaning("x.json", data) == digest


def test_only_python_toml_and_json_have_a_meaning() -> None:
    """Every other file counts by its bytes; the kinds never share a digest."""
    assert meaning("x.txt", b"x = 1\n") is None
    assert meaning("x.pyc", b"x = 1\n") is None
    assert meaning("x.pyi", b"x = 1\n") == meaning("x.py", b"x = 1\n") != meaning("x.toml", b"x = 1\n")
    assert meaning("x.toml", b"") != meaning("x.json", b"{}") != meaning("x.py", b"{}")


@pytest.mark.parametrize(("name", "data", "digest"), GOLDEN)
def test_meanings_are_pinned(name: str, data: bytes, digest: str) -> None:
    """The digest of a file is the one that it always had."""
    assert meaning(name, data) == digest


@pytest.mark.parametrize("name", ["python3.11", "python3.12", "python3.13", "python3.14"])
def test_every_python_gives_the_same_meanings(name: str, tmp_path: Path) -> None:
    """Each Python and JSON row of the tables, and each file of this package, has one digest whichever interpreter is asked.

    TOML is read by one pinned library on all of them.
    """
    program = shutil.which(name)
    if program is None:
        pytest.skip(f"{name} is not on this machine")
    if subprocess.run([program, "-IS", "-c", ""], capture_output=True).returncode:
        pytest.skip(f"{name} is on the PATH and does not start")
    rows = [("py", data) for before, after, _ in PYTHON_EDITS.values() for data in (before, after)]
    rows += [("py", data) for data in BY_BYTES.values()]
    rows += [("py", data) for file, data, _ in GOLDEN if file.endswith(".py")]
    rows += [("json", data) for before, after, _ in JSON_EDITS.values() for data in (before, after)]
    rows += [("json", data) for data in [*JSON_BY_BYTES.values(), *(data for data, _ in GOLDEN_JSON)]]
    paths = list(OWN)
    for number, (ending, data) in enumerate(rows):
        path = tmp_path / f"{number}.{ending}"
        path.write_bytes(data)
        paths.append(path)
    done = subprocess.run(
        [program, "-IS", module.__file__, *map(str, paths)],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"]},
    )
    assert done.stdout.split() == [str(meaning(path.name, path.read_bytes())) for path in paths]


def test_this_package_has_a_meaning_everywhere() -> None:
    """Every file of the package is one that Python 3.11 can parse and that no interpreter reads differently."""
    assert len(OWN) > 50
    assert [path.name for path in OWN if python_meaning(path.read_bytes()) is None] == []


# -- laws over generated programs ----------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "self", "_x"])
ATOMS = NAMES | st.sampled_from(["1", "2", "1.0", "0x10", "None", "True", "'a'", "b'a'", '"""b"""', "...", "1j", 'f"{a}"'])
EXPRESSIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "**", "@", "and", "or", "<", "is not", "in"]), inner).map(
            lambda t: f"({' '.join(t)})"
        ),
        st.tuples(st.sampled_from(["-", "not ", "~"]), inner).map("".join).map("({})".format),
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.lists(inner, min_size=1, max_size=3).map(lambda items: f"({', '.join(items)},)"),
        st.tuples(inner, inner).map(lambda t: f"{{{t[0]}: {t[1]}}}"),
        st.tuples(NAMES, inner).map(lambda t: f"{t[0]}({t[1]})"),
        st.tuples(NAMES, NAMES, inner).map(lambda t: f"{t[0]}({t[1]}={t[2]})"),
        st.tuples(NAMES, inner).map(lambda t: f"{t[0]}[{t[1]}]"),
        st.tuples(NAMES, NAMES).map(lambda t: f"{t[0]}.{t[1]}"),
        st.tuples(NAMES, inner).map(lambda t: f"(lambda {t[0]}: {t[1]})"),
        st.tuples(inner, NAMES, inner).map(lambda t: f"[{t[0]} for {t[1]} in {t[2]}]"),
        st.tuples(inner, inner, inner).map(lambda t: f"({t[0]} if {t[1]} else {t[2]})"),
    ),
    max_leaves=5,
)
SIMPLE = st.one_of(
    st.tuples(NAMES, EXPRESSIONS).map(lambda t: [f"{t[0]} = {t[1]}"]),
    st.tuples(NAMES, EXPRESSIONS).map(lambda t: [f"{t[0]}: int = {t[1]}"]),
    EXPRESSIONS.map(lambda text: [text]),
    EXPRESSIONS.map(lambda text: [f"assert {text}"]),
    NAMES.map(lambda name: [f"import {name}"]),
    st.tuples(NAMES, NAMES).map(lambda t: [f"from .{t[0]} import {t[1]}"]),
)


def indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]


STATEMENTS = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        st.tuples(EXPRESSIONS, inner).map(lambda t: [f"if {t[0]}:", *indented(t[1])]),
        st.tuples(NAMES, EXPRESSIONS, inner).map(lambda t: [f"for {t[0]} in {t[1]}:", *indented(t[2])]),
        st.tuples(NAMES, NAMES, inner).map(lambda t: [f"def {t[0]}({t[1]}):", *indented(t[2])]),
        st.tuples(NAMES, inner).map(lambda t: [f"@{t[0]}", "class C:", *indented(t[1])]),
        st.tuples(inner, NAMES, inner).map(lambda t: ["try:", *indented(t[0]), f"except {t[1]}:", *indented(t[2])]),
    ),
    max_leaves=3,
)
PROGRAMS = st.lists(STATEMENTS, min_size=1, max_size=3).map(lambda blocks: [line for block in blocks for line in block])


def source(lines: list[str]) -> bytes:
    return "\n".join(lines).encode() + b"\n"


def dump(data: bytes) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.dump(ast.parse(data))


@LAW
@given(PROGRAMS, st.data())
def test_comments_and_blank_lines_never_count(lines: list[str], data: st.DataObject) -> None:
    """A comment or an empty line between any two lines, or a remark at the end of one, changes nothing."""
    changed = []
    for line in lines:
        changed += data.draw(st.sampled_from([[], [""], ["# x"], ["            # y = 1"], ["", "\t"]]))
        changed.append(line + data.draw(st.sampled_from(["", "  # z", "   "])))
    found = python_meaning(source(lines))
    assert found is not None
    assert python_meaning(source(changed)) == found


@LAW
@given(PROGRAMS)
def test_formatting_by_the_compiler_s_own_printer_never_counts(lines: list[str]) -> None:
    """A program without f-strings means the same when it is printed anew from its tree."""
    assume('f"' not in "\n".join(lines))
    assert python_meaning(ast.unparse(ast.parse(source(lines))).encode()) == python_meaning(source(lines))


@LAW
@given(PROGRAMS, PROGRAMS)
def test_another_tree_is_another_meaning(one: list[str], two: list[str]) -> None:
    """Two programs share a digest only if they share their tree, and (without f-strings) always if they do."""
    first, second = source(one), source(two)
    same = python_meaning(first) == python_meaning(second)
    assert same == (dump(first) == dump(second))


@LAW
@given(PROGRAMS, st.data())
def test_a_token_replaced_is_seen_exactly_if_the_tree_is_another(lines: list[str], data: st.DataObject) -> None:
    """One small edit anywhere: the digest moves if and only if the syntax tree does."""
    text = source(lines).decode()
    at = data.draw(st.integers(0, len(text) - 1))
    edited = (
        text[:at] + data.draw(st.sampled_from(["", "a", "1", " ", "(", ",", "-", "not ", "\n", "'"])) + text[at + 1 :]
    ).encode()
    try:
        tree = dump(edited)
    except (SyntaxError, ValueError):
        assert python_meaning(edited) is None
        return
    found = python_meaning(edited)
    if found is not None and b'f"' not in edited + text.encode():
        assert (found == python_meaning(text.encode())) == (tree == dump(text.encode()))
