"""How likely a contract is to break its gates, and what follows for the size of a batch.

The prior of a risk class is a Beta distribution with a mean of 3 % (cold), 8 % (warm) or 15 % (hot); recorded runs move it.
Plans are valid for any probability; only their cost depends on it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["PRIORS", "entropy", "golomb_size", "median_split", "posterior"]

PRIORS = {"cold": 0.03, "warm": 0.08, "hot": 0.15}

#: How many runs a prior weighs.
STRENGTH = 20.0

LEAST, MOST = 0.001, 0.95


def posterior(mean: float, passed: int, failed: int, strength: float = STRENGTH) -> float:
    """The mean of a Beta distribution with this prior mean after so many runs; what was no fault of the work is not counted."""
    return min(MOST, max(LEAST, (mean * strength + failed) / (strength + passed + failed)))


def entropy(risk: float) -> float:
    """Bits that a yes or no of this probability is worth: the runs that no method can save."""
    if risk <= 0 or risk >= 1:
        return 0.0
    return -risk * math.log2(risk) - (1 - risk) * math.log2(1 - risk)


def golomb_size(risk: float) -> int:
    """The best number of equal contracts to test at once (Gallager and Van Voorhis 1975)."""
    if risk < 1e-6:
        return 10**6
    if risk >= 0.5:
        return 1
    return max(1, math.ceil(-math.log(2 - risk) / math.log(1 - risk)))


def median_split(risks: Sequence[float]) -> int:
    """How many of a failing sequence to test next, so that either answer is as likely as can be.

    The sequence fails as a whole and its first culprit is sought; at least two candidates.
    """
    weights = []
    good = 1.0
    for risk in risks:
        weights.append(good * risk)
        good *= 1 - risk
    half = sum(weights) / 2
    best, best_at, below = math.inf, 1, 0.0
    for at, weight in enumerate(weights[:-1], 1):
        below += weight
        if abs(below - half) < best - 1e-12:
            best, best_at = abs(below - half), at
    return best_at
