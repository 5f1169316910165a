"""nmoe-graph query"""

from __future__ import annotations

import argparse
import sys

from ..asking.affected import ALL_KINDS
from ..errors import UsageError
from ..report.console import columns, json_text, show
from ..workspace import Workspace


def run(options: argparse.Namespace) -> int:
    kinds = set(ALL_KINDS if options.kind == "all" else options.kind.split(","))
    if unknown := kinds - set(ALL_KINDS):
        raise UsageError(f"there is no kind {sorted(unknown)[0]}", hint=f"kinds: all, {', '.join(ALL_KINDS)}")
    words = list(options.words)
    what = words.pop(0) if words[0] in ("deps", "rdeps") else ""
    if not words:
        raise UsageError(f"query {what} needs a label")
    graph = Workspace.open(options.directory).graph(options.at)
    labels = graph.select(words)
    if what:
        back = graph.reverse() if what == "rdeps" else None
        if options.direct:
            found = {step for label in labels for step in (back[label] if back is not None else graph.deps(label))}
        else:
            found = set(graph.closure(labels, reverse=what == "rdeps")) - set(labels)
        labels = sorted(found)
    labels = [label for label in labels if graph.targets[label].kind in kinds]
    if options.format == "json":
        rows = [{"label": str(label), "kind": graph.targets[label].kind} for label in labels]
        show(json_text({"schema": "nmoe-graph/query@1", "targets": rows}))
    elif options.format == "label":
        sys.stdout.write("".join(f"{label}\n" for label in sorted(map(str, labels))))
    elif labels:
        show(columns([[label.short, graph.targets[label].kind] for label in labels]))
    return 0
