"""Branches as found: heads, where each left the base, what the base has already, and whose work begins where."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import SnapshotError
from ..git.merging import Crossed
from ..git.objects import Entry
from ..git.patch import patch_id
from ..git.program import run_git
from ..git.repository import Repository
from ..store.memo import SqliteMemo

__all__ = ["Branch", "Branches", "CONTRACT", "OwnWork", "SQUASHED"]

#: Trailers of a landing: which contract it is, and the commit that was squashed.
CONTRACT, SQUASHED = "Contract", "Squashed-Head"

Change = tuple[str, Entry | None, Entry | None]

_MOST_OWN = 200  # commits of one branch that are looked through for the work of another


@dataclass(frozen=True, slots=True)
class Branch:
    """A branch: its head, the tree of that, and the tree where it left the base."""

    ref: str  # "" where it was given as a commit
    head: str
    tree: str
    fork: str
    fork_tree: str
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OwnWork:
    """Where a branch's own work begins: the trees that it grew from, mostly one, and the contracts whose work is in them.

    `crossed` is set where there are more: the commits on either side, of which git finds what to merge first.
    """

    trees: tuple[str, ...]
    on: tuple[str, ...] = ()
    crossed: Crossed | None = None


@dataclass(frozen=True, slots=True)
class Landing:
    """A commit on the base that landed a contract."""

    commit: str
    head: str  # what was squashed; "" where the commit does not say


class Branches:
    """Reads refs once, and remembers merge bases by the commits that they are of."""

    def __init__(self, repository: Repository, memo: SqliteMemo, base: str) -> None:
        self._repository, self._memo, self.base = repository, memo, base
        self._refs = self._read_refs()
        self._bases: dict[tuple[str, str], str] = {}
        self.landings = self._read_landings()

    # -- refs ------------------------------------------------------------------------------------------------------------------

    def _read_refs(self) -> dict[str, str] | None:
        if not self._repository.git:
            return None
        args = ["for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/remotes/origin"]
        _, out = run_git(self._repository.git, self._repository.root, args)
        rows = (line.partition(" ") for line in out.decode("utf-8", "surrogateescape").splitlines())
        return {ref: commit for commit, _, ref in rows}

    def of(self, branch: str, named: str | None = None) -> Branch | None:
        """The branch of that name, local first, then on origin; or whatever ref or commit was named instead."""
        ref = ""
        if named is not None:
            head: str | None = self._repository.resolve(named)
            ref = f"refs/heads/{named}" if self._refs and f"refs/heads/{named}" in self._refs else ""
        elif self._refs is None:
            head = self._repository.branch_commit(branch)
        else:
            ref = next((one for one in (f"refs/heads/{branch}", f"refs/remotes/origin/{branch}") if one in self._refs), "")
            head = self._refs.get(ref)
        return self.at(head, ref) if head else None

    def at(self, head: str, ref: str = "") -> Branch:
        objects = self._repository.objects
        tree = objects.commit_fields(head)[0]
        fork = self.merge_base(self.base, head)
        fork_tree = objects.commit_fields(fork)[0]
        return Branch(ref, head, tree, fork, fork_tree, tuple(path for path, _, _ in self.changes(fork_tree, tree)))

    def changes(self, old: str, new: str) -> list[Change]:
        """What differs between two trees of the repository, leaf by leaf; remembered, since large folders are slow to read."""
        kept = self._memo.get("changes.1", f"{old}:{new}")
        if isinstance(kept, list):
            return [(path, (one[0], one[1]) if one else None, (two[0], two[1]) if two else None) for path, one, two in kept]
        found = list(self._repository.objects.differences(old, new))
        self._memo.put("changes.1", f"{old}:{new}", found)
        return found

    def merge_base(self, one: str, two: str) -> str:
        if (one, two) not in self._bases:
            kept = None if self._repository.shallow else self._memo.get("merge-base.1", f"{one}:{two}")
            if not isinstance(kept, str):
                kept = self._repository.merge_base(one, two)
                self._memo.put("merge-base.1", f"{one}:{two}", kept)
            self._bases[one, two] = kept
        return self._bases[one, two]

    def is_ancestor(self, old: str, new: str) -> bool:
        try:
            return self.merge_base(old, new) == old
        except SnapshotError:
            return False

    # -- what has landed -------------------------------------------------------------------------------------------------------

    def _read_landings(self) -> dict[str, Landing]:
        """By contract; what the trailers in the history of the base say."""
        kept = None if self._repository.shallow else self._memo.get("landings.1", self.base)
        if not isinstance(kept, dict):
            kept = self._by_git() if self._repository.git else self._by_hand()
            self._memo.put("landings.1", self.base, kept)
        return {issue: Landing(*row) for issue, row in kept.items()}

    def _by_git(self) -> dict[str, list[str]]:
        assert self._repository.git
        trailers = "%x00".join(f"%(trailers:key={key},valueonly,separator=%x01)" for key in (CONTRACT, SQUASHED))
        fields = f"%H%x00{trailers}%x02"
        args = ["log", f"--format={fields}", f"--grep=^{CONTRACT}: ", self.base]
        _, out = run_git(self._repository.git, self._repository.root, args)
        found: dict[str, list[str]] = {}
        for row in out.decode("utf-8", "replace").split("\x02"):
            parts = row.strip().split("\0")
            if len(parts) == 3:
                for issue in filter(None, (one.strip() for one in parts[1].split("\x01"))):
                    found.setdefault(issue, [parts[0], _commit(parts[2])])
        return found

    def _by_hand(self) -> dict[str, list[str]]:
        """The last paragraph of a message that has a subject before it."""
        found: dict[str, list[str]] = {}
        seen, pending = {self.base}, [self.base]
        while pending:
            commit = pending.pop(0)
            try:
                _, parents, message = self._repository.objects.commit_fields(commit)
            except SnapshotError:  # where a shallow clone ends
                continue
            subject, gap, last = message.decode("utf-8", "replace").strip().rpartition("\n\n")
            if subject and gap:
                lines = [line.partition(": ") for line in last.splitlines()]
                squashed = _commit(next((value for key, _, value in lines if key == SQUASHED), ""))
                for key, _, value in lines:
                    if key == CONTRACT and value.strip():
                        found.setdefault(value.strip(), [commit, squashed])
            pending += [one for one in parents if one not in seen]
            seen.update(parents)
        return found

    # -- where a child's own work begins ---------------------------------------------------------------------------------------

    def own_work(self, branch: Branch, parents: Sequence[str], others: Mapping[str, Branch]) -> OwnWork:
        """Where a branch's own work begins.

        A branch that was cut from another's branch carries that one's commits.  Once the other is squashed they are not in the
        history of the base, and would be merged again.  So the squash counts as what it means, a merge of the other's head;
        where the other grew after the branch was cut, or the branch took in the base since, that still finds what is common.
        `parents` are in landing order.
        """
        stood = [(parent, head) for parent in parents for head in self._heads_of(parent, others) if self._carries(branch, head)]
        if not stood:
            for parent in reversed(parents):
                if commit := self._same_patch(branch, parent):
                    stood = [(parent, commit)]
                    break
        sides = (self.base, *dict.fromkeys(head for _, head in stood))
        bases = self._merge_bases(branch.head, *sides)
        trees = tuple(self._repository.objects.commit_fields(base)[0] for base in bases)
        on = tuple(dict.fromkeys(parent for parent, _ in stood))
        return OwnWork(trees, on, (sides, branch.head) if len(bases) > 1 else None)

    def own_changes(self, own: OwnWork, branch: Branch) -> list[Change]:
        """What a branch itself does: against each tree that it grew from, where that is more than one."""
        first, *more = (self.changes(tree, branch.tree) for tree in own.trees)
        for others in more:
            paths = {path for path, _, _ in others}
            first = [change for change in first if change[0] in paths]
        return first

    def _carries(self, branch: Branch, head: str) -> bool:
        """Whether a branch holds commits of another that are not in the history of the base."""
        try:
            shared = self.merge_base(head, branch.head)
        except SnapshotError:
            return False
        return not self.is_ancestor(shared, self.base)

    def _merge_bases(self, one: str, *others: str) -> tuple[str, ...]:
        if len(others) == 2 and self._repository.objects.commit_fields(one)[1] == others[1:]:
            return others[1:]  # one commit more than what it stands on
        key = ":".join((one, *others))
        kept = None if self._repository.shallow else self._memo.get("merge-bases.1", key)
        if not isinstance(kept, list):
            kept = list(self._repository.merge_bases(one, *others))
            self._memo.put("merge-bases.1", key, kept)
        return tuple(kept)

    def _heads_of(self, parent: str, others: Mapping[str, Branch]) -> list[str]:
        """What of a contract is on the base, or will be: what was squashed, else its branch as it is."""
        landing = self.landings.get(parent)
        if landing and landing.head and self._has(landing.head):
            return [landing.head]
        return [others[parent].head] if parent in others else []

    def _has(self, commit: str) -> bool:
        try:
            self._repository.objects.commit_fields(commit)
        except SnapshotError:
            return False
        return True

    def _same_patch(self, branch: Branch, parent: str) -> str:
        """Where the parent's branch is gone and its landing does not name it: the commit at which the same patch was made."""
        landing = self.landings.get(parent)
        if landing is None or landing.head or not self._repository.git or not branch.paths:
            return ""
        kept = self._memo.get("same-patch.2", f"{branch.fork}:{branch.head}:{landing.commit}")
        if isinstance(kept, str):
            return kept
        objects = self._repository.objects
        tree, before, _ = objects.commit_fields(landing.commit)
        wanted = patch_id(self._repository, objects.commit_fields(before[0])[0], tree) if before else ""
        found, commit = "", branch.head
        for _ in range(_MOST_OWN if wanted else 0):
            if commit == branch.fork:
                break
            tree, before, _ = objects.commit_fields(commit)
            if commit != branch.head and patch_id(self._repository, branch.fork_tree, tree) == wanted:
                found = commit
                break
            if not before:
                break
            commit = before[0]
        self._memo.put("same-patch.2", f"{branch.fork}:{branch.head}:{landing.commit}", found)
        return found


def _commit(text: str) -> str:
    found = re.search(r"\b[0-9a-f]{40}\b", text)
    return found[0] if found else ""
