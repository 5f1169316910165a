"""Which contracts merge with each other, and where those that do not are in conflict.

A contract's own work is merged onto a tree, one after the other, as landing will do it; git decides what a conflict is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..git.merging import MergeResult, conflict_lines
from ..load.globs import Glob
from ..model import Contract
from ..plan.conflicts import choose
from ..plan.merge import Conflict, id_order
from .branches import Branch, OwnWork
from .trees import TreeGates

__all__ = ["Facts", "Stack"]

_ROUNDS = 12


@dataclass(slots=True)
class Facts:
    """A contract with a branch: what is merged, onto whose work, and how that went."""

    branch: Branch
    own: OwnWork
    alone: MergeResult | None = None  # on the base; None where it stands on work that is not there
    exact: bool = True

    @property
    def on_base(self) -> str:
        """The tree of the contract alone on the base; empty where it does not merge there."""
        return self.alone.tree if self.alone is not None and not self.alone.conflicts else ""


class Stack:
    """Contracts with branches, in landing order, to be piled up on a base."""

    def __init__(
        self, gates: TreeGates, base_tree: str, needs: Mapping[str, Sequence[str]], order: Sequence[str], owners: Mapping[str, str]
    ) -> None:
        self.base_tree, self.order, self.facts = base_tree, order, dict[str, Facts]()
        self._gates, self._needs, self._owned = gates, needs, owners

    def onto(self, tree: str, one: Facts) -> MergeResult:
        """A branch's own work merged onto a tree."""
        return self._gates.merger.merge(one.own.trees[0], tree, one.branch.tree, one.own.crossed)

    def chain(self, order: Sequence[str]) -> dict[str, tuple[str, str]] | None:
        """The trees before and after each landing; None where one does not merge."""
        found: dict[str, tuple[str, str]] = {}
        tree = self.base_tree
        for issue in order:
            merged = self.onto(tree, self.facts[issue])
            if merged.conflicts:
                return None
            self.facts[issue].exact = merged.exact
            found[issue] = (tree, merged.tree)
            tree = merged.tree
        return found

    def what_can_land(
        self, contracts: Sequence[Contract], landed: set[str]
    ) -> tuple[list[str], dict[str, tuple[Conflict, ...]], dict[str, list[str]]]:
        """Contracts that land together, the conflicts of those that do not, and what each of the others waits for."""
        conflicts: dict[str, tuple[Conflict, ...]] = {}
        stuck: dict[str, list[str]] = {}
        possible: list[str] = []
        for contract in contracts:
            issue = contract.issue
            if issue in landed:
                continue
            needs = [one for one in sorted(self._needs[contract.issue], key=id_order) if one not in landed]
            one = self.facts.get(issue)
            if one is None:
                stuck[issue] = [need for need in needs if need in stuck and need in self.facts]
            elif one.alone is not None and one.alone.conflicts:
                conflicts[issue] = (self._conflict(("base",), one.alone),)
                stuck[issue] = []
            elif waits := [need for need in needs if need in stuck]:
                stuck[issue] = waits
            else:
                possible.append(issue)
        pairs: set[tuple[str, str]] = set()
        hopeless: set[str] = set()
        chosen = possible
        after = {issue: frozenset(self._needs[issue]) & frozenset(possible) for issue in possible}
        for _ in range(_ROUNDS):
            kept = choose([issue for issue in possible if issue not in hopeless], sorted(pairs), after)
            chosen = [issue for issue in possible if issue in kept.landing and not self._closure(issue, after) & hopeless]
            merged = self._fight(chosen, after, pairs, hopeless, conflicts)
            if len(merged) == len(chosen):
                break
            chosen = merged  # should this be the last round: they do merge, though perhaps more could
        lost = [issue for issue in possible if issue not in chosen]
        for issue in lost:
            rivals = sorted({one for pair in pairs if issue in pair for one in pair if one in chosen}, key=id_order)
            if rivals:
                conflicts[issue] = tuple(self._between(issue, rival) for rival in rivals)
            waits = [need for need in sorted(after[issue], key=id_order) if need in lost or need in stuck]
            stuck[issue] = [] if rivals or issue in hopeless else waits
            if not rivals and issue not in hopeless and not waits:
                against = sorted({one for pair in pairs if issue in pair for one in pair if one != issue}, key=id_order)
                conflicts[issue] = tuple(self._between(issue, rival) for rival in against)
        return chosen, conflicts, stuck

    def _closure(self, issue: str, after: Mapping[str, frozenset[str]]) -> set[str]:
        found: set[str] = set()
        pending = [issue]
        while pending:
            new = after.get(pending.pop(), frozenset()) - found
            found |= new
            pending += new
        return found

    def _fight(
        self,
        chosen: Sequence[str],
        after: Mapping[str, frozenset[str]],
        pairs: set[tuple[str, str]],
        hopeless: set[str],
        conflicts: dict[str, tuple[Conflict, ...]],
    ) -> list[str]:
        """Merge the chosen one after the other; note every pair that does not merge, and return those that do."""
        tree = self.base_tree
        inside: list[str] = []
        for issue in chosen:
            if not after[issue] <= set(inside):
                continue  # what it stands on does not merge
            one = self.facts[issue]
            merged = self.onto(tree, one)
            one.exact = merged.exact
            if not merged.conflicts:
                tree = merged.tree
                inside.append(issue)
                continue
            mine = set(one.branch.paths)
            near = [other for other in inside if not mine.isdisjoint(self.facts[other].branch.paths)]
            rivals = [other for other in near if self._fights(issue, other)]
            if not rivals:  # a folder that moved needs no path in common
                rivals = [other for other in inside if other not in near and self._fights(issue, other)]
            pairs |= {(other, issue) for other in rivals}
            if not rivals:
                hopeless.add(issue)
                conflicts[issue] = (self._conflict(tuple(inside) or ("base",), merged),)
        return inside

    def _fights(self, issue: str, other: str) -> bool:
        return bool(self._together(issue, other).conflicts)

    def _together(self, issue: str, other: str) -> MergeResult:
        """One contract merged onto another, with what the two stand on."""
        tree = self.base_tree
        for one in self._with_parents(other):
            merged = self.onto(tree, self.facts[one])
            if merged.conflicts:
                break
            tree = merged.tree
        return self.onto(tree, self.facts[issue])

    def _with_parents(self, issue: str) -> list[str]:
        """A contract behind those whose work its branch carries."""
        found = {issue}
        pending = [issue]
        while pending:
            new = {one for one in self.facts[pending.pop()].own.on if one in self.facts} - found
            found |= new
            pending += new
        return [one for one in self.order if one in found]

    def _between(self, issue: str, other: str) -> Conflict:
        return self._conflict((other,), self._together(issue, other))

    def _conflict(self, against: tuple[str, ...], merged: MergeResult) -> Conflict:
        lines: list[tuple[str, tuple[int, int], tuple[int, int]]] = []
        self._gates.merger.bring(merged.tree)
        snapshot = self._gates.snapshot(merged.tree)
        for path in merged.conflicts:
            data = snapshot.read(path)
            if data is not None:
                lines += [(one.path, one.ours, one.theirs) for one in conflict_lines(path, data)]
        return Conflict(against, merged.conflicts, self._owners(merged.conflicts), tuple(lines), merged.kinds)

    def _owners(self, files: Iterable[str]) -> tuple[str, ...]:
        listed = list(files)
        return tuple(
            sorted(
                {
                    who
                    for pattern, who in self._owned.items()
                    if any(path == pattern or Glob(pattern).matches(path) for path in listed)
                }
            )
        )
