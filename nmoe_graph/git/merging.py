"""Three-way merges of trees, in memory: no ref, no index, no work tree and no object of the repository is touched.

Where the two sides changed different paths, and no rename of one side can matter to the other, the merge is made here, path by
path; that is most merges, and costs no process.  Everything else is decided by git's own `merge-tree` (2.38 or newer).  It
knows only commits, so the three trees are dressed as commits of a bare repository of their own, in a temporary folder that
borrows the objects of the real one.  That gives an explicit merge base, which restacking needs, and keeps the configuration,
the hooks and the merge drivers of whoever asks out of the answer.  Attributes are those of `ours`.

Where two histories cross there is no one tree to start from.  Then the commits are given, and git merges their bases first, as
it does for a person.

Without git a file that both sides changed is merged where the changes lie clearly apart, and is a conflict otherwise; where a
rename may matter, the result says that it is not exact.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from posixpath import dirname
from typing import Any, Protocol

from ..errors import HostError, SnapshotError
from .lines import merge_lines
from .objects import EMPTY_TREE, TREE, Entry
from .program import run_git
from .repository import Repository

__all__ = ["ConflictFacts", "Crossed", "MergeResult", "Merger", "conflict_lines"]


class Memo(Protocol):
    """A table from content to what was computed from it.  A miss is always allowed."""

    def get(self, kind: str, key: str) -> Any: ...

    def put(self, kind: str, key: str, value: Any) -> None: ...


@dataclass(frozen=True, slots=True)
class ConflictFacts:
    """A stretch in conflict: lines of the file in `ours` and in `theirs`, from 1, both ends in; (n, n-1) is the gap before n."""

    path: str
    ours: tuple[int, int]
    theirs: tuple[int, int]


@dataclass(frozen=True, slots=True)
class MergeResult:
    """The merged tree (conflict markers and all where `conflicts` is not empty) and the paths that conflict.

    `kinds` are git's words for what is wrong with which paths.  `exact` is False where git was needed and is not here.
    """

    tree: str
    conflicts: tuple[str, ...] = ()
    kinds: tuple[tuple[str, str], ...] = ()
    exact: bool = True


#: Two histories that cross: the commits that `ours` stands for, and the one that has `theirs`.
Crossed = tuple[tuple[str, ...], str]

_Key = tuple[str, str, str, Crossed | None]
_NEWER_THAN_ALL = 4_102_444_800  # a tip that is older than its parents makes git walk further than it must
Changes = dict[str, tuple[Entry | None, Entry | None]]


@dataclass(slots=True)
class _Side:
    """What one side did to the base: path -> (entry before, entry after)."""

    changes: Changes
    added: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, differences: Iterable[tuple[str, Entry | None, Entry | None]]) -> _Side:
        side = cls({path: (old, new) for path, old, new in differences})
        for path, (old, new) in side.changes.items():
            if old is None:
                side.added.add(path)
            elif new is None:
                side.deleted.add(path)
        return side

    def renames_matter_to(self, other: _Side) -> bool:
        """Whether a rename here could move what the other side did: an edit of a file that went, an addition beside one."""
        if not (self.added and self.deleted):
            return False
        return bool(other.added) or not self.deleted.isdisjoint(other.changes)


def _folders(paths: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for path in paths:
        while path := dirname(path):
            if path in found:
                break
            found.add(path)
    return found


class Merger:
    """Merges trees of one repository; a context manager, whose temporary folder goes away with it."""

    def __init__(self, repository: Repository, memo: Memo | None = None) -> None:
        self._repository, self._objects = repository, repository.objects
        self._kept = memo
        self._memo: dict[_Key, MergeResult] = {}
        self._pairs: dict[tuple[str, str], list[tuple[str, Entry | None, Entry | None]]] = {}
        self._seen: set[str] = set()  # objects in the temporary folder, and those of them that no answer led to yet
        self._waiting: set[str] = set()
        self._made_by: dict[str, _Key] = {}  # merged tree that only the memo knows -> what it was made of
        self._folder: Path | None = None
        self._version = self._git_version()

    def __enter__(self) -> Merger:
        return self

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _git_version(self) -> str:
        """Of a git that can merge trees; "" where there is none."""
        if not self._repository.git:
            return ""
        _, out = run_git(self._repository.git, self._repository.root, ["version"])
        found = re.search(rb"(\d+)\.(\d+)[.\w]*", out)
        return found[0].decode() if found and (int(found[1]), int(found[2])) >= (2, 38) else ""

    # -- merging ---------------------------------------------------------------------------------------------------------------

    def merge(self, base: str, ours: str, theirs: str, crossed: Crossed | None = None) -> MergeResult:
        """Merge two trees whose common ancestor is `base` (tree ids); or, where histories cross, whatever git makes of theirs.

        Raises:
            SnapshotError: git could not merge at all (not: it found conflicts), or an object is not here.
        """
        if ours == theirs or (base == theirs and not crossed):
            return MergeResult(ours)
        if base == ours and not crossed:
            return MergeResult(theirs)
        key = (base, ours, theirs, crossed)
        found = self._memo.get(key)
        if found is None:
            found = self._remembered(key) or self._merge(key)
            self._memo[key] = found
        return found

    def merge_heads(self, ours: str, theirs: str) -> MergeResult:
        """Merge two commits as `git merge` would, with all their merge bases.

        Raises:
            SnapshotError: they have no common history, or git could not merge at all.
        """
        bases = self._repository.merge_bases(theirs, ours)
        trees = [self._objects.commit_fields(one)[0] for one in (bases[0], ours, theirs)]
        return self.merge(trees[0], trees[1], trees[2], ((ours,), theirs) if len(bases) > 1 else None)

    def _memo_kind(self) -> str:
        return f"merge.2.{self._version or 'none'}"

    def _remembered(self, key: _Key) -> MergeResult | None:
        kept = self._kept.get(self._memo_kind(), _text(key)) if self._kept else None
        if not isinstance(kept, list):
            return None
        tree, conflicts, kinds, exact = kept
        self._made_by.setdefault(tree, key)
        return MergeResult(tree, tuple(conflicts), tuple((one, two) for one, two in kinds), exact)

    def _merge(self, key: _Key) -> MergeResult:
        base, ours, theirs, crossed = key
        for tree in (base, ours, theirs):
            self.bring(tree)
        one, two = _Side.of(self._differences(base, ours)), _Side.of(self._differences(base, theirs))
        found = None if crossed else self._apart(ours, one, two)
        if found is None:
            found = self._by_git(key, one, two) if self._version else self._by_path(ours, one, two)
        if crossed and not self._version:
            found = replace(found, exact=False)
        if self._kept:
            value = [found.tree, list(found.conflicts), [list(pair) for pair in found.kinds], found.exact]
            self._kept.put(self._memo_kind(), _text(key), value)
        return found

    def _differences(self, old: str, new: str) -> list[tuple[str, Entry | None, Entry | None]]:
        """What differs, folder by folder: along a chain of merges most folders are the same pair again."""
        found = self._pairs.get((old, new))
        if found is None:
            found = []
            before, after = self._objects.tree(old), self._objects.tree(new)
            names = [name for name, entry in after.items() if before.get(name) != entry]
            for name in sorted([*names, *(before.keys() - after.keys())]):
                one, two = before.get(name), after.get(name)
                if one and two and one[0] == TREE and two[0] == TREE:
                    found += [(f"{name}/{path}", was, now) for path, was, now in self._differences(one[1], two[1])]
                else:
                    leaves = [entry if entry and entry[0] != TREE else None for entry in (one, two)]
                    if any(leaves):
                        found.append((name, leaves[0], leaves[1]))
                    if one and one[0] == TREE:
                        found += [(f"{name}/{path}", (mode, leaf), None) for path, mode, leaf in self._objects.walk(one[1])]
                    if two and two[0] == TREE:
                        found += [(f"{name}/{path}", None, (mode, leaf)) for path, mode, leaf in self._objects.walk(two[1])]
            self._pairs[old, new] = found
        return found

    def bring(self, tree: str) -> None:
        """Make the objects of a merged tree readable that so far only the memo knows."""
        key = self._made_by.pop(tree, None)
        if key is not None and not self._objects.holds(tree):
            self._merge(key)

    # -- path by path ----------------------------------------------------------------------------------------------------------

    def _apart(self, ours: str, one: _Side, two: _Side) -> MergeResult | None:
        """The merge where the two sides cannot meet; None where they may."""
        if one.renames_matter_to(two) or two.renames_matter_to(one):
            return None
        shared = one.changes.keys() & two.changes.keys()
        if any(one.changes[path][1] != two.changes[path][1] for path in shared):
            return None
        # A file where the other side has, or had, a folder.
        if not _folders(one.changes).isdisjoint(two.changes) or not _folders(two.changes).isdisjoint(one.changes):
            return None
        changes = {path: new for path, (_, new) in two.changes.items() if path not in shared}
        return MergeResult(self._objects.overlay(ours, changes))

    def _by_path(self, ours: str, one: _Side, two: _Side) -> MergeResult:
        """Without git.  What cannot be decided is a conflict, and `ours` stands in the tree."""
        changes: dict[str, Entry | None] = {}
        conflicts: set[str] = set()
        met = (_folders(one.changes) & two.changes.keys()) | (_folders(two.changes) & one.changes.keys())
        for path, (old, new) in two.changes.items():
            if path in met or any(folder in met for folder in _folders([path])):
                conflicts.add(path)
            elif path not in one.changes:
                changes[path] = new
            elif one.changes[path][1] != new:
                merged = self._both(old, one.changes[path][1], new)
                if merged is None:
                    conflicts.add(path)
                else:
                    changes[path] = merged
        exact = not (conflicts or one.renames_matter_to(two) or two.renames_matter_to(one))
        return MergeResult(self._objects.overlay(ours, changes), tuple(sorted(conflicts)), exact=exact)

    def _both(self, base: Entry | None, ours: Entry | None, theirs: Entry | None) -> Entry | None:
        """A file that both sides changed, where it is certain what comes of it."""
        if base is None or ours is None or theirs is None or any(one[0] & 0o170000 != 0o100000 for one in (base, ours, theirs)):
            return None
        mode = theirs[0] if ours[0] in (base[0], theirs[0]) else ours[0]
        if mode != theirs[0] and theirs[0] != base[0]:
            return None
        if ours[1] == theirs[1] or theirs[1] == base[1]:
            return mode, ours[1]
        if ours[1] == base[1]:
            return mode, theirs[1]
        text = merge_lines(*(self._objects.blob(entry[1]) for entry in (base, ours, theirs)))
        return None if text is None else (mode, self._objects.keep_blob(text))

    # -- git's own machinery, in a repository of its own -----------------------------------------------------------------------

    def _quarantine(self) -> Path:
        if self._folder is None:
            try:
                self._folder = Path(tempfile.mkdtemp(prefix="nmoe-graph-merge-"))
            except OSError as error:
                raise HostError(f"no place for a temporary folder: {error.strerror}", hint="set TMPDIR") from None
            (self._folder / "objects/info").mkdir(parents=True)
            (self._folder / "refs/heads").mkdir(parents=True)
            (self._folder / "info").mkdir()
            (self._folder / "HEAD").write_text("ref: refs/heads/ours\n")
            (self._folder / "config").write_text("[core]\n\trepositoryformatversion = 0\n\tbare = true\n")
            borrowed = [str(self._repository.common_dir / "objects")]
            if self._repository.shallow:
                shutil.copy(self._repository.common_dir / "shallow", self._folder / "shallow")
            (self._folder / "objects/info/alternates").write_bytes(b"".join(os.fsencode(one) + b"\n" for one in borrowed))
        return self._folder

    def _loose(self, name: str) -> Path:
        return self._quarantine() / "objects" / name[:2] / name[2:]

    def _write(self, kind: bytes, body: bytes) -> str:
        whole = b"%s %d\0" % (kind, len(body)) + body
        name = hashlib.sha1(whole, usedforsecurity=False).hexdigest()
        path = self._loose(name)
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(zlib.compress(whole, 1))
        return name

    def _lend(self, name: str) -> None:
        """Write an object that only memory holds, and what it leads to, where git will look."""
        held = self._objects.held(name)
        if held is None or self._loose(name).exists():
            return
        kind, body = held
        if kind == 2:
            for _, child in self._objects.tree(name).values():
                self._lend(child)
        self._write(b"tree" if kind == 2 else b"blob", body)

    def _look(self) -> None:
        """Note what git has made: a tree's other thousand entries are then known to be the repository's."""
        found = set()
        for folder in os.scandir(self._quarantine() / "objects"):
            if len(folder.name) == 2:
                found |= {folder.name + one for one in os.listdir(folder.path)}
        self._waiting |= found - self._seen
        self._seen = found

    def _absorb(self, name: str) -> None:
        """Take an object that git made, and what it leads to, into memory."""
        if name not in self._waiting:
            return  # an object of the repository, or one that is in memory
        self._waiting.remove(name)
        whole = zlib.decompress(self._loose(name).read_bytes())
        head, _, body = whole.partition(b"\0")
        self._objects.keep(2 if head.startswith(b"tree") else 3, name, body)
        if head.startswith(b"tree"):
            for mode, child in self._objects.tree(name).values():
                if mode & 0o170000 != 0o160000:
                    self._absorb(child)

    def _commit(self, tree: str, parents: tuple[str, ...] = ()) -> str:
        stamp = f"nmoe-graph <nmoe-graph> {_NEWER_THAN_ALL} +0000"
        lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents), f"author {stamp}", f"committer {stamp}", "", "x", ""]
        return self._write(b"commit", "\n".join(lines).encode())

    def _attributes(self, tree: str, paths: Iterable[str]) -> bytes:
        """The .gitattributes of a tree that can speak of these paths, as one file for the root."""
        found: list[bytes] = []
        for folder in ["", *sorted(_folders(paths))]:
            here: Entry | None = (TREE, tree)
            for part in [*(folder.split("/") if folder else ()), ".gitattributes"]:
                here = self._objects.tree(here[1]).get(part) if here and here[0] == TREE else None
            if here is None or here[0] & 0o170000 != 0o100000:
                continue
            for line in self._objects.blob(here[1]).splitlines():
                if folder and line.strip()[:1] not in (b"", b"#", b'"', b"["):
                    pattern, _, rest = line.strip().partition(b" ")
                    middle = b"/" if b"/" in pattern.rstrip(b"/") else b"/**/"
                    line = os.fsencode(folder) + middle + pattern.lstrip(b"/") + b" " + rest
                found.append(line)
        return b"".join(line + b"\n" for line in found)

    def _by_git(self, key: _Key, one: _Side, two: _Side) -> MergeResult:
        folder = self._quarantine()
        for tree in key[:3]:
            if tree != EMPTY_TREE:
                self._lend(tree)
        if key[3]:
            parents = (key[3][0], (key[3][1],))
        else:
            parents = ((self._commit(self._in_place(key[0])),),) * 2
        for side, tree, above in zip(("ours", "theirs"), key[1:3], parents, strict=True):
            (folder / "refs/heads" / side).write_text(self._commit(self._in_place(tree), above) + "\n")
        (folder / "info/attributes").write_bytes(self._attributes(key[1], [*one.changes, *two.changes]))
        env = {"GIT_DIR": str(folder), "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        args = ["merge-tree", "--write-tree", "--name-only", "--messages", "-z", "ours", "theirs"]
        assert self._repository.git
        status, out = run_git(self._repository.git, folder, args, accept=(0, 1), env=env)
        head, _, messages = out.partition(b"\0\0")
        first, *paths = head.split(b"\0")
        name = first.strip().decode("ascii", "replace")
        if not re.fullmatch(r"[0-9a-f]{40}", name):
            raise SnapshotError("git merge-tree gave no tree")
        self._look()
        self._absorb(name)
        if status == 0:
            return MergeResult(name)
        return MergeResult(name, tuple(sorted({os.fsdecode(path) for path in paths if path})), tuple(_kinds(messages)))

    def _in_place(self, tree: str) -> str:
        if tree == EMPTY_TREE:
            self._write(b"tree", b"")
        return tree


def _text(key: _Key) -> str:
    crossed = [*key[3][0], key[3][1]] if key[3] else []
    return ":".join([*key[:3], *crossed])


def _kinds(messages: bytes) -> list[tuple[str, str]]:
    """Paths and git's short name of the conflict, from the message section of `merge-tree -z`."""
    fields = messages.split(b"\0")
    found: set[tuple[str, str]] = set()
    at = 0
    with contextlib.suppress(ValueError, IndexError):
        while at < len(fields) and fields[at]:
            count = int(fields[at])
            paths, kind = fields[at + 1 : at + 1 + count], fields[at + 1 + count].decode("utf-8", "replace")
            if kind.startswith("CONFLICT"):
                found |= {(os.fsdecode(path), kind.removeprefix("CONFLICT (").rstrip(")")) for path in paths[:1]}
            at += count + 3
    return sorted(found)


def conflict_lines(path: str, merged: bytes) -> list[ConflictFacts]:
    """The stretches in conflict, from a merged text with markers."""
    found: list[ConflictFacts] = []
    ours = theirs = 1
    start: tuple[int, int] | None = None
    side = ""
    for line in merged.split(b"\n"):
        if not side and line.startswith(b"<<<<<<< ours"):
            side, start = "ours", (ours, theirs)
        elif side == "ours" and line.rstrip(b"\r") == b"=======":
            side = "theirs"
        elif side == "theirs" and line.startswith(b">>>>>>> theirs") and start:
            found.append(ConflictFacts(path, (start[0], ours - 1), (start[1], theirs - 1)))
            side = ""
        else:
            ours += side != "theirs"
            theirs += side != "ours"
    return found
