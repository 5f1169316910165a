"""Why a target is affected, or whether it is proven and what stands in the way."""

from __future__ import annotations

from typing import Any

from ..answers import WhyReport
from ..digest.analysis import Analysis
from ..label import Label, parse_label
from ..model import Gate
from ..plan.affected import AffectedReport, Change, explain, way_to
from ..plan.control import control_words
from ..result import Result
from .affected import affected
from .asked import Asked

__all__ = ["why"]


def why(workspace: Asked, label: str, since: str | None = None, at: str | None = None) -> WhyReport:
    """Why a target is affected since a ref; or, without one, whether it is proven and what stands in the way.

    Raises:
        UsageError: there is no such target.
    """
    name = str(parse_label(label))
    new = workspace.analysis(at)
    target = new.graph.get(parse_label(label))
    report: AffectedReport | None = None
    if since is not None:
        report = affected(workspace, since, at, ["all"])
    row = new.table()[name]
    nearest: Result | None = None
    difference_to_nearest: tuple[Change, ...] = ()
    proof = None
    failures: list[Result] = []
    inputs: list[dict[str, Any]] = []
    notes: list[str] = []
    if isinstance(target, Gate) and target.gate_kind == "perf":
        notes.append("a perf gate is judged for a contract that has a budget: nmoe-graph build //contracts:ID")
    elif target.kind in ("bundle", "contract", "merge"):
        notes += _needed(workspace, new, target.label)
    elif target.kind in ("gate", "action"):
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
        proof = workspace.store.proof(row.digest, timeout_s=row.timeout_s or 10**9, accept_flaky=row.accept_flaky)
        if proof is None:
            notes += workspace.shared_refusals(row.digest)
            failures = [result for result in workspace.store.results(row.digest) if not result.verdict.proves(row.accept_flaky)]
            earlier = [
                result
                for result in workspace.store.by_label(name)
                if result.verdict.proves(True) and result.action_key != row.digest
            ]
            if earlier:
                nearest = max(earlier, key=lambda result: (result.started, result.action_key))
                before = new.manifests.of_key(nearest.action_key)
                try:
                    difference_to_nearest = explain(before, new.listed_manifest(name)) if before else ()
                except LookupError:
                    pass  # chunks of it are no longer kept
    workspace.memo.flush()
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


def _needed(workspace: Asked, analysis: Analysis, label: Label) -> list[str]:
    """The gates that a bundle, a contract or a merge comes down to, and which of them are proven."""
    table = analysis.table()
    found: dict[str, list[str]] = {"proven": [], "not proven": [], "judged by its budget": []}
    for one in sorted(analysis.graph.closure([label])):
        target = analysis.graph.targets[one]
        if not isinstance(target, Gate):
            continue
        row = table[str(one)]
        if target.gate_kind == "perf":
            state = "judged by its budget"
        else:
            proof = workspace.store.proof(row.digest, timeout_s=row.timeout_s or 10**9, accept_flaky=row.accept_flaky)
            state = "not proven" if proof is None else "proven"
        found[state].append(target.gate_id)
    return [f"{state}: {', '.join(gates)}" for state, gates in found.items() if gates]
