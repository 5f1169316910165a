"""The perf line of a pull request, computed from samples that count; nobody types it."""

from __future__ import annotations

from dataclasses import dataclass

from ..metrics import p50, samples_of
from ..model import Contract
from .evidence import Evidence

__all__ = ["PerfLine", "perf_line"]

_DIGITS = 4


@dataclass(frozen=True, slots=True)
class PerfLine:
    """Upper medians at the baseline and at the change, and what the difference is against the budget."""

    gate: str
    metric: str
    baseline: float
    result: float
    delta_pct: float
    budget_pct: float

    @property
    def passes(self) -> bool:
        # A budget up to zero bounds a loss of what should be high; one above zero bounds growth of what should be low.
        return self.delta_pct >= self.budget_pct if self.budget_pct <= 0 else self.delta_pct <= self.budget_pct

    @property
    def status(self) -> str:
        return "pass" if self.passes else "fail"


def perf_line(evidence: Evidence, contract: Contract, baseline: str, commit: str) -> tuple[PerfLine | None, str]:
    """The figures that a contract asks for; or why there are none that count."""
    budget = contract.perf
    if budget is None:
        return None, "the contract has no budget"
    gate = evidence.gate(budget.gate)
    compared = evidence.gate(gate.compare_gate) if gate is not None and gate.compare_gate else None
    if gate is None or compared is None:
        return None, f"{budget.gate} is no perf gate of the base"
    figures: list[float] = []
    platforms: list[tuple[tuple[str, str], ...]] = []
    for where, at in (("the baseline", baseline), ("the change", commit)):
        proof, why = evidence.proof(compared, at)
        if proof is None:
            return None, f"{compared.gate_id} is not proven at {where} ({at[:12]}): {why[0]}"
        samples = samples_of(proof.result.metrics, budget.metric)
        if not samples:
            return None, f"{compared.gate_id} left no sample of {budget.metric} at {where} ({at[:12]})"
        figures.append(p50(samples))
        platforms.append(tuple(sorted(proof.result.fingerprint)))
    if platforms[0] != platforms[1]:
        return None, "baseline and change ran on different platforms, and such figures are not compared"
    if figures[0] <= 0:
        return None, "the baseline is not above zero"
    delta = (figures[1] - figures[0]) / figures[0] * 100
    before, after, change = (round(one, _DIGITS) for one in (*figures, delta))
    return PerfLine(budget.gate, budget.metric, before, after, change, budget.budget_pct), ""
