"""Which repository on which GitHub: from the URL of a git remote, checked character by character.

    https://github.com/OWNER/NAME.git    git@github.com:OWNER/NAME    ssh://git@HOST:22/OWNER/NAME    OWNER/NAME

The API is https://api.github.com for github.com, https://api.NAME.ghe.com for a tenant of ghe.com, and https://HOST/api/v3 for
every other host (GitHub Enterprise Server).  NMOE_GRAPH_GITHUB_API names another one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..errors import HostError, SnapshotError, UsageError, printable
from ..safe import redact

if TYPE_CHECKING:
    from ..git.repository import Repository

__all__ = ["API_VARIABLE", "LOOPBACK", "Where", "where_of", "where_of_origin"]

API_VARIABLE = "NMOE_GRAPH_GITHUB_API"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
_MOST_CHARACTERS = 500
_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*")
_SCP = re.compile(r"(?:[A-Za-z0-9._-]+@)?(?P<host>[A-Za-z0-9.-]+):(?P<path>[^:]*)")
_FORMS = "https://HOST/OWNER/NAME, git@HOST:OWNER/NAME, ssh://git@HOST/OWNER/NAME, or OWNER/NAME"
#: Other names of one host: GitHub takes SSH on port 443 there.
_ALIASES = {"www.github.com": "github.com", "ssh.github.com": "github.com"}


@dataclass(frozen=True, slots=True)
class Where:
    """One repository.  `api` is the base URL of its REST API, without a slash at the end."""

    host: str
    owner: str
    name: str
    api: str

    def __str__(self) -> str:
        return f"{self.owner}/{self.name}" if self.host == "github.com" else f"{self.host}/{self.owner}/{self.name}"


def where_of(text: str, environ: Mapping[str, str] = os.environ) -> Where:
    """The repository that a remote's URL, or OWNER/NAME, names.

    Raises:
        UsageError: it is a folder, another kind of address, or holds a character that does not belong there; or
            NMOE_GRAPH_GITHUB_API is no base URL that a token may be sent to.
    """
    if re.fullmatch(r"[^/:@\\]+/[^/:@\\]+", text) and not text.startswith("."):
        return _checked("github.com", None, text, text, environ)
    return _of_url(text, environ)


def where_of_origin(repository: Repository, remote: str = "origin", environ: Mapping[str, str] = os.environ) -> Where:
    """The repository that a remote of a checkout is on.

    The URL is read as it is configured; only where that names no host (`gh:OWNER/NAME`) are git's `insteadOf` rules applied.

    Raises:
        UsageError: there is no such remote, or it is not on a GitHub.
        HostError: the git program, which knows where configuration is, is not here.
    """
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", remote):
        raise UsageError(f"{printable(remote, limit=80)!r} is no name of a remote", hint="origin, for example")
    url = _git(repository, ["config", "--get", f"remote.{remote}.url"])
    if not url:
        raise UsageError(
            f"there is no remote {remote} here",
            hint=f"git remote add {remote} URL; or say --remote NAME or --repository OWNER/NAME",
        )
    alias = None if "://" in url else _SCP.fullmatch(url)
    if alias and "." not in alias["host"] and alias["host"].lower() not in LOOPBACK:
        url = _git(repository, ["ls-remote", "--get-url", remote]) or url
    try:
        return _of_url(url, environ)
    except UsageError as error:
        fault = error.faults[0]
        hint = f"--remote NAME or --repository OWNER/NAME says where it is on GitHub; a remote's URL is one of {_FORMS}"
        raise UsageError(f"remote {remote}: {fault.what}", hint=hint) from None


def _git(repository: Repository, args: list[str]) -> str:
    from ..git.program import run_git

    if not repository.git:
        raise HostError("the URL of a remote is read by the git program, which is not here", hint="install git")
    try:
        status, out = run_git(repository.git, repository.root, args, accept=(0, 1))
    except SnapshotError as error:
        raise UsageError(error.faults[0].what) from None
    return out.decode("utf-8", "replace").removesuffix("\n") if status == 0 else ""


def _of_url(text: str, environ: Mapping[str, str]) -> Where:
    if len(text) > _MOST_CHARACTERS or not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
        raise _refused(text, "has characters, or a length, that no address of a repository has")
    scheme, colon, rest = text.partition("://")
    if not colon:
        found = None if text.startswith(("/", ".", "~")) else _SCP.fullmatch(text)
        if not found:
            raise _refused(text, "is a folder, or no address at all, and not on a GitHub")
        return _checked(found["host"].lower(), None, found["path"].removeprefix("/"), text, environ)
    scheme = scheme.lower()
    if scheme == "file":
        raise _refused(text, "is a folder, and not on a GitHub")
    if scheme not in ("https", "ssh", "git+ssh"):
        raise _refused(text, f"comes by {printable(scheme, limit=20)}, which is not taken")
    try:
        parts = urlsplit(f"{scheme}://{rest}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _refused(text, "is no URL") from None
    if parts.query or parts.fragment or "?" in rest or "#" in rest:
        raise _refused(text, "has a query or a fragment")
    return _checked(host, port if scheme == "https" else None, parts.path.removeprefix("/"), text, environ)


def _checked(host: str, port: int | None, path: str, text: str, environ: Mapping[str, str]) -> Where:
    host = _ALIASES.get(host, host)
    if host not in LOOPBACK and (len(host) > 253 or not _HOST.fullmatch(host) or "." not in host):
        raise _refused(text, "names no host")
    owner, slash, name = path.removesuffix("/").partition("/")
    name = name.removesuffix(".git")
    if not slash or not _OWNER.fullmatch(owner) or not _NAME.fullmatch(name) or name in (".", "..") or name.endswith(".git"):
        raise _refused(text, "does not name OWNER/NAME")
    return Where(host, owner, name, _override(environ) or _api(host, port))


def _api(host: str, port: int | None) -> str:
    if host == "github.com":
        return "https://api.github.com"
    if host.endswith(".ghe.com"):
        return f"https://api.{host}"
    shown = f"[{host}]" if ":" in host else host
    return f"https://{shown}{f':{port}' if port and port != 443 else ''}/api/v3"


def _override(environ: Mapping[str, str]) -> str:
    """The base URL that the environment names: https, or http to this machine."""
    given = environ.get(API_VARIABLE, "").strip()
    if not given:
        return ""
    hint = "https://HOST/api/v3, for example; http only to this machine"
    try:
        parts = urlsplit(given)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    plain = host in LOOPBACK or (len(host) <= 253 and bool(_HOST.fullmatch(host)))
    odd = not plain or not re.fullmatch(r"(?:/[A-Za-z0-9._~-]+)*/?", parts.path) or "/.." in parts.path
    if (
        len(given) > _MOST_CHARACTERS
        or odd
        or "@" in given
        or "?" in given
        or "#" in given
        or parts.scheme not in ("https", "http")
    ):
        raise UsageError(f"{API_VARIABLE} is no base URL", hint=hint)
    if parts.scheme == "http" and host not in LOOPBACK:
        raise UsageError(f"{API_VARIABLE} would send a token in the clear", hint=hint)
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}{f':{port}' if port else ''}{parts.path.rstrip('/')}"


def _refused(text: str, why: str) -> UsageError:
    """Without the user and password that a URL may hold."""
    shown = re.sub(r"//[^/]*@", "//", text) if "@" in text and "//" in text else text
    return UsageError(f"{redact(printable(shown, limit=120))!r} {why}", hint=_FORMS)
