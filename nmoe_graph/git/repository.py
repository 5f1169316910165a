"""One repository: where it is, what its refs mean, and the snapshots that can be taken of it."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import SnapshotError, UsageError, printable
from .objects import EMPTY_TREE, GITLINK, LINK, Entry, Objects
from .program import find_git, run_git
from .snapshot import Snapshot

__all__ = ["Repository"]

_FULL = re.compile(r"[0-9a-f]{40}\Z")


class Repository:
    """A checkout and the object store that it shares with the other worktrees of its repository."""

    def __init__(self, root: Path, git_dir: Path, common_dir: Path) -> None:
        self.root, self.git_dir, self.common_dir = root, git_dir, common_dir
        self.git = find_git()
        self.objects = Objects([common_dir / "objects"])

    @classmethod
    def open(cls, where: Path) -> Repository:
        """Find the checkout that holds a folder.

        Raises:
            UsageError: the folder is in no checkout, or the repository is of a kind that cannot be read.
        """
        try:
            place = where.resolve()  # as the system goes there: `..` and links by what they lead to, not by how they are written
            is_folder = place.is_dir()
        except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle, before Python 3.13
            why = getattr(error, "strerror", None) or "its links lead in a circle"
            what = f"the folder {printable(str(where), limit=200)} cannot be reached: {why}"
            raise UsageError(what, hint="is the folder that you are in still there?") from None
        where = place
        if not is_folder:
            raise UsageError(f"{printable(str(where), limit=200)} is no folder")
        for folder in (where, *where.parents):
            marker = folder / ".git"
            if marker.is_dir() and (marker / "HEAD").exists():
                git_dir = marker
            elif marker.is_file():
                words = marker.read_text("utf-8", "surrogateescape").strip()
                git_dir = Path(os.path.normpath(folder / words.removeprefix("gitdir: ")))
            else:
                continue
            pointer = git_dir / "commondir"
            common = Path(os.path.normpath(git_dir / pointer.read_text().strip())) if pointer.is_file() else git_dir
            found = cls(folder.resolve(), git_dir.resolve(), common.resolve())
            if "objectformat = sha256" in found._config_text():
                raise UsageError(
                    "this repository names objects by SHA-256, which is not supported", hint="git init --object-format=sha1"
                )
            return found
        raise UsageError(f"{printable(str(where))} is in no git checkout", hint="git init, or give a folder with -C")

    def _config_text(self) -> str:
        try:
            return (self.common_dir / "config").read_text("utf-8", "replace").lower()
        except OSError:
            return ""

    @property
    def state_dir(self) -> Path:
        """Where results and memo tables live: shared by all worktrees, outside every tree."""
        return self.common_dir / "nmoe-graph"

    def worktrees(self) -> list[Path]:
        """The checkouts of this repository on this machine, this one first."""
        found = [self.root]
        main = self.common_dir.parent if self.common_dir.name == ".git" else None
        others = [main] if main else []
        for pointer in sorted((self.common_dir / "worktrees").glob("*/gitdir")):
            try:
                others.append(Path(pointer.read_text("utf-8", "surrogateescape").strip()).parent)
            except OSError:
                continue
        return found + [path for path in others if path != self.root and path.is_dir()]

    @property
    def shallow(self) -> bool:
        return (self.common_dir / "shallow").exists()

    @property
    def empty(self) -> bool:
        """Whether nothing has been committed on the branch that is checked out."""
        return self.try_resolve("HEAD") is None

    def base_hint(self, flag: str = "--base") -> str:
        """What to do where no ref of the base is here."""
        return "nothing is committed here yet: git commit" if self.empty else f"git fetch origin, or say {flag} REF"

    # -- refs ------------------------------------------------------------------------------------------------------------------

    def resolve(self, ref: str) -> str:
        """The commit that a ref, a SHA or an expression like HEAD~1 names.

        Raises:
            SnapshotError: there is none; the hint says what to fetch.
        """
        found = self.try_resolve(ref)
        if found is None:
            raise SnapshotError(f"{printable(ref, limit=100)} names no commit here", hint=self._fetch_hint(ref))
        return found

    def _fetch_hint(self, ref: str) -> str:
        if self.empty:
            return "nothing is committed here yet: git commit"
        if self.shallow:
            return "this clone is shallow: git fetch --unshallow"
        remote, slash, branch = ref.partition("/")
        if slash and (self.common_dir / "refs" / "remotes").is_dir() and remote == "origin":
            return f"git fetch origin {printable(branch, limit=60)}"
        return "git fetch, or name another ref"

    def try_resolve(self, ref: str) -> str | None:
        if not ref or ref.startswith("-") or any(ord(char) < 33 or ord(char) == 127 for char in ref) or len(ref) > 400:
            raise UsageError(f"{printable(ref, limit=80)!r} is no ref", hint="a branch, a tag, a SHA, or an expression like HEAD~1")
        if _FULL.match(ref) and self.objects.is_commit(ref):
            return ref
        if self.git:
            status, out = run_git(
                self.git, self.root, ["rev-parse", "--verify", "--quiet", "--end-of-options", ref + "^{commit}"], accept=(0, 1, 128)
            )
            text = out.decode().strip()
            return text if status == 0 and _FULL.match(text) else None
        return self._resolve_by_dulwich(ref)

    def _dulwich(self) -> Any:
        from dulwich.repo import Repo

        return Repo(str(self.root))

    def _resolve_by_dulwich(self, ref: str) -> str | None:
        from dulwich.objectspec import parse_commit

        base, steps = re.fullmatch(r"(.*?)((?:[~^]\d*)*)", ref, re.DOTALL).groups()  # type: ignore[union-attr]
        try:
            found = str(parse_commit(self._dulwich(), base.encode()).id.decode())
            for mark, count in re.findall(r"([~^])(\d*)", steps):
                for _ in range(int(count or 1) if mark == "~" else 1):
                    parents = self.objects.commit_fields(found)[1]
                    found = parents[int(count or 1) - 1 if mark == "^" else 0]
        except (KeyError, IndexError, ValueError):
            return None
        return found

    def merge_base(self, one: str, two: str) -> str:
        """The commit from which two commits went apart, as `git diff one...two` takes it.

        Raises:
            SnapshotError: they have none (here).
        """
        return self.merge_bases(two, one)[0]

    def merge_bases(self, one: str, *others: str) -> tuple[str, ...]:
        """All commits from which a commit and a merge of the others went apart: histories that cross have more than one.

        The first is the one that git would take if it could take only one.

        Raises:
            SnapshotError: they have none (here).
        """
        two = others[0]
        if len(others) == 1 and (one == two or two in self.objects.commit_fields(one)[1]):
            return (two,)
        if self.git:
            _, out = run_git(self.git, self.root, ["merge-base", "--all", one, *others], accept=(0, 1))
            found = tuple(out.decode().split())
        else:
            from dulwich.graph import find_merge_base

            names: Any = [each.encode() for each in (one, *others)]
            found = tuple(sorted(base.decode() for base in find_merge_base(self._dulwich(), names)))
        if not found:
            hint = (
                "this clone is shallow: git fetch --unshallow"
                if self.shallow
                else "the two histories are unrelated; name another ref"
            )
            raise SnapshotError(f"{two[:12]} and {one[:12]} have no common commit here", hint=hint)
        return found

    def branch_commit(self, branch: str) -> str | None:
        """The commit of a branch, local first, then on origin; None where there is neither."""
        for ref in (f"refs/heads/{branch}", f"refs/remotes/origin/{branch}"):
            found = self.try_resolve(ref)
            if found:
                return found
        return None

    # -- snapshots -------------------------------------------------------------------------------------------------------------

    def at(self, ref: str) -> Snapshot:
        """The snapshot of a commit."""
        commit = self.resolve(ref)
        return Snapshot(self.objects, self.objects.commit_fields(commit)[0], ref, commit)

    def head(self) -> str | None:
        return self.try_resolve("HEAD")

    def work_tree(self) -> Snapshot:
        """HEAD plus what is dirty or untracked (and not ignored).  Clean means: the commit's own snapshot."""
        head = self.head()
        base = self.objects.commit_fields(head)[0] if head else EMPTY_TREE
        changes: dict[str, Entry | None] = {}
        for path, mode in self._dirty(base):
            changes[path] = self._entry_on_disk(path, mode)
        tree = self.objects.overlay(base, changes) if changes else base
        return Snapshot(self.objects, tree, "the work tree", head if tree == base else None)

    def _entry_on_disk(self, path: str, mode: int | None) -> Entry | None:
        """What git would record for a path of the work tree; `mode` is git's opinion where it has one."""
        full = os.path.join(self.root, path)
        try:
            info = os.lstat(full)
            if stat.S_ISLNK(info.st_mode):
                return LINK, self.objects.keep_blob(os.fsencode(os.readlink(full)))
            if stat.S_ISDIR(info.st_mode):
                return self._nested(Path(full))
            if not stat.S_ISREG(info.st_mode):
                return None  # sockets and pipes: git does not see them either
            with open(full, "rb") as handle:
                data = handle.read()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise SnapshotError(f"{printable(path)} cannot be read: {error.strerror}", hint="look at its permissions") from None
        if mode in (0o100644, 0o100755):
            return mode, self.objects.keep_blob(data)
        return 0o100755 if info.st_mode & 0o100 else 0o100644, self.objects.keep_blob(data)

    @staticmethod
    def _nested(folder: Path) -> Entry | None:
        """A repository inside the work tree counts as the commit that it is at."""
        try:
            head = Repository.open(folder)
        except UsageError:
            return None
        commit = head.head() if head.root == folder.resolve() else None
        return (GITLINK, commit) if commit else None

    def _dirty(self, base: str) -> Iterator[tuple[str, int | None]]:
        if not self.git:
            yield from self._dirty_by_hand(base)
            return
        args = ["status", "--porcelain=v2", "-z", "--no-renames", "--untracked-files=all", "--ignore-submodules=dirty"]
        _, out = run_git(self.git, self.root, args)
        for row in out.split(b"\0"):
            if row[:1] == b"?":
                yield os.fsdecode(row[2:]).rstrip("/"), None
            elif row[:1] == b"1":
                fields = row.split(b" ", 8)
                yield os.fsdecode(fields[8]), int(fields[5], 8)
            elif row[:1] == b"u":
                fields = row.split(b" ", 10)
                yield os.fsdecode(fields[10]), int(fields[6], 8)

    def _dirty_by_hand(self, base: str) -> Iterator[tuple[str, int | None]]:
        """Without git: hash every file.  Slow, and right."""
        from dulwich.ignore import IgnoreFilterManager

        ignored = IgnoreFilterManager.from_repo(self._dulwich())
        known = {path: (mode, name) for path, mode, name in self.objects.walk(base)}
        seen: set[str] = set()
        links = {path for path, (mode, _) in known.items() if mode == GITLINK}
        folders = {"/".join(parts[:count]) for parts in (path.split("/") for path in known) for count in range(1, len(parts))}
        pending = [""]
        while pending:
            folder = pending.pop()
            for item in sorted(os.scandir(os.path.join(self.root, folder)), key=lambda item: item.name):
                path = f"{folder}/{item.name}" if folder else item.name
                if item.name == ".git":
                    continue
                if item.is_dir(follow_symlinks=False) and path not in links:
                    if path in folders or not ignored.is_ignored(path + "/"):
                        pending.append(path)
                    continue
                if path in known or not ignored.is_ignored(path):
                    seen.add(path)
                    kept_mode = known[path][0] if path in known and self._file_mode_off() else None
                    if self._entry_on_disk(path, kept_mode) != known.get(path):
                        yield path, kept_mode
        for path in sorted(known.keys() - seen - links):
            yield path, None

    def _file_mode_off(self) -> bool:
        return "filemode = false" in self._config_text()
