"""Facts for the merge plan: real branches, merged in memory along the order, and what each landing does to the gates.

This is where `plan` (pure) meets git, the analysis and the store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from .digest.analysis import Analysis, Table
from .errors import DeclarationError, SnapshotError, UsageError, did_you_mean
from .git.merging import Merger
from .git.program import run_git
from .git.repository import Repository
from .git.snapshot import Snapshot
from .label import Label
from .load.globs import Glob
from .model import Contract, Gate
from .plan.merge import Conflict, GateState, MergePlan, Status, Step, id_order, landing_order, shared_hotspots
from .store.local import Store

__all__ = ["MergePlanner"]

_MOST_NOTED = 5


class Asked(Protocol):
    """What the planner asks of the workspace that it plans for."""

    repository: Repository

    @property
    def store(self) -> Store: ...

    def analysis(self, at: str | Snapshot | None = None) -> Analysis: ...

    def base_ref(self, at: str | None = None) -> str | None: ...


@dataclass(slots=True)
class _Branch:
    """A branch as found: its head, where it left the base, and the paths that it changes."""

    head: str
    tree: str
    fork_tree: str
    paths: tuple[str, ...] = ()


@dataclass(slots=True)
class _Progress:
    """The workspace as it is after the steps so far."""

    tree: str
    merged: list[str] = field(default_factory=list)
    stuck: set[str] = field(default_factory=set)
    absent: set[str] = field(default_factory=set)


class MergePlanner:
    """Collects facts and makes the steps."""

    def __init__(self, workspace: Asked, at: str | None, base: str | None, branches: Mapping[str, str]) -> None:
        self._workspace, self._repository = workspace, workspace.repository
        self._graph = workspace.analysis(at).graph
        self._notes: list[str] = []
        ref = base or workspace.base_ref(at)
        if ref is None:
            ref = "HEAD"
            listed = ", ".join(self._graph.workspace.base) or "no base is declared"
            self._notes.append(f"planned on HEAD, since no base ref is here ({listed})")
        self._base_ref = ref
        self._base = self._repository.resolve(ref)
        self._base_tree = self._repository.objects.commit_fields(self._base)[0]
        self._contracts: dict[str, Contract] = {contract.issue: contract for contract in self._graph.contracts()}
        self._named = dict(branches)
        for issue in self._named:
            self._known(issue)

    def _known(self, issue: str) -> Contract:
        issue = issue.removeprefix("//contracts:").removeprefix("//merges:")
        found = self._contracts.get(issue)
        if found is None:
            raise UsageError(
                f"there is no contract {issue}", hint=did_you_mean(issue, self._contracts) or "ids are text, as written: 01, 03a"
            )
        return found

    def _landed(self) -> set[str]:
        """Contracts whose trailer stands in the history of the base."""
        if not self._repository.git:
            return self._trailers() & self._contracts.keys()
        args = ["log", "--format=%(trailers:key=Contract,valueonly)", "--grep=^Contract: ", self._base]
        _, out = run_git(self._repository.git, self._repository.root, args)
        return {line.strip() for line in out.decode("utf-8", "replace").splitlines()} & self._contracts.keys()

    def _trailers(self) -> set[str]:
        """What the `Contract: ` trailers say, read by hand: the last paragraph of a message that has a subject before it."""
        found: set[str] = set()
        seen, pending = {self._base}, [self._base]
        while pending:
            try:
                _, parents, message = self._repository.objects.commit_fields(pending.pop())
            except SnapshotError:  # where a shallow clone ends
                continue
            subject, gap, last = message.decode("utf-8", "replace").strip().rpartition("\n\n")
            if subject and gap:
                found |= {line.removeprefix("Contract:").strip() for line in last.splitlines() if line.startswith("Contract: ")}
            pending += [one for one in parents if one not in seen]
            seen.update(parents)
        return found

    def _branch(self, contract: Contract) -> _Branch | None:
        named = self._named.get(contract.issue)
        head = self._repository.resolve(named) if named else self._repository.branch_commit(contract.branch)
        if head is None:
            return None
        objects = self._repository.objects
        tree = objects.commit_fields(head)[0]
        fork = objects.commit_fields(self._repository.merge_base(self._base, head))[0]
        return _Branch(head, tree, fork, tuple(path for path, _, _ in objects.differences(fork, tree)))

    def plan(self, wanted: Sequence[str] = ()) -> MergePlan:
        """The steps for the given contracts and what they wait for; without any, for all."""
        chosen = {self._known(issue).issue for issue in wanted} or set(self._contracts)
        pending = list(chosen)
        while pending:
            contract = self._contracts[pending.pop()]
            needs = [one for one in self._contracts if one != contract.issue] if contract.depends_on_all else contract.depends_on
            new = set(needs) - chosen
            chosen |= new
            pending += new
        landed = self._landed()
        contracts = landing_order((self._contracts[issue] for issue in chosen), landed)
        hotspots = shared_hotspots(contracts)
        branches = {contract.issue: self._branch(contract) for contract in contracts}
        progress = _Progress(self._base_tree)
        steps = []
        with Merger(self._repository) as merger:
            for contract in contracts:
                steps.append(self._step(contract, branches, progress, merger, landed, hotspots[contract.issue]))
        return MergePlan(self._base, self._base_ref, self._base_tree, tuple(steps), tuple(self._notes))

    # -- one step --------------------------------------------------------------------------------------------------------------

    def _step(
        self,
        contract: Contract,
        branches: Mapping[str, _Branch | None],
        progress: _Progress,
        merger: Merger,
        landed: set[str],
        hotspots: Mapping[str, Sequence[str]],
    ) -> Step:
        issue = contract.issue
        after = sorted((self._contracts.keys() - {issue} if contract.depends_on_all else set(contract.depends_on)), key=id_order)
        notes: list[str] = []
        status, tree, conflicts, restacked = Status.READY, progress.tree, tuple[Conflict, ...](), ""
        # A landed contract's branch, where it is still there, tells only where the work of those that stand on it begins.
        branch = branches[issue] if issue not in landed else None
        if issue in landed:
            status = Status.LANDED
        elif branch is None:
            status = Status.NO_BRANCH
            if blockers := [one for one in after if one in progress.stuck]:
                notes.append(f"waits for {', '.join(blockers)}")
        elif blockers := [one for one in after if one in progress.stuck | progress.absent]:
            status = Status.BLOCKED
            notes.append(f"waits for {', '.join(blockers)}")
        else:
            fork = branch.fork_tree
            for parent in reversed([one for one in branches if one in after and branches[one]]):
                upstream = branches[parent]
                # A child cut from its parent's branch still carries the parent's commits: its own work starts at the parent's head.
                if upstream and upstream.head != branch.head and self._is_ancestor(upstream.head, branch.head):
                    fork, restacked = upstream.tree, parent
                    break
            merged = merger.merge(fork, progress.tree, branch.tree)
            if merged.conflicts:
                status = Status.CONFLICT
                conflicts = self._against(merged.conflicts, branch, branches, progress, merger)
            else:
                tree = merged.tree
            if not merged.renames_followed:
                notes.append("merged without following renames, since git 2.38 or newer is not here")
        gates: tuple[GateState, ...] = ()
        if status == Status.READY:
            gates = self._gates(contract, progress.tree, tree, notes)
            progress.tree = tree
            progress.merged.append(issue)
        elif status != Status.LANDED:
            gates = self._gates(contract, progress.tree, progress.tree, notes)
            (progress.absent if status == Status.NO_BRANCH else progress.stuck).add(issue)
        return Step(
            contract=issue,
            title=contract.title or contract.slug,
            after=tuple(after),
            status=status,
            branch=self._named.get(issue, contract.branch),
            commit=branch.head if branch else "",
            tree=tree if status == Status.READY else "",
            strategy=contract.merge_strategy,
            delete_branch=contract.delete_branch,
            restacked_on=restacked,
            conflicts=conflicts,
            hotspots=tuple((path, tuple(others)) for path, others in hotspots.items()),
            out_of_scope=self._out_of_scope(contract, branch),
            gates=gates,
            notes=tuple(notes),
            invariants=tuple((text, self._graph.invariants.get(text, "unchecked")) for text in contract.invariants),
        )

    def _is_ancestor(self, old: str, new: str) -> bool:
        return self._repository.merge_base(old, new) == old

    def _against(
        self, files: tuple[str, ...], branch: _Branch, branches: Mapping[str, _Branch | None], progress: _Progress, merger: Merger
    ) -> tuple[Conflict, ...]:
        """Who a conflict is with: the base, or contracts that land before.  What no pair explains is laid at all of them."""
        found: list[Conflict] = []
        with_base = merger.merge(branch.fork_tree, self._base_tree, branch.tree).conflicts
        if with_base:
            found.append(self._conflict(("base",), with_base))
        left = set(files) - set(with_base)
        for issue in progress.merged:
            other = branches[issue]
            if left and other is not None:
                alone = merger.merge(other.fork_tree, self._base_tree, other.tree)
                if alone.conflicts:
                    continue
                both = set(merger.merge(branch.fork_tree, alone.tree, branch.tree).conflicts) & left
                if both:
                    found.append(self._conflict((issue,), tuple(sorted(both))))
                    left -= both
        if left:
            found.append(self._conflict(tuple(progress.merged) or ("base",), tuple(sorted(left))))
        return tuple(found)

    def _conflict(self, against: tuple[str, ...], files: tuple[str, ...]) -> Conflict:
        owners = {
            who
            for pattern, who in self._graph.owners.items()
            if any(path == pattern or Glob(pattern).matches(path) for path in files)
        }
        return Conflict(against, files, tuple(sorted(owners)))

    def _out_of_scope(self, contract: Contract, branch: _Branch | None) -> tuple[str, ...]:
        """Paths that the branch changes and the contract does not allow."""
        if branch is None or not (contract.allow or contract.deny):
            return ()
        allow, deny = [Glob(one) for one in contract.allow], [Glob(one) for one in contract.deny]
        return tuple(
            path
            for path in branch.paths
            if any(one.matches(path) for one in deny) or (allow and not any(one.matches(path) for one in allow))
        )

    def _table(self, tree: str) -> Table:
        return self._workspace.analysis(Snapshot(self._repository.objects, tree, f"tree {tree[:12]}")).table()

    def _gates(self, contract: Contract, before: str, after: str, notes: list[str]) -> tuple[GateState, ...]:
        """The gates that the contract requires and those that its landing invalidates, at the tree that it leads to."""
        try:
            new = self._table(after)
            old = self._table(before)
        except DeclarationError as error:
            notes.append(f"the declarations of the merged tree are wrong: {error.faults[0].what}")
            return ()
        required = {str(Label.of_gate(gate)) for gate in contract.required}
        states = []
        for label, row in new.items():
            if row.kind != "gate":
                continue
            invalidated = label not in old or old[label].digest != row.digest
            if not (invalidated or label in required):
                continue
            proof = self._workspace.store.proof(row.digest, timeout_s=row.timeout_s or 10**9, accept_flaky=row.accept_flaky)
            target = self._graph.targets.get(_label(label))
            gpus = target.gpus if isinstance(target, Gate) else 0
            cost = 0.0 if proof else round(gpus * row.timeout_s / 60, 2)
            states.append(GateState(label, row.digest, label in required, invalidated, proof is not None, cost))
        missing = sorted(required - {label for label, row in new.items() if row.kind == "gate"})
        if missing:
            notes.append(f"required gates are not defined there: {', '.join(missing[:_MOST_NOTED])}")
        unasked = [state.label for state in states if state.invalidated and not state.required and before != after]
        if unasked:
            notes.append(f"invalidates gates that it does not require: {', '.join(unasked[:_MOST_NOTED])}")
        return tuple(states)


def _label(text: str) -> Label:
    package, _, name = text[2:].partition(":")
    return Label(package, name)
