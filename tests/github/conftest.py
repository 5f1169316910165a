"""GitHub as a fixture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from double import MAINTAINER, Double
from double_git import Bare

from nmoe_graph.forge.github import GitHub
from nmoe_graph.forge.token import Token
from nmoe_graph.forge.where import Where


@pytest.fixture
def github() -> Iterator[Double]:
    """The double.  Whatever in a test did not fit GitHub's description fails the test.

    github.open_issue("title", "body", association="OWNER", labels=("contract",))
    github.attach(path)                       # a bare repository: pushes move heads, merges are real
    github.open_pull("issue/03a-attention")   # a branch of it
    github.decide = lambda run: Outcome("success", {"gate-results": {"a.json": b"{}"}}, log=b"...")
    github.advance()                          # one step of every run; or github.pace_s = 0.1
    github.inject("502", "issues/create-comment", after=True)
    with github.serve() as url: ...           # NMOE_GRAPH_GITHUB_API=url for a command line
    """
    double = Double()
    yield double
    assert double.violations == []


@pytest.fixture
def client(github: Double) -> Iterator[Callable[..., GitHub]]:
    """A forge client that talks to the double inside the process; its waits are noted in `.waits` and take no time."""
    made: list[GitHub] = []

    def make(token: str = MAINTAINER, **more: Any) -> GitHub:
        waits: list[float] = []
        where = Where("github.com", github.owner, github.name, "https://api.github.com")
        made.append(GitHub(where, Token(token), **({"over": github.transport(), "sleep": waits.append} | more)))
        made[-1].waits = waits  # type: ignore[attr-defined]
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def bare(github: Double, tmp_path: Path) -> Bare:
    """A bare repository with one commit on main, attached to the double."""
    path = tmp_path / "github.git"
    path.mkdir()
    made = Bare(path)
    made.git("init", "-q", "--bare", "-b", "main")
    github.attach(path)
    commit_files(made, "main", {"a.txt": "one\n"}, "begin")
    return made


def commit_files(bare: Bare, branch: str, files: dict[str, str], message: str = "change", start: str = "main") -> str:
    """A commit on a branch of a bare repository, as a push would leave it there; the branch begins at `start`."""
    import subprocess

    parent = bare.tip(branch) or bare.tip(start)
    listing = bare.git("ls-tree", "-z", parent)[1] if parent else ""
    entries = {row.partition("\t")[2]: row.partition("\t")[0] for row in listing.split("\0") if row}
    for name, text in files.items():
        done = subprocess.run(
            ["git", "hash-object", "-w", "--stdin"], cwd=bare.path, input=text, capture_output=True, text=True, check=True
        )
        entries[name] = f"100644 blob {done.stdout.strip()}"
    rows = "".join(f"{what}\t{name}\0" for name, what in sorted(entries.items()))
    tree = subprocess.run(
        ["git", "mktree", "-z"], cwd=bare.path, input=rows, capture_output=True, text=True, check=True
    ).stdout.strip()
    made = bare.commit(tree, [parent] if parent else [], message)
    bare.git("update-ref", f"refs/heads/{branch}", made)
    return made
