"""In which batches candidates land: the least expected GPU-minutes, then the least waiting, then the smallest ids.

Few candidates: every batch that can follow every set that may have landed, by dynamic programming, so that no plan is cheaper.
Many: a beam of the best beginnings, the best cut of each order into batches, and neighbours exchanged while that helps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .cost import Candidate, GatePrice, World, bits, mask_of
from .risk import golomb_size

__all__ = ["Planned", "candidate_order", "plan_batches"]

#: Batches that the exact search may look at; beyond that it is a beam.
MOST_EXACT = 40_000
_BEAM, _LONGEST, _FIFO, _WORK, _FEW, _MANY, _VERY_MANY = 6, 48, 4, 12_000, 8, 24, 48

_Value = tuple[float, float]  # the objective, lexicographic
_Order = tuple[int, ...]
_Best = tuple[_Value, int, tuple[_Order, ...]]  # value, number of batches, batches


@dataclass(frozen=True, slots=True)
class Planned:
    """Batches of issues in landing order, and what they cost, in expectation."""

    batches: tuple[tuple[str, ...], ...]
    gpu_minutes: float
    minutes: float
    batch_costs: tuple[tuple[float, float], ...]
    exact: bool  # no plan is cheaper
    bound_gpu_minutes: float
    bound_minutes: float
    one_by_one: float
    fifo: float

    @property
    def gap(self) -> float:
        """How far above the bound the plan is, as a fraction; 0 where nothing is to be spent."""
        return self.gpu_minutes / self.bound_gpu_minutes - 1 if self.bound_gpu_minutes > 1e-9 else 0.0


def candidate_order(issue: str) -> tuple[int, str]:
    digits = ""
    for char in issue:
        if not ("0" <= char <= "9"):
            break
        digits += char
    return (int(digits or "0"), issue)


def plan_batches(
    candidates: Sequence[Candidate],
    prices: dict[str, GatePrice],
    proven: frozenset[tuple[str, frozenset[str]]] = frozenset(),
    *,
    runners: int = 1,
    objective: str = "gpu",
    max_batch: int = 0,
    most_exact: int = MOST_EXACT,
) -> Planned:
    """The batches in which candidates land.

    `objective` is `gpu` (GPU-minutes, then waiting) or `time` (waiting, then GPU-minutes).  `max_batch` 0 means: no limit.
    """
    listed = sorted(candidates, key=lambda one: candidate_order(one.issue))
    search = _Search(World(listed, prices, proven, runners), objective == "time", max_batch or len(listed) or 1)
    exact = search.exact(most_exact)
    if exact is None:
        search.world.rough = True
        search.world.forget()
    batches = exact if exact is not None else search.beam()
    if len(listed) <= _FEW:
        search.world.rough = False
        search.world.forget()
    world = search.world
    costs, before = [], 0
    for batch in batches:
        costs.append(world.batch(before, batch))
        before |= mask_of(batch)
    bound = world.bound()
    plain = search.topological()
    return Planned(
        batches=tuple(tuple(listed[at].issue for at in batch) for batch in batches),
        gpu_minutes=_round(sum(one[0] for one in costs)),
        minutes=_round(sum(one[1] for one in costs)),
        batch_costs=tuple((_round(one[0]), _round(one[1])) for one in costs),
        exact=exact is not None,
        bound_gpu_minutes=_round(bound[0]),
        bound_minutes=_round(bound[1]),
        one_by_one=_round(search.total([(at,) for at in plain])[0]),
        fifo=_round(search.total(search.chunks(plain, min(_FIFO, search.most)))[0]),
    )


def _round(value: float) -> float:
    return round(value, 6) + 0.0


class _Search:
    def __init__(self, world: World, by_time: bool, most: int) -> None:
        self.world, self.by_time, self.most = world, by_time, most
        self.all = (1 << world.size) - 1
        many = world.size > _MANY
        self.width, self.longest, self.groups = (2, _LONGEST // 3, 4) if many else (_BEAM, _LONGEST, 8)
        #: Candidates that differ in nothing but their id: the smaller id first.
        self.twin_before = [0] * world.size
        seen: dict[tuple[object, ...], int] = {}
        for at in range(world.size):
            same = (
                world.risk[at],
                world.touches[at],
                world.needs[at],
                world.breaks[at],
                world.above[at],
                world.below[at],
                world.alone[at],
            )
            self.twin_before[at] = seen.get(same, 0)
            # Only where no proof tells the two apart.
            if not world.needs[at] & world.sensitive:
                seen[same] = self.twin_before[at] | 1 << at

    def value(self, before: int, batch: _Order) -> _Value:
        gpu, minutes = self.world.batch(before, batch)
        waiting = minutes * (self.world.size - before.bit_count())
        return (waiting, gpu) if self.by_time else (gpu, waiting)

    def total(self, batches: Sequence[_Order]) -> tuple[float, float]:
        gpu = minutes = 0.0
        before = 0
        for batch in batches:
            one = self.world.batch(before, batch)
            gpu, minutes, before = gpu + one[0], minutes + one[1], before | mask_of(batch)
        return gpu, minutes

    def topological(self) -> list[int]:
        """By id, nobody before what it stands on."""
        found: list[int] = []
        done = 0
        left = list(range(self.world.size))
        while left:
            at = next(one for one in left if not self.world.parents[one] & ~done)
            left.remove(at)
            found.append(at)
            done |= 1 << at
        return found

    def chunks(self, order: Sequence[int], size: int) -> list[_Order]:
        """An order cut into batches of one size; who must ride alone does."""
        found: list[_Order] = []
        for at in order:
            if found and len(found[-1]) < size and not self.world.alone[at] and not self.world.alone[found[-1][0]]:
                found[-1] += (at,)
            else:
                found.append((at,))
        return found

    # -- few: exact ------------------------------------------------------------------------------------------------------------

    def _after(self, before: int) -> Iterator[_Order]:
        """Every ordered batch that can come once `before` is decided."""
        pending: list[tuple[_Order, int]] = [((), before)]
        while pending:
            batch, done = pending.pop()
            if batch:
                yield batch
                if len(batch) == self.most or self.world.alone[batch[0]]:
                    continue
            for at in bits(self.all & ~done):
                if self.world.parents[at] & ~done or self.twin_before[at] & ~done or (batch and self.world.alone[at]):
                    continue
                pending.append(((*batch, at), done | 1 << at))

    def exact(self, most: int) -> list[_Order] | None:
        """The best plan of all; None where there are too many to look at."""
        if self.world.size > _FEW:
            return None
        best: dict[int, _Best] = {0: ((0.0, 0.0), 0, ())}
        levels: list[set[int]] = [set() for _ in range(self.world.size + 1)]
        levels[0].add(0)
        left = most
        for level in levels:
            for before in sorted(level):
                value, count, batches = best[before]
                for batch in self._after(before):
                    left -= 1
                    if left < 0:
                        return None
                    one = self.value(before, batch)
                    sums = (round(value[0] + one[0], 9), round(value[1] + one[1], 9))
                    after = before | mask_of(batch)
                    known = best.get(after)
                    if (
                        known is None
                        or (sums, count + 1) < known[:2]
                        or ((sums, count + 1) == known[:2] and (*batches, batch) < known[2])
                    ):
                        best[after] = (sums, count + 1, (*batches, batch))
                        levels[after.bit_count()].add(after)
        return list(best[self.all][2])

    # -- many: a beam ----------------------------------------------------------------------------------------------------------

    def beam(self) -> list[_Order]:
        """Good beginnings side by side, then the order cut anew, and neighbours exchanged."""
        plans = self._beginnings() if self.world.size <= _VERY_MANY else []
        orders: list[list[int]] = [[at for batch in plan for at in batch] for plan in plans]
        orders += [self.topological(), self._grouped()]
        found = min((self._cut(order) for order in orders), key=lambda one: (one[0], one[1]))
        return self._exchange(found)

    def _grouped(self) -> list[int]:
        """Those that touch the same gates behind each other, the safest first, nobody before what it stands on."""
        world = self.world
        found: list[int] = []
        done, last = 0, -1
        left = set(range(world.size))
        while left:
            ready = [at for at in left if not world.parents[at] & ~done]
            at = min(
                ready, key=lambda one: (world.touches[one] != last, world.touches[one], world.alone[one], world.risk[one], one)
            )
            left.remove(at)
            found.append(at)
            done, last = done | 1 << at, world.touches[at]
        return found

    def _beginnings(self) -> list[tuple[_Order, ...]]:
        world = self.world
        alike = [sum(world.price_of(world.breaks[at])) + 1e-9 for at in range(world.size)]
        guess = [alike[at] * (0.05 + 4 * world.risk[at]) for at in range(world.size)]  # what deciding one more will cost, roughly
        rest = sum(guess)
        beam: list[tuple[_Value, float, int, tuple[_Order, ...]]] = [((0.0, 0.0), rest, 0, ())]
        done: list[tuple[_Value, tuple[_Order, ...]]] = []
        while beam:
            grown: dict[int, tuple[_Value, float, int, tuple[_Order, ...]]] = {}
            for value, rest, before, batches in beam:
                for batch in self._next(before):
                    one = self.value(before, batch)
                    sums = (round(value[0] + one[0], 9), round(value[1] + one[1], 9))
                    after = before | mask_of(batch)
                    entry = (sums, rest - sum(guess[at] for at in batch), after, (*batches, batch))
                    if after == self.all:
                        done.append((sums, entry[3]))
                    elif after not in grown or (sums, entry[3]) < (grown[after][0], grown[after][3]):
                        grown[after] = entry
            beam = sorted(grown.values(), key=lambda one: (round(one[0][0] + one[1], 9), one[0], one[3]))[: self.width]
        return [batches for _, batches in sorted(done)[: self.width]]

    def _next(self, before: int) -> list[_Order]:
        """Batches worth trying: for each set of gates those that touch no other, the safest first, in two lengths."""
        world = self.world
        ready = [at for at in bits(self.all & ~before) if not world.parents[at] & ~before]
        lone = next((at for at in ready if world.alone[at]), None)
        found: list[_Order] = [] if lone is None else [(lone,)]
        groups = sorted({world.touches[at] for at in ready if not world.alone[at]}, key=lambda mask: (mask.bit_count(), mask))
        for group in dict.fromkeys([*groups[: self.groups], mask_of(one for mask in groups for one in bits(mask))]):
            order: list[int] = []
            inside = before
            limit = min(self.most, self.longest)
            left = [at for at in bits(self.all & ~before) if not world.touches[at] & ~group and not world.alone[at]]
            left.sort(key=lambda at: (world.risk[at], at))
            while len(order) < limit:
                at = next((one for one in left if not world.parents[one] & ~inside), None)
                if at is None:
                    break
                left.remove(at)
                order.append(at)
                inside |= 1 << at
            if order:
                found += self._lengths(before, tuple(order))
        return list(dict.fromkeys(found))

    def _lengths(self, before: int, order: _Order) -> list[_Order]:
        """The whole, and the beginning that costs least for each that it decides."""
        size = golomb_size(max((self.world.risk[at] for at in order), default=0.0))
        lengths = sorted({length for length in (1, size // 2, size, size * 2, len(order)) if 1 <= length <= len(order)})
        rates = []
        for length in lengths:
            value = self.value(before, order[:length])
            rates.append((round(value[0] / length, 9), round(value[1] / length, 9), -length))
        return [order[: -rate[2]] for rate in sorted(rates)[:2]]

    def _cut(self, order: Sequence[int]) -> _Best:
        """The best batches for one order."""
        size = len(order)
        masks = [0]
        for at in order:
            masks.append(masks[-1] | 1 << at)
        best: list[tuple[_Value, int, int]] = [((0.0, 0.0), 0, size)] * (size + 1)
        for start in range(size - 1, -1, -1):
            options = []
            for end in range(start + 1, min(size, start + min(self.most, self.longest)) + 1):
                lone = self.world.alone[order[end - 1]]
                if (lone or self.world.alone[order[start]]) and end > start + 1:
                    break
                one = self.value(masks[start], tuple(order[start:end]))
                rest = best[end]
                options.append(((round(one[0] + rest[0][0], 9), round(one[1] + rest[0][1], 9)), rest[1] + 1, end))
            best[start] = min(options)
        batches: list[_Order] = []
        start = 0
        while start < size:
            end = best[start][2]
            batches.append(tuple(order[start:end]))
            start = end
        return best[0][0], best[0][1], tuple(batches)

    def _exchange(self, found: _Best) -> list[_Order]:
        """Neighbours change places while that makes the plan better; a bounded number of trials."""
        trials = _WORK // max(1, self.world.size) ** 2 if self.world.size <= _MANY else 0
        best = found
        improved = True
        while improved and trials > 0:
            improved = False
            order = [at for batch in best[2] for at in batch]
            for place in range(len(order) - 1):
                one, two = order[place], order[place + 1]
                if self.world.parents[two] >> one & 1 or trials <= 0:
                    continue
                trials -= 1
                order[place], order[place + 1] = two, one
                other = self._cut(order)
                if other[:2] < best[:2]:
                    best, improved = other, True
                else:
                    order[place], order[place + 1] = one, two
        return list(best[2])
