"""Issues to the snapshot of contracts that everybody reads: who wrote what, and what is different since last time.

An issue that does not count leaves no contract behind, not even its earlier text: what is wrong is said, and what depends on
it will say so too.  What an issue says beside its one block is its own affair.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from ..errors import DeclarationError, Fault, SnapshotError, printable
from ..forge.records import Issue
from ..git.refs import CONTRACTS_REF
from ..git.repository import Repository
from ..git.snapshot import Snapshot
from ..git.synced import SyncedIssue, read_synced, synced_issues, write_synced
from ..load.build import load_build
from ..load.discover import BUILD_FILE
from ..load.gates import GatesFile, load_gates
from ..load.globs import Glob
from ..load.lint import decode_body
from ..load.markdown import find_block
from ..load.synced import contract_of_issue, disagreement
from ..model import IssuePolicy
from ..safe import redact
from .policy import issue_policy, may_author

__all__ = ["Ask", "SyncChange", "SyncReport", "sync_issues"]

_MOST_DIFF = 60


class Ask(Protocol):
    """What is asked of GitHub."""

    def issues(self, *, labels: Iterable[str] = (), state: str = "open") -> Sequence[Issue]: ...


@dataclass(frozen=True)
class SyncChange:
    """A contract that is not as it was: new, changed, or gone.  `diff` is a unified difference of the block."""

    issue: str
    number: int
    what: str  # added, changed, removed
    diff: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        lines = [printable(redact(line), limit=300) for line in self.diff]
        return {"issue": self.issue, "number": self.number, "what": self.what, "diff": lines}


@dataclass(frozen=True)
class SyncReport:
    """What the issues hold.  `refused` are issues with a contract's block that do not count, with the reasons."""

    base: str
    issues: tuple[SyncedIssue, ...]
    changes: tuple[SyncChange, ...]
    refused: tuple[Fault, ...]
    commit: str | None  # of the new snapshot; None where nothing differs, or nothing was to be written

    @property
    def exit_code(self) -> int:
        return 1 if self.refused else 0

    def to_dict(self) -> dict[str, Any]:
        rows = [
            {
                "issue": one.issue,
                "number": one.number,
                "title": printable(redact(one.title), limit=200),
                "state": one.state,
                "author": printable(one.author, limit=60),
                "association": printable(one.association, limit=40),
                "body_sha256": one.body_sha256,
            }
            for one in self.issues
        ]
        return {
            "schema": "nmoe-graph/contract-sync@1",
            "base": self.base,
            "ref": CONTRACTS_REF,
            "commit": self.commit,
            "contracts": rows,
            "changes": [one.to_dict() for one in self.changes],
            "refused": [one.to_dict() for one in self.refused],
        }


def sync_issues(
    repository: Repository, github: Ask, base: Snapshot, landed: Mapping[str, object], *, dry_run: bool = False
) -> SyncReport:
    """Read all issues, keep those that are contracts by the rules of the base, and make them the state of this clone.

    A closed issue counts only where its contract has landed: what was given up must not come back.

    Raises:
        SnapshotError, DeclarationError: the base's rules cannot be read.
        HostError: GitHub cannot be asked, or git's objects cannot be written.
    """
    policy = issue_policy(base)
    gates, allow, files = _rules(base)
    found: dict[str, list[SyncedIssue]] = {}
    refused: list[Fault] = []
    listed = [one for one in github.issues(labels=(policy.label,) if policy.label else (), state="all") if not one.is_pull]
    for issue in sorted(listed, key=lambda one: one.number):
        try:
            one = _read(issue, policy, gates, allow)
        except DeclarationError as error:
            refused += error.faults
            continue
        if one is not None and (one.state == "open" or one.issue in landed):
            found.setdefault(one.issue, []).append(one)
    kept: dict[str, SyncedIssue] = {}
    for name in sorted(found):
        if len(found[name]) > 1:
            places = ", ".join(one.place for one in found[name])
            refused.append(Fault(f"contract {name} stands in more than one issue, so in none: {places}", hint="close all but one"))
            continue
        kept[name] = found[name][0]
        if name in files and (differs := disagreement(files[name][1], files[name][0], kept[name], allow)):
            what = f"contract {name} of {kept[name].place} and of {files[name][0]} at {base.name} differ: {differs}"
            refused.append(Fault(what, hint="the issue counts; bring the file in line, or take it out"))
    before = synced_issues(_held(repository))
    commit = None if dry_run else write_synced(repository, kept)
    return SyncReport(str(base.commit), tuple(kept.values()), tuple(_changes(before, kept)), tuple(refused), commit)


def _held(repository: Repository) -> Snapshot | None:
    """What was synced last; a state that cannot be read counts as none, and is replaced."""
    snapshot = read_synced(repository)
    try:
        synced_issues(snapshot)
    except SnapshotError:
        return None
    return snapshot


def _rules(base: Snapshot) -> tuple[GatesFile | None, tuple[str, ...], dict[str, tuple[str, bytes]]]:
    """The base's gates, the words that may be public there, and its contract files by id."""
    from ..load.contract import load_contract

    build = load_build(base.read(BUILD_FILE) or b"", BUILD_FILE, "")
    declared = build.workspace
    if declared is None:
        return None, build.allow, {}
    data = base.read(declared.gates) if declared.gates else None
    gates = load_gates(data, str(declared.gates), build.allow) if data is not None else None
    files: dict[str, tuple[str, bytes]] = {}
    for pattern in declared.contracts:
        glob = Glob(pattern)
        for path, _, _ in base.walk(glob.literal_prefix.rstrip("/")):
            body = base.read(path) if glob.matches(path) else None
            if body is not None:
                try:
                    files.setdefault(load_contract(body, path, None, build.allow).issue, (path, body))
                except DeclarationError:
                    continue  # a fault of the base, which every other verb says
    return gates, build.allow, files


def _read(issue: Issue, policy: IssuePolicy, gates: GatesFile | None, allow: Sequence[str]) -> SyncedIssue | None:
    """The contract of an issue; None where it holds none.

    Raises:
        DeclarationError: it holds one that does not count, and why.
    """
    place = f"issue #{issue.number}"
    try:
        text = find_block(decode_body(issue.body.encode("utf-8", "surrogatepass"), place), place, "nmoe").text
    except DeclarationError as error:
        if any("no contract block found" in fault.what for fault in error.faults):
            return None
        raise
    if why := may_author(policy, issue.author, issue.association):
        raise DeclarationError(
            Fault(f"{place} holds a contract and does not count: {why}", hint="[issues] of the base's BUILD.toml")
        )
    made = SyncedIssue(
        issue="",
        number=issue.number,
        title=issue.title,
        state=issue.state,
        author=issue.author,
        association=issue.association,
        body_sha256=hashlib.sha256(issue.body.encode("utf-8", "surrogatepass")).hexdigest(),
        text=text,
    )
    return replace(made, issue=contract_of_issue(made, gates, allow).issue)


def _changes(before: Mapping[str, SyncedIssue], after: Mapping[str, SyncedIssue]) -> list[SyncChange]:
    found = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old is None or new is None:
            one = new or old
            assert one is not None
            found.append(SyncChange(name, one.number, "added" if old is None else "removed"))
        elif old.text != new.text or old.number != new.number:
            lines = difflib.unified_diff(old.text.splitlines(), new.text.splitlines(), old.place, new.place, lineterm="", n=1)
            listed = list(lines)
            more = [f"... and {len(listed) - _MOST_DIFF} more lines"] if len(listed) > _MOST_DIFF else []
            found.append(SyncChange(name, new.number, "changed", (*listed[:_MOST_DIFF], *more)))
    return found
