"""Gates proven on this machine, by their own definitions or by those of a base."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..answers import BuildReport
from ..digest.analysis import Analysis, Ruled
from ..errors import SnapshotError, UsageError
from ..execute.build import Builder, Events
from ..execute.perf import Baseline, PerfJudge
from ..git.repository import Repository
from ..git.snapshot import Snapshot
from ..plan.control import ControlChange, control_plane
from .affected import LazyPaths, rules_of
from .asked import Asked

__all__ = ["build_here", "hidden_folders"]


def hidden_folders(repository: Repository) -> tuple[str, ...]:
    """What a sandbox must not show: other checkouts of this repository, and its objects."""
    return tuple(str(path) for path in dict.fromkeys([*repository.worktrees(), repository.common_dir]))


def build_here(
    workspace: Asked,
    labels: Sequence[str] | str,
    at: str | Snapshot | None,
    analysis: Analysis,
    keep_going: bool,
    jobs: int | None,
    dry_run: bool,
    use_cache: bool,
    events: Events | None,
    trusted: str | None,
    onto: str | None = None,
) -> BuildReport:
    """What is proven is taken from the store, the rest runs here if this machine can.

    `onto` is the commit that a tree stands on which is no commit's yet: from there its baselines are looked for.

    Raises:
        DeclarationError, UsageError, SnapshotError, HostError: nothing was run.
    """
    control: tuple[ControlChange, ...] = ()
    if trusted is not None:
        analysis, control = _ruled(workspace, analysis, trusted)
    patterns = [labels] if isinstance(labels, str) else list(labels)
    chosen, without = analysis.graph.select(patterns), analysis.graph.without(patterns)
    if trusted is None:
        analysis.table()
    workspace.memo.flush()
    hidden = hidden_folders(workspace.repository)
    tip = onto or _tip(workspace, at)
    perf = PerfJudge(analysis, workspace.store, lambda ref: _baseline(workspace, ref, tip, analysis))
    builder = Builder(analysis, workspace.store, hidden, events, perf)
    report = builder.build(chosen, keep_going=keep_going, jobs=jobs, dry_run=dry_run, use_cache=use_cache, without=without)
    if events is not None:
        for words in workspace.store.damage():
            events.warn(words)
        for gate in report.gates if use_cache else ():
            for why in () if gate.cached else workspace.shared_refusals(gate.action_key):
                events.warn(f"{gate.label}: {why}")
    return replace(report, trusted=workspace.repository.resolve(trusted), control_plane=control) if trusted is not None else report


def _ruled(workspace: Asked, analysis: Analysis, trusted: str) -> tuple[Ruled, tuple[ControlChange, ...]]:
    """A snapshot under the definitions of a commit, and what of the change between the two judges it.

    Raises:
        UsageError: the engine that runs is the change's own.
    """
    base = workspace.analysis(workspace.repository.resolve(trusted))
    paths = LazyPaths(base.snapshot, analysis.snapshot)
    control = control_plane(paths, *(rules for rules in map(rules_of, (base, analysis)) if rules is not None))
    if own := _own_engine(workspace, base.snapshot):
        raise UsageError(
            f"this engine lies in the checkout that it judges, and {own} is not what {trusted} has",
            hint="run an engine that is installed outside, or a checkout of the base",
        )
    return Ruled(analysis.snapshot, base.graph, workspace.memo), control


def _tip(workspace: Asked, at: str | Snapshot | None) -> str:
    """The commit that a snapshot stands on: its own, or that of the work tree's HEAD; "" before the first."""
    if isinstance(at, Snapshot):
        return at.commit or workspace.repository.try_resolve("HEAD") or ""
    return workspace.repository.resolve(at) if at is not None else workspace.repository.try_resolve("HEAD") or ""


def _baseline(workspace: Asked, ref: str, tip: str, change: Analysis) -> Baseline:
    """The commit that a change is compared with: where it left `ref`; under the definitions that the change is judged by.

    Raises:
        SnapshotError, DeclarationError: it is not here, or its declarations are wrong.
    """
    commit = workspace.repository.merge_base(workspace.repository.resolve(ref), tip)
    analysis = Ruled(workspace.repository.at(commit), change.graph, workspace.memo)

    def is_ancestor(other: str) -> bool:
        try:
            return workspace.repository.merge_base(other, commit) == other
        except SnapshotError:
            return False  # of a branch that is gone, or without a common history

    return Baseline(analysis, is_ancestor)


def _own_engine(workspace: Asked, base: Snapshot) -> str:
    """A file of the running engine that lies in this work tree and differs from the base's; "" where there is none."""
    package = Path(__file__).resolve().parent.parent
    root = workspace.repository.root.resolve()
    if not package.is_relative_to(root):
        return ""
    for file in sorted(package.rglob("*.py")):
        path = file.relative_to(root).as_posix()
        if base.read(path) != file.read_bytes():
            return path
    return ""
