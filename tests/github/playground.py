"""GitHub to play with: a shell in a clone of a small repository, the double as its GitHub, and runners that carry out dispatches.

`./dev github` starts it; what it is given on stdin the shell does, so that a script can play, too.  All of it is gone afterwards.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from .double import Double
from .double_git import Bare
from .shell import serving
from .site import git, made_site

__all__ = ["TRY", "play"]

WORDS = """This is no GitHub: a server on this machine that holds every request to GitHub's own description, with a real repository
behind it, and runners that carry out here what is dispatched to them.  You are in a clone, as a maintainer; pull request 1 is
open.  From a branch to a landing, for instance:

"""
TRY = (
    "nmoe-graph contract status",
    "nmoe-graph build --at issue/01-wider cpu:import",
    "nmoe-graph tier-b run 1 --bundle hot --no-wait",
    "nmoe-graph tier-b run 1 --bundle hot --no-wait",
    "nmoe-graph tier-b approve 1 --bundle hot --yes",
    "nmoe-graph tier-b run 1 --bundle hot --every 1",
    "git checkout -q issue/01-wider",
    "nmoe-graph pr update 1",
    "nmoe-graph pr verify 1",
    "nmoe-graph merge --github",
    "git log -1 origin/main",
)


def play(root: Path) -> int:
    """Serve, and run a shell; the exit code is the shell's."""
    github = Double()
    bare = Bare(root / "github.git")
    bare.path.mkdir()
    bare.git("init", "-q", "--bare", "-b", "main")
    github.attach(bare.path)
    bare.write("main", {"README.md": "A small workspace.\n"}, "begin")
    with pytest.MonkeyPatch.context() as patch:
        site = made_site(github, bare, _no_client, root, patch)
    git(site.laptop, "checkout", "-q", "-B", "main", "origin/main")
    with serving(github, root, site.laptop, root / "key") as shell:
        git(site.laptop, "remote", "set-url", "origin", f"https://github.com/{github.owner}/{github.name}.git")
        talks = sys.stdin.isatty()
        if talks:
            sys.stdout.write(WORDS + "".join(f"  {line}\n" for line in TRY) + "\n`exit` ends it, and nothing is left.\n")
            sys.stdout.flush()
        program = [os.environ.get("SHELL", "/bin/sh")] if talks else ["/bin/sh"]
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        ended = subprocess.run(program, cwd=site.laptop, env=shell.env(PATH=path), check=False).returncode
    for violation in github.violations:
        sys.stderr.write(f"not as GitHub describes it: {violation}\n")
    return ended or (1 if github.violations else 0)


def _no_client(*args: object, **more: object) -> None:
    raise AssertionError("the shell talks over the socket")


def main() -> int:
    """Play in a folder that is gone afterwards, however it ends."""
    if absent := [name for name in ("git", "ssh-keygen") if shutil.which(name) is None]:
        sys.stderr.write(f"error: {' and '.join(absent)}: not here, and needed\nhint: install git and OpenSSH\n")
        return 3
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        with tempfile.TemporaryDirectory(prefix="nmoe-graph-github-") as folder:
            return play(Path(folder))
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
