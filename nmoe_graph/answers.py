"""What the workspace answers: frozen values with `to_dict()` for programs and `_repr_html_` for notebooks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .errors import Fault
from .markup import table
from .model import Result, Verdict
from .plan.affected import Affected, Change

__all__ = ["AffectedReport", "BuildReport", "GateOutcome", "LintReport", "ResultsReport", "WhyReport", "result_dict"]


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
class AffectedReport:
    """The targets whose digest differs between two snapshots.  `at` is "" for the work tree."""

    since: str
    base: str
    at: str
    commit: str | None
    targets: tuple[Affected, ...]
    warnings: tuple[Fault, ...] = ()

    def __iter__(self) -> Iterator[Affected]:
        return iter(self.targets)

    def __len__(self) -> int:
        return len(self.targets)

    def labels(self) -> list[str]:
        """The labels that exist at the newer snapshot, sorted."""
        return [one.label for one in self.targets if one.exists]

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": "nmoe-graph/affected@1",
            "since": self.since,
            "base": self.base,
            "at": self.at or None,
            "commit": self.commit,
            "targets": [one.to_dict() for one in self.targets],
            "warnings": [fault.to_dict() for fault in self.warnings],
        }

    def _repr_html_(self) -> str:
        rows = [
            [one.label, one.kind, "; ".join(change.words() for change in one.reasons), _proven(one.proven)] for one in self.targets
        ]
        return table(["target", "kind", "why", "proven"], rows, f"affected since {self.since}")


def _proven(value: bool | None) -> str:
    return "" if value is None else "yes" if value else "no"


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
        changes = self.affected if self.is_affected else self.missing
        return table(["why", "through"], [[change.words(), " -> ".join(change.via)] for change in changes], self.label)


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
        }


@dataclass(frozen=True)
class BuildReport:
    """What a build came to.  `verdict` is passed only if every gate is proven; an empty build proves nothing."""

    gates: tuple[GateOutcome, ...]
    exit_code: int

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
        return {"schema": "nmoe-graph/build@1", "gates": [gate.to_dict() for gate in self.gates], "verdict": self.verdict.value}

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
