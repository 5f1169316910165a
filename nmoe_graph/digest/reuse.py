"""What of one tree's analysis still holds at another: exact, and found from the difference of the two trees alone.

A target's digest is a function of its declaration and of what was asked of the snapshot (its trace).  Where neither the
declaration nor any answer differs, the digest is the same, and nothing need be read to know it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from posixpath import dirname

from ..git.objects import EMPTY_TREE, TREE, Objects
from ..git.snapshot import Trace
from ..inputs.names import NATIVE, STANDARD

__all__ = ["Moved", "Witness", "moved"]

#: A folder of which this many names were looked up counts as a whole: a shorter witness, and never a wrong one.
_MANY = 8


@dataclass(frozen=True, slots=True)
class Witness:
    """A trace made short: paths that were looked up, folders below which everything counts, files that were read."""

    looked: frozenset[str]
    whole: frozenset[str]
    read: frozenset[str] = frozenset()

    @classmethod
    def of(cls, trace: Trace) -> Witness:
        """The root is never made whole: then every change would hit."""
        counts: dict[str, int] = {}
        for path, there in trace.looked.items():
            if there and path:
                folder = dirname(path)
                counts[folder] = counts.get(folder, 0) + 1
        whole = trace.whole | {folder for folder, count in counts.items() if folder and count > _MANY}
        whole = {path for path in whole if not any(above in whole for above in _above(path))}
        looked = {path for path in trace.looked if path not in whole and not any(above in whole for above in _above(path))}
        return cls(frozenset(looked), frozenset(whole), frozenset(trace.read))

    @staticmethod
    def same(kept: Sequence[Iterable[str]], change: Moved) -> bool:
        """Whether every answer is the same on both sides; the witness is given as `to_json` wrote it."""
        looked, whole, _ = kept
        if change.unsettling:
            return False
        return change.paths.isdisjoint(looked) and change.touched.isdisjoint(whole)

    @staticmethod
    def hits(kept: Sequence[Iterable[str]], change: Moved) -> frozenset[str] | None:
        """The differing paths that the witness asked about; None where the bytes of one of them were read."""
        if change.unsettling:
            return None
        looked, whole, read = (frozenset(part) for part in kept)
        hit = {path for path in change.paths if path in looked or path in whole or any(above in whole for above in _above(path))}
        return frozenset(hit) if hit.isdisjoint(read) else None

    def to_json(self) -> list[list[str]]:
        return [sorted(self.looked), sorted(self.whole), sorted(self.read)]


@dataclass(frozen=True, slots=True)
class Moved:
    """What differs between two trees: leaves, and folders that only one of them has; `touched` adds all folders above."""

    paths: frozenset[str]
    touched: frozenset[str]
    unsettling: bool = False  # what came or went is looked for in every folder, and so stands in no trace

    def any_named(self, name: str) -> bool:
        return any(path == name or path.endswith("/" + name) for path in self.paths)


def _above(path: str) -> list[str]:
    """The folders above a path, the root ("") included; of the root, none."""
    found = []
    while path:
        path = dirname(path)
        found.append(path)
    return found


def moved(objects: Objects, old: str, new: str, most: int = 50_000) -> Moved | None:
    """The difference of two trees, or None where it is so large that nothing is gained by knowing it."""
    paths: set[str] = set()
    pending = [("", old, new)]
    unsettling = False
    while pending:
        prefix, one, two = pending.pop()
        before, after = objects.tree(one), objects.tree(two)
        unsettling = unsettling or any(_unsettles(name) for name in before.keys() ^ after.keys())
        for name in before.keys() | after.keys():
            was, now = before.get(name), after.get(name)
            if was == now:
                continue
            path = f"{prefix}{name}"
            was_tree = was is not None and was[0] == TREE
            now_tree = now is not None and now[0] == TREE
            if not (was_tree and now_tree):
                paths.add(path)
            if was_tree or now_tree:
                sides = (was[1] if was and was_tree else EMPTY_TREE, now[1] if now and now_tree else EMPTY_TREE)
                pending.append((path + "/", *sides))
        if len(paths) > most:
            return None
    return Moved(frozenset(paths), frozenset(_and_above(paths)), unsettling)


def _unsettles(name: str) -> bool:
    """Native modules, and names that stand in for the standard library's: inference lists folders for them."""
    return name.endswith(NATIVE) or name.removesuffix(".py") in STANDARD


def _and_above(paths: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for path in paths:
        while path not in found:
            found.add(path)
            if not path:
                break
            path = dirname(path)
    return found
