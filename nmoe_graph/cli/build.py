"""nmoe-graph build"""

from __future__ import annotations

import argparse
import sys

from ..answers import GateOutcome
from ..errors import printable
from ..report.console import build_text, json_text, short, show
from ..workspace import Workspace


class _Talk:
    """Progress on stderr, a line an event."""

    def _say(self, text: str) -> None:
        sys.stderr.write(printable(text) + "\n")
        sys.stderr.flush()

    def started(self, label: str) -> None:
        self._say(f"running {short(label)}")

    def waiting(self, label: str) -> None:
        self._say(f"waiting for {short(label)}, which another build is proving")

    def finished(self, outcome: GateOutcome) -> None:
        if outcome.attempts and not outcome.cached:
            self._say(f"{outcome.verdict.value} {short(outcome.label)} in {outcome.duration_s:.1f} s")

    def warn(self, text: str) -> None:
        self._say(f"warning: {text}")


def run(options: argparse.Namespace) -> int:
    workspace = Workspace.open(options.directory)
    report = workspace.build(
        options.labels,
        options.at,
        keep_going=options.keep_going,
        jobs=options.jobs,
        dry_run=options.dry_run,
        use_cache=not options.no_cache,
        events=_Talk(),
    )
    show(json_text(report.to_dict()) if options.format == "json" else build_text(report))
    if options.format == "text":
        for gate in report.gates:
            if gate.log_digest and not gate.proven:
                sys.stderr.write(f"hint: nmoe-graph log {short(gate.label)}\n")
    return report.exit_code
