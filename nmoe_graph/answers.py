"""What the workspace answers: frozen values with `to_dict()` for programs and `_repr_html_` for notebooks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import Fault
from .markup import table
from .plan.affected import AffectedReport, Change
from .plan.control import ControlChange
from .result import Result, Verdict

__all__ = [
    "AffectedReport",
    "AuditFinding",
    "AuditReport",
    "BuildReport",
    "GateAudit",
    "GateOutcome",
    "Landed",
    "LintReport",
    "MergeReport",
    "ResultsReport",
    "WhyReport",
    "result_dict",
]


def result_dict(result: Result) -> dict[str, Any]:
    """A stored result for programs."""
    return {
        "label": result.label,
        "verdict": result.verdict.value,
        "reason": result.reason,
        "action_key": result.action_key,
        "commit": result.commit,
        "tree": result.tree,
        "exit_code": result.exit_code,
        "signal": result.signal,
        "started": result.started,
        "duration_s": round(result.duration_s, 3),
        "attempts": result.attempts,
        "sandbox": result.means,
        "fingerprint": dict(result.fingerprint),
        "log": result.log_digest,
        "metrics": {name: list(samples) for name, samples in result.metrics.items()},
    }


@dataclass(frozen=True)
class WhyReport:
    """Why a target's digest is what it is, and what stands between it and a proof."""

    label: str
    kind: str
    action_key: str
    since: str
    affected: tuple[Change, ...]
    is_affected: bool | None
    proof: Result | None
    failures: tuple[Result, ...]
    nearest: Result | None
    missing: tuple[Change, ...]
    inputs: tuple[dict[str, Any], ...]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": "nmoe-graph/why@1",
            "label": self.label,
            "kind": self.kind,
            "action_key": self.action_key,
            "since": self.since or None,
            "affected": self.is_affected,
            "reasons": [change.to_dict() for change in self.affected],
            "proven": self.proof is not None,
            "proof": result_dict(self.proof) if self.proof else None,
            "failures": [result_dict(result) for result in self.failures],
            "nearest": result_dict(self.nearest) if self.nearest else None,
            "missing": [change.to_dict() for change in self.missing],
            "inputs": list(self.inputs),
            "notes": list(self.notes),
        }

    def _repr_html_(self) -> str:
        """What changed, where something did; else what it is made of.  The caption says whether it is proven."""
        state = ""
        if self.kind in ("gate", "action"):
            state = ": proven" if self.proof is not None else ": not proven"
        if self.is_affected is not None:
            state += f", {'affected' if self.is_affected else 'not affected'} since {self.since}"
        caption = self.label + state
        if changes := self.affected if self.is_affected else self.missing:
            return table(["why", "through"], [[change.words(), " -> ".join(change.via)] for change in changes], caption)
        rows = [["note", note] for note in self.notes]
        rows += [[f"ran and {one.verdict.value}", one.reason] for one in self.failures[-3:]]
        for item in self.inputs[:60]:
            rows.append([item["path"] or ".", item["why"] + (f" via {' -> '.join(item['via'])}" if item["via"] else "")])
        return table(["input", "why"], rows, caption)


@dataclass(frozen=True)
class GateOutcome:
    """One gate of a build."""

    label: str
    verdict: Verdict
    cached: bool
    reason: str
    action_key: str
    commit: str | None
    duration_s: float = 0.0
    started: str = ""
    attempts: int = 0
    means: str = ""
    proven: bool = False
    log_digest: str = ""
    perf: Mapping[str, Any] | None = None  # the figures of a perf gate

    def to_dict(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "verdict": self.verdict.value,
            "cached": self.cached,
            "proven": self.proven,
            "reason": self.reason,
            "action_key": self.action_key,
            "commit": self.commit,
            "duration_s": round(self.duration_s, 3),
            "started": self.started,
            "attempts": self.attempts,
            "sandbox": self.means,
            "log": self.log_digest,
            **({"perf": dict(self.perf)} if self.perf is not None else {}),
        }


@dataclass(frozen=True)
class BuildReport:
    """What a build came to.  `verdict` is passed only if every gate is proven; an empty build proves nothing."""

    gates: tuple[GateOutcome, ...]
    exit_code: int
    trusted: str = ""  # the commit whose definitions counts, where it is not the snapshot's own
    control_plane: tuple[ControlChange, ...] = ()  # what of the change judges it

    @property
    def verdict(self) -> Verdict:
        if self.gates and all(gate.proven for gate in self.gates):
            return Verdict.PASSED
        worst = [gate.verdict for gate in self.gates if not gate.proven]
        for verdict in (
            Verdict.CANCELLED,
            Verdict.FAILED,
            Verdict.TIMED_OUT,
            Verdict.INFRA_ERROR,
            Verdict.FLAKY,
            Verdict.INCONCLUSIVE,
        ):
            if verdict in worst:
                return verdict
        return Verdict.NOT_RUN

    def __iter__(self) -> Iterator[GateOutcome]:
        return iter(self.gates)

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": "nmoe-graph/build@1",
            "gates": [gate.to_dict() for gate in self.gates],
            "verdict": self.verdict.value,
            "trusted": self.trusted or None,
            "control_plane": [one.to_dict() for one in self.control_plane],
        }

    def _repr_html_(self) -> str:
        rows = [
            [gate.label, ("cached " if gate.cached else "") + gate.verdict.value, gate.reason, f"{gate.duration_s:.1f} s"]
            for gate in self.gates
        ]
        return table(["gate", "verdict", "reason", "time"], rows)


@dataclass(frozen=True)
class ResultsReport:
    """Stored results.  `reused` are proofs of equal action keys that were made at other commits."""

    what: str
    results: tuple[Result, ...]
    reused: tuple[Result, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": "nmoe-graph/results@1",
            "of": self.what or None,
            "results": [result_dict(result) for result in self.results],
            "reused": [result_dict(result) for result in self.reused],
        }

    def _repr_html_(self) -> str:
        rows = [
            [one.label, one.verdict.value, one.started, (one.commit or "")[:12], one.action_key[:12]]
            for one in (*self.results, *self.reused)
        ]
        return table(["gate", "verdict", "when", "commit", "key"], rows)


@dataclass(frozen=True)
class GateAudit:
    """What one gate noticed of the damages done to its inputs.  `idle` are inputs of which it noticed none."""

    label: str
    runs: int = 0
    killed: int = 0
    survived: tuple[tuple[str, str], ...] = ()  # path, what was done
    idle: tuple[str, ...] = ()
    reason: str = ""  # why it was not audited

    @property
    def vacuous(self) -> bool:
        """It was tried and noticed nothing: it cannot fail, as far as was seen."""
        return self.runs > 0 and self.killed == 0

    def to_dict(self) -> dict[str, Any]:
        survived = [{"path": path, "mutant": what} for path, what in self.survived]
        row = {"label": self.label, "runs": self.runs, "killed": self.killed, "survived": survived, "idle": list(self.idle)}
        return {**row, "vacuous": self.vacuous, "reason": self.reason}


@dataclass(frozen=True, order=True)
class AuditFinding:
    """Something that the declarations alone show."""

    label: str
    what: str


@dataclass(frozen=True)
class AuditReport:
    """Which gates can fail.  Findings are vacuous gates, and what the declarations show."""

    gates: tuple[GateAudit, ...]
    declared: tuple[AuditFinding, ...]
    seed: int

    @property
    def findings(self) -> tuple[AuditFinding, ...]:
        vacuous = [
            AuditFinding(gate.label, f"noticed none of {gate.runs} damages to its inputs: it cannot fail")
            for gate in self.gates
            if gate.vacuous
        ]
        return tuple(sorted([*vacuous, *self.declared]))

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": "nmoe-graph/audit@1",
            "seed": self.seed,
            "gates": [gate.to_dict() for gate in self.gates],
            "findings": [{"label": one.label, "message": one.what} for one in self.findings],
        }

    def _repr_html_(self) -> str:
        rows = [
            [gate.label, f"{gate.killed} of {gate.runs}" if gate.runs else gate.reason, ", ".join(gate.idle)] for gate in self.gates
        ]
        return table(["gate", "damages noticed", "inputs that never mattered"], rows)


@dataclass(frozen=True)
class LintReport:
    """Everything that is wrong, or odd, in a workspace's declarations."""

    targets: int
    faults: tuple[Fault, ...]

    def to_dict(self) -> dict[str, Any]:
        return {"schema": "nmoe-graph/lint@1", "targets": self.targets, "faults": [fault.to_dict() for fault in self.faults]}

    def _repr_html_(self) -> str:
        return table(
            ["level", "where", "what", "hint"], [[one.level, str(one.at or ""), one.what, one.hint] for one in self.faults]
        )


@dataclass(frozen=True, slots=True)
class Landed:
    """One contract: the commit that it landed as ("" where it did not), or what is missing."""

    contract: str
    title: str
    commit: str = ""
    tree: str = ""
    strategy: str = "squash"
    branch: str = ""
    deleted: bool = False
    missing: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "contract": self.contract,
            "title": self.title,
            "commit": self.commit or None,
            "tree": self.tree,
            "strategy": self.strategy,
            "branch": self.branch,
            "branch_deleted": self.deleted,
            "missing": list(self.missing),
        }


@dataclass(frozen=True)
class MergeReport:
    """What landed, and what stands in the way of the rest."""

    base_ref: str
    base: str  # the commit of the base afterwards
    rows: tuple[Landed, ...]
    dry_run: bool = False
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        return 1 if any(row.missing for row in self.rows) else 0

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": "nmoe-graph/merge@1",
            "base_ref": self.base_ref,
            "base": self.base,
            "dry_run": self.dry_run,
            "contracts": [row.to_dict() for row in self.rows],
            "notes": list(self.notes),
        }

    def _repr_html_(self) -> str:
        return table(
            ["contract", "landed as", "missing"], [[row.contract, row.commit[:12], "; ".join(row.missing)] for row in self.rows]
        )
