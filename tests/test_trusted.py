"""Definitions from the base: what a change says of its own gates counts for nothing, and people are told that it says something."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Scratch

import nmoe_graph
from nmoe_graph.digest.rules import Rules
from nmoe_graph.plan.control import control_plane, control_words

Cli = Callable[..., tuple[int, str, str]]
Ask = Callable[..., Any]

GATES = "configs/gates/gates.toml"

#: What a change may do to the gate that would fail it: each makes an ordinary build pass, or impossible.
TRICKS: dict[str, Callable[[Scratch], None]] = {
    "another command": lambda s: s.replace(GATES, "grep -q one docs/a.txt", "true"),
    "no inputs that matter": lambda s: s.replace(GATES, 'cmd = "grep -q one docs/a.txt"', 'cmd = "grep -q nmoe BUILD.toml"'),
    "another tier": lambda s: s.replace(GATES, '[gates."cpu:grep"]\ntier = "a"', '[gates."cpu:grep"]\ntier = "b"\ngpus = 8'),
    "a perf gate in its place": lambda s: s.replace(
        GATES,
        'timeout_s = 30\ncmd = "grep -q one docs/a.txt"',
        'timeout_s = 0\nkind = "perf"\ncompare_gate = "cpu:import"\nmetric = "x"',
    ),
    "the gate removed": lambda s: s.write(GATES, s.read(GATES).replace("cpu:grep", "cpu:other")),
    "the bundle emptied": lambda s: s.replace(GATES, '"cpu:import", "cpu:compileall", "cpu:grep"', '"cpu:import"'),
    "all gates removed": lambda s: s.write(GATES, '[meta]\nversion = "1"\n'),
    "gates that cannot be read": lambda s: s.write(GATES, "[[["),
    "another file of gates": lambda s: s.replace("BUILD.toml", 'gates = "configs/gates/gates.toml"\n', ""),
    "no workspace at all": lambda s: (s.root / "BUILD.toml").unlink(),
    "evidence dropped": lambda s: s.replace(GATES, "samples = { rows = 2 }", "samples = { rows = 1 }"),
}


@pytest.fixture
def guarded(scratch: Scratch, monkeypatch: pytest.MonkeyPatch) -> Scratch:
    """A base whose gate wants the word one and two rows of evidence, and a branch that has neither."""
    monkeypatch.setenv("NMOE_GRAPH_SANDBOX", "folder")
    scratch.replace(GATES, 'tier_a = ["cpu:import", "cpu:compileall"]', 'tier_a = ["cpu:import", "cpu:compileall", "cpu:grep"]')
    scratch.replace(
        GATES,
        'cmd = "grep -q one docs/a.txt"',
        'cmd = "grep -q one docs/a.txt && cat docs/a.txt"\nexpects = { log = "row {rows}", samples = { rows = 2 } }',
    )
    scratch.replace(GATES, " && cat docs/a.txt", "")
    scratch.write("docs/a.txt", "one\n")
    scratch.commit("base")
    scratch.git("checkout", "-q", "-b", "change")
    return scratch


@pytest.mark.parametrize("trick", TRICKS)
def test_what_a_change_says_of_its_gates_counts_for_nothing(guarded: Scratch, ask: Ask, cli: Cli, trick: str) -> None:
    """By the base's rules the gate fails, whatever the change did to it."""
    guarded.write("docs/a.txt", "two\n")
    TRICKS[trick](guarded)
    guarded.commit()
    report = ask("build", "//gates:tier_a", "-k", "--trusted", "main", "--at", "HEAD", code=1)
    rows = {row["label"]: row["verdict"] for row in report["gates"]}
    assert rows == {"//gates/cpu:compileall": "passed", "//gates/cpu:grep": "failed", "//gates/cpu:import": "passed"}
    assert report["trusted"] == guarded.git("rev-parse", "main")
    assert [one["path"] for one in report["control_plane"]] in ([GATES], ["BUILD.toml"])
    assert "control plane" in cli("build", "cpu:grep", "--trusted", "main")[2]


def test_a_change_of_its_inputs_alone_is_judged_and_shared(guarded: Scratch, ask: Ask) -> None:
    """Where no definition differs, the two ways ask one question: the proof of one serves the other."""
    guarded.replace("nmoe/a.py", "X = 1", "X = 3")
    guarded.commit()
    first = ask("build", "cpu:import", "--trusted", "main")
    assert first["control_plane"] == []
    second = ask("build", "cpu:import")
    assert second["trusted"] is None
    assert second["gates"][0]["cached"]
    assert second["gates"][0]["action_key"] == first["gates"][0]["action_key"]


def test_a_gate_of_the_change_is_no_gate_of_the_base(guarded: Scratch, cli: Cli) -> None:
    """It can be built by the change's own rules only."""
    guarded.write(GATES, guarded.read(GATES).replace("cpu:import", "cpu:imported"))
    guarded.commit()
    assert cli("build", "cpu:imported")[0] == 0
    assert cli("build", "cpu:imported", "--trusted", "main")[0] == 2
    assert cli("build", "cpu:imported", "--trusted", "nowhere")[0] == 2


def test_an_engine_that_is_the_changes_own_is_refused(scratch: Scratch, tmp_path: Path) -> None:
    """Run out of the checkout that it judges, the engine must be the base's to the byte."""
    shutil.copytree(Path(nmoe_graph.__file__).parent, scratch.root / "nmoe_graph", ignore=shutil.ignore_patterns("__pycache__"))
    scratch.commit("an engine")
    env = {**os.environ, "PYTHONPATH": str(scratch.root), "NMOE_GRAPH_SANDBOX": "folder", "PYTHONDONTWRITEBYTECODE": "1"}
    env.pop("PYTHONSAFEPATH", None)

    def build() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "nmoe_graph", "build", "cpu:grep", "--trusted", "main"]
        return subprocess.run(command, cwd=scratch.root, env=env, capture_output=True, text=True)

    assert build().returncode == 0
    scratch.git("checkout", "-q", "-b", "change")
    scratch.write("nmoe_graph/markup.py", scratch.read("nmoe_graph/markup.py") + "# mine\n")
    scratch.commit()
    done = build()
    assert done.returncode == 2
    assert "nmoe_graph/markup.py is not what main has" in done.stderr


# -- said to people ------------------------------------------------------------------------------------------------------------

RULES = Rules("g/gates.toml", ("c/*.yaml",), "keys/signers", ("lock.txt",), ("docker/**", "pyproject.toml"), ("src",), ("torch",))


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("BUILD.toml", "targets, and what the workspace is"),
        ("a/b/BUILD.toml", "targets, and what the workspace is"),
        ("g/gates.toml", "gates and bundles"),
        ("c/01.yaml", "a contract"),
        ("keys/signers", "who may prove"),
        ("lock.txt", "a toolchain"),
        ("nmoe_graph/safe.py", "the engine"),
        (".github/workflows/x.yml", "what GitHub runs and asks for"),
        (".github/actions/x/action.yml", "what GitHub runs and asks for"),
        (".github/CODEOWNERS", "what GitHub runs and asks for"),
        ("CODEOWNERS", "who must look at a change"),
        ("docs/CODEOWNERS", "who must look at a change"),
        ("docker/Dockerfile.runner", "what gates run on"),
        ("pyproject.toml", "what gates run on"),
        ("nmoe/pyproject.toml", ""),
        ("k8s/x.yaml", ""),
        ("nmoe/CODEOWNERS", ""),
        ("c/a/01.yaml", ""),
        ("nmoe/train.py", ""),
        ("docs/BUILD.toml.md", ""),
        ("pytest.py", "stands in for pytest"),
        ("pytest/__init__.py", "stands in for pytest"),
        ("pytest/__init__.cpython-311-x86_64-linux-gnu.so", "stands in for pytest"),
        ("json.abi3.so", "stands in for json"),
        ("sitecustomize.py", "stands in for sitecustomize"),
        ("src/compileall.py", "stands in for compileall"),
        ("torch/__init__.py", "stands in for torch"),
        ("src/torch.py", "stands in for torch"),
        ("pytest", "stands in for pytest"),
        ("src/torch", "stands in for torch"),
        ("src", "on the search path of a gate"),
        ("nmoe/pytest", ""),
        ("nmoe/torch.py", ""),
        ("nmoe/json/__init__.py", ""),
        ("src/json/tool.py", ""),
        ("json/tool.py", ""),
        ("json.md", ""),
        ("tests/__init__.py", ""),
        ("", ""),
    ],
)
def test_what_is_control_plane(path: str, why: str) -> None:
    """Each kind of path, and what is none."""
    found = control_plane([path], Rules(), RULES)
    assert [one.why for one in found] == ([why] if why else [])
    assert control_plane([path], RULES, Rules()) == found


def test_what_gates_run_on_is_declared_or_known(scratch: Scratch, ask: Ask) -> None:
    """Images, the cluster and the engine's libraries, unless the workspace names other paths; a change cannot take itself out."""
    scratch.git("checkout", "-q", "-b", "work")
    for path in ("docker/Dockerfile", "k8s/a.yaml", "pyproject.toml", "infra/b200.tf"):
        scratch.write(path, "x = 1\n" if path.endswith("toml") else "x\n")
    scratch.commit()
    found = {one["path"] for one in ask("affected", "--since", "main")["control_plane"]}
    assert found == {"docker/Dockerfile", "k8s/a.yaml", "pyproject.toml"}
    scratch.replace("BUILD.toml", 'name = "nmoe"\n', 'name = "nmoe"\ncontrol = ["infra/**"]\n')
    scratch.commit()
    found = {one["path"] for one in ask("affected", "--since", "main")["control_plane"]}
    assert found == {"BUILD.toml", "docker/Dockerfile", "k8s/a.yaml", "pyproject.toml", "infra/b200.tf"}
    scratch.git("checkout", "-q", "main")
    scratch.git("merge", "-q", "work")
    scratch.git("checkout", "-q", "-b", "more")
    for path in ("docker/Dockerfile", "infra/b200.tf"):
        scratch.write(path, "y\n")
    scratch.commit()
    assert [one["path"] for one in ask("affected", "--since", "main")["control_plane"]] == ["infra/b200.tf"]


def test_what_stands_in_for_what_is_installed(scratch: Scratch, ask: Ask) -> None:
    """A module that Python takes in place of its own, from wherever a gate lets it look first: the gate would pass, and say so."""
    with open(scratch.root / "BUILD.toml", "a") as file:
        file.write('[toolchain.b200]\nversions = { python = ">=3.11", "Torch-Ao" = ">=0" }\n')
    with open(scratch.root / GATES, "a") as file:
        file.write('[gates."cpu:cd"]\ntier = "a"\ntimeout_s = 60\ncmd = "cd docs && python -m compileall -q a"\n')
        file.write('[gates."cpu:env"]\ntier = "a"\ntimeout_s = 60\ncmd = "true"\nenv = { PYTHONPATH = "lib:./src/" }\n')
    scratch.commit("gates")
    scratch.git("checkout", "-q", "-b", "change")
    for folder in ("", "docs/", "lib/", "src/", "nmoe/", "other/"):
        for name in ("compileall.py", "torch_ao/__init__.py", "mine.py"):
            scratch.write(folder + name, "print('fine')\n")
    scratch.commit()
    found = {one["path"]: one["why"] for one in ask("affected", "--since", "main")["control_plane"]}
    names = {"compileall.py": "compileall", "torch_ao/__init__.py": "torch_ao"}
    assert found == {f"{at}{path}": f"stands in for {name}" for at in ("", "docs/", "lib/", "src/") for path, name in names.items()}


def test_words() -> None:
    """Named up to five, then counted; nothing where there is nothing."""
    assert control_words(()) == ""
    many = control_plane([f"{number}/BUILD.toml" for number in range(7)])
    assert control_words(many).endswith("4/BUILD.toml (targets, and what the workspace is) and 2 more")


def test_affected_why_and_the_plan_say_it(scratch: Scratch, ask: Ask, cli: Cli) -> None:
    """A change of gates is flagged wherever somebody looks; one of code is not."""
    scratch.contract("01")
    scratch.commit("contract")
    scratch.git("checkout", "-q", "-b", "issue/01-work")
    scratch.replace("nmoe/a.py", "X = 1", "X = 2")
    scratch.commit()
    assert ask("affected", "--since", "main")["control_plane"] == []
    assert "control plane" not in cli("affected", "--since", "main")[1]
    scratch.replace(GATES, "timeout_s = 60", "timeout_s = 61")
    scratch.commit()
    expected = [{"path": GATES, "why": "gates and bundles"}]
    assert ask("affected", "--since", "main")["control_plane"] == expected
    assert ask("affected", "--since", "main")["control_plane"] == expected  # from what is kept
    assert f"control plane: {GATES} (gates and bundles)" in cli("affected", "--since", "main")[1]
    assert any("control plane" in note for note in ask("why", "cpu:import", "--since", "main")["notes"])
    scratch.git("checkout", "-q", "main")
    (step,) = ask("plan-merges", "--base", "main")["steps"]
    assert f"control plane: {GATES} (gates and bundles)" in step["notes"]


@pytest.mark.parametrize("what", ["replaced commit", "replaced gates", "grafts", "filters"])
def test_what_a_clone_pretends_of_its_objects_counts_for_nothing(guarded: Scratch, cli: Cli, what: str) -> None:
    """Objects are read by their ids: no replacement, no graft and no filter makes a failing change look like its base."""
    guarded.write("docs/a.txt", "two\n")
    head = guarded.commit("bad")
    base = guarded.git("rev-parse", "main")
    if what == "replaced commit":
        guarded.git("replace", head, base)
    elif what == "replaced gates":
        kind = guarded.root / "gates.toml"
        kind.write_text(guarded.read(GATES).replace("grep -q one docs/a.txt", "true"))
        guarded.git("replace", guarded.git("rev-parse", f"main:{GATES}"), guarded.git("hash-object", "-w", str(kind)))
        kind.unlink()
    elif what == "grafts":
        (guarded.root / ".git/info/grafts").write_text(f"{head}\n")
    else:
        guarded.git("config", "filter.good.clean", "sed s/two/one/")
        guarded.git("config", "filter.good.smudge", "sed s/two/one/")
        guarded.write(".gitattributes", "* filter=good\n")
    code, out, _ = cli("build", "--trusted", "main", "cpu:grep")
    assert code == 1 and "0 of 1 proven" in out
