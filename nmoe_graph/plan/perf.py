"""May this change cost what it costs?  A pure decision over samples that were recorded, with no clock and no chance in it.

This is the decision by jobs that ran at other times; `interleaved.py` has the one by runs of one job.

The figure of a job is the upper median (p50) of its samples; the figure of several jobs is the upper median of theirs.  A
difference counts only as far as it goes beyond the noise: the recorded spread between the baseline's jobs, and a bootstrap
interval of the two figures (percentile method, a fixed seed).  What lies within the noise is `inconclusive`, and that is no pass.

                            worst case within the budget    PASSED
    best case beyond the budget                             FAILED
    anything else, or no sound samples                      INCONCLUSIVE

A budget of -10 lets what should be high fall by 10 %; one of +10 lets what should be low grow by 10 %.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..metrics import p50, samples_of
from ..model import PerfBudget
from ..result import Result, Verdict

__all__ = [
    "PerfDecision",
    "Platform",
    "budget_fault",
    "chance",
    "decide",
    "decide_recorded",
    "interval",
    "is_better",
    "ratchet_mark",
    "thinned",
    "unsound",
]

Jobs = Sequence[Sequence[float]]
Platform = tuple[tuple[str, str], ...]

_ROUNDS = 400
_MOST_DRAWN = 200
_TAIL = 0.025


@dataclass(frozen=True, slots=True)
class PerfDecision:
    """What came of a comparison; the figures are None where there were no samples to take them from.  Percentages."""

    verdict: Verdict
    reason: str
    baseline: float | None = None
    result: float | None = None
    delta_pct: float | None = None
    low_pct: float | None = None  # of the bootstrap interval of delta_pct
    high_pct: float | None = None
    spread_pct: float | None = None  # between the baseline's jobs; of interleaved runs, between the rounds
    budget_pct: float | None = None
    way: str = "recorded"  # or "interleaved"
    open: bool = False  # whether runs of both sides, interleaved, could still decide it

    def to_dict(self) -> dict[str, Any]:
        def rounded(value: float | None) -> float | None:
            return None if value is None else round(value, 4)

        return {
            "baseline": self.baseline,
            "result": self.result,
            "delta_pct": rounded(self.delta_pct),
            "interval_pct": [rounded(self.low_pct), rounded(self.high_pct)] if self.low_pct is not None else None,
            "spread_pct": rounded(self.spread_pct),
            "budget_pct": rounded(self.budget_pct),
            "way": self.way,
        }


def _unsure(reason: str, **figures: float | None) -> PerfDecision:
    return PerfDecision(Verdict.INCONCLUSIVE, reason, **figures)  # type: ignore[arg-type]


def budget_fault(budget_pct: float, better: str) -> str:
    """Why a budget bounds nothing; "" where it does."""
    if not math.isfinite(budget_pct):
        return "the budget is no finite number"
    if (better == "higher" and budget_pct > 0) or (better == "lower" and budget_pct < 0):
        what = "a fall" if better == "higher" else "a growth"
        return f"a budget of {budget_pct:+g} % bounds no loss where {better} is better: {what} is due"
    return ""


def unsound(jobs: Jobs, whose: str) -> str:
    """Why jobs cannot be compared; "" where they can."""
    if not jobs or any(not samples for samples in jobs):
        return f"{whose} has no samples"
    if not all(isinstance(one, (int, float)) and math.isfinite(one) and one >= 0 for samples in jobs for one in samples):
        return f"{whose} has a sample that is negative or no finite number"
    return ""


def decide(
    baseline: Jobs, change: Jobs, *, budget_pct: float, better: str = "higher", ratchet: float | None = None, same: bool = False
) -> PerfDecision:
    """Compare the jobs of a change with those of its baseline, which ran on the same platform.

    `ratchet` is the best figure that the baseline's history ever had: where it is better than the baseline's own, it takes its
    place, so that many small losses do not add up.  `same` says that both are one action, so that any difference is noise.
    """
    if why := budget_fault(budget_pct, better):
        return _unsure(why, budget_pct=budget_pct if math.isfinite(budget_pct) else None)
    for jobs, whose in ((change, "the change"), (baseline, "the baseline")):
        if why := unsound(jobs, whose):
            return replace(_unsure(why, budget_pct=budget_pct), open=jobs is baseline and not jobs)
    before, after = _figure(baseline), _figure(change)
    if before <= 0:
        return _unsure("the baseline is not above zero", baseline=before, result=after, budget_pct=budget_pct)
    if same:
        words = "the change runs the same action as the baseline"
        return PerfDecision(Verdict.PASSED, words, before, after, 0.0, budget_pct=budget_pct)
    shift = 1.0
    if ratchet is not None and math.isfinite(ratchet) and ratchet > 0 and is_better(ratchet, before, better):
        shift = ratchet / before
    mark = before * shift
    delta = (after - mark) / mark * 100
    if not math.isfinite(delta):
        return _unsure("the figures lie too far apart for a difference in per cent", budget_pct=budget_pct)
    low, high = (_relative(one, shift) for one in interval(baseline, change))
    spread = _spread(baseline)
    figures: dict[str, Any] = {
        "baseline": mark,
        "result": after,
        "delta_pct": delta,
        "low_pct": low,
        "high_pct": high,
        "spread_pct": spread,
        "budget_pct": budget_pct,
    }
    if spread is None:
        words = "the baseline was recorded in one job, so how much jobs differ is not known"
        return replace(_unsure(words, **figures), open=True)
    # The loss is what may not exceed the allowance, whichever way is better.
    allowance = abs(budget_pct)
    if better == "higher":
        worst, best = max(-delta + spread, -low), min(-delta - spread, -high)
    else:
        worst, best = max(delta + spread, high), min(delta - spread, low)
    words = f"{delta:+.2f} % against a budget of {budget_pct:+g} %"
    if worst <= allowance:
        return PerfDecision(Verdict.PASSED, f"{words}, by recorded jobs", **figures)
    if best > allowance:
        return PerfDecision(Verdict.FAILED, f"{words}, by recorded jobs", **figures)
    noise = f"{spread:.2f} % between jobs, {low:+.2f} to {high:+.2f} % by bootstrap"
    return replace(_unsure(f"{words} is within the noise of recorded jobs ({noise})", **figures), open=True)


def _newest(results: Sequence[Result]) -> Result:
    return max(results, key=lambda one: (one.started, one.log_digest))


def decide_recorded(
    there: Sequence[Result],
    here: Sequence[Result],
    budget: PerfBudget,
    better: str,
    best: Callable[[Platform], float | None],
    *,
    same: bool,
) -> PerfDecision:
    """Decide by recorded proofs of the compare gate, `there` at the baseline and `here` at the change.

    Only those count that have samples and ran on the platform of the change's newest: figures of two are not compared.  `best`
    finds the ratchet of a platform.
    """
    metric = budget.metric
    here = [one for one in here if samples_of(one.metrics, metric)]
    platform: Platform = _newest(here).fingerprint if here else ()
    sides = [
        [samples_of(one.metrics, metric) for one in side if one.fingerprint == platform and samples_of(one.metrics, metric)]
        for side in (there, here)
    ]
    decision = decide(*sides, budget_pct=budget.budget_pct, better=better, ratchet=best(platform), same=same)
    if decision.open and not sides[0] and any(samples_of(one.metrics, metric) for one in there):
        return replace(
            decision, reason="the baseline has no samples on the platform of the change: it ran on different platforms only"
        )
    return decision


def ratchet_mark(
    results: Iterable[Result], metric: str, platform: Platform, better: str, accept_flaky: bool, is_ancestor: Callable[[str], bool]
) -> float | None:
    """The best figure that any commit up to the baseline was proven with on a platform; None where there is none."""
    known: dict[str, bool] = {}
    figures = []
    for one in results:
        if one.fingerprint != platform or not one.verdict.proves(accept_flaky) or not samples_of(one.metrics, metric):
            continue
        if one.commit is not None and known.setdefault(one.commit, is_ancestor(one.commit)):
            figures.append(p50(samples_of(one.metrics, metric)))
    if not figures:
        return None
    return max(figures) if better == "higher" else min(figures)


def is_better(one: float, other: float, better: str) -> bool:
    return one > other if better == "higher" else one < other


def _relative(delta_pct: float, shift: float) -> float:
    """A difference to the baseline, as one to the baseline times `shift`."""
    return ((1 + delta_pct / 100) / shift - 1) * 100


def _figure(jobs: Jobs) -> float:
    return float(p50([p50(samples) for samples in jobs]))


def _spread(jobs: Jobs) -> float | None:
    """How far the jobs' figures lie apart, in per cent of the middle one; None for a single job."""
    if len(jobs) < 2:
        return None
    figures = [p50(samples) for samples in jobs]
    return (max(figures) - min(figures)) / p50(figures) * 100


# -- bootstrap -----------------------------------------------------------------------------------------------------------------


def chance(seed: int) -> Iterator[int]:
    """SplitMix64 (Steele, Lea, Flood 2014): the same numbers on every machine and every Python."""
    state = seed
    while True:
        state = (state + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        mixed = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        yield mixed ^ (mixed >> 31)


def thinned(jobs: Jobs) -> list[float]:
    """The samples of all jobs in order of size, at most so many, evenly taken."""
    pooled = sorted(float(one) for samples in jobs for one in samples)
    if len(pooled) <= _MOST_DRAWN:
        return pooled
    return [pooled[index * (len(pooled) - 1) // (_MOST_DRAWN - 1)] for index in range(_MOST_DRAWN)]


def interval(baseline: Jobs, change: Jobs) -> tuple[float, float]:
    """The bootstrap interval (2.5 to 97.5 %) of the difference in per cent.  Neither the order of samples nor of jobs matters."""
    before, after = thinned(baseline), thinned(change)
    middle = before[len(before) // 2]
    drawn = chance(len(before) * 1_000_003 + len(after))
    found = []
    for _ in range(_ROUNDS):
        one, two = (sorted(pool[next(drawn) % len(pool)] for _ in pool)[len(pool) // 2] for pool in (before, after))
        found.append((two - one) / (one or middle or 1.0) * 100)
    found.sort()
    return found[int(_ROUNDS * _TAIL)], found[int(_ROUNDS * (1 - _TAIL)) - 1]
