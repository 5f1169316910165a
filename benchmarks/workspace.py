"""Writes a scratch repository of N packages x M files with a gate a package, quickly and the same every time.

    python benchmarks/workspace.py FOLDER [--packages 1000] [--files 100]

Every package has a chain of modules that import each other and one module of the package before it, so that closures are
neither trivial nor the whole tree.  The commits: `start`, then one edit of one module.
"""

from __future__ import annotations

import argparse
import os
import subprocess
from pathlib import Path

__all__ = ["make"]


def _module(package: int, number: int, files: int) -> str:
    lines = [f'"""Module {number} of package {package}."""', "", "import os"]
    if number + 1 < files:
        lines.append(f"from . import m{number + 1:03d}")
    if number == 0 and package % 10:
        lines.append(f"from p{package - 1:04d} import m{files // 2:03d} as other")
    lines += ["", "", f"def f{number}(x: int) -> int:", f"    return x + {package * files + number} + len(os.sep)", ""]
    return "\n".join(lines)


def make(root: Path, packages: int = 1000, files: int = 100) -> None:
    """Write and commit the repository; `HEAD~1..HEAD` is an edit of one module."""
    root.mkdir(parents=True, exist_ok=True)
    for package in range(packages):
        folder = root / f"p{package:04d}"
        folder.mkdir(exist_ok=True)
        (folder / "__init__.py").write_text("")
        for number in range(files - 1):
            (folder / f"m{number:03d}.py").write_text(_module(package, number, files - 1))
    (root / "configs/gates").mkdir(parents=True, exist_ok=True)
    gates = ['[meta]\nversion = "1"\n']
    for package in range(packages):
        name = f"p{package:04d}"
        gates.append(f'[gates."cpu:{name}"]\ntier = "a"\ntimeout_s = 60\ncmd = "python -c \\"import {name}.m000\\""\n')
    (root / "configs/gates/gates.toml").write_text("\n".join(gates))
    (root / "BUILD.toml").write_text('[workspace]\nname = "scratch"\nbase = "main"\ngates = "configs/gates/gates.toml"\n')
    who = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in _WHO.items()}
    env = os.environ | who

    def git(*args: str) -> None:
        subprocess.run(["git", *args], cwd=root, env=env, check=True, stdout=subprocess.DEVNULL)

    git("init", "-q", "-b", "main")
    git("add", "-A")
    git("-c", "gc.auto=0", "commit", "-q", "-m", "start")
    edited = root / f"p{packages // 2:04d}" / f"m{files // 2:03d}.py"
    edited.write_text(edited.read_text() + "\nEDITED = True\n")
    git("add", "-A")
    git("-c", "gc.auto=0", "commit", "-q", "-m", "edit")
    git("repack", "-adq")


_WHO = {"NAME": "bench", "EMAIL": "bench@example.com", "DATE": "2026-01-01T00:00:00Z"}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--packages", type=int, default=1000)
    parser.add_argument("--files", type=int, default=100)
    options = parser.parse_args()
    make(options.folder, options.packages, options.files)
