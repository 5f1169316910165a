"""The ledger: results shared through git itself, with no server but the remote that everybody has.

    refs/notes/nmoe-graph      on every tested commit, one readable line a result; `git log --notes=nmoe-graph` shows them
    refs/nmoe-graph/ledger     the signed statements, and the tested commits as ancestors, so that neither a squash nor a gc
                               loses one:
        results/KE/KEY/DIGEST.json     an envelope, by the action key that it speaks of and by its own SHA-256
        tested/SH/SHA                  an empty file for each commit that the history of this ref holds on to

Both only grow.  Two sides are joined by union, and a push is an ordinary one that the remote refuses if somebody was faster;
then we fetch, join and push again.  What a remote took back is reported, kept here, and given again with the next push.

Whatever comes from a remote is untrusted: an envelope is taken only under its own digest, a note's line only if it is one
printable line.  What an envelope proves is for its signature and for policy to say, never for its place here.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from ..errors import HostError, SnapshotError, printable
from ..locks import held
from .objects import EMPTY_TREE, TREE, Entry, Objects
from .program import disk_trouble, run_git
from .refs import LEDGER_REF, NOTES_REF, read_ref
from .repository import Repository
from .writing import write_object

__all__ = ["Ledger", "LedgerEntry", "Side", "note_line_digest"]

_MOST_ENVELOPE = 2 * 1024 * 1024
_MOST_LINES = 20_000
_MOST_LINE = 400
_NEAR = 200
_MANY = 200
_PATH = re.compile(r"results/([0-9a-f]{2})/([0-9a-f]{64})/([0-9a-f]{64})\.json\Z")
_TESTED = re.compile(r"tested/([0-9a-f]{2})/([0-9a-f]{40})\Z")
_SHA = re.compile(r"[0-9a-f]{40}\Z")
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})\Z")
_BLOB = 0o100644


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One result on its way into the ledger: its envelope, and the line that people read."""

    action_key: str
    commit: str
    line: str  # without the digest
    data: bytes

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def path(self) -> str:
        return f"results/{self.action_key[:2]}/{self.action_key}/{self.digest}.json"


@dataclass
class Side:
    """One state of the ledger: two commits and what their trees hold."""

    ledger: str | None
    notes: str | None
    files: dict[str, str] = field(default_factory=dict)  # path -> blob id, only paths of ours
    lines: dict[str, frozenset[str]] = field(default_factory=dict)  # commit -> lines of its note
    odd: list[str] = field(default_factory=list)  # what was passed over, in words


def note_line_digest(line: str) -> str | None:
    """The envelope that a line of a note speaks of, or None for a line of somebody else's."""
    found = _DIGEST.search(line.rstrip())
    return found[1] if found else None


class Ledger:
    """The ledger of one repository."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._objects: Objects = repository.objects
        self._roots: dict[str, str] = {}  # commit -> tree
        self._ancestry: dict[tuple[str, str], bool] = {}

    # -- refs ------------------------------------------------------------------------------------------------------------------

    def tip(self, ref: str = LEDGER_REF) -> str | None:
        """The commit of one of our refs; None where it does not exist."""
        return read_ref(self._repository.common_dir, ref)

    def _git(self, args: list[str], accept: tuple[int, ...] = (0,), stdin: bytes = b"") -> tuple[int, str]:
        if not self._repository.git:
            raise HostError("the ledger needs the git program", hint="install git")
        try:
            status, out = run_git(self._repository.git, self._repository.root, args, accept=accept, stdin=stdin)
        except SnapshotError as error:
            if not disk_trouble(error.faults[0].what):
                raise
            raise HostError(f"the ledger cannot be written: {error.faults[0].what}") from None
        return status, out.decode("utf-8", "replace")

    def set_refs(self, rows: Iterable[tuple[str, str, str | None]]) -> None:
        """Move refs, all or none: (ref, new, what it must be now, where "" is anything and None is nothing)."""
        text = "".join(f"update {ref} {new}{'' if old == '' else ' ' + (old or '0' * 40)}\n" for ref, new, old in rows)
        if text:
            self._git(["update-ref", "-m", "nmoe-graph", "--stdin"], stdin=text.encode())

    def alone(self) -> AbstractContextManager[None]:
        """No other process of this clone changes the ledger meanwhile."""
        return held(self._repository.state_dir / "locks/ledger", "the ledger cannot be locked")

    # -- reading ---------------------------------------------------------------------------------------------------------------

    def _tree(self, commit: str | None) -> str:
        if commit is None:
            return EMPTY_TREE
        if commit not in self._roots:
            self._roots[commit] = self._objects.commit_fields(commit)[0]
        return self._roots[commit]

    def _names(self, tree: str, *folders: str) -> dict[str, Entry]:
        here = tree
        for folder in folders:
            mode, child = self._objects.tree(here).get(folder, (0, ""))
            if mode != TREE:
                return {}
            here = child
        return self._objects.tree(here)

    def envelopes(self, action_key: str) -> list[tuple[str, bytes]]:
        """Digest and bytes of every envelope that stands under an action key; what is not what its name says is left out."""
        tip = self.tip()
        if tip is None:
            return []
        try:
            names = self._names(self._tree(tip), "results", action_key[:2], action_key)
            return [found for name in sorted(names) if (found := self._envelope(name, names[name]))]
        except SnapshotError:
            return []

    def _envelope(self, name: str, entry: Entry) -> tuple[str, bytes] | None:
        digest = name.removesuffix(".json")
        if entry[0] & 0o170000 != 0o100000:
            return None
        data = self._objects.blob(entry[1])
        return (digest, data) if len(data) <= _MOST_ENVELOPE and hashlib.sha256(data).hexdigest() == digest else None

    def envelope(self, digest: str) -> bytes | None:
        """The envelope of a digest, wherever it stands."""
        tip = self.tip()
        if tip is None or not re.fullmatch(r"[0-9a-f]{64}", digest):
            return None
        tree = self._tree(tip)
        for group in sorted(self._names(tree, "results")):
            for key in sorted(self._names(tree, "results", group)):
                entry = self._names(tree, "results", group, key).get(f"{digest}.json")
                if entry is not None and (found := self._envelope(f"{digest}.json", entry)):
                    return found[1]
        return None

    def notes(self, commit: str) -> list[str]:
        """The lines on a commit, sorted."""
        side = self.side(None, self.tip(NOTES_REF))
        return sorted(side.lines.get(commit, ()))

    def side(self, ledger: str | None, notes: str | None) -> Side:
        """Read a state; what does not belong there is passed over, and said."""
        side = Side(ledger, notes)
        for path, mode, blob in self._objects.walk(self._tree(ledger)):
            named = _PATH.match(path) or _TESTED.match(path)
            if named and mode == _BLOB and named[2].startswith(named[1]):
                side.files[path] = blob
            else:
                side.odd.append(f"{printable(path, limit=100)} is no part of a ledger")
        for path, mode, blob in self._objects.walk(self._tree(notes)):
            commit = path.replace("/", "")
            if not _SHA.match(commit) or mode & 0o170000 != 0o100000:
                side.odd.append(f"{printable(path, limit=100)} is no note")
                continue
            text = self._objects.blob(blob).decode("utf-8", "replace")
            lines = [line.rstrip() for line in text.split("\n")[:_MOST_LINES] if line.strip()]
            good = {line for line in lines if line.isprintable() and len(line) <= _MOST_LINE}
            if len(good) < len(set(lines)):
                side.odd.append(f"the note on {commit[:12]} holds a line that is no printable text")
            side.lines[commit] = side.lines.get(commit, frozenset()) | good
        return side

    def verified(self, side: Side) -> Side:
        """The side without envelopes that are not what their names say, and without anchors of commits that are not here."""
        kept: dict[str, str] = {}
        for path, blob in side.files.items():
            name = path.rpartition("/")[2]
            try:
                fine = self._envelope(name, (_BLOB, blob)) is not None if path.startswith("results/") else True
            except SnapshotError:
                fine = False
            if fine:
                kept[path] = blob
            else:
                side.odd.append(f"the envelope {name[:12]} is not what its name says")
        side.files = kept
        return side

    # -- writing ---------------------------------------------------------------------------------------------------------------

    def _store_tree(self, tree: str) -> None:
        """Write what of a tree is only in memory; it is on the disk when this returns."""
        found: list[tuple[int, bytes]] = []
        pending = [tree]
        while pending:
            name = pending.pop()
            held = self._objects.held(name)
            if held is not None:
                found.append(held)
                pending += [child for _, child in self._objects.tree(name).values()] if held[0] == 2 else []
        many = len(found) > _MANY
        for held in found:
            write_object(self._repository, *held, sync=not many)
        if many:
            os.sync()  # once for all is faster than each by itself

    def _commit(self, tree: str, parents: Iterable[str], message: str) -> str:
        self._store_tree(tree)
        who = f"nmoe-graph <ledger@nmoe-graph.invalid> {int(time.time())} +0000"
        lines = [f"tree {tree}", *(f"parent {one}" for one in parents), f"author {who}", f"committer {who}", "", message, ""]
        return write_object(self._repository, 1, "\n".join(lines).encode())

    def joined(self, sides: list[Side], more: Mapping[str, str], lines: Mapping[str, Iterable[str]]) -> Side:
        """The union of states, and of what is new; commits are made only where nobody has that very state."""
        files: dict[str, str] = dict(more)
        notes: dict[str, frozenset[str]] = {commit: frozenset(listed) for commit, listed in lines.items()}
        for side in sides:
            files |= side.files
            for commit, listed in side.lines.items():
                notes[commit] = notes.get(commit, frozenset()) | listed
        ledgers = list(dict.fromkeys(side.ledger for side in sides if side.ledger))
        joined = Side(None, None, files, notes)
        known = {path for side in sides for path in side.files}
        anchors = [found[2] for path in sorted(files.keys() - known) if (found := _TESTED.match(path))]
        joined.ledger = self._advance(sides, "ledger", ledgers, self._ledger_tree(files), anchors)
        tips = list(dict.fromkeys(side.notes for side in sides if side.notes))
        joined.notes = self._advance(sides, "notes", tips, self._notes_tree(notes), [])
        return joined

    def _ledger_tree(self, files: Mapping[str, str]) -> str:
        return self._objects.overlay(EMPTY_TREE, {path: (_BLOB, blob) for path, blob in files.items()})

    def _notes_tree(self, notes: Mapping[str, frozenset[str]]) -> str:
        rows: dict[str, Entry | None] = {}
        for commit, lines in notes.items():
            body = "".join(f"{line}\n" for line in sorted(lines)).encode()
            rows[f"{commit[:2]}/{commit[2:]}"] = (_BLOB, self._objects.keep_blob(body))
        return self._objects.overlay(EMPTY_TREE, rows)

    def _advance(self, sides: list[Side], what: str, tips: list[str], tree: str, anchors: list[str]) -> str | None:
        """A commit with this tree that has every tip among its ancestors; one of the tips, if it is that already."""
        if not tips and tree == EMPTY_TREE:
            return None
        for tip in tips:
            if self._tree(tip) == tree and not anchors and all(self._is_ancestor(other, tip) for other in tips):
                return tip
        parents = [tip for tip in tips if not any(tip != other and self._is_ancestor(tip, other) for other in tips)]
        for start in range(0, len(anchors), 50):
            if start:
                parents = [self._commit(self._tree(parents[0]) if tips else EMPTY_TREE, parents, f"nmoe-graph {what}")]
            parents = [*parents, *anchors[start : start + 50]]
        return self._commit(tree, parents, f"nmoe-graph {what}")

    def _is_ancestor(self, old: str, new: str) -> bool:
        if (old, new) not in self._ancestry:
            self._ancestry[old, new] = self._look_back(old, new)
        return self._ancestry[old, new]

    def _look_back(self, old: str, new: str) -> bool:
        seen, pending = {new}, [new]
        for commit in pending:  # short histories need no program
            if old == commit:
                return True
            if len(seen) > _NEAR:
                return self._git(["merge-base", "--is-ancestor", old, new], accept=(0, 1))[0] == 0
            fresh = [parent for parent in self._objects.commit_fields(commit)[1] if parent not in seen]
            pending += fresh
            seen.update(fresh)
        return False

    def here(self) -> Side:
        return self.side(self.tip(), self.tip(NOTES_REF))

    def move(self, before: Side, after: Side) -> None:
        """Make `after` this clone's state; `before` is what it was when `after` was made."""
        rows = ((LEDGER_REF, before.ledger, after.ledger), (NOTES_REF, before.notes, after.notes))
        self.set_refs((ref, new, old) for ref, old, new in rows if new and new != old)

    def add(self, entries: Iterable[LedgerEntry]) -> int:
        """Put envelopes into this clone's ledger; returns how many were not there.

        Raises:
            HostError: git is not here, or its objects cannot be written.
        """
        listed = list(entries)
        with self.alone():
            before = self.here()
            fresh = [entry for entry in listed if entry.path not in before.files]
            if not fresh:
                return 0
            files = {entry.path: self._objects.keep_blob(entry.data) for entry in fresh}
            lines: dict[str, list[str]] = {}
            for entry in fresh:
                lines.setdefault(entry.commit, []).append(f"{entry.line}  sha256:{entry.digest}")
                if self._objects.is_commit(entry.commit):
                    files[f"tested/{entry.commit[:2]}/{entry.commit}"] = self._objects.keep_blob(b"")
            self.move(before, self.joined([before], files, lines))
            return len(fresh)
