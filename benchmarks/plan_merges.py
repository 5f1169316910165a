"""How long a plan takes: many open contracts on a large repository, cold and warm, and very many without branches.

python benchmarks/plan_merges.py [CONTRACTS] [FILES] [MANY]
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

GATES = """[meta]
version = "1"
target = "b200"

[gates."cpu:import"]
tier = "a"
timeout_s = 30
cmd = "python -c \\"import pkg0\\""

[gates."cpu:compileall"]
tier = "a"
timeout_s = 60
cmd = "python -m compileall -q pkg0/"
"""
GATE = """
[gates."b200:train{0}"]
tier = "b"
gpus = 8
timeout_s = 900
cmd = "python -m pkg{0}.m0"
"""
CONTRACT = """nmoe:
  issue: {0}
  slug: w
  kind: feature
  risk: {1}
  complexity: S
  depends_on: [{2}]
scope:
  allow: ["**"]
gates:
  required: [cpu:import, "b200:train{3}"]
"""


def git(root: Path, *args: str, stdin: bytes = b"") -> str:
    who = {f"GIT_{role}_{what}": "b@example.com" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = subprocess.run(["git", *args], cwd=root, env=os.environ | who, input=stdin, stdout=subprocess.PIPE, check=True)
    return done.stdout.decode().strip()


def make(root: Path, contracts: int, files: int, branches: bool) -> None:
    """`files` modules in ten packages, eight gates, and a branch a contract that edits one or two modules."""
    rng = random.Random(1)
    git(root, "init", "-q", "-b", "main")
    (root / "configs/contracts").mkdir(parents=True)
    (root / "BUILD.toml").write_text(
        '[workspace]\nname = "big"\nbase = ["main"]\ngates = "configs/gates.toml"\ncontracts = ["configs/contracts/*.yaml"]\n'
    )
    (root / "configs/gates.toml").write_text(GATES + "".join(GATE.format(number) for number in range(6)))
    for number in range(contracts):
        after = f"'{number - 1:05d}'" if number % 10 == 9 else ""
        text = CONTRACT.format(f"'{number:05d}'", rng.choice(["cold", "warm", "hot"]), after, number % 6)
        (root / f"configs/contracts/{number:05d}-w.yaml").write_text(text)
    for number in range(files):
        folder = root / f"pkg{number % 10}"
        folder.mkdir(exist_ok=True)
        (folder / "__init__.py").touch()
        module = number // 10
        imports = "".join(f"from . import m{one}\n" for one in (2 * module + 1, 2 * module + 2) if one * 10 + number % 10 < files)
        (folder / f"m{module}.py").write_text(imports + "".join(f"V{line} = {line}\n" for line in range(30)))
    git(root, "add", "-A")
    git(root, "commit", "-qm", "start")
    if not branches:
        return
    stream = []
    for number in range(contracts):
        parent = "refs/heads/main^0" if number % 10 != 9 else f"refs/heads/issue/{number - 1:05d}-w"
        stream.append(
            f"commit refs/heads/issue/{number:05d}-w\ncommitter b <b@example.com> 1700000000 +0000\ndata 1\nw\nfrom {parent}\n"
        )
        for _ in range(2):
            module = rng.randrange(files)
            line = rng.randrange(30)
            path = f"pkg{module % 10}/m{module // 10}.py"
            text = (root / path).read_text().replace(f"V{line} = {line}\n", f"V{line} = {line + 100 + number}\n")
            stream.append(f"M 100644 inline {path}\ndata {len(text)}\n{text}\n")
    git(root, "fast-import", "--quiet", stdin="".join(stream).encode())


def timed(root: Path, *more: str) -> tuple[float, float, str]:
    """Seconds, peak MiB, and the last line of a plan made by a process of its own."""
    code = (
        "import resource, sys\n"
        "from nmoe_graph.cli import main\n"
        "code = main(sys.argv[1:])\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, file=sys.stderr)\n"
        "sys.exit(code)\n"
    )
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    start = time.perf_counter()
    command = [sys.executable, "-c", code, "plan-merges", "-C", str(root), *more]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    return time.perf_counter() - start, float(done.stderr.split()[-1]), done.stdout.splitlines()[-1]


def main() -> None:
    given = sys.argv[1:]
    contracts, files, many = (int(one) for one in given + ["200", "10000", "10000"][len(given) :])
    for name, size, tree, branches in (("open", contracts, files, True), ("without branches", many, 100, False)):
        root = Path(tempfile.mkdtemp(prefix="plan-merges-"))
        try:
            make(root, size, tree, branches)
            for kind in ("first ever", "cold", "warm", "warm again"):
                if kind == "cold" and branches:  # the base was analysed before; the branches are new
                    shutil.rmtree(root / ".git/nmoe-graph")
                    subprocess.run(
                        [sys.executable, "-m", "nmoe_graph", "lint", "-C", str(root)],
                        env=os.environ | {"PYTHONPATH": str(ROOT)},
                        capture_output=True,
                        check=True,
                    )
                seconds, peak, last = timed(root)
                print(f"{size} contracts {name}, {tree} files, {kind}: {seconds:.2f} s, {peak:.0f} MiB ({last})", flush=True)
        finally:
            shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
