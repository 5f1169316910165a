"""One snapshot, analysed: the digest of every target, and for actions the manifest behind it.

The answer is kept as a table by tree id.  Two commits whose tables are kept are compared without reading a single
declaration; what differs is then explained from the kept manifests.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..errors import SnapshotError
from ..git.snapshot import Snapshot, Watched
from ..graph.graph import Graph
from ..label import Label
from ..model import Action, Bundle, Contract, Files, Gate, Merge, Python, Target
from .reuse import Moved, Witness, moved

__all__ = ["Analysis", "Row", "Table", "engine_stamp"]


class Memo(Protocol):
    """A table from content to what was computed from it.  A miss is always allowed."""

    def get(self, kind: str, key: str) -> Any: ...

    def put(self, kind: str, key: str, value: Any) -> None: ...


@dataclass(frozen=True, slots=True)
class Row:
    """One target's line in a table: its kind, its digest, and where its manifest is kept (gates and actions)."""

    kind: str
    digest: str
    manifest: str = ""
    timeout_s: int = 0
    accept_flaky: bool = False

    def to_json(self) -> list[str | int | bool]:
        """The fields in order (`dataclasses.astuple` copies deeply, which a thousand rows feel)."""
        return [self.kind, self.digest, self.manifest, self.timeout_s, self.accept_flaky]


Table = dict[str, Row]

_MOST_RECENT = 8

_stamp = ""


def engine_stamp() -> str:
    """A digest of the code that computes tables: a table of another engine is never read."""
    global _stamp
    if not _stamp:
        package = Path(__file__).parent.parent
        names = [package / "label.py", package / "model.py"]
        for room in ("git", "load", "graph", "inputs", "digest"):
            with os.scandir(package / room) as listing:
                names += sorted(package / room / item.name for item in listing if item.name.endswith(".py"))
        whole = hashlib.sha256()
        for name in names:
            whole.update(hashlib.sha256(name.read_bytes()).digest())
        _stamp = whole.hexdigest()[:24]
    return _stamp


class Analysis:
    """Digests of one snapshot, computed when asked for, remembered by content.

    `near` are trees whose analysis is probably kept; what did not change since one of them is taken over.
    """

    def __init__(self, snapshot: Snapshot, memo: Memo | None = None, near: Iterable[str] = ()) -> None:
        self.snapshot = snapshot
        self._memo = memo
        self._near = tuple(near)
        self._graph: Graph | None = None
        self._declared: Any = None  # the witness of the graph, where it was read here
        self._gatherer: Any = None
        self._inputs: dict[Label, Any] = {}
        self._witnesses: dict[str, Any] = {}  # as JSON: most are only passed on
        self._digests: dict[Label, str] = {}
        self._table: Table | None = None
        self._manifests: dict[str, Any] = {}

    def _kept(self, kind: str, key: str) -> Any:
        return self._memo.get(f"{kind}.{engine_stamp()}", key) if self._memo else None

    def _keep(self, kind: str, key: str, value: Any) -> None:
        if self._memo:
            self._memo.put(f"{kind}.{engine_stamp()}", key, value)

    # -- the graph, loaded only when it is needed ----------------------------------------------------------------------------------

    @property
    def graph(self) -> Graph:
        """The snapshot's graph.

        Raises:
            DeclarationError: a declaration is wrong.
        """
        if self._graph is None:
            name = self._kept("graph.of", self.snapshot.tree)
            self._graph = self._kept_graph(name) if isinstance(name, str) else None
            if self._graph is None:
                self._graph = self._read_graph()
                self._keep("graph.of", self.snapshot.tree, self._keep_graph(self._graph))
        return self._graph

    def _read_graph(self) -> Graph:
        from ..graph.graph import build_graph
        from ..load.discover import discover

        watched = Watched(self.snapshot.objects, self.snapshot.tree, self.snapshot.name, self.snapshot.commit)
        with watched.record() as trace:
            found = discover(watched, self._memo)
        graph = build_graph(
            found.workspace,
            found.targets,
            warnings=found.warnings,
            faults=found.faults,
            owners=found.owners,
            invariants=found.invariants,
            meta_target=found.meta_target,
        )
        self._declared = Witness.of(trace).to_json()
        return graph

    def _kept_graph(self, name: str) -> Graph | None:
        from ..graph.kept import graph_from_json

        kept = self._kept("graph", name)
        return graph_from_json(kept) if isinstance(kept, dict) else None

    def _keep_graph(self, graph: Graph) -> str:
        if self._memo is None:
            return ""
        import json

        from ..graph.kept import graph_to_json

        data = graph_to_json(graph)
        name = hashlib.sha256(json.dumps(data).encode("utf-8", "surrogatepass")).hexdigest()
        self._keep("graph", name, data)
        return name

    @property
    def gatherer(self) -> Any:
        if self._gatherer is None:
            from ..inputs.files import FileReader
            from ..inputs.gather import Gatherer

            graph = self.graph
            self._gatherer = Gatherer(
                self.snapshot,
                FileReader(self.snapshot.objects, self._memo),
                graph.targets.get,  # type: ignore[arg-type]
                lambda action: self.digest(action.label),
                own_names=[graph.workspace.name],
            )
        return self._gatherer

    def inputs(self, label: Label) -> Any:
        """The `Inputs` of a gate or an action."""
        if label not in self._inputs:
            self._inputs[label], trace = self.gatherer.of(self.graph.get(label))
            self._witnesses[str(label)] = Witness.of(trace).to_json()
        return self._inputs[label]

    def digest(self, label: Label) -> str:
        """The digest of a target; for gates and actions, the action key.  Children first, without recursion."""
        pending = [label]
        while pending:
            here = pending[-1]
            if here in self._digests:
                pending.pop()
                continue
            missing = [dep for dep in self.graph.deps(here) if dep not in self._digests]
            if missing:
                pending += missing
                continue
            self._digests[here] = self._one(here)
            pending.pop()
        return self._digests[label]

    def _one(self, label: Label) -> str:
        from . import keys

        target = self.graph.get(label)
        if isinstance(target, Gate) and target.gate_kind == "perf":
            return keys.perf_key(target, self._digests[Label.of_gate(target.compare_gate or "")])
        if isinstance(target, (Gate, Action)):
            return keys.action_key(keys.action_manifest(target, self.inputs(label)))
        if isinstance(target, (Files, Python)):
            return keys.leaf_digest(target, self.inputs(label))
        if isinstance(target, Bundle):
            return keys.bundle_digest(target, self._digests)
        if isinstance(target, Contract):
            return keys.contract_digest(target, self._digests)
        assert isinstance(target, Merge)
        return keys.merge_digest(target, self._digests)

    def manifest(self, label: Label) -> dict[str, Any]:
        """The parts of an action's key, with the reason of each input beside it (reasons are not in the key)."""
        from . import keys

        target = self.graph.get(label)
        if not isinstance(target, (Gate, Action)) or (isinstance(target, Gate) and target.gate_kind == "perf"):
            return {}
        inputs = self.inputs(label)
        parts = keys.action_manifest(target, inputs)
        parts["inputs"] = [
            [*row, item.reason.value, list(item.via)] for row, item in zip(parts["inputs"], inputs.items, strict=True)
        ]
        parts["whole_tree"] = inputs.whole_tree
        return parts

    # -- the table -------------------------------------------------------------------------------------------------------------

    def table(self) -> Table:
        """Every target's digest by label text.

        Raises:
            DeclarationError: a declaration is wrong.
        """
        if self._table is None:
            kept = self._kept("table", self.snapshot.tree)
            if isinstance(kept, dict):
                self._table = {label: Row(*row) for label, row in kept.items()}
            else:
                self._table = self._compute()
        return self._table

    def _compute(self) -> Table:
        reused = self._reuse()
        rows: Table = {}
        for target in self.graph:
            label = str(target.label)
            rows[label] = reused.get(label) or self._row(target)
        self._keep("table", self.snapshot.tree, {label: row.to_json() for label, row in rows.items()})
        self._keep_witnesses()
        return rows

    def _row(self, target: Target) -> Row:
        digest = self.digest(target.label)
        reference = ""
        if isinstance(target, (Gate, Action)):
            reference = self._keep_manifest(self.manifest(target.label))
            if self._memo:
                self._memo.put("manifest.key", digest, reference)
                # A thousand gates' inputs are too much to hold; a build asks again for the few that it runs.
                self._inputs.pop(target.label, None)
        return Row(target.kind, digest, reference, getattr(target, "timeout_s", 0), getattr(target, "accept_flaky", False))

    # -- what is taken over from a tree that was analysed before ---------------------------------------------------------------

    def _keep_witnesses(self) -> None:
        if self._memo is None or self._declared is None:
            return
        recent = self._kept("recent", "trees")
        trees = [self.snapshot.tree, *(one for one in (recent if isinstance(recent, list) else ()) if one != self.snapshot.tree)]
        self._keep("recent", "trees", trees[:_MOST_RECENT])
        self._keep("witness", self.snapshot.tree, {"declared": self._declared, "rows": self._witnesses})

    def _reuse(self) -> Table:
        """Rows of a kept analysis that hold here too; their digests and witnesses are taken over."""
        recent = self._kept("recent", "trees")
        for tree in dict.fromkeys([*self._near, *(recent if isinstance(recent, list) else ())]):
            table, kept, name = self._kept("table", tree), self._kept("witness", tree), self._kept("graph.of", tree)
            if not (isinstance(table, dict) and isinstance(kept, dict) and isinstance(name, str)):
                continue
            old = self._kept_graph(name)
            try:
                change = moved(self.snapshot.objects, tree, self.snapshot.tree) if old else None
            except SnapshotError:
                continue  # a merged tree that was never written
            if old is None or change is None:
                continue
            if Witness.same(kept["declared"], change) and not change.any_named("BUILD.toml"):
                if self._graph is None:
                    self._graph = old
                    self._keep("graph.of", self.snapshot.tree, name)
                self._declared = kept["declared"]
            return self._take_over(old, table, kept["rows"], change)
        return {}

    def _take_over(self, old: Graph, table: dict[str, Any], witnesses: dict[str, Any], change: Moved) -> Table:
        graph = self.graph
        stale = {
            target.label
            for target in graph
            if target != old.targets.get(target.label)
            or str(target.label) not in table
            or not self._still_holds(target, witnesses, change)
        }
        stale = set(graph.closure(stale, reverse=True)) if stale else stale
        rows = {}
        for label in graph.targets:
            if label not in stale:
                text = str(label)
                row = rows[text] = Row(*table[text])
                self._digests[label] = row.digest
                if text in witnesses:
                    self._witnesses[text] = witnesses[text]
        return rows

    @staticmethod
    def _still_holds(target: Target, witnesses: dict[str, Any], change: Moved) -> bool:
        """Whether a target asks nothing of the snapshot, or would get the same answers."""
        if isinstance(target, (Bundle, Contract, Merge)) or (isinstance(target, Gate) and target.gate_kind == "perf"):
            return True
        kept = witnesses.get(str(target.label))
        return kept is not None and Witness.same(kept, change)

    # -- manifests -------------------------------------------------------------------------------------------------------------

    def _keep_manifest(self, manifest: dict[str, Any]) -> str:
        import json

        text = json.dumps(manifest, sort_keys=True)
        name = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        if self._memo:
            self._memo.put("manifest.1", name, manifest)
        else:
            self._manifests[name] = manifest
        return name

    def kept_manifest(self, label: str) -> dict[str, Any]:
        """The manifest of a gate or an action of the table; read from the memo where it is there."""
        row = self.table().get(label)
        if row is None or not row.manifest:
            return {}
        found = self._manifests.get(row.manifest)
        if found is None and self._memo:
            found = self._memo.get("manifest.1", row.manifest)
        if not isinstance(found, dict):
            from ..label import parse_label

            found = self.manifest(parse_label(label))
        self._manifests[row.manifest] = found
        return found

    def children(self, label: str) -> Iterable[str]:
        """The labels that a target needs directly."""
        from ..label import parse_label

        parsed = parse_label(label)
        return [str(dep) for dep in self.graph.deps(parsed)] if parsed in self.graph.targets else []
