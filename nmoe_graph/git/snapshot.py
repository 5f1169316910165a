"""A snapshot: the whole workspace at one tree, whether or not a commit, or even a file on disk, has it."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from .objects import LINK, TREE, Entry, Objects

__all__ = ["Snapshot", "Trace", "Watched"]


@dataclass(frozen=True)
class Snapshot:
    """One tree and how it is called.  `commit` is None for a dirty work tree and for a merge that exists only in memory."""

    objects: Objects
    tree: str
    name: str
    commit: str | None = None

    def entry(self, path: str) -> Entry | None:
        """Mode and id at a path ("" is the root), or None."""
        here: Entry = (TREE, self.tree)
        for part in path.split("/") if path else ():
            if here[0] != TREE:
                return None
            found = self.objects.tree(here[1]).get(part)
            if found is None:
                return None
            here = found
        return here

    def child(self, folder: str, name: str) -> Entry | None:
        """The entry of one name in a folder; asks nothing of the folder's other names."""
        return self.entry(f"{folder}/{name}" if folder else name)

    def is_dir(self, path: str) -> bool:
        found = self.entry(path)
        return found is not None and found[0] == TREE

    def is_file(self, path: str) -> bool:
        found = self.entry(path)
        return found is not None and found[0] & 0o170000 == 0o100000

    def read(self, path: str) -> bytes | None:
        """The bytes of a regular file, or None where there is none."""
        found = self.entry(path)
        return self.objects.blob(found[1]) if found is not None and found[0] & 0o170000 == 0o100000 else None

    def names(self, path: str) -> dict[str, Entry]:
        """The entries of a folder; empty where there is none."""
        found = self.entry(path)
        return self.objects.tree(found[1]) if found is not None and found[0] == TREE else {}

    def follow(self, path: str) -> str | None:
        """Where a path leads when the links at its end are followed; None where that is outside, missing or a loop."""
        for _ in range(16):
            found = self.entry(path)
            if found is None or found[0] != LINK:
                return path if found is not None else None
            target = os.fsdecode(self.objects.blob(found[1]))
            if target.startswith("/"):
                return None
            path = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
            if path.startswith(".."):
                return None
        return None

    def walk(self, path: str = "") -> Iterator[tuple[str, int, str]]:
        """Every leaf at or below a path: (path, mode, id)."""
        found = self.entry(path)
        if found is None:
            return
        if found[0] == TREE:
            yield from self.objects.walk(found[1], f"{path}/" if path else "")
        else:
            yield path, found[0], found[1]


@dataclass(slots=True)
class Trace:
    """What was asked of a snapshot.  An answer can differ at another tree only where one of these differs there.

    `looked`: path -> whether something was there; what was asked is its existence, and a leaf's mode and id.
    `whole`: paths of which everything below counts.
    `read`: files (among the looked) whose bytes were read, not only what they import and mean.
    """

    looked: dict[str, bool] = field(default_factory=dict)
    whole: set[str] = field(default_factory=set)
    read: set[str] = field(default_factory=set)

    def add(self, other: Trace) -> None:
        self.looked.update(other.looked)
        self.whole |= other.whole
        self.read |= other.read


@dataclass(frozen=True)
class Watched(Snapshot):
    """A snapshot that notes what it is asked, in the innermost `record` that is open."""

    _open: list[Trace] = field(default_factory=list)

    @contextmanager
    def record(self) -> Iterator[Trace]:
        """Collect what is asked inside; what an inner record collects counts for the outer one too."""
        trace = Trace()
        self._open.append(trace)
        try:
            yield trace
        finally:
            self._open.pop()
            self.replay(trace)

    def replay(self, trace: Trace) -> None:
        """Note what was asked when an answer was first computed that is now used again."""
        if self._open:
            self._open[-1].add(trace)

    def entry(self, path: str) -> Entry | None:
        found = super().entry(path)
        if self._open:
            self._open[-1].looked[path] = found is not None
        return found

    def read(self, path: str) -> bytes | None:
        if self._open:
            self._open[-1].read.add(path)
        return super().read(path)

    def names(self, path: str) -> dict[str, Entry]:
        if self._open:
            self._open[-1].whole.add(path)
        return super().names(path)

    def walk(self, path: str = "") -> Iterator[tuple[str, int, str]]:
        if self._open:
            self._open[-1].whole.add(path)
        return super().walk(path)
