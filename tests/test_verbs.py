"""The verbs: their documents, their exit codes, and what they say when they cannot answer."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import Scratch

from nmoe_graph import Workspace
from nmoe_graph.cli import main
from nmoe_graph.cli.parser import VERBS
from nmoe_graph.graph.graph import Graph
from nmoe_graph.label import Label
from nmoe_graph.model import Files, WorkspaceDecl
from nmoe_graph.report.console import show
from nmoe_graph.report.drawing import dot, mermaid

BIDI = "\u202e"
SHOUT = """
[gates."cpu:shout"]
tier = "a"
timeout_s = 30
cmd = "printf '\\\\033[31mred\\\\n::error::mine\\\\n'; exit 1"
"""


class Asked:
    """A repository with some history and proofs, and the command line on it."""

    def __init__(self, folder: Path) -> None:
        self.s = s = Scratch(folder)
        s.write("configs/gates/gates.toml", s.read("configs/gates/gates.toml") + SHOUT)
        s.contract("01")
        s.contract("02", depends="[01]")
        self.first = s.commit("contracts")
        s.git("branch", "start")
        Workspace.open(s.root).build(["cpu:import", "cpu:grep"])
        s.replace("nmoe/a.py", "X = 1", "X = 2")
        self.second = s.commit("an edit")
        Workspace.open(s.root).build("cpu:shout")


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Asked:
    return Asked(tmp_path_factory.mktemp("asked"))


@pytest.fixture
def run(asked: Asked, capsys: pytest.CaptureFixture[str]) -> Any:
    """A command line in the shared repository (or elsewhere): exit code, stdout, stderr."""

    def call(*args: str, where: Path | None = None) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([*args, "-C", str(where or asked.s.root)])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return call


@pytest.fixture
def doc(run: Any) -> Any:
    def call(*args: str, code: int = 0, where: Path | None = None) -> Any:
        got, out, err = run(*args, "--format", "json", where=where)
        assert got == code, err
        return json.loads(out)

    return call


# -- documents -------------------------------------------------------------------------------------------------------------------

RESULT = {
    "label", "verdict", "reason", "action_key", "commit", "tree", "exit_code", "signal", "started", "duration_s", "attempts",
    "sandbox", "fingerprint", "log", "metrics",
}  # fmt: skip
TABLE = str(Path(__file__).with_name("affected.table"))
DOCUMENTS = {
    "build": (["build", "cpu:grep"], {"gates", "verdict", "trusted", "control_plane"}),
    "affected": (["affected", "--since", "start"], {"since", "base", "at", "commit", "targets", "control_plane", "warnings"}),
    "why": (
        ["why", "cpu:import"],
        {
            "label", "kind", "action_key", "since", "affected", "reasons", "proven", "proof", "failures", "nearest", "missing",
            "inputs", "notes",
        },
    ),
    "plan": (
        ["plan-merges", "--base", "HEAD"],
        {"base", "base_ref", "base_tree", "steps", "batches", "totals", "hand_backs", "notes"},
    ),
    "merge": (["merge", "--dry-run", "--base", "main"], {"base_ref", "base", "dry_run", "contracts", "notes"}),
    "graph": (["graph"], {"workspace", "targets"}),
    "query": (["query", "//gates:all"], {"targets"}),
    "results": (["results"], {"of", "results", "reused"}),
    "results-gc": (["results", "gc", "--max-age", "999w"], {"removed", "blobs", "freed", "left", "in_use", "unlocked", "refused"}),
    "results-verify": (["results", "verify"], {"results", "blobs", "bytes", "damaged", "incomplete"}),
    "lint-log": (["lint", "log", TABLE], {"bytes", "text", "markdown", "metrics", "refused"}),
    "safe": (["safe", TABLE], {"count", "findings", "binary"}),
    "log": (["log", "cpu:shout"], {"result", "text"}),
    "audit": (["audit", "cpu:grep", "--budget", "1"], {"seed", "gates", "findings"}),
    "lint": (["lint"], {"targets", "faults"}),
    "attest": (["attest", "01", "--base", "start"], {"contract", "commit", "written", "text", "unproven", "notes"}),
    "verify": (["verify", __file__, "--base", "start"], {"file", "form", "counts", "commit", "proven", "lines"}),
}  # fmt: skip
#: What these two are asked above is not proven.
EXITS = {"attest": 1, "verify": 1}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_document_has_its_schema_and_its_keys(doc: Any, name: str) -> None:
    """Every verb's JSON names its schema, and has exactly the documented keys beside it."""
    args, keys = DOCUMENTS[name]
    found = doc(*args, code=EXITS.get(name, 0))
    assert found.pop("schema") == f"nmoe-graph/{name}@1"
    assert found.keys() == keys


def test_every_verb_has_a_document() -> None:
    """No verb is left out of the table above, but the one whose output is a format of others, and those that talk to GitHub."""
    assert {args[0] for args, _ in DOCUMENTS.values()} == set(VERBS) - {"sign", "contract", "pr", "tier-b"}


def test_rows_inside_documents_have_their_keys(doc: Any) -> None:
    """Gates, affected targets, reasons, results, faults: the rows of the documents are of one form each."""
    gate = doc("build", "cpu:grep")["gates"][0]
    assert gate.keys() == {
        "label", "verdict", "cached", "proven", "reason", "action_key", "commit", "duration_s", "started", "attempts", "sandbox",
        "log",
    }  # fmt: skip
    target = doc("affected", "--since", "start")["targets"][0]
    assert target.keys() == {"label", "kind", "exists", "proven", "digest", "reasons"}
    assert target["reasons"][0].keys() == {"cause", "subject", "via", "why", "before", "after", "text"}
    assert all(one.keys() == RESULT for one in doc("results")["results"])
    assert doc("graph")["targets"][0].keys() == {"label", "kind", "deps"}
    assert doc("query", "//nope:x", code=2)["faults"][0].keys() == {"level", "message", "at", "hint"}


def test_error_is_a_document_too(doc: Any, run: Any) -> None:
    """A program that asked for JSON gets the error as JSON; a person reads the same on stderr."""
    found = doc("query", "//nope:x", code=2)
    assert found["schema"] == "nmoe-graph/error@1" and found["exit_code"] == 2
    assert found["faults"][0]["message"] == "there is no target //nope:x"
    assert "there is no target //nope:x" in run("query", "//nope:x")[2]


# -- labels and drawings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("args", [["affected", "--since", "start", "--kind", "all"], ["graph"], ["query", "//..."]])
def test_label_output_is_sorted_one_a_line(run: Any, args: list[str]) -> None:
    """`--format label` prints whole labels, sorted, nothing else, so that it can be piped."""
    code, out, _ = run(*args, "--format", "label")
    lines = out.splitlines()
    assert code == 0 and len(lines) > 3 and lines == sorted(set(lines))
    assert all(line.startswith("//") and " " not in line for line in lines)


def test_label_output_of_nothing_is_empty(run: Any) -> None:
    """Nothing affected: no line, exit 0."""
    assert run("affected", "--since", "HEAD", "--format", "label") == (0, "", "")


def test_drawings_hold_every_target_and_edge(run: Any) -> None:
    """DOT and Mermaid show the chosen targets and, in the order of declaration, what they need."""
    _, text, _ = run("graph", "//gates:tier_a", "--format", "dot")
    assert text.startswith('digraph "nmoe" {') and '"//gates:tier_a" -> "cpu:import";' in text and text.endswith("}\n")
    _, text, _ = run("graph", "//gates:tier_a", "--format", "mermaid")
    assert text.splitlines() == [
        "flowchart LR",
        '  n0["//gates:tier_a"]',
        '  n1["cpu:compileall"]',
        '  n2["cpu:import"]',
        "  n0 --> n2",
        "  n0 --> n1",
    ]


def test_drawings_quote_hostile_names() -> None:
    """A name cannot end its own quotation, neither in DOT nor in Mermaid."""
    label = Label("p", 'a"]; <b>&\\')
    graph = Graph(WorkspaceDecl('w" {'), {label: Files(label, ("*",))})
    text = dot(graph, [label])
    assert 'digraph "w\\" {" {' in text and '"//p:a\\"]; <b>&\\\\" [shape=folder]' in text
    assert '["//p:a&quot;]; &lt;b&gt;&amp;\\"]' in mermaid(graph, [label])


# -- query -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["deps", "//contracts:01"], ["//gates/cpu:import"]),
        (["deps", "//merges:02"], ["//contracts:01", "//contracts:02", "//gates/cpu:import", "//merges:01"]),
        (["deps", "//merges:02", "--direct"], ["//contracts:02", "//merges:01"]),
        (["rdeps", "cpu:compileall"], ["//gates:tier_a"]),
        (["rdeps", "cpu:import", "--kind", "merge"], ["//merges:01", "//merges:02"]),
        (["rdeps", "cpu:import", "--direct"], ["//contracts:01", "//contracts:02", "//gates:tier_a"]),
        (["//gates/...", "--kind", "bundle"], ["//gates:hot", "//gates:tier_a"]),
        (["//contracts:all"], ["//contracts:01", "//contracts:02"]),
    ],
)
def test_query(run: Any, words: list[str], expected: list[str]) -> None:
    """What targets need, who needs them, one step or all, of some kinds only."""
    code, out, _ = run("query", *words, "--format", "label")
    assert (code, out.split()) == (0, expected)


# -- why -------------------------------------------------------------------------------------------------------------------------


def test_why_since_names_the_changed_input_and_the_way_to_it(doc: Any, run: Any) -> None:
    """The edit of nmoe/a.py reaches cpu:import through the import in nmoe/__init__.py, and `why` says so."""
    found = doc("why", "cpu:import", "--since", "start")
    (reason,) = found["reasons"]
    assert (found["affected"], found["since"], reason["cause"], reason["subject"]) == (True, "start", "input_changed", "nmoe/a.py")
    assert "nmoe/__init__.py" in " ".join(reason["via"]) + reason["why"]
    text = run("why", "cpu:import", "--since", "start")[1]
    assert "affected since start" in text and "an input changed: nmoe/a.py" in text
    assert doc("why", "cpu:grep", "--since", "start")["affected"] is False
    assert "not affected since start" in run("why", "cpu:grep", "--since", "start")[1]


def test_why_names_the_nearest_proof_and_what_differs_since(doc: Any, run: Any, asked: Asked) -> None:
    """cpu:import was proven before the edit: the proof, its commit, and the one input that is different now."""
    found = doc("why", "cpu:import")
    assert (found["proven"], found["affected"], found["nearest"]["commit"]) == (False, None, asked.first)
    assert [(one["cause"], one["subject"]) for one in found["missing"]] == [("input_changed", "nmoe/a.py")]
    text = run("why", "cpu:import")[1]
    assert f"the last proof was at {asked.first[:12]}" in text and "an input changed: nmoe/a.py" in text


def test_why_of_a_proven_a_failed_and_a_new_gate(doc: Any, run: Any) -> None:
    """Proven elsewhere under the same key, failed under this key, never run: three different answers."""
    assert doc("why", "cpu:grep")["proof"]["verdict"] == "passed"
    assert doc("why", "cpu:shout")["failures"][0]["verdict"] == "failed"
    assert "ran under this key and failed" in run("why", "cpu:shout")[1]
    found = doc("why", "cpu:compileall")
    assert (found["proven"], found["nearest"], found["failures"]) == (False, None, [])
    assert "it has never run with these inputs" in run("why", "cpu:compileall")[1]


# -- results ---------------------------------------------------------------------------------------------------------------------


def test_why_of_what_is_made_of_gates_says_which_are_proven(run: Any, scratch: Scratch) -> None:
    """A contract or a bundle is proven by its gates, so they are named; a perf gate by itself is judged by nothing."""
    code, out, _ = run("why", "//contracts:01")
    assert code == 0 and out.splitlines()[0].startswith("//contracts:01  contract  ")
    assert "note: not proven: cpu:import" in out
    assert "note: not proven: cpu:compileall" in run("why", "//gates:tier_a")[1]
    perf = '\n[gates."perf:x"]\ntier = "a"\nkind = "perf"\ntimeout_s = 0\ncompare_gate = "cpu:import"\nmetric = "tps"\n'
    scratch.write("configs/gates/gates.toml", scratch.read("configs/gates/gates.toml").replace("\n[bundles]", perf + "\n[bundles]"))
    code, out, _ = run("why", "perf:x", where=scratch.root)
    assert code == 0 and out.endswith(
        "note: a perf gate is judged for a contract that has a budget: nmoe-graph build //contracts:ID\n"
    )
    assert "not proven" not in out and "inputs" not in out


def test_results_by_label_commit_and_prefix(doc: Any, asked: Asked) -> None:
    """A gate's runs; a commit's runs, by its whole name, a prefix or a ref; and proofs of equal keys from elsewhere."""
    assert [one["label"] for one in doc("results", "cpu:import")["results"]] == ["//gates/cpu:import"]
    whole = doc("results", asked.first)
    assert {one["label"] for one in whole["results"]} == {"//gates/cpu:grep", "//gates/cpu:import"}
    assert doc("results", asked.first[:9]) == doc("results", "start") == whole
    later = doc("results", asked.second)
    assert [one["label"] for one in later["results"]] == ["//gates/cpu:shout"]
    assert [one["label"] for one in later["reused"]] == ["//gates/cpu:grep"]


# -- exit codes ------------------------------------------------------------------------------------------------------------------


def test_question_exits_0_once_answered(run: Any) -> None:
    """Whatever the answer: affected, not proven, conflicting."""
    for args in (["affected", "--since", "start"], ["why", "cpu:shout"], ["plan-merges", "--base", "HEAD"], ["query", "//..."]):
        assert run(*args)[0] == 0, args


def test_build_exits_1_where_something_is_not_proven(run: Any) -> None:
    """A failed gate is not proven; the hint names the verb that shows its log."""
    code, out, err = run("build", "cpu:shout")
    assert code == 1 and "0 of 1 proven" in out and "hint: nmoe-graph log cpu:shout" in err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["biuld", "x"], "did you mean build?"),
        (["query"], "required: deps|rdeps LABEL"),
        (["affected", "--sinse", "HEAD"], "unrecognized arguments: --sinse"),
        (["affected", "--sinse", "HEAD"], "nmoe-graph affected --help lists what it takes"),
        (["contract", "check", "--all"], "nmoe-graph contract check --help lists what it takes"),
        (["build", "//gates:full", "-b200:x"], "what is taken out stands behind --, as in //gates:full -- -b200:profile"),
        (["affected", "--since", "no-such-ref"], "no-such-ref names no commit here"),
        (["affected", "--since", "-x"], "expected one argument"),
        (["affected", "--since=--all"], "is no ref"),
        (["affected", "--since", "HEAD", "--kind", "gates"], "there is no kind gates"),
        (["affected"], "none of the base refs exists here"),
        (["why", "cpu:imprt"], "did you mean"),
        (["why", "import"], "is no label"),
        (["query", "deps"], "query deps needs a label"),
        (["query", "//nmoe/..."], "no target matches"),
        (["results", "zzzz"], "neither a label nor a commit"),
        (["build", "//gates:tier_b"], "there is no target //gates:tier_b"),
        (["build", "cpu:grep", "--jobs", "0"], "is no number"),
        (["lint", "gates"], "needs a FILE"),
        (["lint", "gates", "/nowhere/gates.toml"], "/nowhere/gates.toml cannot be read: No such file or directory"),
        (["lint", "contract", "/"], "/ cannot be read: Is a directory"),
    ],
)
def test_wrong_question_is_one_clear_line_and_exit_2(run: Any, args: list[str], words: str) -> None:
    """Unknown verbs, flags, labels, refs and kinds: exit 2, nothing on stdout, the reason on stderr."""
    code, out, err = run(*args)
    assert (code, out) == (2, ""), err
    assert words in err and sum("error: " in line for line in err.splitlines()) == 1, err


def test_failing_log_of_a_gate_that_never_ran(run: Any) -> None:
    """No log is stored: exit 1 and one line."""
    assert run("log", "cpu:compileall") == (1, "", "no log of cpu:compileall is stored; it has not run here\n")


# -- where it runs ---------------------------------------------------------------------------------------------------------------


def test_outside_of_git_and_in_a_bare_repository(run: Any, asked: Asked, tmp_path: Path) -> None:
    """Neither has a checkout: exit 2 and what to do."""
    asked.s.git("clone", "-q", "--bare", ".", str(tmp_path / "bare"))
    (tmp_path / "none").mkdir()
    for name in ("bare", "none"):
        code, _, err = run("graph", where=tmp_path / name)
        assert code == 2 and "is in no git checkout" in err and "hint: git init, or give a folder with -C" in err
    code, _, err = run("graph", where=tmp_path / "nowhere")
    assert code == 2 and "is no folder" in err


def test_no_build_file(run: Any, tmp_path: Path) -> None:
    """A repository without BUILD.toml is no workspace, and the error names the file that is due."""
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    code, out, err = run("graph", where=tmp_path)
    assert (code, out) == (2, "") and "BUILD.toml" in err


def test_unreadable_gates_are_the_only_fault(scratch: Scratch, run: Any) -> None:
    """Contracts whose gates cannot be read are not blamed too: one error, at its place in the gates' file."""
    scratch.contract("01")
    scratch.replace("configs/gates/gates.toml", "timeout_s = 60", "timeout_s = sixty")
    code, _, err = run("graph", where=scratch.root)
    assert code == 2 and err.count("error: ") == 1 and "configs/gates/gates.toml:12:13" in err


def test_shallow_clone_says_what_to_fetch(run: Any, asked: Asked, tmp_path: Path) -> None:
    """The commit asked for is not here, since the clone is shallow: exit 2 and the fetch that mends it."""
    asked.s.git("clone", "-q", "--depth", "1", f"file://{asked.s.root}", str(tmp_path / "shallow"))
    for since in (asked.first, "HEAD~1"):
        code, out, err = run("affected", "--since", since, where=tmp_path / "shallow")
        assert (code, out) == (2, "") and "hint: this clone is shallow: git fetch --unshallow" in err
    assert run("affected", "--since", "HEAD", where=tmp_path / "shallow")[0] == 0


def test_subfolder_and_second_worktree_give_the_same_answers(run: Any, asked: Asked, tmp_path: Path) -> None:
    """Wherever one stands in a checkout, and in every checkout of the repository, the answers and the proofs are the same."""
    asked.s.git("worktree", "add", "-q", "--detach", str(tmp_path / "two"), "main")
    for args in (["affected", "--since", "start"], ["graph"], ["results"], ["why", "cpu:grep"]):
        expected = run(*args, "--format", "json")
        assert run(*args, "--format", "json", where=asked.s.root / "nmoe") == expected
        assert run(*args, "--format", "json", where=tmp_path / "two") == expected
    asked.s.git("worktree", "remove", "--force", str(tmp_path / "two"))


def test_directory_option_stands_before_or_after_the_verb(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    """`-C DIR verb` is `verb -C DIR`."""
    assert main(["-C", str(asked.s.root), "query", "//contracts:all", "--format", "label"]) == 0
    assert capsys.readouterr().out == "//contracts:01\n//contracts:02\n"


# -- terminals -------------------------------------------------------------------------------------------------------------------


def raw(text: str) -> list[str]:
    """The characters of a text that could move a cursor or turn a line."""
    return [char for char in text if (ord(char) < 32 and char not in "\n\t") or 127 <= ord(char) < 160 or char == BIDI]


@pytest.mark.parametrize("form", ["text", "json"])
def test_hostile_names_never_reach_stdout_raw(scratch: Scratch, run: Any, form: str) -> None:
    """A branch name with a bidi override, a file name with an escape sequence: spelt out, on stdout and on stderr."""
    scratch.contract("01")
    scratch.commit("contract")
    scratch.git("checkout", "-q", "-b", f"evil{BIDI}")
    scratch.write("docs/\x1b[2Jx.txt", "1\n")
    scratch.write("nmoe/\x1b[31m.py", "Z = 1\n")
    scratch.commit("hostile")
    seen = ""
    for args in (
        ["plan-merges", "--base", f"evil{BIDI}", "--branch", f"01=evil{BIDI}"],
        ["plan-merges", "--base", "main", "--branch", f"01=evil{BIDI}"],
        ["affected", "--since", "main", "--at", f"evil{BIDI}", "--kind", "all"],
        ["why", "cpu:compileall", "--since", "main"],
        ["affected", "--since", f"none{BIDI}\x9b"],
        ["build", f"//x{BIDI}:y"],
    ):
        _, out, err = run(*args, "--format", form, where=scratch.root)
        assert raw(out + err) == [], args
        seen += out
    assert ("<U+001B>[2Jx.txt" in seen) == (form == "text") and ("\\u001b[2Jx.txt" in seen) == (form == "json")


def test_log_is_shown_without_control_bytes_and_workflow_commands(run: Any, doc: Any) -> None:
    """Escape sequences go and commands are spelt out, so that a log cannot drive the terminal or the runner of who reads it."""
    code, out, _ = run("log", "cpu:shout")
    assert (code, out) == (0, "red\n\\::error::mine\n")
    assert doc("log", "cpu:shout")["text"] == out


@pytest.mark.parametrize("ending", ["| head -c 0", ">&-", "| true"])
def test_closed_stdout_is_no_traceback(asked: Asked, ending: str) -> None:
    """A reader that goes away, or no stdout at all, ends the program without a word from Python."""
    command = f'"$0" -m nmoe_graph graph -C "$1" {ending}'
    done = subprocess.run(["bash", "-c", command, sys.executable, str(asked.s.root)], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr, done.stderr


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colour_only_on_a_terminal_that_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verdict words are coloured on a terminal; NO_COLOR, TERM=dumb and a pipe turn that off."""

    def shown(stream: io.StringIO, **env: str) -> str:
        for name in ("NO_COLOR", "TERM"):
            monkeypatch.delenv(name, raising=False)
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        show("cpu:x  passed", stream)
        return stream.getvalue()

    assert shown(Terminal(), TERM="xterm") == "cpu:x  \x1b[32mpassed\x1b[0m\n"
    plain = "cpu:x  passed\n"
    assert shown(Terminal(), TERM="xterm", NO_COLOR="1") == plain
    assert shown(Terminal(), TERM="dumb") == plain
    assert shown(io.StringIO(), TERM="xterm") == plain


def test_help_and_version_name_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` exits 0 and lists the verbs; `--version` is one line."""
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(verb in text for verb in VERBS) and "exit codes" in text
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("nmoe-graph ")
