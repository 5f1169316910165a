"""The `git` program, where it is there: its stat cache and its merge machinery are better than anything we could write.

Every call gets a scrubbed environment (a hook's GIT_DIR or GIT_INDEX_FILE must not redirect us), never prompts, and takes no
optional locks, so that asking a question cannot disturb a person who works in the same checkout.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import HostError, SnapshotError

__all__ = ["disk_trouble", "find_git", "run_git", "transport_environment"]

_SAFE_CONFIG = ("core.fsmonitor=false", "core.trustctime=true", "core.checkStat=default", "core.quotePath=false", "diff.external=")

#: What the transport may need of the caller's environment; everything else of git's stays out.
_TRANSPORT = (
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_SSH_VARIANT",
    "GIT_ASKPASS",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "GIT_SSL_NO_VERIFY",
)


def transport_environment() -> dict[str, str]:
    """For calls of git that speak to a remote: how whoever started us reaches it."""
    return {name: os.environ[name] for name in _TRANSPORT if name in os.environ}


def cause(lines: Sequence[str]) -> str:
    """Of what git said, the line that says why: what the disk did, if any says it, else what was fatal first, else the last."""
    return next(
        (line for names in (_DISK, _WRITES, ("fatal: ",)) for line in lines if any(name in line for name in names)), lines[-1]
    )


_DISK = ("No space left on device", "Read-only file system", "Disk quota exceeded", "Input/output error", "File too large")
_WRITES = ("couldn't write", "unable to write", "unable to append", "unable to create")


def disk_trouble(words: str) -> bool:
    """Whether a line of git's says that the disk took no more."""
    return any(cause in words for cause in (*_DISK, *_WRITES))


def find_git() -> str | None:
    """The path of the git program, or None.  NMOE_GRAPH_GIT=none hides it (tests do)."""
    if os.environ.get("NMOE_GRAPH_GIT") == "none":
        return None
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        candidate = os.path.join(folder, "git")
        if os.access(candidate, os.X_OK) and not os.path.isdir(candidate):
            return candidate
    return None


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return kept | {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1", "LC_ALL": "C"} | dict(extra)


def run_git(
    git: str,
    where: Path,
    args: Sequence[str],
    *,
    accept: tuple[int, ...] = (0,),
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
) -> tuple[int, bytes]:
    """Run git in `where` and return its exit status and stdout.

    Raises:
        SnapshotError: git ended with a status that is not in `accept`; its own words are in the message.
        HostError: git could not be started.
    """
    import subprocess

    command = [git]
    for setting in _SAFE_CONFIG:
        command += ["-c", setting]
    try:
        scrubbed = _environment(env or {})
        done = subprocess.run([*command, *args], cwd=where, env=scrubbed, input=stdin, capture_output=True, check=False)
    except OSError as error:
        raise HostError(f"cannot start git: {error.strerror}", hint="install git, or look at PATH") from None
    if done.returncode not in accept:
        words = done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"exit status {done.returncode}"]
        raise SnapshotError(f"git {args[0]}: {cause(words)}")
    return done.returncode, done.stdout
