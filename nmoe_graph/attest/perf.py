"""The perf line of a pull request, computed from samples that count; nobody types it.

It is decided as in a build: by recorded jobs where the difference is beyond their spread, else by a comparison in which both
sides ran interleaved.  Only what is decided has a line.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..digest.keys import perf_contract_key
from ..errors import NmoeGraphError
from ..model import Contract, Gate, PerfBudget, Result
from ..plan.interleaved import decide_kept, shift_of
from ..plan.perf import PerfDecision, Platform, decide_recorded
from ..result import Verdict
from .evidence import Evidence

__all__ = ["Compared", "PerfLine", "budget_of", "compared_at", "perf_line"]

_DIGITS = 4


@dataclass(frozen=True, slots=True)
class PerfLine:
    """The figures of the baseline and of the change, what the difference is against the budget, and what it came to."""

    gate: str
    metric: str
    baseline: float
    result: float
    delta_pct: float
    budget_pct: float
    passes: bool
    reason: str

    @property
    def status(self) -> str:
        return "pass" if self.passes else "fail"


@dataclass(frozen=True, slots=True)
class Compared:
    """What one contract's budget compares at a commit, by the definitions of the base."""

    contract: Contract
    budget: PerfBudget
    gate: Gate  # of kind perf
    runs: Gate
    baseline: str  # commit
    before: str  # action keys of `runs`
    after: str

    @property
    def key(self) -> str:
        return perf_contract_key(self.gate, self.before, self.after, self.budget)

    def decision(self, evidence: Evidence, kept: Result) -> PerfDecision:
        """The decision by a comparison that was kept."""
        there = [one.result for one in evidence.proofs(self.runs, self.before)]
        return decide_kept(
            kept, self.gate, self.budget, shift_of(kept, self._best(evidence, kept.fingerprint), there, self.gate, self.budget)
        )

    def _best(self, evidence: Evidence, platform: Platform) -> float | None:
        if not self.gate.ratchet:
            return None
        return evidence.best(self.runs, self.budget.metric, self.gate.better, self.baseline, platform)

    def decide(self, evidence: Evidence) -> PerfDecision:
        """The decision by everything that counts."""
        there, here = ([one.result for one in evidence.proofs(self.runs, key)] for key in (self.before, self.after))
        same = self.before == self.after
        decision = decide_recorded(
            there, here, self.budget, self.gate.better, lambda platform: self._best(evidence, platform), same=same
        )
        if decision.open and self.gate.rounds:
            for proof in evidence.proofs(self.gate, self.key):
                made = self.decision(evidence, proof.result)
                if made.verdict is Verdict.PASSED:
                    return made
        return decision


def compared_at(evidence: Evidence, contract: Contract, commit: str) -> Compared | str:
    """What a contract's budget compares at a commit; or why it compares nothing."""
    budget = contract.perf
    if budget is None:
        return "the contract has no budget"
    gate = evidence.gate(budget.gate)
    runs = evidence.gate(gate.compare_gate) if gate is not None and gate.gate_kind == "perf" and gate.compare_gate else None
    if gate is None or runs is None:
        return f"{budget.gate} is no perf gate of the base"
    try:
        baseline = evidence.baseline(budget.baseline_ref, commit)
    except NmoeGraphError as error:
        return error.faults[0].what
    keys = []
    for where, at in (("the baseline", baseline), ("the change", commit)):
        key, why = evidence.key(runs, at)
        if not key:
            return f"{runs.gate_id} cannot be keyed at {where} ({at[:12]}): {why}"
        keys.append(key)
    return Compared(contract, budget, gate, runs, baseline, keys[0], keys[1])


def budget_of(evidence: Evidence, gate: Gate, commit: str, key: str) -> Compared | None:
    """The budget of the base's contracts that a comparison's key is of at a commit; None where it is of none."""
    for contract in evidence.graph.contracts():
        if contract.perf is None or contract.perf.gate != gate.gate_id:
            continue
        found = compared_at(evidence, contract, commit)
        if isinstance(found, Compared) and found.key == key:
            return found
    return None


def perf_line(evidence: Evidence, contract: Contract, commit: str) -> tuple[PerfLine | None, str]:
    """The figures that a contract asks for; or why there are none that count."""
    compared = compared_at(evidence, contract, commit)
    if isinstance(compared, str):
        return None, compared
    found, why = evidence.proof(compared.runs, commit)
    if found is None:
        return None, f"{compared.runs.gate_id} is not proven at the change ({commit[:12]}): {why[0]}"
    decision = compared.decide(evidence)
    figures = (decision.baseline, decision.result, decision.delta_pct)
    if decision.verdict not in (Verdict.PASSED, Verdict.FAILED) or None in figures:
        return None, f"inconclusive: {decision.reason}"
    before, after, change = (round(one, _DIGITS) for one in figures if one is not None)
    budget = compared.budget
    passes = decision.verdict is Verdict.PASSED
    return PerfLine(budget.gate, budget.metric, before, after, change, budget.budget_pct, passes, decision.reason), ""
