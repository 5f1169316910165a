"""nmoe-graph why"""

from __future__ import annotations

import argparse

from ..report.console import json_text, show, why_text
from ..workspace import Workspace


def run(options: argparse.Namespace) -> int:
    report = Workspace.open(options.directory).why(options.label, options.since, options.at)
    show(json_text(report.to_dict()) if options.format == "json" else why_text(report))
    return 0
