"""Loaded by Python itself in every Python process of a gate, as `sitecustomize`; not imported by nmoe-graph.

Promises that a folder alone cannot keep: a module of the workspace never resolves to an installed copy, a file of the checkout
that is no input is never opened, nothing is written outside.  A breach raises in the gate, and leaves a mark, since a program
may swallow errors.  What is asked for by a name that the workspace has and the sandbox has not is marked too.
"""

from __future__ import annotations

import mmap
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing is too slow for every process of every gate
    from typing import Any

_BOX = os.environ.get("NMOE_GRAPH_BOX", "")
_OWN = frozenset(filter(None, os.environ.get("NMOE_GRAPH_OWN", "").split(",")))
_HIDDEN = tuple(filter(None, os.environ.get("NMOE_GRAPH_HIDDEN", "").split("\x1f")))
_ALLOWED = tuple(filter(None, os.environ.get("NMOE_GRAPH_ALLOWED", "").split("\x1f")))
_WRITABLE = tuple(filter(None, os.environ.get("NMOE_GRAPH_WRITABLE", "").split("\x1f")))
_MARKS = os.environ.get("NMOE_GRAPH_MARKS", "")


def _mark(text: str) -> None:
    try:
        descriptor = os.open(_MARKS, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(descriptor, (text + "\n").encode("utf-8", "replace"))
        os.close(descriptor)
    except OSError:
        pass


_lstat = os.lstat


def _below(path: str, folders: tuple[str, ...]) -> bool:
    return any(path == folder or path.startswith(folder + os.sep) for folder in folders)


class _OwnModules:
    """Stands before every other finder; looks where they look, and refuses what lies outside the sandbox."""

    _busy = False

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name.partition(".")[0] not in _OWN or self._busy:
            return None
        _OwnModules._busy = True
        try:
            spec = None
            for finder in sys.meta_path:
                if finder is not self and hasattr(finder, "find_spec"):
                    spec = finder.find_spec(name, path, target)
                    if spec is not None:
                        break
        finally:
            _OwnModules._busy = False
        if spec is None:
            return None
        places = [spec.origin] if spec.origin and spec.has_location else []
        places += list(spec.submodule_search_locations or ())
        outside = [place for place in places if not _below(os.path.realpath(place), (_BOX,))]
        if outside:
            _mark(f"import\t{name}")
            raise ImportError(
                f"{name} resolves to an installed copy outside the sandbox; the workspace's own module is not among the inputs"
            )
        return spec


#: Audit events of Python -> how many of their first arguments are paths.
_READS = {"open": 1, "os.listdir": 1, "os.scandir": 1}
_CHANGES = {
    **dict.fromkeys(("os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.chmod", "os.chown", "os.utime"), 1),
    **dict.fromkeys(("os.rename", "os.link"), 2),
}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
#: What every program may write: devices, its own process.
_FREE = ("/dev", "/proc")
_ROOT = os.path.join(_BOX, "box")
_told: set[str] = set()


def _tell(kind: str, name: str) -> None:
    text = f"{kind}\t{name}"
    if text not in _told and len(_told) < 200:
        _told.add(text)
        _mark(text)


def _in_workspace(name: str) -> bool:
    """Whether the snapshot has a file of this name, or a folder."""
    try:
        descriptor = os.open(os.path.join(_BOX, "names"), os.O_RDONLY)
    except OSError:
        return False
    try:
        with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as names:
            line = b"\n" + os.fsencode(name)
            return names.find(line + b"\n") >= 0 or names.find(line + b"/") >= 0
    finally:
        os.close(descriptor)


def _look(kind: str, path: Any) -> None:
    """Note that something of the workspace was asked for which is not here."""
    if isinstance(path, (str, bytes)) and _BOX:
        full = os.path.abspath(os.fsdecode(path))
        if _below(full, (_ROOT,)) and full != _ROOT and not _exists(full) and _in_workspace(full[len(_ROOT) + 1 :]):
            _tell(kind, full[len(_ROOT) + 1 :])


def _exists(path: str) -> bool:
    try:
        _lstat(path)
    except (OSError, ValueError):
        return False
    return True


def _asked_by_the_import_system() -> bool:
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name not in (__name__, "sitecustomize"):
            return str(name).startswith("importlib._bootstrap")
        frame = frame.f_back  # type: ignore[assignment]
    return False


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if event not in _READS and event not in _CHANGES and event != "os.symlink":
        return
    writes = event not in _READS
    if event == "open":
        mode, flags = args[1], args[2]
        writes = bool(set(str(mode or "")) & set("wax+")) or bool(isinstance(flags, int) and flags & _WRITING)
    paths = args[1:2] if event == "os.symlink" else args[: _READS.get(event) or _CHANGES.get(event, 0)]
    for path in paths:
        if isinstance(path, (str, bytes)):
            _check(event, os.fsdecode(path), writes)
            if event == "open" and not writes:
                _look("read", path)
    if event in ("os.listdir", "os.scandir") and not _asked_by_the_import_system():
        path = args[0] if isinstance(args[0], (str, bytes)) else "."
        full = os.path.abspath(os.fsdecode(path))
        if _below(full, (_ROOT,)):
            _tell("list", os.path.relpath(full, _ROOT))


def _check(event: str, path: str, writes: bool) -> None:
    if not path or path.startswith("\0"):
        return
    full = os.path.abspath(path)
    if not _below(full, _HIDDEN):
        full = os.path.realpath(full)
    if _below(full, _HIDDEN) and not _below(full, (_BOX, *_ALLOWED, *_WRITABLE)):
        hidden = max((folder for folder in _HIDDEN if _below(full, (folder,))), key=len)
        name = os.path.relpath(full, hidden)
        _tell("change" if event not in _READS else "read", name)
        raise PermissionError(1, "not among the inputs of this gate; add it to inputs", name)
    if writes and not _below(full, (_BOX, *_FREE, *_WRITABLE)):
        _tell("write", full)
        raise PermissionError(1, "a gate writes in its own folder only", full)


def _watch_stat() -> None:
    """Looking whether a file is there raises no audit event: so the three functions that look are wrapped."""
    for name in ("stat", "lstat", "access"):
        real = getattr(os, name)

        def asked(path: Any, *args: Any, _real: Any = real, **more: Any) -> Any:
            try:
                found = _real(path, *args, **more)
            except FileNotFoundError:
                _look("stat", os.fspath(path) if hasattr(path, "__fspath__") else path)
                raise
            if found is False:
                _look("stat", os.fspath(path) if hasattr(path, "__fspath__") else path)
            return found

        asked.__name__, asked.__doc__ = name, real.__doc__
        for able in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks, os.supports_effective_ids):
            if real in able:
                able.add(asked)
        setattr(os, name, asked)


if _BOX:
    if _OWN:
        sys.meta_path.insert(0, _OwnModules())
    sys.addaudithook(_hook)
    _watch_stat()
    # Another sitecustomize may have been meant to run.
    _here = os.path.dirname(os.path.abspath(__file__))
    for _folder in sys.path:
        _other = os.path.join(_folder or ".", "sitecustomize.py")
        if os.path.abspath(_folder or ".") != _here and os.path.isfile(_other) and not _below(os.path.abspath(_other), _HIDDEN):
            with open(_other, "rb") as _handle:
                exec(compile(_handle.read(), _other, "exec"), {"__name__": "sitecustomize", "__file__": _other})
            break
