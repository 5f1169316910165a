"""Git objects by id: trees and blobs, read through dulwich, with an overlay of objects that exist only in memory.

Ids are 40 hex digits.  Names in trees are text; bytes that are no UTF-8 survive as surrogate escapes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..errors import SnapshotError

__all__ = ["EMPTY_TREE", "GITLINK", "LINK", "TREE", "Entry", "Objects", "blob_id", "tree_bytes", "tree_id"]

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
TREE, LINK, GITLINK = 0o040000, 0o120000, 0o160000

Entry = tuple[int, str]  # mode, id


def _named(kind: bytes, body: bytes) -> str:
    return hashlib.sha1(b"%s %d\0" % (kind, len(body)) + body, usedforsecurity=False).hexdigest()


def blob_id(data: bytes) -> str:
    """The id that git gives to a blob of these bytes."""
    return _named(b"blob", data)


def tree_bytes(entries: Iterable[tuple[str, Entry]]) -> bytes:
    """A tree object's body, in git's order (a folder sorts as if its name ended in a slash)."""
    rows = []
    for name, (mode, name_id) in entries:
        raw = name.encode("utf-8", "surrogateescape")
        rows.append((raw + b"/" if mode == TREE else raw, b"%o %s\0" % (mode, raw) + bytes.fromhex(name_id)))
    rows.sort()
    return b"".join([row for _, row in rows])


def tree_id(body: bytes) -> str:
    return _named(b"tree", body)


_ROW = re.compile(rb"([0-7]+) ([^\0]+)\0(.{20})", re.DOTALL)


def _parse_tree(body: bytes) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    modes: dict[bytes, int] = {}
    length = 0
    for mode, name, name_id in _ROW.findall(body):
        known = modes.get(mode)
        if known is None:
            known = int(mode, 8)
            known = modes[mode] = known & 0o170000 if known & 0o170000 != 0o100000 else known
        entries[name.decode("utf-8", "surrogateescape")] = (known, name_id.hex())
        length += len(mode) + len(name) + 22
    if length != len(body):
        raise ValueError("a tree whose rows do not fill it")
    return entries


class Objects:
    """Trees and blobs by id, from any number of object folders and from memory."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self._folders = list(folders)
        self._stores: list[Any] = []
        self._memory: dict[str, tuple[int, bytes]] = {}  # dulwich's type numbers: 2 tree, 3 blob
        self._trees: dict[str, dict[str, Entry]] = {EMPTY_TREE: {}}

    @staticmethod
    def _open(folder: Path) -> Any:
        import atexit

        from dulwich.object_store import DiskObjectStore

        store = DiskObjectStore(str(folder))
        atexit.register(store.close)  # open packs complain, on stderr, when the interpreter takes them down itself
        return store

    def raw(self, name: str) -> tuple[int, bytes]:
        """Type number (1 commit, 2 tree, 3 blob, 4 tag) and body of an object.

        Raises:
            SnapshotError: the object is not in this repository, or is damaged.
        """
        held = self._memory.get(name)
        if held is not None:
            return held
        if not self._stores:
            self._stores = [self._open(folder) for folder in self._folders]
        import zlib

        key = name.encode("ascii")
        for store in self._stores:
            try:
                kind, body = store.get_raw(key)
            except KeyError:
                continue
            except (OSError, ValueError, AssertionError, zlib.error) as error:
                raise SnapshotError(f"object {name} is damaged: {error}", hint="git fsck says more") from None
            return kind, bytes(body)
        raise SnapshotError(
            f"object {name} is not in this repository",
            hint="a shallow or partial clone lacks it: git fetch --unshallow, or git fetch --refetch",
        )

    def tree(self, name: str) -> dict[str, Entry]:
        """The entries of a tree by name: mode and id.  Not to be changed by the caller."""
        known = self._trees.get(name)
        if known is None:
            kind, body = self.raw(name)
            if kind != 2:
                raise SnapshotError(f"object {name} is no tree")
            try:
                known = self._trees[name] = _parse_tree(body)
            except ValueError as error:
                raise SnapshotError(f"object {name} is damaged: {error}", hint="git fsck says more") from None
        return known

    def blob(self, name: str) -> bytes:
        kind, body = self.raw(name)
        if kind != 3:
            raise SnapshotError(f"object {name} is no blob")
        return body

    def is_commit(self, name: str) -> bool:
        """Whether a commit of this id is here."""
        try:
            return self.raw(name)[0] == 1
        except SnapshotError:
            return False

    def held(self, name: str) -> tuple[int, bytes] | None:
        """Type number and body of an object that is held in memory; None for every other."""
        return self._memory.get(name)

    def commit_fields(self, name: str) -> tuple[str, tuple[str, ...], bytes]:
        """Tree, parents and message of a commit (tags are peeled)."""
        kind, body = self.raw(name)
        while kind == 4:
            kind, body = self.raw(body.split(b"\n", 1)[0].split()[1].decode("ascii"))
        if kind != 1:
            raise SnapshotError(f"object {name} is no commit")
        head, _, message = body.partition(b"\n\n")
        lines = [line.split(b" ", 1) for line in head.split(b"\n") if line[:1] != b" "]
        tree = next(value.decode() for key, value in lines if key == b"tree")
        return tree, tuple(value.decode() for key, value in lines if key == b"parent"), message

    def keep_blob(self, data: bytes) -> str:
        """Hold a blob in memory and return its id."""
        name = blob_id(data)
        self._memory[name] = (3, data)
        return name

    def keep_tree(self, entries: dict[str, Entry]) -> str:
        """Hold a tree in memory and return its id."""
        body = tree_bytes(entries.items())
        name = tree_id(body)
        if name not in self._trees:
            self._memory[name] = (2, body)
            self._trees[name] = dict(entries)
        return name

    def keep(self, kind: int, name: str, body: bytes) -> None:
        """Hold an object whose id is known."""
        self._memory[name] = (kind, body)

    def holds(self, tree: str) -> bool:
        """Whether a tree can be read without looking further."""
        return tree in self._trees or tree in self._memory

    def overlay(self, root: str, changes: dict[str, Entry | None]) -> str:
        """The id of tree `root` with paths set or, where the entry is None, taken away; empty folders vanish as in git."""
        here: dict[str, Entry | None] = {}
        below: dict[str, dict[str, Entry | None]] = {}
        for path, entry in changes.items():
            head, slash, rest = path.partition("/")
            if slash:
                below.setdefault(head, {})[rest] = entry
            else:
                here[head] = entry
        entries = dict(self.tree(root))
        for name, entry in here.items():
            if entry is None:
                if name not in below:
                    entries.pop(name, None)
            else:
                entries[name] = entry
        for name, inner in below.items():
            mode, old = entries.get(name, (TREE, EMPTY_TREE))
            new = self.overlay(old if mode == TREE else EMPTY_TREE, inner)
            if new != EMPTY_TREE:
                entries[name] = (TREE, new)
            elif mode == TREE:
                entries.pop(name, None)
        return self.keep_tree(entries) if entries else EMPTY_TREE

    def walk(self, root: str, prefix: str = "") -> Iterator[tuple[str, int, str]]:
        """Every leaf below a tree as (path, mode, id), sorted by path segments."""
        for name in sorted(entries := self.tree(root)):
            mode, child = entries[name]
            if mode == TREE:
                yield from self.walk(child, f"{prefix}{name}/")
            else:
                yield f"{prefix}{name}", mode, child

    def differences(self, old: str, new: str, prefix: str = "") -> Iterator[tuple[str, Entry | None, Entry | None]]:
        """Leaves that differ between two trees: (path, old entry or None, new entry or None).  Equal subtrees are not read."""
        if old == new:
            return
        before, after = self.tree(old), self.tree(new)
        names = [name for name, entry in after.items() if before.get(name) != entry]
        for name in sorted([*names, *(before.keys() - after.keys())]):
            one, two = before.get(name), after.get(name)
            path = f"{prefix}{name}"
            one_tree = one[1] if one and one[0] == TREE else EMPTY_TREE
            two_tree = two[1] if two and two[0] == TREE else EMPTY_TREE
            leaf_one = one if one and one[0] != TREE else None
            leaf_two = two if two and two[0] != TREE else None
            if leaf_one or leaf_two:
                yield path, leaf_one, leaf_two
            yield from self.differences(one_tree, two_tree, path + "/")
