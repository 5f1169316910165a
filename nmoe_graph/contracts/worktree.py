"""A place to work on a contract: its branch in a worktree of its own, safe to ask for again; and the state of that place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import HostError, SnapshotError, UsageError, printable
from ..git.program import run_git
from ..git.repository import Repository
from ..model import Contract

__all__ = ["Place", "WorktreeReport", "make_worktree", "places"]


@dataclass(frozen=True, slots=True)
class Place:
    """A worktree: where it is, and the full name of the branch that is checked out there ("" for none)."""

    folder: Path
    branch: str
    gone: bool = False  # its folder was removed by hand


@dataclass(frozen=True)
class WorktreeReport:
    """Where to work on a contract.  `made` says whether that place is new."""

    contract: str
    branch: str
    folder: str
    base: str
    made: bool

    @property
    def exit_code(self) -> int:
        return 0

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": "nmoe-graph/worktree@1",
            "contract": self.contract,
            "branch": self.branch,
            "folder": printable(self.folder),
            "base": self.base,
            "made": self.made,
        }


def places(repository: Repository) -> list[Place]:
    """Every worktree of the repository, the main one first."""
    out = _git(repository, ["worktree", "list", "--porcelain", "-z"])
    found: list[Place] = []
    for block in out.split("\0\0"):
        fields = dict(line.partition(" ")[::2] for line in block.split("\0") if line)
        if "worktree" in fields:
            found.append(Place(Path(fields["worktree"]), fields.get("branch", ""), "prunable" in fields))
    return found


def make_worktree(repository: Repository, contract: Contract, name: str, base: str, folder: str | None = None) -> WorktreeReport:
    """`git worktree add ../NAME-worktrees/issue-ID-SLUG -b issue/ID-SLUG BASE`, or whatever of that is not done yet.

    `name` is the workspace's; the folder lies beside the main checkout, from whichever worktree it is asked for.

    Raises:
        UsageError: something else is at that place.
        SnapshotError, HostError: the base is not here, or git refuses.
    """
    known = places(repository)
    main = known[0].folder
    ref = f"refs/heads/{contract.branch}"
    where = Path(folder).absolute() if folder else main.parent / f"{name}-worktrees" / f"issue-{contract.issue}-{contract.slug}"
    commit = repository.resolve(base)
    for place in known:
        if place.branch == ref and not place.gone:
            if folder and place.folder.resolve() != where.resolve():
                raise UsageError(f"{contract.branch} is checked out in {printable(str(place.folder))}", hint="work there")
            return WorktreeReport(contract.issue, contract.branch, str(place.folder), commit, False)
    if where.exists() and (not where.is_dir() or any(where.iterdir())):
        raise UsageError(
            f"{printable(str(where))} is there, and is no worktree of {contract.branch}", hint="move it, or say --path DIR"
        )
    if any(place.gone for place in known):
        _git(repository, ["worktree", "prune"])  # forgets folders that were removed by hand, and nothing else
    there = repository.try_resolve(ref)
    remote = repository.try_resolve(f"refs/remotes/origin/{contract.branch}") if there is None else None
    if there is not None:
        args = ["worktree", "add", "--quiet", str(where), contract.branch]
    else:  # somebody else may have begun: then that is where the branch starts
        args = ["worktree", "add", "--quiet", "--no-track", "-b", contract.branch, str(where), remote or commit]
    _git(repository, args)
    return WorktreeReport(contract.issue, contract.branch, str(where), commit, True)


def _git(repository: Repository, args: list[str]) -> str:
    if not repository.git:
        raise HostError("worktrees need the git program", hint="install git")
    try:
        return run_git(repository.git, repository.root, args)[1].decode("utf-8", "surrogateescape")
    except SnapshotError as error:
        raise HostError(printable(error.faults[0].what, limit=400)) from None
