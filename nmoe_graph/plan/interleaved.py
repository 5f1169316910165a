"""The decision by runs of one job: baseline and change in turn, so that what drifts in a machine drifts for both.

Round 1 is baseline, change; round 2 is change, baseline; and so on: with an even number of rounds a linear drift cancels.  The
two runs of a round are a pair, and what counts is the difference within it.  Two intervals of the mean difference are taken, and
the wider end of each counts:

    Student's, for few pairs (Student 1908, "The probable error of a mean"): how much rounds differ
    a bootstrap in two levels, rounds and then samples within runs (Kalibera and Jones 2013, "Rigorous benchmarking in
    reasonable time"; percentiles as in Efron and Tibshirani 1993): how much samples differ

Few pairs alone would make a bootstrap too sure of itself; few rounds that agree by chance would do that to Student's.  The
interval also holds the difference of the two figures that are shown, so that no verdict contradicts them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..metrics import p50, samples_of
from ..model import Gate, PerfBudget
from ..result import Result, Verdict
from .perf import PerfDecision, budget_fault, chance, is_better, thinned, unsound

__all__ = ["BASELINE", "CHANGE", "RATCHET", "decide_interleaved", "decide_kept", "order", "run_name", "shift_of"]

BASELINE, CHANGE = "baseline", "change"
#: The metric under which a kept comparison holds its ratchet: the best figure ever over the baseline's own, as recorded.
RATCHET = "ratchet"

_DRAWS = 400
_TAIL = 0.025
#: The 97.5 % quantiles of Student's distribution, by degrees of freedom from 1.
STUDENT = (
    12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281,
    2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930,
)  # fmt: skip


def order(rounds: int) -> tuple[tuple[str, int], ...]:
    """Whose turn it is: (side, round from 1), each side first in every second round."""
    pairs = ((BASELINE, CHANGE), (CHANGE, BASELINE))
    return tuple((side, number + 1) for number in range(rounds) for side in pairs[number % 2])


def run_name(side: str, number: int) -> str:
    """The metric under which a kept comparison holds the samples of one run."""
    return f"{side}.{number}"


def _change_pct(before: Sequence[float], after: Sequence[float]) -> float:
    one, two = p50(before), p50(after)
    return (two - one) / one * 100 if one > 0 else math.inf


def _student(differences: Sequence[float]) -> tuple[float, float]:
    mean = math.fsum(differences) / len(differences)
    squares = math.fsum((one - mean) ** 2 for one in differences)
    half = STUDENT[min(len(differences) - 1, len(STUDENT)) - 1] * math.sqrt(squares / (len(differences) - 1) / len(differences))
    return mean - half, mean + half


def _bootstrap(pairs: Sequence[tuple[list[float], list[float]]], seed: int) -> tuple[float, float]:
    """Percentiles of the mean difference; what a draw gives depends on the seed and on nothing else."""
    drawn = chance(seed)
    found = []
    for _ in range(_DRAWS):
        total = 0.0
        for _ in pairs:
            before, after = pairs[next(drawn) % len(pairs)]
            total += _change_pct(*([pool[next(drawn) % len(pool)] for _ in pool] for pool in (before, after)))
        found.append(total / len(pairs))
    found.sort()
    return found[int(_DRAWS * _TAIL)], found[int(_DRAWS * (1 - _TAIL)) - 1]


def decide_interleaved(
    baseline: Sequence[Sequence[float]],
    change: Sequence[Sequence[float]],
    *,
    budget_pct: float,
    better: str,
    seed: int,
    shift: float = 1.0,
) -> PerfDecision:
    """Compare runs of one job, the first of either side with the first of the other, and so on.

    `shift` is the ratchet: the best figure ever over the baseline's own; one that would be more lenient does not count.  `seed`
    comes from the key of the comparison, so that everybody who has the samples comes to the same decision.
    """

    def unsure(reason: str) -> PerfDecision:
        finite = budget_pct if math.isfinite(budget_pct) else None
        return PerfDecision(Verdict.INCONCLUSIVE, reason, budget_pct=finite, way="interleaved")

    if why := budget_fault(budget_pct, better):
        return unsure(why)
    for runs, whose in ((baseline, "a run of the baseline"), (change, "a run of the change")):
        if why := unsound(runs, whose):
            return unsure(why)
    if len(baseline) != len(change) or len(baseline) < 2:
        return unsure(f"{len(baseline)} runs of the baseline and {len(change)} of the change are no rounds")
    if any(p50(one) <= 0 for one in baseline):
        return unsure("the baseline is not above zero")
    if not math.isfinite(shift) or shift <= 0 or not is_better(shift, 1.0, better):
        shift = 1.0
    # Sorted, so that the order of rounds and of samples says nothing.
    pairs = sorted((thinned([one]), thinned([two])) for one, two in zip(baseline, change, strict=True))
    differences = [_change_pct(one, two) for one, two in zip(baseline, change, strict=True)]
    figures = [float(p50([p50(run) for run in side])) for side in (baseline, change)]
    mark = figures[0] * shift
    delta = (figures[1] - mark) / mark * 100
    ends = [*_student(sorted(differences)), *_bootstrap(pairs, seed)]
    ends = [((1 + one / 100) / shift - 1) * 100 for one in ends]
    if not all(map(math.isfinite, (delta, *ends))):
        return unsure("the figures lie too far apart for a difference in per cent")
    low, high = min(*ends, delta), max(*ends, delta)
    made = PerfDecision(
        Verdict.INCONCLUSIVE,
        "",
        baseline=mark,
        result=figures[1],
        delta_pct=delta,
        low_pct=low,
        high_pct=high,
        spread_pct=max(differences) - min(differences),
        budget_pct=budget_pct,
        way="interleaved",
    )
    allowance = abs(budget_pct)
    worst, best = (-low, -high) if better == "higher" else (high, low)
    words = f"{delta:+.2f} % against a budget of {budget_pct:+g} %, by {len(pairs)} interleaved rounds"
    words += f" ({low:+.2f} to {high:+.2f} %)"
    if worst <= allowance:
        return replace(made, verdict=Verdict.PASSED, reason=words)
    if best > allowance:
        return replace(made, verdict=Verdict.FAILED, reason=words)
    return replace(made, reason=f"{words}: the interval holds the budget, so nothing is shown")


def _runs(metrics: Mapping[str, Sequence[float]], side: str, rounds: int) -> list[Sequence[float]]:
    return [metrics.get(run_name(side, number + 1), ()) for number in range(rounds)]


def decide_kept(result: Result, gate: Gate, budget: PerfBudget, shift: float = 1.0) -> PerfDecision:
    """The decision by a comparison that was kept, computed anew from its samples; its own verdict is not looked at.

    `shift` is the ratchet as it is known now; the one that was kept counts where it is stricter.
    """
    kept = result.metrics.get(RATCHET, ())
    if kept and is_better(kept[0], shift, gate.better):
        shift = kept[0]
    sides = [_runs(result.metrics, side, gate.rounds) for side in (BASELINE, CHANGE)]
    return decide_interleaved(
        *sides, budget_pct=budget.budget_pct, better=gate.better, seed=int(result.action_key[:16], 16), shift=shift
    )


def shift_of(made: Result, best: float | None, recorded: Sequence[Result], gate: Gate, budget: PerfBudget) -> float:
    """The ratchet for a comparison: the best figure ever over that of the baseline's recorded jobs on the same platform, or, where
    there are none, over that of its runs in the comparison; 1 without a ratchet."""
    own = [samples_of(one.metrics, budget.metric) for one in recorded if one.fingerprint == made.fingerprint]
    runs = [one for one in own if one] or [one for one in _runs(made.metrics, BASELINE, gate.rounds) if one]
    if best is None or not runs:
        return 1.0
    figure = p50([p50(one) for one in runs])
    shift = best / figure if figure > 0 else 1.0
    return shift if math.isfinite(shift) and is_better(shift, 1.0, gate.better) else 1.0
