"""The bare repository behind the double: branches, merges and diffs by the git program, as GitHub makes them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

__all__ = ["Bare"]

_WHO = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "GitHub"), ("EMAIL", "noreply@example.com"))
}


class Bare:
    """A bare repository."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def git(self, *args: str, accept: tuple[int, ...] = (0,), stdin: str = "") -> tuple[int, str]:
        env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | _WHO
        done = subprocess.run(["git", *args], cwd=self.path, env=env, input=stdin, capture_output=True, text=True, check=False)
        if done.returncode not in accept:
            raise AssertionError(f"git {' '.join(args)}: {done.stderr}")
        return done.returncode, done.stdout.strip()

    def tip(self, branch: str) -> str:
        """The commit of a branch, "" where there is none."""
        status, out = self.git("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}", accept=(0, 1))
        return out if status == 0 else ""

    def move(self, branch: str, new: str, old: str) -> bool:
        """Compare-and-swap; a `new` of "" deletes."""
        args = ["update-ref", f"refs/heads/{branch}", new, old] if new else ["update-ref", "-d", f"refs/heads/{branch}", old]
        return self.git(*args, accept=(0, 1, 128))[0] == 0

    def merged_tree(self, base: str, head: str) -> str:
        """The tree of a three-way merge, "" where it conflicts."""
        status, out = self.git("merge-tree", "--write-tree", base, head, accept=(0, 1))
        return out.splitlines()[0] if status == 0 else ""

    def commit(self, tree: str, parents: list[str], message: str) -> str:
        flags = [flag for parent in parents for flag in ("-p", parent)]
        return self.git("commit-tree", tree, *flags, "-m", message)[1]

    def changed(self, base: str, head: str) -> list[tuple[str, str, str]]:
        """Status, path and previous path of what a head changes since it left the base."""
        words = {"A": "added", "D": "removed", "M": "modified", "T": "changed", "R": "renamed", "C": "copied"}
        fields = self.git("diff", "--name-status", "-z", "-M", f"{base}...{head}")[1].rstrip("\0").split("\0")
        found, index = [], 0
        while index < len(fields) and fields[index]:
            kind = fields[index][0]
            if kind in "RC":
                found.append((words[kind], fields[index + 2], fields[index + 1]))
                index += 3
            else:
                found.append((words[kind], fields[index + 1], ""))
                index += 2
        return found

    def write(self, branch: str, files: dict[str, str], message: str = "change", start: str = "main") -> str:
        """A commit on a branch, as a push would leave it there; a new branch begins at `start`.  Files are at the top."""
        parent = self.tip(branch) or self.tip(start)
        listing = self.git("ls-tree", "-z", parent)[1] if parent else ""
        entries = {row.partition("\t")[2]: row.partition("\t")[0] for row in listing.split("\0") if row}
        for name, text in files.items():
            entries[name] = f"100644 blob {self.git('hash-object', '-w', '--stdin', stdin=text)[1]}"
        tree = self.git("mktree", "-z", stdin="".join(f"{what}\t{name}\0" for name, what in sorted(entries.items())))[1]
        made = self.commit(tree, [parent] if parent else [], message)
        self.git("update-ref", f"refs/heads/{branch}", made)
        return made
