"""The graph as DOT and as Mermaid, for GitHub and for tools.  Names are quoted for the language they are put into."""

from __future__ import annotations

from collections.abc import Iterable

from ..graph.graph import Graph
from ..label import Label

__all__ = ["dot", "graph_text", "mermaid"]

_SHAPES = {
    "files": "folder",
    "python": "component",
    "action": "cds",
    "gate": "box",
    "bundle": "tab",
    "contract": "note",
    "merge": "ellipse",
}


def _edges(graph: Graph, labels: Iterable[Label]) -> list[tuple[Label, Label]]:
    kept = set(labels)
    return [(label, dep) for label in sorted(kept) for dep in graph.deps(label) if dep in kept]


def dot(graph: Graph, labels: Iterable[Label]) -> str:
    """Graphviz: an arrow goes from a target to what it needs."""
    chosen = sorted(labels)

    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    lines = [f"digraph {quoted(graph.workspace.name)} {{", "  rankdir=LR;"]
    lines += [f"  {quoted(label.short)} [shape={_SHAPES[graph.targets[label].kind]}];" for label in chosen]
    lines += [f"  {quoted(one.short)} -> {quoted(two.short)};" for one, two in _edges(graph, chosen)]
    return "\n".join([*lines, "}"])


def mermaid(graph: Graph, labels: Iterable[Label]) -> str:
    """A Mermaid flowchart, as GitHub renders it in a fenced block."""
    chosen = sorted(labels)
    names = {label: f"n{index}" for index, label in enumerate(chosen)}
    lines = ["flowchart LR"]
    for label in chosen:
        text = label.short.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
        lines.append(f'  {names[label]}["{text}"]')
    lines += [f"  {names[one]} --> {names[two]}" for one, two in _edges(graph, chosen)]
    return "\n".join(lines)


def graph_text(graph: Graph, labels: Iterable[Label]) -> str:
    """A line a target: its name, its kind, what it needs."""
    from .console import columns

    rows = []
    for label in sorted(labels):
        needs = " ".join(dep.short for dep in graph.deps(label))
        rows.append([label.short, graph.targets[label].kind, f"needs {needs}" if needs else ""])
    return columns(rows)
