"""What the double remembers: a repository's issues, pull requests, runs, comments, checks and environments."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import itertools
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .double_git import Bare

__all__ = ["Check", "Commented", "Deployment", "Environment", "Issue", "Job", "Outcome", "Pull", "Run", "State", "packed"]

STAMP = "2026-01-02T03:04:05Z"


def packed(files: Mapping[str, bytes]) -> bytes:
    """A zip of files; the same files, the same bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 2, 3, 4, 6)), data)
    return out.getvalue()


@dataclass
class Issue:
    number: int
    title: str
    body: str
    author: str
    association: str
    labels: list[str]
    state: str = "open"
    updated: str = STAMP
    edits: int = 0


@dataclass
class Pull:
    """`base_sha` is what it is on GitHub: the base's tip when the head moved last, and out of date once the base moves."""

    number: int
    title: str
    body: str
    author: str
    association: str
    head_ref: str
    head_sha: str
    base_ref: str
    base_sha: str
    head_repo: str = ""  # of a fork
    draft: bool = False
    state: str = "open"
    merged: bool = False
    merge_commit: str = ""
    base_seen: str = ""  # the tip of the base when it was looked whether it has the head
    looked: bool = False  # whether mergeable was asked for since something moved: GitHub says null the first time


@dataclass
class Outcome:
    """How a run ends: its conclusion, and what it leaves.  An artifact is a mapping of files, or bytes as they are."""

    conclusion: str = "success"
    artifacts: Mapping[str, Mapping[str, bytes] | bytes] = field(default_factory=dict)
    log: bytes = b"done\n"


@dataclass
class Job:
    id: int
    name: str
    log: bytes = b""


@dataclass
class Run:
    id: int
    title: str
    workflow: str
    ref: str
    head_sha: str
    inputs: dict[str, str]
    by: str
    environment: str  # "" where nothing has to be approved
    created: str
    status: str = "queued"
    conclusion: str | None = None
    approved: bool = False
    moved: float = 0.0  # when the status changed last
    artifacts: dict[int, tuple[str, bytes]] = field(default_factory=dict)
    expired: set[int] = field(default_factory=set)
    jobs: list[Job] = field(default_factory=list)


@dataclass
class Commented:
    id: int
    number: int
    author: str
    body: str
    edits: int = 0


@dataclass
class Check:
    id: int
    name: str
    head_sha: str
    status: str
    conclusion: str | None
    external_id: str
    output: dict[str, str]
    details_url: str
    updates: int = 0


@dataclass
class Environment:
    id: int
    name: str
    reviewed: bool = True


@dataclass
class Deployment:
    """What a job with an environment leaves, whether or not anything was deployed."""

    id: int
    run: int
    environment: str
    sha: str
    states: list[str] = field(default_factory=lambda: ["queued"])


class State:
    """One repository.  Tests set it up and read it; the double's operations change it."""

    def __init__(self, owner: str = "noumena", name: str = "nmoe") -> None:
        self.owner, self.name = owner, name
        self.bare: Bare | None = None
        self.issues: dict[int, Issue] = {}
        self.pulls: dict[int, Pull] = {}
        self.runs: dict[int, Run] = {}
        self.comments: dict[int, Commented] = {}
        self.checks: dict[int, Check] = {}
        self.environments = {"b200-gates": Environment(77, "b200-gates")}
        self.refs: dict[str, str] = {"main": "a" * 40}  # branches, where no repository is attached
        #: The environment that a workflow waits for.
        self.needs: dict[str, str] = {"tier-b.yml": "b200-gates"}
        #: What a run comes to; asked while it is in_progress, and None as long as it is not done.
        self.decide: Callable[[Run], Outcome | None] = lambda run: Outcome()
        #: How a run is called: run-name of the workflow.
        self.entitle: Callable[[str, Mapping[str, str]], str] = lambda workflow, inputs: inputs.get("correlation", workflow)
        #: None: runs move by `advance`; else a step takes so many seconds, and is taken when somebody asks.
        self.pace_s: float | None = None
        self.steps_on_look = False  # a run moves whenever somebody has looked at it: what is seen does not hang on a clock
        #: False: an Enterprise Server from before `return_run_details`.
        self.knows_run_details = True
        #: What a pull request changes, where no repository is attached: status, path, previous path.
        self.files: dict[int, list[tuple[str, str, str]]] = {}
        self.deployments: dict[int, Deployment] = {}
        self.token_of_a_workflow = False  # such a token may not ask who it is
        self.checks_by_apps_alone = False  # as on GitHub: no person's token writes a check
        self.remaining = 5_000  # of the hour's requests
        self._ids = itertools.count(1)
        self._numbers = itertools.count(1)

    def next_id(self) -> int:
        return 1_000 + next(self._ids)

    # -- git -------------------------------------------------------------------------------------------------------------------

    def attach(self, path: Path) -> Bare:
        """Put a bare repository behind it: pushes move heads, and merges are made there."""
        self.bare = Bare(path)
        return self.bare

    def tip(self, branch: str) -> str:
        return self.bare.tip(branch) if self.bare else self.refs.get(branch, "")

    def delete_branch(self, branch: str) -> bool:
        tip = self.tip(branch)
        if not tip:
            return False
        return self.bare.move(branch, "", tip) if self.bare else bool(self.refs.pop(branch))

    def follow(self, pull: Pull) -> None:
        """A push moves the head of an open pull request; a deleted branch closes it."""
        if pull.state != "open" or pull.head_repo:
            return
        tip = self.tip(pull.head_ref)
        if tip and self.bare:
            self.bare.git("update-ref", f"refs/pull/{pull.number}/head", tip)
        if not tip:
            pull.state = "closed"
            return
        if tip != pull.head_sha:
            pull.head_sha, pull.base_sha, pull.looked = tip, self.tip(pull.base_ref), False
        base = self.tip(pull.base_ref)
        if self.bare and base != pull.base_seen:  # pushed onto the base: what it has now counts as merged
            pull.base_seen = base
            if self.bare.git("merge-base", "--is-ancestor", tip, base, accept=(0, 1))[0] == 0:
                pull.merged, pull.state, pull.merge_commit = True, "closed", base

    def mergeable(self, pull: Pull) -> bool | None:
        if not pull.looked:
            pull.looked = True
            return None
        return bool(self.bare.merged_tree(self.tip(pull.base_ref), pull.head_sha)) if self.bare else True

    def merge(self, pull: Pull, method: str, title: str, message: str) -> str:
        """Land it: "" where it conflicts."""
        base = self.tip(pull.base_ref)
        words = f"{title}\n\n{message}".strip()
        if self.bare:
            tree = self.bare.merged_tree(base, pull.head_sha)
            if not tree:
                return ""
            made = self.bare.commit(tree, [base, pull.head_sha] if method == "merge" else [base], words)
            if not self.bare.move(pull.base_ref, made, base):
                return ""
        else:
            made = hashlib.sha1(f"{base} {pull.head_sha} {method} {words}".encode()).hexdigest()
            self.refs[pull.base_ref] = made
        pull.merged, pull.state, pull.merge_commit = True, "closed", made
        return made

    # -- what tests do ---------------------------------------------------------------------------------------------------------

    def open_issue(
        self, title: str, body: str = "", *, author: str = "maintainer", association: str = "MEMBER", labels: tuple[str, ...] = ()
    ) -> Issue:
        number = next(self._numbers)
        self.issues[number] = Issue(number, title, body, author, association, list(labels))
        return self.issues[number]

    def edit_issue(self, number: int, body: str) -> None:
        one = self.issues[number]
        one.body, one.edits = body, one.edits + 1
        one.updated = f"2026-01-02T04:{one.edits % 60:02}:00Z"

    def open_pull(
        self,
        branch: str,
        title: str = "",
        body: str = "",
        *,
        base: str = "main",
        head_sha: str = "",
        author: str = "somebody",
        association: str = "CONTRIBUTOR",
        draft: bool = False,
        fork: str = "",
    ) -> Pull:
        """A pull request for a branch; without a repository, and for a fork, say `head_sha`."""
        if head_sha and not self.bare and not fork:
            self.refs[branch] = head_sha
        head = head_sha if fork else self.tip(branch)
        assert head, f"there is no branch {branch}"
        number = next(self._numbers)
        made = Pull(number, title or branch, body, author, association, branch, head, base, self.tip(base), fork, draft)
        self.pulls[number] = made
        return made

    def start_run(self, workflow: str, ref: str, inputs: dict[str, str], by: str) -> Run:
        number = self.next_id()
        needed = self.environments.get(self.needs.get(workflow, ""))
        made = Run(
            id=number,
            title=self.entitle(workflow, inputs),
            workflow=workflow,
            ref=ref,
            head_sha=self.tip(ref),
            inputs=inputs,
            by=by,
            environment=needed.name if needed and needed.reviewed else "",
            created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            moved=time.monotonic(),
        )
        made.jobs = [Job(self.next_id(), "prove")]
        self.runs[number] = made
        if made.environment:
            deployment = Deployment(len(self.deployments) + 9_001, number, made.environment, made.head_sha)
            self.deployments[deployment.id] = deployment
        return made

    def advance(self, run: Run | None = None) -> None:
        """One step of a run, or of every run: queued, waiting (until approved), in_progress, completed."""
        for one in [run] if run else list(self.runs.values()):
            if one.status == "queued":
                one.status = "waiting" if one.environment and not one.approved else "in_progress"
            elif one.status == "waiting" and one.approved:
                one.status = "in_progress"
            elif one.status == "in_progress":
                outcome = self.decide(one)
                if outcome is None:
                    continue
                for name, files in outcome.artifacts.items():
                    one.artifacts[self.next_id()] = (name, files if isinstance(files, bytes) else packed(files))
                one.jobs[0].log = outcome.log
                one.status, one.conclusion = "completed", outcome.conclusion
            else:
                continue
            one.moved = time.monotonic()

    def tick(self) -> None:
        """Time passes, where runs go by time."""
        if self.pace_s is not None:
            for one in list(self.runs.values()):
                if time.monotonic() - one.moved >= self.pace_s:
                    self.advance(one)

    def approve(self, run: Run, approved: bool = True) -> None:
        """A maintainer decides, in GitHub's own pages."""
        assert run.status == "waiting"
        if approved:
            run.approved = True
            self.advance(run)
        else:
            run.status, run.conclusion = "completed", "failure"

    def expire(self, artifact_id: int) -> None:
        """GitHub keeps an artifact for so long and no longer."""
        next(run for run in self.runs.values() if artifact_id in run.artifacts).expired.add(artifact_id)

    def snapshot(self) -> dict[str, object]:
        """All that an operation can change, to compare with."""
        kinds = ("issues", "pulls", "runs", "comments", "checks", "deployments")
        return {kind: {key: dataclasses.asdict(one) for key, one in getattr(self, kind).items()} for kind in kinds} | {
            "refs": dict(self.refs)
        }
