"""The command line over a socket: the real command, a double that listens, and runners that carry out what it dispatches.

`Shell` holds every command to three things by itself: no token in what it prints, no traceback, no character that steers a
terminal or a CI.  The double holds every request to GitHub's description.
"""

from __future__ import annotations

import json
import re
import time

import pytest

from nmoe_graph.contracts.draft import issue_body

from .double import READER
from .shell import Shell
from .site import Site, change, git

YAML = """nmoe:
  issue: 02
  slug: deeper
  kind: feature
  risk: cold
  complexity: S
  title: {title}
  depends_on: []
  merge_hotspots: []

scope:
  allow:
    - demo/**
  deny: []

gates:
  required:
    - cpu:import
"""
NEW = (
    "contract",
    "new",
    "--id",
    "02",
    "--slug",
    "deeper",
    "--kind",
    "feature",
    "--risk",
    "cold",
    "--complexity",
    "S",
    "--title",
    "Deeper",
)
NEW += ("--allow", "demo/**", "--gate", "cpu:import")  # fmt: skip


def on_main(shell: Shell) -> None:
    shell.git("checkout", "-q", "-B", "main", "origin/main")


def number(site: Site) -> str:
    return str(site.number)


def proven(shell: Shell, site: Site) -> None:
    """Both tiers of contract 01, by the commands of a person."""
    shell("build", "--at", "issue/01-wider", "cpu:import")
    shell("tier-b", "run", number(site), "--bundle", "hot", "--no-wait", code=3)
    for run in site.github.runs.values():
        if run.status == "queued":
            site.github.advance(run)
    shell("tier-b", "approve", number(site), "--bundle", "hot", "--yes")
    shell("tier-b", "run", number(site), "--bundle", "hot", "--every", "1")


# -- contracts -----------------------------------------------------------------------------------------------------------------


def test_a_contract_is_written_and_its_issue_opened_once(shell: Shell, site: Site) -> None:
    """An answer that was lost is exit 3 and says that it may have happened; the next call finds the issue and opens no other."""
    on_main(shell)
    site.github.inject("cut", "issues/create", after=True)
    lost = shell(*NEW, "--issue", code=3)
    assert "it may have happened all the same" in lost.err and lost.out == ""
    assert shell.git("status", "--porcelain") == ""
    made = shell(*NEW, "--issue")
    assert made.out.splitlines() == ["configs/contracts/02-deeper.yaml", "https://github.com/noumena/nmoe/issues/2"]
    assert [one.title for one in site.github.issues.values()] == ["[02] Deeper"]
    again = shell(*NEW, "--issue", code=2)
    assert "is there already" in again.err and len(site.github.issues) == 1


def test_no_token_and_a_wrong_token(shell: Shell, site: Site) -> None:
    """Exit 3, the hint, and nothing of the token."""
    on_main(shell)
    assert "no token for github.com" in shell("contract", "sync", token="", code=3).err
    wrong = shell("contract", "sync", token="a-word-that-nobody-knows", code=3)
    assert "401" in wrong.err and "is the token still valid?" in wrong.err and "a-word" not in wrong.err + wrong.out
    assert "exit_code" in shell("contract", "sync", "--format", "json", token="", code=3).out


def test_issues_are_synced_and_a_change_is_shown(shell: Shell, site: Site) -> None:
    on_main(shell)
    one = site.github.open_issue("[02] Deeper", issue_body(YAML.format(title="Deeper")))
    assert re.fullmatch(
        r"02  added  issue #2\n1 contract of the issues, 1 changed, at [0-9a-f]{12}\n", shell("contract", "sync").out
    )
    assert shell("contract", "sync").out == "1 contract of the issues, nothing changed\n"
    site.github.edit_issue(one.number, issue_body(YAML.format(title="Much deeper")))
    said = shell("contract", "sync").out
    assert "02  changed  issue #2\n" in said
    assert "    -  title: Deeper\n    +  title: Much deeper\n" in said
    assert "Much deeper" in shell("contract", "status", "02", "--offline").out
    assert shell("contract", "sync", "--push").code == 0
    clone = site.root / "colleague"
    shell.git("clone", "-q", "https://github.com/noumena/nmoe.git", str(clone), where=site.root)
    assert re.fullmatch(
        r"contracts of the issues at [0-9a-f]{12}\n", shell("contract", "sync", "--fetch", where=clone, token="").out
    )
    assert "Much deeper" in shell("contract", "status", "02", "--offline", where=clone, token="").out


def test_an_issue_and_a_file_that_differ_are_an_error_that_shows_it(shell: Shell, site: Site) -> None:
    on_main(shell)
    text = (site.laptop / "configs/contracts/01-wider.yaml").read_text()
    site.github.open_issue("[01] Wider", issue_body(text.replace("risk: hot", "risk: cold")))
    said = shell("contract", "sync", code=1)
    assert "contract 01 of issue #2 and of configs/contracts/01-wider.yaml" in said.err
    assert "nmoe.risk is cold and hot" in said.err and "hint: the issue counts" in said.err
    assert "nmoe.risk is cold and hot" in shell("contract", "check", code=1).err


def test_a_stranger_s_issue_is_said_and_does_not_count(shell: Shell, site: Site) -> None:
    on_main(shell)
    site.github.open_issue("[02] Deeper", issue_body(YAML.format(title="x")), author="stranger", association="NONE")
    said = shell("contract", "sync", code=1)
    assert "holds a contract and does not count" in said.err and "0 contracts of the issues" in said.out


def test_issues_on_five_pages(shell: Shell, site: Site) -> None:
    on_main(shell)
    for at in range(420):
        site.github.open_issue(f"talk {at}", "no contract")
    site.github.open_issue("[02] Deeper", issue_body(YAML.format(title="Deeper")))
    assert "02  added  issue #422" in shell("contract", "sync").out
    assert len([one for one in site.github.log if one.operation == "issues/list-for-repo"]) == 5


def test_the_state_of_contracts(shell: Shell, site: Site) -> None:
    """Branch, pull request, scope, proofs, and what to do next; without GitHub as much as can be said."""
    text = shell("contract", "status").out
    assert re.match(r"01  wider  issue/01-wider at [0-9a-f]{12}, 1 commit  #1 open  in scope  tier a 0/1  tier b 0/1\n", text)
    assert "next: nmoe-graph build --at issue/01-wider cpu:import" in text
    without = shell("contract", "status", token="")
    assert "#1" not in without.out and "note: GitHub was not asked: no token for github.com" in without.err
    state = json.loads(shell("contract", "status", "01", "--format", "json").out)["contracts"][0]
    assert (state["pull"]["number"], state["contract"]) == (1, "01")


# -- trouble on the way --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (
            "retry_after",
            "403 You have exceeded a secondary rate limit. Please wait a few minutes before you try again.; again in 1 s",
        ),
        ("429", "429 try again; again in 1 s"),
        ("500", "500 try again; again in 1 s"),
        ("502", "502 try again; again in 1 s"),
        ("503", "503 try again; again in 1 s"),
        ("truncated", "the connection broke; again in 1 s"),
        ("cut", "the connection broke; again in 1 s"),
        ("not_json", "the answer is no JSON; again in 1 s"),
        ("huge", "the answer has more than 33,554,432 bytes; again in 1 s"),
    ],
)
def test_a_question_is_asked_again_and_the_wait_is_told(shell: Shell, site: Site, kind: str, words: str) -> None:
    on_main(shell)
    site.github.open_issue("[02] Deeper", issue_body(YAML.format(title="Deeper")))
    site.github.inject(kind, "issues/list-for-repo", seconds=1)
    said = shell("contract", "sync")
    assert f"GitHub: GET /repos/noumena/nmoe/issues: {words}\n" in said.err
    assert "02  added" in said.out


def test_a_slow_answer_is_waited_for(shell: Shell, site: Site) -> None:
    on_main(shell)
    site.github.inject("slow", "issues/list-for-repo", seconds=2)
    began = time.monotonic()
    assert shell("contract", "sync").err == "" and time.monotonic() - began > 2


def test_a_limit_that_takes_too_long_ends_it(shell: Shell, site: Site) -> None:
    """Exit 3 at once, with the time that GitHub asks for."""
    on_main(shell)
    site.github.inject("primary", seconds=3_000)
    said = shell("contract", "sync", code=3)
    assert re.search(r"hint: GitHub asks to wait (2999|3000|3001|3002) s", said.err)


@pytest.mark.parametrize("kind", ["502", "truncated", "cut"])
def test_what_was_lost_on_the_way_is_looked_for_and_never_doubled(shell: Shell, site: Site, kind: str) -> None:
    """A comment, a dispatch, a merge: done once, whatever became of the answers."""
    for operation in ("issues/create-comment", "actions/create-workflow-dispatch", "pulls/merge"):
        site.github.inject(kind, operation, after=True)
    shell("build", "--at", "issue/01-wider", "cpu:import")
    shell("pr", "update", number(site))
    shell("pr", "verify", number(site), "--tier", "a", "--report")
    proven(shell, site)
    shell("merge", "--github", "01")
    done = {name: len(site.github.carried_out(name)) for name in ("actions/create-workflow-dispatch", "pulls/merge")}
    assert done == {"actions/create-workflow-dispatch": 1, "pulls/merge": 1} and site.github.faults == []
    assert sorted(one.body.split()[2] for one in site.github.comments.values()) == ["pr-verify", "tier-b"]


# -- pull requests -------------------------------------------------------------------------------------------------------------


def test_a_pull_request_is_opened_judged_and_brought_up_to_date(shell: Shell, site: Site) -> None:
    site.github.pulls[site.number].state = "closed"
    refused = shell("pr", "create", "01", code=1)
    assert refused.out == "01  not opened: 1 reason\n" and "error: cpu:import" in refused.err and len(site.github.pulls) == 1
    shell("build", "--at", "issue/01-wider", "cpu:import")
    made = shell("pr", "create", "01")
    assert re.fullmatch(r"01  #2 opened at [0-9a-f]{12}  https://github.com/noumena/nmoe/pull/2\n", made.out)
    assert " unchanged at " in shell("pr", "create", "01").out and len(site.github.pulls) == 2
    assert site.github.pulls[2].title == "[01] wider" and "- cpu:import" in site.github.pulls[2].body
    judged = shell("pr", "verify", "2", "--tier", "a", "--report")
    assert "counts, at " in judged.out and "lets apps alone do that" in judged.err
    assert re.search(r"(?m)^refused +b200:train is required", shell("pr", "verify", "2", code=1).out)
    site.github.pulls[2].body = "my own words\n\n" + site.github.pulls[2].body
    change(site, "DIM = 17\n")
    shell("build", "--at", "issue/01-wider", "cpu:import")
    assert " updated at " in shell("pr", "update", "2").out
    assert (
        site.github.pulls[2].body.startswith("my own words\n")
        and git(site.laptop, "rev-parse", "HEAD") in site.github.pulls[2].body
    )
    assert [one.author for one in site.github.comments.values()] == ["maintainer"]


def test_a_workflow_s_token_writes_the_check(shell: Shell, site: Site) -> None:
    """As in `tier-a.yml`, where the token is an app's; asked again, the same comment and the same check."""
    from .double import WORKFLOW

    shell("build", "--at", "issue/01-wider", "cpu:import")
    for _ in range(2):
        said = shell("pr", "verify", number(site), "--report", token=WORKFLOW, code=1)
        assert "does not count" in said.out and said.err == ""
    assert [(one.name, one.conclusion, one.updates) for one in site.github.checks.values()] == [
        ("nmoe-graph / contract", "failure", 1)
    ]
    assert [one.author for one in site.github.comments.values()] == ["github-actions[bot]"]


def test_numbers_that_are_none(shell: Shell, site: Site) -> None:
    assert "404" in shell("pr", "verify", "77", code=3).err
    for text in ("0", "x", "-1", "9" * 30, "1;id"):
        assert "error" in shell("pr", "verify", text, code=2).err


# -- tier b --------------------------------------------------------------------------------------------------------------------


def test_tier_b_from_the_dispatch_to_the_check(shell: Shell, site: Site) -> None:
    """One process asks and follows, another approves meanwhile; the proofs come home, one comment and one check say so."""
    first = shell.start("tier-b", "run", number(site), "--bundle", "hot", "--every", "1")
    end = time.monotonic() + 60
    while not any(run.status == "waiting" for run in site.github.runs.values()) and time.monotonic() < end:
        time.sleep(0.05)
    assert "nobody is there to ask" in shell("tier-b", "approve", number(site), "--bundle", "hot", code=2).err
    assert (
        "you may not approve b200-gates"
        in shell("tier-b", "approve", number(site), "--bundle", "hot", "--yes", token=READER, code=2).err
    )
    approved = shell("tier-b", "approve", number(site), "--bundle", "hot", "--yes")
    assert re.fullmatch(r"run \d+ approved\n", approved.out) and "merged tree" in approved.err
    out, err = first.communicate(timeout=60)
    assert first.returncode == 0, err
    run = next(iter(site.github.runs.values()))
    said = err.splitlines()
    order = [f"run {run.id}: queued", f"run {run.id}: waiting", "waits for approval of b200-gates", f"run {run.id}: in progress"]
    order += ["prove: in progress, build", f"run {run.id}: success"]
    assert [line for line in said if line in order] == order
    assert said[0] == "pull request 1, contract 01: hot" and "b200:train: to prove" in said
    assert out.splitlines()[0] == "b200:train  proven    signed by runner@nmoe.example"
    assert len(shell.runners.jobs) == 1 and run.inputs == shell.runners.jobs[0]
    assert [one.author for one in site.github.comments.values()] == ["github-actions[bot]"]
    assert [(one.name, one.conclusion, one.head_sha) for one in site.github.checks.values()] == [
        ("nmoe-graph / tier-b hot", "success", run.inputs["head_sha"])
    ]
    assert site.github.deployments == {}
    again = shell("tier-b", "run", number(site), "--bundle", "hot")
    assert "all of it is proven already: nothing was dispatched" in again.err and len(site.github.runs) == 1
    assert "b200:train: proven already" in shell("tier-b", "run", number(site), "--bundle", "full", "--dry-run", code=1).err


def test_a_gate_that_fails_there_is_exit_1_with_its_log(shell: Shell, site: Site) -> None:
    change(site, "DIM = 100\n")
    shell("tier-b", "run", number(site), "--gate", "b200:train", "--no-wait", code=3)
    shell("tier-b", "approve", number(site), "--gate", "b200:train", "--yes")
    said = shell("tier-b", "run", number(site), "--gate", "b200:train", "--every", "1", code=1)
    assert "the end of the log of b200:train:" in said.out and "    AssertionError" in said.out
    assert "--rerun dispatches the work again" in said.err
    assert [one.conclusion for one in site.github.checks.values()] == ["failure"]
    again = shell("tier-b", "run", number(site), "--gate", "b200:train", "--rerun", "--no-wait", code=3)
    assert "dispatched" in again.err and len(site.github.runs) == 2


@pytest.mark.parametrize(("ending", "code"), [("cancelled", 3), ("timed_out", 3), ("failure", 1)])
def test_how_a_run_ends_is_the_exit_code(shell: Shell, site: Site, ending: str, code: int) -> None:
    """Cut off from outside says nothing of the change; a job that failed does, and the end of its log is shown."""
    shell.runners.ending = ending
    shell("tier-b", "run", number(site), "--bundle", "hot", "--no-wait", code=3)
    shell("tier-b", "approve", number(site), "--bundle", "hot", "--yes")
    said = shell("tier-b", "run", number(site), "--bundle", "hot", "--every", "1", code=code)
    assert f": {ending.replace('_', ' ')}  https://" in said.out and "hot: 0 of 1 proven" in said.out
    assert ("the runner was lost" in said.out) == (ending == "failure")


def test_a_run_that_may_not(shell: Shell, site: Site) -> None:
    shell("tier-b", "run", number(site), "--bundle", "hot", "--no-wait", code=3)
    assert re.fullmatch(r"run \d+ rejected\n", shell("tier-b", "approve", number(site), "--bundle", "hot", "--reject", "--yes").out)
    assert "waits for the present head" in shell("tier-b", "approve", number(site), "--bundle", "hot", "--yes", code=2).err
    assert "failure" in shell("tier-b", "run", number(site), "--bundle", "hot", code=1).out and shell.runners.jobs == []


def test_questions_that_are_wrong(shell: Shell, site: Site) -> None:
    """Exit 2 before anything is dispatched."""
    assert "has no bundle hut\nhint: did you mean hot?" in shell("tier-b", "run", number(site), "--bundle", "hut", code=2).err
    assert "has no gate b200:x" in shell("tier-b", "run", number(site), "--gate", "b200:x", code=2).err
    assert "one of the two" in shell("tier-b", "run", number(site), code=2).err
    site.github.pulls[site.number].title = "Wider"
    assert "names no contract" in shell("tier-b", "run", number(site), "--bundle", "hot", code=2).err
    assert "is not set" in shell("tier-b", "job", "--out", str(site.root / "o"), code=2).err
    site.github.pulls[site.number].title = "[01] Wider"
    base = site.clone("base")
    (base / "demo/__init__.py").write_text("DIM = 9\n")
    git(base, "commit", "-qam", "other")
    git(base, "push", "-q", "origin", "HEAD:main")
    assert "conflict in demo/__init__.py" in shell("tier-b", "run", number(site), "--bundle", "hot", code=2).err
    assert site.github.runs == {}


def test_a_laptop_s_build_proves_on_the_runners(shell: Shell, site: Site) -> None:
    """`build --executor github`: what needs a B200 goes there, through the pull request of the commit; then it is cached."""
    on_main(shell)
    gates = site.laptop / "configs/gates/gates.toml"
    gates.write_text(gates.read_text().replace('cmd = "python -m demo"', 'gpus = 8\ncmd = "python -m demo"'))
    shell.git("commit", "-qam", "eight GPUs")
    shell.git("push", "-q", "origin", "HEAD:main")
    shell.git("checkout", "-q", "issue/01-wider")
    shell.git("rebase", "-q", "origin/main")
    assert "needs 8 GPUs" in shell("build", "//gates:hot", code=3).out
    none = shell("build", "//gates:hot", "--executor", "github", code=3)
    assert "no open pull request has" in none.err and "hint: nmoe-graph pr create" in none.err
    shell.git("push", "-q", "-f", "origin", "issue/01-wider")
    process = shell.start("build", "//gates:hot", "--executor", "github")
    end = time.monotonic() + 60
    while not any(run.status == "waiting" for run in site.github.runs.values()) and time.monotonic() < end:
        time.sleep(0.05)
    shell("tier-b", "approve", number(site), "--bundle", "hot", "--yes")
    out, err = process.communicate(timeout=90)
    assert process.returncode == 0, out + err
    assert re.match(r"b200:train  passed +\(?cached", out) or "1 cached" in out
    assert "prove: success" in err and len(shell.runners.jobs) == 1
    assert "1 of 1 proven (1 cached, 0 run)" in shell("build", "//gates:hot").out


# -- landing -------------------------------------------------------------------------------------------------------------------


def test_merge_lands_a_squash_and_deletes_the_branch(shell: Shell, site: Site) -> None:
    """Nothing before it is proven; then one commit with the tree that was tested; then there is nothing left to land."""
    before = shell.git("ls-remote", "origin", "refs/heads/main").split()[0]
    refused = shell("merge", "--github", "01", code=1)
    assert "not proven: b200:train" in refused.out and "not proven: cpu:import" in refused.out
    proven(shell, site)
    tree = next(iter(site.github.runs.values())).inputs["merged_tree"]
    assert shell("merge", "--github", "--dry-run").code == 0 and not site.github.pulls[site.number].merged
    said = shell("merge", "--github")
    landed = shell.git("ls-remote", "origin", "refs/heads/main").split()[0]
    assert f"01 landed as {landed[:12]}" in said.err
    shell.git("fetch", "-q", "--prune", "origin")
    assert shell.git("rev-parse", f"{landed}^") == before and shell.git("rev-parse", f"{landed}^{{tree}}") == tree
    assert shell.git("log", "-1", "--format=%s%n%b", landed).startswith("wider (#01)\nContract: 01\n")
    assert shell.git("ls-remote", "origin", "refs/heads/issue/01-wider") == ""
    assert "it has landed already" in shell("merge", "--github", "01", code=1).out
    merge = site.github.carried_out("pulls/merge")[0]
    assert merge.body["merge_method"] == "squash" and merge.body["sha"] == site.github.pulls[site.number].head_sha


def test_merge_as_a_merge_commit_and_with_a_branch_that_stays(shell: Shell, site: Site) -> None:
    """What a contract opts into, as the base has it."""
    on_main(shell)
    path = site.laptop / "configs/contracts/01-wider.yaml"
    path.write_text(path.read_text() + "merge: {strategy: merge, delete_branch: false}\n")
    shell.git("commit", "-qam", "opt in")
    shell.git("push", "-q", "origin", "HEAD:main")
    proven(shell, site)
    merged_at = shell.git("rev-parse", "origin/main")
    shell("build", "--at", "issue/01-wider", "cpu:import")
    shell("merge", "--github", "01")
    shell.git("fetch", "-q", "origin")
    head = shell.git("rev-parse", "issue/01-wider")
    assert shell.git("log", "-1", "--format=%P %s", "origin/main") == f"{merged_at} {head} Merge #01: wider"
    assert shell.git("ls-remote", "origin", "refs/heads/issue/01-wider") != ""


def test_merge_lands_the_head_that_was_read(shell: Shell, site: Site) -> None:
    """`--match-head`: somebody who has read a commit lands that one, or none."""
    proven(shell, site)
    read = shell.git("rev-parse", "issue/01-wider")
    other = shell.git("rev-parse", "origin/main")
    refused = shell("merge", "--github", "01", "--match-head", other, code=1)
    assert f"its head is {read[:12]}, and {other[:12]} was to land" in refused.out
    assert "goes with one contract" in shell("merge", "--github", "--match-head", read, code=2).err
    assert "goes with one contract" in shell("merge", "--github", "01", "--match-head", "HEAD", code=2).err
    assert "goes with --github" in shell("merge", "01", "--match-head", read, code=2).err
    assert shell("merge", "--github", "01", "--match-head", read[:10]).code == 0 and site.github.pulls[site.number].merged


def test_merge_stops_where_the_head_moves_in_the_last_moment(shell: Shell, site: Site) -> None:
    """GitHub is asked for exactly the head that was looked at."""
    proven(shell, site)
    before = shell.git("ls-remote", "origin", "refs/heads/main")
    site.github.meanwhile["pulls/merge"] = lambda: change(site, "DIM = 99\n")
    said = shell("merge", "--github", "01", code=1)
    assert "GitHub did not merge it: Head branch was modified" in said.out
    assert shell.git("ls-remote", "origin", "refs/heads/main") == before


def test_merge_says_what_a_base_that_moved_in_the_last_moment_made(shell: Shell, site: Site) -> None:
    proven(shell, site)

    def elsewhere() -> None:
        where = site.clone("somebody")
        (where / "notes.txt").write_text("one\ntwo\n")
        git(where, "commit", "-qam", "elsewhere")
        git(where, "push", "-q", "origin", "HEAD:main")

    site.github.meanwhile["pulls/merge"] = elsewhere
    said = shell("merge", "--github", "01", code=1)
    assert "what is there now was not tested" in said.out
    assert shell.git("ls-remote", "origin", "refs/heads/issue/01-wider") != ""


def test_merge_exactly_lands_nothing_that_was_not_tested(shell: Shell, site: Site) -> None:
    """The same moment, with `--exact`: the remote refuses, and the next call lands what is proven there."""
    proven(shell, site)
    tested = next(iter(site.github.runs.values())).inputs
    hook = site.root / "github.git/hooks/pre-receive"
    hook.write_text(
        "#!/bin/sh\nunset GIT_QUARANTINE_PATH\nread old new ref\n[ -e moved ] && exit 0\ntouch moved\n"
        'moved=$(git commit-tree -p "$old" -m elsewhere "$old^{tree}")\ngit update-ref refs/heads/main "$moved"\n'
    )
    hook.chmod(0o755)
    refused = shell("merge", "--github", "--exact", "01", code=1)
    assert "the push onto main was refused, and nothing landed" in refused.out
    assert shell.git("ls-remote", "origin", "refs/heads/issue/01-wider") != ""
    shell("merge", "--github", "--exact", "01")
    shell.git("fetch", "-q", "origin")
    assert shell.git("log", "-2", "--format=%s", "origin/main") == "wider (#01)\nelsewhere"
    assert shell.git("rev-parse", "origin/main^{tree}") == tested["merged_tree"]  # what came between changed no file
    assert site.github.pulls[site.number].state == "closed" and site.github.carried_out("pulls/merge") == []
    assert "goes with --github" in shell("merge", "--exact", "01", code=2).err


def test_merge_takes_no_flags_of_the_other_way_to_land(shell: Shell, site: Site) -> None:
    assert "--github lands pull requests one by one" in shell("merge", "--github", "--train", code=2).err
