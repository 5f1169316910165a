"""The pages of `docs/` run: files that they show are written, commands that they show print what they say.

Blocks marked `console github` talk to a stand-in for GitHub over a socket, with runners that carry out what is dispatched.  They
need ghapi, and are left out where it is not installed.

`NMOE_GRAPH_REWRITE_DOCS=1` writes what the commands really print into the pages; look at the difference before committing.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(path for path in (ROOT / "docs").glob("*.md") if "```console\n$" in path.read_text())
FENCE = re.compile(r"^```(\w+)(?: file=(\S+)| (github))?\n(.*?)^```$", re.M | re.S)
HUB = "```console github\n"
HAS_GHAPI = importlib.util.find_spec("ghapi") is not None


def agrees(expected: list[str], got: list[str]) -> bool:
    """`…` stands for any text in a line, a line `...` for any lines."""
    if not expected:
        return not got
    if expected[0] == "...":
        return any(agrees(expected[1:], got[skip:]) for skip in range(len(got) + 1))
    pattern = "".join(".*" if part == "…" else re.escape(part) for part in re.split("(…)", expected[0]))
    return bool(got) and re.fullmatch(pattern, got[0]) is not None and agrees(expected[1:], got[1:])


def commands(block: str) -> list[tuple[str, list[str]]]:
    found: list[tuple[str, list[str]]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def environment(tmp_path: Path) -> dict[str, str]:
    tools = tmp_path / "bin"
    tools.mkdir()
    program = tools / "nmoe-graph"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m nmoe_graph "$@"\n')
    program.chmod(0o755)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "NMOE_GRAPH_"))}
    who = {f"GIT_{role}_{what}": "t@example.com" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return env | who | {"PATH": f"{tools}:{env['PATH']}", "PYTHONPATH": str(ROOT), "GIT_CONFIG_GLOBAL": os.devnull}


@contextlib.contextmanager
def stand_in(tmp_path: Path, root: Path) -> Iterator[dict[str, str]]:
    """A GitHub that listens, with a repository that is empty; what a process must know to take it for GitHub."""
    from github.double import MAINTAINER, Double
    from github.shell import serving

    double, bare = Double(), tmp_path / "github.git"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(bare)], check=True)
    double.attach(bare)
    with serving(double, tmp_path, root, tmp_path / "runner-key") as shell:
        api = {"NMOE_GRAPH_GITHUB_API": shell.url, "GH_TOKEN": MAINTAINER}
        yield api | {"HOME": str(shell.home), "GIT_CONFIG_GLOBAL": str(shell.home / ".gitconfig")}
    assert double.violations == []


def run_page(page: Path, tmp_path: Path, *, hub: bool) -> tuple[list[str], int]:
    """What of a page is not so, and how many of its commands were left out: those from the first on that wants a GitHub."""
    env = environment(tmp_path)
    root = tmp_path / "repository"
    root.mkdir()
    subprocess.run(["git", "init", "-q", "-b", "main"], cwd=root, env=env, check=True)
    text = page.read_text()
    wrong: list[str] = []
    left_out = at = 0
    with contextlib.ExitStack() as stack:
        if hub and HUB in text:
            env |= stack.enter_context(stand_in(tmp_path, root))
        for kind, file, github, body in FENCE.findall(text):
            if file:
                (root / file).parent.mkdir(parents=True, exist_ok=True)
                (root / file).write_text(body)
            for command, expected in commands(body) if kind == "console" else ():
                if left_out or (github and not hub):
                    left_out += 1
                    continue
                done = subprocess.run(["bash", "-c", command], cwd=root, env=env, capture_output=True, text=True)
                shown = done.stdout + ("" if done.returncode == 0 or done.stdout else done.stderr)
                got = shown.splitlines() + ([f"[exit {done.returncode}]"] if done.returncode else [])
                old, new = ("".join(f"{line}\n" for line in [f"$ {command}", *lines]) for lines in (expected, got))
                at = text.index(old, at)
                if not agrees(expected, got):
                    wrong.append(f"expected:\n{old}got:\n{new}")
                    if os.environ.get("NMOE_GRAPH_REWRITE_DOCS"):
                        text = text[:at] + new + text[at + len(old) :]
                        page.write_text(text)
                at += 1
    return wrong, left_out


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_transcripts_are_true(page: Path, tmp_path: Path) -> None:
    """What a page shows is what happens."""
    if "ssh-keygen" in page.read_text() and shutil.which("ssh-keygen") is None:
        pytest.skip("no ssh-keygen here")
    wrong, left_out = run_page(page, tmp_path, hub=HAS_GHAPI)
    assert not wrong, "\n\n".join(wrong)
    assert HAS_GHAPI or left_out == 0 or HUB in page.read_text()
    if left_out:
        pytest.skip(f"{left_out} commands need nmoe-graph[github]")


@pytest.mark.skipif(not HAS_GHAPI, reason="that is what test_transcripts_are_true does here")
def test_without_ghapi_the_rest_of_the_workflow_is_still_true(tmp_path: Path) -> None:
    """Only what needs a GitHub is left out, and only there."""
    if shutil.which("ssh-keygen") is None:
        pytest.skip("no ssh-keygen here")
    page = ROOT / "docs/workflow.md"
    wrong, left_out = run_page(page, tmp_path, hub=False)
    known = sum(len(commands(body)) for kind, _, _, body in FENCE.findall(page.read_text()) if kind == "console")
    assert wrong == [] and 10 <= left_out < known - 5


def test_a_false_transcript_is_noticed() -> None:
    """The comparison can fail, and the wildcards are no wider than they say."""
    assert agrees(["a … c", "...", "z"], ["a b c", "1", "2", "z"])
    assert not agrees(["a … c"], ["a b d"])
    assert not agrees(["a"], ["a", "b"])
    assert not agrees(["a", "b"], ["a"])


def test_readme_lists_every_file_of_the_package() -> None:
    """The tree in README names each module once, in its room."""
    tree = (ROOT / "README.md").read_text().partition("nmoe_graph/            ")[2].partition("nmoe/      ")[0]
    named: set[str] = set()
    room = ""
    for line in tree.splitlines():
        words = line.split()
        if line.startswith("  ") and not line.startswith("   ") and words[0].endswith("/"):
            room = words[0]
        elif line.startswith("  "):
            if not line.startswith("    "):
                room = ""
            files = [word for word in words if word.endswith(".py")] if words[0].endswith(".py") else []
            named |= {room + word for word in (files if room == "cli/" else files[:1])}
    there = {str(path.relative_to(ROOT / "nmoe_graph")) for path in (ROOT / "nmoe_graph").rglob("*.py")}
    assert named == {path for path in there if not Path(path).name.startswith("__")}


@pytest.mark.parametrize("package", ["nmoe", "nmoe_proofs"])
def test_readme_lists_every_file_of_the_trainer(package: str) -> None:
    """The same of nmoe/ and of what proves it."""
    tree = (ROOT / "README.md").read_text().partition(f"\n{package}/ ")[2]
    named, room = set(), ""
    for line in itertools.takewhile(lambda line: line.startswith("  "), tree.splitlines()[1:]):
        name = line.split()[0]
        if name.endswith("/"):
            room = name
        else:
            named.add(room + name if line.startswith("    ") else name)
    there = {str(path.relative_to(ROOT / package)) for path in (ROOT / package).rglob("*.py")}
    assert named == {path for path in there if not Path(path).name.startswith("__")}


def test_links_between_pages_lead_somewhere() -> None:
    """No page points at a file that is not there."""
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} points at {target}"
