"""`nmoe-graph merge`: what is proven lands, by compare-and-swap, and a run that is killed can be begun again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Scratch

from nmoe_graph import SnapshotError, UsageError, Workspace
from nmoe_graph.merge import landing

#: Every point takes over a minute: NMOE_GRAPH_KILLS=1.
STRIDE = int(os.environ.get("NMOE_GRAPH_KILLS", "7"))

BRANCHES = {"01": {"nmoe/a.py": '"""A."""\n\nX = 2\n'}, "02": {"nmoe/b.py": "Y = 22\n", "nmoe/new/deep.py": "Z = 1\n"}}


@pytest.fixture(autouse=True)
def identity(monkeypatch: pytest.MonkeyPatch) -> None:
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv("EMAIL", "lander@example.com")
        monkeypatch.delenv(f"GIT_{role}_NAME", raising=False)


@pytest.fixture
def ready(scratch: Scratch) -> Scratch:
    """Two contracts with branches; main is checked out; the third stands on the first."""
    scratch.git("config", "user.name", "lander")
    scratch.git("config", "user.email", "lander@example.com")
    scratch.contract("01")
    scratch.contract("02")
    scratch.contract("03a", depends="[01]")
    scratch.commit("contracts")
    for issue, files in BRANCHES.items():
        scratch.git("checkout", "-q", "-b", f"issue/{issue}-work", "main")
        for path, text in files.items():
            scratch.write(path, text)
        scratch.commit(f"work of {issue}")
    scratch.git("checkout", "-q", "-b", "issue/03a-work", "issue/01-work")
    scratch.write("nmoe/a.py", '"""A."""\n\nX = 22\n')
    scratch.commit("work of 03a")
    scratch.git("checkout", "-q", "main")
    return scratch


def prove(s: Scratch, issues: list[str]) -> None:
    """Run tier a at the tree that landing these leads to."""
    before = s.git("for-each-ref")
    report = Workspace.open(s.root).merge(issues, train=True, dry_run=True, prove=True, base="main")
    assert report.exit_code == 0 and s.git("for-each-ref") == before, report


def state(s: Scratch) -> tuple[str, ...]:
    return s.git("for-each-ref"), s.git("status", "--porcelain"), s.git("rev-parse", "HEAD")


def test_nothing_lands_unproven(ready: Scratch, cli: Callable[..., tuple[int, str, str]]) -> None:
    """Exit 1, the gates that lack a proof by name, and the repository as it was."""
    before = state(ready)
    code, out, _ = cli("merge", "01", "--base", "main")
    assert code == 1 and "not landed" in out
    for gate in ("cpu:import", "cpu:compileall", "cpu:grep"):
        assert f"//gates/{gate}" in out
    assert "b200" not in out
    assert state(ready) == before


def test_a_squash_lands_with_its_trailers_and_its_branch_goes(ready: Scratch, ask: Callable[..., Any]) -> None:
    """One commit on the base, the branch's author, the tested tree, the work tree up to date, the branch deleted."""
    prove(ready, ["02"])
    before = ready.git("rev-parse", "main")
    head = ready.git("rev-parse", "issue/02-work")
    dry = ask("merge", "02", "--base", "main", "--dry-run")
    assert dry["contracts"][0]["missing"] == [] and dry["contracts"][0]["commit"] is None
    assert ready.git("rev-parse", "main") == before
    (row,) = ask("merge", "02", "--base", "main")["contracts"]
    assert row["commit"] == ready.git("rev-parse", "main") and row["tree"] == ready.git("rev-parse", "main^{tree}")
    assert ready.git("rev-parse", "main^") == before and row["tree"] == dry["contracts"][0]["tree"]
    assert ready.git("log", "-1", "--format=%an|%cn|%s") == "t|lander|work (#02)"
    assert ready.git("log", "-1", "--format=%(trailers:only)").splitlines() == ["Contract: 02", f"Squashed-Head: {head}"]
    assert "issue/02-work" not in ready.git("branch", "--list") and row["branch_deleted"]
    assert ready.git("status", "--porcelain") == "" and (ready.root / "nmoe/new/deep.py").read_text() == "Z = 1\n"
    assert ready.git("fsck", "--no-dangling") == ""
    again = ask("merge", "02", "--base", "main")
    assert again["contracts"] == [] and "landed already" in again["notes"][0]


def test_a_merge_commit_keeps_history_and_the_branch_where_asked(ready: Scratch, ask: Callable[..., Any]) -> None:
    """`strategy: merge` and `delete_branch: false` of the contract."""
    path = "configs/contracts/02-work.yaml"
    ready.write(path, ready.read(path) + "\nmerge: {strategy: merge, delete_branch: false}\n")
    ready.commit("another strategy")
    prove(ready, ["02"])
    before = ready.git("rev-parse", "main")
    ask("merge", "02", "--base", "main")
    assert ready.git("log", "-1", "--format=%P|%s") == f"{before} {ready.git('rev-parse', 'issue/02-work')}|Merge #02: work"


def test_a_child_restacks_when_its_parents_branch_is_gone(ready: Scratch, ask: Callable[..., Any]) -> None:
    """The landing names what it squashed, so the child's own work is known without the parent's branch."""
    prove(ready, ["01"])
    ask("merge", "01", "--base", "main")
    assert "issue/01-work" not in ready.git("branch", "--list")
    ready.write("docs/more.txt", "more\n")
    ready.commit("the base moves on")
    (step,) = [one for one in ask("plan-merges", "03a", "--base", "main")["steps"] if one["contract"] == "03a"]
    assert (step["status"], step["restacked_on"]) == ("ready", "01")


def test_a_child_restacks_upon_a_squash_that_names_nothing(ready: Scratch, ask: Callable[..., Any]) -> None:
    """A landing made elsewhere, without the second trailer, and no branch: the same patch among the child's commits tells."""
    ready.git("merge", "-q", "--squash", "issue/01-work")
    ready.commit("Work of 01 (#7)\n\nContract: 01")
    ready.git("branch", "-q", "-D", "issue/01-work")
    (step,) = [one for one in ask("plan-merges", "03a", "--base", "main")["steps"] if one["contract"] == "03a"]
    assert (step["status"], step["restacked_on"]) == ("ready", "01")


def test_a_train_is_proven_at_its_tip(ready: Scratch, ask: Callable[..., Any]) -> None:
    """Two contracts, one test, two commits, in one transaction."""
    prove(ready, ["01", "02"])
    before = ready.git("rev-parse", "main")
    rows = ask("merge", "01", "02", "--train", "--base", "main")["contracts"]
    assert [row["contract"] for row in rows] == ["01", "02"]
    assert ready.git("rev-parse", "main~2") == before
    assert rows[-1]["tree"] == ready.git("rev-parse", "main^{tree}")


def test_who_waits_does_not_land(ready: Scratch, cli: Callable[..., tuple[int, str, str]]) -> None:
    """A contract whose dependency is open is refused, alone and in a train without it."""
    before = state(ready)
    for more in ([], ["--train"]):
        code, out, _ = cli("merge", "03a", "--base", "main", *more)
        assert code == 1 and "waits for 01" in out
    assert state(ready) == before


def test_out_of_scope_work_does_not_land(ready: Scratch, cli: Callable[..., tuple[int, str, str]]) -> None:
    """The file is named."""
    ready.git("checkout", "-q", "issue/02-work")
    ready.write("docs/out.md", "out\n")
    ready.commit("more")
    ready.git("checkout", "-q", "main")
    code, out, _ = cli("merge", "02", "--base", "main")
    assert code == 1 and "out of scope: docs/out.md (file added; not in scope.allow)" in out


def test_changes_in_the_work_tree_are_never_lost(ready: Scratch) -> None:
    """A dirty base, and an untracked file where a new one would come: refused before anything moves."""
    prove(ready, ["02"])
    before = ready.git("for-each-ref")
    ready.write("nmoe/a.py", "mine\n")
    with pytest.raises(UsageError, match="not committed"):
        Workspace.open(ready.root).merge(["02"], base="main")
    ready.git("checkout", "-q", "nmoe/a.py")
    ready.write("nmoe/new/deep.py", "mine\n")
    with pytest.raises(UsageError, match="in the way"):
        Workspace.open(ready.root).merge(["02"], base="main")
    assert ready.git("for-each-ref") == before and ready.read("nmoe/new/deep.py") == "mine\n"


@pytest.mark.parametrize("what", ["base", "head"])
def test_a_ref_that_moves_meanwhile_stops_the_landing(ready: Scratch, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Between plan and transaction somebody pushes: nothing is landed."""
    prove(ready, ["02"])
    real = landing.Lander._write_journal

    def meanwhile(self: landing.Lander, data: dict[str, Any]) -> None:
        real(self, data)
        ref = "refs/heads/main" if what == "base" else "refs/heads/issue/02-work"
        ready.git("update-ref", ref, ready.git("commit-tree", f"{ref}^{{tree}}", "-p", ref, "-m", "meanwhile"))

    monkeypatch.setattr(landing.Lander, "_write_journal", meanwhile)
    with pytest.raises(SnapshotError, match="nothing was landed"):
        Workspace.open(ready.root).merge(["02"], base="main")
    assert "Contract: 02" not in ready.git("log", "main", "--format=%B")
    assert not (ready.root / ".git/nmoe-graph/landing.json").exists()


KILLER = """
import os, signal, sys
from nmoe_graph import Workspace
from nmoe_graph.merge import commit, landing
left = int(sys.argv[2])
def dying(real):
    def call(*args, **kwargs):
        global left
        left -= 1
        if left == 0: os.kill(os.getpid(), signal.SIGKILL)
        result = real(*args, **kwargs)
        left -= 1
        if left == 0: os.kill(os.getpid(), signal.SIGKILL)
        return result
    return call
commit.write_object, landing.write_tree = dying(commit.write_object), dying(landing.write_tree)
landing.landing_commit = dying(landing.landing_commit)
for name in ("_run", "_write_journal", "_finish", "_bring_up"):
    setattr(landing.Lander, name, dying(getattr(landing.Lander, name)))
landing.Path.unlink = dying(landing.Path.unlink)
Workspace.open(sys.argv[1]).merge(["01", "02"], train=True, base="main")
"""


def test_killed_at_any_point_a_second_run_ends_it(ready: Scratch, tmp_path: Path) -> None:
    """SIGKILL before and after every step of the landing: the refs are all old or all new, and one more run lands the rest."""
    prove(ready, ["01", "02"])
    old = ready.git("rev-parse", "main")
    env = os.environ | {"PYTHONPATH": str(Path(landing.__file__).parents[2])}
    outcomes = set()
    for at in range(1, 200, STRIDE):
        copy = tmp_path / f"copy{at}"
        subprocess.run(["cp", "-a", str(ready.root), str(copy)], check=True)
        done = subprocess.run([sys.executable, "-c", KILLER, str(copy), str(at)], env=env, capture_output=True, text=True)
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        other = Scratch.__new__(Scratch)
        other.root = copy
        tip, heads = other.git("rev-parse", "main"), other.git("branch", "--list", "issue/0[12]*").split()
        assert (tip == old) == (len(heads) == 2), (at, tip, heads)
        report = Workspace.open(copy).merge(["01", "02"], train=True, base="main")
        assert report.exit_code == 0, (at, report)
        assert other.git("log", "--format=%s", "main", f"^{old}").splitlines() == ["work (#02)", "work (#01)"]
        assert other.git("status", "--porcelain") == "" and other.read("nmoe/new/deep.py") == "Z = 1\n"
        assert not (copy / ".git/nmoe-graph/landing.json").exists()
        outcomes.add("landed" if tip != old else "not yet")
        subprocess.run(["rm", "-rf", str(copy)], check=True)
    else:
        raise AssertionError("it never came to an end")
    assert at > 20 and outcomes == {"landed", "not yet"}


def test_the_journal_of_another_age_is_no_harm(ready: Scratch, ask: Callable[..., Any]) -> None:
    """A damaged journal, and one whose commits are gone: put aside."""
    path = ready.root / ".git/nmoe-graph/landing.json"
    path.parent.mkdir(exist_ok=True)
    for text in ("{", json.dumps({"ref": "refs/heads/main", "old": "0" * 40, "new": "1" * 40, "folders": []})):
        path.write_text(text)
        ask("merge", "01", "--base", "main", code=1)
        assert not path.exists()
