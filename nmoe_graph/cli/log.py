"""nmoe-graph log"""

from __future__ import annotations

import argparse
import sys

from ..answers import result_dict
from ..report.console import json_text, safe_lines, short, show
from ..workspace import Workspace


def run(options: argparse.Namespace) -> int:
    found = Workspace.open(options.directory).log(options.label, options.at)
    if found is None:
        sys.stderr.write(f"no log of {short(options.label)} is stored; it has not run here\n")
        return 1
    result, log = found
    if options.format == "json":
        document = {"schema": "nmoe-graph/log@1", "result": result_dict(result), "text": safe_lines(log)}
        show(json_text(document))
    elif options.raw:
        sys.stdout.buffer.write(log)
        sys.stdout.buffer.flush()
    else:
        sys.stderr.write(f"{short(result.label)} {result.verdict.value} {result.started}\n")
        sys.stdout.write(safe_lines(log))
    return 0
