"""Inputs as they come in: files, folders, globs, outputs of actions; and what is wrong with what was asked for."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

from ..git.objects import GITLINK, LINK, TREE
from ..git.snapshot import Snapshot
from ..load.globs import Glob
from .files import FileReader
from .input import Form, Input, Reason

__all__ = ["Collection"]


class Collection:
    """Inputs as they come in.  Bytes beat meaning only where a reader of bytes asks for the same file."""

    def __init__(self, snapshot: Snapshot, reader: FileReader) -> None:
        self.snapshot, self.reader = snapshot, reader
        self.found: dict[str, tuple[int, str, bool, Reason, tuple[str, ...], str]] = {}
        self.outputs: dict[str, Input] = {}
        self.meaning: set[str] = set()
        self.unbounded = ""  # why everything counts, where what is read cannot be told
        self.searches: list[tuple[tuple[str, ...], bool, str] | None] = []  # of each program that is followed
        self.problems: list[str] = []
        self.warnings: list[str] = []
        self.own: set[str] = set()  # modules of the workspace's own that are not there

    def leaf(
        self, path: str, mode: int, blob: str, reason: Reason, via: tuple[str, ...] = (), exact: bool = False, parent: str = ""
    ) -> None:
        before = self.found.get(path)
        if before is None:
            self.found[path] = (mode, blob, exact, reason, via, parent)
        elif exact and not before[2]:
            self.found[path] = (mode, blob, True, *before[3:])
        if mode == LINK and before is None:
            target = self.snapshot.follow(path)
            if target:
                self.path(target, reason, exact=exact, parent=path)

    def path(self, path: str, reason: Reason, via: tuple[str, ...] = (), exact: bool = False, parent: str = "") -> bool:
        """Add a file, or everything below a folder; False where there is nothing."""
        entry = self.snapshot.entry(path)
        if entry is None:
            return False
        for leaf, mode, blob in self.snapshot.walk(path):
            self.leaf(leaf, mode, blob, reason, via, exact, parent)
        return True

    def glob(
        self, pattern: str, base: str, reason: Reason, via: tuple[str, ...] = (), exact: bool = False, exclude: Iterable[Glob] = ()
    ) -> bool:
        """Add what a pattern below `base` matches; a literal that names a folder stands for all of it."""
        glob = Glob(pattern.rstrip("/") if pattern != "/" else pattern)
        prefix = f"{base}/" if base else ""
        hit = False
        start = (
            posixpath.join(base, pattern.rstrip("/")) if glob.is_literal else posixpath.join(base, glob.literal_prefix).rstrip("/")
        )
        pending = [start]
        while pending:
            folder = pending.pop()
            entry = self.snapshot.entry(folder)
            if entry is None:
                continue
            names = self.snapshot.names(folder) if entry[0] == TREE else None
            rows = (
                [(folder, *entry)] if names is None else [(f"{folder}/{name}" if folder else name, *names[name]) for name in names]
            )
            for path, mode, blob in rows:
                inner = path[len(prefix) :]
                if mode == TREE:
                    if glob.is_literal or glob.may_match_below(inner):
                        pending.append(path)
                elif (glob.is_literal or glob.matches(inner)) and not any(one.matches(inner) for one in exclude):
                    self.leaf(path, mode, blob, reason, via, exact)
                    hit = True
        return hit

    def items(self, data_by_meaning: bool, all_exact: bool) -> tuple[Input, ...]:
        done = dict(self.outputs)
        for path, (mode, blob, exact, reason, via, parent) in self.found.items():
            form, digest = Form.BYTES, blob
            if mode == GITLINK:
                form = Form.GITLINK
            elif (
                mode != LINK
                and not exact
                and not all_exact
                and (path in self.meaning or (data_by_meaning and path.endswith((".toml", ".json"))))
            ):
                meaning = self.reader.meaning(path, blob)
                if meaning:
                    form, digest = Form.MEANING, meaning
            done[path] = Input(path, mode, form, digest, reason, via, parent)
        return tuple(done[path] for path in sorted(done))
