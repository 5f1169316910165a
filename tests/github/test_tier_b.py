"""Tier B over the double: asked for once, carried out by the real job, judged by the real report, brought home."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from nmoe_graph import Workspace
from nmoe_graph.errors import HostError, NmoeGraphError, UsageError
from nmoe_graph.forge.errors import ForgeError
from nmoe_graph.forge.github import GitHub
from nmoe_graph.tierb.journal import Journal, Row
from nmoe_graph.tierb.request import Request, request_from

from .double_state import Outcome
from .site import Site, change, git


def test_a_bundle_is_proven_on_the_runner_and_comes_home(site: Site) -> None:
    """Dispatched, approved, carried out, signed, pulled: then it is proven here, and nothing is dispatched again."""
    report = site.desk().run(site.number, "hot")
    assert (report.proven, report.exit_code, report.dispatched) == (True, 0, True)
    assert [one.by for one in report.gates] == ["signed by runner@nmoe.example"]
    assert len(site.jobs) == 1
    again = site.desk().run(site.number, "hot")
    assert again.proven and again.run is None and len(site.github.carried_out("actions/create-workflow-dispatch")) == 1
    single = site.desk().run(site.number, "", "b200:train")
    assert single.proven and len(site.jobs) == 1
    assert site.github.deployments == {}
    comments = [one for one in site.github.comments.values() if one.number == site.number]
    checks = list(site.github.checks.values())
    assert len(comments) == 1 and "is proven" in comments[0].body
    assert [(one.name, one.conclusion, one.head_sha) for one in checks] == [
        ("nmoe-graph / tier-b hot", "success", git(site.laptop, "rev-parse", "HEAD"))
    ]


def test_what_is_proven_is_not_run_again_on_the_runner(site: Site) -> None:
    """A larger bundle runs only what is new: no minute is spent twice."""
    assert site.desk().run(site.number, "hot").proven
    report = site.desk().run(site.number, "full")
    assert report.proven and len(site.jobs) == 2
    built = json.loads((site.root / "run-2-out/build.json").read_text())
    assert {row["label"]: row["cached"] for row in built["gates"]} == {"//gates/b200:other": False, "//gates/b200:train": True}


def test_a_gate_that_fails_is_no_proof_and_is_not_repeated_unasked(site: Site) -> None:
    """The failure is said with its log; the same request finds the run that ended, and only --rerun dispatches again."""
    change(site, "DIM = 100\n")
    report = site.desk().run(site.number, "hot")
    assert (report.proven, report.exit_code) == (False, 1)
    assert "AssertionError" in report.logs["b200:train"]
    again = site.desk().run(site.number, "hot")
    assert not again.dispatched and len(site.jobs) == 1
    assert any("--rerun" in note for note in again.notes)
    rerun = site.desk().run(site.number, "hot", rerun=True)
    assert rerun.dispatched and len(site.jobs) == 2
    assert rerun.resolved.request.stem == report.resolved.request.stem
    assert len([one for one in site.github.comments.values() if one.number == site.number]) == 1


def test_killed_while_waiting_the_next_call_picks_the_run_up(site: Site) -> None:
    """Whoever dispatched it, here or elsewhere, and whether or not the run was known when the process ended."""
    first = site.desk().run(site.number, "hot", wait=False)
    assert first.dispatched and first.run is not None
    second = site.desk().run(site.number, "hot", wait=False)
    assert not second.dispatched and second.run is not None and second.run.id == first.run.id
    elsewhere = site.clone("elsewhere")
    third = site.desk(elsewhere).run(site.number, "hot", wait=False)
    assert not third.dispatched and third.run is not None and third.run.id == first.run.id
    assert site.desk().run(site.number, "hot").proven
    assert len(site.github.carried_out("actions/create-workflow-dispatch")) == 1


def test_following_ends_in_time_and_the_run_goes_on(site: Site) -> None:
    """After so many seconds the command ends, says so, and the run is as it was."""
    report = site.desk().run(site.number, "hot", most_s=1.0)
    assert report.run is not None and (report.run.status, report.exit_code) == ("waiting", 3)
    assert "the same command picks it up" in report.notes[-1]
    assert site.desk().run(site.number, "hot").proven and len(site.jobs) == 1


@pytest.mark.parametrize("kind", ["502", "truncated", "cut"])
def test_a_dispatch_of_which_nobody_knows_whether_it_arrived_is_looked_for(site: Site, kind: str) -> None:
    """The answer was lost after the work was done: the run is found by its name."""
    site.github.inject(kind, "actions/create-workflow-dispatch", after=True)
    report = site.desk().run(site.number, "hot")
    assert report.proven and len(site.jobs) == 1
    assert len(site.github.carried_out("actions/create-workflow-dispatch")) == 1


def test_killed_between_the_journal_and_github(site: Site) -> None:
    """A row without a run, and no run at GitHub: it never arrived, and is dispatched under the same name."""
    desk = site.desk()
    _, _, resolved = desk.resolve(site.number, "hot")
    Journal(Workspace.open(site.laptop).repository.state_dir / "tier-b").write(
        resolved.request.correlation, Row(datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    )
    report = site.desk().run(site.number, "hot")
    assert report.proven and report.resolved.request.correlation == resolved.request.correlation
    assert len(site.github.carried_out("actions/create-workflow-dispatch")) == 1


def test_a_push_after_the_dispatch_is_another_request(site: Site) -> None:
    """The run proves the commits that it was approved for; the new head has no proof of it, unless its keys are equal."""
    site.desk().run(site.number, "hot", wait=False)
    old = git(site.laptop, "rev-parse", "HEAD")
    head = change(site, "DIM = 32\n")
    report = site.desk().run(site.number, "hot")
    assert report.proven and report.dispatched and report.resolved.request.head_sha == head
    assert {one["head_sha"] for one in site.jobs} <= {old, head}
    assert {one.head_sha for one in site.github.checks.values()} <= {old, head}
    assert all(one.conclusion == "success" for one in site.github.checks.values() if one.head_sha == head)


def test_approval_is_of_what_the_pull_request_is_now(site: Site) -> None:
    """Approved is a run of the present head; one that waits for an earlier head is not approved from here."""
    site.desk().run(site.number, "hot", wait=False)
    run = next(iter(site.github.runs.values()))
    site.github.advance(run)
    with pytest.raises(UsageError, match="nothing was approved"):
        site.desk().approve(site.number, "hot", sure=lambda: False)
    assert run.status == "waiting"
    change(site, "DIM = 64\n")
    with pytest.raises(UsageError, match="present head"):
        site.desk().approve(site.number, "hot", sure=lambda: True)
    assert run.status == "waiting"
    change(site, "DIM = 16\n")
    git(site.laptop, "reset", "-q", "--hard", "HEAD")
    with pytest.raises(NmoeGraphError):
        site.desk().approve(site.number, "hot", sure=lambda: True)  # equal files, another commit: it was not what was read


def test_an_approved_run_goes_on(site: Site) -> None:
    site.desk().run(site.number, "hot", wait=False)
    run = next(iter(site.github.runs.values()))
    site.github.advance(run)
    report = site.desk().approve(site.number, "hot", sure=lambda: True)
    assert report.notes == (f"run {run.id} approved",) and run.approved


FORGED: dict[str, Callable[[Request, str], dict[str, str]]] = {
    "another tree": lambda one, head: {"merged_tree": "1" * 40},
    "other definitions": lambda one, head: {"definitions_digest": "1" * 64},
    "another contract": lambda one, head: {"contract_digest": "1" * 64},
    "a head that is not there": lambda one, head: {"head_sha": "1" * 40},
    "a base of the change": lambda one, head: {"base_sha": head},
    "an unknown bundle": lambda one, head: {"bundle": "nope"},
    "a budget": lambda one, head: {"baseline_ref": "main", "perf_budget_pct": "-50"},
}


@pytest.mark.parametrize("case", FORGED)
def test_the_job_refuses_what_was_not_resolved(site: Site, case: str) -> None:
    """Whatever of a dispatch is not so, nothing is run."""
    _, commits, resolved = site.desk().resolve(site.number, "hot")
    forged = replace(resolved.request, **FORGED[case](resolved.request, commits.head)).named(1)  # type: ignore[arg-type]
    out = site.root / "out"
    with pytest.raises(NmoeGraphError):
        site.desk().job(json.dumps(forged.to_inputs()), out=out, engine=commits.base)
    assert not (out / "results.jsonl").exists()


@pytest.mark.parametrize(
    "damage",
    [
        {"correlation": "pr1-" + "0" * 20 + "-1"},
        {"pr_number": "0"},
        {"pr_number": "1; true"},
        {"bundle": "$(id)"},
        {"single_gate": "b200:train"},
        {"head_sha": "main"},
        {"contract": "../x"},
        {"more": "x"},
        {"baseline_ref": "a..b"},
    ],
)
def test_a_dispatch_that_is_not_of_its_form_is_refused(damage: dict[str, str]) -> None:
    """Every input is checked before any is used, and the name must be that of the work."""
    fine = Request(7, "hot", "", "a" * 40, "b" * 40, "c" * 40, "d" * 64, "01", "e" * 64).named(1)
    assert request_from(fine.to_inputs()) == fine
    with pytest.raises(UsageError):
        request_from(fine.to_inputs() | damage)
    for odd in ([], "x", None, {**fine.to_inputs(), "bundle": 7}):
        with pytest.raises(UsageError):
            request_from(odd)


def results(site: Site) -> tuple[Request, Path, str]:
    """An honest folder of results, of a job that ran."""
    _, commits, resolved = site.desk().resolve(site.number, "hot")
    dispatch, out = json.dumps(resolved.request.to_inputs()), site.root / "honest"
    site.desk().job(dispatch, out=out, engine=commits.base)
    return resolved.request, out, dispatch


def test_claims_that_were_altered_are_not_signed(site: Site) -> None:
    """Another verdict under another key, another commit, a definition of one's own, no definition: none is signed."""
    request, out, dispatch = results(site)
    honest = json.loads((out / "results.jsonl").read_text())

    def altered(**changes: Any) -> dict[str, Any]:
        copy = json.loads(json.dumps(honest))
        copy["predicate"]["nmoe_run"] |= changes
        return dict(copy)

    moved = json.loads(json.dumps(honest))
    moved["subject"][0]["digest"]["gitCommit"] = request.head_sha
    lines = [altered(actionKey="0" * 64), altered(definition="0" * 64), altered(base=request.head_sha), moved]
    forged = site.root / "forged"
    forged.mkdir()
    (forged / "results.jsonl").write_text("".join(json.dumps(one) + "\n" for one in [*lines, {"x": 1}]) + "no json\n")
    report = site.desk(site.clone("judge")).report(dispatch, forged, proved="success", key=site.key)
    assert not report.proven and report.exit_code == 1
    assert sum("not signed" in note or "is no statement" in note for note in report.notes) == 6
    good = site.desk(site.clone("judge-2")).report(dispatch, out, proved="success", key=site.key)
    assert good.proven


def test_a_report_without_results_says_so(site: Site) -> None:
    """The job was cancelled, or failed before it proved anything."""
    _, _, resolved = site.desk().resolve(site.number, "hot")
    dispatch = json.dumps(resolved.request.to_inputs())
    report = site.desk(site.clone("judge")).report(dispatch, site.root / "nothing", proved="cancelled", key=site.key)
    assert not report.proven
    body = next(one.body for one in site.github.comments.values() if one.number == site.number)
    assert "is not proven" in body and "cancelled" in body


def test_a_key_that_the_base_does_not_trust_proves_nothing(site: Site, tmp_path: Path) -> None:
    _, out, dispatch = results(site)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(tmp_path / "other")], check=True)
    report = site.desk(site.clone("judge")).report(dispatch, out, key=(tmp_path / "other").read_text())
    assert not report.proven


def test_a_conflict_is_said_before_anything_is_dispatched(site: Site) -> None:
    git(site.laptop, "checkout", "-q", "-B", "landing", "origin/main")
    (site.laptop / "demo/__init__.py").write_text("DIM = 9\n")
    git(site.laptop, "commit", "-qam", "other")
    git(site.laptop, "push", "-q", "origin", "landing:main")
    with pytest.raises(NmoeGraphError, match=r"conflict in demo/__init__\.py"):
        site.desk().run(site.number, "hot")
    assert site.github.runs == {}


def test_a_run_that_is_cancelled_is_no_failure_of_the_change(site: Site) -> None:
    site.github.decide = lambda run: Outcome("cancelled")
    report = site.desk().run(site.number, "hot")
    assert (report.proven, report.exit_code) == (False, 3)


def test_the_token_may_not_dispatch(site: Site, client: Callable[..., GitHub]) -> None:
    """A refusal is an error, and the journal lets the next call ask again."""
    site.client = lambda: client("a-word-nobody-knows")
    with pytest.raises(ForgeError):
        site.desk().run(site.number, "hot")
    site.client = client
    assert site.desk().run(site.number, "hot").proven


def test_another_user_cannot_be_asked_for_by_a_trick(site: Site) -> None:
    _, commits, resolved = site.desk().resolve(site.number, "hot")
    dispatch = json.dumps(resolved.request.to_inputs())
    for name in ("-u root", "a b", "$(id)", "ROOT"):
        with pytest.raises((UsageError, HostError)):
            site.desk().job(dispatch, gate_user=name, out=site.root / "o", engine=commits.base)


def test_build_on_a_laptop_proves_gates_on_the_runners(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """`build --executor github`, or an executor that the workspace names: the same path, and then it is cached."""
    monkeypatch.setattr("nmoe_graph.execute.build.Builder.why_not_here", lambda self, item: "needs sm_100a" * (item.tier == "b"))
    workspace = Workspace.open(site.laptop)
    assert workspace.build("//gates:hot").exit_code == 3  # nobody is named
    monkeypatch.setattr(Workspace, "github", lambda self, *more: site.client())
    monkeypatch.setattr(Workspace, "tier_b", lambda self, *more: site.desk())

    def here(self: Any, item: Any) -> str:
        """Only the laptop lacks the machine."""
        return "needs sm_100a" if item.tier == "b" and os.getcwd() == str(site.laptop) else ""

    monkeypatch.chdir(site.laptop)
    monkeypatch.setattr("nmoe_graph.execute.build.Builder.why_not_here", here)
    report = Workspace.open(site.laptop).build("//gates:hot", executor="github")
    assert report.exit_code == 0 and [one.cached for one in report.gates] == [True]
    assert len(site.jobs) == 1 and site.jobs[0]["bundle"] == "hot"


def test_a_commit_without_a_pull_request_cannot_go_to_the_runners(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nmoe_graph.execute.build.Builder.why_not_here", lambda self, item: "needs sm_100a")
    monkeypatch.setattr(Workspace, "github", lambda self, *more: site.client())
    monkeypatch.setattr(Workspace, "tier_b", lambda self, *more: site.desk())
    (site.laptop / "demo/more.py").write_text("X = 1\n")
    with pytest.raises(UsageError, match="work tree has changes"):
        Workspace.open(site.laptop).build("//gates:hot", executor="github")
    git(site.laptop, "add", "-A")
    git(site.laptop, "commit", "-qm", "more")
    with pytest.raises(HostError, match="no open pull request"):
        Workspace.open(site.laptop).build("//gates:hot", executor="github")
    assert site.github.runs == {}
