"""Landing through GitHub: what is proven lands as it was tested, and the first surprise stops everything."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from nmoe_graph import Workspace
from nmoe_graph.forge.github import GitHub
from nmoe_graph.git.snapshot import Snapshot
from nmoe_graph.merge.branches import Branches
from nmoe_graph.pulls.desk import PullDesk

from .site import Site, change, git


def desk(site: Site, forge: Any = None) -> PullDesk:
    return PullDesk(Workspace.open(site.laptop), lambda: forge or site.client(), "origin", site.said.append)


def prove(site: Site) -> None:
    """Tier b on the runner, tier a on the laptop, at the merge of the present head and base."""
    report = site.desk().run(site.number, "hot")
    assert report.proven
    workspace = Workspace.open(site.laptop)
    tree = report.resolved.request.merged_tree
    workspace.build("cpu:import", Snapshot(workspace.repository.objects, tree, "the merge", report.resolved.commit))


def main_of(site: Site) -> str:
    assert site.github.bare
    return site.github.bare.tip("main")


def base_moves(site: Site, path: str = "notes.txt", text: str = "one\ntwo\n") -> str:
    """Somebody else lands something."""
    where = site.clone(f"somebody-{len(list(site.root.iterdir()))}")
    (where / path).write_text(text)
    git(where, "commit", "-qam", "elsewhere")
    git(where, "push", "-q", "origin", "HEAD:main")
    return git(where, "rev-parse", "HEAD")


def test_what_is_not_proven_does_not_land(site: Site) -> None:
    before = main_of(site)
    report = desk(site).land(["01"])
    assert report.exit_code == 1 and any("not proven: b200:train" in one for one in report.rows[0].missing)
    assert main_of(site) == before and not site.github.pulls[site.number].merged


def test_a_proven_pull_request_lands_as_it_was_tested(site: Site) -> None:
    """One commit on the base, with the tested tree and the trailers that say what landed; the branch goes."""
    prove(site)
    before, head = main_of(site), git(site.laptop, "rev-parse", "HEAD")
    dry = desk(site).land(["01"], dry_run=True)
    assert dry.exit_code == 0 and main_of(site) == before
    report = desk(site).land()
    assert report.exit_code == 0 and report.rows[0].deleted
    landed = report.rows[0].commit
    assert main_of(site) == landed == report.base
    git(site.laptop, "fetch", "-q", "origin")
    assert git(site.laptop, "rev-parse", f"{landed}^") == before
    assert git(site.laptop, "rev-parse", f"{landed}^{{tree}}") == dry.rows[0].tree
    assert git(site.laptop, "log", "-1", "--format=%s", landed) == "wider (#01)"
    workspace = Workspace.open(site.laptop)
    known = Branches(workspace.repository, workspace.memo, landed).landings["01"]
    assert (known.commit, known.head) == (landed, head)
    assert "issue/01-wider" not in git(site.laptop, "ls-remote", "origin")
    again = desk(site).land(["01"])
    assert again.rows[0].missing == ("it has landed already",)


class Meanwhile:
    """A forge beside which something happens just before it merges."""

    def __init__(self, forge: GitHub, before: Callable[[], object]) -> None:
        self._forge, self._before = forge, before

    def __getattr__(self, name: str) -> Any:
        return getattr(self._forge, name)

    def merge_pull(self, *args: Any) -> Any:
        self._before()
        return self._forge.merge_pull(*args)


def test_a_head_that_moves_meanwhile_is_not_merged(site: Site) -> None:
    prove(site)
    before = main_of(site)
    report = desk(site, Meanwhile(site.client(), lambda: change(site, "DIM = 99\n"))).land(["01"])
    assert report.exit_code == 1 and "did not merge" in report.rows[0].missing[0]
    assert main_of(site) == before


def test_a_base_that_moves_in_the_last_moment_is_found_out(site: Site) -> None:
    """GitHub compares no base: what landed is looked at, said, and nothing more lands."""
    prove(site)
    report = desk(site, Meanwhile(site.client(), lambda: base_moves(site))).land(["01"])
    assert report.exit_code == 1
    assert "was not tested" in report.rows[0].missing[0] and report.rows[0].commit == main_of(site)


def test_a_base_that_moved_before_needs_its_own_proof_and_often_has_it(site: Site) -> None:
    """The keys of the new merge are equal where the base's change reaches none of the gates."""
    prove(site)
    moved = base_moves(site)
    report = desk(site).land(["01"])
    assert report.exit_code == 0
    git(site.laptop, "fetch", "-q", "origin")
    assert git(site.laptop, "rev-parse", f"{report.rows[0].commit}^") == moved


def test_a_base_that_moved_where_a_gate_looks_is_not_landed_on(site: Site) -> None:
    prove(site)
    base_moves(site, "demo/__main__.py", "from . import DIM\n\nassert DIM < 50\nprint(DIM)\n")
    before = main_of(site)
    report = desk(site).land(["01"])
    assert report.exit_code == 1 and "not proven: b200:train" in " ".join(report.rows[0].missing)
    assert main_of(site) == before


@pytest.mark.parametrize("kind", ["502", "truncated", "cut"])
def test_an_answer_that_is_lost_after_the_work_is_looked_for(site: Site, kind: str) -> None:
    prove(site)
    site.github.inject(kind, "pulls/merge", after=True)
    report = desk(site).land(["01"])
    assert report.exit_code == 0 and report.rows[0].commit == main_of(site)
    assert len(site.github.carried_out("pulls/merge")) == 1


def test_a_change_of_the_rules_is_for_a_maintainer(site: Site) -> None:
    """It may not land by gates that it could have written itself."""
    git(site.laptop, "checkout", "-q", "issue/01-wider")
    path = site.laptop / "configs/gates/gates.toml"
    path.write_text(path.read_text().replace("timeout_s = 60", "timeout_s = 61"))
    git(site.laptop, "commit", "-qam", "rules")
    git(site.laptop, "push", "-q", "origin", "issue/01-wider")
    report = desk(site).land(["01"])
    assert report.exit_code == 1 and any("control plane" in one for one in report.rows[0].missing)
    assert any("out of scope" in one for one in report.rows[0].missing)


def test_a_branch_that_gained_work_stays(site: Site) -> None:
    """What was pushed after the merge did not land, and must not be lost."""
    prove(site)
    forge = site.client()
    real = forge.merge_pull

    def merge_and_push(*args: Any) -> Any:
        found = real(*args)
        assert site.github.bare
        tree = git(site.laptop, "rev-parse", "HEAD^{tree}")
        more = subprocess.run(
            ["git", "commit-tree", tree, "-p", git(site.laptop, "rev-parse", "HEAD"), "-m", "more"],
            cwd=site.laptop, capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip
        git(site.laptop, "push", "-q", "origin", f"{more}:refs/heads/issue/01-wider")
        return found

    forge.merge_pull = merge_and_push  # type: ignore[method-assign]
    report = desk(site, forge).land(["01"])
    assert report.exit_code == 0 and not report.rows[0].deleted
    assert any("has moved, and stays" in note for note in report.notes)


# -- exactly -------------------------------------------------------------------------------------------------------------------


class AtTheLast:
    """A forge beside which something happens at the last look before a push."""

    def __init__(self, forge: GitHub, before: Callable[[], object], look: int = 2) -> None:
        self._forge, self._before, self._looks, self._look = forge, before, 0, look

    def __getattr__(self, name: str) -> Any:
        return getattr(self._forge, name)

    def pull(self, number: int) -> Any:
        self._looks += 1
        found = self._forge.pull(number)
        if self._looks == self._look:
            self._before()
        return found


def test_exactly_what_was_tested_lands_on_what_it_was_tested_on(site: Site) -> None:
    """The squash is made here; GitHub merges nothing, and its pull request is closed with a word."""
    prove(site)
    before, head = main_of(site), git(site.laptop, "rev-parse", "HEAD")
    dry = desk(site).land(["01"], exact=True, dry_run=True)
    assert dry.exit_code == 0 and main_of(site) == before and site.github.pulls[site.number].state == "open"
    report = desk(site).land(["01"], exact=True)
    assert report.exit_code == 0 and report.rows[0].deleted and report.rows[0].commit == main_of(site)
    git(site.laptop, "fetch", "-q", "origin")
    assert git(site.laptop, "log", "-1", "--format=%P %T %s", "origin/main") == f"{before} {dry.rows[0].tree} wider (#01)"
    pull = site.github.pulls[site.number]
    assert (pull.state, pull.merged) == ("closed", False) and site.github.carried_out("pulls/merge") == []
    said = [one.body for one in site.github.comments.values() if "nmoe-graph landed" in one.body]
    assert len(said) == 1 and report.rows[0].commit in said[0]
    workspace = Workspace.open(site.laptop)
    assert Branches(workspace.repository, workspace.memo, main_of(site)).landings["01"].head == head


def test_a_base_that_moves_at_the_last_takes_no_push(site: Site) -> None:
    """What without `exact` is only found out: nothing lands that was not tested, and the next call looks again."""
    prove(site)
    report = desk(site, AtTheLast(site.client(), lambda: base_moves(site))).land(["01"], exact=True)
    assert report.exit_code == 1 and "nothing landed" in report.rows[0].missing[0]
    assert site.github.bare and site.github.bare.git("log", "-1", "--format=%s", "main")[1] == "elsewhere"
    assert site.github.pulls[site.number].state == "open" and not report.rows[0].deleted
    assert desk(site).land(["01"], exact=True).exit_code == 0  # no gate reads notes.txt


def test_a_base_that_is_moved_back_takes_none_either(site: Site) -> None:
    """A push that is no more than a fast-forward would be taken there."""
    older = main_of(site)
    base_moves(site)
    prove(site)

    def back() -> None:
        assert site.github.bare
        site.github.bare.git("update-ref", "refs/heads/main", older)

    report = desk(site, AtTheLast(site.client(), back)).land(["01"], exact=True)
    assert report.exit_code == 1 and main_of(site) == older


def test_a_head_that_moves_before_the_push_stops_it(site: Site) -> None:
    prove(site)
    before = main_of(site)
    report = desk(site, AtTheLast(site.client(), lambda: change(site, "DIM = 99\n"), look=1)).land(["01"], exact=True)
    assert report.exit_code == 1 and "moved while" in report.rows[0].missing[0] and main_of(site) == before


def test_a_merge_commit_that_is_pushed_counts_as_merged(site: Site) -> None:
    git(site.laptop, "checkout", "-q", "-B", "main", "origin/main")
    path = site.laptop / "configs/contracts/01-wider.yaml"
    path.write_text(path.read_text() + "merge: {strategy: merge, delete_branch: false}\n")
    git(site.laptop, "commit", "-qam", "opt in")
    git(site.laptop, "push", "-q", "origin", "HEAD:main")
    git(site.laptop, "checkout", "-q", "issue/01-wider")
    prove(site)
    assert desk(site).land(["01"], exact=True).exit_code == 0
    assert site.client().pull(site.number).merged
    assert [one for one in site.github.comments.values() if "nmoe-graph landed" in one.body] == []


def test_killed_between_the_push_and_the_word_about_it(site: Site) -> None:
    """The next call says it, once, and lands nothing twice."""
    prove(site)
    forge = site.client()

    def killed(*args: Any, **more: Any) -> Any:
        raise KeyboardInterrupt

    forge.update_pull = killed  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        desk(site, forge).land(["01"], exact=True)
    landed = main_of(site)
    again = desk(site).land(["01"], exact=True)
    assert again.rows[0].missing == ("it has landed already",) and main_of(site) == landed
    assert site.github.pulls[site.number].state == "closed"
    assert len([one for one in site.github.comments.values() if "nmoe-graph landed" in one.body]) == 1


def test_a_base_that_takes_no_pushes_says_so(site: Site) -> None:
    """As a protected branch does."""
    prove(site)
    assert site.github.bare
    hook = site.github.bare.path / "hooks/update"
    hook.write_text('#!/bin/sh\n[ "$1" != refs/heads/main ] || { echo "protected branch" >&2; exit 1; }\n')
    hook.chmod(0o755)
    before = main_of(site)
    report = desk(site).land(["01"], exact=True)
    assert report.exit_code == 1 and "was refused, and nothing landed" in report.rows[0].missing[0]
    assert main_of(site) == before and site.github.pulls[site.number].state == "open"
