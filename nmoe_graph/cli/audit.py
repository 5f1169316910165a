"""nmoe-graph audit"""

from __future__ import annotations

import argparse
import sys

from ..report.console import audit_text, json_text, show
from ..workspace import Workspace


def run(options: argparse.Namespace) -> int:
    report = Workspace.open(options.directory).audit(
        options.labels or ["//..."],
        options.at,
        budget=options.budget,
        seed=options.seed,
        jobs=options.jobs,
        say=lambda text: print(text, file=sys.stderr),  # noqa: T201
    )
    show(json_text(report.to_dict()) if options.format == "json" else audit_text(report))
    return 1 if report.findings else 0
