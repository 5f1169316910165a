"""What a `pyproject.toml` of the workspace declares for others to start: scripts and entry points."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator

from ..git.snapshot import Snapshot

__all__ = ["Project"]

_OBJECT = re.compile(r"\s*([A-Za-z_][\w.]*)\s*(?::|\[|\Z)")
_Declared = dict[str, dict[str, str]]  # group -> name -> module; "" for scripts


class Project:
    """The declarations at the top of the workspace and beside the roots of a program.

    Every question reads the file anew through the snapshot, so that whoever watches it knows that its bytes were read.
    """

    def __init__(self) -> None:
        self._parsed: dict[bytes, _Declared] = {}

    def files(self, snapshot: Snapshot, roots: Iterable[str]) -> Iterator[str]:
        """The `pyproject.toml` files that count for a program with these roots."""
        folders = dict.fromkeys(["", *(folder for root in roots for folder in (root, posixpath.dirname(root)))])
        for folder in folders:
            path = f"{folder}/pyproject.toml".lstrip("/")
            if snapshot.is_file(path):
                yield path

    def _declared(self, snapshot: Snapshot, path: str) -> _Declared:
        data = snapshot.read(path) or b""
        if data not in self._parsed:
            self._parsed[data] = _read(data)
        return self._parsed[data]

    def scripts(self, snapshot: Snapshot, roots: Iterable[str], word: str) -> list[tuple[str, str]]:
        """(file, module) of a command word."""
        found = []
        for path in self.files(snapshot, roots):
            module = self._declared(snapshot, path).get("", {}).get(word)
            if module:
                found.append((path, module))
        return found

    def names(self, snapshot: Snapshot, roots: Iterable[str]) -> set[str]:
        """Every command word that is declared."""
        return {name for path in self.files(snapshot, roots) for name in self._declared(snapshot, path).get("", {})}

    def entries(self, snapshot: Snapshot, roots: Iterable[str], group: str) -> list[tuple[str, str]]:
        """(file, module) of a group's entry points; of every group where it is ""."""
        found = []
        for path in self.files(snapshot, roots):
            for name, rows in self._declared(snapshot, path).items():
                if name and group in ("", name):
                    found += [(path, module) for module in rows.values()]
        return found


def _read(data: bytes) -> _Declared:
    import tomli

    try:
        project = tomli.loads(data.decode("utf-8")).get("project", {})
    except (ValueError, RecursionError):
        return {}
    if not isinstance(project, dict):
        return {}
    groups = project.get("entry-points")
    found: _Declared = {"": {**_modules(project.get("scripts")), **_modules(project.get("gui-scripts"))}}
    for name, rows in groups.items() if isinstance(groups, dict) else ():
        found[name] = _modules(rows)
    for group, key in (("console_scripts", "scripts"), ("gui_scripts", "gui-scripts")):
        if rows := _modules(project.get(key)):
            found[group] = rows
    return found


def _modules(rows: object) -> dict[str, str]:
    if not isinstance(rows, dict):
        return {}
    return {name: match[1] for name, value in rows.items() if isinstance(value, str) and (match := _OBJECT.match(value))}
