"""Three-way merges of trees, in memory: no ref, no index and no work tree is touched.

With the git program (2.38 or newer) its own `merge-tree` decides, renames included.  It only knows commits, so the three trees
are dressed as synthetic commits in a quarantined object folder; that also gives an explicit merge base, which restacking needs.
Without git, dulwich merges; it does not follow renames, and the result says so.  Where merge3 is not installed either, a file
that both sides change is a conflict.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import HostError, SnapshotError
from .program import run_git
from .repository import Repository

__all__ = ["MergeResult", "Merger"]


@dataclass(frozen=True, slots=True)
class MergeResult:
    """The merged tree (conflict markers and all where `conflicts` is not empty) and the paths that conflict."""

    tree: str
    conflicts: tuple[str, ...] = ()
    renames_followed: bool = True


class Merger:
    """Merges trees of one repository; a context manager, whose quarantine goes away with it."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._memo: dict[tuple[str, str, str], MergeResult] = {}
        self._folder: Path | None = None
        self._merge_tree = self._git_can()

    def __enter__(self) -> Merger:
        return self

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _git_can(self) -> bool:
        if not self._repository.git:
            return False
        _, out = run_git(self._repository.git, self._repository.root, ["version"])
        found = re.search(rb"(\d+)\.(\d+)", out)
        return bool(found and (int(found[1]), int(found[2])) >= (2, 38))

    def _quarantine(self) -> Path:
        if self._folder is None:
            try:
                self._folder = Path(tempfile.mkdtemp(prefix="nmoe-graph-merge-"))
            except OSError as error:
                raise HostError(f"no place for a temporary folder: {error.strerror}", hint="set TMPDIR") from None
            objects = self._folder / "objects"
            (objects / "info").mkdir(parents=True)
            alternate = str(self._repository.common_dir / "objects")
            (objects / "info" / "alternates").write_bytes(os.fsencode(alternate) + b"\n")
            self._repository.objects.add_folder(objects)
        return self._folder / "objects"

    def _write(self, kind: bytes, body: bytes) -> str:
        whole = b"%s %d\0" % (kind, len(body)) + body
        name = hashlib.sha1(whole, usedforsecurity=False).hexdigest()
        path = self._quarantine() / name[:2] / name[2:]
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            path.write_bytes(zlib.compress(whole, 1))
        return name

    def _commit(self, tree: str, parents: tuple[str, ...] = ()) -> str:
        lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
        stamp = "nmoe-graph <nmoe-graph> 0 +0000"
        return self._write(
            b"commit", "\n".join([*lines, f"author {stamp}", f"committer {stamp}", "", "merge in memory", ""]).encode()
        )

    def merge(self, base: str, ours: str, theirs: str) -> MergeResult:
        """Merge two trees whose common ancestor is `base` (tree ids).

        Raises:
            SnapshotError: git could not merge at all (not: it found conflicts).
        """
        if ours == theirs or base == theirs:
            return MergeResult(ours)
        if base == ours:
            return MergeResult(theirs)
        key = (base, ours, theirs)
        if key not in self._memo:
            self._memo[key] = self._by_git(*key) if self._merge_tree else self._by_dulwich(*key)
        return self._memo[key]

    def _by_git(self, base: str, ours: str, theirs: str) -> MergeResult:
        root = self._commit(base)
        one, two = self._commit(ours, (root,)), self._commit(theirs, (root,))
        env = {"GIT_OBJECT_DIRECTORY": str(self._quarantine())}
        args = ["merge-tree", "--write-tree", "--name-only", "--no-messages", "-z", one, two]
        assert self._repository.git
        status, out = run_git(self._repository.git, self._repository.root, args, accept=(0, 1), env=env)
        tree, *paths = out.split(b"\0")
        if not re.fullmatch(rb"[0-9a-f]{40}", tree.strip()):
            raise SnapshotError("git merge-tree gave no tree")
        names = sorted({os.fsdecode(path) for path in paths if path}) if status == 1 else []
        return MergeResult(tree.strip().decode(), tuple(names))

    def _by_dulwich(self, base: str, ours: str, theirs: str) -> MergeResult:
        from dulwich.merge import Merger as TreeMerger
        from dulwich.object_store import DiskObjectStore

        self._quarantine()

        class Trees(TreeMerger):
            def merge_blobs(self, *args: Any, **kwargs: Any) -> tuple[bytes, bool]:
                try:
                    return super().merge_blobs(*args, **kwargs)
                except ImportError:  # dulwich merges lines with merge3, which need not be here; both sides changed the file
                    return bytes(next(blob.data for blob in args[1:] if blob is not None)), True

        store: Any = DiskObjectStore(str(self._quarantine()))
        trees = [store[name.encode()] for name in (base, ours, theirs)]
        merged, conflicts = Trees(store).merge_trees(*trees)
        store.add_object(merged)
        names = sorted({os.fsdecode(path) for path in conflicts})
        return MergeResult(merged.id.decode(), tuple(names), renames_followed=False)
