"""Long histories: lines of commits that take each other in, so that many pairs of heads have more than one merge base.

Unlike `merges`, where each case has a base of its own, everything here grows: folders move, files move twice, a merge takes in
three heads at once, conflicts are committed as they stand, and one line merges another that has merged it.
"""

from __future__ import annotations

import random
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from merges import Files, Writer, base_of, by_git, side_of

from nmoe_graph.git.merging import Merger, MergeResult
from nmoe_graph.git.objects import GITLINK
from nmoe_graph.git.repository import Repository


@dataclass(frozen=True)
class Pair:
    """Two heads; `commits` as `merges.by_git` wants them."""

    commits: tuple[str, str, str]
    crossed: bool
    found: MergeResult


@dataclass
class History:
    """One repository that grows, and every merge that was made in it or could have been."""

    root: Path
    seed: int
    lines: int = 4
    pairs: list[Pair] = field(default_factory=list)

    def __post_init__(self) -> None:
        subprocess.run(["git", "init", "-q", str(self.root)], check=True)
        self.rng = random.Random(self.seed)
        self.writer = Writer(self.root)
        self.repository = Repository.open(self.root)
        self.trees: dict[str, str] = {}
        self.clock = 0
        files: Files = {}
        for number in range(3):
            files |= {f"{'s' * number}{path}": entry for path, entry in base_of(self.rng).items()}
        start = self.commit(self.written(files))
        self.heads = [start] * self.lines

    def commit(self, tree: str, *parents: str) -> str:
        self.clock += 1
        name = self.writer.commit(tree, *parents, when=self.clock // 3)  # some at the same second
        self.trees[name] = tree
        return name

    def written(self, files: Files) -> str:
        return self.writer.tree(files) if files else self.writer.put(b"tree", b"")

    def files(self, tree: str) -> Files:
        objects = self.repository.objects
        return {path: (mode, name.encode() if mode == GITLINK else objects.blob(name)) for path, mode, name in objects.walk(tree)}

    def merged(self, merger: Merger, ours: str, theirs: str) -> MergeResult:
        bases = self.repository.merge_bases(theirs, ours)
        crossed = ((ours,), theirs) if len(bases) > 1 else None
        found = merger.merge(self.trees[bases[0]], self.trees[ours], self.trees[theirs], crossed)
        self.pairs.append(Pair((bases[0], ours, theirs), crossed is not None, found))
        return found

    def grow(self, merger: Merger, steps: int) -> None:
        rng = self.rng
        for _ in range(steps):
            at = rng.randrange(self.lines)
            what = rng.random()
            ours = self.heads[at]
            others = [head for head in dict.fromkeys(self.heads) if head != ours]
            if what < 0.45 or not others:
                files = side_of(rng, self.files(self.trees[ours]), rng.randint(1, 3))
                self.heads[at] = self.commit(self.written(files), ours)
                continue
            theirs = rng.choice(others)
            one, two = self.merged(merger, ours, theirs), self.merged(merger, theirs, ours)
            if what < 0.6:
                continue  # looked at, and not made
            tree = self.kept(one.tree)
            parents = [ours, theirs]
            if what < 0.65 and len(others) > 1:
                third = rng.choice([head for head in others if head != theirs])
                parents.append(third)
            made = self.commit(tree, *parents)
            if what > 0.8:  # and the other takes in the first at once: from now on they cross
                self.heads[self.heads.index(theirs)] = self.commit(self.kept(two.tree), theirs, ours)
            self.heads[at] = made
            if rng.random() < 0.05:
                self.heads[rng.randrange(self.lines)] = rng.choice(self.heads)

    def kept(self, tree: str) -> str:
        """A merged tree, written down as somebody would who commits it as it is."""
        return self.written(self.files(tree))

    def wrong(self) -> list[tuple[Pair, object]]:
        """The pairs of which git says something else."""
        found: list[tuple[Pair, object]] = []
        for start in range(0, len(self.pairs), 2000):
            part = self.pairs[start : start + 2000]
            for pair, (clean, tree, paths) in zip(part, by_git(self.root, part), strict=True):
                same = (not pair.found.conflicts) == clean and list(pair.found.conflicts) == paths
                if not same or (clean and pair.found.tree != tree):
                    found.append((pair, (clean, tree, paths)))
        return found
