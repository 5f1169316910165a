"""How far each contract is: branch, pull request, scope, commits, invariants, proofs, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..attest.evidence import Asked, Evidence
from ..errors import SnapshotError, printable
from ..forge.records import Pull
from ..git.repository import Repository
from ..markup import table
from ..merge.branches import Branch, Branches
from ..merge.scope import scope_faults
from ..model import Contract
from ..plan.merge import landing_order
from ..safe import redact
from .worktree import Place, places

__all__ = ["ContractState", "Invariant", "ProofState", "StatusReport", "contract_states", "next_action"]

_MOST_COMMITS = 200


@dataclass(frozen=True, slots=True)
class Invariant:
    """A sentence of the contract, and the gate that checks it: `unchecked` where `[invariants]` names none."""

    text: str
    gate: str  # "" for none
    state: str  # proven, not proven, unchecked


@dataclass(frozen=True, slots=True)
class ProofState:
    """A required gate at the head of the branch."""

    gate: str
    tier: str
    proven: bool
    by: str  # whose word it is; else why it does not count


@dataclass(frozen=True, slots=True)
class ContractState:
    """One contract as it stands."""

    contract: str
    title: str
    landed: bool
    waits_for: tuple[str, ...] = ()
    branch: str = ""  # "" where there is none
    commit: str = ""
    commits: int = 0  # of the branch's own
    dirty: bool = False  # its worktree holds changes that no commit has
    odd_commits: tuple[str, ...] = ()  # commits that are not of this contract alone, in words
    out_of_scope: tuple[tuple[str, str], ...] = ()
    pushed: bool = False
    pull: int = 0  # 0: none, or GitHub was not asked
    pull_state: str = ""  # open, draft, closed
    pull_commit: str = ""
    invariants: tuple[Invariant, ...] = ()
    proofs: tuple[ProofState, ...] = ()
    next: str = ""

    def unproven(self, tier: str) -> tuple[str, ...]:
        return tuple(one.gate for one in self.proofs if one.tier == tier and not one.proven)

    def to_dict(self) -> dict[str, Any]:
        return {
            "contract": self.contract,
            "title": printable(redact(self.title), limit=200),
            "landed": self.landed,
            "waits_for": list(self.waits_for),
            "branch": printable(self.branch, limit=200),
            "commit": self.commit,
            "commits": self.commits,
            "dirty": self.dirty,
            "odd_commits": [printable(redact(one), limit=300) for one in self.odd_commits],
            "out_of_scope": [{"path": printable(path, limit=300), "what": what} for path, what in self.out_of_scope],
            "pushed": self.pushed,
            "pull": {"number": self.pull, "state": self.pull_state, "commit": self.pull_commit} if self.pull else None,
            "invariants": [
                {"text": printable(one.text, limit=300), "gate": one.gate, "state": one.state} for one in self.invariants
            ],
            "proofs": [
                {"gate": one.gate, "tier": one.tier, "proven": one.proven, "by": printable(redact(one.by), limit=300)}
                for one in self.proofs
            ],
            "next": printable(self.next, limit=300),
        }


@dataclass(frozen=True)
class StatusReport:
    """Contracts in landing order."""

    base: str
    contracts: tuple[ContractState, ...]
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        return 0

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": "nmoe-graph/contract-status@1",
            "base": self.base,
            "contracts": [one.to_dict() for one in self.contracts],
            "notes": [printable(redact(one), limit=400) for one in self.notes],
        }

    def _repr_html_(self) -> str:
        rows = [[one.contract, one.branch, f"#{one.pull}" if one.pull else "", one.next] for one in self.contracts]
        return table(["contract", "branch", "pull request", "next"], rows, f"contracts at {self.base[:12]}")


def next_action(state: ContractState, asked: bool) -> str:
    """What whoever works on a contract does next; `asked` says whether GitHub was asked for its pull request."""
    issue = state.contract
    if state.landed:
        return "nothing: it has landed"
    if not state.branch:
        return f"nmoe-graph contract worktree {issue}"
    if state.dirty:
        return "commit, or take back, what is in the worktree"
    if not state.commits:
        return "work in its worktree"
    if state.out_of_scope:
        return f"take {state.out_of_scope[0][0]} out of the branch, or widen the contract's scope"
    if state.unproven("a"):
        return f"nmoe-graph build --at {state.branch} {' '.join(state.unproven('a'))}"
    if asked and not state.pull:
        return f"nmoe-graph pr create {issue}"
    if asked and state.pull_state == "closed":
        return f"reopen pull request {state.pull}, or give the contract up"
    if asked and state.pull_commit != state.commit:
        return f"git push origin {state.branch}, then nmoe-graph pr update {state.pull}"
    if state.unproven("b"):
        return f"nmoe-graph tier-b run {state.pull or 'PR'}"
    if state.waits_for:
        return f"wait for {', '.join(state.waits_for)}"
    return f"nmoe-graph merge {'--github ' if state.pull else ''}{issue}"


def contract_states(
    workspace: Asked, evidence: Evidence, contracts: Sequence[Contract], pulls: Mapping[str, Pull] | None
) -> tuple[ContractState, ...]:
    """The state of contracts, in landing order.  `pulls` is by branch; None where GitHub was not asked.

    Raises:
        UsageError: the contracts need each other in a circle.
    """
    repository = workspace.repository
    branches = Branches(repository, workspace.memo, evidence.base)
    known = {place.branch: place for place in (places(repository) if repository.git else [])}
    landed = set(branches.landings)
    found = []
    for contract in landing_order(contracts, landed):
        branch = branches.of(contract.branch)
        waits = tuple(one for one in contract.depends_on if one not in landed)
        if contract.depends_on_all:
            waits = tuple(one.issue for one in contracts if one.issue != contract.issue and one.issue not in landed)
        state = ContractState(contract.issue, contract.title or contract.slug, contract.issue in landed, waits)
        if branch is not None and not state.landed:
            state = _of_branch(workspace, evidence, branches, contract, branch, state, known)
        pull = (pulls or {}).get(contract.branch)
        if pull is not None:
            word = "draft" if pull.draft and pull.state == "open" else pull.state
            state = replace(state, pull=pull.number, pull_state=word, pull_commit=pull.head_sha)
        found.append(replace(state, next=next_action(state, pulls is not None)))
    return tuple(found)


def _of_branch(
    workspace: Asked,
    evidence: Evidence,
    branches: Branches,
    contract: Contract,
    branch: Branch,
    state: ContractState,
    known: Mapping[str, Place],
) -> ContractState:
    repository = workspace.repository
    own = _own_commits(repository, branch)
    odd = []
    for commit, parents in own:
        trees = [repository.objects.commit_fields(one)[0] for one in (parents[0], commit)] if parents else []
        if len(parents) > 1:
            odd.append(f"{commit[:12]} is a merge")
        elif trees and (faults := scope_faults(contract, branches.changes(*trees))):
            odd.append(f"{commit[:12]} touches {faults[0][0]} ({faults[0][1]})")
    place = known.get(f"refs/heads/{contract.branch}")
    return replace(
        state,
        branch=contract.branch,
        commit=branch.head,
        commits=len(own),
        dirty=place is not None and not place.gone and _dirty(place.folder),
        odd_commits=tuple(odd),
        out_of_scope=tuple(scope_faults(contract, branches.changes(branch.fork_tree, branch.tree))),
        pushed=repository.try_resolve(f"refs/remotes/origin/{contract.branch}") == branch.head,
        invariants=tuple(_invariant(evidence, text, branch.head) for text in contract.invariants),
        proofs=tuple(_proof(evidence, gate, branch.head) for gate in contract.required if not _is_perf(evidence, gate)),
    )


def _own_commits(repository: Repository, branch: Branch) -> list[tuple[str, tuple[str, ...]]]:
    """The commits of a branch back to where it left the base, along first parents, newest first."""
    found: list[tuple[str, tuple[str, ...]]] = []
    commit = branch.head
    while commit != branch.fork and len(found) < _MOST_COMMITS:
        _, parents, _ = repository.objects.commit_fields(commit)
        found.append((commit, parents))
        if not parents:
            break
        commit = parents[0]
    return found


def _dirty(folder: Path) -> bool:
    try:
        return Repository.open(folder).work_tree().commit is None
    except SnapshotError:
        return False


def _is_perf(evidence: Evidence, gate_id: str) -> bool:
    gate = evidence.gate(gate_id)
    return gate is not None and gate.gate_kind == "perf"


def _proof(evidence: Evidence, gate_id: str, commit: str) -> ProofState:
    gate = evidence.gate(gate_id)
    if gate is None:
        return ProofState(gate_id, "", False, f"it is no gate of {evidence.base_ref}")
    proof, why = evidence.proof(gate, commit)
    return ProofState(gate_id, gate.tier, proof is not None, proof.by if proof is not None else "; ".join(why[:2]))


def _invariant(evidence: Evidence, text: str, commit: str) -> Invariant:
    """Nobody pretends: a sentence that no gate checks is unchecked."""
    named = evidence.graph.invariants.get(text, "").removeprefix("//gates/")
    if not named:
        return Invariant(text, "", "unchecked")
    return Invariant(text, named, "proven" if _proof(evidence, named, commit).proven else "not proven")
