"""What differs between two snapshots: which targets, and why each of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..digest.analysis import Analysis, Table
from ..digest.rules import Rules
from ..errors import DeclarationError, Fault, SnapshotError, UsageError
from ..git.snapshot import Snapshot
from ..plan.affected import Affected, AffectedReport, Cause, Change, difference, explain
from ..plan.control import control_plane
from .asked import Asked

__all__ = ["ALL_KINDS", "LazyPaths", "affected", "rules_of"]

ALL_KINDS = ("files", "python", "toolchain", "action", "gate", "bundle", "contract", "merge")


def affected(
    workspace: Asked, since: str | None = None, at: str | None = None, kinds: Iterable[str] | str = ("gate",)
) -> AffectedReport:
    """The targets whose digest differs between the merge base with `since` and `at` (default: the work tree).

    Raises:
        SnapshotError: a commit that is needed is not here.
        DeclarationError: the declarations at `at` are wrong.
    """
    snapshot = workspace.snapshot(at)
    since, base = _since(workspace, since, at, snapshot.commit)
    listed = kinds.split(",") if isinstance(kinds, str) else list(kinds)
    wanted = set(ALL_KINDS if "all" in listed else listed)
    if unknown := wanted - set(ALL_KINDS):
        raise UsageError(f"there is no kind {sorted(unknown)[0]}", hint=f"kinds: all, {', '.join(ALL_KINDS)}")
    old, new = workspace.analysis(base), workspace.analysis(snapshot)
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
    paths = LazyPaths(old.snapshot, new.snapshot)
    changes = difference(old_table, new_table)
    moved = {label for label, _, _ in changes}
    for label, kind, cause in changes:
        if kind not in wanted:
            continue
        if cause is Cause.ADDED and warnings:
            cause = Cause.BASE_UNREADABLE
        reasons = (Change(cause),) if cause else _reasons(label, kind, old, new, moved, paths)
        row = new_table.get(label)
        proven = None
        if row is not None and kind == "gate":
            proven = workspace.store.proof(row.digest, timeout_s=row.timeout_s or 10**9, accept_flaky=row.accept_flaky) is not None
        found.append(Affected(label, kind, reasons, proven, row is not None, row.digest if row else ""))
    control = control_plane(paths, *(rules for rules in map(rules_of, (old, new)) if rules is not None))
    workspace.memo.flush()
    name = new.snapshot.name if at else ""
    return AffectedReport(since, base, name, new.snapshot.commit, tuple(found), tuple(warnings), control)


def _since(workspace: Asked, since: str | None, at: str | None, tip: str | None) -> tuple[str, str]:
    """The ref asked for (or the declared base) and the commit where the two histories went apart."""
    if since is None:
        listed = workspace.analysis(at).graph.workspace.base
        since = workspace.base_ref(at)
        if since is None:
            what = f"none of the base refs exists here: {', '.join(listed)}" if listed else "[workspace] declares no base"
            raise SnapshotError(what, hint=workspace.repository.base_hint("--since"))
    return since, workspace.repository.merge_base(workspace.repository.resolve(since), tip or workspace.repository.resolve("HEAD"))


def _reasons(label: str, kind: str, old: Analysis, new: Analysis, moved: set[str], paths: Iterable[str]) -> tuple[Change, ...]:
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
        from ..digest.keys import toolchain_parts
        from ..digest.listing import Listing
        from ..label import parse_label

        one, two = (side.inputs(parse_label(label)) for side in (old, new))
        says = [
            {"inputs": Listing.of(item.row() for item in side.items), "toolchains": toolchain_parts(side)} for side in (one, two)
        ]
        return explain(says[0], says[1], paths) or needed or (Change(Cause.DEFINITION),)
    return needed or (Change(Cause.DEFINITION),)


def rules_of(analysis: Analysis) -> Rules | None:
    """The rules of a side, where its declarations can be read; where not, that its BUILD.toml differs says enough."""
    try:
        return analysis.rules()
    except DeclarationError:
        return None


class LazyPaths:
    """The paths that differ between two trees, walked only if somebody asks."""

    def __init__(self, old: Snapshot, new: Snapshot) -> None:
        self._old, self._new = old, new
        self._paths: list[str] | None = None

    def __iter__(self) -> Any:
        if self._paths is None:
            self._paths = [path for path, _, _ in self._new.objects.differences(self._old.tree, self._new.tree)]
        return iter(self._paths)
