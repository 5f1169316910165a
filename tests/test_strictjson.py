"""JSON that two readers cannot read in two ways."""

from __future__ import annotations

import json

import pytest

from nmoe_graph.errors import DeclarationError
from nmoe_graph.statement.strictjson import canonical, read_json

REFUSED = [
    (b"", "no JSON"),
    (b" ", "no JSON"),
    (b'{"a": 1} {"a": 2}', "extra data"),
    (b"{}\n[]", "extra data"),
    (b'{"a": 1, "a": 2}', "duplicate"),
    (b'{"x": {"a": 1, "\\u0061": 2}}', "duplicate"),
    (b'{"result": 1, "Result": 2}', "duplicate"),
    (b"NaN", "finite"),
    (b'{"a": [1, Infinity]}', "finite"),
    (b'{"a": -Infinity}', "finite"),
    (b"1e999", "finite"),
    (b"9007199254740993", "2^53"),
    (b"1" * 5000, "2^53"),
    (b"\xef\xbb\xbf{}", "byte order mark"),
    (b"\xff{}", "UTF-8"),
    (b'{"a": "\\ud800"}', "U+D800"),
    (b'{"a": "\\u202e"}', "U+202E"),
    (b'{"a": "\\u0000"}', "U+0000"),
    (b'{"a": "\x01"}', "no JSON"),
    (b"[" * 100_000, "too deep"),
    (b'{"a":' * 40 + b"1" + b"}" * 40, "too deep"),
    (b'"' + b"x" * 3_000_000 + b'"', "too large"),
    (b"{'a': 1}", "no JSON"),
    (b'{"a": 1,}', "no JSON"),
    (b"// no\n{}", "no JSON"),
    (b"True", "no JSON"),
    (b"01", "extra data"),
]


@pytest.mark.parametrize(("data", "word"), REFUSED, ids=range(len(REFUSED)))
def test_refused(data: bytes, word: str) -> None:
    """One declared error, with the reason."""
    with pytest.raises(DeclarationError) as error:
        read_json(data, "x.json")
    assert word in error.value.faults[0].what


@pytest.mark.parametrize(
    "data", [b"{}", b" [1, 2.5, -0, true, null]\n", b'{"a": {"b": ["\xc3\xa4", "]}"]}}', b"9007199254740992", b'"\\n"']
)
def test_read_as_others_read_it(data: bytes) -> None:
    """What is let through means what it means to everybody."""
    assert read_json(data, "x.json") == json.loads(data)


def test_brackets_in_texts_are_no_depth() -> None:
    """Only structure counts as depth."""
    assert read_json(json.dumps({"a": "[" * 1000 + '\\"{'}).encode(), "x") == {"a": "[" * 1000 + '\\"{'}


def test_a_fault_has_its_place() -> None:
    """Line and column, where the parser knows them."""
    with pytest.raises(DeclarationError) as error:
        read_json(b'{\n  "a": x\n}', "x.json")
    assert str(error.value.faults[0].at) == "x.json:2:8"


def test_canonical_has_one_spelling() -> None:
    """Order and spaces of what was read leave no trace."""
    assert canonical({"b": [1, 2.0], "a": "ä"}) == '{"a":"ä","b":[1,2.0]}'.encode()
    assert canonical(read_json(b'{ "b":1,\n"a":2 }', "x")) == b'{"a":2,"b":1}'
    with pytest.raises(ValueError):
        canonical(float("nan"))
