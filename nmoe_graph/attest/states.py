"""Gates at a commit: what of them is proven, by whose word, and else why not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..metrics import p50
from ..model import Contract, Gate
from .evidence import Evidence
from .perf import perf_line

__all__ = ["GateState", "states"]


@dataclass(frozen=True, slots=True)
class GateState:
    """A gate of a request at the merge: whether it is proven, by whose word, and else why not."""

    gate: str
    tier: str
    proven: bool
    by: str
    duration_s: float = 0.0
    metrics: tuple[tuple[str, float], ...] = ()  # name and p50 (the upper median)
    key: str = ""


def states(evidence: Evidence, gates: Sequence[Gate], contract: Contract, commit: str) -> tuple[GateState, ...]:
    """What is proven of gates at a commit, by the rules of the base."""
    found = []
    for gate in gates:
        if gate.gate_kind == "perf":
            if contract.perf is None or contract.perf.gate != gate.gate_id:
                found.append(GateState(gate.gate_id, gate.tier, False, f"contract {contract.issue} has no budget for it"))
                continue
            line, why = perf_line(evidence, contract, commit)
            proven = line is not None and line.passes
            metrics = ((line.metric, line.result),) if line is not None else ()
            found.append(GateState(gate.gate_id, gate.tier, proven, line.reason if line is not None else why, 0.0, metrics))
            continue
        key, _ = evidence.key(gate, commit)
        proof, refused = evidence.proof(gate, commit)
        if proof is None:
            found.append(GateState(gate.gate_id, gate.tier, False, "; ".join(refused[:3]), key=key))
            continue
        samples = tuple((name, p50(values)) for name, values in sorted(proof.result.metrics.items()) if values)
        found.append(GateState(gate.gate_id, gate.tier, True, proof.by, proof.result.duration_s, samples, key))
    return tuple(found)
