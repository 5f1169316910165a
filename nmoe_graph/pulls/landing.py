"""Landing through GitHub: each pull request as its contract says, if its merge is proven, and stopped at the first surprise.

GitHub compares the head that we name with the one that it has; it does not compare the base.  So the base is looked at
immediately before, and what landed immediately after: where the base moved in between, what landed is not what was tested, and
that is said and everything else stops.  A branch protection that wants branches up to date closes that gap on GitHub's side.

`exact` closes it on ours: the commit is made here, of the tree that was tested, and pushed onto the base only if that is still
the commit that it was tested on.  GitHub takes a pull request for merged whose head the base then has, which is a merge commit's;
that of a squash is closed with a word about the commit that it landed as.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from ..answers import Landed, MergeReport
from ..asking import asked
from ..attest.evidence import Evidence
from ..attest.states import states
from ..errors import HostError, SnapshotError, printable
from ..forge.errors import ForgeError, Trouble
from ..forge.records import Merged, Pull
from ..forge.where import Where
from ..git.merging import Merger
from ..git.program import run_git, transport_environment
from ..git.snapshot import Snapshot
from ..git.writing import write_commit, write_tree
from ..markdown import code, document
from ..merge.branches import Branches, Landing
from ..merge.commit import landing_commit, landing_words
from ..merge.planner import CONTROL_PLANE, MergePlanner
from ..model import Gate
from ..plan.merge import Status, Step
from . import comments
from .commits import PullCommits, bring, push_commit
from .verdict import contract_named

__all__ = ["Asked", "Forge", "HubLander"]

_WHO = "nmoe-graph <merge@nmoe-graph.invalid>"


class Asked(asked.Asked, Protocol):
    """What is asked of the workspace."""

    def evidence(self, base: str | None = None) -> Evidence: ...


class Forge(comments.Forge, Protocol):
    """What is asked of GitHub."""

    where: Where

    def pull(self, number: int) -> Pull: ...

    def pulls(self, *, state: str = "open", head: str = "", base: str = "") -> tuple[Pull, ...]: ...

    def merge_pull(self, number: int, sha: str, method: str, title: str, message: str) -> Merged: ...

    def update_pull(self, number: int, *, title: str | None = None, body: str | None = None, state: str | None = None) -> Pull: ...

    def delete_ref(self, ref: str) -> None: ...


class HubLander:
    """Lands contracts of one workspace through their pull requests."""

    def __init__(self, workspace: Asked, github: Callable[[], Forge], remote: str, say: Callable[[str], None]) -> None:
        self._workspace, self._repository, self._remote, self._say = workspace, workspace.repository, remote, say
        self._github = github
        self._notes: list[str] = []
        self._exact, self._head = False, ""

    def land(self, wanted: Sequence[str], *, dry_run: bool = False, exact: bool = False, head: str = "") -> MergeReport:
        """Land contracts one after the other; without any, those of the plan that are ready and have a pull request.

        With `exact`, what was tested is pushed, and only onto the base that it was tested on; else GitHub is asked to merge.
        `head` is the commit that whoever lands has read: a pull request that is at another is not landed.

        Raises:
            UsageError, SnapshotError, DeclarationError: there is no such contract, or no base.
            HostError: GitHub or the remote cannot be asked; what has landed is said.
        """
        forge = self._github()
        self._exact, self._head = exact and not dry_run, head
        here = f"{forge.where.owner}/{forge.where.name}".casefold()
        base_branch = self._base_branch()
        open_pulls = {one.head_ref: one for one in forge.pulls(state="open", base=base_branch) if one.head_repo.casefold() == here}
        left = [one.removeprefix("//contracts:").removeprefix("//merges:") for one in wanted]
        rows: list[Landed] = []
        base = self._fetch_base(base_branch)
        if not left:
            plan = MergePlanner(self._workspace, base, base, {}).plan()
            left = [step.contract for step in plan.steps if step.status == Status.READY and step.branch in open_pulls]
        while left:
            issue = left.pop(0)
            base = self._fetch_base(base_branch)
            row, pull, commits, step = self._look(forge, issue, base, open_pulls)
            if row.missing or dry_run:
                rows.append(row)
                if row.missing and not dry_run:
                    break
                continue
            assert pull is not None and commits is not None and step is not None
            rows.append(self._one(forge, pull, commits, step, base_branch))
            if rows[-1].missing:
                break
        if left and not dry_run:
            self._notes.append(f"not looked at: {', '.join(left)}")
        return MergeReport(f"refs/heads/{base_branch}", self._fetch_base(base_branch), tuple(rows), dry_run, tuple(self._notes))

    def _base_branch(self) -> str:
        ref = self._workspace.base_ref()
        if ref is None:
            raise SnapshotError("no base ref is here, so there is nothing to land on", hint="git fetch origin")
        return ref.removeprefix("refs/heads/").removeprefix(f"{self._remote}/")

    def _git(self, args: list[str]) -> str:
        if not self._repository.git:
            raise HostError("landing needs the git program", hint="install git")
        try:
            out = run_git(self._repository.git, self._repository.root, args, env=transport_environment())[1]
        except SnapshotError as error:
            raise HostError(printable(error.faults[0].what, limit=300), hint="is the remote there?") from None
        return out.decode("utf-8", "replace").strip()

    def _fetch_base(self, branch: str) -> str:
        """The tip of the base as the remote has it now, fetched."""
        ref = f"refs/remotes/{self._remote}/{branch}"
        self._git(["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--", self._remote, f"+refs/heads/{branch}:{ref}"])
        return self._repository.resolve(ref)

    # -- one contract ----------------------------------------------------------------------------------------------------------

    def _look(
        self, forge: Forge, issue: str, base: str, open_pulls: Mapping[str, Pull]
    ) -> tuple[Landed, Pull | None, PullCommits | None, Step | None]:
        """What stands in the way of a contract, by the rules of the base as it is now; nothing, if it can land."""
        planner = MergePlanner(self._workspace, base, base, {})
        contract = planner.known(issue)
        if contract.issue in planner.landed:
            self._notes.append(f"contract {contract.issue} has landed already")
            known = Branches(self._repository, self._workspace.memo, base).landings.get(contract.issue)
            if self._exact and known is not None:  # killed between the push and what belongs to it
                self._tidy(forge, known, open_pulls.get(contract.branch))
            return Landed(contract.issue, contract.title, missing=("it has landed already",)), None, None, None
        listed = open_pulls.get(contract.branch)
        if listed is None:
            return Landed(contract.issue, contract.title, missing=(f"no open pull request of {contract.branch}",)), None, None, None
        pull = forge.pull(listed.number)
        commits = bring(self._repository, self._remote, pull)
        plan = MergePlanner(self._workspace, base, base, {contract.issue: commits.head}).plan([contract.issue])
        step = next(one for one in plan.steps if one.contract == contract.issue)
        row = Landed(step.contract, step.title, "", step.tree, step.strategy, pull.head_ref)
        if not commits.head.startswith(self._head):
            return (
                replace(row, missing=(f"its head is {commits.head[:12]}, and {self._head[:12]} was to land",)),
                pull,
                commits,
                step,
            )
        reasons = self._reasons(pull, commits, plan.base, step, {one.issue: one for one in planner.contracts()})
        if not reasons:
            judge = self._workspace.evidence(base)
            merge = self._merge_commit(base, commits.head, step.tree)
            table = self._workspace.analysis(Snapshot(self._repository.objects, step.tree, "the merge")).table()
            labels = planner.required(contract, table)
            gates = [gate for gate in judge.gates() if str(gate.label) in labels]
            if contract.perf is not None and (perf := judge.gate(contract.perf.gate)) is not None and perf not in gates:
                gates.append(perf)
            reasons += self._unproven(judge, gates, contract.issue, merge)
        return replace(row, missing=tuple(reasons)), pull, commits, step

    def _reasons(self, pull: Pull, commits: PullCommits, base: str, step: Step, contracts: Mapping[str, object]) -> list[str]:
        reasons = []
        named, lines = contract_named(pull, dict(contracts))  # type: ignore[arg-type]
        if named is None or named.issue != step.contract:
            reasons.append(f"pull request {pull.number}: {lines[0].what}")
        if pull.draft or pull.state != "open":
            reasons.append(f"pull request {pull.number} is {'a draft' if pull.draft else pull.state}")
        if step.conflicts:
            files = sorted({path for one in step.conflicts for path in one.files})
            reasons.append(f"conflict: {', '.join(printable(path, limit=120) for path in files[:8])}")
        elif step.status != Status.READY:
            reasons.append(f"waits for {', '.join(step.after)}" if step.after else step.status)
        stops = ("the declarations of", "required gates are not", CONTROL_PLANE)
        reasons += [note for note in step.notes if note.startswith(stops)]
        reasons += [f"out of scope: {printable(path, limit=160)} ({what})" for path, what in step.scope]
        if not reasons:
            with Merger(self._repository, self._workspace.memo) as merger:
                plain = merger.merge_heads(base, commits.head)
                merger.bring(plain.tree)
            if plain.conflicts or plain.tree != step.tree:
                reasons.append("GitHub would merge it otherwise than planned: its branch carries work of another; rebase it")
        return reasons

    def _merge_commit(self, base: str, head: str, tree: str) -> str:
        """A commit of the tree to land, so that proofs can be asked for at it; it is on no branch."""
        return write_commit(self._repository, tree, (base, head), f"Merge {head} into {base}", who=_WHO, when=0)

    def _unproven(self, judge: Evidence, gates: Sequence[Gate], issue: str, commit: str) -> list[str]:
        contract = next(one for one in judge.graph.contracts() if one.issue == issue)
        found = states(judge, sorted(gates, key=lambda gate: gate.label), contract, commit)
        return [f"not proven: {one.gate} ({one.by})" for one in found if not one.proven]

    def _one(self, forge: Forge, pull: Pull, commits: PullCommits, step: Step, base_branch: str) -> Landed:
        """Ask GitHub to merge, and look at what it made."""
        row = Landed(step.contract, step.title, "", step.tree, step.strategy, pull.head_ref)
        base = commits.base
        if self._fetch_base(base_branch) != base:
            return replace(row, missing=("the base moved while this was looked at; nothing was landed",))
        landed, why = self._push(forge, pull, commits, step) if self._exact else self._ask(forge, pull, commits, step)
        if why:
            return replace(row, missing=(why,))
        self._fetch_base(base_branch)
        wrong = self._surprise(landed, base, step, commits)
        row = replace(row, commit=landed)
        if wrong:
            return replace(row, missing=(f"landed as {landed[:12]}, and {wrong}: what is there now was not tested",))
        deleted = step.delete_branch and self._delete(forge, pull.head_ref, commits.head)
        self._say(f"{step.contract} landed as {landed[:12]}")
        return replace(row, deleted=deleted)

    def _ask(self, forge: Forge, pull: Pull, commits: PullCommits, step: Step) -> tuple[str, str]:
        """GitHub merges exactly this head; the commit that it made, or why there is none."""
        try:
            forge.merge_pull(pull.number, commits.head, step.strategy, *landing_words(step, commits.head))
        except ForgeError as error:
            if error.uncertain:
                if not forge.pull(pull.number).merged:
                    return "", f"nobody knows whether it landed, and it is not merged: {error.faults[0].what}"
            elif error.trouble in (Trouble.CONFLICT, Trouble.REFUSED):
                return "", f"GitHub did not merge it: {error.said or error.faults[0].what}"
            else:
                raise
        return forge.pull(pull.number).merge_commit_sha, ""

    def _push(self, forge: Forge, pull: Pull, commits: PullCommits, step: Step) -> tuple[str, str]:
        """What was tested, as a commit of ours on the base that it was tested on; or why the remote did not take it."""
        now = forge.pull(pull.number)
        if now.head_sha != commits.head or now.state != "open":
            return "", f"pull request {pull.number} moved while this was looked at; nothing was landed"
        write_tree(self._repository, step.tree)
        made = landing_commit(self._repository, step, commits.base, commits.head)
        try:
            why = push_commit(self._repository, self._remote, commits.base_branch, made, over=commits.base)
        except HostError as error:
            why = error.faults[0].what  # the connection may have ended after the push
        if self._fetch_base(commits.base_branch) != made and why:
            return "", f"the push onto {printable(commits.base_branch, limit=80)} was refused, and nothing landed: {why}"
        if step.strategy != "merge":
            self._tidy(forge, Landing(made, commits.head), pull)
        return made, ""

    def _tidy(self, forge: Forge, landed: Landing, pull: Pull | None) -> None:
        """Close the pull request of what was pushed: GitHub takes none for merged whose head the base does not have."""
        if pull is None or landed.head != pull.head_sha or forge.pull(pull.number).state != "open":
            return
        words = document(
            [f"Landed as `{landed.commit}` on {code(pull.base_ref)}: the tree that was tested, on the base that it was tested on."]
        )
        comments.say_comment(forge, pull.number, "landed", f"pull {pull.number}", words)
        forge.update_pull(pull.number, state="closed")

    def _surprise(self, landed: str, base: str, step: Step, commits: PullCommits) -> str:
        """How what landed is not what was tested; "" where it is."""
        if not landed or not self._repository.objects.is_commit(landed):
            return "its commit is not here"
        tree, parents, _ = self._repository.objects.commit_fields(landed)
        if parents[:1] != (base,):
            return f"it stands on {parents[0][:12] if parents else 'nothing'}, not on {base[:12]}"
        if step.strategy == "merge" and parents[1:] != (commits.head,):
            return "it merges another head"
        return "" if tree == step.tree else f"its tree is {tree[:12]}, not {step.tree[:12]}"

    def _delete(self, forge: Forge, branch: str, head: str) -> bool:
        """Delete a branch that is still where it was; one that has moved holds work that did not land."""
        there = self._git(["ls-remote", "--quiet", "--", self._remote, f"refs/heads/{branch}"]).partition("\t")[0]
        if not there:
            return True  # GitHub may do that by itself
        if there != head:
            self._notes.append(f"{printable(branch, limit=120)} has moved, and stays")
            return False
        try:
            forge.delete_ref(f"refs/heads/{branch}")
        except ForgeError as error:
            if error.trouble is not Trouble.REFUSED and not error.uncertain:
                self._notes.append(f"{printable(branch, limit=120)} was not deleted: {error.faults[0].what}")
                return False
        return True
