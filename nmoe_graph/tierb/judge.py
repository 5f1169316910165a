"""What the runner handed on, judged from the base's code on another machine; what stands is signed and shared.

Every line of the results is a claim.  One is signed only if its subject is the merge that was approved, its definition is the
base's, and its action key is the one that is computed here; what it says of its samples must fit what the gate asks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from ..attest.evidence import Asked, Evidence
from ..attest.making import Signing, entry_of
from ..attest.perf import budget_of
from ..errors import DeclarationError, counted, printable
from ..git.ledger import LedgerEntry
from ..model import Gate, Verdict
from ..statement.statement import Statement, definition_json, read_statement
from ..statement.strictjson import canonical
from .request import Request

__all__ = ["Claim", "read_claims", "sign_claims"]

_MOST_BYTES = 64 << 20
_MOST_CLAIMS = 1_000


@dataclass(frozen=True, slots=True)
class Claim:
    """One line of the results: what it says, and why it does not stand (nothing, where it does)."""

    payload: bytes
    gate: str
    verdict: str
    reason: str
    doubts: tuple[str, ...]


def read_claims(
    evidence: Evidence, request: Request, commit: str, gates: Sequence[Gate], folder: Path
) -> tuple[list[Claim], list[str]]:
    """The claims of a folder of results, and what is wrong with the folder itself."""
    path = folder / "results.jsonl"
    try:
        if path.is_symlink() or not path.is_file():
            return [], ["the runner left no results"]
        with open(path, "rb") as handle:
            data = handle.read(_MOST_BYTES + 1)
    except OSError as error:
        return [], [f"the results cannot be read: {error.strerror}"]
    lines = [line for line in data.split(b"\n") if line.strip()]
    if len(data) > _MOST_BYTES or len(lines) > _MOST_CLAIMS:
        return [], ["the results are more than any run leaves, and none was looked at"]
    known = {gate.gate_id for gate in gates}
    found, odd = [], []
    for number, line in enumerate(lines, 1):
        try:
            statement = read_statement(line, f"result {number}")
        except DeclarationError as error:
            odd.append(f"result {number} is no statement: {printable(error.faults[0].what, limit=200)}")
            continue
        gate = evidence.gate(statement.gates[0]) if len(statement.gates) == 1 else None
        if gate is None or statement.run is None:
            odd.append(f"result {number} is of no gate of the base")
            continue
        doubts = _doubts(evidence, request, commit, gate, statement)
        if gate.gate_id in known or gate.tier == "a" or not doubts:
            found.append(Claim(line, gate.gate_id, statement.run.verdict.value, statement.run.reason, tuple(doubts)))
    return found, odd


def _doubts(evidence: Evidence, request: Request, commit: str, gate: Gate, statement: Statement) -> list[str]:
    run = statement.run
    assert run is not None
    found = []
    if statement.commit != commit or statement.tree != request.merged_tree:
        found.append("it speaks of another commit than the merge that was approved")
    found += evidence.subject_doubts(statement)
    if run.label != str(gate.label):
        found.append(f"it speaks of {printable(run.label, limit=80)}")
    if run.namespace != "trusted" or run.base != request.base_sha:
        found.append("it does not go by the definitions of the base")
    if run.definition != sha256(canonical(definition_json(gate))).hexdigest():
        found.append("its definition is not the base's")
    if gate.gate_kind == "perf":
        if budget_of(evidence, gate, commit, run.action_key) is None:
            found.append("its key is that of no contract's budget")
    else:
        key, why = evidence.key(gate, commit)
        if run.action_key != key:
            found.append(f"its action key is not the one that is due: {why or key[:16]}")
    if run.verdict is Verdict.PASSED:
        found += _missing(gate, dict(run.metrics))
    return found


def _missing(gate: Gate, metrics: dict[str, tuple[float, ...]]) -> list[str]:
    """What a pass must have left behind and did not."""
    found = []
    for key, least in gate.expects:
        kind, _, name = key.partition(".")
        if kind == "samples" and isinstance(least, int) and len(metrics.get(name, ())) < least:
            found.append(f"{counted(len(metrics.get(name, ())), 'sample')} of {name}, and {least} are due")
        elif kind == "finite" and not metrics.get(name):
            found.append(f"no sample of {name}")
    return found


def sign_claims(workspace: Asked, claims: Sequence[Claim], signing: Signing) -> list[LedgerEntry]:
    """The envelopes of the claims that stand, ready for the ledger.

    Raises:
        UsageError, HostError: the key cannot be used.
    """
    return [entry_of(signing.sign(one.payload), f"the result of {one.gate}") for one in claims if not one.doubts]
