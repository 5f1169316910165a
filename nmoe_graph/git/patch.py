"""The identity of a patch: what it changes, whatever it was laid on."""

from __future__ import annotations

import os

from .program import run_git
from .repository import Repository

__all__ = ["patch_id"]


def patch_id(repository: Repository, old: str, new: str) -> str:
    """git's stable patch id of the step from one tree to another; "" for no change, and where git is not here.

    Line numbers and white space do not count.  Both trees must be in the repository.

    Raises:
        SnapshotError: a tree is not there.
    """
    if not repository.git or old == new:
        return ""
    env = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    args = ["diff-tree", "-p", "-r", "--binary", "--full-index", "--no-ext-diff", "--no-textconv", "--no-renames", old, new]
    _, diff = run_git(repository.git, repository.root, args, env=env)
    _, out = run_git(repository.git, repository.root, ["patch-id", "--stable"], stdin=diff, env=env)
    return out.split()[0].decode("ascii", "replace") if out.split() else ""
