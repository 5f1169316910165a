"""One snapshot, analysed: the digest of every target, and for actions the manifest behind it.

The answer is kept as a table by tree id.  Two commits whose tables are kept are compared without reading a single
declaration; what differs is then explained from the kept manifests.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import SnapshotError
from ..git.snapshot import Snapshot, Trace, Watched
from ..label import Label, parse_label
from .kept import Manifests
from .listing import Listing
from .manifest import action_key, bundle_digest, edited, value_digest
from .reuse import Moved, Witness, moved

if TYPE_CHECKING:
    from ..graph.graph import Graph
    from .rules import Rules

__all__ = ["Analysis", "Row", "Ruled", "Table", "engine_stamp"]


class Memo(Protocol):
    """A table from content to what was computed from it.  A miss is always allowed."""

    def get(self, kind: str, key: str) -> Any: ...

    def put(self, kind: str, key: str, value: Any) -> None: ...

    def get_many(self, kind: str, keys: Sequence[str]) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Row:
    """One target's line in a table: its kind, its digest, where its manifest is kept (gates and actions), what it needs."""

    kind: str
    digest: str
    manifest: str = ""
    timeout_s: int = 0
    accept_flaky: bool = False
    needs: tuple[str, ...] | list[str] = ()  # labels

    def to_json(self) -> list[Any]:
        """The fields in order (`dataclasses.astuple` copies deeply, which a thousand rows feel)."""
        return [self.kind, self.digest, self.manifest, self.timeout_s, self.accept_flaky, list(self.needs)]


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

    What did not change since an analysis that is kept is taken over from it.
    """

    def __init__(self, snapshot: Snapshot, memo: Memo | None = None, synced: Snapshot | None = None) -> None:
        self.snapshot = snapshot
        self._memo = memo
        self.synced = synced  # the contracts of the issues: not of this tree, and what is kept of it is kept for them
        self._near: list[Analysis] = []
        self._graph: Graph | None = None
        self._declared: Any = None  # the witness of the graph, where it was read here
        self._gatherer: Any = None
        self._inputs: dict[Label, Any] = {}
        self._witnesses: dict[str, Any] = {}  # as JSON: most are only passed on
        self._digests: dict[Label, str] = {}
        self._taken: Table = {}  # rows of another tree that hold here too
        self._table: Table | None = None
        self._values: dict[str, str | None] = {}  # environment variables whose values are in a key of the table
        self.manifests = Manifests(memo)
        self._listings: dict[str, dict[str, Any]] = {}
        self._made: dict[Label, dict[str, Any]] = {}  # manifests of which the key was just computed

    def consider(self, other: Analysis) -> None:
        """Look at this one first when it comes to taking answers over: it is of a tree that probably differs little."""
        if other is not self and other not in self._near:
            self._near.append(other)

    def _kept(self, kind: str, key: str) -> Any:
        return self._memo.get(f"{kind}.{self._era()}", key) if self._memo else None

    def _keep(self, kind: str, key: str, value: Any) -> None:
        if self._memo:
            self._memo.put(f"{kind}.{self._era()}", key, value)

    def _era(self) -> str:
        """What must be the same for a kept answer to count: the engine, and what the issues said."""
        return engine_stamp() if self.synced is None else f"{engine_stamp()}.{self.synced.tree[:24]}"

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
                self._keep("declared", self.snapshot.tree, self._declared)
            elif self._declared is None:
                self._declared = self._kept("declared", self.snapshot.tree)
        return self._graph

    def rules(self) -> Rules:
        """Where this snapshot keeps what judges it.

        Raises:
            DeclarationError: a declaration is wrong.
        """
        from .rules import Rules, read_rules

        found = Rules.from_json(self._kept("rules", self.snapshot.tree))
        if found is None:
            found = read_rules(self.snapshot, self.graph)
            self._keep("rules", self.snapshot.tree, found.to_json())
        return found

    def _read_graph(self) -> Graph:
        from ..graph.closed import build_graph
        from ..load.discover import discover

        watched = Watched(self.snapshot.objects, self.snapshot.tree, self.snapshot.name, self.snapshot.commit)
        with watched.record() as trace:
            found = discover(watched, self._memo, self.synced)
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
            from ..inputs.gather import Gatherer

            graph = self.graph
            self._gatherer = Gatherer(
                self.snapshot,
                self._reader(),
                graph.targets.get,  # type: ignore[arg-type]
                lambda action: self.digest(action.label),
                own_names=[graph.workspace.name],
            )
        return self._gatherer

    def _reader(self) -> Any:
        from ..inputs.files import FileReader

        return FileReader(self.snapshot.objects, self._memo)

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
            if self._known(here):
                pending.pop()
                continue
            missing = [dep for dep in self.graph.deps(here) if not self._known(dep)]
            if missing:
                pending += missing
                continue
            self._digests[here] = self._one(here)
            pending.pop()
        return self._digests[label]

    def _known(self, label: Label) -> bool:
        if label not in self._digests and (taken := self._taken.get(str(label))):
            self._digests[label] = taken.digest
        return label in self._digests

    def _one(self, label: Label) -> str:
        from ..model import Action, Bundle, Contract, Files, Gate, Merge, Python, Toolchain
        from . import keys

        target = self.graph.get(label)
        if isinstance(target, Gate) and target.gate_kind == "perf":
            self._witnesses[str(label)] = Witness(frozenset(), frozenset()).to_json()  # it asks nothing of the snapshot
            return keys.perf_key(target, self._digests[Label.of_gate(target.compare_gate or "")])
        if isinstance(target, (Gate, Action)):
            manifest = keys.action_manifest(target, self.inputs(label))
            self._made[label] = manifest = {**manifest, "inputs": Listing.of(manifest["inputs"])}
            return action_key(manifest)
        if isinstance(target, (Files, Python)):
            return keys.leaf_digest(target, self.inputs(label))
        if isinstance(target, Toolchain):
            return keys.toolchain_digest(target, self.inputs(label))
        if isinstance(target, Bundle):
            return bundle_digest((str(member), self._digests[member]) for member in target.members)
        if isinstance(target, Contract):
            return keys.contract_digest(target, self._digests)
        assert isinstance(target, Merge)
        return keys.merge_digest(target, self._digests)

    def manifest(self, label: Label) -> dict[str, Any]:
        """The parts of an action's key, with the luggage that explains them; of every other target, nothing."""
        from ..model import Action, Gate
        from . import keys

        target = self.graph.get(label)
        if not isinstance(target, (Gate, Action)) or (isinstance(target, Gate) and target.gate_kind == "perf"):
            return {}
        return keys.action_manifest(target, self.inputs(label))

    def _listed(self, label: Label) -> dict[str, Any]:
        """The same, with the inputs as a listing."""
        manifest = self.manifest(label)
        return {**manifest, "inputs": Listing.of(manifest["inputs"])} if manifest else {}

    # -- the table -------------------------------------------------------------------------------------------------------------

    def table(self) -> Table:
        """Every target's digest by label text.

        Raises:
            DeclarationError: a declaration is wrong.
        """
        if self._table is None and self.kept_table() is None:
            self._table = self._compute()
        assert self._table is not None
        return self._table

    def kept_table(self) -> Table | None:
        """The table, if it need not be computed."""
        if self._table is None:
            kept = self._kept("table", self.snapshot.tree)
            if isinstance(kept, dict) and all(value_digest(name) == value for name, value in kept["values"].items()):
                self._table = {label: Row(*row) for label, row in kept["rows"].items()}
                self._values = kept["values"]
        return self._table

    def _compute(self) -> Table:
        labels = self._take_over() or [str(target.label) for target in self.graph]
        rows = {label: self._taken.get(label) or self._row(label) for label in labels}
        for name in self._keyed():
            self._values[name] = value_digest(name)
        document = {"values": self._values, "rows": {label: row.to_json() for label, row in rows.items()}}
        self._keep("table", self.snapshot.tree, document)
        self._keep_witnesses()
        return rows

    def _keyed(self) -> set[str]:
        """Variables whose values are in a key, of the targets that were looked at here."""
        if self._graph is None:
            return set()
        return {name for target in self._graph for name in getattr(target, "keyed", ())}

    def _row(self, text: str) -> Row:
        label = parse_label(text)
        target = self.graph.get(label)
        digest = self.digest(label)
        reference = ""
        if target.kind in ("gate", "action"):
            made = self._made.pop(label, None) or self._listed(label)
            reference = self.manifests.keep(made, digest) if made else ""
            if self._memo:
                # A thousand gates' inputs are too much to hold; a build asks again for the few that it runs.
                self._inputs.pop(label, None)
        needs = tuple(str(dep) for dep in self.graph.deps(label))
        limits = getattr(target, "timeout_s", 0), getattr(target, "accept_flaky", False)
        return Row(target.kind, digest, reference, *limits, needs)

    # -- what is taken over from a tree that was analysed before ---------------------------------------------------------------

    def _keep_witnesses(self) -> None:
        if self._memo is None or self._declared is None:
            return
        recent = self._kept("recent", "trees")
        trees = [self.snapshot.tree, *(one for one in (recent if isinstance(recent, list) else ()) if one != self.snapshot.tree)]
        self._keep("recent", "trees", trees[:_MOST_RECENT])
        self._keep("witness", self.snapshot.tree, {"declared": self._declared, "rows": self._witnesses})

    def kept_witnesses(self) -> tuple[Witness, dict[str, Witness]] | None:
        """What was asked of the snapshot for the declarations, and for each target; None where that is not kept."""
        self.table()
        kept = self._kept("witness", self.snapshot.tree)
        if not isinstance(kept, dict):
            return None
        rows = {label: Witness(*map(frozenset, parts)) for label, parts in kept["rows"].items() if parts is not None}
        return Witness(*map(frozenset, kept["declared"])), rows

    def _sources(self) -> Iterator[Analysis]:
        """Analyses that may be kept, the most promising first."""
        recent = self._kept("recent", "trees")
        objects = self.snapshot.objects
        yield from self._near
        for tree in recent if isinstance(recent, list) else ():
            if all(tree != one.snapshot.tree for one in self._near):
                yield Analysis(Snapshot(objects, tree, tree), self._memo, self.synced)

    def _take_over(self) -> list[str] | None:
        """Fill `_taken` from the first kept analysis that can be compared; the labels, where the declarations are the same."""
        for source in self._sources():
            table, kept = source.kept_table(), self._kept("witness", source.snapshot.tree)
            name = self._kept("graph.of", source.snapshot.tree)
            if table is None or not isinstance(kept, dict) or not isinstance(name, str):
                continue
            try:
                change = moved(self.snapshot.objects, source.snapshot.tree, self.snapshot.tree)
            except SnapshotError:
                continue  # a merged tree that was never written
            if change is None:
                continue
            if Witness.same(kept["declared"], change) and not change.any_named("BUILD.toml"):
                self._declared = kept["declared"]
                self._values = dict(source._values)
                self._keep("graph.of", self.snapshot.tree, name)
                if (rules := self._kept("rules", source.snapshot.tree)) is not None:
                    self._keep("rules", self.snapshot.tree, rules)  # they are read from declarations alone
                self._carry(source, table, kept["rows"], change, frozenset())
                return list(table)
            old = self._kept_graph(name)
            if old is not None:
                same = {str(target.label) for target in self.graph if target == old.targets.get(target.label)}
                self._carry(source, table, kept["rows"], change, table.keys() - same)
                return None
        return None

    def _carry(self, source: Analysis, table: Table, witnesses: dict[str, Any], change: Moved, redeclared: Set[str]) -> None:
        """Take over the rows that hold, and those of gates and actions that differ only by edits that change no import."""
        hit = {label for label, row in table.items() if not _still_holds(row, witnesses.get(label), change)}
        stale = _and_who_needs(hit | redeclared, table)
        for label, row in table.items():
            if label not in stale:
                self._taken[label] = row
                if label in witnesses:
                    self._witnesses[label] = witnesses[label]
        # Who needs a target that is declared otherwise, or an output that is made anew, has another manifest for that alone.
        makers = {label for label in stale if table[label].kind == "action"}
        makers = {label for label, row in table.items() if not makers.isdisjoint(row.needs)}
        here = sorted(stale - _and_who_needs(redeclared | makers, table))
        reader = self._reader()
        grower = _Grower(self.snapshot, reader)
        for label in here:
            row = table[label]
            hits = Witness.hits(witnesses[label], change) if label in witnesses else None
            manifest = source.manifests.named(row.manifest) if row.manifest and hits is not None else None
            grower.trace = None
            try:
                after = edited(manifest, hits or (), source.snapshot, self.snapshot, reader, grower) if manifest else None
            except LookupError:
                continue
            if after is not None:
                key = action_key(after)
                reference = self.manifests.keep(after, key)
                self._taken[label] = Row(row.kind, key, reference, row.timeout_s, row.accept_flaky, row.needs)
                self._witnesses[label] = grower.also_asked(witnesses[label])
        for label in here:  # a bundle is its members, which are gates
            row = table[label]
            if row.kind == "bundle" and all(one in self._taken for one in row.needs):
                named = bundle_digest((one, self._taken[one].digest) for one in row.needs)
                self._taken[label] = Row(row.kind, named, needs=row.needs)

    # -- manifests -------------------------------------------------------------------------------------------------------------

    def listed_manifest(self, label: str) -> dict[str, Any]:
        """The manifest of a gate or an action of the table, its inputs a listing; read from the memo where it is there."""
        row = self.table().get(label)
        if row is None or not row.manifest:
            return {}
        if row.manifest not in self._listings:
            anew = functools.cache(lambda: self._listed(parse_label(label)))
            self._listings[row.manifest] = self.manifests.named(row.manifest, lambda: anew()["inputs"]) or anew()
        return self._listings[row.manifest]

    def kept_manifest(self, label: str) -> dict[str, Any]:
        """The same with all rows of its inputs."""
        found = self.listed_manifest(label)
        return {**found, "inputs": found["inputs"].rows()} if found else {}


class _Grower:
    """Follows imports that came in, for one target after another; what was found out about a file serves all of them."""

    def __init__(self, snapshot: Snapshot, reader: Any) -> None:
        self._snapshot, self._reader = snapshot, reader
        self._world: Any = None
        self.trace: Trace | None = None  # what was asked of the snapshot for the last target

    def __call__(self, search: Sequence[Any], rows: Listing, more: Mapping[str, Any]) -> Mapping[str, tuple[int, str, str]] | None:
        from ..inputs.closure import World
        from ..inputs.growth import added_imports, grown
        from ..inputs.project import Project

        added = {path: imports for path, facts in more.items() if (imports := added_imports(*facts)) is not None}
        if len(added) < len(more):
            return None
        if self._world is None:
            here = self._snapshot
            self._world = World(Watched(here.objects, here.tree, here.name, here.commit), self._reader, Project())
        with self._world.snapshot.record() as self.trace:
            return grown(search, rows, added, self._world)

    def also_asked(self, kept: Any) -> Any:
        """A witness, with what was asked for the last target."""
        if self.trace is None:
            return kept
        asked = Witness.of(self.trace).to_json()
        return [sorted({*one, *two}) for one, two in zip(kept, asked, strict=True)]


class Ruled(Analysis):
    """A snapshot's files under another snapshot's definitions: its inputs, and nobody else's word on what they must pass.

    Its answers are of no tree, so no table of them is kept; what is known of single files is shared.
    """

    def __init__(self, snapshot: Snapshot, definitions: Graph, memo: Memo | None = None) -> None:
        super().__init__(snapshot, None)
        self._graph = definitions
        self._files = memo

    def _reader(self) -> Any:
        from ..inputs.files import FileReader

        return FileReader(self.snapshot.objects, self._files)


def _still_holds(row: Row, witness: Any, change: Moved) -> bool:
    """Whether a target asks nothing of the snapshot, or would get the same answers."""
    if row.kind in ("bundle", "contract", "merge"):
        return True
    return witness is not None and Witness.same(witness, change)


def _and_who_needs(labels: Set[str], table: Table) -> set[str]:
    """The labels, and all that reach one of them."""
    if not labels:
        return set()
    needed_by: dict[str, list[str]] = {}
    for label, row in table.items():
        for one in row.needs:
            needed_by.setdefault(one, []).append(label)
    seen: set[str] = set()
    pending = list(labels)
    while pending:
        label = pending.pop()
        if label not in seen:
            seen.add(label)
            pending += needed_by.get(label, ())
    return seen
