"""A snapshot: the whole workspace at one tree, whether or not a commit, or even a file on disk, has it."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass

from .objects import LINK, TREE, Entry, Objects

__all__ = ["Snapshot"]


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
