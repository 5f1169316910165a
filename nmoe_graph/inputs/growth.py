"""What a closure gains where files import more than before: only what is new is followed.

Imports that come in can only add files and shorten chains.  So the files that a target imports are found from those that it
imported before, as long as nothing but imports came in; everything else is refused, and the closure is followed whole.  The
answer is the one that the whole would have given, chains included (a law in `tests/property` compares them).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from .closure import World, _Follower, _Resolver, _Step
from .imports import Fact

__all__ = ["added_imports", "grown"]

#: Reasons of rows that stand for files which were followed (a file of the second kind only where it counts by meaning).
_IMPORTED, _NAMED = "imported", "named by the command"


class Rows(Protocol):
    """Rows of a manifest by path: path, mode, form, digest, reason, labels, the input that needs it."""

    def get(self, path: str, missing: Any = None) -> Any: ...


def _single(facts: Sequence[Fact]) -> set[Fact]:
    """The facts, an imported name each."""
    found: set[Fact] = set()
    for fact in facts:
        found.update((*fact[:3], name) for name in fact[3:]) if fact[0] == "from" and len(fact) > 3 else found.add(fact)
    return found


def added_imports(before: Sequence[Fact], after: Sequence[Fact]) -> list[Fact] | None:
    """The imports by which a file's facts differ; None where anything is gone, or anything else came in."""
    old, new = _single(before), _single(after)
    added = new - old
    if not old <= new or any(fact[0] not in ("import", "from") or "*" in fact[3:] for fact in added):
        return None
    return sorted(added, key=repr)


class _Growth:
    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.depths: dict[str, int] = {"": 0}  # as they were, where somebody asked
        self.now: dict[str, int] = {}  # of files that came in or came nearer
        self.parents: dict[str, str] = {}

    def followed(self, path: str) -> bool:
        row = self.rows.get(path)
        return row is not None and not row[5] and (row[4] == _IMPORTED or (row[4] == _NAMED and row[2] == "meaning"))

    def depth(self, path: str) -> int | None:
        """How many imports led to a file; None where that cannot be told."""
        chain: list[str] = []
        while path not in self.depths:
            if path in chain or not self.followed(path):
                return None
            chain.append(path)
            path = self.rows.get(path)[6]
        for one in reversed(chain):
            self.depths[one] = self.depths[path] + 1
            path = one
        return self.depths[path]


def grown(
    search: Sequence[Any], rows: Rows, added: Mapping[str, Sequence[Fact]], world: World
) -> dict[str, tuple[int, str, str]] | None:
    """Mode, blob and parent of every file that comes in or gets another parent; None where the whole must be followed.

    `search` is where the target's one program looks for modules: roots, whether their order is unknown, its working folder.
    """
    roots, any_order, cwd = search
    follower = _Follower(world, _Resolver(world, tuple(roots), any_order, ()), cwd)
    growth = _Growth(rows)
    levels: dict[int, set[str]] = {}
    for path in added:
        depth = growth.depth(path)
        if depth is None:
            return None
        levels.setdefault(depth, set()).add(path)
    while levels:
        level = min(levels)
        for path in sorted(levels.pop(level)):
            if growth.now.get(path, level) < level:
                continue  # it came nearer, and was followed there
            if path in growth.now:
                step = follower.known_step(path)
            else:
                step = _Step()
                for fact in added[path]:
                    follower.follow(step, fact, path)
            if step.data or step.widened or step.roots or step.outputs or step.anything:
                return None
            for child in step.files:
                if not _arrive(growth, world, child, path, level + 1, levels):
                    return None
    found = {}
    for path, parent in growth.parents.items():
        entry = world.snapshot.entry(path)
        assert entry is not None
        found[path] = (*entry, parent)
    return found


def _arrive(growth: _Growth, world: World, child: str, parent: str, level: int, levels: dict[int, set[str]]) -> bool:
    """Note that a file needs another; False where that cannot be told from what was known."""
    known = growth.rows.get(child)
    if known is None:
        entry = world.snapshot.entry(child)
        if entry is None or entry[0] & 0o170000 != 0o100000 or not child.endswith(".py"):
            return False
    depth = growth.now.get(child)
    if depth is None and known is not None:
        depth = growth.depth(child)
        if depth is None:
            return False
    if depth is None or depth > level:
        growth.now[child], growth.parents[child] = level, parent
        levels.setdefault(level, set()).add(child)
    elif depth == level:
        # Of those that need it, at one distance, the first by path: as where the whole is followed.
        before = growth.parents.get(child) or known[6]
        if parent < before:
            growth.parents[child] = parent
    return True
