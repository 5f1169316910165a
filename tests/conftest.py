"""A scratch workspace to ask, and the command line as a function."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nmoe_graph.cli import main

# Whoever starts the tests in the background may have them ignore Ctrl-C, and everything that they start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

BUILD = """[workspace]
name = "nmoe"
base = ["origin/master", "origin/main"]
gates = "configs/gates/gates.toml"
contracts = ["configs/contracts/*.yaml"]
"""

GATES = """[meta]
version = "1"
target = "b200"

[gates."cpu:import"]
tier = "a"
timeout_s = 30
cmd = "python -c \\"import nmoe\\""

[gates."cpu:compileall"]
tier = "a"
timeout_s = 60
cmd = "python -m compileall -q nmoe/"

[gates."cpu:grep"]
tier = "a"
timeout_s = 30
cmd = "grep -q one docs/a.txt"

[gates."b200:train"]
tier = "b"
gpus = 1
timeout_s = 600
requires = ["NMOE_DATA_PATH"]
requires_files = ["configs/tiny.toml"]
cmd = "python -m nmoe.train configs/tiny.toml --data_path=${NMOE_DATA_PATH}"

[bundles]
tier_a = ["cpu:import", "cpu:compileall"]
hot = ["b200:train"]
"""

CONTRACT = """nmoe:
  issue: {issue}
  slug: {slug}
  kind: feature
  risk: cold
  complexity: S
  depends_on: {depends}
  merge_hotspots: [nmoe/a.py]

scope:
  allow: [nmoe/**]
  deny: []

gates:
  required: [cpu:import]
"""


class Scratch:
    """A small repository with gates, and verbs to change it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.git("init", "-q", "-b", "main")
        self.write("BUILD.toml", BUILD)
        self.write("configs/gates/gates.toml", GATES)
        self.write("configs/tiny.toml", "dim = 8\n")
        self.write("nmoe/__init__.py", "from . import a\n")
        self.write("nmoe/a.py", '"""A."""\n\nX = 1\n')
        self.write("nmoe/b.py", "Y = 2\n")
        self.write("nmoe/train.py", "from . import b\n\nprint(b.Y)\n")
        self.write("docs/a.txt", "one\n")
        self.commit("start")

    def git(self, *args: str) -> str:
        env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        env |= {
            "GIT_AUTHOR_NAME": "t",
            "GIT_AUTHOR_EMAIL": "t@example.com",
            "GIT_COMMITTER_NAME": "t",
            "GIT_COMMITTER_EMAIL": "t@example.com",
        }
        done = subprocess.run(["git", *args], cwd=self.root, env=env, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def write(self, path: str, text: str) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def read(self, path: str) -> str:
        return (self.root / path).read_text()

    def replace(self, path: str, old: str, new: str) -> None:
        assert old in self.read(path)
        self.write(path, self.read(path).replace(old, new))

    def commit(self, message: str = "change") -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")

    def contract(self, issue: str, slug: str = "work", depends: str = "[]") -> None:
        self.write(f"configs/contracts/{issue}-{slug}.yaml", CONTRACT.format(issue=issue, slug=slug, depends=depends))


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    root = tmp_path / "repo"
    root.mkdir()
    return Scratch(root)


@pytest.fixture
def cli(scratch: Scratch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command line in the scratch workspace: exit code, stdout, stderr."""

    def run(*args: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([*args, "-C", str(scratch.root)])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return run


@pytest.fixture
def ask(cli: Callable[..., tuple[int, str, str]]) -> Callable[..., Any]:
    """Run a command line that must answer, and return its JSON."""

    def run(*args: str, code: int = 0) -> Any:
        got, out, err = cli(*args, "--format", "json")
        assert got == code, err
        return json.loads(out)

    return run


def add_gate(scratch: Scratch, name: str, cmd: str, more: str = "", timeout_s: int = 30, inputs: str = '["docs/a.txt"]') -> None:
    """Declare a gate that reads docs/a.txt, or other declared inputs, and nothing else."""
    path = "configs/gates/gates.toml"
    head, bundles, rest = scratch.read(path).partition("[bundles]")
    gate = f'[gates."{name}"]\ntier = "a"\ntimeout_s = {timeout_s}\ninputs = {inputs}\ninfer = false\n'
    gate += f"cmd = '''{cmd}'''\n{more}\n\n"
    scratch.write(path, head + gate + bundles + rest)


def stored(ask: Callable[..., Any], label: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ask("results", label)["results"]
    return found


@pytest.fixture
def marker() -> Iterator[str]:
    """A word in the environment of everything that a test starts; whatever bears it at the end is ended."""
    word = f"marker-{uuid.uuid4().hex}"
    yield word
    for pid in bearers(word):
        os.kill(pid, signal.SIGKILL)


def bearers(word: str) -> list[int]:
    """The processes that have a word in their environment (zombies have none)."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if word.encode() in Path("/proc", name, "environ").read_bytes():
                    found.append(int(name))
            except OSError:
                continue
    return found


MAKES = """
[files.text]
srcs = ["docs/a.txt"]

[action.upper]
cmd = "mkdir -p made; tr a-z A-Z < docs/a.txt > made/upper.txt; chmod +x made/upper.txt"
deps = [":text"]
outs = ["made/upper.txt"]

[action.twice]
cmd = "cat made/upper.txt made/upper.txt > made/twice.txt"
deps = [":upper"]
outs = ["made/twice.txt"]
"""


def with_actions(scratch: Scratch, cmd: str = "grep -c ONE made/twice.txt; test ! -e made/upper.txt; test ! -e docs") -> None:
    scratch.write("BUILD.toml", scratch.read("BUILD.toml") + MAKES)
    add_gate(scratch, "cpu:made", cmd)
    scratch.replace("configs/gates/gates.toml", 'inputs = ["docs/a.txt"]\ninfer = false', 'infer = false\ndeps = ["//:twice"]')


# -- the trainer: a small model of one rank, and data made of text that comes with Python ------------------------------------------

ROOT = Path(__file__).resolve().parents[1]
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def tiny() -> Callable[..., Any]:
    """configs/tiny.toml with overrides."""
    from nmoe.config import Config

    return lambda **overrides: Config.load(ROOT / "configs/tiny.toml", env={}, **overrides)


@pytest.fixture
def build() -> Callable[..., Any]:
    """A model of one rank, in fp32."""
    import torch

    from nmoe.heap import Local
    from nmoe.model import Transformer
    from nmoe.rdep import Rdep, rdep_layout

    def make(config: Any) -> Any:
        tokens, active, experts = config.batch_size * config.seq_len, config.n_activated_experts, config.n_routed_experts
        heap = Local(rdep_layout(tokens, active, config.dim, experts, 1, torch.float32))
        return Transformer(config, Rdep(heap, tokens, active, experts), dtype=torch.float32)

    return make


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A data folder of several shards, made from Python's help topics."""
    from nmoe.prep import pydoc_texts, write_shards

    folder = tmp_path_factory.mktemp("text")
    write_shards(folder, pydoc_texts(), 100_000)
    return str(folder)


def torchrun(world: int) -> list[str]:
    """The start of a command line for so many ranks."""
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={world}"]
