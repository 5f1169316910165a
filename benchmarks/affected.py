"""`affected` between two commits of 1,000 packages, beside what nobody can be faster than.

    python benchmarks/affected.py [--packages 1000] [--files 100] [--rounds 11] [--folder DIR]

All commands run in turn, in the same rounds, each as a process of its own; the figures are the median wall time and the
peak memory.  Every round edits one module and commits, so `affected (new commit)` meets a tree that it has never seen.
The answer of the last round is compared with a full recomputation without the memo.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from workspace import make

ROOT = Path(__file__).resolve().parents[1]
WHO = ["-c", "user.name=bench", "-c", "user.email=bench@example.com", "-c", "gc.auto=0"]


def timed(command: Sequence[str], cwd: Path) -> tuple[float, int, str]:
    """Wall seconds, peak resident KiB, stdout."""
    read, write = os.pipe()
    started = time.perf_counter()
    process = os.fork()
    if process == 0:
        os.chdir(cwd)
        os.dup2(write, 1)
        os.close(read)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        os.environ["PYTHONPATH"] = str(ROOT)
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # installed programs have their byte code
        os.execvp(command[0], list(command))
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        out = pipe.read()
    _, status, usage = os.wait4(process, 0)
    wall = time.perf_counter() - started
    if status:
        raise SystemExit(f"{' '.join(command)} failed: {status}")
    return wall, usage.ru_maxrss, out.decode()


def exact(cwd: Path) -> bool:
    """Whether the answer for HEAD~1..HEAD is that of a recomputation that believes nothing."""
    sys.path.insert(0, str(ROOT))
    from nmoe_graph import Workspace
    from nmoe_graph.digest.analysis import Analysis
    from nmoe_graph.plan.affected import difference

    workspace = Workspace.open(cwd)
    tables = [Analysis(workspace.snapshot(ref), None).table() for ref in ("HEAD~1", "HEAD")]
    full = [label for label, kind, _ in difference(*tables) if kind == "gate"]
    return full == workspace.affected("HEAD~1", "HEAD").labels()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=int, default=1000)
    parser.add_argument("--files", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--folder", type=Path, help="where to write the repository (default: a temporary folder)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = (options.folder or Path(scratch)) / "repository"
        if not (root / ".git").exists():
            make(root, options.packages, options.files)
        affected = [sys.executable, "-m", "nmoe_graph", "affected", "--since", "HEAD~1", "--at", "HEAD", "--format", "label"]
        wall, memory, _ = timed(affected, root)
        print(f"first run ever, nothing kept: {wall:.1f} s, {memory / 1024:.0f} MiB")
        rows: dict[str, list[tuple[float, int]]] = {}
        pick = random.Random(1)
        for number in range(options.rounds):
            edited = root / f"p{pick.randrange(options.packages):04d}" / f"m{pick.randrange(options.files - 1):03d}.py"
            edited.write_text(edited.read_text() + f"\nEDITED_{number} = {number}\n")
            subprocess.run(["git", *WHO, "commit", "-qam", "edit"], cwd=root, check=True)
            for name, command in (
                ("affected (new commit)", affected),
                ("affected (again)", affected),
                ("git diff --name-only", ["git", "diff", "--name-only", "HEAD~1", "HEAD"]),
                ("git status", ["git", "status", "--porcelain"]),
                ("python -c pass", [sys.executable, "-c", "pass"]),
            ):
                wall, memory, _ = timed(command, root)
                rows.setdefault(name, []).append((wall, memory))
        floor = statistics.median(wall for wall, _ in rows["python -c pass"])
        for name, runs in rows.items():
            wall = statistics.median(one for one, _ in runs)
            worst = max(one for one, _ in runs)
            peak = max(memory for _, memory in runs) / 1024
            print(f"{name:24} {wall * 1000:6.0f} ms  (worst {worst * 1000:.0f})  {wall / floor:5.1f} x floor  {peak:4.0f} MiB")
        same = exact(root)
        print("exact: equal to a full recomputation" if same else "NOT EXACT: differs from a full recomputation")
        return 0 if same else 1


if __name__ == "__main__":
    raise SystemExit(main())
