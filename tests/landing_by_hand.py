"""What landing a plan costs, by doing it: trees as sets, gates that run, proofs that are kept, faults that are found.

Written apart from the planner, from the description of how batches land alone; it shares no code with `plan`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    name: str
    risk: float
    requires: frozenset[str]
    touches: frozenset[str]
    after: frozenset[str]
    alone: bool = False


@dataclass(frozen=True)
class Instance:
    items: tuple[Item, ...]
    prices: dict[str, float]
    proven: frozenset[tuple[str, frozenset[str]]]


class Queue:
    """One way in which the faults can lie, and one landing."""

    def __init__(self, instance: Instance, bad: frozenset[str]) -> None:
        self.items = {item.name: item for item in instance.items}
        self.prices, self.bad = instance.prices, bad
        self.wanted = frozenset().union(*(item.requires for item in instance.items))
        self.old = instance.proven
        self.proofs = set(instance.proven)
        self.spent = 0.0
        self.landed: tuple[str, ...] = ()
        self.returned: set[str] = set()

    def key(self, gate: str, tree: Sequence[str]) -> tuple[str, frozenset[str]]:
        return gate, frozenset(name for name in tree if gate in self.items[name].touches)

    def breaks(self, name: str, gate: str) -> bool:
        """A bad one breaks a gate that it touches, unless somebody saw that gate pass with it in."""
        return (
            name in self.bad
            and gate in self.items[name].touches
            and not any(one == gate and name in held for one, held in self.old)
        )

    def test(self, tested: Sequence[str]) -> bool:
        """Run what is not proven; a pass is a proof."""
        tree = (*self.landed, *tested)
        gates = frozenset().union(*(self.items[one].requires | (self.items[one].touches & self.wanted) for one in tested))
        run = [gate for gate in sorted(gates) if self.key(gate, tree) not in self.proofs]
        self.spent += sum(self.prices[gate] for gate in run)
        if any(self.breaks(name, gate) for gate in run for name in tree):
            return False
        self.proofs |= {self.key(gate, tree) for gate in run}
        return True

    def median(self, names: Sequence[str]) -> int:
        """So many from the front that the first culprit is among them as nearly as can be with an even chance."""
        risk = [self.chance(name) for name in names]
        first = [risk[at] * _product(1 - one for one in risk[:at]) for at in range(len(names))]
        gaps = [abs(sum(first[:count]) - sum(first) / 2) for count in range(1, len(names))]
        return 1 + min(range(len(gaps)), key=lambda at: (round(gaps[at], 12), at))

    def chance(self, name: str) -> float:
        item = self.items[name]
        open_gates = [
            gate for gate in item.touches & self.wanted if not any(one == gate and name in held for one, held in self.old)
        ]
        return item.risk if open_gates else 0.0

    def stands_on_returned(self, name: str) -> bool:
        return any(one in self.returned or self.stands_on_returned(one) for one in self.items[name].after)

    def land(self, batch: Sequence[str]) -> None:
        left = [name for name in batch if not self.stands_on_returned(name)]
        while left:
            if self.test(left):
                self.landed += tuple(left)
                return
            # Suspects are those that touch something; a probe tests everything up to and with one of them.
            suspects = [name for name in left if self.items[name].touches & self.wanted]
            while len(suspects) > 1:
                half = suspects[self.median(suspects) - 1]
                part = left[: left.index(half) + 1]
                if self.test(part):
                    self.landed += tuple(part)
                    left = left[len(part) :]
                    suspects = suspects[suspects.index(half) + 1 :]
                else:
                    suspects = suspects[: suspects.index(half) + 1]
            end = left.index(suspects[0])
            self.test(left[: end + 1])  # once more: a flake?
            self.returned.add(suspects[0])
            left = [name for name in left[:end] + left[end + 1 :] if not self.stands_on_returned(name)]


def _product(values: Iterator[float] | Sequence[float]) -> float:
    found = 1.0
    for value in values:
        found *= value
    return found


def expected(instance: Instance, batches: Sequence[Sequence[str]]) -> float:
    """The mean over every way in which the faults can lie."""
    mean = 0.0
    for count in range(len(instance.items) + 1):
        for bad in itertools.combinations(instance.items, count):
            names = frozenset(item.name for item in bad)
            chance = _product([item.risk if item.name in names else 1 - item.risk for item in instance.items])
            if chance:
                queue = Queue(instance, names)
                for batch in batches:
                    queue.land(batch)
                mean += chance * queue.spent
    return mean


def extensions(items: Sequence[Item]) -> Iterator[tuple[Item, ...]]:
    """Every order in which nobody comes before what it stands on."""
    for order in itertools.permutations(items):
        place = {item.name: at for at, item in enumerate(order)}
        if all(place[one] < place[item.name] for item in order for one in item.after):
            yield order


def cuts(order: Sequence[Item], most: int) -> Iterator[list[list[str]]]:
    """Every way to cut an order into batches."""
    for marks in itertools.product((False, True), repeat=max(0, len(order) - 1)):
        batches = [[order[0].name]] if order else []
        alone = [order[0].alone] if order else []
        for item, new in zip(order[1:], marks, strict=True):
            if new:
                batches.append([item.name])
                alone.append(item.alone)
            else:
                batches[-1].append(item.name)
                alone[-1] |= item.alone
        if all(len(batch) <= most and (len(batch) == 1 or not lone) for batch, lone in zip(batches, alone, strict=True)):
            yield batches


def best(instance: Instance, most: int = 99) -> float:
    """The least mean cost of all orders and batches."""
    return min((expected(instance, batches) for order in extensions(instance.items) for batches in cuts(order, most)), default=0.0)
