"""nmoe-graph tier-b run | approve | job | report"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ..errors import UsageError, printable
from ..report.console import json_text, show, tell
from ..report.tierb import job_text, tierb_text
from ..safe import redact
from ..tierb.desk import TierBDesk, TierBReport
from ..workspace import Workspace
from .streams import can_ask


def run(options: argparse.Namespace) -> int:
    workspace = Workspace.open(options.directory)
    workspace.say = tell
    desk = workspace.tier_b(options.remote, options.repository)
    if options.action == "job":
        engine = os.environ.get("GITHUB_SHA", "")
        report = desk.job(_dispatch(), gate_user=options.gate_user, out=Path(options.out).absolute(), engine=engine)
        show(json_text(report.to_dict()) if options.format == "json" else job_text(report))
        return report.exit_code
    if options.action == "report":
        return _shown(options, _report(desk, options))
    if options.action == "approve":
        done = desk.approve(
            options.number,
            options.bundle,
            options.gate,
            reject=options.reject,
            comment=options.comment,
            sure=lambda: options.yes or _sure(options.reject),
        )
        show(json_text(done.to_dict()) if options.format == "json" else done.notes[0])
        return 0
    found = desk.run(
        options.number,
        options.bundle,
        options.gate,
        rerun=options.rerun,
        wait=not options.no_wait,
        dry_run=options.dry_run,
        most_s=60.0 * options.timeout,
        every_s=float(options.every),
    )
    return _shown(options, found)


def _shown(options: argparse.Namespace, report: TierBReport) -> int:
    show(json_text(report.to_dict()) if options.format == "json" else tierb_text(report))
    for note in report.notes if options.format == "text" else ():
        sys.stderr.write(f"note: {printable(redact(note), limit=400)}\n")
    return report.exit_code


def _dispatch() -> str:
    text = os.environ.get("DISPATCH", "")
    if not text:
        raise UsageError("DISPATCH is not set", hint="the workflow sets it: its inputs as one JSON object")
    return text


def _report(desk: TierBDesk, options: argparse.Namespace) -> TierBReport:
    number = os.environ.get("GITHUB_RUN_ID", "")
    return desk.report(
        _dispatch(),
        Path(options.folder),
        proved=options.proved,
        key=os.environ.pop("TIER_B_SIGN_KEY", ""),  # out of reach for every process that is started from here
        token=os.environ.get("GH_TOKEN", "") if os.environ.get("GITHUB_ACTIONS") == "true" else "",
        engine=os.environ.get("GITHUB_SHA", ""),
        run_id=int(number) if number.isascii() and number.isdigit() else 0,
    )


def _sure(reject: bool) -> bool:
    if not can_ask():
        raise UsageError("nobody is there to ask", hint="--yes says that you have read the change")
    sys.stderr.write(f"{'reject' if reject else 'I have read this head, and it may run on our machine'}: yes or no? ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().casefold() == "yes"
