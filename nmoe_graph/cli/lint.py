"""nmoe-graph lint"""

from __future__ import annotations

import argparse
import sys

from ..errors import UsageError, render_faults
from ..report.console import json_text, show


def run(options: argparse.Namespace) -> int:
    if options.kind is None:
        return _workspace(options)
    if options.file is None:
        raise UsageError(f"lint {options.kind} needs a FILE", hint="without KIND and FILE the whole workspace is checked")
    from ..load.lint import lint_file

    data, faults = lint_file(options.kind, options.file, options.gates, options.contract)
    if faults:
        if options.format == "json":
            show(json_text({"schema": "nmoe-graph/lint@1", "faults": [fault.to_dict() for fault in faults[:50]]}))
        sys.stderr.write(render_faults(faults) + "\n")
        return 1
    if options.format == "json":
        show(json_text(data))
    else:
        show(f"{options.file}: fine")
    return 0


def _workspace(options: argparse.Namespace) -> int:
    from ..workspace import Workspace

    report = Workspace.open(options.directory).lint()
    if options.format == "json":
        show(json_text(report.to_dict()))
    if report.faults:
        sys.stderr.write(render_faults(report.faults) + "\n")
    if options.format == "text":
        errors = sum(fault.level == "error" for fault in report.faults)
        warnings = len(report.faults) - errors
        show(f"{report.targets} targets, {errors} errors, {warnings} warnings")
    return 1 if any(fault.level == "error" for fault in report.faults) else 0
