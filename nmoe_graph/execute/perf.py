"""Perf gates in a build: for each contract with a budget, the samples of its compare gate here and at its baseline.

Nothing runs for it.  The samples are those of recorded proofs: here, of the compare gate's action key; at the baseline, of the key
that the same definitions give there; both on one platform, for figures of two are not compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..answers import GateOutcome
from ..digest.analysis import Analysis
from ..digest.keys import perf_contract_key
from ..errors import NmoeGraphError
from ..label import Label
from ..metrics import p50, samples_of
from ..model import Contract, Gate, PerfBudget, Result, Verdict
from ..plan.perf import PerfDecision, decide
from ..store.local import Store

__all__ = ["Baseline", "PerfJudge"]


@dataclass(frozen=True)
class Baseline:
    """The commit that a change is compared with, analysed, and which commits came before it."""

    analysis: Analysis
    is_ancestor: Callable[[str], bool]


class PerfJudge:
    """Judges the budgets of contracts.  `baseline` finds the commit of a contract's `baseline_ref`."""

    def __init__(self, analysis: Analysis, store: Store, baseline: Callable[[str], Baseline]) -> None:
        self._analysis, self._store, self._baseline = analysis, store, baseline

    def budgets(self, chosen: Sequence[Label]) -> list[tuple[Contract, PerfBudget, Gate]]:
        """The budgets that labels stand for: of contracts among them, and of merges their contracts'."""
        graph = self._analysis.graph
        found = []
        for label in sorted(graph.closure(chosen)):
            target = graph.targets[label]
            if isinstance(target, Contract) and target.perf is not None:
                gate = graph.targets[Label.of_gate(target.perf.gate)]
                if isinstance(gate, Gate) and gate.gate_kind == "perf":
                    found.append((target, target.perf, gate))
        return found

    def judge(self, contract: Contract, budget: PerfBudget, gate: Gate, compared: GateOutcome) -> GateOutcome:
        """The outcome of a contract's budget, once its compare gate has one."""
        graph = self._analysis.graph
        runs = graph.targets[Label.of_gate(gate.compare_gate or "")]
        assert isinstance(runs, Gate)
        if not compared.proven:
            reason = f"for {contract.issue}: {gate.compare_gate} is not proven"
            if compared.verdict is Verdict.NOT_RUN and compared.reason.startswith("needs"):
                reason = f"needs a proof of {gate.compare_gate}, for {contract.issue}"
            return self._outcome(gate, "", Verdict.NOT_RUN, reason)
        try:
            baseline = self._baseline(budget.baseline_ref)
            before = baseline.analysis.digest(runs.label)
        except NmoeGraphError as error:
            reason = f"for {contract.issue}: the baseline {budget.baseline_ref} cannot be read: {error.faults[0].what}"
            return self._outcome(gate, "", Verdict.INCONCLUSIVE, reason)
        after = self._analysis.digest(runs.label)
        here = self._proofs(runs, after, budget.metric)
        platform = max(here, key=_age).fingerprint if here else ()
        there = [one for one in self._proofs(runs, before, budget.metric) if one.fingerprint == platform]
        decision = decide(
            [samples_of(one.metrics, budget.metric) for one in there],
            [samples_of(one.metrics, budget.metric) for one in here if one.fingerprint == platform],
            budget_pct=budget.budget_pct,
            better=gate.better,
            ratchet=self._best(runs, budget.metric, platform, gate.better, baseline) if gate.ratchet else None,
            same=before == after,
        )
        key = perf_contract_key(gate, before, after, budget)
        return self._outcome(gate, key, decision.verdict, f"for {contract.issue}: {decision.reason}", decision)

    def _proofs(self, gate: Gate, key: str, metric: str) -> list[Result]:
        """Every recorded run that proves an action and has samples; what others proved too."""
        kept = [one for one in self._store.results(key) if one.verdict.proves(gate.accept_flaky)]
        shared = self._store.proof(key, timeout_s=gate.timeout_s, accept_flaky=gate.accept_flaky)
        if shared is not None and all((one.started, one.log_digest) != (shared.started, shared.log_digest) for one in kept):
            kept.append(shared)
        return [one for one in kept if samples_of(one.metrics, metric)]

    def _best(self, gate: Gate, metric: str, platform: object, better: str, baseline: Baseline) -> float | None:
        """The best figure that any commit up to the baseline was proven with on this platform."""
        known: dict[str, bool] = {}
        figures = []
        for one in self._store.by_label(str(gate.label)):
            if one.fingerprint != platform or not one.verdict.proves(gate.accept_flaky) or not samples_of(one.metrics, metric):
                continue
            if one.commit is not None and known.setdefault(one.commit, baseline.is_ancestor(one.commit)):
                figures.append(p50(samples_of(one.metrics, metric)))
        if not figures:
            return None
        return max(figures) if better == "higher" else min(figures)

    def _outcome(self, gate: Gate, key: str, verdict: Verdict, reason: str, decision: PerfDecision | None = None) -> GateOutcome:
        return GateOutcome(
            label=str(gate.label),
            verdict=verdict,
            cached=False,
            reason=reason,
            action_key=key or self._analysis.digest(gate.label),
            commit=self._analysis.snapshot.commit,
            proven=verdict.proves(),
            perf=decision.to_dict() if decision is not None else None,
        )


def _age(result: Result) -> tuple[str, str]:
    return result.started, result.log_digest
