"""The token, from the environment or from gh, in a wrapper that shows it to nobody.

GH_TOKEN and GITHUB_TOKEN are for github.com and the tenants of ghe.com, as gh has it; another host's are GH_ENTERPRISE_TOKEN and
GITHUB_ENTERPRISE_TOKEN, and the first two only where GH_HOST or GITHUB_SERVER_URL names that host: a remote's URL alone must
not decide where a token goes.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from typing import NoReturn

from ..errors import HostError
from .where import LOOPBACK, Where

__all__ = ["Token", "find_token"]

_SHAPE = re.compile(r"[\x21-\x7e]{4,1024}")
_GH_SECONDS = 10


class Token:
    """A credential.  Only `reveal` gives it away; what prints, compares or pickles this object does not."""

    __slots__ = ("_value", "source")

    def __init__(self, value: str, source: str = "given") -> None:
        value = value.strip()
        if not _SHAPE.fullmatch(value):
            raise HostError(
                f"the token ({source}) has characters, or a length, that no token has", hint="gh auth login, or set GH_TOKEN"
            )
        self._value, self.source = value, source

    def reveal(self) -> str:
        """The token itself, for the header of one request."""
        return self._value

    def scrubbed(self, text: str) -> str:
        """A text without it."""
        return text.replace(self._value, "[credential removed]")

    def __repr__(self) -> str:
        return f"Token({self.source})"

    __str__ = __repr__

    def __reduce__(self) -> NoReturn:
        raise TypeError("a token is not written down")


def find_token(where: Where, environ: Mapping[str, str] = os.environ) -> Token:
    """The token for a repository's host.

    Raises:
        HostError: there is none, or it has characters that no token has.
    """
    for name in _names(where.host, environ):
        if environ.get(name, "").strip():
            return Token(environ[name], name)
    found = _from_gh(where.host, environ)
    if found:
        return Token(found, "gh auth token")
    ask = "GH_TOKEN" if _public(where.host) else "GH_ENTERPRISE_TOKEN"
    raise HostError(f"no token for {where.host}", hint=f"set {ask}, or gh auth login --hostname {where.host}")


def _public(host: str) -> bool:
    return host == "github.com" or host.endswith(".ghe.com") or host in LOOPBACK


def _names(host: str, environ: Mapping[str, str]) -> list[str]:
    ordinary = ["GH_TOKEN", "GITHUB_TOKEN"]
    if _public(host):
        return ordinary
    named = {environ.get("GH_HOST", "").lower(), environ.get("GITHUB_SERVER_URL", "").lower().removeprefix("https://").rstrip("/")}
    return ["GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN", *(ordinary if host in named else [])]


def _from_gh(host: str, environ: Mapping[str, str]) -> str:
    """What the gh program has kept, "" where it is not here, knows nothing or does not answer in time."""
    import subprocess

    program = shutil.which("gh", path=environ.get("PATH", os.defpath))
    if not program:
        return ""
    quiet = {**environ, "GH_PROMPT_DISABLED": "1", "GH_NO_UPDATE_NOTIFIER": "1", "NO_COLOR": "1"}
    try:
        done = subprocess.run(
            [program, "auth", "token", "--hostname", host],
            env=quiet,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_GH_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("ascii", "replace").strip() if done.returncode == 0 else ""
