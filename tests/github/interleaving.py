"""Everything at once, in a random order: people who push, a base that moves, issues that are edited, runs, approvals, cancelled
runs, answers that are lost, reports and landings; after each step it is looked whether something happened that must not.

What is true of a commit is not asked of the code under test: the gates read the code of `demo` alone, not what it says in
comments, and pass where `DIM` is below 100.
"""

from __future__ import annotations

import collections
import random
import re
from collections import Counter
from pathlib import Path

from nmoe_graph import Workspace
from nmoe_graph.contracts.desk import ContractDesk
from nmoe_graph.contracts.draft import issue_body
from nmoe_graph.errors import NmoeGraphError
from nmoe_graph.git.snapshot import Snapshot
from nmoe_graph.git.synced import read_synced, synced_issues
from nmoe_graph.pulls.desk import PullDesk

from .double_state import Outcome, Run
from .site import Site, git

__all__ = ["Interleaving", "Violation"]

EVENTS = {
    "push": 3,
    "base": 1,
    "edit": 1,
    "issue": 1,
    "ask": 3,
    "run": 3,
    "approve": 2,
    "tick": 3,
    "fault": 2,
    "land": 4,
    "head race": 2,
    "base race": 2,
    "exact race": 2,
    "report": 2,
}
CONTRACT = """nmoe: {{issue: "{issue}", slug: work, kind: feature, risk: hot, complexity: S}}
scope: {{allow: [demo/**]}}
gates: {{required: [cpu:import, "b200:train"]}}
"""
#: What the base may gain: a text that no gate of these pull requests reads, code that both read, words that neither minds.
BASE_MOVES = (("notes.txt",), ("demo/__main__.py",), ("demo/__main__.py", "# {}"))
ISSUES = tuple(f"{number:02d}" for number in range(11, 31))
IN_ISSUE = """nmoe:
  issue: 77
  slug: said
  kind: feature
  risk: cold
  complexity: S
  title: {title}

scope:
  allow: [docs/**]

gates:
  required: [cpu:import]
"""


class Violation(AssertionError):
    """Something happened that must never happen."""


class Interleaving:
    """One random order over one site.  `counts` says what came of it, so that an order in which nothing happens is no proof."""

    def __init__(self, site: Site, seed: int) -> None:
        assert site.github.bare
        self.site, self.rng, self.bare = site, random.Random(seed), site.github.bare
        self.counts: Counter[str] = collections.Counter()
        self._runner = site.github.decide
        site.github.decide = self._decide
        self._proven: dict[str, set[str]] = {"a": set(), "b": set()}  # the code of `demo` that a gate of a tier has passed on
        self._value, self._left = 20, list(ISSUES)
        self._at = git(site.laptop, "rev-parse", "HEAD")
        git(site.laptop, "checkout", "-q", "-B", "main", "origin/main")
        folder = site.laptop / "configs/contracts"
        for issue in ISSUES:
            (folder / f"{issue}-work.yaml").write_text(CONTRACT.format(issue=issue))
        git(site.laptop, "add", "-A")
        git(site.laptop, "commit", "-qm", "contracts")
        git(site.laptop, "push", "-q", "origin", "HEAD:main")
        self._other = site.clone("other")
        self._issue = site.github.open_issue("[77] Said", issue_body(IN_ISSUE.format(title="Said")))
        self._next()

    def run(self, steps: int) -> Counter[str]:
        """Take so many steps.

        Raises:
            Violation: what must never happen has happened.
        """
        for step in range(steps):
            self._step(step, self.rng.choices(list(EVENTS), list(EVENTS.values()))[0])
        self.counts["comments"] = len(self.site.github.comments)
        self.counts["comments changed"] = sum(one.edits for one in self.site.github.comments.values())
        self.counts["checks"] = len(self.site.github.checks)
        self.counts["cancelled"] = sum(one.conclusion == "cancelled" for one in self.site.github.runs.values())
        self.counts["dispatched"] = len(self.site.github.runs)
        return self.counts

    # -- what happens ----------------------------------------------------------------------------------------------------------

    def _next(self) -> None:
        """The next piece of work: a branch of the base, and its pull request."""
        git(self.site.laptop, "fetch", "-q", "origin")
        self._contract = self._left.pop(0)
        git(self.site.laptop, "checkout", "-q", "-B", f"issue/{self._contract}-work", "origin/main")
        self._push(bad=False)
        self.site.number = self.site.github.open_pull(f"issue/{self._contract}-work", f"[{self._contract}] Work").number

    def _push(self, *, bad: bool) -> None:
        """A commit on the branch; one that is `bad` does not pass."""
        self._value += 1
        (self.site.laptop / "demo/__init__.py").write_text(f"DIM = {100 if bad else self._value % 90}\n# {self._value}\n")
        git(self.site.laptop, "commit", "-qam", "work")
        git(self.site.laptop, "push", "-q", "-f", "origin", f"issue/{self._contract}-work")

    def _move_base(self, path: str, line: str = "MOVED = {}") -> None:
        git(self._other, "fetch", "-q", "origin")
        git(self._other, "checkout", "-q", "-B", "main", "origin/main")
        self._value += 1
        (self._other / path).write_text((self._other / path).read_text() + line.format(self._value) + "\n")
        git(self._other, "commit", "-qam", "base")
        git(self._other, "push", "-q", "origin", "HEAD:main")

    def _decide(self, run: Run) -> Outcome:
        if self.rng.random() < 0.15:
            return Outcome("cancelled")
        outcome = self._runner(run)
        assert outcome is not None
        if outcome.conclusion == "success":
            self._proven["b"].add(self._demo(run.inputs["merged_tree"], self.site.laptop))
            self.counts["proven"] += 1
        return outcome

    def _demo(self, what: str, where: Path) -> str:
        """The code of `demo`, file by file, without its lines of comment."""
        files = [git(where, "show", f"{what}:{path}") for path in ("demo/__init__.py", "demo/__main__.py")]
        return "\0".join("\n".join(line for line in text.splitlines() if line[:1] != "#") for text in files)

    def _desk(self) -> PullDesk:
        return PullDesk(Workspace.open(self.site.laptop), self.site.client, "origin")

    def _step(self, step: int, what: str) -> None:
        site, github = self.site, self.site.github
        if github.pulls[site.number].state != "open":
            self._next()
        before, said = self.bare.tip("main"), ""
        try:
            if what == "push":
                self._push(bad=self.rng.random() < 0.25)
            elif what == "base":
                self._move_base(*self.rng.choice(BASE_MOVES))
                return
            elif what == "edit":
                github.pulls[site.number].body += self.rng.choice(["\nwords\n", "\n```yaml\nx: 1\n```\n"])
            elif what == "issue":
                self._edit_and_sync(step)
            elif what == "ask":
                site.desk().run(site.number, "hot", wait=False)
            elif what == "run":
                site.desk().run(site.number, "hot", rerun=self.rng.random() < 0.3)
            elif what == "approve":
                for run in github.runs.values():
                    if run.status == "queued":
                        github.advance(run)
                site.desk().approve(site.number, "hot", sure=lambda: True)
                self.counts["approved"] += 1
            elif what == "tick":
                github.advance()
            elif what == "fault":
                name = self.rng.choice(
                    [
                        "actions/create-workflow-dispatch",
                        "issues/create-comment",
                        "checks/create",
                        "pulls/merge",
                        "issues/list-for-repo",
                    ]
                )
                github.inject(self.rng.choice(["502", "truncated", "cut"]), name, after=True)
            elif what == "report":
                self._desk().verify(site.number, tiers="a", report=True)
            else:
                said = self._land(what)
        except NmoeGraphError:
            self.counts["refused"] += 1
        finally:
            github.meanwhile.clear()
        self._look(what, before, said)

    def _edit_and_sync(self, step: int) -> None:
        title = f"Said {step}"
        self.site.github.edit_issue(self._issue.number, issue_body(IN_ISSUE.format(title=title)))
        workspace = Workspace.open(self.site.laptop)
        ContractDesk(workspace, self.site.client).sync()
        if f"title: {title}\n" not in synced_issues(read_synced(workspace.repository))["77"].text:
            raise Violation("a contract that was synced is not that of its issue")
        self.counts["synced"] += 1

    def _land(self, what: str) -> str:
        """Prove tier a at the merge, and land; in a race, something moves in the last moment.  What the report says."""
        site, github = self.site, self.site.github
        workspace = Workspace.open(site.laptop)
        if self.rng.random() < 0.7:
            site.desk().run(site.number, "hot", rerun=True)
        _, _, resolved = site.desk().resolve(site.number, "hot")
        tree = resolved.request.merged_tree
        if workspace.build("cpu:import", Snapshot(workspace.repository.objects, tree, "the merge", resolved.commit)).exit_code == 0:
            self._proven["a"].add(self._demo(tree, site.laptop))
        if what == "head race":
            github.meanwhile["pulls/merge"] = lambda: self._push(bad=True)
        elif what == "base race":
            github.meanwhile["pulls/merge"] = lambda: self._move_base("demo/__main__.py")
        elif what == "exact race":
            self._move_at_push()
        report = self._desk().land([self._contract], exact=what == "exact race")
        words = " ".join(report.rows[0].missing)
        if "did not merge it" in words:
            self.counts["head moves refused"] += 1
        elif "was refused, and nothing landed" in words:
            self.counts["base moves refused"] += 1
        elif "was not tested" in words:
            self.counts["base moves found out"] += 1
        return words

    def _move_at_push(self) -> None:
        """Between our last look at the base and the push, the base gains a commit, which is when the remote's hook is asked."""
        hook = self.bare.path / "hooks/pre-receive"
        hook.write_text(
            '#!/bin/sh\nread old new ref\n[ "$ref" = refs/heads/main ] || exit 0\nrm -f hooks/pre-receive\n'
            'unset GIT_QUARANTINE_PATH\ngit update-ref refs/heads/main "$(git commit-tree -p "$old" -m elsewhere "$old^{tree}")"\n'
        )
        hook.chmod(0o755)

    # -- what must not be ------------------------------------------------------------------------------------------------------

    def _look(self, what: str, before: str, said: str) -> None:
        after = self.bare.tip("main")
        (self.bare.path / "hooks/pre-receive").unlink(missing_ok=True)
        if after != before and self.bare.git("log", "-1", "--format=%s", after)[1] != "elsewhere":
            demo = self._demo(after, self.bare.path)
            tested = demo in self._proven["a"] and demo in self._proven["b"]
            if not tested and not (what == "base race" and "was not tested" in said):
                raise Violation(f"{what}: a tree landed that was not tested, and nobody says so")
            self.counts["landed"] += tested
        stems = [found[0] for run in self.site.github.runs.values() if (found := re.search(r"\[[^\]]+\]", run.title))]
        comments = [(one.number, one.body.partition("\n")[0]) for one in self.site.github.comments.values()]
        checks = [(one.name, one.head_sha, one.external_id) for one in self.site.github.checks.values()]
        for kind, rows in (("dispatch", stems), ("comment", comments), ("check", checks)):
            if doubled := [row for row, count in collections.Counter(rows).items() if count > 1]:
                raise Violation(f"a {kind} is there more than once: {doubled}")
        for one in self.site.github.checks.values():
            if "tier-b" not in one.name or one.conclusion != "success":
                continue
            text = self.bare.git("show", f"{one.head_sha}:demo/__init__.py")[1]
            if "DIM = 100" in text:
                raise Violation(f"{one.head_sha[:12]} is said to be proven, and does not pass")
            if one.head_sha not in {run.inputs["head_sha"] for run in self.site.github.runs.values()}:
                raise Violation(f"{one.head_sha[:12]} is said to be proven, and was never asked for")
        self.counts["attributed"] = sum(
            "tier-b" in one.name and one.conclusion == "success" for one in self.site.github.checks.values()
        )
