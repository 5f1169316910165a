"""nmoe-graph merge"""

from __future__ import annotations

import argparse

from ..report.console import json_text, merge_text, show
from ..workspace import Workspace
from .plan_merges import pairs


def run(options: argparse.Namespace) -> int:
    report = Workspace.open(options.directory).merge(
        options.contracts,
        train=options.train,
        dry_run=options.dry_run,
        prove=options.prove,
        branches=pairs("--branch", "REF", options.branch),
        base=options.base,
    )
    show(json_text(report.to_dict()) if options.format == "json" else merge_text(report))
    return report.exit_code
