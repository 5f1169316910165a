"""The gates at any tree, each with its key, and which of them are proven.

Trees of a plan differ little from each other: a table of gates is remembered by tree, or taken over from a near tree where that
can be (`Patched`), and computed from nothing only where neither holds.
"""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..asking.asked import Asked
from ..digest.analysis import Analysis, Row, Table, engine_stamp
from ..digest.manifest import value_digest
from ..digest.patched import Patched
from ..errors import DeclarationError
from ..git.merging import Merger
from ..git.snapshot import Snapshot
from ..graph.graph import Graph
from ..inputs.files import FileReader
from ..label import Label
from ..model import Contract, Gate
from ..plan.cost import GatePrice
from ..result import Result, Verdict
from ..store.local import Store

__all__ = ["Recorded", "TreeGates"]


@dataclass(frozen=True)
class Recorded:
    """What the store tells of all runs at once: how long the passes took, by label, and the trees that were tested."""

    durations: dict[str, list[float]] = field(default_factory=dict)
    trees: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, store: Store) -> Recorded:
        found = cls()
        for result in store.all():
            found.trees.add(result.tree)
            if result.verdict in (Verdict.PASSED, Verdict.FLAKY):
                found.durations.setdefault(result.label, []).append(result.duration_s)
        return found


class TreeGates:
    """Gates by tree, for one base.  `merger` makes trees readable of which perhaps only the id was remembered."""

    def __init__(self, workspace: Asked, graph: Graph, base_tree: str) -> None:
        self._workspace, self._repository, self._base_tree = workspace, workspace.repository, base_tree
        self._graph = graph
        self.merger = Merger(self._repository, workspace.memo)
        self.recorded = Recorded.of(workspace.store)
        self._tables: dict[str, Table | None] = {}
        self._faults: dict[str, str] = {}
        self._environment = ""
        self._by_patches: dict[str, Patched] = {}
        self._analyses: dict[str, Analysis] = {}

    def fresh_merger(self) -> Merger:
        """A merger for one plan, to be used in a `with`; it becomes `merger`."""
        self.merger = Merger(self._repository, self._workspace.memo)
        return self.merger

    def snapshot(self, tree: str) -> Snapshot:
        return Snapshot(self._repository.objects, tree, f"tree {tree[:12]}")

    def fault(self, *trees: str) -> str:
        """What is wrong with the declarations of the first of these trees that has a fault."""
        return next((self._faults[tree] for tree in trees if self._faults.get(tree)), "")

    def at(self, tree: str, near: str = "") -> Table | None:
        """The gates at a tree; None where its declarations are wrong (`fault` says how).  `near` differs little."""
        if tree not in self._tables:
            kind, key = f"gates.{engine_stamp()}", f"{self._values()}:{tree}"
            kept = self._workspace.memo.get(kind, key)
            if isinstance(kept, dict):
                self._tables[tree] = {label: Row(*row) for label, row in kept.items()}
                return self._tables[tree]
            found = self._edited(near, tree) if near else None
            if found is None:
                found = self._edited(self._base_tree, tree)
            if found is not None:  # its declarations are those of the base, and so are the variables that its keys name
                self._workspace.memo.put(kind, key, {label: row.to_json() for label, row in found.items()})
            self._tables[tree] = self._analysed(tree) if found is None else found
        return self._tables[tree]

    def known(self, tree: str) -> Table | None:
        """The gates at a tree that was asked for before."""
        return self._tables.get(tree)

    def _values(self) -> str:
        """A digest of the environment's values that can be in a key here."""
        if not self._environment:
            gates = [target for target in self._graph if isinstance(target, Gate)]
            names = sorted({name for gate in gates for name in gate.requires})
            self._environment = hashlib.sha256(json.dumps([[name, value_digest(name)] for name in names]).encode()).hexdigest()
        return self._environment

    def _edited(self, near: str, tree: str) -> Table | None:
        """From the gates of a tree that differs by edits alone, where that tree is known well enough."""
        self.merger.bring(near)
        self.merger.bring(tree)
        known = self._by_patches.get(near)
        if known is None and near == self._base_tree and near != tree:
            self._analysed(near)
        if known is None and near in self._analyses:
            reader = FileReader(self._repository.objects, self._workspace.memo)
            known = self._by_patches[near] = Patched(self._analyses.pop(near), self._repository.objects, reader)
        found = known.gates(near, tree) if known is not None else None
        if found is not None and known is not None:
            self._by_patches[tree] = known
        return found

    def _analysed(self, tree: str) -> Table | None:
        self.merger.bring(tree)
        analysis = Analysis(self.snapshot(tree), self._workspace.memo, self._workspace.synced())
        if tree != self._base_tree:
            analysis.consider(self._workspace.analysis(self.snapshot(self._base_tree)))
        try:
            table = analysis.table()
        except DeclarationError as error:
            self._faults[tree] = error.faults[0].what
            return None
        self._analyses = {tree: analysis}  # one at a time: they are large
        return {label: row for label, row in table.items() if row.kind == "gate"}

    def proven(self, row: Row) -> bool:
        return self._workspace.store.proof(row.digest, timeout_s=row.timeout_s or 10**9, accept_flaky=row.accept_flaky) is not None

    def results(self, row: Row) -> Sequence[Result]:
        """Every recorded run of a gate under this key."""
        return self._workspace.store.results(row.digest)

    def gate(self, label: str) -> Gate | None:
        package, _, name = label[2:].partition(":")
        target = self._graph.targets.get(Label(package, name))
        return target if isinstance(target, Gate) else None

    def required(self, contract: Contract, table: Table) -> set[str]:
        """What must be proven to land a contract: what it requires, and everything of tier a."""
        named = {str(Label.of_gate(gate)) for gate in contract.required}
        tier_a = {label for label in table if (gate := self.gate(label)) and gate.tier == "a" and gate.gate_kind != "perf"}
        return (named & table.keys()) | tier_a

    def prices(self, table: Table) -> dict[str, GatePrice]:
        """By label: from recorded passes where there are any, else the time limit."""
        durations = self.recorded.durations
        found = {}
        for label, row in table.items():
            gate = self.gate(label)
            minutes = (statistics.median(durations[label]) if label in durations else float(row.timeout_s)) / 60
            found[label] = GatePrice(round((gate.gpus if gate else 0) * minutes, 4), round(minutes, 4))
        return found
