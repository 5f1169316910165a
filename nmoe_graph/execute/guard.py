"""Loaded by Python itself in every Python process of a gate, as `sitecustomize`; not imported by nmoe-graph.

Two promises that a folder alone cannot keep: a module of the workspace never resolves to an installed copy, and a file of the
checkout that is no input is never opened.  A breach raises in the gate, and leaves a mark, since a program may swallow errors.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing is too slow for every process of every gate
    from typing import Any

_BOX = os.environ.get("NMOE_GRAPH_BOX", "")
_OWN = frozenset(filter(None, os.environ.get("NMOE_GRAPH_OWN", "").split(",")))
_HIDDEN = tuple(filter(None, os.environ.get("NMOE_GRAPH_HIDDEN", "").split("\x1f")))
_ALLOWED = tuple(filter(None, os.environ.get("NMOE_GRAPH_ALLOWED", "").split("\x1f")))
_MARKS = os.environ.get("NMOE_GRAPH_MARKS", "")


def _mark(text: str) -> None:
    try:
        descriptor = os.open(_MARKS, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(descriptor, (text + "\n").encode("utf-8", "replace"))
        os.close(descriptor)
    except OSError:
        pass


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


def _hook(event: str, args: tuple[Any, ...]) -> None:
    for path in args[: _READS.get(event) or _CHANGES.get(event, 0)]:
        if isinstance(path, (str, bytes)):
            _check(event, os.fsdecode(path))
    if event == "os.symlink":
        _check(event, os.fsdecode(args[1]))


def _check(event: str, path: str) -> None:
    if not path or path.startswith("\0"):
        return
    full = os.path.abspath(path)
    if not _below(full, _HIDDEN):
        full = os.path.realpath(full)
    if _below(full, _HIDDEN) and not _below(full, (_BOX, *_ALLOWED)):
        hidden = max((folder for folder in _HIDDEN if _below(full, (folder,))), key=len)
        name = os.path.relpath(full, hidden)
        _mark(f"{'read' if event in _READS else 'change'}\t{name}")
        raise PermissionError(1, "not among the inputs of this gate; add it to inputs", name)


if _BOX:
    if _OWN:
        sys.meta_path.insert(0, _OwnModules())
    if _HIDDEN:
        sys.addaudithook(_hook)
    # Another sitecustomize may have been meant to run.
    _here = os.path.dirname(os.path.abspath(__file__))
    for _folder in sys.path:
        _other = os.path.join(_folder or ".", "sitecustomize.py")
        if os.path.abspath(_folder or ".") != _here and os.path.isfile(_other) and not _below(os.path.abspath(_other), _HIDDEN):
            with open(_other, "rb") as _handle:
                exec(compile(_handle.read(), _other, "exec"), {"__name__": "sitecustomize", "__file__": _other})
            break
