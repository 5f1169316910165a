"""GitHub as a fixture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nmoe_graph.forge.github import GitHub
from nmoe_graph.forge.token import Token
from nmoe_graph.forge.where import Where

from .double import MAINTAINER, Double
from .double_git import Bare
from .shell import Shell, serving
from .site import Site, git, made_site


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
    made.write("main", {"a.txt": "one\n"}, "begin")
    return made


@pytest.fixture
def site(github: Double, bare: Bare, client: Callable[..., GitHub], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A repository with gates of both tiers, and a pull request of contract 01; see `site`."""
    return made_site(github, bare, client, tmp_path, monkeypatch)


@pytest.fixture
def shell(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """The site over a socket: the real command on the laptop, real commands on the runners; see `shell`."""
    with serving(site.github, site.root, site.laptop, site.root / "key") as made:
        monkeypatch.setenv("HOME", str(made.home))
        monkeypatch.delenv("GIT_CONFIG_GLOBAL")
        git(site.laptop, "remote", "set-url", "origin", f"https://github.com/{site.github.owner}/{site.github.name}.git")
        yield made
