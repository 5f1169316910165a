"""Contracts as text: what was checked, what was synced, how far each is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import printable
from ..safe import redact
from .console import columns

if TYPE_CHECKING:
    from ..contracts.check import CheckReport
    from ..contracts.status import ContractState, StatusReport
    from ..contracts.sync import SyncReport

__all__ = ["check_text", "status_text", "sync_text"]

_MOST_LISTED = 6


def _plain(text: str, limit: int = 200) -> str:
    return printable(redact(text), limit=limit)


def check_text(report: CheckReport) -> str:
    rows = [[one.contract, one.place, one.words] for one in report.contracts]
    errors = sum(fault.level == "error" for fault in report.faults)
    count = len(report.contracts)
    fine = f"{count} {'contract' if count == 1 else 'contracts'} fine"
    tail = f"{fine}, {errors} {'error' if errors == 1 else 'errors'}"
    return "\n".join(filter(None, [columns(rows), tail]))


def sync_text(report: SyncReport) -> str:
    lines = []
    for change in report.changes:
        lines.append(f"{change.issue}  {change.what}  issue #{change.number}")
        lines += [f"    {_plain(line)}" for line in change.diff]
    count = len(report.issues)
    where = f", at {report.commit[:12]}" if report.commit else ""
    changed = f"{len(report.changes)} changed{where}" if report.changes else "nothing changed"
    lines.append(f"{count} {'contract' if count == 1 else 'contracts'} of the issues, {changed}")
    return "\n".join(lines)


def status_text(report: StatusReport) -> str:
    """A row a contract; below it what keeps it from landing, and what to do next."""
    lines = []
    for one in report.contracts:
        lines.append(columns([[one.contract, _plain(one.title, 60), *_facts(one)]]))
        lines += [f"    {line}" for line in _troubles(one)]
        lines.append(f"    next: {_plain(one.next)}")
    return "\n".join(lines) if lines else "no contracts"


def _facts(one: ContractState) -> list[str]:
    if one.landed:
        return ["landed"]
    if not one.branch:
        return ["no branch"]
    found = [f"{one.branch} at {one.commit[:12]}, {one.commits} {'commit' if one.commits == 1 else 'commits'}"]
    if one.pull:
        found.append(f"#{one.pull} {one.pull_state}")
    found.append("in scope" if not one.out_of_scope else f"{len(one.out_of_scope)} out of scope")
    for tier in ("a", "b"):
        proofs = [proof for proof in one.proofs if proof.tier == tier]
        if proofs:
            found.append(f"tier {tier} {sum(proof.proven for proof in proofs)}/{len(proofs)}")
    return found


def _troubles(one: ContractState) -> list[str]:
    lines = [f"waits for {', '.join(one.waits_for)}"] if one.waits_for and not one.landed else []
    lines += [f"out of scope: {_plain(path)} ({what})" for path, what in one.out_of_scope[:_MOST_LISTED]]
    if len(one.out_of_scope) > _MOST_LISTED:
        lines.append(f"... and {len(one.out_of_scope) - _MOST_LISTED} more paths")
    lines += [f"commit {_plain(text)}" for text in one.odd_commits[:_MOST_LISTED]]
    lines += [f"not proven: {proof.gate} ({_plain(proof.by)})" for proof in one.proofs if not proof.proven]
    lines += [
        f"invariant {said.state}{f' by {said.gate}' if said.gate else ''}: {_plain(said.text, 100)}" for said in one.invariants
    ]
    return lines
