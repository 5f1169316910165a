"""Objects written into a repository, as git itself would: compressed, beside their place, renamed; complete or not there."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import time
import zlib
from collections.abc import Iterable

from ..errors import HostError
from .repository import Repository

__all__ = ["write_commit", "write_object", "write_tree"]

_KINDS = {1: b"commit", 2: b"tree", 3: b"blob"}


def write_object(repository: Repository, kind: int, body: bytes, *, sync: bool = True) -> str:
    """One loose object of a type number (1 commit, 2 tree, 3 blob); its id.

    Raises:
        HostError: the disk refused, or lost the write.
    """
    whole = b"%s %d\0" % (_KINDS[kind], len(body)) + body
    name = hashlib.sha1(whole, usedforsecurity=False).hexdigest()
    path = repository.common_dir / "objects" / name[:2] / name[2:]
    if path.exists():
        return name
    scratch = path.parent / f"tmp_obj_{secrets.token_hex(8)}"
    try:
        path.parent.mkdir(exist_ok=True)
        data = zlib.compress(whole, 1)
        with open(scratch, "xb") as handle:
            handle.write(data)
            handle.flush()
            if sync:
                os.fsync(handle.fileno())
        if scratch.read_bytes() != data:
            raise HostError("git's objects cannot be written: the disk lost a write")
        scratch.chmod(0o444)
        scratch.rename(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            scratch.unlink()  # a full disk needs its place
        if isinstance(error, OSError):
            raise HostError(f"git's objects cannot be written: {error.strerror}") from None
        raise
    return name


def write_tree(repository: Repository, tree: str) -> None:
    """Write what of a tree only memory holds, and all below it."""
    pending = [tree]
    while pending:
        name = pending.pop()
        held = repository.objects.held(name)
        if held is not None:
            write_object(repository, *held)
            pending += [child for _, child in repository.objects.tree(name).values()] if held[0] == 2 else []


def write_commit(
    repository: Repository, tree: str, parents: Iterable[str], message: str, *, who: str, when: int | None = None
) -> str:
    """A commit of a tree.  `who` is "Name <address>"; `when` is in seconds since 1970, by default now."""
    write_tree(repository, tree)
    stamp = f"{who} {int(time.time()) if when is None else when} +0000"
    lines = [f"tree {tree}", *(f"parent {one}" for one in parents), f"author {stamp}", f"committer {stamp}", "", message, ""]
    return write_object(repository, 1, "\n".join(lines).encode("utf-8", "surrogateescape"))
