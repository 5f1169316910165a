"""What landing costs, expected over everything that may fail.

The world.  Contract i is bad with its probability, independently.  To land, a set of contracts needs gates: those that its
members require, and those of the gates wanted in this plan that they touch (whose inputs they change).  A gate's key at a
tree is the gate with the set of landed contracts that touch it; a key that is proven is not run again.  A bad contract breaks
the gates that it touches, at every tree that holds it; where a proven key of a gate holds it, it does not break that gate.

The way.  A batch is tested at its tip.  If that fails, prefixes are tested, each at the probability median of what is left;
a prefix that passes lands at once.  The first contract that cannot join is run once more (a flake?) and goes back to its
author, with everything that stands on it; the rest of the batch is tested as a batch of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .risk import entropy, median_split

__all__ = ["Candidate", "Cost", "GatePrice", "World", "bits", "mask_of"]

Cost = tuple[float, float]  # GPU-minutes, minutes

_MOST_SHAKY = 7


@dataclass(frozen=True, slots=True)
class GatePrice:
    """What one run of a gate takes: GPU-minutes (GPUs allocated x minutes) and minutes."""

    gpu_minutes: float
    minutes: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """A contract that could land.  `touches` and `requires` name gates; `alone` must be tested in a batch of its own."""

    issue: str
    risk: float
    requires: frozenset[str] = frozenset()
    touches: frozenset[str] = frozenset()
    after: frozenset[str] = frozenset()
    alone: bool = False


@dataclass
class World:
    """Candidates, prices and proofs, with numbers for names: candidate k is bit k, gate g is bit g.

    `proven` are keys: a gate and the candidates landed that touch it (the empty set: the base).
    """

    candidates: Sequence[Candidate]
    prices: Mapping[str, GatePrice]
    proven: frozenset[tuple[str, frozenset[str]]] = frozenset()
    runners: int = 1
    rough: bool = False  # for many: what was sent back counts as landed where the rest is priced
    _batch_memo: dict[tuple[int, tuple[int, ...]], Cost] = field(default_factory=dict)
    _landing_memo: dict[tuple[tuple[int, ...], tuple[int, ...]], Cost] = field(default_factory=dict)
    _test_memo: dict[int, Cost] = field(default_factory=dict)

    def __post_init__(self) -> None:
        place = {one.issue: at for at, one in enumerate(self.candidates)}
        self.size = len(self.candidates)
        names = sorted(self.prices)
        gate = {name: at for at, name in enumerate(names)}
        wanted = {name for one in self.candidates for name in one.requires}
        self.parents = [sum(1 << place[name] for name in one.after if name in place) for one in self.candidates]
        self.touches = [sum(1 << gate[name] for name in one.touches if name in wanted) for one in self.candidates]
        self.needs = [
            touched | sum(1 << gate[name] for name in one.requires)
            for one, touched in zip(self.candidates, self.touches, strict=True)
        ]
        self.alone = [one.alone for one in self.candidates]
        self.price = [self.prices[name] for name in names]
        self.touchers = [0] * len(names)
        for at, mask in enumerate(self.touches):
            for number in bits(mask):
                self.touchers[number] |= 1 << at
        self._proven: list[set[int]] = [set() for _ in names]
        for name, landed in self.proven:
            if name in gate and landed <= place.keys():
                self._proven[gate[name]].add(sum(1 << place[one] for one in landed))
        self.needers = [mask_of(at for at, need in enumerate(self.needs) if need >> number & 1) for number in range(len(names))]
        #: Gates that a candidate may break: those that it touches and that no proof with it in covers.
        self.breaks = [
            mask_of(number for number in bits(touched) if not any(key >> at & 1 for key in self._proven[number]))
            for at, touched in enumerate(self.touches)
        ]
        self.risk = [one.risk if breaks else 0.0 for one, breaks in zip(self.candidates, self.breaks, strict=True)]
        self.doubtful = mask_of(at for at, risk in enumerate(self.risk) if risk > 0)
        self.above = self._closure(self.parents)
        self.standing = mask_of(at for at, above in enumerate(self.above) if above)
        self.below = [0] * self.size
        for other, above in enumerate(self.above):
            for at in bits(above):
                self.below[at] |= 1 << other
        #: Gates whose need to run depends on what has landed: there is a proof that some orders can use.
        self.sensitive = 0
        for number, keys in enumerate(self._proven):
            if any(keys) or (0 not in keys and self.needers[number] & ~self.touchers[number]):
                self.sensitive |= 1 << number

    def _closure(self, parents: Sequence[int]) -> list[int]:
        above = [0] * self.size
        done: set[int] = set()
        pending = list(range(self.size))
        while pending:
            at = pending[-1]
            missing = [one for one in bits(parents[at]) if one not in done]
            if at in done or not missing:
                pending.pop()
                if at not in done:
                    done.add(at)
                    above[at] = parents[at]
                    for one in bits(parents[at]):
                        above[at] |= above[one]
            else:
                pending += missing
        return above

    def forget(self) -> None:
        """Prices that were found before `rough` was changed."""
        self._batch_memo.clear()
        self._landing_memo.clear()

    # -- one test --------------------------------------------------------------------------------------------------------------

    def to_run(self, landed: int, tested: int) -> int:
        """The gates that a test of `tested` on top of `landed` must run."""
        needed = touched = 0
        for at in bits(tested):
            needed |= self.needs[at]
            touched |= self.touches[at]
        # A gate that none of them touches, and that is proven where they land, costs nothing.
        found = needed & touched & ~self.sensitive
        for number in bits(needed & self.sensitive):
            key = (landed | tested) & self.touchers[number]
            if key in self._proven[number]:
                continue
            if touched >> number & 1:
                found |= 1 << number
            elif not landed & self.needers[number]:
                found |= 1 << number  # not proven on the base either, and nobody had it run since
        return found

    def price_of(self, gates: int) -> Cost:
        """GPU-minutes and minutes of running these gates on the runners, the longest first."""
        known = self._test_memo.get(gates)
        if known is None:
            prices = [self.price[number] for number in bits(gates)]
            busy = [0.0] * max(1, self.runners)
            for minutes in sorted((price.minutes for price in prices), reverse=True):
                busy[busy.index(min(busy))] += minutes
            known = self._test_memo[gates] = (sum(price.gpu_minutes for price in prices), max(busy))
        return known

    # -- one batch -------------------------------------------------------------------------------------------------------------

    def batch(self, before: int, order: tuple[int, ...]) -> Cost:
        """The expected cost of a batch once all of `before` is decided (landed, or sent back)."""
        needed = above = 0
        for at in order:
            needed |= self.needs[at]
            above |= self.above[at]
        matters = above & before
        for number in bits(needed & self.sensitive):
            matters |= before & (self.touchers[number] | self.needers[number])
        for at in bits(matters & self.standing):
            matters |= self.above[at] & before
        key = (matters, order)
        known = self._batch_memo.get(key)
        if known is not None:
            return known
        gpu = minutes = 0.0
        doubtful = matters & self.doubtful
        if self.rough or doubtful.bit_count() > _MOST_SHAKY:
            doubtful = 0  # too many to go through: as if all had landed
        if not doubtful:
            known = self._batch_memo[key] = self._expected(matters, order)
            return known
        shaky = list(bits(doubtful))
        for bad, chance in self._patterns(shaky):
            landed = mask_of(at for at in bits(matters) if not (self.above[at] | 1 << at) & bad)
            one = self._expected(landed, tuple(at for at in order if not self.above[at] & bad))
            gpu, minutes = gpu + chance * one[0], minutes + chance * one[1]
        self._batch_memo[key] = (gpu, minutes)
        return gpu, minutes

    def _patterns(self, shaky: Sequence[int]) -> Iterable[tuple[int, float]]:
        for number in range(1 << len(shaky)):
            bad, chance = 0, 1.0
            for place, at in enumerate(shaky):
                if number >> place & 1:
                    bad, chance = bad | 1 << at, chance * self.risk[at]
                else:
                    chance *= 1 - self.risk[at]
            yield bad, chance

    def _expected(self, landed: int, order: tuple[int, ...]) -> Cost:
        """By the place of the first bad one: what is before it lands, it goes back, the rest is a batch of its own."""
        if not self.sensitive:
            landed = 0  # then what a test must run depends on what is tested alone
        order = tuple(at for at in order if self.needs[at] & (self.touches[at] | self.sensitive))
        if not order:
            return 0.0, 0.0
        key = (self._seen_by(landed, order), order)
        known = self._landing_memo.get(key)
        if known is not None:
            return known
        # A probe ends at a contract that touches something: behind one that does not, the test would be the same.
        ends = [place + 1 for place, at in enumerate(order) if self.touches[at]]
        risks = [self.risk[order[end - 1]] for end in ends]
        chances, good = [], 1.0
        for risk in risks:
            chances.append(good * risk)
            good *= 1 - risk
        masks = [landed]
        for at in order:
            masks.append(masks[-1] | 1 << at)

        def price(start: int, end: int) -> Cost:
            return self.price_of(self.to_run(masks[start], masks[end] & ~masks[start]))

        gpu, minutes = price(0, len(order))
        starts = [0, *ends]
        pending = [(0, len(ends))] if good < 1 else []
        while pending:  # the probes: one at each inner node of the tree of halves
            start, end = pending.pop()
            weight = sum(chances[start:end])
            if end - start > 1 and weight > 0:
                middle = start + median_split(risks[start:end])
                one = price(starts[start], starts[middle])
                gpu, minutes = gpu + weight * one[0], minutes + weight * one[1]
                pending += [(start, middle), (middle, end)]
        for place, chance in enumerate(chances):
            if chance > 0:
                start, end = starts[place], ends[place]
                again = price(start, end)
                dead = self.below[order[end - 1]]
                if self.rough:  # one case for each place, not for each set: as if it, and what stands on it, had landed
                    rest = self._expected(masks[end], order[end:])
                else:
                    left = order[start : end - 1] + order[end:]  # what was not tested does not land
                    rest = self._expected(masks[start], left if not dead else tuple(at for at in left if not dead >> at & 1))
                gpu, minutes = gpu + chance * (again[0] + rest[0]), minutes + chance * (again[1] + rest[1])
        self._landing_memo[key] = (gpu, minutes)
        return gpu, minutes

    def _seen_by(self, landed: int, order: tuple[int, ...]) -> tuple[int, ...]:
        """What of `landed` can make a difference to tests of these: for most gates no more than whether anybody needed it."""
        if not landed:
            return ()
        needed = later = 0
        for at in order:
            needed |= self.needs[at]
            later |= 1 << at
        found = []
        for number in bits(needed & self.sensitive):
            touched = landed & self.touchers[number]
            usable = any(touched & ~key == 0 and key & ~(landed | later) == 0 for key in self._proven[number])
            found.append(touched << 1 if usable else landed & self.needers[number] != 0)
        return tuple(map(int, found))

    # -- bounds ----------------------------------------------------------------------------------------------------------------

    def bound(self) -> Cost:
        """GPU-minutes and minutes that no plan can save.

        Each gate that no proof covers is run once by whoever touches it; and a run tells one bit at most, of which there are
        as many to learn as there is doubt about a contract.
        """
        alive = [math.prod(1 - self.risk[one] for one in bits(above)) for above in self.above]
        gpu = minutes = 0.0
        for number, price in enumerate(self.price):
            sure = max((alive[at] for at in bits(self.touchers[number]) if self.breaks[at] >> number & 1), default=0.0)
            gpu, minutes = gpu + sure * price.gpu_minutes, max(minutes, sure * price.minutes)
        # A test that tells anything of i runs what i may break.  By layers of price: of the tests that cost at least c there are
        # as many as there is doubt in those whose gates cost at least c.
        doubt_gpu = doubt_minutes = 0.0
        for at, gates in enumerate(self.breaks):
            price_gpu, price_minutes = self.price_of(gates)
            bit = alive[at] * entropy(self.risk[at])
            doubt_gpu, doubt_minutes = doubt_gpu + bit * price_gpu, doubt_minutes + bit * price_minutes
        return max(gpu, doubt_gpu), max(minutes, doubt_minutes)


def bits(mask: int) -> Iterable[int]:
    """The places of the ones, the lowest first."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def mask_of(places: Iterable[int]) -> int:
    found = 0
    for at in places:
        found |= 1 << at
    return found
