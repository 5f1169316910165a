"""The contracts of the issues, as a snapshot below one ref: refs/nmoe-graph/contracts.

    issues/ID.yaml     the block of an issue, as it was written
    issues/ID.json     number, title, state, author and what the author is to the repository, SHA-256 of the whole body

A state of the issues has one tree, whoever reads it when; a commit is made only where the tree differs from the last one, so
the history of the ref is that of the contracts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import HostError, SnapshotError, UsageError, printable
from .objects import EMPTY_TREE, Entry
from .program import run_git, transport_environment
from .refs import CONTRACTS_REF, read_ref
from .repository import Repository
from .snapshot import Snapshot
from .writing import write_commit

__all__ = ["SyncedIssue", "fetch_synced", "push_synced", "read_synced", "synced_issues", "write_synced"]

_NAME = re.compile(r"issues/([0-9]{1,6}[a-z]{0,3})\.yaml\Z")
_WHO = "nmoe-graph <contracts@nmoe-graph.invalid>"
_TRIES = 8


@dataclass(frozen=True, slots=True)
class SyncedIssue:
    """One contract of the issues.  `text` is the block; the rest is what GitHub says of the issue."""

    issue: str
    number: int
    title: str
    state: str
    author: str
    association: str
    body_sha256: str
    text: str

    @property
    def place(self) -> str:
        """How the contract's text is named in messages."""
        return f"issue #{self.number}"

    def facts(self) -> bytes:
        said = {
            "association": self.association,
            "author": self.author,
            "body_sha256": self.body_sha256,
            "number": self.number,
            "state": self.state,
            "title": self.title,
        }
        return json.dumps(said, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def read_synced(repository: Repository) -> Snapshot | None:
    """The state that this clone holds; None where the issues were never synced, or none of them is a contract."""
    tip = read_ref(repository.common_dir, CONTRACTS_REF)
    if tip is None:
        return None
    tree = repository.objects.commit_fields(tip)[0]
    return Snapshot(repository.objects, tree, CONTRACTS_REF, tip) if tree != EMPTY_TREE else None


def synced_issues(snapshot: Snapshot | None) -> dict[str, SyncedIssue]:
    """The contracts of a state by id, in the order of their ids as text.

    Raises:
        SnapshotError: a file of the state is not as it is written here.
    """
    found: dict[str, SyncedIssue] = {}
    for path, _, _ in snapshot.walk("issues") if snapshot is not None else ():
        name = _NAME.match(path)
        if name is None or snapshot is None:
            continue
        try:
            text = (snapshot.read(path) or b"").decode()
            said = json.loads(snapshot.read(f"issues/{name[1]}.json") or b"")
            strings = {key: str(said[key]) for key in ("title", "state", "author", "association", "body_sha256")}
            found[name[1]] = SyncedIssue(issue=name[1], number=int(said["number"]), text=text, **strings)
        except (ValueError, KeyError, TypeError, RecursionError):
            raise SnapshotError(f"{CONTRACTS_REF} holds {path} in no known form", hint="nmoe-graph contract sync") from None
    return found


def write_synced(repository: Repository, issues: Mapping[str, SyncedIssue], also: tuple[str, ...] = ()) -> str | None:
    """Make these the state of this clone; returns the new commit, or None where nothing differs.

    `also` are commits of the same ref from elsewhere that the new one shall have among its ancestors.

    Raises:
        HostError: git is not here, its objects cannot be written, or somebody else moved the ref at the same moment.
    """
    rows: dict[str, Entry | None] = {}
    for issue, one in issues.items():
        rows[f"issues/{issue}.yaml"] = (0o100644, repository.objects.keep_blob(one.text.encode()))
        rows[f"issues/{issue}.json"] = (0o100644, repository.objects.keep_blob(one.facts()))
    tree = repository.objects.overlay(EMPTY_TREE, rows)
    tip = read_ref(repository.common_dir, CONTRACTS_REF)
    tips = [one for one in dict.fromkeys([tip, *also]) if one]
    if tip is not None and tips == [tip] and repository.objects.commit_fields(tip)[0] == tree:
        return None
    if tip is None and not rows and not also:
        return None
    word = "contract" if len(issues) == 1 else "contracts"
    commit = write_commit(repository, tree, tips, f"nmoe-graph: {len(issues)} {word} of the issues", who=_WHO)
    _git(repository, ["update-ref", "-m", "nmoe-graph contract sync", CONTRACTS_REF, commit, tip or "0" * 40])
    return commit


def fetch_synced(repository: Repository, remote: str) -> str | None:
    """Take the state that a remote holds; its commit, or None where it holds none.  What was here only is given up.

    Raises:
        UsageError, HostError: there is no such remote, or it cannot be read.
    """
    there = _there(repository, remote)
    if there is not None and there != read_ref(repository.common_dir, CONTRACTS_REF):
        _git(
            repository,
            ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--", remote, f"+{CONTRACTS_REF}:{CONTRACTS_REF}"],
        )
    return there


def push_synced(repository: Repository, remote: str) -> bool:
    """Give this clone's state to a remote, on top of what it holds; whether that changed anything there.

    Raises:
        UsageError, HostError: there is no such remote, or it takes nothing from us.
    """
    for _ in range(_TRIES):
        tip = read_ref(repository.common_dir, CONTRACTS_REF)
        there = _there(repository, remote)
        if tip is None or tip == there:
            return False
        if there is not None:
            _git(repository, ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--", remote, CONTRACTS_REF])
            if _git(repository, ["merge-base", "--is-ancestor", there, tip], (0, 1))[0]:
                write_synced(repository, synced_issues(read_synced(repository)), (there,))
                tip = read_ref(repository.common_dir, CONTRACTS_REF)
        status, out = _git(repository, ["push", "--porcelain", "--no-verify", "--", remote, f"{tip}:{CONTRACTS_REF}"], (0, 1))
        if status == 0:
            return True
        if "rejected" not in out:
            raise HostError(f"{printable(remote, limit=100)} does not take {CONTRACTS_REF}", hint="may you push to it?")
    raise HostError(f"{printable(remote, limit=100)}: somebody else pushes {CONTRACTS_REF} all the time", hint="try again")


def _there(repository: Repository, remote: str) -> str | None:
    if not remote or remote.startswith("-") or not remote.isprintable():
        raise UsageError(f"{printable(remote, limit=80)!r} is no remote", hint="origin, a URL or a folder")
    out = _git(repository, ["ls-remote", "--quiet", "--", remote, CONTRACTS_REF])[1]
    return out.partition("\t")[0].strip() or None


def _git(repository: Repository, args: list[str], accept: tuple[int, ...] = (0,)) -> tuple[int, str]:
    if not repository.git:
        raise HostError("contracts are synced by the git program, which is not here", hint="install git")
    try:
        status, out = run_git(repository.git, repository.root, args, accept=accept, env=transport_environment())
    except SnapshotError as error:
        raise HostError(error.faults[0].what, hint="is the remote there, and may you use it?") from None
    return status, out.decode("utf-8", "replace")
