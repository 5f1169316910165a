"""Who lands where not everybody can: the largest set without a conflict, and for the rest, who rebases onto what.

Conflicts come in as facts: pairs that do not merge, and contracts that do not merge into the base.  A contract lands only with
all that it stands on, so the set is closed downward under `depends_on`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .order import candidate_order

__all__ = ["Chosen", "choose", "components"]

#: Steps of the exact search for one component; beyond that the best found so far is taken, and said to be so.
MOST_STEPS = 200_000


@dataclass(frozen=True, slots=True)
class Chosen:
    """Contracts that can land together; `handed_back` maps each of the others to those in `landing` that stand in its way."""

    landing: frozenset[str]
    handed_back: Mapping[str, tuple[str, ...]]
    exact: bool = True


def components(names: Iterable[str], pairs: Iterable[tuple[str, str]], after: Mapping[str, frozenset[str]]) -> list[list[str]]:
    """Names tied together by conflicts, or by standing on something in one; those in no conflict are left out."""
    links: dict[str, set[str]] = {name: set() for name in names}
    fighting = {name for pair in pairs for name in pair if name in links}
    for one, two in pairs:
        if one in links and two in links:
            links[one].add(two)
            links[two].add(one)
    for name, parents in after.items():
        for parent in parents:
            if name in links and parent in links:
                links[name].add(parent)
                links[parent].add(name)
    found, seen = [], set[str]()
    for name in sorted(fighting, key=candidate_order):
        if name in seen:
            continue
        group, pending = set[str](), [name]
        while pending:
            one = pending.pop()
            if one not in group:
                group.add(one)
                pending += links[one]
        seen |= group
        found.append(sorted(group, key=candidate_order))
    return found


def choose(
    names: Iterable[str],
    pairs: Iterable[tuple[str, str]],
    after: Mapping[str, frozenset[str]],
    weight: Mapping[str, float] | None = None,
    most_steps: int = MOST_STEPS,
) -> Chosen:
    """The heaviest set without a conflicting pair, closed downward; of several the one with the smallest ids."""
    listed = sorted(set(names), key=candidate_order)
    known = set(listed)
    fights: dict[str, set[str]] = {name: set() for name in listed}
    pairs = [(one, two) for one, two in pairs if one in known and two in known]
    for one, two in pairs:
        fights[one].add(two)
        fights[two].add(one)
    landing = set(listed)
    exact = True
    for group in components(listed, pairs, after):
        kept, whole = _best(group, fights, after, weight or {}, most_steps)
        exact = exact and whole
        landing -= set(group) - kept
    back = {name: tuple(sorted(fights[name] & landing, key=candidate_order)) for name in listed if name not in landing}
    return Chosen(frozenset(landing), back, exact)


def _best(
    group: list[str], fights: Mapping[str, set[str]], after: Mapping[str, frozenset[str]], weight: Mapping[str, float], most: int
) -> tuple[set[str], bool]:
    """Branch and bound on bit sets: take the one with the most fights, or leave it with all that stand on it."""
    place = {name: at for at, name in enumerate(group)}
    size = len(group)
    against = [sum(1 << place[one] for one in fights[name]) for name in group]
    above, below = [0] * size, [0] * size
    for at, name in enumerate(group):
        pending, seen = [name], set[str]()
        while pending:
            for one in after.get(pending.pop(), frozenset()):
                if one in place and one not in seen:
                    seen.add(one)
                    pending.append(one)
        above[at] = sum(1 << place[one] for one in seen)
        for one in seen:
            below[place[one]] |= 1 << at
    # Thousandths, so that sums do not depend on their order.
    weights = [round(1000 * weight.get(name, 1.0)) for name in group]

    def total(mask: int) -> int:
        return sum(weights[at] for at in range(size) if mask >> at & 1)

    def bound(taken: int, open_: int) -> int:
        """Of two that fight only the heavier counts: pairs are matched greedily."""
        value = total(taken) + total(open_)
        left = open_
        while left:
            low = left & -left
            at = low.bit_length() - 1
            left ^= low
            rivals = against[at] & left
            if rivals:
                rival = rivals & -rivals
                left ^= rival
                value -= min(weights[at], weights[rival.bit_length() - 1])
        return value

    best, best_value, steps = 0, -1, 0
    pending_masks = [(0, (1 << size) - 1)]
    while pending_masks:
        taken, open_ = pending_masks.pop()
        steps += 1
        if steps > most:
            break
        fighting = [at for at in range(size) if open_ >> at & 1 and against[at] & open_]
        if not fighting:
            whole = taken | open_
            value = total(whole)
            if value > best_value or (value == best_value and _reversed(whole, size) > _reversed(best, size)):
                best, best_value = whole, value
            continue
        if bound(taken, open_) < best_value:
            continue
        at = max(fighting, key=lambda one: ((against[one] & open_).bit_count(), -one))
        left = open_ & ~(1 << at | below[at])
        pending_masks.append((taken, left))
        joined = (1 << at | above[at]) & open_
        gone = 0
        for other in range(size):
            if joined >> other & 1:
                gone |= against[other]
        for other in range(size):
            if gone >> other & 1:
                gone |= below[other]
        if not (gone & (joined | taken)) and (1 << at | above[at]) & ~(taken | open_) == 0:
            pending_masks.append((taken | joined, open_ & ~joined & ~gone))
    return {name for name, at in place.items() if best >> at & 1}, steps <= most


def _reversed(mask: int, size: int) -> int:
    """The smallest id as the highest bit, so that of two sets the one with the smaller ids is greater."""
    return int(f"{mask:0{size}b}"[::-1], 2) if size else 0
