"""The facade: everything that the command line and a notebook can ask of a workspace.

    from nmoe_graph import Workspace
    ws = Workspace.open(".")
    ws.affected(since="origin/main")

A snapshot is taken anew for each question, so a long-lived notebook never answers from yesterday's files.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .answers import AffectedReport, LintReport, ResultsReport, WhyReport
from .digest.analysis import Analysis, Table
from .errors import DeclarationError, Fault, SnapshotError, UsageError
from .git.repository import Repository
from .git.snapshot import Snapshot
from .plan.affected import Affected, Cause, Change, difference, explain
from .store.memo import SqliteMemo

if TYPE_CHECKING:
    from .answers import BuildReport
    from .execute.build import Events
    from .graph.graph import Graph
    from .model import Result
    from .plan.merge import MergePlan
    from .store.local import Store

__all__ = ["ALL_KINDS", "Workspace"]

ALL_KINDS = ("files", "python", "action", "gate", "bundle", "contract", "merge")


class Workspace:
    """One git repository with a BUILD.toml at its root."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self.memo = SqliteMemo(repository.state_dir / "memo.sqlite")
        self._store: Store | None = None
        self._by_tree: dict[str, Analysis] = {}

    @classmethod
    def open(cls, where: str | os.PathLike[str] = ".") -> Workspace:
        """The workspace that holds a folder.

        Raises:
            UsageError: the folder is in no git checkout.
        """
        return cls(Repository.open(Path(where)))

    @property
    def root(self) -> Path:
        return self.repository.root

    @property
    def store(self) -> Store:
        """The local results."""
        if self._store is None:
            from .store.local import Store

            self._store = Store(self.repository.state_dir)
        return self._store

    # -- snapshots -------------------------------------------------------------------------------------------------------------

    def snapshot(self, at: str | None = None) -> Snapshot:
        """A commit's snapshot, or, without a ref, the work tree's."""
        return self.repository.at(at) if at is not None else self.repository.work_tree()

    def analysis(self, at: str | Snapshot | None = None, near: Iterable[str] = ()) -> Analysis:
        """The analysis of a snapshot; equal trees share one.  `near` are trees that probably differ little."""
        snapshot = at if isinstance(at, Snapshot) else self.snapshot(at)
        found = self._by_tree.get(snapshot.tree)
        if found is None or found.snapshot.commit != snapshot.commit:
            found = self._by_tree[snapshot.tree] = Analysis(snapshot, self.memo, near)
        return found

    def graph(self, at: str | None = None) -> Graph:
        """Every target of a snapshot, and what needs what."""
        found: Graph = self.analysis(at).graph
        return found

    def base_ref(self, at: str | None = None) -> str | None:
        """The first ref of `[workspace] base` that exists, or None."""
        for ref in self.graph(at).workspace.base:
            if self.repository.try_resolve(ref):
                return ref
        return None

    def _since(self, since: str | None, at: str | None) -> tuple[str, str]:
        """The ref asked for (or the declared base) and the commit where the two histories went apart."""
        if since is None:
            listed = self.graph(at).workspace.base
            since = self.base_ref(at)
            if since is None:
                what = f"none of the base refs exists here: {', '.join(listed)}" if listed else "[workspace] declares no base"
                raise SnapshotError(what, hint="git fetch origin, or say --since REF")
        tip = self.repository.resolve(at if at is not None else "HEAD")
        return since, self.repository.merge_base(self.repository.resolve(since), tip)

    # -- questions -------------------------------------------------------------------------------------------------------------

    def affected(self, since: str | None = None, at: str | None = None, kinds: Iterable[str] = ("gate",)) -> AffectedReport:
        """The targets whose digest differs between the merge base with `since` and `at` (default: the work tree).

        Raises:
            SnapshotError: a commit that is needed is not here.
            DeclarationError: the declarations at `at` are wrong.
        """
        since, base = self._since(since, at)
        wanted = set(ALL_KINDS if "all" in (listed := list(kinds)) else listed)
        if unknown := wanted - set(ALL_KINDS):
            raise UsageError(f"there is no kind {sorted(unknown)[0]}", hint=f"kinds: all, {', '.join(ALL_KINDS)}")
        before = self.snapshot(base)
        new = self.analysis(at, near=[before.tree])
        old = self.analysis(before, near=[new.snapshot.tree])
        new_table = new.table()
        warnings: list[Fault] = []
        try:
            old_table: Table = old.table()
        except DeclarationError as error:
            if old.snapshot.entry("BUILD.toml") is not None:
                what = f"the declarations at {base[:12]} cannot be read, so everything counts as affected: {error.faults[0].what}"
                warnings.append(Fault(what, error.faults[0].at, "mend them there, or take another base", level="warning"))
            old_table = {}
        found = []
        paths = _LazyPaths(old.snapshot, new.snapshot)
        changes = difference(old_table, new_table)
        moved = {label for label, _, _ in changes}
        for label, kind, cause in changes:
            if kind not in wanted:
                continue
            if cause is Cause.ADDED and warnings:
                cause = Cause.BASE_UNREADABLE
            reasons = (Change(cause),) if cause else self._reasons(label, kind, old, new, moved, paths)
            row = new_table.get(label)
            proven = None
            if row is not None and kind == "gate":
                proven = self.store.proof(row.digest, timeout_s=row.timeout_s or 10**9, accept_flaky=row.accept_flaky) is not None
            found.append(Affected(label, kind, reasons, proven, row is not None, row.digest if row else ""))
        self.memo.flush()
        return AffectedReport(since, base, new.snapshot.name if at else "", new.snapshot.commit, tuple(found), tuple(warnings))

    def _reasons(
        self, label: str, kind: str, old: Analysis, new: Analysis, moved: set[str], paths: Iterable[str]
    ) -> tuple[Change, ...]:
        if kind in ("gate", "action"):
            found = explain(old.kept_manifest(label), new.kept_manifest(label), paths)
            if found:
                return found
        children = [child for child in new.children(label) if child in moved]
        needed = tuple(Change(Cause.NEEDED, child) for child in sorted(children))
        before, after = set(old.children(label)), set(new.children(label))
        if kind in ("bundle", "contract", "merge") and (before != after or not needed):
            parts = [f"+{one}" for one in sorted(after - before)] + [f"-{one}" for one in sorted(before - after)]
            return (Change(Cause.DEFINITION, " ".join(parts)), *needed)
        if kind in ("files", "python"):
            from .label import parse_label

            one, two = (side.inputs(parse_label(label)) for side in (old, new))
            rows = [[[*entry, item.reason.value, list(item.via)] for entry, item in _rows(side)] for side in (one, two)]
            return explain({"inputs": rows[0]}, {"inputs": rows[1]}, paths) or needed or (Change(Cause.DEFINITION),)
        return needed or (Change(Cause.DEFINITION),)

    def why(self, label: str, since: str | None = None, at: str | None = None) -> WhyReport:
        """Why a target is affected since a ref; or, without one, whether it is proven and what stands in the way.

        Raises:
            UsageError: there is no such target.
        """
        from .label import parse_label

        name = str(parse_label(label))
        new = self.analysis(at)
        target = new.graph.get(parse_label(label))
        report: AffectedReport | None = None
        if since is not None:
            report = self.affected(since, at, ["all"])
        row = new.table()[name]
        nearest: Result | None = None
        difference_to_nearest: tuple[Change, ...] = ()
        proof = None
        failures: list[Result] = []
        inputs: list[dict[str, Any]] = []
        notes: list[str] = []
        if target.kind in ("gate", "action"):
            manifest = new.kept_manifest(name)
            inputs = [
                {"path": entry[0], "form": entry[2], "digest": entry[3], "why": entry[4], "via": entry[5]}
                for entry in manifest.get("inputs", ())
            ]
            if manifest.get("whole_tree"):
                notes.append(f"the whole tree counts: {manifest['whole_tree']}")
            if manifest:
                gathered = new.inputs(parse_label(label))
                notes += [*gathered.problems, *gathered.warnings]
            proof = self.store.proof(row.digest, timeout_s=row.timeout_s or 10**9, accept_flaky=row.accept_flaky)
            if proof is None:
                failures = [result for result in self.store.results(row.digest) if not result.verdict.proves(row.accept_flaky)]
                earlier = [
                    result
                    for result in self.store.by_label(name)
                    if result.verdict.proves(True) and result.action_key != row.digest
                ]
                if earlier:
                    nearest = max(earlier, key=lambda result: (result.started, result.action_key))
                    reference = self.memo.get("manifest.key", nearest.action_key)
                    before = self.memo.get("manifest.1", reference) if isinstance(reference, str) else None
                    if isinstance(before, dict):
                        difference_to_nearest = explain(before, manifest)
        self.memo.flush()
        changed = next((one for one in report.targets if one.label == name), None) if report else None
        return WhyReport(
            label=name,
            kind=target.kind,
            action_key=row.digest,
            since=report.since if report else "",
            affected=changed.reasons if changed else (),
            is_affected=changed is not None if report else None,
            proof=proof,
            failures=tuple(failures),
            nearest=nearest,
            missing=difference_to_nearest,
            inputs=tuple(inputs),
            notes=tuple(notes),
        )

    def lint(self, at: str | None = None) -> LintReport:
        """Every fault of the declarations, and warnings: missing modules, whole-tree gates, gates that are one action."""
        analysis = self.analysis(at)
        try:
            graph = analysis.graph
        except DeclarationError as error:
            return LintReport(0, error.faults)
        faults = list(graph.warnings)
        twins: dict[str, str] = {}
        for target in graph:
            if target.kind not in ("gate", "action") or getattr(target, "gate_kind", "command") != "command":
                continue
            gathered = analysis.inputs(target.label)
            for text in (*gathered.problems, *gathered.warnings):
                faults.append(Fault(f"{target.label.short}: {text}", target.at, level="warning"))
            if gathered.whole_tree:
                hint = "declare inputs or deps to make it precise"
                faults.append(
                    Fault(
                        f"{target.label.short}: the whole tree counts, since {gathered.whole_tree}",
                        target.at,
                        hint,
                        level="warning",
                    )
                )
            twin = twins.setdefault(analysis.digest(target.label), target.label.short)
            if twin != target.label.short:
                faults.append(
                    Fault(f"{target.label.short} is the same action as {twin}: one proof serves both", target.at, level="warning")
                )
        self.memo.flush()
        return LintReport(len(graph), tuple(sorted(faults, key=lambda fault: (fault.level, str(fault.at or ""), fault.what))))

    # -- proving ---------------------------------------------------------------------------------------------------------------

    def build(
        self,
        labels: Sequence[str] | str,
        at: str | None = None,
        *,
        keep_going: bool = False,
        jobs: int | None = None,
        dry_run: bool = False,
        use_cache: bool = True,
        events: Events | None = None,
    ) -> BuildReport:
        """Prove gates: what is proven is taken from the store, the rest runs here if this machine can.

        Raises:
            DeclarationError, UsageError, SnapshotError, HostError: nothing was run.
        """
        from .execute.build import Builder

        analysis = self.analysis(at)
        patterns = [labels] if isinstance(labels, str) else list(labels)
        chosen = analysis.graph.select(patterns)
        analysis.table()
        self.memo.flush()
        hidden = tuple(str(path) for path in dict.fromkeys([*self.repository.worktrees(), self.repository.common_dir]))
        builder = Builder(analysis, self.store, hidden, events)
        return builder.build(chosen, keep_going=keep_going, jobs=jobs, dry_run=dry_run, use_cache=use_cache)

    def results(self, what: str | None = None, at: str | None = None) -> ResultsReport:
        """Stored results: all, a label's, or what is proven at a commit (full SHA, unique prefix of one, or any ref)."""
        if what is None:
            return ResultsReport("", tuple(self.store.all()))
        from .label import parse_label

        if what.startswith(("//", ":")) or (":" in what and "/" not in what):
            label = parse_label(what)
            self.analysis(at).graph.get(label)
            return ResultsReport(str(label), tuple(self.store.by_label(str(label))))
        commit = self.repository.try_resolve(what)
        if commit is None:
            return ResultsReport(what, tuple(self.store.by_commit(what)))
        found = {id(result): result for result in self.store.by_commit(commit)}
        by_key = {}
        try:
            table = self.analysis(commit).table()
        except DeclarationError:
            table = {}
        for label_text, row in table.items():
            if row.kind == "gate":
                proof = self.store.proof(row.digest, timeout_s=row.timeout_s or 10**9, accept_flaky=row.accept_flaky)
                by_key[label_text] = proof
        self.memo.flush()
        recorded = {(result.action_key, result.started) for result in found.values()}
        reused = [proof for proof in by_key.values() if proof is not None and (proof.action_key, proof.started) not in recorded]
        return ResultsReport(commit, tuple(found.values()), tuple(reused))

    def log(self, label: str, at: str | None = None) -> tuple[Result, bytes] | None:
        """The latest log of a gate at a snapshot; of any earlier key where this one never ran."""
        from .label import parse_label

        parsed = parse_label(label)
        analysis = self.analysis(at)
        analysis.graph.get(parsed)
        candidates = self.store.results(analysis.digest(parsed)) or self.store.by_label(str(parsed))
        for result in sorted(candidates, key=lambda one: one.started, reverse=True):
            log = self.store.log(result)
            if log is not None:
                return result, log
        return None

    # -- merging ---------------------------------------------------------------------------------------------------------------

    def plan_merges(
        self,
        contracts: Sequence[str] = (),
        *,
        branches: Mapping[str, str] | None = None,
        base: str | None = None,
        at: str | None = None,
    ) -> MergePlan:
        """The landing order of contracts, with what really conflicts and what each landing invalidates.

        Raises:
            UsageError, DeclarationError, SnapshotError: an unknown contract, a cycle, a ref that is not here.
        """
        from .merging import MergePlanner

        plan = MergePlanner(self, at, base, branches or {}).plan(contracts)
        self.memo.flush()
        return plan


def _rows(inputs: Any) -> Iterable[tuple[tuple[str, int, str, str], Any]]:
    from .inputs.gather import entries

    return zip(entries(inputs.items), inputs.items, strict=True)


class _LazyPaths:
    """The paths that differ between two trees, walked only if somebody asks."""

    def __init__(self, old: Snapshot, new: Snapshot) -> None:
        self._old, self._new = old, new
        self._paths: list[str] | None = None

    def __iter__(self) -> Any:
        if self._paths is None:
            self._paths = [path for path, _, _ in self._new.objects.differences(self._old.tree, self._new.tree)]
        return iter(self._paths)
