"""Attestations: the block of a pull request, held against the gates and the contract that it answers.

Here it is judged as a text: form, consistency, and claims that a text cannot make.  Whether the gates really passed is for
recorded results to say.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StrictStr

from ..errors import did_you_mean
from ..model import Contract
from .fields import Ids, IssueId, LineText, Model, Number
from .gates import GatesFile
from .text import Reading

__all__ = ["attestation_data"]

_SHA = re.compile(r"[0-9a-f]{7,40}\Z", re.ASCII)
#: Figures are written rounded: a difference of this many percentage points is no lie.
_ROUNDING_PCT = 0.06


def _sha(value: str) -> str:
    if "<" in value or ">" in value:
        raise ValueError("the placeholder was not filled in")
    if not _SHA.match(value):
        raise ValueError("is no commit: 7 to 40 hex digits are due || a full SHA, not a branch")
    return str(value)


Sha = Annotated[StrictStr, AfterValidator(_sha)]


class _Header(Model):
    issue: IssueId
    baseline_sha: Sha
    pr_sha: Sha
    risk: Literal["hot", "warm", "cold"]


class _Passed(Model):
    tier_a: Annotated[list[LineText], Field(max_length=200), Ids]
    tier_b: Annotated[list[LineText], Field(max_length=200), Ids] = []


class _Perf(Model):
    gate: LineText
    metric: LineText
    baseline: Number
    result: Number
    delta_pct: Number
    budget_pct: Number
    status: Literal["pass", "fail"]


class _Attestation(Model):
    nmoe_pr: _Header
    gates_passed: _Passed
    perf: _Perf | None = None


def attestation_data(
    reading: Reading, gates: GatesFile | None, contract: Contract | None, evidence_follows: bool = False
) -> dict[str, Any]:
    """The block as JSON-ready data.  Where the caller holds every claim against results, a claim of tier b is no fault yet.

    Raises:
        DeclarationError: with every fault.
    """
    reading.check_public(comments=True)
    if not isinstance(reading.data, dict):
        reading.fault((), "an attestation is a mapping with the keys nmoe_pr, gates_passed and perf")
        reading.raise_faults()
    made = reading.validate(_Attestation, reading.data)
    reading.raise_faults()
    said: _Attestation = made
    if contract is not None:
        _against_contract(reading, said, contract)
    if gates is not None:
        _against_gates(reading, said, gates)
    for index, gate in enumerate(() if evidence_follows else said.gates_passed.tier_b):
        reading.fault(
            ("gates_passed", "tier_b", index),
            f"tier_b claims {gate}, and a claim in a text is no evidence: it is unverified",
            "leave tier_b empty; signed results of the runner fill it",
        )
    if said.perf is not None:
        _perf(reading, said.perf, contract)
    reading.raise_faults()
    return said.model_dump(exclude_unset=True)


def _against_contract(reading: Reading, said: _Attestation, contract: Contract) -> None:
    header = said.nmoe_pr
    if header.issue != contract.issue:
        reading.fault(("nmoe_pr", "issue"), f"issue is {header.issue}, and the contract is {contract.issue}")
    if header.risk != contract.risk:
        reading.fault(
            ("nmoe_pr", "risk"), f"risk is {header.risk}, and the contract says {contract.risk}", f"write {contract.risk}"
        )
    if contract.perf is not None and said.perf is None:
        reading.fault((), f"perf is missing, and the contract asks for {contract.perf.gate}")
    if said.perf is not None and contract.perf is not None:
        for key, is_, due in (
            ("gate", said.perf.gate, contract.perf.gate),
            ("metric", said.perf.metric, contract.perf.metric),
            ("budget_pct", float(said.perf.budget_pct), contract.perf.budget_pct),
        ):
            if is_ != due:
                reading.fault(("perf", key), f"perf.{key} is {is_}, and the contract says {due}")


def _against_gates(reading: Reading, said: _Attestation, gates: GatesFile) -> None:
    known = gates.by_id()
    for tier, listed in (("a", said.gates_passed.tier_a), ("b", said.gates_passed.tier_b)):
        for index, gate in enumerate(listed):
            at = ("gates_passed", f"tier_{tier}", index)
            if gate not in known:
                reading.fault(at, f"unknown gate {gate}", did_you_mean(gate, known))
            elif known[gate].tier != tier:
                reading.fault(at, f"{gate} is of tier {known[gate].tier}, not {tier}")


def _perf(reading: Reading, perf: _Perf, contract: Contract | None) -> None:
    for key in ("baseline", "result"):
        if getattr(perf, key) <= 0:
            reading.fault(("perf", key), f"perf.{key} must be above zero")
            return
    delta = (perf.result - perf.baseline) / perf.baseline * 100
    if abs(delta - perf.delta_pct) > max(_ROUNDING_PCT, abs(delta) * 0.005):
        what = f"perf.delta_pct is {perf.delta_pct}, and baseline and result give {delta:.2f}"
        reading.fault(("perf", "delta_pct"), what, "delta_pct = (result - baseline) / baseline * 100")
    # budget_pct -10 on a higher-is-better metric: at most 10 % lower.  +x bounds growth of a lower-is-better one.
    within = delta >= perf.budget_pct if perf.budget_pct <= 0 else delta <= perf.budget_pct
    if (perf.status == "pass") != within:
        due = "pass" if within else "fail"
        reading.fault(
            ("perf", "status"), f"perf.status is {perf.status}, and a delta of {delta:.2f} % against {perf.budget_pct} % is a {due}"
        )
