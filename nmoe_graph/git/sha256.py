"""The id that a tree would have in a repository that names objects by SHA-256.

git's own ids are SHA-1, of which collisions can be made.  Whoever holds a statement can compare this one, too; it is what
`git init --object-format=sha256` and the same files give.  A submodule enters as the SHA-256 of its SHA-1 id's text: what it
holds is not here.
"""

from __future__ import annotations

import hashlib
import os
from typing import Any, Protocol

from .objects import GITLINK, TREE, Objects

__all__ = ["tree_sha256"]


class _Memo(Protocol):
    def get(self, kind: str, key: str) -> Any: ...

    def put(self, kind: str, key: str, value: Any) -> None: ...


def _named(kind: bytes, body: bytes) -> bytes:
    return hashlib.sha256(b"%s %d\0" % (kind, len(body)) + body).digest()


def tree_sha256(objects: Objects, tree: str, memo: _Memo | None = None) -> str:
    """The id in hex; trees and blobs are hashed once and remembered by their SHA-1 ids.

    Raises:
        SnapshotError: an object is not here.
    """
    kept = memo.get("sha256.tree.1", tree) if memo else None
    if isinstance(kept, str):
        return kept
    rows = []
    for name, (mode, child) in objects.tree(tree).items():
        if mode == TREE:
            digest = bytes.fromhex(tree_sha256(objects, child, memo))
        elif mode == GITLINK:
            digest = hashlib.sha256(child.encode("ascii")).digest()
        else:
            digest = _named(b"blob", objects.blob(child))
        rows.append((os.fsencode(name), mode, digest))
    rows.sort(key=lambda row: row[0] + b"/" if row[1] == TREE else row[0])
    found = _named(b"tree", b"".join(b"%o %s\0" % (mode, name) + digest for name, mode, digest in rows)).hex()
    if memo:
        memo.put("sha256.tree.1", tree, found)
    return found
