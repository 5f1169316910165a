"""The graph of one snapshot: every declared target, and the edges between them.

Closed world: an unknown label, gate or contract, a missing file, a cycle are errors before anything is asked or run, all of
them at once, each with its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import DeclarationError, Fault, Location, UsageError, did_you_mean
from ..label import CONTRACTS, MERGES, Label, Pattern, parse_pattern
from ..load.cycles import cycles, shown_cycle
from ..model import Action, Bundle, Contract, Files, Gate, Merge, Python, Target, Toolchain, WorkspaceDecl

__all__ = ["Graph", "build_graph", "edges_of"]


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
            raise UsageError(f"no target matches {pattern.text}", hint=hint)
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


def _place(target: Target, *keys: str) -> Location | None:
    places = dict(getattr(target, "places", ()))
    for key in keys:
        if key in places:
            found = places[key]
            return found if isinstance(found, Location) else None
    return target.at


def _merges(contracts: Mapping[str, Contract]) -> list[Merge]:
    last = [contract for contract in contracts.values() if contract.depends_on_all]
    merges = []
    for issue, contract in contracts.items():
        after = contract.depends_on
        if contract.depends_on_all:
            after = (
                tuple(other for other in contracts if other != issue and not contracts[other].depends_on_all)
                if len(last) == 1
                else ()
            )
        merges.append(
            Merge(
                Label(MERGES, issue),
                contract.label,
                tuple(sorted(Label(MERGES, one) for one in after if one in contracts)),
                contract.at,
            )
        )
    return merges


def build_graph(
    workspace: WorkspaceDecl,
    targets: Iterable[Target],
    *,
    warnings: Iterable[Fault] = (),
    faults: Iterable[Fault] = (),
    owners: Mapping[str, str] | None = None,
    invariants: Mapping[str, str] | None = None,
    meta_target: str = "",
) -> Graph:
    """Join declarations into a graph and close the world.

    Raises:
        DeclarationError: with `faults` and everything found here.
    """
    wrong = list(faults)
    known: dict[Label, Target] = {}
    folded: dict[tuple[str, str], Label] = {}
    contracts: dict[str, Contract] = {}
    for target in targets:
        label = target.label
        twin = folded.setdefault((label.package.casefold(), label.name.casefold()), label)
        if label in known:
            first = known[label].at
            wrong.append(Fault(f"{label.short} is declared twice", target.at, hint=f"the first is at {first}" if first else ""))
            continue
        if twin != label:
            wrong.append(Fault(f"{label} and {twin} differ by case only", target.at, hint="rename one"))
        known[label] = target
        if isinstance(target, Contract):
            contracts[target.issue] = target
    contracts = dict(sorted(contracts.items()))
    for contract in contracts.values():
        for other in contract.depends_on:
            if other not in contracts:
                hint = did_you_mean(other, contracts) or "contracts are named by their issue id, as written"
                wrong.append(
                    Fault(
                        f"contract {contract.issue} depends on {other}, which is no contract here",
                        _place(contract, "nmoe.depends_on"),
                        hint,
                    )
                )
    last = [contract for contract in contracts.values() if contract.depends_on_all]
    if len(last) > 1:
        names = ", ".join(contract.issue for contract in last)
        for contract in last:
            wrong.append(
                Fault(
                    f"only one contract can land last, and {names} all say depends_on: all",
                    _place(contract, "nmoe.depends_on"),
                    "keep one",
                )
            )
    for merge in _merges(contracts):
        known[merge.label] = merge
    known = dict(sorted(known.items()))
    edges = {label: edges_of(target) for label, target in known.items()}
    # Where the gates could not be read, that is the fault; that every contract misses its gates would only hide it.
    blind = bool(wrong) and not any(isinstance(target, Gate) for target in known.values())
    for label, target in known.items():
        tools = target.toolchains if isinstance(target, (Gate, Action)) else ()
        for dep in edges[label]:
            if dep in known or isinstance(target, Merge):
                continue
            if blind and dep.gate_id:
                edges[label] = tuple(one for one in edges[label] if one != dep)
                continue
            hint = did_you_mean(dep.short, [one.short for one in known if one.package == dep.package or dep.gate_id])
            name = f"contract {target.issue}" if isinstance(target, Contract) else label.short
            wrong.append(
                Fault(
                    f"{name} needs {dep.short}, and there is no such target",
                    _place(target, *(["toolchains"] if dep in tools else []), "deps", "gates.required"),
                    hint,
                )
            )
            edges[label] = tuple(one for one in edges[label] if one != dep)
        if isinstance(target, (Files, Python, Action, Gate)):
            for dep in target.deps:
                if dep in known and not isinstance(known[dep], (Files, Python, Action)):
                    wrong.append(
                        Fault(
                            f"{label.short} depends on {dep.short}, a {known[dep].kind}",
                            _place(target, "deps"),
                            "deps are files, python or action targets",
                        )
                    )
        for dep in tools:
            if dep in known and not isinstance(known[dep], Toolchain):
                wrong.append(
                    Fault(
                        f"{label.short} wants {dep.short} as a toolchain, and that is a {known[dep].kind}",
                        _place(target, "toolchains"),
                        "declare [toolchain.NAME] in a BUILD.toml",
                    )
                )
        if isinstance(target, Gate) and target.compare_gate:
            other_gate = known.get(Label.of_gate(target.compare_gate))
            if isinstance(other_gate, Gate) and other_gate.gate_kind != "command":
                wrong.append(
                    Fault(f"{label.short} compares {target.compare_gate}, which runs nothing", _place(target, "compare_gate"))
                )
    for cycle in cycles(edges):
        what = "contracts wait for each other" if cycle[0].package == MERGES else "targets need each other in a cycle"
        contract_label = Label(CONTRACTS, cycle[0].name)
        target = known.get(contract_label, known[cycle[0]]) if cycle[0].package == MERGES else known[cycle[0]]
        wrong.append(
            Fault(
                f"{what}: {shown_cycle([one.name if one.package == MERGES else one.short for one in cycle])}",
                _place(target, "nmoe.depends_on", "deps"),
                "take one edge out",
            )
        )
    errors = [fault for fault in wrong if fault.level == "error"]
    if errors:
        raise DeclarationError(sorted(errors, key=lambda fault: (fault.at or Location("~"), fault.what)))
    return Graph(workspace, known, tuple(warnings), owners or {}, invariants or {}, meta_target)
