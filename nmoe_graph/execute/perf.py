"""Perf gates in a build: for each contract with a budget, the samples of its compare gate here and at its baseline.

Recorded proofs decide where the difference is beyond their spread: here, of the compare gate's action key; at the baseline, of
the key that the same definitions give there; both on one platform.  Where they do not, both sides run interleaved in one job.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from ..answers import GateOutcome
from ..digest.analysis import Analysis
from ..digest.keys import perf_contract_key
from ..errors import NmoeGraphError
from ..label import Label
from ..model import Contract, Gate, Job, PerfBudget, Result, Verdict
from ..plan.interleaved import shift_of
from ..plan.perf import PerfDecision, Platform, decide_recorded, ratchet_mark
from ..store.local import Store
from .interleaved import Comparison

__all__ = ["Baseline", "Bench", "PerfJudge", "Side"]


class Side(Protocol):
    """One snapshot's jobs."""

    def job(self, item: Gate) -> Job | str: ...

    def why_not_here(self, item: Gate) -> str: ...


@dataclass(frozen=True)
class Bench:
    """What a build lends to a comparison.  `run` makes one, or finds that another build just made it."""

    here: Side
    at: Callable[[Analysis], Side]
    run: Callable[[Comparison, tuple[Job, Job]], tuple[Result, bool]]
    use_cache: bool
    dry_run: bool


@dataclass(frozen=True)
class Baseline:
    """The commit that a change is compared with, analysed, and which commits came before it."""

    analysis: Analysis
    is_ancestor: Callable[[str], bool]


@dataclass(frozen=True)
class _Cannot:
    """Why a comparison is not made, and what the budget comes to for it."""

    verdict: Verdict
    reason: str


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

    def judge(self, contract: Contract, budget: PerfBudget, gate: Gate, compared: GateOutcome, bench: Bench) -> GateOutcome:
        """The outcome of a contract's budget, once its compare gate has one."""
        graph = self._analysis.graph
        runs = graph.targets[Label.of_gate(gate.compare_gate or "")]
        assert isinstance(runs, Gate)
        whose = f"for {contract.issue}: "
        if not compared.proven:
            reason = f"{whose}{gate.compare_gate} is not proven"
            if compared.verdict is Verdict.NOT_RUN and compared.reason.startswith("needs"):
                reason = f"needs a proof of {gate.compare_gate}, for {contract.issue}"
            return self._outcome(gate, "", Verdict.NOT_RUN, reason)
        try:
            baseline = self._baseline(budget.baseline_ref)
            before = baseline.analysis.digest(runs.label)
        except NmoeGraphError as error:
            reason = f"{whose}the baseline {budget.baseline_ref} cannot be read: {error.faults[0].what}"
            return self._outcome(gate, "", Verdict.INCONCLUSIVE, reason)
        after = self._analysis.digest(runs.label)
        key = perf_contract_key(gate, before, after, budget)
        there, here = (self._store.proofs(one, timeout_s=runs.timeout_s, accept_flaky=runs.accept_flaky) for one in (before, after))

        def best(platform: Platform) -> float | None:
            if not gate.ratchet:
                return None
            ran = self._store.by_label(str(runs.label))
            return ratchet_mark(ran, budget.metric, platform, gate.better, runs.accept_flaky, baseline.is_ancestor)

        decision = decide_recorded(there, here, budget, gate.better, best, same=before == after)
        if not decision.open or not gate.rounds:
            return self._outcome(gate, key, decision.verdict, whose + decision.reason, decision)

        what = Comparison(key, gate, budget, lambda made: shift_of(made, best(made.fingerprint), there, gate, budget))
        kept = what.kept(self._store) if bench.use_cache else None
        if kept is not None:
            return self._kept(what, kept, whose, cached=True)
        try:
            jobs = self._jobs(runs, baseline, bench)
            if isinstance(jobs, _Cannot):
                return self._outcome(gate, key, jobs.verdict, f"{jobs.reason}, for {contract.issue}", decision)
            if bench.dry_run:
                reason = f"{whose}would run baseline and change interleaved, {gate.rounds} rounds"
                return self._outcome(gate, key, Verdict.NOT_RUN, reason, decision)
            made, cached = bench.run(what, jobs)
        except NmoeGraphError as error:
            return self._outcome(gate, key, Verdict.INFRA_ERROR, whose + error.faults[0].what, decision)
        return self._kept(what, made, whose, cached)

    def _jobs(self, runs: Gate, baseline: Baseline, bench: Bench) -> tuple[Job, Job] | _Cannot:
        """Both jobs, or why they cannot run here."""
        made = []
        for name, side in (("baseline", bench.at(baseline.analysis)), ("change", bench.here)):
            if reason := side.why_not_here(runs):
                return _Cannot(Verdict.NOT_RUN, f"{reason}: recorded jobs do not decide, and the {name} has to run again")
            if missing := [one for one in runs.requires if one not in os.environ]:
                return _Cannot(Verdict.NOT_RUN, f"needs {', '.join(missing)} to be set, to run the {name} again: export it")
            job = side.job(runs)
            if isinstance(job, str):
                return _Cannot(Verdict.INCONCLUSIVE, f"the {name} cannot run again: {job}")
            made.append(job)
        return made[0], made[1]

    def _kept(self, what: Comparison, result: Result, whose: str, cached: bool) -> GateOutcome:
        """The outcome of a comparison that was made, decided by its samples, where it has them all."""
        decided = result.verdict in (Verdict.PASSED, Verdict.FAILED, Verdict.INCONCLUSIVE) and result.exit_code == 0
        decision = what.decision(result) if decided else None
        verdict, reason = (decision.verdict, decision.reason) if decision is not None else (result.verdict, result.reason)
        outcome = self._outcome(what.gate, what.key, verdict, whose + reason, decision)
        return replace(
            outcome,
            cached=cached,
            commit=result.commit,
            duration_s=result.duration_s,
            started=result.started,
            attempts=result.attempts,
            means=result.means,
            log_digest=result.log_digest,
        )

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
