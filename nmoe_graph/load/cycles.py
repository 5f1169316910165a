"""Cycles in a graph of names: linear, without recursion, the same answer for any order of input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

__all__ = ["cycles", "shown_cycle"]

Name = TypeVar("Name", bound=Any)


def cycles(edges: Mapping[Name, Sequence[Name]]) -> list[list[Name]]:
    """One cycle for each strongly connected knot, the smallest label first.  Iterative, linear."""
    index: dict[Name, int] = {}
    low: dict[Name, int] = {}
    stack: list[Name] = []
    on_stack: set[Name] = set()
    knots: list[set[Name]] = []
    for start in edges:
        if start in index:
            continue
        work = [(start, iter(edges[start]))]
        index[start] = low[start] = len(index)
        stack.append(start)
        on_stack.add(start)
        while work:
            node, rest = work[-1]
            for child in rest:
                if child not in edges:
                    continue
                if child not in index:
                    index[child] = low[child] = len(index)
                    stack.append(child)
                    on_stack.add(child)
                    work.append((child, iter(edges[child])))
                    break
                if child in on_stack:
                    low[node] = min(low[node], index[child])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    knot = set()
                    while True:
                        member = stack.pop()
                        on_stack.discard(member)
                        knot.add(member)
                        if member == node:
                            break
                    if len(knot) > 1 or node in edges[node]:
                        knots.append(knot)
    found = []
    for knot in sorted(knots, key=min):
        path = [min(knot)]
        seen = {path[0]: 0}
        while True:
            step = min(dep for dep in edges[path[-1]] if dep in knot)
            if step in seen:
                found.append(path[seen[step] :])
                break
            seen[step] = len(path)
            path.append(step)
    return found


def shown_cycle(names: Sequence[str]) -> str:
    """A cycle in one line, its middle left out where it is long."""
    listed = list(names)
    first = listed[0]
    if len(listed) > 12:
        listed = [*listed[:6], f"... {len(listed) - 8} more ...", *listed[-2:]]
    return " -> ".join([*listed, first])
