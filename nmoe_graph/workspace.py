"""The facade: everything that the command line and a notebook can ask of a workspace.

    from nmoe_graph import Workspace
    ws = Workspace.open(".")
    ws.affected(since="origin/main")

A snapshot is taken anew for each question, so a long-lived notebook never answers from yesterday's files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .digest.analysis import Analysis, Table
from .errors import DeclarationError, Fault, HostError, SnapshotError, UsageError
from .git.refs import CONTRACTS_REF, has_ledger, read_ref
from .git.repository import Repository
from .git.snapshot import Snapshot
from .plan.affected import Affected, AffectedReport, Cause, Change, difference, explain, way_to
from .plan.control import control_plane, control_words
from .store.memo import SqliteMemo

if TYPE_CHECKING:
    from .answers import AuditReport, BuildReport, LintReport, MergeReport, ResultsReport, WhyReport
    from .attest.block import AttestReport
    from .attest.evidence import Evidence
    from .attest.making import Signing
    from .attest.report import VerifyReport
    from .attest.shared import SharedProofs
    from .contracts.desk import ContractDesk
    from .digest.analysis import Ruled
    from .digest.rules import Rules
    from .execute.build import Events
    from .execute.perf import Baseline
    from .forge.github import GitHub
    from .git.exchange import Exchange
    from .graph.graph import Graph
    from .model import Result
    from .plan.control import ControlChange
    from .plan.merge import MergePlan
    from .plan.probe import Probe
    from .pulls.desk import PullDesk
    from .store.keeping import Cleaning, Inspection
    from .store.local import Store
    from .tierb.desk import TierBDesk

__all__ = ["ALL_KINDS", "Workspace"]

ALL_KINDS = ("files", "python", "toolchain", "action", "gate", "bundle", "contract", "merge")


class Workspace:
    """One git repository with a BUILD.toml at its root."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self.memo = SqliteMemo(repository.state_dir / "memo.sqlite")
        self._store: Store | None = None
        self._shared: SharedProofs | None = None
        self._by_tree: dict[str, Analysis] = {}
        #: Hears what a wait is for; the command line prints it.
        self.say: Callable[[str], None] = lambda words: None

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

            shared = self._shared_proofs()
            self._store = Store(self.repository.state_dir, shared.proofs if shared is not None else None)
        return self._store

    def _shared_proofs(self) -> SharedProofs | None:
        """What others proved, if this clone has a ledger; one that has none pays a look at two files."""
        if self._shared is None and has_ledger(self.repository.common_dir):
            from .attest.shared import SharedProofs

            self._shared = SharedProofs(self)
        return self._shared

    def shared_refusals(self, key: str) -> list[str]:
        """Why what the ledger holds under an action key does not count here."""
        shared = self._shared_proofs()
        return shared.refused(key) if shared is not None else []

    # -- snapshots -------------------------------------------------------------------------------------------------------------

    def snapshot(self, at: str | None = None) -> Snapshot:
        """A commit's snapshot, or, without a ref, the work tree's."""
        return self.repository.at(at) if at is not None else self.repository.work_tree()

    def analysis(self, at: str | Snapshot | None = None) -> Analysis:
        """The analysis of a snapshot; equal trees share one."""
        snapshot = at if isinstance(at, Snapshot) else self.snapshot(at)
        synced = self.synced()
        found = self._by_tree.get(snapshot.tree)
        if found is None or found.snapshot.commit != snapshot.commit or found.synced != synced:
            found = self._by_tree[snapshot.tree] = Analysis(snapshot, self.memo, synced)
        return found

    def synced(self) -> Snapshot | None:
        """The contracts of the issues; a clone that never synced any pays a look at two files."""
        if read_ref(self.repository.common_dir, CONTRACTS_REF) is None:
            return None
        from .git.synced import read_synced

        return read_synced(self.repository)

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

    def _since(self, since: str | None, at: str | None, tip: str | None) -> tuple[str, str]:
        """The ref asked for (or the declared base) and the commit where the two histories went apart."""
        if since is None:
            listed = self.graph(at).workspace.base
            since = self.base_ref(at)
            if since is None:
                what = f"none of the base refs exists here: {', '.join(listed)}" if listed else "[workspace] declares no base"
                raise SnapshotError(what, hint="git fetch origin, or say --since REF")
        return since, self.repository.merge_base(self.repository.resolve(since), tip or self.repository.resolve("HEAD"))

    # -- questions -------------------------------------------------------------------------------------------------------------

    def affected(self, since: str | None = None, at: str | None = None, kinds: Iterable[str] = ("gate",)) -> AffectedReport:
        """The targets whose digest differs between the merge base with `since` and `at` (default: the work tree).

        Raises:
            SnapshotError: a commit that is needed is not here.
            DeclarationError: the declarations at `at` are wrong.
        """
        snapshot = self.snapshot(at)
        since, base = self._since(since, at, snapshot.commit)
        wanted = set(ALL_KINDS if "all" in (listed := list(kinds)) else listed)
        if unknown := wanted - set(ALL_KINDS):
            raise UsageError(f"there is no kind {sorted(unknown)[0]}", hint=f"kinds: all, {', '.join(ALL_KINDS)}")
        old, new = self.analysis(base), self.analysis(snapshot)
        old.consider(new)
        new.consider(old)
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
        control = control_plane(paths, *(rules for rules in map(_rules, (old, new)) if rules is not None))
        self.memo.flush()
        name = new.snapshot.name if at else ""
        return AffectedReport(since, base, name, new.snapshot.commit, tuple(found), tuple(warnings), control)

    def _reasons(
        self, label: str, kind: str, old: Analysis, new: Analysis, moved: set[str], paths: Iterable[str]
    ) -> tuple[Change, ...]:
        if kind in ("gate", "action"):
            found = explain(old.listed_manifest(label), new.listed_manifest(label), paths)
            if found:
                return found
        before, after = (set(side.table()[label].needs) for side in (old, new))
        needed = tuple(Change(Cause.NEEDED, child) for child in sorted(after & moved))
        if kind in ("bundle", "contract", "merge") and (before != after or not needed):
            parts = [f"+{one}" for one in sorted(after - before)] + [f"-{one}" for one in sorted(before - after)]
            return (Change(Cause.DEFINITION, " ".join(parts)), *needed)
        if kind in ("files", "python", "toolchain"):
            from .digest.keys import toolchain_parts
            from .digest.listing import Listing
            from .label import parse_label

            one, two = (side.inputs(parse_label(label)) for side in (old, new))
            says = [
                {"inputs": Listing.of(item.row() for item in side.items), "toolchains": toolchain_parts(side)}
                for side in (one, two)
            ]
            return explain(says[0], says[1], paths) or needed or (Change(Cause.DEFINITION),)
        return needed or (Change(Cause.DEFINITION),)

    def why(self, label: str, since: str | None = None, at: str | None = None) -> WhyReport:
        """Why a target is affected since a ref; or, without one, whether it is proven and what stands in the way.

        Raises:
            UsageError: there is no such target.
        """
        from .answers import WhyReport
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
            rows = {entry[0]: entry for entry in manifest.get("inputs", ())}
            inputs = [
                {"path": path, "form": entry[2], "digest": entry[3], "why": entry[4], "via": list(way_to(path, rows))}
                for path, entry in rows.items()
            ]
            if manifest.get("whole_tree"):
                notes.append(f"the whole tree counts: {manifest['whole_tree']}")
            if manifest:
                gathered = new.inputs(parse_label(label))
                notes += [*gathered.problems, *gathered.warnings]
            proof = self.store.proof(row.digest, timeout_s=row.timeout_s or 10**9, accept_flaky=row.accept_flaky)
            if proof is None:
                notes += self.shared_refusals(row.digest)
                failures = [result for result in self.store.results(row.digest) if not result.verdict.proves(row.accept_flaky)]
                earlier = [
                    result
                    for result in self.store.by_label(name)
                    if result.verdict.proves(True) and result.action_key != row.digest
                ]
                if earlier:
                    nearest = max(earlier, key=lambda result: (result.started, result.action_key))
                    before = new.manifests.of_key(nearest.action_key)
                    try:
                        difference_to_nearest = explain(before, new.listed_manifest(name)) if before else ()
                    except LookupError:
                        pass  # chunks of it are no longer kept
        self.memo.flush()
        if report is not None and report.control_plane:
            notes.append(control_words(report.control_plane))
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
        from .answers import LintReport

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
            if getattr(target, "tier", "a") == "b" and not any(tool.image or tool.lock for tool in gathered.toolchains):
                what = f"{target.label.short} is of tier b and names no toolchain by lock file or image"
                hint = "declare [toolchain.NAME] in BUILD.toml and name it in the gate: its proof holds for those tools only"
                faults.append(Fault(what, target.at, hint, level="warning"))
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
        at: str | Snapshot | None = None,
        *,
        keep_going: bool = False,
        jobs: int | None = None,
        dry_run: bool = False,
        use_cache: bool = True,
        events: Events | None = None,
        trusted: str | None = None,
        executor: str | None = None,
    ) -> BuildReport:
        """Prove gates: what is proven is taken from the store, the rest runs here if this machine can.

        What it cannot run is proven by `executor` ("github": on the runners, for the pull request of the commit), or by the one
        that `[workspace] executors` names for the gate's platform; "local" asks nobody.

        With `trusted`, a ref, the inputs are those of `at` and every definition is that commit's: nothing that the change says of
        gates, bundles, toolchains or contracts counts, and the engine that runs must not be the change's own.

        Raises:
            DeclarationError, UsageError, SnapshotError, HostError: nothing was run.
        """
        analysis = self.analysis(at)
        report = self._build_here(labels, at, analysis, keep_going, jobs, dry_run, use_cache, events, trusted)
        if executor == "local" or dry_run or trusted is not None or isinstance(at, Snapshot):
            return report
        from .tierb.executor import elsewhere, prove_elsewhere, unreached

        named = dict(analysis.graph.workspace.executors)
        left = [one for one in elsewhere(report) if executor or getattr(self._target(one.label, analysis), "arch", "") in named]
        if not left:
            return report
        try:
            prove_elsewhere(self, self.tier_b(), self.github, left, at)
        except (HostError, UsageError) as error:
            if executor is not None:
                raise
            return unreached(report, error.faults[0].what)
        self._store = self._shared = None  # what came home is looked up anew
        return self._build_here(labels, at, analysis, keep_going, jobs, dry_run, True, events, trusted)

    def _target(self, label: str, analysis: Analysis) -> Any:
        from .label import parse_label

        return analysis.graph.targets.get(parse_label(label))

    def _build_here(
        self,
        labels: Sequence[str] | str,
        at: str | Snapshot | None,
        analysis: Analysis,
        keep_going: bool,
        jobs: int | None,
        dry_run: bool,
        use_cache: bool,
        events: Events | None,
        trusted: str | None,
    ) -> BuildReport:
        from .execute.build import Builder
        from .execute.perf import PerfJudge

        control: tuple[ControlChange, ...] = ()
        if trusted is not None:
            analysis, control = self._ruled(analysis, trusted)
        patterns = [labels] if isinstance(labels, str) else list(labels)
        chosen = analysis.graph.select(patterns)
        if trusted is None:
            analysis.table()
        self.memo.flush()
        hidden = tuple(str(path) for path in dict.fromkeys([*self.repository.worktrees(), self.repository.common_dir]))
        tip = self._tip(at)
        perf = PerfJudge(analysis, self.store, lambda ref: self._baseline(ref, tip, analysis))
        builder = Builder(analysis, self.store, hidden, events, perf)
        report = builder.build(chosen, keep_going=keep_going, jobs=jobs, dry_run=dry_run, use_cache=use_cache)
        if events is not None and use_cache:
            for gate in report.gates:
                for why in () if gate.cached else self.shared_refusals(gate.action_key):
                    events.warn(f"{gate.label}: {why}")
        return replace(report, trusted=self.repository.resolve(trusted), control_plane=control) if trusted is not None else report

    def _ruled(self, analysis: Analysis, trusted: str) -> tuple[Ruled, tuple[ControlChange, ...]]:
        """A snapshot under the definitions of a commit, and what of the change between the two judges it.

        Raises:
            UsageError: the engine that runs is the change's own.
        """
        from .digest.analysis import Ruled

        base = self.analysis(self.repository.resolve(trusted))
        paths = _LazyPaths(base.snapshot, analysis.snapshot)
        control = control_plane(paths, *(rules for rules in map(_rules, (base, analysis)) if rules is not None))
        if own := self._own_engine(base.snapshot):
            raise UsageError(
                f"this engine lies in the checkout that it judges, and {own} is not what {trusted} has",
                hint="run an engine that is installed outside, or a checkout of the base",
            )
        return Ruled(analysis.snapshot, base.graph, self.memo), control

    def _tip(self, at: str | Snapshot | None) -> str:
        """The commit that a snapshot stands on: its own, or that of the work tree's HEAD; "" before the first."""
        if isinstance(at, Snapshot):
            return at.commit or self.repository.try_resolve("HEAD") or ""
        return self.repository.resolve(at) if at is not None else self.repository.try_resolve("HEAD") or ""

    def _baseline(self, ref: str, tip: str, change: Analysis) -> Baseline:
        """The commit that a change is compared with: where it left `ref`; under the definitions that the change is judged by.

        Raises:
            SnapshotError, DeclarationError: it is not here, or its declarations are wrong.
        """
        from .digest.analysis import Ruled
        from .execute.perf import Baseline

        commit = self.repository.merge_base(self.repository.resolve(ref), tip)
        analysis = Ruled(self.repository.at(commit), change.graph, self.memo)

        def is_ancestor(other: str) -> bool:
            try:
                return self.repository.merge_base(other, commit) == other
            except SnapshotError:
                return False  # of a branch that is gone, or without a common history

        return Baseline(analysis, is_ancestor)

    def _own_engine(self, base: Snapshot) -> str:
        """A file of the running engine that lies in this work tree and differs from the base's; "" where there is none."""
        package = Path(__file__).resolve().parent
        root = self.root.resolve()
        if not package.is_relative_to(root):
            return ""
        for file in sorted(package.rglob("*.py")):
            path = file.relative_to(root).as_posix()
            if base.read(path) != file.read_bytes():
                return path
        return ""

    def audit(
        self,
        labels: Sequence[str] | str = ("//...",),
        at: str | None = None,
        *,
        budget: int = 20,
        seed: int = 0,
        jobs: int = 2,
        say: Callable[[str], None] = lambda text: None,
    ) -> AuditReport:
        """Which gates can fail: damage their inputs, at most `budget` times each, and run them.  Nothing is recorded.

        Raises:
            DeclarationError, UsageError, SnapshotError, HostError: nothing was run.
        """
        from .execute.audit import audit

        analysis = self.analysis(at)
        chosen = analysis.graph.select([labels] if isinstance(labels, str) else list(labels))
        hidden = tuple(str(path) for path in dict.fromkeys([*self.repository.worktrees(), self.repository.common_dir]))
        report = audit(analysis, self.store, hidden, chosen, budget=budget, seed=seed, jobs=jobs, say=say)
        self.memo.flush()
        return report

    def results(self, what: str | None = None, at: str | None = None) -> ResultsReport:
        """Stored results: all, a label's, or what is proven at a commit (full SHA, unique prefix of one, or any ref)."""
        from .answers import ResultsReport

        if what is None:
            return ResultsReport("", tuple(self.store.all()))
        from .label import parse_label

        if what.startswith(("//", ":")) or (":" in what and "/" not in what):
            label = parse_label(what)
            analysis = self.analysis(at)
            target = analysis.graph.get(label)
            ran = tuple(self.store.by_label(str(label)))
            row = analysis.table()[str(label)]
            limit = row.timeout_s or 10**9
            proof = self.store.proof(row.digest, timeout_s=limit, accept_flaky=row.accept_flaky) if target.kind == "gate" else None
            return ResultsReport(str(label), ran, (proof,) if proof is not None and proof not in ran else ())
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

    def inspect_results(self) -> Inspection:
        """Read every file of the store; what is damaged is put aside."""
        from .store.keeping import inspect

        return inspect(self.store)

    def clean_results(self, *, most_bytes: int | None = None, most_age_s: float | None = None) -> Cleaning:
        """Remove old results; what proves, and what the ledger holds, goes last."""
        from .store.keeping import clean

        return clean(self.store, most_bytes=most_bytes, most_age_s=most_age_s, anchored=self._anchored())

    def _anchored(self) -> frozenset[str]:
        """The commits whose results are stated in the ledger of this clone."""
        if not has_ledger(self.repository.common_dir):
            return frozenset()
        from .git.ledger import Ledger

        return frozenset(path.rpartition("/")[2] for path in Ledger(self.repository).here().files if path.startswith("tested/"))

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

    # -- evidence --------------------------------------------------------------------------------------------------------------

    def evidence(self, base: str | None = None) -> Evidence:
        """What counts here by the rules of a base commit (default: the workspace's base).

        Raises:
            SnapshotError, DeclarationError: there is no base, or its declarations are wrong.
        """
        from .attest.evidence import Evidence

        return Evidence(self, base)

    def _evidence_if_any(self, base: str | None = None) -> Evidence | None:
        """The evidence, or None in a workspace that has no base yet."""
        return self.evidence(base) if base is not None or self.base_ref() is not None else None

    def verify(
        self, data: bytes, file: str, *, commit: str | None = None, base: str | None = None, contract: str | None = None
    ) -> VerifyReport:
        """What a signed statement, a note or a pull request's block proves, line by line.  `contract` is the path of a file.

        Raises:
            UsageError, SnapshotError, HostError: it cannot be judged at all.
        """
        from .attest.inside import verify_inside

        terms = (Path(contract).read_bytes(), contract) if contract is not None else None
        report = verify_inside(self, self.evidence(base), data, file, commit=commit, contract=terms)
        self.memo.flush()
        return report

    def attest(self, contract: str, at: str | None = None, base: str | None = None) -> AttestReport:
        """The block of a pull request, from recorded results.  `contract` is the id of one of the base's, or a YAML file.

        Raises:
            UsageError, SnapshotError, DeclarationError: there is no such contract or commit.
        """
        from .attest.block import contract_of, write_block
        from .load.contract import load_contract

        evidence = self.evidence(base)
        if contract.endswith((".yaml", ".yml")):
            terms = load_contract(Path(contract).read_bytes(), contract, None)
        else:
            terms = contract_of(evidence, contract)
        report = write_block(self, evidence, terms, at)
        self.memo.flush()
        return report

    def export_results(
        self,
        what: str | None = None,
        *,
        signing: Signing | None = None,
        namespace: str = "pr",
        contract: str | None = None,
        base: str | None = None,
    ) -> tuple[list[bytes], list[str]]:
        """Stored results as statements, signed where `signing` is given; and why some have none.

        Raises:
            UsageError, HostError: there is nothing of that name, or no key.
        """
        from .attest.making import statements_of

        results = [result for result in self.results(what).results if result.commit] if what else self._stated()
        made, refused = statements_of(self, self._evidence_if_any(base), results, namespace, contract)
        self.memo.flush()
        return [signing.sign(one) for one in made] if signing is not None else [one + b"\n" for one in made], refused

    def _stated(self) -> list[Result]:
        """The stored results that can be stated: of gates, at commits."""
        return [result for result in self.store.all() if result.commit and result.label.startswith("//gates/")]

    def import_results(self, files: Iterable[tuple[str, bytes]]) -> int:
        """Put signed statements into this clone's ledger; returns how many were new.  What they prove is for policy to say.

        Raises:
            UsageError, DeclarationError: one of them is no signed statement; then none is taken.
        """
        from .attest.making import entry_of
        from .git.ledger import Ledger

        return Ledger(self.repository).add([entry_of(data, name) for name, data in files])

    def state_results(
        self, signing: Signing, *, namespace: str = "pr", contract: str | None = None, base: str | None = None
    ) -> tuple[int, list[str]]:
        """Sign what is stored and not yet in this clone's ledger, and put it there; how many, and why some cannot be stated.

        Raises:
            UsageError, HostError: the key cannot be used.
        """
        from .attest.making import statements_of
        from .git.ledger import Ledger

        ledger = Ledger(self.repository)
        fresh = [result for result in self._stated() if not signing.has_stated(ledger, result, namespace)]
        made, refused = statements_of(self, self._evidence_if_any(base), fresh, namespace, contract)
        self.memo.flush()
        return self.import_results((f"result {number}", signing.sign(one)) for number, one in enumerate(made, 1)), refused

    def push_results(self, remote: str) -> Exchange:
        """Give this clone's ledger to a remote, and take in what is there.

        Raises:
            UsageError, HostError: there is no such remote, or it takes nothing.
        """
        from .git.exchange import push

        return push(self.repository, remote)

    def pull_results(self, remote: str) -> Exchange:
        """Take in a remote's ledger.

        Raises:
            UsageError, HostError: there is no such remote.
        """
        from .git.exchange import pull

        return pull(self.repository, remote)

    # -- GitHub ----------------------------------------------------------------------------------------------------------------

    def github(self, remote: str = "origin", repository: str | None = None) -> GitHub:
        """The repository on GitHub: the one that a remote's URL names, or "owner/name".

        Raises:
            UsageError, HostError: the URL names none, there is no token, or `pip install 'nmoe-graph[github]'` was not done.
        """
        from .forge.github import GitHub
        from .forge.token import find_token
        from .forge.where import where_of, where_of_origin

        where = where_of(repository) if repository is not None else where_of_origin(self.repository, remote)
        return GitHub(where, find_token(where), notify=self.say)

    def contracts(self, remote: str = "origin", repository: str | None = None) -> ContractDesk:
        """Contracts as people meet them: written, checked, synced from issues, worked on, followed."""
        from .contracts.desk import ContractDesk

        return ContractDesk(self, lambda: self.github(remote, repository))

    def pulls(self, remote: str = "origin", repository: str | None = None) -> PullDesk:
        """Pull requests: opened from what is proven, held against what counts."""
        from .pulls.desk import PullDesk

        return PullDesk(self, lambda: self.github(remote, repository), remote, lambda words: self.say(words))

    def tier_b(self, remote: str = "origin", repository: str | None = None) -> TierBDesk:
        """Tier B on GitHub's runners: asked for, approved, carried out, judged."""
        from .tierb.desk import TierBDesk

        return TierBDesk(self, lambda: self.github(remote, repository), remote, lambda words: self.say(words))

    # -- merging ---------------------------------------------------------------------------------------------------------------

    def plan_merges(
        self,
        contracts: Sequence[str] = (),
        *,
        branches: Mapping[str, str] | None = None,
        base: str | None = None,
        at: str | None = None,
        risks: Mapping[str, float] | None = None,
        objective: str = "gpu",
        runners: int = 1,
        max_batch: int = 0,
    ) -> MergePlan:
        """The landing order of contracts, with what really conflicts, what each landing must prove, and what that costs.

        Raises:
            UsageError, DeclarationError, SnapshotError: an unknown contract, a cycle, a ref that is not here.
        """
        from .merge.planner import MergePlanner, Wishes

        wishes = Wishes(dict(risks or {}), objective, runners, max_batch)
        plan = MergePlanner(self, at, base, branches or {}, wishes).plan(contracts)
        self.memo.flush()
        return plan

    def after_failure(
        self,
        train: Sequence[str],
        *,
        branches: Mapping[str, str] | None = None,
        base: str | None = None,
        at: str | None = None,
        risks: Mapping[str, float] | None = None,
    ) -> Probe:
        """The next test for a train that failed, from the results that are stored for its prefixes.

        Raises:
            UsageError, DeclarationError, SnapshotError: an unknown contract, one without a branch, or a train that does not merge.
        """
        from .merge.planner import MergePlanner, Wishes

        found = MergePlanner(self, at, base, branches or {}, Wishes(dict(risks or {}))).after_failure(train)
        self.memo.flush()
        return found

    def merge(
        self,
        contracts: Sequence[str] = (),
        *,
        train: bool = False,
        dry_run: bool = False,
        prove: bool = False,
        branches: Mapping[str, str] | None = None,
        base: str | None = None,
    ) -> MergeReport:
        """Land contracts on a local branch, each proven at its tree, or with `train` all at the tip; `prove` runs what lacks.

        Raises:
            UsageError, DeclarationError, SnapshotError, HostError: nothing was changed, or what was changed is said.
        """
        from .merge.landing import Lander

        report = Lander(self, base, branches or {}).land(contracts, train=train, dry_run=dry_run, prove=prove)
        self.memo.flush()
        return report


def _rules(analysis: Analysis) -> Rules | None:
    """The rules of a side, where its declarations can be read; where not, that its BUILD.toml differs says enough."""
    try:
        return analysis.rules()
    except DeclarationError:
        return None


class _LazyPaths:
    """The paths that differ between two trees, walked only if somebody asks."""

    def __init__(self, old: Snapshot, new: Snapshot) -> None:
        self._old, self._new = old, new
        self._paths: list[str] | None = None

    def __iter__(self) -> Any:
        if self._paths is None:
            self._paths = [path for path, _, _ in self._new.objects.differences(self._old.tree, self._new.tree)]
        return iter(self._paths)
