"""nmoe-graph attest"""

from __future__ import annotations

import argparse
import sys

from ..errors import printable
from ..report.console import json_text, show
from ..safe import redact
from ..workspace import Workspace


def run(options: argparse.Namespace) -> int:
    report = Workspace.open(options.directory).attest(options.contract, options.at, options.base)
    if options.format == "json":
        show(json_text(report.to_dict()))
    else:
        sys.stdout.write(report.text)
    for note in report.notes:
        sys.stderr.write(f"note: {printable(redact(note), limit=600)}\n")
    for reason in report.unproven:
        sys.stderr.write(f"error: {printable(redact(reason), limit=600)}\n")
    if report.unproven:
        sys.stderr.write("hint: nothing is written that is not proven; nmoe-graph build, or nmoe-graph results pull\n")
    return report.exit_code
