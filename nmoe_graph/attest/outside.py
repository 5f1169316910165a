"""A signed statement judged with nothing but what stands on the command line: keys, a commit, the gates, a contract.

Without a repository no action key can be recomputed, so the statement must be about the very commit that is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from ..errors import DeclarationError
from ..model import Contract, Gate, Verdict
from ..plan.interleaved import decide_kept
from ..statement.policy import Ring
from ..statement.statement import Statement, result_of
from .container import read_signed
from .report import VerifyLine, VerifyReport

__all__ = ["verify_outside"]


def verify_outside(
    data: bytes,
    file: str,
    ring: Ring,
    now: datetime,
    *,
    commit: str | None = None,
    gates: Mapping[str, Gate] | None = None,
    contract: Contract | None = None,
) -> VerifyReport:
    """What counts of a signed statement, line by line."""
    lines: list[VerifyLine] = []
    form = ""
    try:
        signed = read_signed(data, file)
        form = signed.form.value
        heard = signed.hear(ring, now, file)
        lines += [VerifyLine(True, voice.words) for voice in heard.voices]
        # A signature that does not count beside one that does is worth a word and no more.
        lines += [VerifyLine(None if heard.voices else False, text) for text in heard.refused]
        if not heard.voices:
            lines.append(VerifyLine(False, "no trusted signature verifies, so nothing in it is believed"))
            return VerifyReport(file, form, tuple(lines), commit)
        statement = signed.statement(file)
    except DeclarationError as error:
        lines += [VerifyLine.refused(fault) for fault in error.faults]
        return VerifyReport(file, form or "unknown", tuple(lines), commit)
    if commit is None:
        lines.append(VerifyLine(None, f"no commit was asked for: it speaks of {statement.commit}"))
    elif statement.commit == commit:
        lines.append(VerifyLine(True, f"its subject is the commit {commit}"))
    else:
        lines.append(VerifyLine(False, f"its subject is the commit {statement.commit}, and {commit} was asked for"))
    rows, proven = _gates(statement, gates, contract)
    lines += rows
    if any(line.ok is False for line in lines):
        proven = ()
    return VerifyReport(file, form, tuple(lines), statement.commit, proven)


def _gates(
    statement: Statement, gates: Mapping[str, Gate] | None, contract: Contract | None
) -> tuple[list[VerifyLine], tuple[str, ...]]:
    lines: list[VerifyLine] = []
    proven: list[str] = []
    for gate in statement.gates:
        if gates is not None and gate not in gates:
            lines.append(VerifyLine(False, f"{gate} is an unknown gate"))
        elif gates is not None and statement.run is not None and statement.run.tier != gates[gate].tier:
            lines.append(VerifyLine(False, f"{gate} is of tier {gates[gate].tier}, and the statement says {statement.run.tier}"))
        elif why := _comparison(statement, gates[gate] if gates is not None else None, contract):
            lines.append(VerifyLine(False, f"{gate}: its samples do not show that it is within the budget: {why}"))
        elif gate in statement.passed and statement.result == "PASSED":
            proven.append(gate)
            lines.append(VerifyLine(True, f"{gate} passed"))
        else:
            word = "failed" if gate in statement.failed else "passed with a warning" if gate in statement.warned else "did not pass"
            lines.append(VerifyLine(False, f"{gate} {word}: result is {statement.result}, and only a pass counts"))
    if contract is not None:
        wanted = [*contract.required, *([contract.perf.gate] if contract.perf else [])]
        if not set(wanted) & set(proven):
            lines.append(VerifyLine(False, f"it proves no gate that contract {contract.issue} requires"))
        missing = [gate for gate in wanted if gate not in proven]
        if missing:
            lines.append(
                VerifyLine(None, f"not in this statement, and required by contract {contract.issue}: {', '.join(missing)}")
            )
    return lines, tuple(proven)


def _comparison(statement: Statement, gate: Gate | None, contract: Contract | None) -> str:
    """Why the samples of a comparison do not say what the statement says; "" where they do, or where it is none."""
    result = result_of(statement)
    budget = contract.perf if contract is not None else None
    if result is None or result.verdict is not Verdict.PASSED or gate is None or gate.gate_kind != "perf" or budget is None:
        return ""
    decision = decide_kept(result, gate, budget)
    return "" if decision.verdict is Verdict.PASSED else decision.reason
