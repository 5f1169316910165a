"""The pages of `docs/` run: files that they show are written, commands that they show print what they say.

`NMOE_GRAPH_REWRITE_DOCS=1` writes what the commands really print into the pages; look at the difference before committing.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(path for path in (ROOT / "docs").glob("*.md") if "```console\n$" in path.read_text())
FENCE = re.compile(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", re.M | re.S)


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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_transcripts_are_true(page: Path, tmp_path: Path) -> None:
    """What a page shows is what happens."""
    if "ssh-keygen" in page.read_text() and shutil.which("ssh-keygen") is None:
        pytest.skip("no ssh-keygen here")
    env = environment(tmp_path)
    root = tmp_path / "repository"
    root.mkdir()
    subprocess.run(["git", "init", "-q", "-b", "main"], cwd=root, env=env, check=True)
    text = page.read_text()
    wrong = []
    for kind, file, body in FENCE.findall(text):
        if file:
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).write_text(body)
        for command, expected in commands(body) if kind == "console" else ():
            done = subprocess.run(["bash", "-c", command], cwd=root, env=env, capture_output=True, text=True)
            shown = done.stdout + ("" if done.returncode == 0 or done.stdout else done.stderr)
            got = shown.splitlines() + ([f"[exit {done.returncode}]"] if done.returncode else [])
            if not agrees(expected, got):
                wrong.append(f"$ {command}\nexpected:\n" + "\n".join(expected) + "\ngot:\n" + "\n".join(got))
                if os.environ.get("NMOE_GRAPH_REWRITE_DOCS"):
                    old, new = ("".join(f"{line}\n" for line in [f"$ {command}", *lines]) for lines in (expected, got))
                    page.write_text(page.read_text().replace(old, new, 1))
    assert not wrong, "\n\n".join(wrong)


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
