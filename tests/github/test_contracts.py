"""Contracts over the double: synced from issues by the rules of the base, written, worked on, followed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nmoe_graph import Workspace
from nmoe_graph.contracts.desk import ContractDesk
from nmoe_graph.contracts.draft import Draft, issue_body
from nmoe_graph.contracts.status import ContractState, ProofState, next_action
from nmoe_graph.errors import DeclarationError, HostError, UsageError
from nmoe_graph.forge.errors import ForgeError
from nmoe_graph.load.contract import contract_data
from nmoe_graph.load.yamltext import read_yaml
from nmoe_graph.report.contracts import status_text

from .site import CONTRACT, Site, change, git


def desk(site: Site, where: Path | None = None) -> ContractDesk:
    return ContractDesk(Workspace.open(where or site.laptop), site.client)


def draft(issue: str = "02", slug: str = "deeper", **more: Any) -> Draft:
    return Draft(issue, slug, "feature", "cold", "S", allow=("demo/**",), required=("cpu:import",), **more)


def body(issue: str = "02", **more: Any) -> str:
    return issue_body(draft(issue, **more).to_yaml())


def on_main(site: Site) -> None:
    git(site.laptop, "checkout", "-q", "-B", "main", "origin/main")


# -- drafts --------------------------------------------------------------------------------------------------------------------

WORDS = st.text(
    st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs"), exclude_characters="\x85"), min_size=1, max_size=40
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(WORDS, max_size=3, unique=True), WORDS, st.booleans(), st.sampled_from(["squash", "merge"]))
def test_a_draft_that_is_accepted_is_read_back_as_it_was_meant(
    invariants: list[str], title: str, keep: bool, strategy: str
) -> None:
    """Whatever stands in its texts: quotes, colons, words that YAML reads otherwise."""
    made = draft(title=title, invariants=tuple(invariants), delete_branch=keep, strategy=strategy)
    try:
        contract = made.checked(None)
    except DeclarationError:
        return
    assert (contract.title, contract.invariants) == (title, tuple(invariants))
    assert (contract.delete_branch, contract.merge_strategy) == (keep, strategy)


@pytest.mark.parametrize("word", ["no", "1e3", "null", "~", "0x1F", "a: b", "- a", "x #y", "'", '"', "*x", "&x", "{a}", "12:30"])
def test_words_that_yaml_reads_otherwise_stay_text(word: str) -> None:
    text = draft(title=word).to_yaml()
    assert contract_data(read_yaml(text.encode(), "f"), None)["nmoe"]["title"] == word


# -- written -------------------------------------------------------------------------------------------------------------------


def test_a_new_contract_is_a_file_and_an_issue_once(site: Site) -> None:
    """Nothing is overwritten; a second call, and one whose answer was lost, open no second issue."""
    on_main(site)
    site.github.inject("502", "issues/create", after=True)
    with pytest.raises(ForgeError):
        desk(site).new(draft(), issue=True)
    assert not (site.laptop / "configs/contracts/02-deeper.yaml").exists()
    made = desk(site).new(draft(), issue=True)
    assert made.number and len([one for one in site.github.issues.values() if one.title.startswith("[02]")]) == 1
    assert (site.laptop / made.path).read_text() == draft().to_yaml()
    with pytest.raises(UsageError, match="is there already"):
        desk(site).new(draft(slug="other"))
    with pytest.raises(UsageError, match="no contract here is"):
        desk(site).new(draft("03", depends_on=("99",)))
    with pytest.raises(DeclarationError):
        desk(site).new(draft("03", title="see http://10.1.2.3/x"))
    assert sorted(path.name for path in (site.laptop / "configs/contracts").iterdir()) == ["01-wider.yaml", "02-deeper.yaml"]


def test_a_check_finds_every_fault(site: Site, tmp_path: Path) -> None:
    on_main(site)
    assert desk(site).check().exit_code == 0
    assert desk(site).check(["01"]).exit_code == 0
    bad = tmp_path / "bad.yaml"
    bad.write_text(CONTRACT.replace("cpu:import", "cpu:imprt").replace("issue: 01", "issue: 02"))
    issue = tmp_path / "issue.md"
    issue.write_text(body("04"))
    report = desk(site).check([str(bad), str(issue)])
    assert report.exit_code == 1 and [one.contract for one in report.contracts] == ["04"]
    assert "unknown gate cpu:imprt" in report.faults[0].what
    with pytest.raises(UsageError):
        desk(site).check(["nope"])


# -- synced --------------------------------------------------------------------------------------------------------------------


def test_issues_become_contracts_of_every_question(site: Site) -> None:
    """One state has one tree; an edit is shown; the graph, the plan and the digests follow."""
    on_main(site)
    opened = site.github.open_issue("[02] Deeper", body("02"))
    report = desk(site).sync()
    assert [(one.issue, one.number) for one in report.issues] == [("02", opened.number)] and report.exit_code == 0
    workspace = Workspace.open(site.laptop)
    before = workspace.analysis().table()["//contracts:02"].digest
    assert [step.contract for step in workspace.plan_merges().steps] == ["01", "02"]
    assert desk(site).sync().commit is None
    site.github.edit_issue(opened.number, body("02", title="Much deeper"))
    again = desk(site).sync()
    assert [change.what for change in again.changes] == ["changed"]
    assert any("+  title: Much deeper" in line for line in again.changes[0].diff)
    assert workspace.analysis().table()["//contracts:02"].digest != before
    site.github.edit_issue(opened.number, "nothing any more")
    assert [change.what for change in desk(site).sync().changes] == ["removed"]
    assert "//contracts:02" not in Workspace.open(site.laptop).analysis().table()


def test_an_issue_equal_to_its_file_changes_no_digest(site: Site) -> None:
    on_main(site)
    before = {label: row.digest for label, row in Workspace.open(site.laptop).analysis().table().items()}
    site.github.open_issue("[01] Wider", f"```yaml\n{CONTRACT}```\n")
    assert desk(site).sync().exit_code == 0
    assert {label: row.digest for label, row in Workspace.open(site.laptop).analysis().table().items()} == before


def test_a_difference_to_the_file_is_an_error_that_shows_it(site: Site) -> None:
    on_main(site)
    site.github.open_issue("[01] Wider", f"```yaml\n{CONTRACT.replace('risk: hot', 'risk: cold')}```\n")
    report = desk(site).sync()
    assert report.exit_code == 1 and "nmoe.risk is cold and hot" in report.refused[0].what
    with pytest.raises(DeclarationError, match=r"nmoe\.risk is cold and hot"):
        Workspace.open(site.laptop).analysis().table()


def test_who_may_author_is_said_by_the_base(site: Site) -> None:
    """A stranger's issue, two of one id, a faulty one: said, and none of them leaves a contract."""
    on_main(site)
    site.github.open_issue("[05] x", body("05"), association="NONE", author="stranger")
    site.github.open_issue("[06] a", body("06"))
    site.github.open_issue("[06] b", body("06"))
    site.github.open_issue("[07] c", body("07").replace("cpu:import", "cpu:nope"))
    site.github.open_issue("talk", "no contract here")
    site.github.open_issue("quoted", "\n".join(f"> {line}" for line in body("08").splitlines()))
    report = desk(site).sync()
    assert report.issues == () and report.exit_code == 1
    words = " ".join(fault.what for fault in report.refused)
    assert "NONE" in words and "more than one issue" in words and "unknown gate cpu:nope" in words


def test_a_closed_issue_counts_where_it_has_landed(site: Site) -> None:
    on_main(site)
    one, two = (site.github.open_issue(f"[{name}] x", body(name)) for name in ("02", "03"))
    one.state = two.state = "closed"
    git(site.laptop, "commit", "-q", "--allow-empty", "-m", "Deeper (#02)\n\nContract: 02")
    git(site.laptop, "push", "-q", "origin", "HEAD:main")
    assert [each.issue for each in desk(site).sync().issues] == ["02"]


HOSTILE = [
    "\x1b[31mred",
    "::error::x",
    "<script>alert(1)</script>",
    "a\u202eb",
    "`code` @everyone | cell",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_titles_and_bodies_stay_text(site: Site, text: str) -> None:
    on_main(site)
    site.github.open_issue(text, f"{text}\n\n{body('02')}\n{text}\n```yaml\n{'&a [' * 300}\n```")
    report = desk(site).sync()
    said = json.dumps(report.to_dict(), ensure_ascii=False)
    assert "\x1b" not in said and "\u202e" not in said
    assert [one.issue for one in report.issues] == ["02"]


def test_the_state_travels_without_a_token(site: Site) -> None:
    """Pushed by one clone, fetched by another; two that push at once lose nothing."""
    on_main(site)
    site.github.open_issue("[02] x", body("02"))
    desk(site).sync()
    assert desk(site).push() is True and desk(site).push() is False
    there = site.clone("there")
    assert desk(site, there).fetch() is not None
    assert "//contracts:02" in Workspace.open(there).analysis().table()
    site.github.open_issue("[03] x", body("03"))
    desk(site, there).sync()
    desk(site).sync()
    assert desk(site).push() is True
    assert desk(site, there).push() in (True, False)
    with pytest.raises((HostError, UsageError)):
        desk(site).fetch("--upload-pack=x")


# -- worked on -----------------------------------------------------------------------------------------------------------------


def test_a_worktree_is_made_once(site: Site) -> None:
    on_main(site)
    git(site.laptop, "branch", "-q", "-D", "issue/01-wider")
    first = desk(site).worktree("01")
    again = desk(site, Path(first.folder)).worktree("01")
    assert (first.made, again.made, again.folder) == (True, False, first.folder)
    assert Path(first.folder) == site.laptop.parent / "demo-worktrees/issue-01-wider"
    assert git(Path(first.folder), "rev-parse", "HEAD") == git(site.laptop, "rev-parse", "origin/issue/01-wider")
    with pytest.raises(UsageError, match="there is no contract"):
        desk(site).worktree("77")
    blocked = site.root / "in-the-way"
    blocked.mkdir()
    (blocked / "x").write_text("mine")
    git(site.laptop, "worktree", "remove", "--force", first.folder)
    with pytest.raises(UsageError, match="is there, and is no worktree"):
        desk(site).worktree("01", folder=str(blocked))
    assert (blocked / "x").read_text() == "mine"


def test_status_tells_how_far_it_is(site: Site) -> None:
    state = desk(site).status().contracts[0]
    assert (state.pull, state.pull_state, state.commits, state.pushed) == (site.number, "open", 1, True)
    assert state.unproven("a") == ("cpu:import",) and state.next.startswith("nmoe-graph build")
    fork = site.github.open_pull("issue/01-wider", "[01] mine", head_sha="f" * 40, fork="stranger/nmoe")
    assert desk(site).status().contracts[0].pull == site.number != fork.number
    change(site, "DIM = 17\n")
    assert desk(site).status(["01"]).contracts[0].commits == 2
    assert desk(site).status(offline=True).contracts[0].pull == 0


def test_status_names_commits_that_are_not_of_the_contract_alone(site: Site) -> None:
    """A commit beside the scope, even where a later one takes it back, and a merge."""
    (site.laptop / "top.txt").write_text("x\n")
    git(site.laptop, "add", "-A")
    git(site.laptop, "commit", "-qm", "drive-by")
    state = desk(site).status(offline=True).contracts[0]
    assert [path for path, _ in state.out_of_scope] == ["top.txt"]
    assert "take top.txt out" in state.next
    git(site.laptop, "rm", "-q", "top.txt")
    git(site.laptop, "commit", "-qm", "taken back")
    git(site.laptop, "checkout", "-q", "-B", "side", "origin/main")
    git(site.laptop, "commit", "-q", "--allow-empty", "-m", "side")
    git(site.laptop, "checkout", "-q", "issue/01-wider")
    git(site.laptop, "merge", "-q", "--no-ff", "-m", "merge", "side")
    state = desk(site).status(offline=True).contracts[0]
    assert state.out_of_scope == () and [words.partition(" ")[2].split(" (")[0] for words in state.odd_commits] == [
        "is a merge",
        "touches top.txt",
        "touches top.txt",
    ]
    text = status_text(desk(site).status(offline=True))
    assert "commit " in text and "is a merge" in text and "touches top.txt" in text


def test_status_says_which_gate_checks_an_invariant(site: Site) -> None:
    """By `[invariants]` of the base: proven where its gate is; a sentence that no gate checks is unchecked, and stays so."""
    on_main(site)
    path = site.laptop / "configs/contracts/01-wider.yaml"
    path.write_text(path.read_text() + 'contract: {invariants: ["It imports", "No all-to-all"]}\n')
    build = site.laptop / "BUILD.toml"
    build.write_text(build.read_text() + '\n[invariants]\n"It imports" = "//gates/cpu:import"\n')
    git(site.laptop, "commit", "-qam", "invariants")
    git(site.laptop, "push", "-q", "origin", "HEAD:main")

    def said() -> list[tuple[str, str, str]]:
        invariants = desk(site).status(offline=True).contracts[0].invariants
        return [(one.text, one.gate, one.state) for one in invariants]

    assert said() == [("It imports", "cpu:import", "not proven"), ("No all-to-all", "", "unchecked")]
    assert Workspace.open(site.laptop).build("cpu:import", "issue/01-wider").exit_code == 0
    assert said() == [("It imports", "cpu:import", "proven"), ("No all-to-all", "", "unchecked")]


BASE = ContractState("01", "t", False, branch="b", commit="1" * 40, commits=1, pull=7, pull_state="open", pull_commit="1" * 40)
PROVEN, NOT_A, NOT_B = ProofState("g", "a", True, ""), ProofState("g", "a", False, ""), ProofState("h", "b", False, "")
NEXT: dict[str, tuple[dict[str, Any], str]] = {
    "landed": ({"landed": True}, "nothing"),
    "no branch": ({"branch": ""}, "contract worktree 01"),
    "dirty": ({"dirty": True}, "commit"),
    "no commits": ({"commits": 0}, "work in"),
    "out of scope": ({"out_of_scope": (("x", "added"),)}, "take x out"),
    "tier a": ({"proofs": (NOT_A,)}, "nmoe-graph build"),
    "no pull": ({"pull": 0, "proofs": (PROVEN,)}, "pr create 01"),
    "closed": ({"pull_state": "closed"}, "reopen"),
    "not pushed": ({"pull_commit": "2" * 40}, "pr update 7"),
    "tier b": ({"proofs": (NOT_B,)}, "tier-b run 7"),
    "waits": ({"waits_for": ("00",)}, "wait for 00"),
    "done": ({}, "merge --github 01"),
}


@pytest.mark.parametrize("case", NEXT)
def test_what_to_do_next(case: str) -> None:
    from dataclasses import replace

    changes, words = NEXT[case]
    assert words in next_action(replace(BASE, **changes), asked=True)


def test_many_issues_over_pages(site: Site) -> None:
    """What stands on the fifth page counts as what stands on the first."""
    on_main(site)
    for number in range(430):
        site.github.open_issue(f"talk {number}", "no contract")
    for name in ("02", "03"):
        site.github.open_issue(f"[{name}] x", body(name))
    assert [one.issue for one in desk(site).sync().issues] == ["02", "03"]
    assert len([one for one in site.github.log if one.operation == "issues/list-for-repo"]) == 5


def test_a_new_contract_is_asked_for_on_a_terminal(site: Site) -> None:
    """What flags do not say is asked; an answer that cannot be is asked for again; the end of the input is an error."""
    import pty
    import subprocess
    import sys

    on_main(site)

    def talk(answers: str) -> tuple[int, str]:
        controller, terminal = pty.openpty()
        command = [sys.executable, "-m", "nmoe_graph", "contract", "new", "--id", "02", "-C", str(site.laptop)]
        done = subprocess.Popen(command, stdin=terminal, stderr=terminal, stdout=subprocess.PIPE, text=True)
        os.close(terminal)
        os.write(controller, answers.encode())
        out = done.communicate(timeout=60)[0]
        said.append(os.read(controller, 65536).decode())
        os.close(controller)
        return done.returncode, out

    said: list[str] = []
    assert talk("\x04") == (2, "")
    code, out = talk("deeper\nnonsense\nfeature\ncold\nS\nA deeper model\ndemo/**\ncpu:import\n")
    assert (code, out.strip()) == (0, "configs/contracts/02-deeper.yaml")
    assert "one of feature, bugfix, perf, refactor, docs" in said[-1]
    assert "title: A deeper model" in (site.laptop / "configs/contracts/02-deeper.yaml").read_text()
