"""nmoe-graph merge"""

from __future__ import annotations

import argparse
import re
import sys
from contextlib import nullcontext

from ..errors import UsageError
from ..report.console import json_text, merge_text, show, tell
from ..report.progress import progress
from ..workspace import Workspace
from .plan_merges import pairs


def _github(options: argparse.Namespace) -> int:
    if options.train or options.prove or options.branch or options.base:
        raise UsageError("--github lands pull requests one by one: no --train, --prove, --branch or --base")
    head = options.match_head or ""
    if options.match_head is not None and (len(options.contracts) != 1 or not re.fullmatch(r"[0-9a-f]{7,40}", head)):
        raise UsageError("--match-head SHA goes with one contract", hint="SHA is 7 to 40 digits of the head that you have read")
    workspace = Workspace.open(options.directory)
    workspace.say = tell
    report = workspace.pulls(options.remote, options.repository).land(
        options.contracts, dry_run=options.dry_run, exact=options.exact, head=head
    )
    show(json_text(report.to_dict()) if options.format == "json" else merge_text(report))
    return report.exit_code


def run(options: argparse.Namespace) -> int:
    if options.github:
        return _github(options)
    if options.match_head is not None:
        raise UsageError("--match-head is about a pull request, and goes with --github")
    if options.exact:
        raise UsageError("--exact is a way to land on GitHub, and goes with --github", hint="a local landing is always exact")
    with progress() if options.prove else nullcontext() as events:
        report = Workspace.open(options.directory).merge(
            options.contracts,
            train=options.train,
            dry_run=options.dry_run,
            prove=options.prove,
            branches=pairs("--branch", "REF", options.branch),
            base=options.base,
            events=events,
        )
    show(json_text(report.to_dict()) if options.format == "json" else merge_text(report))
    if (
        options.format == "text"
        and not options.prove
        and any(one.startswith("not proven") for row in report.rows for one in row.missing)
    ):
        sys.stderr.write("hint: --prove runs what is missing, at the tree that would land\n")
    return report.exit_code
