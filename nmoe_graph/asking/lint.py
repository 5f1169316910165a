"""Every fault of the declarations, and what is right and yet not as it should be."""

from __future__ import annotations

from ..answers import LintReport
from ..errors import DeclarationError, Fault
from .asked import Asked

__all__ = ["lint"]


def lint(workspace: Asked, at: str | None = None) -> LintReport:
    """Every fault of the declarations, and warnings: missing modules, whole-tree gates, gates that are one action."""
    analysis = workspace.analysis(at)
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
    workspace.memo.flush()
    return LintReport(len(graph), tuple(sorted(faults, key=lambda fault: (fault.level, str(fault.at or ""), fault.what))))
