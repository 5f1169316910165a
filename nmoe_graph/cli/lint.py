"""nmoe-graph lint"""

from __future__ import annotations

import argparse
import sys

from ..errors import UsageError, counted, render_faults
from ..report.console import embeddable, json_text, show
from .streams import read_file


def run(options: argparse.Namespace) -> int:
    if options.kind is None:
        return _workspace(options)
    if options.file is None:
        raise UsageError(f"lint {options.kind} needs a FILE", hint="without KIND and FILE the whole workspace is checked")
    if options.kind == "log":
        return _log(options)
    from ..load.lint import MOST_BYTES, lint_file

    given = read_file("-", MOST_BYTES) if options.file == "-" else None
    data, faults = lint_file(options.kind, options.file, options.gates, options.contract, data=given)
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
        show(", ".join([counted(report.targets, "target"), counted(errors, "error"), counted(warnings, "warning")]))
    return 1 if any(fault.level == "error" for fault in report.faults) else 0


def _log(options: argparse.Namespace) -> int:
    """What a log becomes where it is shown, and the samples that are read from it."""
    from ..excerpt import excerpt, fenced
    from ..metrics import guess_log, p50, read_log
    from .safe import read_bytes

    data = read_bytes(options.file)
    if options.gate:
        from ..load.lint import gate_patterns

        samples = read_log(data, gate_patterns(options.gates, options.gate))
    else:
        samples = guess_log(data)
    text = excerpt(data, most=20_000)
    sound = samples.sound()
    if options.format == "json":
        document = {
            "schema": "nmoe-graph/lint-log@1",
            "bytes": len(data),
            "text": text,
            "markdown": fenced(text),
            "metrics": [
                {"name": name, "p50": p50(listed), "count": len(listed), "samples": list(listed[:1000])}
                for name, listed in sound.items()
            ],
            "refused": [{"line": one.line, "metric": one.metric, "why": one.why} for one in samples.refused[:200]],
        }
        show(embeddable(json_text(document)))
        return 0
    show(text)
    for name, listed in sound.items():
        sys.stderr.write(f"{name}: {counted(len(listed), 'sample')}, p50 {p50(listed):g}\n")
    for refused in samples.refused[:50]:
        sys.stderr.write(f"line {refused.line}: a sample of {refused.metric} {refused.why}, so it has none\n")
    return 0
