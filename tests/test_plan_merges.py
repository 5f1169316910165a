"""The merge plan: the order, and what real branches do to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Scratch
from hypothesis import given, settings
from hypothesis import strategies as st

from nmoe_graph import DeclarationError, Workspace
from nmoe_graph.label import Label
from nmoe_graph.model import Contract
from nmoe_graph.plan.merge import MergePlan, Step, landing_order
from nmoe_graph.report.console import plan_text

ROOT = Path(__file__).resolve().parent.parent
OWNERS = '\n[owners]\n"nmoe/a.py" = "keeper of a"\n"docs/**" = "writers"\n'
LONG = "".join(f"LINE_{number} = {number}\n" for number in range(20))


def branch(s: Scratch, issue: str, changes: dict[str, str], start: str = "main") -> None:
    """Commit changes on the branch of a contract, and go back to main."""
    s.git("checkout", "-q", "-b", f"issue/{issue}-work", start)
    for path, text in changes.items():
        s.write(path, text)
    s.commit(f"work of {issue}")
    s.git("checkout", "-q", "main")


@pytest.fixture(scope="module")
def landing(tmp_path_factory: pytest.TempPathFactory) -> Scratch:
    """One repository with a branch of every sort.  Planning changes nothing, so that the tests can share it.

    01 changes a; 02 too, and something out of scope; 03a stands on 01; 04 fights the base; 05 waits for 04; 06 has no branch and
    07 waits for it; 08 renames a file that 09 edits; 10 comes last.
    """
    s = Scratch(tmp_path_factory.mktemp("landing"))
    s.write("BUILD.toml", s.read("BUILD.toml") + OWNERS)
    s.write("nmoe/long.py", LONG)
    for issue, depends in {"03a": "[01]", "05": "[04]", "07": "[06]", "10": "all"}.items():
        s.contract(issue, depends=depends)
    for issue in ("01", "02", "04", "06", "08", "09"):
        s.contract(issue)
    s.commit("contracts")
    branch(s, "01", {"nmoe/a.py": "X = 2\n"})
    branch(s, "02", {"nmoe/a.py": "X = 3\n", "docs/out.md": "out\n"})
    branch(s, "03a", {"nmoe/a.py": "X = 22\n"}, start="issue/01-work")
    branch(s, "04", {"nmoe/b.py": "Y = 4\n"})
    branch(s, "05", {"nmoe/five.py": "F = 5\n"})
    branch(s, "07", {"nmoe/seven.py": "S = 7\n"})
    s.git("checkout", "-q", "-b", "issue/08-work")
    s.git("mv", "nmoe/long.py", "nmoe/short.py")
    s.commit("a rename")
    s.git("checkout", "-q", "main")
    branch(s, "09", {"nmoe/long.py": LONG.replace("LINE_7 = 7", "LINE_7 = 77")})
    s.write("nmoe/b.py", "Y = 9\n")
    s.commit("the base moves on")
    return s


@pytest.fixture(scope="module")
def plan(landing: Scratch) -> MergePlan:
    return Workspace.open(landing.root).plan_merges(base="main")


def step(plan: MergePlan, issue: str) -> Step:
    return next(one for one in plan.steps if one.contract == issue)


def order(plan: MergePlan) -> list[str]:
    return [one.contract for one in plan.steps]


# -- the order -------------------------------------------------------------------------------------------------------------------


def test_own_contracts_land_in_an_order_that_respects_every_edge() -> None:
    """This repository's contracts: every dependency first, the chain in its order, 10 last, ties by id."""
    contracts = Workspace.open(ROOT).graph().contracts()
    found = [one.issue for one in landing_order(contracts)]
    place = {issue: at for at, issue in enumerate(found)}
    assert sorted(found) == sorted(one.issue for one in contracts)
    assert all(place[dep] < place[one.issue] for one in contracts for dep in one.depends_on)
    assert place["01"] < place["03a"] < place["03b"] < place["08"]
    assert found[-1] == "10" and next(one for one in contracts if one.issue == "10").depends_on_all
    assert found == ["01", "02", "03a", "03b", "05", "06", "07", "08", "09", "11", "12", "13", "10"]


def contract(issue: str, needs: tuple[str, ...] = (), last: bool = False) -> Contract:
    label = Label("contracts", issue)
    return Contract(label, issue, "work", "feature", "cold", "S", depends_on=needs, depends_on_all=last)


@st.composite
def dags(draw: st.DrawFn) -> list[Contract]:
    """Contracts whose edges follow a hidden order of their ids, maybe with one that lands last."""
    ids = draw(st.lists(st.from_regex(r"[0-9]{1,3}[a-c]?", fullmatch=True), unique=True, max_size=12))
    made = [contract(one, tuple(draw(st.sets(st.sampled_from(ids[:at]))) if at else ())) for at, one in enumerate(ids)]
    if draw(st.booleans()):
        made.append(contract("1000", last=True))
    return draw(st.permutations(made))


@settings(max_examples=80, deadline=None)
@given(dags(), st.randoms(use_true_random=False))
def test_landing_order_is_topological_and_independent_of_input_order(contracts, random) -> None:  # type: ignore[no-untyped-def]
    """Nobody is lost, nobody lands before what it needs, `all` is last, and a shuffle changes nothing."""
    found = [one.issue for one in landing_order(contracts)]
    assert sorted(found) == sorted(one.issue for one in contracts)
    assert all(found.index(dep) < found.index(one.issue) for one in contracts for dep in one.depends_on)
    assert "1000" not in found or found[-1] == "1000"
    shuffled = list(contracts)
    random.shuffle(shuffled)
    assert [one.issue for one in landing_order(shuffled)] == found


def test_landing_order_takes_landed_dependencies_as_satisfied() -> None:
    """With 09 landed, 01 need not wait for it any more."""
    two = [contract("01", ("09",)), contract("09")]
    assert [one.issue for one in landing_order(two)] == ["09", "01"]
    assert [one.issue for one in landing_order(two, landed=["09"])] == ["01", "09"]


@pytest.mark.parametrize(
    ("edges", "words"),
    [
        ({"01": "[02]", "02": "[03]", "03": "[01]"}, ["01", "02", "03", "wait for each other"]),
        ({"01": "[01]"}, ["01"]),
        ({"01": "[]", "02": "[10]"}, ["02", "10", "no contract"]),
        ({"08": "all", "09": "all", "10": "[]"}, ["08", "09", "last"]),
    ],
    ids=["cycle", "itself", "unknown", "two last"],
)
def test_broken_edges_are_errors_that_name_the_contracts(scratch: Scratch, cli, edges: dict[str, str], words: list[str]) -> None:  # type: ignore[no-untyped-def]
    """A cycle, an unknown id and two that land last: exit 2, with the contracts by name and the file to mend."""
    for issue, depends in edges.items():
        scratch.contract(issue, depends=depends)
    code, out, err = cli("plan-merges", "--base", "HEAD")
    assert (code, out) == (2, "")
    assert all(word in err for word in words), err
    assert "configs/contracts/" in err and err.startswith("error: ")


# -- steps -----------------------------------------------------------------------------------------------------------------------


def test_order_and_states_of_all_steps(plan: MergePlan) -> None:
    """Every contract has one step, with or without a branch: first those that can land, in landing order."""
    assert {one.contract: one.status for one in plan.steps} == {
        "01": "ready",
        "02": "conflict",
        "03a": "ready",
        "04": "conflict",
        "05": "blocked",
        "06": "no branch",
        "07": "blocked",
        "08": "ready",
        "09": "ready",
        "10": "no branch",
    }
    assert order(plan) == ["01", "03a", "08", "09", "02", "04", "05", "06", "07", "10"]


def test_branches_that_fight_each_other_are_named_with_their_files_and_owners(plan: MergePlan) -> None:
    """02 would merge into the base alone; after 01 it cannot, and the plan says where, with whom, and whose file it is."""
    (found,) = step(plan, "02").conflicts
    assert (found.against, found.files, found.owners) == (("01",), ("nmoe/a.py",), ("keeper of a",))
    assert "conflict with 01: nmoe/a.py (owner: keeper of a)" in plan_text(plan)


def test_conflict_with_the_base(plan: MergePlan) -> None:
    """What fights the base itself is said to, and not blamed on another contract."""
    (found,) = step(plan, "04").conflicts
    assert (found.against, found.files, found.owners) == (("base",), ("nmoe/b.py",), ())


def test_child_of_a_branch_is_restacked_once_its_parent_is_squashed(plan: MergePlan, landing: Scratch) -> None:
    """03a carries the commits of 01; only its own work is laid on the squashed 01, so that it does not fight its parent."""
    child = step(plan, "03a")
    assert (child.restacked_on, child.conflicts) == ("01", ())
    assert child.tree not in ("", step(plan, "01").tree)
    assert "restacked on 01" in plan_text(plan)


def test_step_waits_for_what_has_not_landed_and_cannot(plan: MergePlan) -> None:
    """05 waits for 04, which conflicts; 07 for 06, which has no branch: a hard edge is never broken."""
    assert "waits for 04" in step(plan, "05").notes
    assert "waits for 06" in step(plan, "07").notes
    assert step(plan, "05").tree == step(plan, "07").tree == ""


def test_renames_are_followed(plan: MergePlan, landing: Scratch) -> None:
    """09 edits the file that 08 renames: the edit arrives under the new name, without a conflict."""
    landing.git("checkout", "-q", "-b", "by-git", "main")
    for issue in ("01", "08", "09"):
        landing.git("merge", "-q", "--no-edit", f"issue/{issue}-work")
    names, long = landing.git("ls-tree", "--name-only", "by-git:nmoe"), landing.read("nmoe/short.py")
    landing.git("checkout", "-q", "main")
    only = Workspace.open(landing.root).plan_merges(["01", "08", "09"], base="main")
    assert "long.py" not in names and "LINE_7 = 77" in long
    assert step(only, "09").tree == landing.git("rev-parse", "by-git^{tree}")
    landing.git("branch", "-q", "-D", "by-git")


def test_out_of_scope_files_are_named(plan: MergePlan) -> None:
    """A path that the contract's scope does not allow is listed; what it allows is not."""
    assert step(plan, "02").out_of_scope == ("docs/out.md",)
    assert step(plan, "01").out_of_scope == ()


def test_shared_hotspots_name_the_other_contracts(plan: MergePlan) -> None:
    """Each step names the other contracts that declare the same hotspot."""
    ((path, others),) = step(plan, "08").hotspots
    assert path == "nmoe/a.py" and others == ("01", "02", "03a", "04", "05", "06", "07", "09", "10")


def test_subset_brings_in_what_it_waits_for(landing: Scratch) -> None:
    """Asked for 03a the plan holds 01 too and nothing else; asked for the last one, it holds all."""
    ws = Workspace.open(landing.root)
    assert order(ws.plan_merges(["03a"], base="main")) == ["01", "03a"]
    assert order(ws.plan_merges(["//contracts:03a"], base="main")) == ["01", "03a"]
    assert len(ws.plan_merges(["10"], base="main").steps) == 10


def test_branch_option_takes_another_ref(landing: Scratch) -> None:
    """`--branch 06=REF` gives 06 a branch, and so frees 07."""
    found = Workspace.open(landing.root).plan_merges(["07"], branches={"06": "issue/09-work"}, base="main")
    assert [one.status for one in found.steps] == ["ready", "ready"]
    assert step(found, "06").branch == "issue/09-work"
    assert step(found, "06").commit == landing.git("rev-parse", "issue/09-work")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["3a"], "did you mean 03a?"),
        (["--branch", "99=main"], "there is no contract 99"),
        (["--branch", "06"], "is not ID=REF"),
        (["--branch", "06=main", "--branch", "06=main"], "twice"),
        (["--branch", "06=no-such-branch"], "no-such-branch names no commit"),
        (["--base", "no-such-base"], "no-such-base names no commit"),
    ],
)
def test_wrong_questions_are_refused_in_one_line(cli, scratch: Scratch, args: list[str], words: str) -> None:  # type: ignore[no-untyped-def]
    """An unknown contract, a malformed --branch, a ref that is not there: exit 2 and the reason."""
    scratch.contract("03a")
    scratch.contract("06")
    base = [] if "--base" in args else ["--base", "HEAD"]
    code, out, err = cli("plan-merges", *args, *base)
    assert (code, out) == (2, "") and words in err


def test_planning_on_head_is_said_where_no_base_is_there(landing: Scratch) -> None:
    """Without origin the plan stands on HEAD and says so."""
    found = Workspace.open(landing.root).plan_merges(["01"])
    assert found.base_ref == "HEAD" and "origin/master" in found.notes[0]


def test_unreadable_declarations_stop_the_plan(scratch: Scratch) -> None:
    """A contract that needs a gate which is not there is an error before anything is planned."""
    scratch.contract("01")
    scratch.replace("configs/contracts/01-work.yaml", "cpu:import", "cpu:imports")
    with pytest.raises(DeclarationError, match="unknown gate cpu:imports"):
        Workspace.open(scratch.root).plan_merges(base="HEAD")


# -- landed ----------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def squashed(scratch: Scratch) -> Scratch:
    """01 is squashed onto main with its trailer; 02 still stands on the branch of 01 and changes the same line."""
    scratch.contract("01")
    scratch.contract("02", depends="[01]")
    scratch.commit("contracts")
    branch(scratch, "01", {"nmoe/a.py": "X = 2\n"})
    branch(scratch, "02", {"nmoe/a.py": "X = 3\n"}, start="issue/01-work")
    scratch.git("merge", "-q", "--squash", "issue/01-work")
    scratch.commit("Work of 01 (#7)\n\nText that only mentions Contract: 02 in passing.\n\nContract: 01\nReviewed-by: r")
    return scratch


@pytest.mark.parametrize("git", ["git", "none"])
def test_trailer_says_that_a_contract_has_landed(squashed: Scratch, monkeypatch: pytest.MonkeyPatch, git: str) -> None:
    """`Contract: ID` among the trailers of the base counts, in a commit's text it does not; with or without the git program."""
    monkeypatch.setenv("NMOE_GRAPH_GIT", git)
    found = Workspace.open(squashed.root).plan_merges(base="main")
    assert {one.contract: one.status for one in found.steps} == {"01": "landed", "02": "ready"}
    assert step(found, "01").gates == ()


def test_child_is_restacked_after_its_parent_was_really_squashed(squashed: Scratch) -> None:
    """The parent's branch still tells where the child's own work begins, also when the parent has landed."""
    found = Workspace.open(squashed.root).plan_merges(base="main")
    assert step(found, "02").restacked_on == "01"
    assert step(found, "02").tree == squashed.git("rev-parse", "issue/02-work^{tree}")


def test_child_is_restacked_on_the_parent_that_lands_last(scratch: Scratch) -> None:
    """03 stands on 01, which stands on 02: its own work begins at 01, whatever the ids say."""
    scratch.contract("02")
    scratch.contract("01", depends="[02]")
    scratch.contract("03", depends="[01, 02]")
    scratch.commit("contracts")
    branch(scratch, "02", {"nmoe/a.py": "X = 2\n"})
    branch(scratch, "01", {"nmoe/a.py": "X = 3\n"}, start="issue/02-work")
    branch(scratch, "03", {"nmoe/a.py": "X = 4\n"}, start="issue/01-work")
    found = Workspace.open(scratch.root).plan_merges(base="main")
    assert [(one.contract, one.status, one.restacked_on) for one in found.steps] == [
        ("02", "ready", ""),
        ("01", "ready", "02"),
        ("03", "ready", "01"),
    ]


# -- gates -----------------------------------------------------------------------------------------------------------------------


def test_gates_are_to_prove_until_the_merged_tree_is_built(landing: Scratch) -> None:
    """A step lists what it requires and what it invalidates; a build of an equal tree proves it, whatever the commit."""
    ws = Workspace.open(landing.root)
    before = step(ws.plan_merges(["01"], base="main"), "01")
    states = {gate.label: gate for gate in before.gates}
    assert states["//gates/cpu:import"].required and states["//gates/cpu:import"].invalidated
    assert states["//gates/cpu:compileall"].invalidated and not states["//gates/cpu:compileall"].required
    assert not any(gate.proven for gate in before.gates)
    assert "//gates/cpu:grep" not in states
    assert any("invalidates gates that it does not require" in note for note in before.notes)
    landing.git("checkout", "-q", "--detach", "main")
    landing.git("merge", "-q", "--no-edit", "issue/01-work")
    assert landing.git("rev-parse", "HEAD^{tree}") == before.tree
    assert ws.build(["cpu:import", "cpu:compileall"]).exit_code == 0
    landing.git("checkout", "-q", "main")
    after = step(ws.plan_merges(["01"], base="main"), "01")
    assert {gate.label: gate.proven for gate in after.gates} == {
        "//gates/cpu:import": True,
        "//gates/cpu:compileall": True,
    } | {label: False for label in states if label.startswith("//gates/b200")}
    assert "proven: cpu:compileall, cpu:import" in plan_text(ws.plan_merges(["01"], base="main"))


# -- batches and what they cost ----------------------------------------------------------------------------------------------------


def test_the_plan_says_what_it_costs_and_who_rebases_onto_what(landing: Scratch, plan: MergePlan) -> None:
    """Batches in landing order with trees that follow each other, totals beside other ways, hand-backs with lines and owners."""
    data = json.loads(json.dumps(plan.to_dict()))
    ready = [one for one in data["steps"] if one["status"] == "ready"]
    assert [issue for batch in data["batches"] for issue in batch["contracts"]] == [one["contract"] for one in ready]
    trees = [plan.base_tree, *(one["tree"] for one in ready)]
    assert [one["base_tree"] for one in ready] == trees[:-1]
    assert all(0 < one["chance"] < 1 and one["reason"] and one["batch"] for one in ready)
    assert data["totals"]["optimal"] and data["totals"]["expected_gpu_minutes"] <= data["totals"]["one_by_one_gpu_minutes"]
    assert {(one["contract"], tuple(one["onto"]), tuple(one["owners"])) for one in data["hand_backs"]} == {
        ("02", ("01",), ("keeper of a",)),
        ("04", ("base",), ()),
    }
    (conflict,) = step(plan, "02").conflicts
    assert conflict.lines == (("nmoe/a.py", (1, 1), (1, 1)),) and conflict.kinds == (("nmoe/a.py", "contents"),)


def test_wishes_change_the_plan(landing: Scratch) -> None:
    """A batch limit, a risk, runners and the objective reach the optimiser."""
    ws = Workspace.open(landing.root)
    assert max(len(batch.contracts) for batch in ws.plan_merges(base="main").batches) > 1
    assert max(len(batch.contracts) for batch in ws.plan_merges(base="main", max_batch=1).batches) == 1
    risky = ws.plan_merges(base="main", risks={"08": 0.9, "09": 0.5}, runners=3, objective="time")
    assert {one.contract: one.chance for one in risky.steps if one.contract in ("08", "09")} == {"08": 0.1, "09": 0.5}
    assert (risky.totals.runners, risky.totals.objective) == (3, "time")


@pytest.mark.parametrize(
    "args", [["--risk", "01"], ["--risk", "01=1.5"], ["--risk", "01=x"], ["--risk", "99=0.1"], ["--max-batch", "0"]]
)
def test_wrong_wishes_are_refused(cli, scratch: Scratch, args: list[str]) -> None:  # type: ignore[no-untyped-def]
    """Exit 2 and a reason."""
    scratch.contract("01")
    code, out, err = cli("plan-merges", "--base", "HEAD", *args)
    assert (code, out) == (2, "") and err


def test_who_changes_the_rules_rides_alone_and_is_not_landed_here(scratch: Scratch, cli) -> None:  # type: ignore[no-untyped-def]
    """A branch that weakens its own gate is flagged, tested by itself, and refused by `merge`."""
    for issue in ("01", "02"):
        scratch.contract(issue)
    scratch.commit("contracts")
    gates = "configs/gates/gates.toml"
    branch(scratch, "01", {gates: scratch.read(gates).replace('cmd = "grep -q one docs/a.txt"', 'cmd = "true"')})
    branch(scratch, "02", {"nmoe/b.py": "Y = 3\n"})
    plan = Workspace.open(scratch.root).plan_merges(base="main")
    assert all(len(batch.contracts) == 1 for batch in plan.batches)
    assert any(note.startswith("control plane: configs/gates/gates.toml") for note in step(plan, "01").notes)
    code, out, _ = cli("merge", "01", "--base", "main", "--prove")
    assert code == 1 and "control plane" in out


# -- one answer, nothing touched --------------------------------------------------------------------------------------------------


def planned(s: Scratch, seed: str) -> bytes:
    env = os.environ | {"PYTHONHASHSEED": seed}
    command = [sys.executable, "-m", "nmoe_graph", "plan-merges", "--base", "main", "--format", "json", "-C", str(s.root)]
    return subprocess.run(command, env=env, capture_output=True, check=True).stdout


def test_plan_is_the_same_bytes_whatever_the_hash_seed_and_the_order_of_files(landing: Scratch) -> None:
    """Three seeds, and contract files made in another order: one answer, byte for byte."""
    first = planned(landing, "0")
    assert planned(landing, "1") == first
    folder = landing.root / "configs/contracts"
    kept = {path.name: path.read_text() for path in folder.iterdir()}
    for path in list(folder.iterdir()):
        path.unlink()
    for name in sorted(kept, reverse=True):
        (folder / name).write_text(kept[name])
    assert planned(landing, "random") == first
    assert json.loads(first)["schema"] == "nmoe-graph/plan@1"


def state(s: Scratch) -> tuple[object, ...]:
    git_dir = s.root / ".git"
    return (
        s.git("status", "--porcelain=v2", "--branch"),
        s.git("for-each-ref"),
        s.git("count-objects", "-v"),
        s.git("fsck", "--no-progress"),
        (git_dir / "index").read_bytes(),
        {path: path.stat().st_mtime_ns for path in s.root.rglob("*") if git_dir not in path.parents and path != git_dir},
    )


def test_planning_touches_no_ref_no_index_no_file_and_no_object(landing: Scratch) -> None:
    """The repository after a plan is the repository before it; only the memo beside the objects may grow."""
    before = state(landing)
    Workspace.open(landing.root).plan_merges(base="main")
    assert state(landing) == before


def test_without_the_git_program_the_answer_is_careful(landing: Scratch, plan: MergePlan, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trees are merged path by path then: the same answers, but an edit of a renamed file is a conflict, and a note says why."""
    by_git = Workspace.open(landing.root).plan_merges(["03a"], base="main")
    monkeypatch.setenv("NMOE_GRAPH_GIT", "none")
    found = Workspace.open(landing.root).plan_merges(base="main")
    assert {one.contract: one.status for one in found.steps if one.contract not in ("08", "09")} == {
        one.contract: one.status for one in plan.steps if one.contract not in ("08", "09")
    }
    assert {step(found, one).status for one in ("08", "09")} == {"ready", "conflict"}
    assert any("without following renames" in note for one in ("08", "09") for note in step(found, one).notes)
    alone = Workspace.open(landing.root).plan_merges(["03a"], base="main")
    assert [one.tree for one in alone.steps] == [one.tree for one in by_git.steps]
