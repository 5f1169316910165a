"""nmoe-graph build"""

from __future__ import annotations

import argparse
import sys

from ..errors import printable
from ..plan.control import control_words
from ..report.console import build_text, json_text, short, show, tell
from ..report.progress import progress
from ..workspace import Workspace


def run(options: argparse.Namespace) -> int:
    workspace = Workspace.open(options.directory)
    workspace.say = tell
    with progress() as events:
        report = workspace.build(
            options.labels,
            options.at,
            keep_going=options.keep_going,
            jobs=options.jobs,
            dry_run=options.dry_run,
            use_cache=not options.no_cache,
            events=events,
            trusted=options.trusted,
            executor=options.executor,
        )
    show(json_text(report.to_dict()) if options.format == "json" else build_text(report))
    if report.control_plane:
        sys.stderr.write(f"note: {printable(control_words(report.control_plane))}; judged by the rules of {report.trusted[:12]}\n")
    if options.format == "text":
        for gate in report.gates:
            if gate.log_digest and not gate.proven:
                sys.stderr.write(f"hint: nmoe-graph log {short(gate.label)}\n")
    return report.exit_code
