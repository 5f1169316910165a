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

from ..git.snapshot import Snapshot
from ..label import Label
from ..model import Action, Bundle, Contract, Files, Gate, Merge, Python

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


Table = dict[str, Row]

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
    """Digests of one snapshot, computed when asked for, remembered by content."""

    def __init__(self, snapshot: Snapshot, memo: Memo | None = None) -> None:
        self.snapshot = snapshot
        self._memo = memo
        self._graph: Any = None
        self._gatherer: Any = None
        self._inputs: dict[Label, Any] = {}
        self._digests: dict[Label, str] = {}
        self._table: Table | None = None
        self._manifests: dict[str, Any] = {}

    # -- the graph, loaded only when it is needed ----------------------------------------------------------------------------------

    @property
    def graph(self) -> Any:
        """The snapshot's graph.

        Raises:
            DeclarationError: a declaration is wrong.
        """
        if self._graph is None:
            from ..graph.graph import build_graph
            from ..load.discover import discover

            found = discover(self.snapshot, self._memo)
            self._graph = build_graph(
                found.workspace,
                found.targets,
                warnings=found.warnings,
                faults=found.faults,
                owners=found.owners,
                invariants=found.invariants,
                meta_target=found.meta_target,
            )
        return self._graph

    @property
    def gatherer(self) -> Any:
        if self._gatherer is None:
            from ..inputs.files import FileReader
            from ..inputs.gather import Gatherer

            graph = self.graph
            self._gatherer = Gatherer(
                self.snapshot,
                FileReader(self.snapshot.objects, self._memo),
                graph.targets.get,
                lambda action: self.digest(action.label),
                own_names=[graph.workspace.name],
            )
        return self._gatherer

    def inputs(self, label: Label) -> Any:
        """The `Inputs` of a gate or an action."""
        if label not in self._inputs:
            target = self.graph.get(label)
            gatherer = self.gatherer
            if isinstance(target, Gate):
                self._inputs[label] = gatherer.gate(target)
            elif isinstance(target, Action):
                self._inputs[label] = gatherer.action(target)
            else:
                self._inputs[label] = gatherer.leaves(target)
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
        if self._table is not None:
            return self._table
        kind = f"table.{engine_stamp()}"
        kept = self._memo.get(kind, self.snapshot.tree) if self._memo else None
        if isinstance(kept, dict):
            self._table = {label: Row(*row) for label, row in kept.items()}
            return self._table
        rows: Table = {}
        for target in self.graph:
            digest = self.digest(target.label)
            reference = ""
            if target.kind in ("gate", "action"):
                reference = self._keep_manifest(self.manifest(target.label))
                if self._memo:
                    self._memo.put("manifest.key", digest, reference)
            timeout = getattr(target, "timeout_s", 0)
            rows[str(target.label)] = Row(target.kind, digest, reference, timeout, getattr(target, "accept_flaky", False))
        if self._memo:
            kept_rows = {
                label: [row.kind, row.digest, row.manifest, row.timeout_s, row.accept_flaky] for label, row in rows.items()
            }
            self._memo.put(kind, self.snapshot.tree, kept_rows)
        self._table = rows
        return rows

    def _keep_manifest(self, manifest: dict[str, Any]) -> str:
        import json

        text = json.dumps(manifest, sort_keys=True)
        name = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        self._manifests[name] = manifest
        if self._memo:
            self._memo.put("manifest.1", name, manifest)
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
