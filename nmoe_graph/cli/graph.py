"""nmoe-graph graph"""

from __future__ import annotations

import argparse
import sys

from ..report.console import json_text, show
from ..report.drawing import dot, graph_text, mermaid
from ..workspace import Workspace


def run(options: argparse.Namespace) -> int:
    graph = Workspace.open(options.directory).graph(options.at)
    labels = graph.closure(graph.select(options.labels)) if options.labels else list(graph.targets)
    if options.format == "json":
        document = graph.to_dict()
        kept = {str(label) for label in labels}
        document["targets"] = [row for row in document["targets"] if row["label"] in kept]
        show(json_text(document))
    elif options.format == "label":
        sys.stdout.write("".join(f"{label}\n" for label in sorted(map(str, labels))))
    elif options.format in ("dot", "mermaid"):
        sys.stdout.write((dot if options.format == "dot" else mermaid)(graph, labels) + "\n")
    else:
        show(graph_text(graph, labels))
    return 0
