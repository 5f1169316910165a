"""Faults of declarations: each with its place and, where one is known, what to do about it; all of them at once."""

from __future__ import annotations

import re

import pytest
from conftest import Scratch

from nmoe_graph import Workspace
from nmoe_graph.errors import DeclarationError, Fault
from nmoe_graph.load.gates import load_gates
from nmoe_graph.load.lint import lint_bytes
from nmoe_graph.load.yamltext import Quoted, read_yaml

GATE = """[gates."cpu:a"]
tier = "a"
timeout_s = 1
cmd = "true"
"""
PERF = """[gates."cpu:p"]
tier = "b"
kind = "perf"
timeout_s = 0
"""
CONTRACT = """nmoe:
  issue: 01
  slug: work
  kind: feature
  risk: cold
  complexity: S
  depends_on: []
scope:
  allow: [nmoe/**]
gates:
  required: [cpu:a]
"""
GATES = load_gates(GATE.encode(), "gates.toml")


def faults(kind: str, text: str | bytes) -> list[Fault]:
    """What lint says of a text; an empty list where nothing is wrong."""
    try:
        lint_bytes(kind, text.encode() if isinstance(text, str) else text, "f", gates=GATES if kind == "contract" else None)
    except DeclarationError as error:
        return list(error.faults)
    return []


def shown(kind: str, text: str | bytes) -> list[str]:
    """The faults as `line:column what | hint`."""
    found = [(fault, fault.at) for fault in faults(kind, text)]
    return [f"{at.line}:{at.column} {fault.what} | {fault.hint}" for fault, at in found if at is not None]


def check(kind: str, text: str | bytes, expected: list[str]) -> None:
    """Each expected fault is `line:column part of the message | part of the hint`, in order, and there are no others."""
    found = shown(kind, text)
    assert len(found) == len(expected), found
    for got, want in zip(found, expected, strict=True):
        place, what, hint = re.match(r"(\S+) ([^|]*?)\s*(?:\| (.*))?\Z", want).groups()  # type: ignore[union-attr]
        assert got.startswith(place + " "), got
        assert what in got.partition(" | ")[0], got
        assert (hint or "") in got.partition(" | ")[2], got


def test_the_samples_are_valid() -> None:
    """What the tables below break is whole."""
    assert not shown("gates", GATE)
    assert not shown("contract", CONTRACT)
    assert not shown("build", '[files.a]\nsrcs = ["x"]\n')


GATES_FAULTS = {
    "missing fields": ('[gates."cpu:a"]\n', ["1:2 gates.cpu:a.tier is missing", "1:2 gates.cpu:a.timeout_s is missing"]),
    "missing command": (GATE.replace("cmd", "# cmd"), ["1:2 cpu:a: cmd is missing"]),
    "unknown key": (GATE + "gpsu = 1\n", ["5:1 unknown key gates.cpu:a.gpsu | did you mean gpus?"]),
    "unknown table": (GATE + '[gate."cpu:b"]\n', ["5:2 unknown key gate | did you mean gates?"]),
    "wrong types": (
        GATE.replace("= 1", '= "1"').replace('"true"', "3") + "gpus = -1\nretries = true\n",
        ["3:13 timeout_s: input should be a valid integer", "4:7 cmd must be text", "5:8 gpus", "6:11 retries"],
    ),
    "names and fields together": (
        '[gates.nospace]\ntier = "a"\n[gates."cpu:ü"]\ntier = "c"\n',
        [
            "1:2 gates.nospace.timeout_s is missing",
            "1:2 invalid gate id 'nospace': it has no namespace | namespace:name",
            "3:2 gates.cpu:ü.timeout_s is missing",
            "3:2 invalid gate id 'cpu:ü' | ASCII",
            "4:8 tier",
        ],
    ),
    "a dot for a name": (GATE.replace("cpu:a", "cpu:.."), ["1:2 invalid gate id 'cpu:..'"]),
    "case": (GATE + GATE.replace("cpu:a", "cpu:A"), ["5:2 cpu:A and cpu:a differ by case only | rename"]),
    "infer with nothing declared": (GATE + "infer = false\n", ["5:9 infer = false, and nothing is declared | declare inputs"]),
    "infer with inputs": (GATE + 'infer = false\ninputs = ["nmoe/**"]\n', []),
    "no time": (GATE.replace("= 1", "= 0"), ["3:13 timeout_s must be at least 1 second"]),
    "paths": (
        GATE + 'requires_files = ["/etc/x", "../y", "a//b", ".git/x", "C:x", "a\\\\b"]\n',
        [
            "5:19 /etc/x is absolute | relative",
            "5:29 ../y leads outside | inside",
            "5:37 a//b has an empty or . segment",
            "5:45 .git",
            "5:55 C:x is absolute",
            "5:62 backslash | /",
        ],
    ),
    "deps": (GATE + 'deps = ["nope"]\n', ["5:9 nope is no label | //package:name"]),
    "requires": (
        GATE + 'requires = ["A B", "HF_TOKEN"]\n',
        ["5:12 asks for a credential, HF_TOKEN | must never see", "5:12 'A B', which is no variable name"],
    ),
    "environment": (GATE + 'env = { PATH = "x" }\n', ["5:7 PATH is set by the sandbox"]),
    "evidence": (
        GATE + 'expects = { a = 1, b = ["x"], c = 1979-05-27 }\n',
        [
            "5:13 unknown key gates.cpu:a.expects.a | known here: finite, log, metrics, samples, warmup",
            "5:20 unknown",
            "5:31 unknown",
        ],
    ),
    "evidence without a source": (
        GATE + "expects = { samples = { a = 1 } }\n",
        ["5:11 names no source of samples | metrics.jsonl"],
    ),
    "evidence with two sources": (
        GATE + 'expects = { metrics = "m.jsonl", log = "a {b}" }\n',
        ["5:11 two sources of samples | keep one"],
    ),
    "evidence that no pattern finds": (
        GATE + 'expects = { log = ["a {bcd}", "x {bcd}"], samples = { bce = 1 }, finite = "z" }\n',
        ["5:11 no pattern in log holds {bce} | bcd", "5:11 no pattern in log holds {z}", "5:11 two patterns in log hold {bcd}"],
    ),
    "evidence that is none": (
        GATE + 'expects = { log = "{a}", samples = { a = 0 }, finite = ["a b"], warmup = -1 }\n',
        ["5:13 no words around the number", "5:26 greater than or equal to 1", "5:47 finite", "5:65 warmup"],
    ),
    "evidence outside": (GATE + 'expects = { metrics = "../m.jsonl" }\n', ["5:13 no path below | ${NAME}/metrics.jsonl"]),
    "evidence below a variable that a run does not see": (
        GATE + 'expects = { metrics = "${RUNS}/m.jsonl" }\n',
        ["5:11 RUNS is no folder that the run may write | write = true"],
    ),
    "evidence of a perf gate": (
        PERF + 'compare_gate = "cpu:a"\nmetric = "x"\nexpects = { log = "x {x}" }\n' + GATE,
        ["7:11 a perf gate runs nothing | compare_gate"],
    ),
    "command text": (
        GATE.replace('"true"', '"a\\u001b[0m ${{ x }}"'),
        ["4:7 Actions expression", "4:7 control character U+001B | delete it"],
    ),
    "meta": ('[meta]\nversion = "2"\ntarget = "x1"\n' + GATE, ["2:11 meta.version", "3:10 meta.target"]),
    "perf without its fields": (PERF, ["1:2 a perf gate needs compare_gate", "1:2 a perf gate needs metric"]),
    "perf of an unknown gate": (
        GATE + PERF + 'metric = "tps"\ncompare_gate = "cpu:b"\n',
        ["10:16 there is no gate cpu:b to compare | did you mean cpu:a?"],
    ),
    "perf of itself": (
        PERF + 'metric = "tps"\ncompare_gate = "cpu:p"\ncmd = "x"\n',
        ["6:16 runs nothing", "7:7 cmd has no meaning"],
    ),
    "bundles": (
        GATE + '[bundles]\nx = ["cpu:b", "cpu:a", "cpu:a"]\ny = []\n',
        ["6:6 names cpu:b, which is unknown | did you mean cpu:a?", "6:24 names cpu:a twice | keep one", "7:5 bundle y is empty"],
    ),
    "bundles in a ring": (GATE + '[bundles]\nx = ["y"]\ny = ["x"]\n', ["6:5 in a cycle: x -> y -> x | take one out"]),
    "a key twice": (GATE + 'cmd = "x"\n', ["5:10 invalid TOML | declared twice"]),
    "a table twice": (GATE + GATE, ["5:15 invalid TOML | declared twice"]),
    "syntax": ("[gates\n", ["1:7 invalid TOML"]),
    "an inline table over lines": ("a = {\n b = 1 }\n", ["1:5 inline table a runs over more than one line | [table.a]"]),
    "the same inside a string": (GATE.replace('"true"', '"""\nx = {\n1: 2}\n"""') + "gpus = 99\n", ["8:8 gpus"]),
    "not UTF-8": (b'# \n a = "\xff"\n', ["2:7 not UTF-8 | UTF-8"]),
    "a hidden character": ('a = "\u202e"\n', ["1:6 invalid character U+202E | delete it"]),
    "a NUL": ("a = 1\n\0", ["2:1 invalid character U+0000"]),
    "too large": (b"#" * (2 * 1024 * 1024 + 1), ["0:0 too large"]),
    "arrays too deep": ("x = " + "[" * 100 + "]" * 100, ["1:69 nested too deep"]),
    "dots too deep": ("a." * 40 + "b = 1\n", ["1:1 dotted key is nested too deep"]),
    "very many dots": ("a." * 20_000 + "b = 1\n", ["1:1 too deep or too long"]),
}


@pytest.mark.parametrize("case", GATES_FAULTS)
def test_faults_of_gates(case: str) -> None:
    """Every fault of a gates.toml, in the order of the file."""
    check("gates", *GATES_FAULTS[case])


BUILD_FAULTS = {
    "unknown kind": ('[file.a]\nsrcs = ["x"]\n', ["1:2 unknown key file | did you mean files?"]),
    "unknown dependency": (
        '[files.a]\nsrcs = ["x"]\ndeps = [":bb"]\n[files.b]\nsrcs = ["x"]\n',
        ["3:9 //:a needs :bb | did you mean :b?"],
    ),
    "one name for two kinds": (
        '[python.b]\nmodule = "x"\n[files.b]\nsrcs = ["x"]\n',
        ["1:2 b is declared twice | the first is [files.b]"],
    ),
    "case": ('[files.a]\nsrcs = ["x"]\n[files.A]\nsrcs = ["x"]\n', ["3:2 A and a differ by case only"]),
    "name": ('[files."a b"]\nsrcs = ["x"]\n', ["1:2 invalid target name 'a b' | ASCII"]),
    "a ring and a loop": (
        '[files.a]\nsrcs = ["x"]\ndeps = [":b"]\n[files.b]\nsrcs = ["x"]\ndeps = [":a"]\n[files.c]\nsrcs = ["x"]\ndeps = [":c"]\n',
        ["3:8 in a cycle: :a -> :b -> :a | take one edge out", "9:8 in a cycle: :c -> :c"],
    ),
    "workspace": (
        '[workspace]\nname = "a b"\nbase = "-x"\ngates = "/x"\n',
        ["2:8 workspace.name", "3:8 is no ref | origin/master", "4:9 /x is absolute"],
    ),
    "an action without outputs": ('[action.a]\ncmd = "x"\nouts = []\n', ["3:8 action.a.outs"]),
    "a module that is none": ('[python.a]\nmodule = "x-y"\n', ["2:10 python.a.module"]),
}


@pytest.mark.parametrize("case", BUILD_FAULTS)
def test_faults_of_build_files(case: str) -> None:
    """Every fault of a BUILD.toml, in the order of the file."""
    check("build", *BUILD_FAULTS[case])


CONTRACT_FAULTS = {
    "unknown gate": (CONTRACT.replace("cpu:a", "cpu:b"), ["11:14 unknown gate cpu:b | did you mean cpu:a?"]),
    "unknown gate, nothing near": (CONTRACT.replace("cpu:a", "zebra"), ["11:14 unknown gate zebra | gates.toml"]),
    "keys and values": (
        CONTRACT.replace("slug", "slgu").replace("cold", "lukewarm"),
        ["2:3 nmoe.slug is missing", "3:3 unknown key nmoe.slgu | did you mean slug?", "5:9 nmoe.risk"],
    ),
    "itself": (CONTRACT.replace("[]", "[01]"), ["7:15 01 depends on itself, a cycle of one | take it out"]),
    "a word for a list": (CONTRACT.replace("[]", "every"), ["7:15 a list of issue ids, or the word all"]),
    "an id twice": (CONTRACT.replace("[]", "[02, 02]"), ["7:15 duplicate: 02 stands twice | keep one"]),
    "ids that are none": (CONTRACT.replace("[]", "[02, x, {a: b}]"), ["7:20 x is no issue id", "7:23 must be text"]),
    "an id that is none": (CONTRACT.replace(": 01", ": 0x1"), ["2:10 0x1 is no issue id | 03a"]),
    "a duplicate key": (CONTRACT.replace("  kind", "  slug: b\n  kind"), ["4:3 duplicate key slug | silently win"]),
    "a duplicate key at the top": (CONTRACT + "gates: {}\n", ["12:1 duplicate key gates"]),
    "allowed and denied": (
        CONTRACT.replace("gates:", "  deny: [nmoe/**]\ngates:", 1),
        ["10:10 nmoe/** is both allowed and denied"],
    ),
    "patterns": (
        CONTRACT.replace("[nmoe/**]", '["a{b}", "[x]", "a**/b", "/x", "ü"]'),
        ["9:11 braces", "9:19 brackets", "9:26 ** must be a whole segment", "9:35 absolute", "9:41 ASCII"],
    ),
    "a space after the colon": (CONTRACT.replace("cpu:a", "{cpu: a}"), ["11:14 not a mapping | a space after the colon"]),
    "no gate": (CONTRACT.replace("[cpu:a]", "[]"), ["11:13 gates.required must not be empty"]),
    "a tab": ("nmoe:\n\tissue: 01\n", ["2:1 not valid YAML | indent with spaces"]),
    "a tab behind blanks": ("nmoe:\n  issue: 01\n  \tslug: a\n", ["3:3 not valid YAML | indent with spaces"]),
    "nothing where something is due": (
        "nmoe:\nscope:\ngates:\n",
        ["1:6 nmoe must be a mapping", "2:7 scope must be a mapping", "3:7 gates must be a mapping"],
    ),
    "an anchor": ("nmoe: &a\n  issue: 1\n", ["1:7 YAML anchor | quotes"]),
    "an alias": ("nmoe: *a\n", ["1:7 YAML alias | quotes"]),
    "a glob that looks like an alias": (CONTRACT.replace("nmoe/**", "**/x"), ["9:12 | quotes"]),
    "a tag": ("nmoe: !!python/object:os.system x\n", ["1:7 YAML tag on nmoe | as text"]),
    "a merge key": ("nmoe:\n  <<: *a\n", ["2:7 YAML alias"]),
    "a directive": ("%YAML 1.1\n---\na: 1\n", ["1:1 YAML directive"]),
    "two documents": (CONTRACT + "---\na: 1\n", ["12:1 second document | keep one"]),
    "a key that is a list": ("? [a]\n: b\n", ["1:3 key must be text"]),
    "an empty file": ("", ["1:1 empty"]),
    "comments alone": ("# x\n", ["1:1 empty"]),
    "a list": ("- a\n", ["1:1 a contract is a mapping"]),
    "a word": ("x\n", ["1:1 a contract is a mapping"]),
    "too deep": ("a: " + "[" * 40 + "]" * 40, ["1:35 nested too deep"]),
    "much too deep": ("[" * 5000, ["1:129 brackets are nested too deep"]),
    "deep by indentation": ("".join(" " * n + "a:\n" for n in range(60)), ["33:33 nested too deep"]),
    "too many entries": ("a: [" + "1," * 20_001 + "]", ["1:39999 too many entries"]),
    "a long text": ("a: " + "x" * 5000, ["1:4 a is too long"]),
    "too large": ("#" * (256 * 1024 + 1), ["0:0 too large"]),
    "an inside path, in a comment": ("# see /home/" + "someone/x\n" + CONTRACT, ["1:1 not public-safe: an internal path"]),
}


@pytest.mark.parametrize("case", CONTRACT_FAULTS)
def test_faults_of_contracts(case: str) -> None:
    """Every fault of a contract, in the order of the file."""
    check("contract", *CONTRACT_FAULTS[case])


@pytest.mark.parametrize("issue", ["1", "01", "08", "010", "10", "03a", '"09"', "'1_0'", "1e3", "0o7", "yes"])
def test_ids_are_text_as_written(issue: str) -> None:
    """No id becomes a number: each comes out in the spelling it came in, or is refused."""
    text = CONTRACT.replace("issue: 01", f"issue: {issue}")
    written = issue.strip("\"'")
    if re.fullmatch(r"[0-9]+[a-z]?", written):
        assert lint_bytes("contract", text.encode(), "f")["nmoe"]["issue"] == written
    else:
        assert "is no issue id" in shown("contract", text)[0]


def test_yaml_scalars_keep_their_spelling() -> None:
    """Octal, sexagesimal, booleans and dates of YAML 1.1 stay text; quotes are remembered; null is nothing."""
    data = read_yaml("a: 010\nb: 1:30\nc: no\nd: 2001-01-01\ne: 'x'\nf: ~\ng: 1_000\nh: ''\n", "f").data
    assert data == {"a": "010", "b": "1:30", "c": "no", "d": "2001-01-01", "e": "x", "f": None, "g": "1_000", "h": ""}
    assert isinstance(data["e"], Quoted)
    assert not isinstance(data["a"], Quoted)


@pytest.mark.parametrize(
    ("written", "meant"), [("-10", -10), ("2.5", 2.5), ("+.5", 0.5), ("1e3", None), (".nan", None), ("010", 10), ('"1"', None)]
)
def test_numbers_are_plain_decimals(written: str, meant: float | None) -> None:
    """budget_pct takes YAML 1.2's plain decimals and nothing else."""
    budget = f"  perf: {{gate: perf:x, metric: tps, baseline_ref: origin/main, budget_pct: {written}}}\n"
    try:
        found = lint_bytes("contract", (CONTRACT + budget).encode(), "f")["gates"]["perf"]["budget_pct"]
    except DeclarationError as error:
        assert meant is None
        assert "number" in error.faults[0].what
    else:
        assert found == meant


def test_line_ends_and_a_byte_order_mark_do_not_count() -> None:
    """A file from another system means what it says, at the same places."""
    for kind, text in (("gates", GATE), ("contract", CONTRACT)):
        other = b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()
        assert lint_bytes(kind, other, "f") == lint_bytes(kind, text.encode(), "f")
    assert shown("gates", (GATE + "gpus = 99\n").replace("\n", "\r\n")) == shown("gates", GATE + "gpus = 99\n")


def test_the_line_of_a_secret_is_not_shown_as_source() -> None:
    """A fault on a line that must not be public carries no source text."""
    secret = "hf_" + "a1B2" * 8
    found = faults("contract", CONTRACT.replace("slug: work", f"slgu: {secret}"))
    assert len(found) >= 3
    assert all(secret not in fault.what + fault.hint + fault.source for fault in found)


# -- a whole workspace ---------------------------------------------------------------------------------------------------------


def said(scratch: Scratch) -> list[str]:
    return [
        f"{fault.at}: {fault.what} | {fault.hint}" for fault in Workspace.open(scratch.root).lint().faults if fault.level == "error"
    ]


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("configs/gates/gates.toml", "configs/gates/gats.toml", "configs/gates/gats.toml does not exist"),
        ("configs/contracts/*.yaml", "configs/contracts/x.yaml", "configs/contracts/x.yaml does not exist"),
    ],
)
def test_a_file_that_the_workspace_names_and_has_not_is_shown_where_it_is_named(
    scratch: Scratch, old: str, new: str, what: str
) -> None:
    """The line of the key, and not that of the table."""
    scratch.replace("BUILD.toml", old, new)
    lines = scratch.read("BUILD.toml").split("\n")
    number = next(number for number, line in enumerate(lines, 1) if new in line)
    (first,) = said(scratch)
    assert first.startswith(f"BUILD.toml:{number}:{lines[number - 1].index('= ') + 3}: {what}")


def test_a_missing_required_file_names_its_line_and_all_its_gates(scratch: Scratch) -> None:
    """One fault a file, at the first place that asks for it, with every gate that does."""
    text = scratch.read("configs/gates/gates.toml").replace('["configs/tiny.toml"]', '["configs/gone.toml"]')
    line = next(number for number, text_line in enumerate(text.split("\n"), 1) if "gone" in text_line)
    more = text.replace(
        "[bundles]",
        '[gates."cpu:last"]\ntier = "a"\ntimeout_s = 1\ncmd = "true"\nrequires_files = ["configs/gone.toml"]\n[bundles]',
    )
    scratch.write("configs/gates/gates.toml", more)
    assert said(scratch) == [
        f"configs/gates/gates.toml:{line}:18: configs/gone.toml does not exist and is required by b200:train, cpu:last"
        " | add the file, or take b200:train, cpu:last out"
    ]


def test_contracts_in_a_cycle(scratch: Scratch) -> None:
    """A cycle is one fault that shows its way round, at the first contract's depends_on."""
    for issue, depends in (("01", "[03]"), ("02", "[01]"), ("03", "[02]")):
        scratch.contract(issue, depends=depends)
    assert said(scratch) == [
        "configs/contracts/01-work.yaml:7:15: contracts wait for each other: 01 -> 03 -> 02 -> 01 | take one edge out"
    ]


def test_two_contracts_cannot_both_land_last(scratch: Scratch) -> None:
    """Each contract that says `depends_on: all` gets its fault."""
    scratch.contract("01", depends="all")
    scratch.contract("02", depends="all")
    assert [line.partition(" | ")[0] for line in said(scratch)] == [
        f"configs/contracts/{issue}-work.yaml:7:15: only one contract can land last, and 01, 02 all say depends_on: all"
        for issue in ("01", "02")
    ]


def test_unknown_contracts_are_named_with_the_nearest_id(scratch: Scratch) -> None:
    """depends_on of an id that no contract has."""
    scratch.contract("08", depends="[8]")
    scratch.contract("010")
    [one] = said(scratch)
    assert one.startswith("configs/contracts/08-work.yaml:7:15: contract 08 depends on 8, which is no contract here | ")


def test_ids_that_look_alike_are_three_contracts(scratch: Scratch) -> None:
    """1, 01 and 010 live side by side."""
    for issue in ("1", "01", "010", "8"):
        scratch.contract(issue)
    graph = Workspace.open(scratch.root).analysis().graph
    assert [contract.issue for contract in graph.contracts()] == ["01", "010", "1", "8"]


def test_a_contract_declared_twice(scratch: Scratch) -> None:
    """The second file is told where the first is."""
    scratch.contract("01", "one")
    scratch.contract("01", "two")
    assert said(scratch) == [
        "configs/contracts/01-two.yaml:2:10: //contracts:01 is declared twice | the first is at configs/contracts/01-one.yaml:2:10"
    ]


def test_faults_of_all_files_come_at_once(scratch: Scratch) -> None:
    """A broken package does not hide a broken contract, nor that a broken gate."""
    scratch.write("docs/BUILD.toml", "[file.x]\n")
    scratch.replace("configs/gates/gates.toml", 'tier = "b"', 'tire = "b"')
    scratch.write("configs/contracts/01-x.yaml", "nmoe: *x\n")
    assert [line.partition(":")[0] for line in said(scratch)] == [
        "configs/contracts/01-x.yaml",
        "configs/gates/gates.toml",
        "configs/gates/gates.toml",
        "docs/BUILD.toml",
    ]


def test_folders_cannot_take_the_place_of_gates(scratch: Scratch) -> None:
    """gates/, contracts/ and merges/ are packages of their own kind."""
    for name in ("gates", "contracts", "merges"):
        scratch.write(f"{name}/BUILD.toml", '[files.a]\nsrcs = ["x"]\n')
    assert [line.partition(" | ")[2] for line in said(scratch)] == ["move the folder"] * 3


def test_dependencies_across_packages_are_closed(scratch: Scratch) -> None:
    """An unknown label in another package is a fault at its deps, with the nearest name."""
    scratch.write("docs/BUILD.toml", '[files.notes]\nsrcs = ["a.txt"]\n')
    scratch.write("nmoe/BUILD.toml", '[files.a]\nsrcs = ["a.py"]\ndeps = ["//docs:note"]\n')
    [one] = said(scratch)
    assert one.startswith("nmoe/BUILD.toml:")
    assert "//nmoe:a needs //docs:note, and there is no such target | did you mean //docs:notes?" in one
