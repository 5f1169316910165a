"""Cold closure of 10,000 Python files of 40 lines, and what a one-file edit adds.

    python benchmarks/closure.py [--packages 200] [--files 50] [--lines 40] [--rounds 5] [--folder DIR]

A gate a package imports its first module; modules import the next one, a package imports three earlier ones.  One more gate
imports all packages.  Each command is a process of its own:

    cold     the memo is thrown away first: every file is read, and every closure followed
    edit     one module gets a line (a value, then an import), the work tree is dirty; beside the same with nothing edited

Memory is the peak of the process and of its workers together, sampled from /proc.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WHO = ["-c", "user.name=bench", "-c", "user.email=bench@example.com", "-c", "gc.auto=0"]


def module(package: int, number: int, files: int, lines: int) -> str:
    text = [f'"""Module {number} of package {package}."""', "", "from __future__ import annotations", "", "import os"]
    if number + 1 < files:
        text.append(f"from . import m{number + 1:03d}")
    if number % 7 == 0 and number + 5 < files:
        text.append(f"from .m{number + 5:03d} import f{number + 5}")
    if number == 0:
        text += [f"import p{package - back:04d}.m{files // 2:03d}" for back in (1, 3, 9) if package - back >= 0 and package % 10]
    text += [
        "",
        "",
        f"def f{number}(x: int, names: list[str]) -> dict[str, int]:",
        f'    """What {number} gives."""',
        "    found = {}",
    ]
    while len(text) < lines - 2:
        at = len(text)
        text += [
            f"    if x > {at} and names:",
            f'        found[names[{at} % len(names)]] = x * {at + package} + len(f"{{x}}-{at}")',
        ]
    return "\n".join([*text, "    return found", ""])


def make(root: Path, packages: int, files: int, lines: int) -> None:
    gates = ['[meta]\nversion = "1"\n']
    for package in range(packages):
        folder = root / f"p{package:04d}"
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("")
        for number in range(files - 1):
            (folder / f"m{number:03d}.py").write_text(module(package, number, files - 1, lines))
        gates.append(
            f'[gates."cpu:p{package:04d}"]\ntier = "a"\ntimeout_s = 60\ncmd = "python -c \'import p{package:04d}.m000\'"\n'
        )
    (root / "everything.py").write_text("".join(f"import p{package:04d}.m000\n" for package in range(packages)))
    gates.append('[gates."cpu:everything"]\ntier = "a"\ntimeout_s = 60\ncmd = "python -m everything"\n')
    (root / "gates.toml").write_text("\n".join(gates))
    (root / "BUILD.toml").write_text('[workspace]\nname = "scratch"\nbase = "main"\ngates = "gates.toml"\n')
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "start"], ["repack", "-adq"]):
        subprocess.run(["git", *WHO, *words], cwd=root, check=True, stdout=subprocess.DEVNULL)


def _resident(pid: int) -> int:
    """KiB of a process and everything below it."""
    total = 0
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                total += int(line.split()[1])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for task in os.listdir(f"/proc/{pid}/task"):
            if task != str(pid):
                children += Path(f"/proc/{pid}/task/{task}/children").read_text().split()
    except OSError:
        return total
    return total + sum(_resident(int(child)) for child in children)


def timed(command: list[str], cwd: Path) -> tuple[float, float, int, str]:
    """Wall seconds, processor seconds (children included), peak KiB of all processes together, stdout."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=cwd, env=env, stdout=subprocess.PIPE, text=True)
    peak = 0
    over = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.03):
            peak = max(peak, _resident(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    out, _ = process.communicate()
    wall = time.perf_counter() - started
    over.set()
    watcher.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed: {process.returncode}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, peak, out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=int, default=200)
    parser.add_argument("--files", type=int, default=50)
    parser.add_argument("--lines", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = (options.folder or Path(scratch)) / "repository"
        if not (root / ".git").exists():
            make(root, options.packages, options.files, options.lines)
        affected = [sys.executable, "-m", "nmoe_graph", "affected", "--since", "HEAD", "--format", "label"]
        rows: dict[str, list[tuple[float, float, int]]] = {}
        pick = random.Random(1)
        for number in range(options.rounds):
            for kept in (root / ".git/nmoe-graph").glob("memo*"):
                kept.unlink()
            rows.setdefault("cold", []).append(timed(affected, root)[:3])
            edited = root / f"p{pick.randrange(options.packages):04d}" / f"m{pick.randrange(options.files - 1):03d}.py"
            before = edited.read_text()
            for name, line in (
                ("nothing edited", ""),
                ("edit: a value", f"E = {number}\n"),
                ("edit: an import", f"import p0000.m{number:03d}\n"),
            ):
                edited.write_text(before + line)
                wall, processor, peak, out = timed(affected, root)
                if bool(out.split()) != bool(line):
                    raise SystemExit(f"{name}: {len(out.split())} affected")
                rows.setdefault(name, []).append((wall, processor, peak))
            edited.write_text(before)
        for name, runs in rows.items():
            wall = statistics.median(one[0] for one in runs)
            processor = statistics.median(one[1] for one in runs)
            best = min(one[0] for one in runs)
            peak = max(one[2] for one in runs) / 1024
            print(f"{name:16} {wall:6.2f} s wall (best {best:.2f}), {processor:6.2f} s of processor, {peak:4.0f} MiB")
        print(f"load {os.getloadavg()[0]:.1f} on {len(os.sched_getaffinity(0))} cores")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
