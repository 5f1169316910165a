"""The block of a pull request, written from results: what is not proven is not in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import SnapshotError, UsageError, did_you_mean, printable
from ..model import Contract
from .change import ChangeFacts, change_facts
from .evidence import Asked, Evidence
from .perf import PerfLine, perf_line

__all__ = ["AttestReport", "contract_of", "write_block"]

_MOST_PATHS = 50


@dataclass(frozen=True)
class AttestReport:
    """A block and what is to be said of it.  `text` is empty where something that it must say is not proven."""

    contract: str
    commit: str
    text: str
    unproven: tuple[str, ...]  # why it was not written
    notes: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        return 0 if self.text else 1

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": "nmoe-graph/attest@1",
            "contract": self.contract,
            "commit": self.commit,
            "written": bool(self.text),
            "text": self.text,
            "unproven": [printable(one, limit=600) for one in self.unproven],
            "notes": [printable(one, limit=600) for one in self.notes],
        }


def contract_of(evidence: Evidence, issue: str) -> Contract:
    """A contract as the base has it.

    Raises:
        UsageError: the base has none of this id.
    """
    known = {contract.issue: contract for contract in evidence.graph.contracts()}
    name = issue.removeprefix("//contracts:")
    if name not in known:
        hint = did_you_mean(name, known) or "a contract counts as the base has it; or name its file"
        raise UsageError(f"{evidence.base_ref} has no contract {printable(name, limit=60)}", hint=hint)
    return known[name]


def write_block(workspace: Asked, evidence: Evidence, contract: Contract, at: str | None) -> AttestReport:
    """The `nmoe_pr` block of a commit (default: HEAD).

    Tier a must be proven, or nothing is written.  Tier b stays empty, and the perf lines away, until there is proof that counts.

    Raises:
        SnapshotError: the commit is not here, or the work tree has changes that no commit holds.
    """
    repository = workspace.repository
    if at is None and repository.work_tree().commit is None:
        raise SnapshotError("the work tree has changes, and only commits are attested", hint="git commit, or say --at REF")
    commit = repository.resolve(at or "HEAD")
    facts = change_facts(repository, evidence.base, commit, contract, evidence.rules)
    proven: dict[str, list[str]] = {"a": [], "b": []}
    unproven: list[str] = []
    notes: list[str] = []
    if not facts.paths:
        notes.append(f"nothing changed between {evidence.base_ref} and {commit[:12]}: check out the branch, or say --at REF")
    for gate_id in contract.required:
        gate = evidence.gate(gate_id)
        if gate is None:
            unproven.append(f"{gate_id} is no gate of {evidence.base_ref}")
            continue
        if gate.gate_kind == "perf":
            if contract.perf is None or contract.perf.gate != gate_id:
                unproven.append(f"{gate_id} is a perf gate, and the contract has no budget for it")
            continue
        proof, why = evidence.proof(gate, commit)
        if proof is not None:
            proven[gate.tier].append(gate_id)
            notes.append(f"{gate_id}: {proof.by}")
        elif gate.tier == "a":
            unproven.append(f"{gate_id} is not proven: {'; '.join(why[:3])}")
        else:
            notes.append(f"{gate_id} is not proven yet, so tier_b does not name it: {'; '.join(why[:3])}")
    unproven += [f"{path} is outside of the contract's scope" for path in facts.out_of_scope[:_MOST_PATHS]]
    if len(facts.out_of_scope) > _MOST_PATHS:
        unproven.append(f"... and {len(facts.out_of_scope) - _MOST_PATHS} more paths are outside of it")
    perf: PerfLine | None = None
    if contract.perf is not None:
        perf, why_not = perf_line(evidence, contract, commit)
        if perf is None:
            notes.append(f"perf is left out: {why_not}")
    if unproven:
        return AttestReport(contract.issue, commit, "", tuple(unproven), tuple(notes))
    return AttestReport(contract.issue, commit, _text(contract, facts, proven, perf, evidence), (), tuple(notes))


def _text(contract: Contract, facts: ChangeFacts, proven: dict[str, list[str]], perf: PerfLine | None, evidence: Evidence) -> str:
    lines = [
        "nmoe_pr:",
        f"  issue: {contract.issue}",
        f"  baseline_sha: {facts.fork}",
        f"  pr_sha: {facts.commit}",
        f"  risk: {contract.risk}",
        "",
        "gates_passed:",
    ]
    for tier in ("a", "b"):
        lines.append(f"  tier_{tier}:" + ("" if proven[tier] else " []"))
        lines += [f"    - {gate}" for gate in proven[tier]]
    if perf is not None:
        lines += [
            "",
            "perf:",
            f"  gate: {perf.gate}",
            f"  metric: {perf.metric}",
            f"  baseline: {_number(perf.baseline)}",
            f"  result: {_number(perf.result)}",
            f"  delta_pct: {_number(perf.delta_pct)}",
            f"  budget_pct: {_number(perf.budget_pct)}",
            f"  status: {perf.status}",
        ]
    if facts.control_plane:
        lines += ["", f"# control plane: this change touches what judges it, and was judged by the rules of {evidence.base[:12]}"]
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    """A plain decimal: YAML readers differ over exponents."""
    text = f"{value:.4f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
