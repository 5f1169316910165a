"""nmoe-graph plan-merges"""

from __future__ import annotations

import argparse

from ..errors import UsageError, printable
from ..report.console import json_text, plan_text, show
from ..workspace import Workspace


def run(options: argparse.Namespace) -> int:
    branches: dict[str, str] = {}
    for pair in options.branch:
        issue, equals, ref = pair.partition("=")
        if not (issue and equals and ref):
            raise UsageError(f"--branch {printable(pair, limit=80)} is not ID=REF")
        if issue in branches:
            raise UsageError(f"--branch names contract {printable(issue, limit=40)} twice")
        branches[issue] = ref
    plan = Workspace.open(options.directory).plan_merges(options.contracts, branches=branches, base=options.base, at=options.at)
    show(json_text(plan.to_dict()) if options.format == "json" else plan_text(plan))
    return 0
