"""What to test next where a train failed: the first contract that cannot join, and no sooner an accusation than two clean runs.

Prefixes are tested at the probability median until one contract is left.  It goes back only after the same tree failed once
more (a flake?); what is the machine's fault is no evidence.  Where it is known to pass on the base alone, the one contract with
which it does not get along is sought the same way.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .risk import median_split

__all__ = ["Next", "Probe", "Seen", "next_probe"]

#: Clean failures of one tree that convict.
ENOUGH = 2


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of one tree: whether all that it needs is proven, and how often it failed through its own fault."""

    passed: bool = False
    failures: int = 0
    infrastructure: int = 0


class Next(enum.StrEnum):
    """What to do."""

    LAND = "land"  # all of it passed
    TEST = "test"  # run the gates of this tree
    RERUN = "rerun"  # it failed once: run it again
    EJECT = "eject"  # it failed twice, and goes back


@dataclass(frozen=True, slots=True)
class Probe:
    """The next move: contracts to test on the base, or the one to send back; `land` is a prefix that may land at once."""

    what: Next
    tested: tuple[str, ...]
    land: tuple[str, ...] = ()
    culprit: str = ""
    partner: str = ""
    rest: tuple[str, ...] = ()
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": "nmoe-graph/probe@1",
            "next": self.what.value,
            "tested": list(self.tested),
            "land": list(self.land),
            "culprit": self.culprit or None,
            "partner": self.partner or None,
            "rest": list(self.rest),
            "reason": self.reason,
        }


def next_probe(order: Sequence[str], risks: Sequence[float], look: Callable[[tuple[str, ...]], Seen | None]) -> Probe:
    """The next move for a train, from what was seen of its prefixes so far.

    `look` says what is known of the tree of some contracts on the base, in this order; None where they do not merge.
    """
    whole = tuple(order)
    seen = {count: look(whole[:count]) or Seen() for count in range(len(whole) + 1)}
    low = max(count for count in seen if count == 0 or seen[count].passed)
    if low == len(whole):
        return Probe(Next.LAND, whole, whole, reason="every gate of its tip is proven")
    failing = [count for count in seen if count > low and seen[count].failures]
    land = whole[:low]
    if not failing:
        again = " again: what failed was the machine" if seen[len(whole)].infrastructure else ""
        return Probe(Next.TEST, whole, land, reason=f"test the tip{again}")
    high = failing[0]
    if high - low > 1:
        middle = low + median_split(list(risks[low:high]))
        again = ", which the machine did not let finish" if seen[middle].infrastructure else ""
        reason = f"the first culprit is one of {', '.join(whole[low:high])}; this prefix{again} halves the doubt"
        return Probe(Next.TEST, whole[:middle], land, reason=reason)
    culprit, rest = whole[high - 1], whole[high:]
    if low == 0 and not seen[0].passed:
        if seen[0].failures >= ENOUGH:
            return Probe(Next.EJECT, (), reason="the base fails without any of them: mend the base")
        return Probe(Next.TEST, (), reason="the base has no proof of these gates, so it may be at fault: test it")
    if seen[high].failures < ENOUGH:
        return Probe(Next.RERUN, whole[:high], land, culprit, reason=f"it failed once; a second clean failure sends {culprit} back")
    if low == 0:
        return Probe(Next.EJECT, (culprit,), land, culprit, rest=rest, reason=f"{culprit} failed twice on the base alone")
    return _alone(whole, risks, look, low, high)


def _alone(
    whole: tuple[str, ...], risks: Sequence[float], look: Callable[[tuple[str, ...]], Seen | None], low: int, high: int
) -> Probe:
    """It fails behind a prefix that passes: is it at fault, or does it not get along with one of them?"""
    culprit, rest, land = whole[high - 1], whole[high:], whole[:low]

    def sent_back(partner: str, reason: str) -> Probe:
        return Probe(Next.EJECT, (culprit,), land, culprit, partner, rest, reason)

    alone = look((culprit,))
    if alone is None or not alone.passed:  # nobody saw it pass by itself, and to find out would cost a run for each culprit
        return sent_back("", f"{culprit} failed twice behind {land[-1]}, which passes")
    # With nobody before it passes, with the first `low` it fails: the shortest that fails ends with its partner.
    fine, bad = 0, low
    while bad - fine > 1:
        asked = {count: look((*whole[:count], culprit)) for count in range(fine + 1, bad)}
        known = [count for count, seen in asked.items() if seen is None or seen.passed or seen.failures]
        if not known:
            middle = fine + median_split(list(risks[fine:bad]))
            reason = f"{culprit} passes alone and fails behind {', '.join(whole[:bad])}: with which of them?"
            return Probe(Next.TEST, (*whole[:middle], culprit), land, culprit, reason=reason)
        count = known[0]
        seen = asked[count]
        if seen is not None and seen.passed:
            fine = count
        elif seen is not None and seen.failures:
            bad = count
        else:
            return sent_back("", f"{culprit} passes alone and fails behind others; with fewer of them it does not merge")
    partner = whole[bad - 1]
    both = look((partner, culprit))
    if both is not None and not (both.passed or both.failures):
        return Probe(
            Next.TEST, (partner, culprit), land, culprit, partner, reason=f"do {partner} and {culprit} fail with nobody else?"
        )
    alone_they = "; the two fail with nobody else" if both is not None and both.failures else ""
    return sent_back(
        partner, f"{culprit} and {partner} each pass alone and not together{alone_they}: {culprit} goes back, onto {partner}"
    )
