"""nmoe-graph affected"""

from __future__ import annotations

import argparse
import sys

from ..errors import render_faults
from ..report.console import affected_text, json_text, show
from ..workspace import Workspace


def run(options: argparse.Namespace) -> int:
    kinds = [kind.strip() for kind in options.kind.split(",") if kind.strip()]
    report = Workspace.open(options.directory).affected(options.since, options.at, kinds)
    if report.warnings:
        sys.stderr.write(render_faults(report.warnings) + "\n")
    if options.format == "json":
        show(json_text(report.to_dict()))
    elif options.format == "label":
        sys.stdout.write("".join(f"{label}\n" for label in report.labels()))
    else:
        show(affected_text(report))
    return 0
