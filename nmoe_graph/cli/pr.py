"""nmoe-graph pr create | verify | update"""

from __future__ import annotations

import argparse
import sys

from ..errors import printable
from ..pulls.desk import PullMade
from ..report.console import json_text, show, tell
from ..report.pulls import made_text, pull_text
from ..safe import redact
from ..workspace import Workspace


def run(options: argparse.Namespace) -> int:
    workspace = Workspace.open(options.directory)
    workspace.say = tell
    desk = workspace.pulls(options.remote, options.repository)
    if options.action == "verify":
        report = desk.verify(options.number, tiers=options.tier, base=options.base, report=options.report)
        show(json_text(report.to_dict()) if options.format == "json" else pull_text(report))
        for note in report.notes if options.format == "text" else ():
            sys.stderr.write(f"note: {printable(redact(note), limit=600)}\n")
        return report.exit_code
    if options.action == "create":
        made = desk.create(options.contract, base=options.base, draft=options.draft)
    else:
        made = desk.update(options.number, base=options.base)
    return _made(made, options.format)


def _made(made: PullMade, form: str) -> int:
    show(json_text(made.to_dict()) if form == "json" else made_text(made))
    for note in made.notes:
        sys.stderr.write(f"note: {printable(redact(note), limit=600)}\n")
    for reason in made.unproven:
        sys.stderr.write(f"error: {printable(redact(reason), limit=600)}\n")
    if made.unproven:
        sys.stderr.write("hint: nothing is pushed or written that is not proven; nmoe-graph build, or nmoe-graph results pull\n")
    return made.exit_code
