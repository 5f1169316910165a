"""The real command over a socket: a double that listens, laptops whose git takes its repository for GitHub, and B200 runners that
carry out dispatches with the commands of the workflow, each in a process of its own.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .double import MAINTAINER, READER, WORKFLOW, Double
from .double_state import Outcome, Run

__all__ = ["Ran", "Runners", "Shell", "home", "serving"]

ROOT = Path(__file__).resolve().parents[2]
TOKENS = (MAINTAINER, READER, WORKFLOW)
_WHO = {f"GIT_{role}_{what}": "t@nmoe.example" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
_TIMEOUT_S = 120


def home(folder: Path, bare: Path, owner: str = "noumena", name: str = "nmoe") -> Path:
    """A home folder in which git goes to `bare` where it is told to go to GitHub."""
    made = folder / "home"
    made.mkdir(exist_ok=True)
    (made / ".gitconfig").write_text(
        f'[url "{bare}"]\n\tinsteadOf = https://github.com/{owner}/{name}.git\n[user]\n\tname = t\n\temail = t@nmoe.example\n'
    )
    return made


def environment(home: Path, url: str, token: str, **more: str) -> dict[str, str]:
    """What a process knows: nothing of whoever runs the tests, and the double as GitHub's API."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GIT_", "GH_", "GITHUB_", "NMOE_GRAPH_", "TIER_B_")) and name != "DISPATCH"
    }
    said = {"HOME": str(home), "XDG_CONFIG_HOME": str(home), "NMOE_GRAPH_GITHUB_API": url, "GIT_CONFIG_NOSYSTEM": "1"}
    return kept | _WHO | said | ({"GH_TOKEN": token} if token else {}) | {"PYTHONPATH": str(ROOT)} | more


def program() -> list[str]:
    """`nmoe-graph` as it is installed beside this Python; else as a module."""
    installed = Path(sys.executable).parent / "nmoe-graph"
    return [str(installed)] if installed.exists() else [sys.executable, "-m", "nmoe_graph"]


@dataclass(frozen=True)
class Ran:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    def __post_init__(self) -> None:
        said = self.out + self.err
        assert not [word for word in TOKENS if word in said], "a token was printed"
        assert not re.search(r"(?m)^Traceback", said), said  # the log of a gate is indented
        # No control byte, no bidirectional override, no workflow command: whatever the words of strangers were.
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]", said), said
        assert not re.search(r"(?m)^\s*(?:::|##\[)", said), said


class Runners:
    """What `tier-b.yml` does, for the double's `decide`: a thread a run, in it the commands of both jobs.

    `jobs` are the dispatches that were carried out, `said` what their commands printed.
    """

    def __init__(self, github: Double, root: Path, url: str, home: Path, key: Path) -> None:
        self._github, self._root, self._url, self._home, self._key = github, root, url, home, key
        self._threads: dict[int, threading.Thread] = {}
        self._outcomes: dict[int, Outcome] = {}
        self._lock = threading.Lock()
        self.jobs: list[dict[str, str]] = []
        self.said: list[Ran] = []
        self.ending = ""  # how every run ends before its job begins, where it does
        tools = root / "b200"
        tools.mkdir(exist_ok=True)
        smi = tools / "nvidia-smi"
        smi.write_text("#!/bin/sh\nfor index in 0 1 2 3 4 5 6 7; do echo $index, 10.0; done\n")
        smi.chmod(0o755)
        self._path = f"{tools}:{os.environ['PATH']}"

    def __call__(self, run: Run) -> Outcome | None:
        if run.id not in self._threads:
            self._threads[run.id] = threading.Thread(target=self._work, args=(run,), daemon=True)
            self._threads[run.id].start()
        with self._lock:
            return self._outcomes.get(run.id)

    def join(self) -> None:
        for thread in self._threads.values():
            thread.join(_TIMEOUT_S)

    def _work(self, run: Run) -> None:
        import json

        outcome = Outcome(self.ending or "failure", {}, b"the runner was lost\n")
        try:
            if self.ending:
                return
            with self._lock:
                self.jobs.append(dict(run.inputs))
            place = self._root / f"runner-{run.id}"
            place.mkdir()
            dispatch = {"DISPATCH": json.dumps(run.inputs), "GITHUB_SHA": run.head_sha, "GITHUB_RUN_ID": str(run.id)}
            repository = f"https://github.com/{self._github.owner}/{self._github.name}.git"
            for folder in ("job", "report"):
                self._git(place, "clone", "-q", repository, folder)
            self._git(place / "job", "fetch", "-q", "origin", run.inputs["head_sha"], run.inputs["base_sha"])
            job = self._run(place / "job", dispatch, "", "job", "--out", str(place / "gate-results"))
            made = place / "gate-results"
            files = {str(path.relative_to(made)): path.read_bytes() for path in made.rglob("*") if path.is_file()}
            secret = {"TIER_B_SIGN_KEY": self._key.read_text()}
            proved = "success" if job.code == 0 else "failure"
            report = self._run(place / "report", dispatch | secret, WORKFLOW, "report", "--proved", proved, str(made))
            left = {"gate-results": files} if files else {}
            outcome = Outcome("success" if report.code == 0 else "failure", left, (job.out + job.err).encode())
        finally:
            with self._lock:
                self._outcomes[run.id] = outcome

    def _git(self, where: Path, *args: str) -> None:
        subprocess.run(["git", *args], cwd=where, env=environment(self._home, self._url, ""), check=True, capture_output=True)

    def _run(self, where: Path, said: dict[str, str], token: str, *args: str) -> Ran:
        env = environment(self._home, self._url, token, **said, PATH=self._path)
        done = subprocess.run([*program(), "tier-b", *args], cwd=where, env=env, capture_output=True, text=True, check=False)
        ran = Ran(done.returncode, done.stdout, done.stderr)
        self.said.append(ran)
        return ran


@dataclass
class Shell:
    """Command lines in one folder."""

    github: Double
    root: Path
    url: str
    home: Path
    folder: Path
    runners: Runners

    def env(self, token: str = MAINTAINER, **more: str) -> dict[str, str]:
        return environment(self.home, self.url, token, **more)

    def start(
        self, *args: str, where: Path | None = None, token: str = MAINTAINER, more: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """A command that goes on while the test does; `more` is what its environment has besides."""
        pipe, quiet = subprocess.PIPE, subprocess.DEVNULL
        command, at, env = [*program(), *args], where or self.folder, self.env(token, **(more or {}))
        return subprocess.Popen(command, cwd=at, env=env, stdout=pipe, stderr=pipe, stdin=quiet, text=True)

    def __call__(self, *args: str, where: Path | None = None, token: str = MAINTAINER, code: int | None = 0) -> Ran:
        """Run one to its end; its exit code must be `code`."""
        process = self.start(*args, where=where, token=token)
        out, err = process.communicate(timeout=_TIMEOUT_S)
        ran = Ran(process.returncode, out, err)
        assert code is None or ran.code == code, f"{args}: exit {ran.code}\n{out}\n{err}"
        return ran

    def git(self, *args: str, where: Path | None = None) -> str:
        done = subprocess.run(
            ["git", *args], cwd=where or self.folder, env=self.env(""), capture_output=True, text=True, check=True
        )
        return done.stdout.strip()


@contextlib.contextmanager
def serving(github: Double, root: Path, folder: Path, key: Path) -> Iterator[Shell]:
    """A shell in `folder` while the double listens; `key` is the runner's, and `root` holds the runners' clones."""
    assert github.bare
    github.checks_by_apps_alone = github.steps_on_look = True
    github.entitle = lambda workflow, inputs: f"Tier B #{inputs['pr_number']} [{inputs['correlation']}]"
    with github.serve() as url:
        at = home(root, github.bare.path, github.owner, github.name)
        runners = Runners(github, root, url, at, key)
        github.decide = runners
        try:
            yield Shell(github, root, url, at, folder, runners)
        finally:
            runners.join()
