"""What a program can load and open inside one snapshot: which files, and through whom.

Follows Python's own rules (packages before native modules before modules, `__init__` chains, namespace packages, the first
root wins) over git trees, without running anything.  What cannot be resolved inside the workspace is somebody else's module.

Where the order of sys.path is not certain (pytest inserts folders, programs change it), every root counts alike.
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from ..git.objects import LINK, TREE
from ..git.snapshot import Snapshot, Trace, Watched
from ..load.globs import Glob
from .files import FileReader
from .imports import Fact
from .names import NATIVE, STANDARD
from .project import Project

__all__ = ["Closure", "Start", "World", "close_over"]

OPENED, BELOW = "opened", "below"


@dataclass(frozen=True, slots=True)
class Start:
    """Where a program starts.  `as_main` follows `python -m`: a package's `__main__` runs too."""

    roots: tuple[str, ...]
    modules: tuple[str, ...] = ()
    scripts: tuple[str, ...] = ()
    facts: tuple[Fact, ...] = ()
    optional: tuple[str, ...] = ()  # modules that are imported if they are there
    whole: tuple[str, ...] = ()  # packages of which nobody can say which modules are used
    cwd: str = ""
    as_main: bool = False
    any_order: bool = False


@dataclass(slots=True)
class Closure:
    """`via[path]` is the file (or "" for the command itself) that needs the path: a shortest chain, and of those that are equally
    long the one whose last file comes first by path."""

    via: dict[str, str] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)  # of these, what is opened and not imported: how it is known
    unresolved: set[str] = field(default_factory=set)  # top-level names that are not in the workspace
    outputs: set[str] = field(default_factory=set)  # files that actions make and that are imported
    anything: str = ""  # why every file counts, in words
    widened: dict[str, str] = field(default_factory=dict)  # package folder -> file whose dynamic import reaches all of it
    roots: tuple[str, ...] = ()  # where modules were looked for
    any_order: bool = False


@dataclass(slots=True)
class _Step:
    """What one file needs directly."""

    files: dict[str, None] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)
    widened: dict[str, None] = field(default_factory=dict)
    unresolved: set[str] = field(default_factory=set)
    outputs: set[str] = field(default_factory=set)
    roots: dict[str, None] = field(default_factory=dict)  # folders that it puts on sys.path
    anything: str = ""


class World:
    """One snapshot, what actions add to it, and what was found out about its files before."""

    def __init__(self, snapshot: Snapshot, reader: FileReader, project: Project) -> None:
        self.snapshot, self.reader, self.project = snapshot, reader, project
        self.steps: dict[tuple[object, ...], tuple[_Step, Trace | None]] = {}
        self._native: dict[str, dict[str, list[str]]] = {}
        self._ahead: set[str] = set()

    def native(self, folder: str, name: str) -> list[str]:
        """Native modules of a name in a folder.  What is listed here is no trace: see `reuse.Moved.unsettling`."""
        entry = self.snapshot.entry(folder)
        if entry is None or entry[0] != TREE:
            return []
        known = self._native.get(entry[1])
        if known is None:
            known = self._native[entry[1]] = {}
            for file in self.snapshot.objects.tree(entry[1]):
                if file.endswith(NATIVE):
                    known.setdefault(file.partition(".")[0], []).append(file)
        return [f"{folder}/{file}".lstrip("/") for file in known.get(name, ())]

    def shadows(self, root: str) -> list[str]:
        """Modules of a root that stand in for the standard library's; the same holds for the trace."""
        entry = self.snapshot.entry(root)
        if entry is None or entry[0] != TREE:
            return []
        names = {file.removesuffix(".py") for file in self.snapshot.objects.tree(entry[1])}
        return sorted(names & STANDARD)

    def read_ahead(self, path: str) -> None:
        """Read the files around a path all at once, and where nothing is known yet, at the second time all there are.

        Nobody knows yet that they are needed; where so many were, they probably are.
        """
        top, slash, _ = path.partition("/")
        if "" in self._ahead or not slash or top in self._ahead:
            return
        top = "" if self._ahead and self.reader.cold() else top
        self._ahead.add(top)
        entry = Snapshot.entry(self.snapshot, top)  # nothing depends on what is read ahead, so nobody is to note it
        if entry is not None and entry[0] == TREE:
            leaves = self.snapshot.objects.walk(entry[1])
            self.reader.read_ahead(blob for leaf, mode, blob in leaves if leaf.endswith(".py") and mode & 0o170000 == 0o100000)


class _Resolver:
    """Dotted names to files, for one world, one search path and the outputs of some actions."""

    def __init__(self, world: World, roots: tuple[str, ...], any_order: bool, outputs: Collection[str]) -> None:
        self.world, self.snapshot, self.roots, self.any_order = world, world.snapshot, roots, any_order
        self.outputs = frozenset(outputs)
        self._made = {above for path in outputs for above in _above(path)}
        self.links: list[str] = []  # links to folders that were followed since somebody asked

    def _file(self, folder: str, name: str) -> str | None:
        path = f"{folder}/{name}".lstrip("/")
        if path in self.outputs:
            return path
        found = self.snapshot.child(folder, name)
        return path if found is not None and found[0] & 0o170000 in (0o100000, LINK) else None

    def _folder(self, folder: str, name: str) -> str | None:
        path = f"{folder}/{name}".lstrip("/")
        if path in self._made:
            return path
        found = self.snapshot.child(folder, name)
        if found is not None and found[0] == LINK:
            target = self.snapshot.follow(path)
            if target is None or not self.snapshot.is_dir(target):
                return None
            self.links.append(path)
            return target
        return path if found is not None and found[0] == TREE else None

    def _made_native(self, folder: str, name: str) -> list[str]:
        stem = f"{folder}/{name}.".lstrip("/")
        return sorted(
            path for path in self.outputs if path.startswith(stem) and path.endswith(NATIVE) and "/" not in path[len(stem) :]
        )

    def child(self, folders: Iterable[str], name: str) -> tuple[list[str], tuple[str, ...]]:
        """The files of module `name` in these folders, and the folders where its submodules lie."""
        files: list[str] = []
        below: list[str] = []
        portions = []
        for folder in folders:
            package = self._folder(folder, name)
            init = self._file(package, "__init__.py") if package is not None else None
            if package is not None and init:
                files.append(init)
                below.append(package)
            else:
                # A native module comes before a module of the same name where the platform can load it.
                native = [*self.world.native(folder, name), *self._made_native(folder, name)]
                module = self._file(folder, f"{name}.py")
                files += [*native, *([module] if module else [])]
                if not native and not module:
                    if package is not None:
                        portions.append(package)
                    continue
            if not self.any_order:
                return files, tuple(below)
        return files, tuple(dict.fromkeys([*below, *portions]))

    def load(self, dotted: str) -> tuple[list[str], tuple[str, ...] | None]:
        """The files that `import dotted` runs, and where its submodules lie (None: it is not in the workspace)."""
        files: list[str] = []
        folders: tuple[str, ...] = self.roots
        for part in dotted.split("."):
            if not part:
                return files, None
            found, below = self.child(folders, part)
            files += found
            if not found and not below:
                return files, None
            folders = below
        return files, folders


def _above(path: str) -> Iterator[str]:
    while path := posixpath.dirname(path):
        yield path


def _package_of(path: str, roots: tuple[str, ...]) -> list[str]:
    """The dotted packages that can hold a file, the longest root first."""
    found = []
    for root in sorted(roots, key=len, reverse=True):
        prefix = f"{root}/" if root else ""
        if path.startswith(prefix):
            found.append(".".join(path[len(prefix) :].split("/")[:-1]))
    return found


class _Follower:
    """From the facts of one file to what it needs."""

    def __init__(self, world: World, resolver: _Resolver, cwd: str) -> None:
        self.world, self.snapshot, self.resolver, self.cwd = world, world.snapshot, resolver, cwd

    def want(self, step: _Step, dotted: str) -> tuple[str, ...] | None:
        files, below = self.resolver.load(dotted)
        self._take(step, files)
        if below is None and not files:
            step.unresolved.add(dotted.partition(".")[0])
        return below

    def _take(self, step: _Step, files: Iterable[str]) -> None:
        for path in files:
            if path in self.resolver.outputs:
                step.outputs.add(path)
            else:
                step.files[path] = None
        while self.resolver.links:
            step.files[self.resolver.links.pop()] = None

    def want_below(self, step: _Step, folders: tuple[str, ...] | None) -> None:
        for folder in folders or ():
            step.widened[folder] = None

    def _submodule(self, step: _Step, below: tuple[str, ...] | None, name: str) -> None:
        if below:
            files, _ = self.resolver.child(below, name)
            self._take(step, files)

    def _homes(self, base: str, via: str) -> list[str]:
        """The files whose place a path starts from."""
        if not base:
            return [via] if via else []
        if base.startswith("."):
            dots = len(base) - len(base.lstrip("."))
            names = [self._above(package, dots, base.lstrip(".")) for package in _package_of(via, self.resolver.roots)]
        else:
            names = [base]
        for name in names:
            if not name:
                continue
            files, below = self.resolver.load(name)
            if below is None:
                continue
            if below:  # a package: its folder
                return [f"{folder}/__init__.py" for folder in below]
            if files:
                return files[-1:]
        return []

    @staticmethod
    def _above(package: str, level: int, name: str) -> str | None:
        parts = package.split(".") if package else []
        if level - 1 > len(parts):
            return None
        stem = parts[: len(parts) - level + 1]
        return ".".join([*stem, name] if name else stem)

    # -- one kind of fact each ---------------------------------------------------------------------------------------------------

    def _from(self, step: _Step, level: int, module: str, names: tuple[str, ...], via: str) -> None:
        if not level:
            self._names(step, module, names)
            return
        done = False
        for package in _package_of(via, self.resolver.roots) if via else ():
            base = self._above(package, level, module)
            if base is None or (not base and level > 1):
                continue
            if not base:
                for name in names:
                    self.want(step, name)
                continue
            if self.resolver.load(base)[1] is not None or not done:
                self._names(step, base, names)
                done = True

    def _names(self, step: _Step, base: str, names: tuple[str, ...]) -> None:
        below = self.want(step, base)
        files = self.resolver.load(base)[0]
        for name in names:
            if name == "*":
                for path in files[-1:]:
                    entry = self.snapshot.entry(path) if path not in self.resolver.outputs else None
                    for word in (
                        self.world.reader.all_words(self.world.reader.facts(entry[1])) if entry and entry[0] != LINK else ()
                    ):
                        if word == "*":
                            self.want_below(step, below)
                        else:
                            self._submodule(step, below, word)
            else:
                self._submodule(step, below, name)
        for path in files[-1:]:
            self._constants(step, path, names)

    def _constants(self, step: _Step, path: str, names: tuple[str, ...]) -> None:
        """Paths that one file names and another imports: whoever imports the name may join anything to it."""
        entry = self.snapshot.entry(path) if path not in self.resolver.outputs else None
        if entry is None or entry[0] & 0o170000 != 0o100000:
            return
        for fact in self.world.reader.facts(entry[1]):
            if fact[0] == "const" and (fact[1] in names or "*" in names):
                for home in self._homes(str(fact[2]), path):
                    self._open(step, posixpath.normpath(posixpath.join(home, str(fact[3]))), BELOW, home)

    def _open(self, step: _Step, target: str, how: str, via: str) -> None:
        if target == ".." or target.startswith(("../", "/")):
            return  # outside of the workspace
        if target == ".":
            step.anything = step.anything or f"{via} reads files by paths that are known only at run time"
            return
        entry = self.snapshot.entry(target)
        if entry is None:
            if target in self.resolver.outputs:
                step.outputs.add(target)
            return
        if entry[0] != TREE:
            step.data.setdefault(target, how)
            return
        for leaf, _, _ in self.snapshot.walk(target):
            step.data.setdefault(leaf, how)

    def _glob(self, step: _Step, folder: str, pattern: str) -> None:
        if folder == ".." or folder.startswith(("../", "/")):
            return
        folder = "" if folder == "." else folder
        if pattern.count("**") == 0 and "/" not in pattern:
            rows: Iterable[tuple[str, int]] = (
                (f"{folder}/{name}".lstrip("/"), entry[0]) for name, entry in self.snapshot.names(folder).items()
            )
        else:
            rows = ((leaf, mode) for leaf, mode, _ in self.snapshot.walk(folder))
        glob = Glob(pattern.replace("[", "?").replace("]", "*") if "[" in pattern else pattern)
        for path, mode in rows:
            if glob.matches(path[len(folder) :].lstrip("/")):
                if mode == TREE:
                    self._open(step, path, OPENED, path)
                else:
                    step.data.setdefault(path, OPENED)

    def _run(self, step: _Step, how: str, what: str) -> None:
        if how == "module":
            below = self.want(step, what)
            self._submodule(step, below, "__main__")
        elif how == "code":
            for fact in self.world.reader.facts_in(what):
                self.follow(step, fact, "")
        elif how == "script":
            path = posixpath.normpath(posixpath.join(self.cwd, what))
            if not path.startswith(("../", "/")) and self.snapshot.is_file(path):
                step.files[path] = None
        elif how == "word":
            for path, module in self.world.project.scripts(self.snapshot, self.resolver.roots, what):
                self.want(step, module)
                step.data.setdefault(path, OPENED)
        else:
            self._shell(step, what)

    def _shell(self, step: _Step, text: str) -> None:
        from .command import read_command

        reads = read_command(text)
        for program in reads.programs:
            if program.how in ("module", "script", "code"):
                self._run(step, program.how, program.what)
            for path in program.paths:
                self._open(step, posixpath.normpath(posixpath.join(self.cwd, path)), OPENED, path)
        for path in (*reads.words, *reads.exact_words):
            if self.snapshot.is_file(joined := posixpath.normpath(posixpath.join(self.cwd, path))):
                step.data.setdefault(joined, OPENED)

    def follow(self, step: _Step, fact: Fact, via: str) -> None:
        kind = fact[0]
        if kind == "import":
            self.want(step, str(fact[1]))
        elif kind == "from":
            self._from(step, int(str(fact[1])), str(fact[2]), tuple(map(str, fact[3:])), via)
        elif kind == "package":
            below = self.want(step, str(fact[1]))
            self.want_below(step, below)
        elif kind == "own":
            packages = [package for package in _package_of(via, self.resolver.roots) if package] if via else []
            for package in packages:
                self.want_below(step, self.resolver.load(package)[1])
            if not packages:
                step.anything = step.anything or self._dynamic(via)
        elif kind == "anything":
            step.anything = step.anything or self._dynamic(via)
        elif kind in ("open", "below"):
            for home in self._homes(str(fact[1]), via):
                self._open(step, posixpath.normpath(posixpath.join(home, str(fact[2]))), OPENED if kind == "open" else BELOW, via)
        elif kind == "glob":
            for home in self._homes(str(fact[1]), via):
                self._glob(step, posixpath.normpath(posixpath.join(home, str(fact[2]))), str(fact[3]))
        elif kind == "path":
            here = [posixpath.join(self.cwd, "x")] if fact[1] == "cwd" else self._homes(str(fact[1]), via)
            for home in here:
                base = posixpath.dirname(home) if fact[1] == "cwd" else home
                root = posixpath.normpath(posixpath.join(base, str(fact[2])))
                if not root.startswith(".."):
                    step.roots["" if root == "." else root] = None
        elif kind == "cwd":
            self._from_cwd(step, str(fact[1]))
        elif kind == "run":
            self._run(step, str(fact[1]), str(fact[2]))
        elif kind == "entries":
            for path, module in self.world.project.entries(self.snapshot, self.resolver.roots, str(fact[1])):
                self.want(step, module)
                step.data.setdefault(path, OPENED)

    @staticmethod
    def _dynamic(via: str) -> str:
        return f"{via or 'the command'} imports by a name that is known only at run time"

    def _from_cwd(self, step: _Step, text: str) -> None:
        path = posixpath.normpath(posixpath.join(self.cwd, text))
        if any(char in path for char in "*?["):
            folder = path
            while any(char in folder for char in "*?["):
                folder = posixpath.dirname(folder)
            self._glob(step, folder or ".", path[len(folder) :].lstrip("/"))
        elif path != ".":
            self._open(step, path, OPENED, path)

    # -- one file ------------------------------------------------------------------------------------------------------------------

    def step(self, path: str) -> _Step:
        step = _Step()
        entry = self.snapshot.entry(path)
        if entry is None:
            return step
        if entry[0] == LINK:
            target = self.snapshot.follow(path)
            if target and not self.snapshot.is_dir(target):
                step.files[target] = None
            return step
        if entry[0] & 0o170000 == 0o100000 and not path.endswith(NATIVE):
            if self.world.reader.eager():
                self.world.read_ahead(path)
            for fact in self.world.reader.facts(entry[1]):
                self.follow(step, fact, path)
        return step

    def known_step(self, path: str) -> _Step:
        """The same, remembered for other programs with the same search path."""
        key = (path, self.resolver.roots, self.resolver.any_order, self.resolver.outputs, self.cwd)
        known = self.world.steps.get(key)
        if known is None:
            if isinstance(self.snapshot, Watched):
                with self.snapshot.record() as trace:
                    known = self.step(path), trace
            else:
                known = self.step(path), None
            self.world.steps[key] = known
        elif known[1] is not None and isinstance(self.snapshot, Watched):
            self.snapshot.replay(known[1])
        return known[0]


def close_over(world: World, start: Start, outputs: Collection[str] = ()) -> Closure:
    """Everything that a program can load and open.

    A file that puts a folder of the workspace on sys.path makes that folder one more root, and the order of roots unknown.
    """
    roots, any_order = start.roots, start.any_order
    while True:
        closure, more = _close(world, start, roots, any_order, outputs)
        if set(more) <= set(roots):
            closure.roots, closure.any_order = roots, any_order
            return closure
        roots, any_order = tuple(dict.fromkeys([*roots, *sorted(more)])), True


def _close(
    world: World, start: Start, roots: tuple[str, ...], any_order: bool, outputs: Collection[str]
) -> tuple[Closure, set[str]]:
    snapshot = world.snapshot
    resolver = _Resolver(world, roots, any_order, outputs)
    follower = _Follower(world, resolver, start.cwd)
    closure = Closure()
    pending: list[str] = []
    more: set[str] = set()

    def add(path: str, via: str) -> None:
        if path not in closure.via:
            closure.via[path] = via
            pending.append(path)

    def merge(step: _Step, via: str) -> None:
        for path in step.files:
            add(path, via)
        for path, how in step.data.items():
            closure.data.setdefault(path, how)
            if path not in closure.via:
                closure.via[path] = via
                if path.endswith(".py") or snapshot_link(path):
                    pending.append(path)
        for folder in step.widened:
            if folder not in closure.widened:
                closure.widened[folder] = via
                for path, mode, _ in snapshot.walk(folder):
                    if path.endswith((".py", *NATIVE)) and mode & 0o170000 in (0o100000, LINK):
                        add(path, via)
        closure.unresolved |= step.unresolved
        closure.outputs |= step.outputs
        closure.anything = closure.anything or step.anything
        more.update(step.roots)

    def snapshot_link(path: str) -> bool:
        entry = snapshot.entry(path)
        return entry is not None and entry[0] == LINK

    first = _Step()
    for fact in start.facts:
        follower.follow(first, fact, "")
    for dotted in start.modules:
        below = follower.want(first, dotted)
        if start.as_main:
            follower._submodule(first, below, "__main__")
    merge(first, "")
    for path in start.scripts:
        add(path, "")
    silent = _Step()  # what may be there: where it is not, nobody misses it
    each = _Resolver(world, roots, True, outputs)  # somebody else looks for it, perhaps before a root was put in front
    for dotted in (*start.optional, *(name for root in roots for name in world.shadows(root))):
        follower._take(silent, each.load(dotted)[0])
    for dotted in start.whole:
        files, below = each.load(dotted)
        follower._take(silent, files)
        follower.want_below(silent, below)
    merge(silent, "")
    while pending and not closure.anything:
        level = sorted(pending)
        pending.clear()
        for path in level:
            merge(follower.known_step(path), path)
            if closure.anything:
                break
    return closure, more
