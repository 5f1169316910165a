"""Generated merges: a base and two sides, written straight into a repository's objects."""

from __future__ import annotations

import hashlib
import random
import subprocess
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nmoe_graph.git.objects import EMPTY_TREE, GITLINK, LINK, Entry, Objects, blob_id, tree_bytes, tree_id

FILE, PROGRAM = 0o100644, 0o100755
Files = dict[str, tuple[int, bytes]]  # path -> mode, content (a commit id for a submodule)
WORDS = ["alpha", "beta", "gamma", "delta", "", "}", "    return x"]


class Writer:
    """Loose objects of one repository, without a process each."""

    def __init__(self, root: Path) -> None:
        self.root, self.folder = root, root / ".git/objects"
        self._written: set[str] = set()

    def put(self, kind: bytes, body: bytes) -> str:
        whole = b"%s %d\0" % (kind, len(body)) + body
        name = hashlib.sha1(whole).hexdigest()
        if name not in self._written:
            self._written.add(name)
            path = self.folder / name[:2] / name[2:]
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(zlib.compress(whole, 1))
        return name

    def tree(self, files: Files) -> str:
        here: dict[str, Entry] = {}
        below: dict[str, Files] = {}
        for path, (mode, data) in files.items():
            head, slash, rest = path.partition("/")
            if slash:
                below.setdefault(head, {})[rest] = (mode, data)
            else:
                here[head] = (mode, data.decode() if mode == GITLINK else self.put(b"blob", data))
        here |= {name: (0o040000, self.tree(inner)) for name, inner in below.items()}
        return self.put(b"tree", tree_bytes(here.items()))

    def commit(self, tree: str, *parents: str, when: int = 0) -> str:
        who = [f"{role} a <a> {when} +0000" for role in ("author", "committer")]
        lines = [f"tree {tree}", *(f"parent {one}" for one in parents), *who, "", "m"]
        return self.put(b"commit", "\n".join(lines).encode() + b"\n")


def text(rng: random.Random, lines: int) -> bytes:
    end = b"\r\n" if rng.random() < 0.15 else b"\n"
    rows = [f"{number} {rng.choice(WORDS)}" if rng.random() < 0.8 else rng.choice(WORDS) for number in range(lines)]
    body = end.join(row.encode() for row in rows)
    return body + (b"" if rng.random() < 0.1 else end)


def base_of(rng: random.Random) -> Files:
    files: Files = {}
    for number in range(rng.randint(2, 9)):
        folder = rng.choice(["", "a/", "a/b/", "c/", "c/d/"])
        kind = rng.random()
        path = f"{folder}f{number}"
        if kind < 0.06:
            files[path] = (LINK, rng.choice([b"f0", b"../x", b"a"]))
        elif kind < 0.12:
            files[path] = (GITLINK, hashlib.sha1(bytes([rng.randrange(9)])).hexdigest().encode())
        elif kind < 0.2:
            files[path] = (FILE, b"\0\1\2" + rng.randbytes(40))
        else:
            files[path] = (rng.choice([FILE, FILE, FILE, PROGRAM]), text(rng, rng.randint(1, 30)))
    return files


def edited(rng: random.Random, data: bytes) -> bytes:
    if b"\0" in data[:100]:
        return data + rng.randbytes(1)
    how = rng.random()
    if how < 0.08:
        return data.replace(b"\r\n", b"\n") if b"\r\n" in data else data.replace(b"\n", b"\r\n")
    if how < 0.16:
        return data.replace(b" ", b"  ")
    rows = data.split(b"\n")
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(rows))
        what = rng.random()
        if what < 0.3:
            rows.insert(at, rng.choice(WORDS).encode())
        elif what < 0.5 and len(rows) > 1:
            del rows[at]
        else:
            rows[at] = rng.choice([*WORDS, "new", "newer"]).encode() + bytes([rng.choice(b"xyz")])
    return b"\n".join(rows)


def side_of(rng: random.Random, base: Files, changes: int) -> Files:
    files = dict(base)
    for _ in range(changes):
        paths = sorted(files)
        what = rng.random()
        if not paths or what < 0.12:
            files.setdefault(f"{rng.choice(['', 'a/', 'c/', 'e/'])}n{rng.randrange(4)}", (FILE, text(rng, rng.randint(0, 6))))
            continue
        path = rng.choice(paths)
        mode, data = files[path]
        if what < 0.2:
            del files[path]
        elif what < 0.3:
            new = f"{rng.choice(['', 'a/', 'g/'])}r{rng.randrange(4)}"
            if new not in files and not any(one.startswith(new + "/") for one in files):
                files[new] = files.pop(path)
                if rng.random() < 0.4 and mode in (FILE, PROGRAM):
                    files[new] = (mode, edited(rng, data))
        elif what < 0.35:
            folder, new = path.rpartition("/")[0], rng.choice(["h", "a/k", "c"])
            if folder:
                for one in [one for one in paths if one.startswith(folder + "/")]:
                    target = new + one[len(folder) :]
                    if target not in files:
                        files[target] = files.pop(one)
        elif what < 0.4:
            if not any(one.startswith(path + "/") for one in files):
                del files[path]
                files[path + "/inside"] = (FILE, b"inside\n")
        elif mode == LINK:
            files[path] = (LINK, data + b"z") if rng.random() < 0.7 else (FILE, data)
        elif mode == GITLINK:
            files[path] = (GITLINK, hashlib.sha1(data + bytes([rng.randrange(2)])).hexdigest().encode())
        elif what < 0.5:
            files[path] = (PROGRAM if mode == FILE else FILE, data)
        else:
            files[path] = (mode, edited(rng, data))
    clash = [path for path in files if any(other.startswith(path + "/") for other in files)]
    return {path: entry for path, entry in files.items() if path not in clash}


@dataclass(frozen=True)
class Case:
    """Three trees, and commits that have them."""

    base: str
    ours: str
    theirs: str
    commits: tuple[str, str, str]


class HasCommits(Protocol):
    """Commits of the base and of the two sides."""

    @property
    def commits(self) -> tuple[str, str, str]: ...


def generated(root: Path, count: int, seed: int, gentle: bool = False) -> list[Case]:
    """`count` merges in a new repository; `gentle` sides change little, so that many are clean."""
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    writer, rng = Writer(root), random.Random(seed)
    cases = []
    for _ in range(count):
        files = base_of(rng)
        most = 2 if gentle else 5
        sides = [side_of(rng, files, rng.randint(1, most)) for _ in range(2)]
        trees = [writer.tree(one) if one else writer.put(b"tree", b"") for one in (files, *sides)]
        start = writer.commit(trees[0])
        cases.append(Case(*trees, (start, *(writer.commit(tree, start) for tree in trees[1:]))))  # type: ignore[arg-type]
    return cases


def by_git(root: Path, cases: Sequence[HasCommits]) -> list[tuple[bool, str, list[str]]]:
    """What git says of each: clean, tree, conflicted paths (branch names in paths made equal to ours)."""
    asked = "".join(f"{case.commits[1]} {case.commits[2]}\n" for case in cases)
    command = ["git", "merge-tree", "--write-tree", "--stdin", "--name-only", "--no-messages"]
    out = subprocess.run(command, cwd=root, input=asked.encode(), capture_output=True, check=True).stdout
    found = []
    fields = out.split(b"\0")
    at = 0
    for case in cases:
        clean, tree = fields[at] == b"1", fields[at + 1].decode()
        at += 2
        paths = []
        while fields[at] != b"":
            paths.append(fields[at].decode())
            at += 1
        at += 1
        named = [path.replace(f"~{case.commits[1]}", "~ours").replace(f"~{case.commits[2]}", "~theirs") for path in paths]
        found.append((clean, tree, sorted(set(named))))
    return found


__all__ = ["EMPTY_TREE", "Case", "Objects", "Writer", "blob_id", "by_git", "generated", "tree_id"]
