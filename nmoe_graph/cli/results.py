"""nmoe-graph results"""

from __future__ import annotations

import argparse

from ..report.console import json_text, results_text, show
from ..workspace import Workspace


def run(options: argparse.Namespace) -> int:
    report = Workspace.open(options.directory).results(options.what, options.at)
    show(json_text(report.to_dict()) if options.format == "json" else results_text(report))
    return 0
