"""Tier B as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import printable
from ..safe import redact
from .console import columns, short

if TYPE_CHECKING:
    from ..tierb.desk import TierBReport
    from ..tierb.job import JobReport

__all__ = ["job_text", "tierb_text"]


def _plain(text: str, limit: int = 200) -> str:
    return printable(redact(text), limit=limit)


def tierb_text(report: TierBReport) -> str:
    """A row a gate, the ends of logs of what is not proven, then what it comes to."""
    request, run = report.resolved.request, report.run
    rows = []
    for one in report.gates:
        metrics = ", ".join(f"{name} p50 {value:g}" for name, value in one.metrics)
        rows.append([one.gate, "proven" if one.proven else "not proven", metrics, _plain(one.by)])
    lines = [columns(rows)] if rows else []
    for gate, log in sorted(report.logs.items()):
        lines.append(f"the end of the log of {gate}:")
        lines += [f"    {_plain(line, 400)}" for line in log.splitlines()[-20:]]
    if run is not None:
        lines.append(f"run {run.id}: {(run.conclusion or run.status).replace('_', ' ')}  {_plain(run.url)}")
    proven = sum(one.proven for one in report.gates)
    where = f"at the merge of {request.head_sha[:12]} into {request.base_sha[:12]}"
    lines.append(f"{request.what}: {proven} of {len(report.gates)} proven, {where}")
    return "\n".join(lines)


def job_text(report: JobReport) -> str:
    rows = [[short(label), verdict.replace("_", " "), _plain(reason)] for label, verdict, reason in report.verdicts]
    return "\n".join([*([columns(rows)] if rows else []), f"handed on in {_plain(report.out)}"])
