"""From a declared target to the exact list of what it reads at one snapshot, each item with the reason why it is there.

Order of evidence: what is declared, what is inferred from the command, and where neither can be proven, the whole tree.
"""

from __future__ import annotations

import posixpath
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from ..git.objects import LINK, TREE
from ..git.snapshot import Snapshot, Trace, Watched
from ..label import Label
from ..load.globs import Glob
from ..model import Action, Files, Gate, Python, Toolchain
from .closure import BELOW, Closure, Start, World, close_over
from .collection import Collection
from .command import Program, Reads, read_command
from .files import FileReader
from .imports import Fact
from .input import Form, Input, Inputs, Reason
from .names import PYTEST
from .project import Project
from .pytestini import NAMES as SETTINGS
from .pytestini import options_in, read_settings

__all__ = ["Gatherer"]


class Gatherer:
    """Collects inputs for the targets of one graph at one snapshot."""

    def __init__(
        self,
        snapshot: Snapshot,
        reader: FileReader,
        target: Callable[[Label], Files | Python | Action | Toolchain | None],
        action_key: Callable[[Action], str],
        own_names: Iterable[str] = (),
    ) -> None:
        self._snapshot = Watched(snapshot.objects, snapshot.tree, snapshot.name, snapshot.commit)
        self._reader = reader
        self._target, self._action_key = target, action_key
        self._own_names = frozenset(own_names)
        self._at = snapshot
        self._top: frozenset[str] | None = None
        self._project = Project()
        self._world = World(self._snapshot, reader, self._project)
        self._closures: dict[tuple[object, ...], tuple[Closure, Trace]] = {}

    # -- parts -----------------------------------------------------------------------------------------------------------------

    def _closure(self, program: Program, outputs: frozenset[str]) -> Closure:
        key = (program, outputs)
        if key not in self._closures:
            with self._snapshot.record() as trace:
                self._closures[key] = (close_over(self._world, self._start(program), outputs), trace)
        closure, trace = self._closures[key]
        self._snapshot.replay(trace)
        return closure

    def _start(self, program: Program) -> Start:
        modules: tuple[str, ...] = ()
        scripts: tuple[str, ...] = ()
        facts: tuple[Fact, ...] = ()
        roots = program.roots
        if program.how == "module":
            modules = (program.what,)
        elif program.how == "entry":
            found = self._project.scripts(self._snapshot, roots, program.what)
            modules = tuple(module for _, module in found)
            homes = [posixpath.dirname(path) for path, _ in found]  # where an installed copy would come from
            roots = tuple(dict.fromkeys([*roots, *homes, *(f"{home}/src".lstrip("/") for home in homes)]))
        elif program.how == "script":
            script = program.what
            if self._snapshot.is_dir(script):  # then the folder itself is first on the path, not the one that holds it
                roots = tuple(dict.fromkeys([script, *roots[1:], *roots[:1]]))
                script = posixpath.join(script, "__main__.py")
            scripts = (script,)
        else:
            facts = self._reader.facts_in(program.what)
        return Start(roots, modules, scripts, facts, _startup(program), (), program.cwd, program.how == "module")

    def _take(self, into: Collection, closure: Closure, reason: Reason = Reason.IMPORTED) -> None:
        widened = tuple(sorted(closure.widened))
        for path in closure.via:
            entry = self._snapshot.entry(path)
            if entry is None:
                continue
            how = closure.data.get(path)
            why = reason
            if how is not None:
                why = Reason.BELOW if how == BELOW else Reason.OPENED
            elif any(path.startswith(folder + "/") for folder in widened) and closure.via[path] in closure.widened.values():
                why = Reason.WIDENED
            if how is None:
                into.meaning.add(path)
            into.leaf(path, *entry, why, parent=closure.via[path], exact=how is not None)

    def _dependency(self, into: Collection, labels: Iterable[Label]) -> None:
        seen: set[Label] = set()
        pending: list[tuple[Label, tuple[str, ...]]] = [(label, (str(label),)) for label in labels]
        while pending:
            label, via = pending.pop(0)
            if label in seen:
                continue
            seen.add(label)
            target = self._target(label)
            if isinstance(target, Action):
                key = self._action_key(target)
                for path in target.outs:
                    into.outputs[path] = Input(path, 0o100644, Form.OUTPUT, key, Reason.DEPENDENCY, via)
                continue
            if isinstance(target, Files):
                exclude = [Glob(pattern) for pattern in target.exclude]
                for pattern in target.srcs:
                    into.glob(pattern, label.package, Reason.DEPENDENCY, via, target.exact, exclude)
            elif isinstance(target, Python):
                closure = close_over(
                    self._world, Start(("", *((label.package,) if label.package else ())), (target.module,), cwd=label.package)
                )
                into.unbounded = into.unbounded or closure.anything
                into.searches.append(None)
                for path in closure.via:
                    entry = self._snapshot.entry(path)
                    if entry:
                        exact = target.exact or path in closure.data
                        if not exact:
                            into.meaning.add(path)
                        parent = closure.via[path]
                        into.leaf(path, *entry, Reason.DEPENDENCY, () if parent else via, exact, parent)
            if isinstance(target, (Files, Python)):
                pending += [(dep, (*via, str(dep))) for dep in target.deps]

    def _pytest(self, into: Collection, program: Program, env: Mapping[str, str]) -> Closure | str:
        """Test paths, their conftest chain, the configuration, plugins, and what all of these import; or why nobody can tell."""
        options = options_in(env)
        chain = dict.fromkeys(_upwards([program.cwd, *program.paths]))
        settings = read_settings(self._snapshot, chain)
        paths = [*program.paths, *settings.paths, *options.paths]
        if not program.paths:
            paths += settings.testpaths
        for path in [*paths]:
            if any(char in path for char in "*?["):
                return f"pytest is given the pattern {path}"
        unknown = options.unknown or settings.unknown
        if unknown or not paths:
            return unknown or "pytest without a path looks everywhere"
        for folder in _upwards(paths):
            chain[folder] = None
        files: dict[str, None] = {}
        for path in paths:
            into.path(path, Reason.NAMED)
            for leaf, mode, _ in self._snapshot.walk(path):
                if leaf.endswith(".py") and mode & 0o170000 == 0o100000:
                    files[leaf] = None
        for folder in chain:
            for name in ("conftest.py", "__init__.py"):
                if self._snapshot.is_file(found := f"{folder}/{name}".lstrip("/")):
                    files[found] = None
            for name in SETTINGS:
                into.path(f"{folder}/{name}".lstrip("/"), Reason.NAMED)
        roots = dict.fromkeys([program.cwd, *program.roots, *settings.roots])
        for path in files:  # rootdir/`prepend`: the first folder upwards that is no package
            folder = posixpath.dirname(path)
            while folder and self._snapshot.is_file(f"{folder}/__init__.py"):
                folder = posixpath.dirname(folder)
            roots[folder] = None
        if self._snapshot.is_dir("src"):
            roots["src"] = None
        plugins = [module for _, module in self._project.entries(self._snapshot, roots, "pytest11")]
        optional = (*_startup(program), *program.plugins, *settings.plugins, *options.plugins, *plugins)
        start = Start(tuple(roots), scripts=tuple(files), optional=optional, whole=PYTEST, cwd=program.cwd, any_order=True)
        into.meaning.update(files)
        closure = close_over(self._world, start, into.outputs.keys())
        self._take(into, closure)
        into.searches.append(_search(closure, program.cwd))
        return closure

    # -- whole targets ---------------------------------------------------------------------------------------------------------

    def of(self, target: Gate | Action | Files | Python | Toolchain) -> tuple[Inputs, Trace]:
        """What a target reads, and everything that was asked of the snapshot to find out."""
        with self._snapshot.record() as trace:
            if isinstance(target, Gate):
                inputs = self._with_tools(self.gate(target), target.toolchains)
            elif isinstance(target, Action):
                inputs = self._with_tools(self.action(target), target.toolchains)
            elif isinstance(target, Toolchain):
                inputs = self._with_tools(Inputs(), [target.label])
            else:
                inputs = self.leaves(target)
        return inputs, trace

    def _with_tools(self, inputs: Inputs, labels: Iterable[Label]) -> Inputs:
        tools = tuple(target for label in labels if isinstance(target := self._target(label), Toolchain))
        locks: dict[str, str] = {}
        for path in sorted({path for tool in tools for path in tool.lock}):
            entry = self._snapshot.entry(path)
            self._snapshot.read(path)  # its bytes count, not only what it imports
            if entry is not None:
                locks[path] = entry[1]
        return replace(inputs, toolchains=tools, locks=tuple(locks.items())) if tools else inputs

    def own_modules(self) -> frozenset[str]:
        """Modules of the workspace: an installed copy of one of them must never stand in for it.  In no key."""
        if self._top is None:
            self._top = frozenset(_top_level(self._at)) | self._own_names
        return self._top

    def gate(self, gate: Gate) -> Inputs:
        """What a gate of kind `command` reads."""
        into = Collection(self._snapshot, self._reader)
        declared = gate.inputs is not None or bool(gate.deps) or bool(gate.requires_files)
        for pattern in gate.inputs or ():
            if not into.glob(pattern, "", Reason.DECLARED):
                into.warnings.append(f"inputs: {pattern} matches nothing")
        for path in gate.requires_files:
            into.path(path, Reason.REQUIRED)
        self._dependency(into, gate.deps)
        reads = self._read(into, gate.cmd, dict(gate.env)) if gate.infer else Reads()
        return self._finish(into, reads, dict(gate.env), gate.exact, declared)

    def action(self, action: Action) -> Inputs:
        """What an action reads."""
        into = Collection(self._snapshot, self._reader)
        self._dependency(into, action.deps)
        reads = self._read(into, action.cmd, dict(action.env))
        return self._finish(into, reads, dict(action.env), action.exact, bool(action.deps))

    def _read(self, into: Collection, cmd: str, env: Mapping[str, str]) -> Reads:
        """What a command line says; command words that the workspace declares itself are known."""
        reads = read_command(cmd, env)
        if reads.strange:
            roots = [root for program in reads.strange for root in program.roots]
            known = self._project.names(self._snapshot, roots)
            if any(program.what in known for program in reads.strange):
                reads = read_command(cmd, env, known)
                for program in reads.programs:
                    if program.how == "entry":
                        for path, _ in self._project.scripts(self._snapshot, program.roots, program.what):
                            into.path(path, Reason.NAMED)
        return reads

    def leaves(self, target: Files | Python) -> Inputs:
        """What a `files` or `python` target stands for, its deps included."""
        into = Collection(self._snapshot, self._reader)
        self._dependency(into, [target.label])
        return Inputs(into.items(data_by_meaning=False, all_exact=target.exact))

    def _whole(self) -> str:
        self._snapshot.names("")
        return self._snapshot.tree

    def _finish(self, into: Collection, reads: Reads, env: Mapping[str, str], exact: bool, declared: bool) -> Inputs:
        """Everything that the command reads, and the list of it all."""
        for program in reads.programs:
            if program.how == "compileall":
                self._compileall(into, program)
            else:
                self._program(into, reads, program, env)
        self._words(into, reads)
        outputs = tuple(into.outputs[path] for path in sorted(into.outputs))
        whole = into.unbounded or ("" if declared else reads.not_understood)
        if whole:  # any program may read any byte: one item, git's own digest of everything
            items: tuple[Input, ...] = (Input("", TREE, Form.TREE, self._whole(), Reason.WHOLE_TREE), *outputs)
        else:
            exact_reader = bool(reads.exact_words) or bool(reads.not_understood)
            if exact_reader:
                into.meaning.clear()
            items = into.items(data_by_meaning=bool(reads.programs) and not exact_reader, all_exact=exact)
        alone = len(into.searches) == 1 and not whole and not outputs and all(item.mode != LINK for item in items)
        search = into.searches[0] if alone else None
        return Inputs(items, tuple(into.problems), whole, tuple(into.warnings), tuple(sorted(into.own)), search=search)

    def _compileall(self, into: Collection, program: Program) -> None:
        self._take(into, close_over(self._world, Start(program.roots, optional=_startup(program))))
        into.searches.append(None)
        for path in program.paths:
            found = [row for row in self._snapshot.walk(path) if row[0].endswith(".py")]
            for leaf, mode, blob in found:
                into.meaning.add(leaf)
                into.leaf(leaf, mode, blob, Reason.NAMED)
            if not found:
                into.problems.append(f"{path or '.'} is named by the command and holds no Python file")

    def _program(self, into: Collection, reads: Reads, program: Program, env: Mapping[str, str]) -> None:
        """A program with all that it imports and opens; or why nobody can tell, said in `reads`."""
        for root in program.roots:
            if self._snapshot.is_file(root):
                into.path(root, Reason.NAMED, exact=True)  # an archive on the search path
        if program.how == "pytest":
            tested = self._pytest(into, program, {**env, **dict(program.env)})
            if isinstance(tested, str):
                reads.give_up(tested)
                return
            closure = tested
        else:
            closure = self._closure(program, frozenset(into.outputs))
            if program.how == "module" and not self._is_here(into, reads, program.what, closure):
                return
            self._take(into, closure)
            into.searches.append(_search(closure, program.cwd))
        into.own |= closure.unresolved & self._own_names
        into.unbounded = into.unbounded or closure.anything

    def _is_here(self, into: Collection, reads: Reads, dotted: str, closure: Closure) -> bool:
        """Whether a module that a command runs is one of the workspace, as far as its package; what is missing is said."""
        top = dotted.partition(".")[0]
        if not closure.via and top in closure.unresolved:
            if top in self._own_names:
                into.problems.append(f"{dotted} is named by the command and is not in the workspace")
            reads.give_up(f"{dotted} is no module of the workspace and may read anything")
            return False
        expected = dotted.replace(".", "/")
        ends = (f"{expected}.py", f"{expected}/__main__.py", f"{expected}/__init__.py")
        native = f"{posixpath.basename(expected)}."
        if not any(path.endswith(ends) or posixpath.basename(path).startswith(native) for path in (*closure.via, *closure.outputs)):
            into.warnings.append(f"the command names module {dotted}, which the workspace lacks")
        return True

    def _words(self, into: Collection, reads: Reads) -> None:
        """Paths among the words of the command; below what an action makes, nothing can be missed."""
        for path in reads.words:
            into.path(path, Reason.NAMED, exact=path.endswith((".py", ".pyi")))
        for path in reads.exact_words:
            into.path(path, Reason.NAMED, exact=True)
        for path in reads.must_exist:
            known = self._snapshot.entry(path) is not None or path in into.outputs
            if not known and not any(one.startswith(f"{path} is named") for one in into.problems):
                into.problems.append(f"{path} is named by the command and does not exist")
        into.problems = [one for one in into.problems if not _made(one.split(" is named")[0], into.outputs)]


def _made(folder: str, outputs: Iterable[str]) -> bool:
    """Whether an action makes something below a folder."""
    return any(path.startswith(f"{folder}/") for path in outputs)


def _search(closure: Closure, cwd: str) -> tuple[tuple[str, ...], bool, str] | None:
    """Where a program looks for modules, if what it imports can be told from its single files."""
    return None if closure.widened or closure.anything or closure.outputs else (closure.roots, closure.any_order, cwd)


def _startup(program: Program) -> tuple[str, ...]:
    """What Python imports by itself from a declared search path, before any program."""
    return ("sitecustomize", "usercustomize") if program.startup else ()


def _upwards(paths: Iterable[str]) -> Iterator[str]:
    """Each path and the folders above it, the top ("") last."""
    for path in paths:
        while path:
            yield path
            path = posixpath.dirname(path)
    yield ""


def _top_level(snapshot: Snapshot) -> set[str]:
    """Modules at the top of the workspace and of `src`."""
    names = set()
    for folder in ("", "src"):
        for name, (mode, child) in snapshot.names(folder).items():
            if mode == TREE and name.isidentifier():
                if any(inner.endswith(".py") for inner in snapshot.objects.tree(child)):
                    names.add(name)
            elif name.endswith(".py") and name[:-3].isidentifier():
                names.add(name[:-3])
    return names - sys.stdlib_module_names
