"""The graph of one snapshot: every declared target, the edges between them, and what can be asked of both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import Fault, UsageError, did_you_mean
from ..label import Label, Pattern, parse_pattern
from ..model import Action, Bundle, Contract, Files, Gate, Merge, Python, Target, WorkspaceDecl

__all__ = ["Graph", "edges_of"]


def edges_of(target: Target) -> tuple[Label, ...]:
    """The labels that a target depends on directly, without repeats."""
    found: Iterable[Label] = ()
    if isinstance(target, (Files, Python)):
        found = target.deps
    elif isinstance(target, Action):
        found = [*target.deps, *target.toolchains]
    elif isinstance(target, Gate):
        found = [*target.deps, *target.toolchains, *([Label.of_gate(target.compare_gate)] if target.compare_gate else [])]
    elif isinstance(target, Bundle):
        found = target.members
    elif isinstance(target, Contract):
        gates = [*target.required, *([target.perf.gate] if target.perf else [])]
        found = [Label.of_gate(gate) for gate in gates]
    elif isinstance(target, Merge):
        found = [target.contract, *target.after]
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True)
class Graph:
    """Targets by label.  `targets` is sorted by label, so every walk over it is in one order."""

    workspace: WorkspaceDecl
    targets: Mapping[Label, Target]
    warnings: tuple[Fault, ...] = ()
    owners: Mapping[str, str] = field(default_factory=dict)
    invariants: Mapping[str, str] = field(default_factory=dict)
    meta_target: str = ""

    def __len__(self) -> int:
        return len(self.targets)

    def __iter__(self) -> Iterator[Target]:
        return iter(self.targets.values())

    def get(self, label: Label) -> Target:
        """The target of a label.

        Raises:
            UsageError: there is none; the hint names the nearest.
        """
        found = self.targets.get(label)
        if found is None:
            known = [str(one) for one in self.targets] + [one.short for one in self.targets]
            hint = did_you_mean(str(label), known) or "nmoe-graph query '//...' lists all targets"
            raise UsageError(f"there is no target {label}", hint=hint)
        return found

    def of_kind(self, kind: str) -> list[Target]:
        return [target for target in self.targets.values() if target.kind == kind]

    def contracts(self) -> list[Contract]:
        return [target for target in self.targets.values() if isinstance(target, Contract)]

    def deps(self, label: Label) -> tuple[Label, ...]:
        return edges_of(self.targets[label])

    def reverse(self) -> dict[Label, list[Label]]:
        """Who depends on whom: for each label the labels with an edge to it, sorted."""
        found: dict[Label, list[Label]] = {label: [] for label in self.targets}
        for label in self.targets:
            for dep in self.deps(label):
                found[dep].append(label)
        return found

    def closure(self, labels: Iterable[Label], reverse: bool = False) -> list[Label]:
        """The labels and everything that they (or, reversed, that need them) reach, sorted."""
        back = self.reverse() if reverse else None
        seen: set[Label] = set()
        pending = list(labels)
        while pending:
            label = pending.pop()
            if label not in seen:
                seen.add(label)
                pending += back[label] if back else self.deps(label)
        return sorted(seen)

    def select(self, patterns: Iterable[str], package: str = "") -> list[Label]:
        """The labels that a list of patterns means: unions, then subtractions, sorted.

        Raises:
            UsageError: a pattern is malformed, or matches nothing.
        """
        chosen: set[Label] = set()
        dropped: set[Label] = set()
        for text in patterns:
            pattern = parse_pattern(text, package)
            (dropped if pattern.negative else chosen).update(self._matching(pattern))
        return sorted(chosen - dropped)

    def without(self, patterns: Iterable[str]) -> frozenset[Label]:
        """What the subtractions of a list of patterns take out, wherever else it is reached from; a bundle is its gates.

        Raises:
            UsageError: a pattern is malformed, or names nothing.
        """
        parsed = [pattern for text in patterns if (pattern := parse_pattern(text)).negative]
        dropped = {label for pattern in parsed for label in self._matching(pattern)}
        bundles = [label for label in dropped if self.targets[label].kind == "bundle"]
        return frozenset(dropped | {gate.label for gate in self.gates_of(bundles)})

    def _matching(self, pattern: Pattern) -> list[Label]:
        if pattern.name is not None:
            label = Label(pattern.package, pattern.name)
            if label in self.targets:
                return [label]
            if not pattern.maybe_all:
                self.get(label)
            pattern = Pattern(pattern.text, pattern.package, None)
        found = [label for label in self.targets if pattern.matches(label)]
        if not found and not pattern.negative:
            hint = did_you_mean(pattern.package, {label.package for label in self.targets})
            raise UsageError(f"no target matches {pattern.text}", hint=hint or "nmoe-graph query '//...' lists all targets")
        return found

    def gates_of(self, labels: Iterable[Label]) -> list[Gate]:
        """The gates that labels stand for: bundles, contracts and merges expand to theirs; sorted by label."""
        reached = (self.targets[label] for label in self.closure(labels))
        return [target for target in reached if isinstance(target, Gate)]

    def to_networkx(self) -> Any:
        """A `networkx.DiGraph`: nodes are label texts with `kind` and `target`, edges go from a target to what it needs."""
        import networkx

        graph: Any = networkx.DiGraph(name=self.workspace.name)
        for label, target in self.targets.items():
            graph.add_node(str(label), kind=target.kind, target=target)
        for label in self.targets:
            graph.add_edges_from((str(label), str(dep)) for dep in self.deps(label))
        return graph

    def to_dict(self) -> dict[str, Any]:
        rows = [
            {"label": str(label), "kind": target.kind, "deps": [str(dep) for dep in self.deps(label)]}
            for label, target in self.targets.items()
        ]
        return {"schema": "nmoe-graph/graph@1", "workspace": self.workspace.name, "targets": rows}

    def _repr_html_(self) -> str:
        from ..markup import table

        rows = [
            [label.short, target.kind, " ".join(dep.short for dep in self.deps(label))] for label, target in self.targets.items()
        ]
        return table(["target", "kind", "needs"], rows)
