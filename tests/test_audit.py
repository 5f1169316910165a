"""`audit`: gates that cannot fail are found by damaging what they read; nothing of it is recorded."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Scratch, add_gate
from hypothesis import given, settings
from hypothesis import strategies as st

from nmoe_graph.execute.mutants import mutants

Cli = Callable[..., tuple[int, str, str]]


def document(cli: Cli, *args: str) -> tuple[int, dict[str, Any]]:
    code, out, _ = cli("audit", *args, "--format", "json")
    assert code in (0, 1), out
    return code, json.loads(out)


def test_a_gate_that_cannot_fail_is_a_finding(scratch: Scratch, cli: Cli) -> None:
    """`true` notices nothing; a gate that reads its input notices all that it can see."""
    add_gate(scratch, "cpu:vacuous", "true", inputs='["docs/a.txt", "nmoe/**"]')
    code, found = document(cli, "cpu:vacuous", "cpu:grep", "cpu:import")
    rows = {row["label"]: row for row in found["gates"]}
    assert code == 1
    assert rows["//gates/cpu:vacuous"]["vacuous"]
    assert rows["//gates/cpu:vacuous"]["killed"] == 0
    assert rows["//gates/cpu:vacuous"]["runs"] > 5
    assert [one["label"] for one in found["findings"]] == ["//gates/cpu:vacuous"]
    assert "it cannot fail" in found["findings"][0]["message"]
    assert (rows["//gates/cpu:grep"]["killed"], rows["//gates/cpu:grep"]["survived"]) == (1, [])
    unnoticed = {(row["path"], row["mutant"]) for row in rows["//gates/cpu:import"]["survived"]}
    assert unnoticed == {("nmoe/__init__.py", "emptied"), ("nmoe/a.py", "emptied")}


def test_inputs_that_never_mattered_are_listed(scratch: Scratch, cli: Cli) -> None:
    """An input of which every damage went unnoticed is declared too much, or not checked."""
    scratch.write("docs/notes.txt", "first\nsecond\nlast\n")
    add_gate(scratch, "cpu:half", "grep -q one docs/a.txt", inputs='["docs/*.txt"]')
    code, found = document(cli, "cpu:half")
    assert code == 0, "over-declared is no fault: the gate can fail"
    assert found["gates"][0]["idle"] == ["docs/notes.txt"]
    code, text, err = cli("audit", "cpu:half")
    assert "inputs that never mattered: docs/notes.txt" in text
    assert "auditing cpu:half" in err


def test_declarations_alone_show_some(scratch: Scratch, cli: Cli) -> None:
    """Two gates with one action, a required file that nothing reads, a contract that may change its own judges."""
    add_gate(scratch, "cpu:grep_again", "grep -q one docs/a.txt")
    add_gate(scratch, "cpu:requires", "grep -q one docs/a.txt # other", 'requires_files = ["configs/tiny.toml"]')
    scratch.contract("01")
    scratch.contract("02", "other")
    scratch.replace("configs/contracts/01-work.yaml", "allow: [nmoe/**]", "allow: [nmoe/**, configs/gates/**]")
    scratch.replace("configs/contracts/02-other.yaml", "allow: [nmoe/**]", "allow: [configs/**]")
    scratch.replace("configs/contracts/02-other.yaml", "deny: []", "deny: [configs/gates/**]")
    code, found = document(cli, "--budget", "1")
    messages = [(one["label"], one["message"]) for one in found["findings"]]
    assert code == 1
    assert ("//contracts:01", "may change configs/gates/gates.toml, where the gates that judge it are defined") in messages
    assert ("//gates/cpu:grep_again", "is the same action as cpu:grep: one of them is no second check") in messages
    assert any(label == "//gates/cpu:requires" and "configs/tiny.toml" in what for label, what in messages)
    assert not any(label == "//contracts:02" for label, _ in messages)


def test_the_same_seed_draws_the_same_damages(scratch: Scratch, cli: Cli) -> None:
    """Whatever the number of jobs; and another seed draws others."""
    add_gate(scratch, "cpu:vacuous", "true", inputs='["nmoe/**"]')
    one = document(cli, "cpu:vacuous", "--budget", "5", "-j", "1")
    assert document(cli, "cpu:vacuous", "--budget", "5", "-j", "4") == one
    assert one[1]["gates"][0]["runs"] == 5
    others = [document(cli, "cpu:vacuous", "--budget", "5", "--seed", str(seed))[1]["gates"] for seed in range(1, 4)]
    assert any(rows != one[1]["gates"] for rows in others)


def test_nothing_is_recorded(scratch: Scratch, cli: Cli, ask: Callable[..., Any]) -> None:
    """The runs on damaged files leave no result behind, and no blob."""
    document(cli, "cpu:grep", "cpu:import")
    assert ask("results")["results"] == []
    assert list((scratch.root / ".git/nmoe-graph").glob("blobs/*")) == []


def test_what_cannot_be_audited_says_why(scratch: Scratch, cli: Cli) -> None:
    """A gate of another platform, one that fails as it is, one whose input is missing."""
    add_gate(scratch, "cpu:fails", "grep -q two docs/a.txt")
    missing = '[gates."cpu:missing"]\ntier = "a"\ntimeout_s = 30\ncmd = "python -m compileall -q gone/"\n\n[bundles]\n'
    scratch.replace("configs/gates/gates.toml", "[bundles]\n", missing)
    _, found = document(cli, "cpu:fails", "cpu:missing", "b200:train")
    reasons = {row["label"][8:]: row["reason"] for row in found["gates"]}
    assert reasons["cpu:fails"].startswith("it does not pass as it is")
    assert reasons["cpu:missing"] == "gone is named by the command and holds no Python file"
    assert reasons["b200:train"].startswith("needs sm_100a")
    assert all(row["runs"] == 0 and not row["vacuous"] for row in found["gates"])


@pytest.mark.parametrize(
    ("path", "data", "words"),
    [
        ("a.py", b"X = 1", ["raises on import", "broken syntax", "emptied"]),
        ("a.py", b"", ["raises on import", "broken syntax"]),
        ("a.toml", b"[t]\na = 1\nb = [\n 1,\n]\n", ["emptied", "without a"]),
        ("a.json", b'{"a": 1, "b": 2}', ["emptied", "without a", "without b"]),
        ("a.json", b"[1", ["emptied"]),
        ("a.txt", b"one\n", ["emptied"]),
        ("a.txt", b"one\ntwo\n", ["emptied", "without its first line", "without its last line"]),
        ("a.txt", b"", []),
    ],
)
def test_mutants(path: str, data: bytes, words: list[str]) -> None:
    """What is done to which kind of file."""
    assert [one.what for one in mutants(path, data)] == words


@settings(deadline=None, derandomize=True, max_examples=200)
@given(st.sampled_from(["a.py", "a.toml", "a.json", "a", "dir.py/a"]), st.binary(max_size=60))
def test_a_mutant_is_never_the_file(path: str, data: bytes) -> None:
    """Whatever the bytes, every mutant differs from them, and each says what was done."""
    for one in mutants(path, data):
        assert one.data != data
        assert one.what
