"""A fresh folder with exactly the inputs, a scrubbed environment, and the strongest fence that this machine offers.

    namespaces   bubblewrap: the checkouts do not exist for the gate, nothing but its own folder can be written
    landlock     the kernel: no program of the gate can open a file of the checkouts, or write outside its own folder
    audit        a guard inside every Python process: checkouts and installed copies are refused and named
    folder       the fresh folder and the scrubbed environment alone

NMOE_GRAPH_SANDBOX asks for one of them.  What was used is part of the result.
"""

from __future__ import annotations

import errno
import fcntl
import functools
import json
import os
import posixpath
import re
import shutil
import site
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from ..errors import HostError
from ..model import Job

__all__ = ["MEANS", "Sandbox", "choose_means"]

MEANS = ("namespaces", "landlock", "audit", "folder")
_PREFIX = "nmoe-graph-run-"
_OLD_S = 7 * 86_400
_DEAD = ".dead"  # at the end of a name: being removed
_ADD = 'not among its inputs; add inputs = ["{}"]'
_NOT_FOUND = re.compile(r"(?i)no such file|not found|cannot open|can't open|does not exist|permission denied")
_WORD = re.compile(r"[\w./+@-]+")
_MOST_LOG, _MOST_NOTES = 1 << 18, 50
_LANDLOCK = Path(__file__).with_name("landlock.py")
_SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"


@functools.cache
def _bubblewrap() -> str | None:
    """bubblewrap, if it is here and may make namespaces."""
    program = shutil.which("bwrap")
    if program is None:
        return None
    probe = [
        program,
        "--ro-bind",
        "/",
        "/",
        "--dev",
        "/dev",
        "--proc",
        "/proc",
        "--tmpfs",
        "/tmp",
        "--unshare-pid",
        "--die-with-parent",
        "true",
    ]
    try:
        done = subprocess.run(probe, capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return program if done.returncode == 0 else None


@functools.cache
def _landlock() -> bool:
    """Whether this kernel fences by Landlock, tried on a process of its own."""
    if not sys.platform.startswith("linux"):
        return False
    from .landlock import version

    if not version():
        return False
    spec = json.dumps({"hidden": [], "allowed": [], "own": []})
    probe = [sys.executable, "-I", "-S", str(_LANDLOCK), spec, "--", "true"]
    try:
        return subprocess.run(probe, capture_output=True, timeout=10, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def choose_means() -> str:
    """The means to use here.

    Raises:
        HostError: NMOE_GRAPH_SANDBOX asks for one that is unknown or not available.
    """
    asked = os.environ.get("NMOE_GRAPH_SANDBOX", "")
    if asked and asked not in MEANS:
        raise HostError(f"NMOE_GRAPH_SANDBOX={asked!r} is no means", hint=f"one of {', '.join(MEANS)}")
    if asked == "namespaces" and _bubblewrap() is None:
        raise HostError(
            "bubblewrap is not here, or may not make namespaces", hint="install bubblewrap, or unset NMOE_GRAPH_SANDBOX"
        )
    if asked == "landlock" and not _landlock():
        raise HostError("this kernel has no Landlock, or forbids it", hint="Linux 5.13 or later; or unset NMOE_GRAPH_SANDBOX")
    return asked or ("namespaces" if _bubblewrap() else "landlock" if _landlock() else "audit")


def _hold(home: Path) -> int:
    """Say, for as long as this process lives, that a folder is in use; the lock has its name only once it is held."""
    descriptor = os.open(home / "lock.new", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.rename(home / "lock.new", home / "lock")
    except OSError:
        pass  # no locks here: then nobody sweeps it before it is old
    return descriptor


@functools.cache
def _sweep(where: str) -> None:
    """Remove, once a process, what killed builds left: folders whose lock nobody holds, and old ones that never had one."""
    try:
        names = [name for name in os.listdir(where) if name.startswith(_PREFIX)]
    except OSError:
        return
    for name in names:
        folder = Path(where, name)
        try:
            info = os.lstat(folder)
            if info.st_uid != os.geteuid() or not stat.S_ISDIR(info.st_mode):
                continue
            if name.endswith(_DEAD):
                _remove(folder)
                continue
            try:
                descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            except FileNotFoundError:
                if time.time() - info.st_mtime > _OLD_S:
                    _remove(folder)
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(folder)
            finally:
                os.close(descriptor)
        except OSError:
            continue  # in use, or somebody else was quicker


def _open_up(folder: str) -> None:
    """Give ourselves every folder below; links are not followed."""
    os.chmod(folder, 0o700)
    with os.scandir(folder) as listing:
        inner = [item.path for item in listing if item.is_dir(follow_symlinks=False)]
    for path in inner:
        _open_up(path)


def _remove(folder: Path) -> None:
    """Remove a folder with everything in it, whatever modes a gate gave to its files.

    It gets another name first: whoever is killed half-way leaves what anybody may sweep, lock or no lock.
    """
    if not folder.name.endswith(_DEAD):
        try:
            folder = folder.rename(folder.with_name(folder.name + _DEAD))
        except OSError:
            pass
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        try:
            _open_up(str(folder))
        except OSError:
            pass  # somebody else's file; what can be removed still is
        shutil.rmtree(folder, ignore_errors=True)


class Sandbox:
    """The folder of one run.  `root` is where the command starts; everything else is beside it and not among its files."""

    def __init__(self, job: Job, means: str) -> None:
        self._job, self.means = job, means
        try:
            _sweep(tempfile.gettempdir())
            self._home = Path(os.path.realpath(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-")))
            try:
                self._lock = _hold(self._home)
            except OSError:
                _remove(self._home)
                raise
        except OSError as error:
            raise HostError(f"no place for a sandbox: {error.strerror}", hint="set TMPDIR to a folder with room") from None
        self.root = self._home / "box"
        self.marks = self._home / "marks"

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self._remove()

    def _remove(self) -> None:
        _remove(self._home)
        os.close(self._lock)

    def fill(self) -> str:
        """Write the inputs; returns why the gate fails, or the empty string.

        Raises:
            HostError: the disk refused.
        """
        try:
            for folder in (self.root, self._home / "home", self._home / "tmp", self._home / "pycache", self._home / "guard"):
                folder.mkdir()
            shutil.copyfile(Path(__file__).with_name("guard.py"), self._home / "guard" / "sitecustomize.py")
            # Links last: nothing is ever written through one.
            for file in sorted(self._job.files, key=lambda file: file.mode == 0o120000):
                target = self.root / file.path
                target.parent.mkdir(parents=True, exist_ok=True)
                data = file.read()
                if file.mode == 0o120000:
                    leads = posixpath.normpath(posixpath.join(posixpath.dirname(file.path), os.fsdecode(data)))
                    if os.fsdecode(data).startswith("/") or leads == ".." or leads.startswith("../"):
                        return f"{file.path} is a link that leaves the workspace"
                    os.symlink(data, os.fsencode(target))
                    continue
                with open(target, "wb") as handle:
                    handle.write(data)
                    handle.flush()
                    if os.fstat(handle.fileno()).st_size != len(data):  # a gate that looks for a fault must not miss it for that
                        raise OSError(errno.EIO, "the disk lost a write")
                os.chmod(target, 0o755 if file.mode == 0o100755 else 0o644)
            if self._job.names is not None and self.means != "folder":
                (self._home / "names").write_bytes(self._job.names())
            for file in self._job.files:
                # By way of other links a harmless text can still lead out.
                if file.mode == 0o120000 and not Path(os.path.realpath(self.root / file.path)).is_relative_to(self.root):
                    return f"{file.path} is a link that leaves the workspace"
            for out in self._job.outs:
                (self.root / out).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if error.errno in (errno.EEXIST, errno.ENOTDIR, errno.EISDIR):
                return f"two inputs want the same place: {error.filename and os.path.relpath(error.filename, self.root)}"
            raise HostError(f"the sandbox cannot be written: {error.strerror}", hint="set TMPDIR to a folder with room") from None
        return ""

    def environment(self, gpus: Sequence[str]) -> dict[str, str]:
        """The whole environment of the command: declared, required, and a short fixed list."""
        job = self._job
        env = {
            "PATH": f"{Path(sys.executable).parent}:{_SYSTEM_PATH}",
            "HOME": str(self._home / "home"),
            "TMPDIR": str(self._home / "tmp"),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "PYTHONHASHSEED": "0",
            "PYTHONNOUSERSITE": "1",
            "PYTHONPYCACHEPREFIX": str(self._home / "pycache"),
            "CUDA_VISIBLE_DEVICES": ",".join(gpus),
        }
        for name in job.pass_env:
            if name not in os.environ:
                raise HostError(f"environment variable {name} is not set", hint=f"export {name}=...")
            env[name] = os.environ[name]
        env.update(job.env)
        if self.means != "folder":
            guard = str(self._home / "guard")
            env["PYTHONPATH"] = f"{guard}:{env['PYTHONPATH']}" if env.get("PYTHONPATH") else guard
            env["NMOE_GRAPH_BOX"] = str(self._home)
            env["NMOE_GRAPH_OWN"] = ",".join(job.own_modules)
            env["NMOE_GRAPH_HIDDEN"] = "\x1f".join(os.path.realpath(path) for path in job.hidden)
            env["NMOE_GRAPH_ALLOWED"] = "\x1f".join(self._allowed())
            env["NMOE_GRAPH_WRITABLE"] = "\x1f".join(os.path.realpath(path) for path in job.writable)
            env["NMOE_GRAPH_MARKS"] = str(self.marks)
        return env

    def _allowed(self) -> list[str]:
        """Folders that may lie inside a checkout and are no part of it: this interpreter and its libraries."""
        places = [sys.prefix, sys.base_prefix, *site.getsitepackages()]
        roots = {os.path.realpath(path) for path in self._job.hidden}
        return sorted({os.path.realpath(place) for place in places} - roots)

    def command(self) -> list[str]:
        """The argument list that runs the job's command line inside the fence."""
        shell = ["bash", "-eu", "-o", "pipefail", "-c", self._job.cmd]
        if self.means == "landlock":
            spec = {
                "hidden": sorted({os.path.realpath(path) for path in self._job.hidden}),
                "allowed": self._allowed(),
                "own": [str(self._home), *(os.path.realpath(path) for path in self._job.writable)],
            }
            return [sys.executable, "-I", "-S", str(_LANDLOCK), json.dumps(spec), "--", *shell]
        if self.means != "namespaces":
            return shell
        program = _bubblewrap()
        assert program is not None
        fence = [
            program,
            "--die-with-parent",
            "--unshare-pid",
            "--unshare-ipc",
            "--ro-bind",
            "/",
            "/",
            "--dev-bind",
            "/dev",
            "/dev",
            "--proc",
            "/proc",
        ]
        kept = [str(self._home), *self._allowed()]
        for folder in sorted({os.path.realpath(path) for path in self._job.hidden}):
            if os.path.isdir(folder) and not any(one == folder for one in kept):
                fence += ["--tmpfs", folder]
        for place in kept[1:]:
            if any(place.startswith(os.path.realpath(path) + os.sep) for path in self._job.hidden) and os.path.isdir(place):
                fence += ["--ro-bind", place, place]
        for place in (os.path.realpath(path) for path in self._job.writable):
            fence += ["--bind-try", place, place]
        fence += ["--bind", str(self._home), str(self._home), "--chdir", str(self.root)]
        return [*fence, "--", *shell]

    def _marked(self) -> list[tuple[str, str]]:
        try:
            text = self.marks.read_text("utf-8", "replace")
        except OSError:
            return []
        rows = (mark.partition("\t") for mark in dict.fromkeys(text.splitlines()))
        return [(kind, name) for kind, _, name in rows]

    def breaches(self) -> str:
        """Why the gate fails although its command may have passed; empty where nothing was touched that is no input."""
        # A module that is looked for in a checkout lists that folder first: what is said is what was wanted.
        for kind, name in sorted(self._marked(), key=lambda mark: (mark[0] != "import", mark == ("read", "."))):
            if kind == "import":
                return f"{name} resolves to an installed copy outside the sandbox"
            if kind == "change":
                return f"changes {name} of the checkout; a gate works in its own folder"
            if kind == "write":
                return f"writes {name}, outside its own folder; a folder that it may write is a required variable with write = true"
            if kind == "read":
                return f"reads {name}, {_ADD.format(name)}"
        return ""

    def notes(self) -> list[str]:
        """What the gate looked at and could not see, in words: no breach, and no answer that a plain checkout would give."""
        found = [
            f"{name} was looked for; it is not among the inputs, so it was not there"
            for kind, name in self._marked()
            if kind == "stat"
        ]
        inputs = {file.path for file in self._job.files} | set(self._job.outs)
        for folder in sorted(name for kind, name in self._marked() if kind == "list"):
            prefix = "" if folder == "." else f"{folder}/"
            missing = {name[len(prefix) :].partition("/")[0] for name in self._workspace() if name.startswith(prefix)}
            missing -= {name[len(prefix) :].partition("/")[0] for name in inputs if name.startswith(prefix)}
            if missing:
                shown = ", ".join(sorted(missing)[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
                found.append(f"{folder} was listed without what is not among the inputs: {shown}")
        return found[:_MOST_NOTES]

    def missed(self, log: bytes) -> str:
        """The first file of the workspace that is no input and that the log says was not found: other programs than Python."""
        names: frozenset[str] | None = None
        places = [str(self.root), *(os.path.realpath(path) for path in self._job.hidden), *self._job.hidden]
        for line in log[-_MOST_LOG:].decode("utf-8", "replace").splitlines():
            if not _NOT_FOUND.search(line):
                continue
            for word in _WORD.findall(line):
                place = next((place for place in places if word.startswith(place + "/")), None)
                name = posixpath.normpath(word[len(place) + 1 :] if place else word).rstrip(":.,")
                if names is None:
                    names = frozenset(self._workspace()) - {file.path for file in self._job.files}
                if name in names:
                    return f"{name} is {_ADD.format(name)}"
        return ""

    def _workspace(self) -> list[str]:
        """Every path of the snapshot."""
        return os.fsdecode(self._job.names()).split("\n")[1:-1] if self._job.names is not None else []
