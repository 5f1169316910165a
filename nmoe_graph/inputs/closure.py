"""The import closure of a program inside one snapshot: which files of the workspace it can load, and through whom.

Follows Python's own rules (packages before modules, `__init__` chains, namespace packages, the first root wins) over git
trees, without running anything.  What cannot be resolved inside the workspace is somebody else's module.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..git.objects import LINK, TREE
from ..git.snapshot import Snapshot
from .files import FileReader
from .imports import Fact

__all__ = ["Closure", "close_over"]


@dataclass(slots=True)
class Closure:
    """`via[path]` is the file (or "" for the command itself) that first needs the path: a shortest chain, by breadth."""

    via: dict[str, str] = field(default_factory=dict)
    unresolved: set[str] = field(default_factory=set)  # top-level names that are not in the workspace
    anything: str = ""  # the first file that imports what nobody can tell; then every file counts
    widened: dict[str, str] = field(default_factory=dict)  # package folder -> file whose dynamic import reaches all of it

    def chain(self, path: str) -> list[str]:
        """From the command to `path`, nearest first."""
        steps = [path]
        while (parent := self.via.get(steps[-1], "")) and parent not in steps:
            steps.append(parent)
        return steps[::-1]


class _Resolver:
    """Dotted names to files, for one snapshot and one search path."""

    def __init__(self, snapshot: Snapshot, roots: tuple[str, ...]) -> None:
        self.snapshot, self.roots = snapshot, roots
        self._homes: dict[str, tuple[str, str] | None] = {}

    def _file(self, folder: str, name: str) -> str | None:
        found = self.snapshot.child(folder, name)
        return f"{folder}/{name}".lstrip("/") if found is not None and found[0] & 0o170000 in (0o100000, LINK) else None

    def _folder(self, folder: str, name: str) -> str | None:
        found = self.snapshot.child(folder, name)
        return f"{folder}/{name}".lstrip("/") if found is not None and found[0] == TREE else None

    def child(self, folders: Iterable[str], name: str) -> tuple[str | None, tuple[str, ...]]:
        """The file of module `name` in these folders, and the folders where its submodules lie."""
        portions = []
        for folder in folders:
            package = self._folder(folder, name)
            if package is not None:
                init = self._file(package, "__init__.py")
                if init:
                    return init, (package,)
            module = self._file(folder, f"{name}.py")
            if module:
                return module, ()
            if package is not None:
                portions.append(package)
        return None, tuple(portions)

    def load(self, dotted: str) -> tuple[list[str], tuple[str, ...] | None]:
        """The files that `import dotted` runs, and where its submodules lie (None: it is not in the workspace)."""
        files: list[str] = []
        folders: tuple[str, ...] = self.roots
        for part in dotted.split("."):
            if not part:
                return files, None
            found, below = self.child(folders, part)
            if found:
                files.append(found)
            elif not below:
                return files, None
            folders = below
        return files, folders


def _package_of(path: str, roots: tuple[str, ...]) -> str | None:
    """The dotted package that holds a file, judged from the longest root above it."""
    for root in sorted(roots, key=len, reverse=True):
        prefix = f"{root}/" if root else ""
        if path.startswith(prefix):
            return ".".join(path[len(prefix) :].split("/")[:-1])
    return None


def close_over(
    snapshot: Snapshot,
    reader: FileReader,
    roots: tuple[str, ...],
    modules: Iterable[str] = (),
    scripts: Iterable[str] = (),
    facts: Iterable[Fact] = (),
    as_main: bool = False,
) -> Closure:
    """Everything that the given modules, script files and facts can load.

    `as_main` follows `python -m`: a package's `__main__` runs too.
    """
    resolver = _Resolver(snapshot, roots)
    closure = Closure()
    pending: deque[str] = deque()

    def add(path: str, via: str) -> None:
        if path not in closure.via:
            closure.via[path] = via
            pending.append(path)

    def want(dotted: str, via: str) -> tuple[str, ...] | None:
        files, below = resolver.load(dotted)
        for path in files:
            add(path, via)
        if below is None and not files:
            closure.unresolved.add(dotted.partition(".")[0])
        return below

    def want_below(folders: tuple[str, ...] | None, via: str) -> None:
        for folder in folders or ():
            if folder not in closure.widened:
                closure.widened[folder] = via
                for path, mode, _ in snapshot.walk(folder):
                    if path.endswith(".py") and mode & 0o170000 == 0o100000:
                        add(path, via)

    def follow(fact: Fact, via: str) -> None:
        kind = fact[0]
        package = _package_of(via, roots) if via else ""
        if kind == "import":
            want(str(fact[1]), via)
        elif kind == "from":
            level, base = int(str(fact[1])), str(fact[2])
            if level:
                parts = package.split(".") if package else []
                if level - 1 > len(parts):
                    return
                stem = parts[: len(parts) - level + 1]
                base = ".".join([*stem, base] if base else stem)
                if not base:
                    for name in fact[3:]:
                        want(str(name), via)
                    return
            below = want(base, via)
            for name in fact[3:]:
                if name == "*":
                    for path in resolver.load(base)[0][-1:]:
                        entry = snapshot.entry(path)
                        for word in reader.all_words(reader.facts(entry[1]) or ()) if entry else ():
                            submodule, _ = resolver.child(below or (), word)
                            if submodule:
                                add(submodule, via)
                elif below:
                    submodule, _ = resolver.child(below, str(name))
                    if submodule:
                        add(submodule, via)
        elif kind == "package":
            want_below(want(str(fact[1]), via), via)
        elif kind == "own":
            if package:
                want_below(resolver.load(package)[1], via)
            else:
                closure.anything = closure.anything or via or "the command"
        elif kind == "anything":
            closure.anything = closure.anything or via or "the command"

    for fact in facts:
        follow(fact, "")
    for dotted in modules:
        below = want(dotted, "")
        if as_main and below:
            main, _ = resolver.child(below, "__main__")
            if main:
                add(main, "")
    for path in scripts:
        add(path, "")
    while pending and not closure.anything:
        path = pending.popleft()
        entry = snapshot.entry(path)
        if entry is None:
            continue
        if entry[0] == LINK:
            target = snapshot.follow(path)
            if target:
                add(target, path)
            continue
        for fact in reader.facts(entry[1]) or ():
            follow(fact, path)
    return closure
