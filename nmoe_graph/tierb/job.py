"""The job on the runner: the merge made anew, everything that was approved asserted, the gates proven, claims handed on.

The engine is the base's and what it runs is a stranger's, so the two are different users: this process keeps the runner's
tokens, and `build` runs as `gate_user`, in a clone that it makes from a bundle of exactly the commits that count, with an
environment that names what it holds.  Nothing that comes back from there is believed by whoever reads it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..attest.evidence import Asked, Evidence
from ..errors import HostError, NmoeGraphError, SnapshotError, UsageError, printable
from ..git.program import run_git
from ..git.refs import CONTRACTS_REF, LEDGER_REF, NOTES_REF, read_ref
from ..model import Gate
from .request import Request, gates_of, labels_of, merge_commit
from .resolve import assert_request

__all__ = ["JobReport", "run_job"]

_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}\Z")
_MOST_LOG = 8 << 20
_MOST_OUTPUT = 64 << 20
#: What a gate's user is given of this environment besides what its gates declare: where programs and the driver are, what the
#: image says of itself.
_PASSED = (
    "LANG",
    "LD_LIBRARY_PATH",
    "NMOE_GRAPH_IMAGE",
    "NMOE_GRAPH_SANDBOX",
    "NVIDIA_DRIVER_CAPABILITIES",
    "NVIDIA_VISIBLE_DEVICES",
    "PATH",
    "TZ",
)


@dataclass(frozen=True)
class JobReport:
    """What the job handed on: verdicts as the build said them, and where they lie."""

    request: Request
    commit: str
    verdicts: tuple[tuple[str, str, str], ...]  # label, verdict, reason
    out: str
    exit_code: int

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": "nmoe-graph/tier-b-job@1",
            "request": self.request.to_inputs(),
            "commit": self.commit,
            "gates": [
                {"label": label, "verdict": verdict, "reason": printable(reason, limit=400)}
                for label, verdict, reason in self.verdicts
            ],
            "out": printable(self.out),
        }


def run_job(workspace: Asked, evidence: Evidence, request: Request, *, gate_user: str, out: Path) -> JobReport:
    """Carry out a request on this machine.

    Args:
        gate_user: who runs the gates, by sudo; "" for whoever runs this.
        out: a new folder: request.json, build.json, results.jsonl (unsigned statements), logs/.

    Raises:
        UsageError, SnapshotError: what was approved is not what is here; nothing was run.
        HostError: this machine cannot run it.
    """
    repository = workspace.repository
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{printable(str(out), limit=200)} is not empty", hint="results go into a folder of their own")
    if gate_user and not _USER.match(gate_user):
        raise UsageError(f"{printable(gate_user, limit=60)!r} is no name of a user")
    contract = assert_request(workspace, evidence, request)
    gates = gates_of(evidence, request)
    commit = merge_commit(repository, request.base_sha, request.head_sha, request.merged_tree)
    with tempfile.TemporaryDirectory(prefix="nmoe-graph-job-", dir=_outside_home()) as folder:
        home = Path(folder)
        home.chmod(0o711)
        bundle = _bundle(workspace, home, request, commit, _base_name(evidence))
        work = home / "work"
        work.mkdir()
        work.chmod(0o777)  # in a folder that nobody else can list; its owner will be the gates' user
        other = _Other(gate_user, work, gates)
        try:
            built = _build(other, bundle, labels_of(gates, contract), request, commit)
            rows = built.rows
            results = other.run(
                ["results", "export", commit, "--as", "trusted", "--base", request.base_sha, "--contract", contract.issue]
            )
            logs = {label: log for label, verdict, _ in rows if (log := _log(other, label, verdict, commit))}
        finally:
            other.clean()
    _hand_on(out, request, built.document, results.stdout, logs)
    return JobReport(request, commit, tuple(rows), str(out), built.status)


def _outside_home() -> str | None:
    """Where the gates' user can reach: not below a home folder that is closed to it."""
    here = tempfile.gettempdir()
    return "/tmp" if Path(here).resolve().is_relative_to(Path.home()) and Path("/tmp").is_dir() else None


def _base_name(evidence: Evidence) -> str:
    """The ref under which the base looks for itself: whose word counts is said there."""
    name = next(iter(evidence.graph.workspace.base), "base")
    return f"refs/remotes/{name}" if name.startswith("origin/") else f"refs/heads/{name.removeprefix('refs/heads/')}"


def _bundle(workspace: Asked, home: Path, request: Request, commit: str, base: str) -> Path:
    """The commits and the ledger as one file that the gates' user may read.

    Raises:
        HostError: git refuses.
    """
    repository = workspace.repository
    if not repository.git:
        raise HostError("the job needs the git program", hint="install git")
    names = {
        "refs/heads/nmoe-graph-merge": commit,
        "refs/heads/nmoe-graph-head": request.head_sha,
        base: request.base_sha,
    }
    names |= {ref: tip for ref in (LEDGER_REF, NOTES_REF, CONTRACTS_REF) if (tip := read_ref(repository.common_dir, ref))}
    bare = home / "bundle.git"
    path = home / "commits.bundle"
    try:
        run_git(repository.git, home, ["init", "--quiet", "--bare", str(bare)])
        (bare / "objects" / "info" / "alternates").write_text(f"{repository.common_dir / 'objects'}\n")
        lines = "".join(f"create {ref} {tip}\n" for ref, tip in names.items())
        run_git(repository.git, bare, ["update-ref", "--stdin"], stdin=lines.encode())
        run_git(repository.git, bare, ["bundle", "create", "--quiet", str(path), *names])
        path.chmod(0o644)
    except (SnapshotError, OSError) as error:
        raise HostError(f"the commits cannot be bundled: {error}") from None
    return path


class _Other:
    """Commands of the engine and of git, as another user where one is named."""

    def __init__(self, user: str, work: Path, gates: Sequence[Gate]) -> None:
        self._user, self._work = user, work
        self.clone = work / "clone"
        self._engine = Path(__file__).resolve().parents[2]
        names = [*_PASSED, *sorted({name for gate in gates for name in gate.requires})]
        self._env = {name: os.environ[name] for name in names if name in os.environ}
        self._env |= {
            "HOME": str(work / "home"),
            "TMPDIR": str(work / "tmp"),
            "PYTHONPATH": str(self._engine),
            "PYTHONDONTWRITEBYTECODE": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
        }

    def call(self, command: Sequence[str], stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run a program; its output, at most so much of it.

        Raises:
            HostError: it cannot be started.
        """
        env = [f"{name}={value}" for name, value in sorted(self._env.items())]
        prefix = ["sudo", "-n", "-u", self._user, "--"] if self._user else []
        whole = [*prefix, "/usr/bin/env", "-i", *env, *command]
        try:
            with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as talk:
                done = subprocess.run(whole, input=stdin, stdout=said, stderr=talk, cwd=self._work, check=False)
                said.seek(0)
                talk.seek(0)
                return subprocess.CompletedProcess(whole, done.returncode, said.read(_MOST_OUTPUT), talk.read(_MOST_LOG))
        except OSError as error:
            raise HostError(f"{command[0]} cannot be started: {error.strerror}") from None

    def git(self, *args: str) -> None:
        """
        Raises:
            HostError: git refuses.
        """
        done = self.call(["git", *args])
        if done.returncode:
            words = done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"exit {done.returncode}"]
            raise HostError(f"git {args[0]} as {self._user or 'this user'}: {printable(words[-1], limit=300)}")

    def run(self, words: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
        """A verb of this engine, in the clone."""
        done = self.call([sys.executable, "-m", "nmoe_graph", *words, "-C", str(self.clone)])
        sys.stderr.buffer.write(_quiet(done.stderr))
        sys.stderr.flush()
        return done

    def clean(self) -> None:
        """What belongs to another user is removed by that user; of the rest the temporary folder takes care."""
        if self._user:
            self.call(["/bin/sh", "-c", 'chmod -R u+rwX -- "$0"; rm -rf -- "$0"/* "$0"/.[!.]*', str(self._work)])
        else:
            shutil.rmtree(self._work, ignore_errors=True)


def _quiet(talk: bytes) -> bytes:
    """Words of the gates' user for the job's log: escaped line by line, so that none commands the runner."""
    lines = talk.decode("utf-8", "replace").splitlines()
    return "".join(f"{printable(line, limit=2_000)}\n" for line in lines).encode()


@dataclass(frozen=True)
class _Built:
    document: dict[str, Any]
    rows: list[tuple[str, str, str]]
    status: int


def _build(other: _Other, bundle: Path, labels: Sequence[str], request: Request, commit: str) -> _Built:
    """
    Raises:
        HostError: there is no answer.
    """
    other.call(["/bin/mkdir", "-p", str(other.clone.parent / "home"), str(other.clone.parent / "tmp")])
    other.git("init", "--quiet", str(other.clone))
    other.git("-C", str(other.clone), "fetch", "--quiet", "--no-tags", str(bundle), "+refs/*:refs/*")
    # The work tree is the base's: it says under which ref the rules stand by which what others proved is judged.
    other.git("-C", str(other.clone), "checkout", "--quiet", "--detach", request.base_sha)
    done = other.run(["build", *labels, "--at", commit, "--trusted", request.base_sha, "--keep-going", "--format", "json"])
    try:
        document = json.loads(done.stdout)
        rows = [(str(row["label"]), str(row["verdict"]), str(row["reason"])) for row in document["gates"]]
    except (ValueError, KeyError, TypeError):
        raise HostError(f"the build ended with exit {done.returncode} and no answer") from None
    return _Built(document, rows, done.returncode)


def _log(other: _Other, label: str, verdict: str, commit: str) -> bytes:
    if verdict in ("not_run", "cancelled"):
        return b""
    done = other.run(["log", label, "--at", commit, "--raw"])
    return done.stdout[-_MOST_LOG:] if done.returncode == 0 else b""


def _hand_on(out: Path, request: Request, document: Mapping[str, Any], results: bytes, logs: Mapping[str, bytes]) -> None:
    """Write what came of it.

    Raises:
        HostError: the disk refused.
    """
    try:
        (out / "logs").mkdir(parents=True, exist_ok=True)
        (out / "request.json").write_text(json.dumps(request.to_inputs(), indent=1, sort_keys=True) + "\n")
        (out / "build.json").write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
        (out / "results.jsonl").write_bytes(results)
        for label, log in logs.items():
            (out / "logs" / log_name(label)).write_bytes(log)
    except OSError as error:
        raise HostError(f"the results cannot be written: {error.strerror}") from None


def log_name(label: str) -> str:
    """The file in which the log of a gate is handed on."""
    return re.sub(r"[^A-Za-z0-9._-]", ".", label.removeprefix("//gates/")) + ".log"


def check_ancestor(workspace: Asked, base: str, engine: str) -> None:
    """The base that a dispatch names must have been on the branch that the engine is of.

    Raises:
        UsageError: it was not, so its definitions are nobody's.
        NmoeGraphError: one of the commits is not here.
    """
    repository = workspace.repository
    try:
        found = repository.merge_base(base, repository.resolve(engine))
    except NmoeGraphError:
        found = ""
    if found != base:
        raise UsageError(f"the base {base[:12]} is not among the ancestors of {engine[:12]}, whose engine this is")
