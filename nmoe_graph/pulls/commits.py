"""The commits of a pull request, brought here: by their ids, never by a ref that can move between two looks."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import HostError, SnapshotError, printable
from ..forge.records import Pull
from ..git.program import run_git, transport_environment
from ..git.repository import Repository

__all__ = ["PullCommits", "bring", "push_branch", "push_commit"]

_KEPT = "refs/nmoe-graph/pulls"


@dataclass(frozen=True, slots=True)
class PullCommits:
    """Head and base of a pull request, both in this repository.  `base` is the tip of the branch that it would land on."""

    head: str
    base: str
    base_branch: str


def bring(repository: Repository, remote: str, pull: Pull) -> PullCommits:
    """Fetch head and base of a pull request; the head must be the one that GitHub named.

    Raises:
        SnapshotError: the head moved while we looked.
        HostError: the remote cannot be read.
    """
    here = f"{_KEPT}/{pull.number}"
    specs = [f"+refs/pull/{pull.number}/head:{here}/head", f"+refs/heads/{pull.base_ref}:{here}/base"]
    _git(repository, ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--", remote, *specs])
    head, base = repository.resolve(f"{here}/head"), repository.resolve(f"{here}/base")
    if head != pull.head_sha:
        what = f"pull request {pull.number} moved from {pull.head_sha[:12]} to {head[:12]} while it was read"
        raise SnapshotError(what, hint="ask again")
    return PullCommits(head, base, pull.base_ref)


def push_branch(repository: Repository, remote: str, branch: str, commit: str) -> bool:
    """Give a commit to a branch of the remote, forwards only; whether that changed anything.

    Raises:
        HostError: the branch holds other work there, or the remote refuses.
    """
    there = _git(repository, ["ls-remote", "--quiet", "--", remote, f"refs/heads/{branch}"])[1].partition("\t")[0].strip()
    if there == commit:
        return False
    if words := push_commit(repository, remote, branch, commit):
        hint = f"git fetch {remote} {branch}: somebody else may have pushed to it"
        raise HostError(f"{printable(branch, limit=120)} was not pushed: {words}", hint=hint)
    return True


def push_commit(repository: Repository, remote: str, branch: str, commit: str, *, over: str = "") -> str:
    """Push a commit onto a branch, with `over` only if the branch is at that commit; why the remote refuses, "" where it does not.

    Raises:
        HostError: the remote cannot be reached; whether it has taken the commit is not known.
    """
    ref = f"refs/heads/{branch}"
    lease = [f"--force-with-lease={ref}:{over}"] if over else []
    status, out = _git(repository, ["push", "--porcelain", "--no-verify", *lease, "--", remote, f"{commit}:{ref}"], (0, 1))
    if not status:
        return ""
    words = next((" ".join(line.split()) for line in out.splitlines() if line.startswith("!")), "it says no")
    return printable(words, limit=200)


def _git(repository: Repository, args: list[str], accept: tuple[int, ...] = (0,)) -> tuple[int, str]:
    if not repository.git:
        raise HostError("pull requests need the git program", hint="install git")
    try:
        status, out = run_git(repository.git, repository.root, args, accept=accept, env=transport_environment())
    except SnapshotError as error:
        raise HostError(printable(error.faults[0].what, limit=300), hint="is the remote there, and may you read it?") from None
    return status, out.decode("utf-8", "replace")
