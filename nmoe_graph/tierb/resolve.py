"""From a pull request to a request, and from a request back to what is here: the two must agree to the letter."""

from __future__ import annotations

from dataclasses import dataclass

from ..attest.block import contract_of
from ..attest.change import change_paths
from ..attest.evidence import Asked, Evidence
from ..attest.states import GateState, states
from ..errors import UsageError
from ..forge.records import Pull
from ..model import Contract
from ..plan.control import control_plane, control_words
from ..pulls.commits import PullCommits
from ..pulls.verdict import contract_named
from .request import Request, definitions_digest, gates_of, merge_commit, merged_tree, names_of

__all__ = ["Resolved", "assert_request", "control_of", "resolve"]


@dataclass(frozen=True)
class Resolved:
    """A request with what is known of it here.  `commit` is the merge, made here too."""

    request: Request
    contract: Contract
    commit: str
    gates: tuple[GateState, ...]
    control: str  # what of the change judges it, in words; "" for nothing


def resolve(workspace: Asked, evidence: Evidence, pull: Pull, commits: PullCommits, bundle: str, gate: str) -> Resolved:
    """What proving a bundle, or a gate, for a pull request comes to.

    Raises:
        UsageError: its title names no contract of the base, or the base has no such bundle or gate.
        SnapshotError: the merge conflicts.
    """
    contract, lines = contract_named(pull, {one.issue: one for one in evidence.graph.contracts()})
    if contract is None:
        raise UsageError(f"pull request {pull.number}: {lines[0].what}")
    repository = workspace.repository
    bundle, single = names_of(evidence, bundle, gate)
    tree = merged_tree(repository, workspace.memo, commits.base, commits.head)
    request = Request(
        pr_number=pull.number,
        bundle=bundle,
        single_gate=single,
        head_sha=commits.head,
        base_sha=commits.base,
        merged_tree=tree,
        definitions_digest=definitions_digest(repository.at(evidence.base), evidence.rules),
        contract=contract.issue,
        contract_digest=contract.source,
    )
    gates = gates_of(evidence, request)
    if any(one.gate_kind == "perf" for one in gates) and contract.perf is not None:
        baseline, budget = _perf(contract)
        request = Request(**(request.to_inputs() | {"pr_number": pull.number, "baseline_ref": baseline, "perf_budget_pct": budget}))  # type: ignore[arg-type]
    commit = merge_commit(repository, commits.base, commits.head, tree)
    control = control_of(workspace, evidence, commits.head)
    return Resolved(request.named(1), contract, commit, states(evidence, gates, contract, commit), control)


def control_of(workspace: Asked, evidence: Evidence, head: str) -> str:
    """What of a change judges it, by the rules of the base, in words; "" for nothing."""
    return control_words(control_plane(change_paths(workspace.repository, evidence.base, head), evidence.rules))


def _perf(contract: Contract) -> tuple[str, str]:
    """What a dispatch says of a contract's budget, for whoever approves it; the contract alone decides."""
    assert contract.perf is not None
    return contract.perf.baseline_ref, f"{contract.perf.budget_pct:g}"


def assert_request(workspace: Asked, evidence: Evidence, request: Request) -> Contract:
    """Hold a request against the commits that are here; the contract that it answers.

    Raises:
        UsageError: something that was approved is not so.
        SnapshotError: a commit is not here, or the merge conflicts.
    """
    repository = workspace.repository
    repository.resolve(request.head_sha)
    if evidence.base != request.base_sha:
        raise UsageError(f"the rules are those of {evidence.base[:12]}, and the request names {request.base_sha[:12]}")
    contract = contract_of(evidence, request.contract)
    due = {
        "merged_tree": merged_tree(repository, workspace.memo, request.base_sha, request.head_sha),
        "definitions_digest": definitions_digest(repository.at(evidence.base), evidence.rules),
        "contract_digest": contract.source,
    }
    for name, value in due.items():
        if getattr(request, name) != value:
            what = f"{name} is {value[:16]} here, and {getattr(request, name)[:16]} was asked for and approved"
            raise UsageError(what, hint="resolve the request anew: nmoe-graph tier-b run")
    names_of(evidence, "" if request.single_gate else request.bundle, request.single_gate)
    budget = (request.baseline_ref, request.perf_budget_pct)
    if budget != ("", "") and (contract.perf is None or budget != _perf(contract)):
        raise UsageError(f"the budget of the request is not that of contract {contract.issue}, which alone decides")
    return contract
