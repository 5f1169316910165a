"""nmoe-graph plan-merges"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ..errors import UsageError, printable
from ..report.console import json_text, plan_text, probe_text, show
from ..workspace import Workspace


def run(options: argparse.Namespace) -> int:
    workspace = Workspace.open(options.directory)
    branches, risks = pairs("--branch", "REF", options.branch), _risks(options.risk)
    if options.after_failure is not None:
        train = [one for one in options.after_failure.split(",") if one]
        probe = workspace.after_failure(train, branches=branches, base=options.base, at=options.at, risks=risks)
        show(json_text(probe.to_dict()) if options.format == "json" else probe_text(probe))
        return 0
    plan = workspace.plan_merges(
        options.contracts,
        branches=branches,
        base=options.base,
        at=options.at,
        risks=risks,
        objective=options.objective,
        runners=options.runners,
        max_batch=options.max_batch,
    )
    show(json_text(plan.to_dict()) if options.format == "json" else plan_text(plan))
    return 0


def pairs(flag: str, value: str, given: Sequence[str]) -> dict[str, str]:
    """`ID=VALUE` of a flag that may stand more than once."""
    found: dict[str, str] = {}
    for pair in given:
        issue, equals, ref = pair.partition("=")
        if not (issue and equals and ref):
            raise UsageError(f"{flag} {printable(pair, limit=80)} is not ID={value}")
        if issue in found:
            raise UsageError(f"{flag} names contract {printable(issue, limit=40)} twice")
        found[issue] = ref
    return found


def _risks(given: Sequence[str]) -> dict[str, float]:
    found = {}
    for issue, text in pairs("--risk", "P", given).items():
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 <= value < 1:
            raise UsageError(f"--risk {printable(issue, limit=40)}={printable(text, limit=40)}: a chance from 0 to below 1")
        found[issue] = value
    return found
