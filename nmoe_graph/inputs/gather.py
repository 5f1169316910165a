"""From a declared target to the exact list of what it reads at one snapshot, each item with the reason why it is there.

Order of evidence: what is declared, what is inferred from the command, and where neither can be proven, the whole tree.
"""

from __future__ import annotations

import enum
import posixpath
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ..git.objects import GITLINK, LINK, TREE
from ..git.snapshot import Snapshot, Trace, Watched
from ..label import Label
from ..load.globs import Glob
from ..model import Action, Files, Gate, Python
from .closure import Closure, close_over
from .command import Program, Reads, read_command
from .files import FileReader

__all__ = ["Form", "Gatherer", "Input", "Inputs", "Reason", "entries"]


class Form(enum.StrEnum):
    """What of an input counts."""

    BYTES = "bytes"  # git's blob id
    MEANING = "meaning"  # the syntax tree, or the data
    TREE = "tree"  # a whole folder, by git's tree id
    GITLINK = "gitlink"  # a submodule, by its commit
    OUTPUT = "output"  # a file that an action makes, by that action's key


class Reason(enum.StrEnum):
    """Why something is an input.  The same words everywhere."""

    DECLARED = "declared in inputs"
    REQUIRED = "named in requires_files"
    DEPENDENCY = "through deps"
    NAMED = "named by the command"
    IMPORTED = "imported"
    WIDENED = "reached by a dynamic import"
    WHOLE_TREE = "the whole tree counts"


@dataclass(frozen=True, slots=True)
class Input:
    """One thing that is read.  Equality is by content and place; the reason is luggage."""

    path: str
    mode: int
    form: Form
    digest: str
    reason: Reason = field(default=Reason.DECLARED, compare=False)
    via: tuple[str, ...] = field(default=(), compare=False)  # the chain that leads here, nearest the command first


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything that a target reads, by path."""

    items: tuple[Input, ...] = ()
    problems: tuple[str, ...] = ()  # why the gate fails without being run
    whole_tree: str = ""  # why everything counts; empty where it does not
    warnings: tuple[str, ...] = ()
    own_modules: tuple[str, ...] = ()

    def by_path(self) -> dict[str, Input]:
        return {item.path: item for item in self.items}


class _Collection:
    """Inputs as they come in.  Bytes beat meaning only where a reader of bytes asks for the same file."""

    def __init__(self, snapshot: Snapshot, reader: FileReader) -> None:
        self.snapshot, self.reader = snapshot, reader
        self.found: dict[str, tuple[int, str, bool, Reason, tuple[str, ...]]] = {}
        self.outputs: dict[str, Input] = {}
        self.meaning: set[str] = set()

    def leaf(self, path: str, mode: int, blob: str, reason: Reason, via: tuple[str, ...], exact: bool) -> None:
        before = self.found.get(path)
        if before is None:
            self.found[path] = (mode, blob, exact, reason, via)
        elif exact and not before[2]:
            self.found[path] = (mode, blob, True, before[3], before[4])
        if mode == LINK and before is None:
            target = self.snapshot.follow(path)
            if target:
                self.path(target, reason, (*via, path), exact)

    def path(self, path: str, reason: Reason, via: tuple[str, ...] = (), exact: bool = False) -> bool:
        """Add a file, or everything below a folder; False where there is nothing."""
        entry = self.snapshot.entry(path)
        if entry is None:
            return False
        for leaf, mode, blob in self.snapshot.walk(path):
            self.leaf(leaf, mode, blob, reason, via, exact)
        return True

    def glob(
        self, pattern: str, base: str, reason: Reason, via: tuple[str, ...] = (), exact: bool = False, exclude: Iterable[Glob] = ()
    ) -> bool:
        """Add what a pattern below `base` matches; a literal that names a folder stands for all of it."""
        glob = Glob(pattern.rstrip("/") if pattern != "/" else pattern)
        prefix = f"{base}/" if base else ""
        hit = False
        start = (
            posixpath.join(base, pattern.rstrip("/")) if glob.is_literal else posixpath.join(base, glob.literal_prefix).rstrip("/")
        )
        pending = [start]
        while pending:
            folder = pending.pop()
            entry = self.snapshot.entry(folder)
            if entry is None:
                continue
            names = self.snapshot.names(folder) if entry[0] == TREE else None
            rows = (
                [(folder, *entry)] if names is None else [(f"{folder}/{name}" if folder else name, *names[name]) for name in names]
            )
            for path, mode, blob in rows:
                inner = path[len(prefix) :]
                if mode == TREE:
                    if glob.is_literal or glob.may_match_below(inner):
                        pending.append(path)
                elif (glob.is_literal or glob.matches(inner)) and not any(one.matches(inner) for one in exclude):
                    self.leaf(path, mode, blob, reason, via, exact)
                    hit = True
        return hit

    def items(self, data_by_meaning: bool, all_exact: bool) -> tuple[Input, ...]:
        done = dict(self.outputs)
        for path, (mode, blob, exact, reason, via) in self.found.items():
            form, digest = Form.BYTES, blob
            if mode == GITLINK:
                form = Form.GITLINK
            elif (
                mode != LINK
                and not exact
                and not all_exact
                and (path in self.meaning or (data_by_meaning and path.endswith(".toml")))
            ):
                meaning = self.reader.meaning(path, blob)
                if meaning:
                    form, digest = Form.MEANING, meaning
            done[path] = Input(path, mode, form, digest, reason, via)
        return tuple(done[path] for path in sorted(done))


class Gatherer:
    """Collects inputs for the targets of one graph at one snapshot."""

    def __init__(
        self,
        snapshot: Snapshot,
        reader: FileReader,
        target: Callable[[Label], Files | Python | Action | None],
        action_key: Callable[[Action], str],
        own_names: Iterable[str] = (),
    ) -> None:
        self._snapshot = Watched(snapshot.objects, snapshot.tree, snapshot.name, snapshot.commit)
        self._reader = reader
        self._target, self._action_key = target, action_key
        self._own_names = frozenset(own_names)
        self._at = snapshot
        self._top: frozenset[str] | None = None
        self._closures: dict[tuple[object, ...], tuple[Closure, Trace]] = {}

    # -- parts -----------------------------------------------------------------------------------------------------------------

    def _closure(self, program: Program) -> Closure:
        key = (program.how, program.what, program.roots)
        if key not in self._closures:
            with self._snapshot.record() as trace:
                self._closures[key] = (self._close(program), trace)
        closure, trace = self._closures[key]
        self._snapshot.replay(trace)
        return closure

    def _close(self, program: Program) -> Closure:
        if program.how == "module":
            return close_over(self._snapshot, self._reader, program.roots, modules=[program.what], as_main=True)
        if program.how == "script":
            script, roots = program.what, program.roots
            if self._snapshot.is_dir(script):  # then the folder itself is first on the path, not the one that holds it
                roots = tuple(dict.fromkeys([script, *roots[1:], *roots[:1]]))
                script = posixpath.join(script, "__main__.py")
            return close_over(self._snapshot, self._reader, roots, scripts=[script])
        return close_over(self._snapshot, self._reader, program.roots, facts=self._reader.facts_in(program.what) or ())

    def _take(self, into: _Collection, closure: Closure, reason: Reason = Reason.IMPORTED) -> None:
        widened = tuple(sorted(closure.widened))
        for path in closure.via:
            entry = self._snapshot.entry(path)
            if entry is None:
                continue
            into.meaning.add(path)
            why = reason
            if any(path.startswith(folder + "/") for folder in widened) and closure.via[path] in closure.widened.values():
                why = Reason.WIDENED
            into.leaf(path, *entry, why, tuple(closure.chain(path)[:-1]), False)

    def _dependency(self, into: _Collection, labels: Iterable[Label]) -> None:
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
                    self._snapshot, self._reader, ("", *((label.package,) if label.package else ())), modules=[target.module]
                )
                for path in closure.via:
                    entry = self._snapshot.entry(path)
                    if entry:
                        if not target.exact:
                            into.meaning.add(path)
                        into.leaf(path, *entry, Reason.DEPENDENCY, (*via, *closure.chain(path)[:-1]), target.exact)
            if target is not None:
                pending += [(dep, (*via, str(dep))) for dep in target.deps]

    def _pytest(self, into: _Collection, program: Program) -> str:
        """Named test paths, their conftest chain, the configuration, and what all of these import."""
        files: dict[str, None] = {}
        for path in program.paths:
            into.path(path, Reason.NAMED)
            for leaf, mode, _ in self._snapshot.walk(path):
                if leaf.endswith(".py") and mode & 0o170000 == 0o100000:
                    files[leaf] = None
            folder = path if self._snapshot.is_dir(path) else posixpath.dirname(path)
            while True:
                conftest = f"{folder}/conftest.py".lstrip("/")
                if self._snapshot.is_file(conftest):
                    files[conftest] = None
                init = f"{folder}/__init__.py".lstrip("/")
                if self._snapshot.is_file(init):
                    files[init] = None
                for name in ("pytest.ini", ".pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg", "setup.py"):
                    into.path(f"{folder}/{name}".lstrip("/"), Reason.NAMED)
                if not folder:
                    break
                folder = posixpath.dirname(folder)
        roots = dict.fromkeys([program.cwd, *program.roots])
        for path in files:  # rootdir/`prepend`: the first folder upwards that is no package
            folder = posixpath.dirname(path)
            while folder and self._snapshot.is_file(f"{folder}/__init__.py"):
                folder = posixpath.dirname(folder)
            roots[folder] = None
        for extra in ("src",):
            if self._snapshot.is_dir(extra):
                roots[extra] = None
        closure = close_over(self._snapshot, self._reader, tuple(roots), scripts=files)
        into.meaning.update(files)
        self._take(into, closure)
        return closure.anything

    # -- whole targets ---------------------------------------------------------------------------------------------------------

    def of(self, target: Gate | Action | Files | Python) -> tuple[Inputs, Trace]:
        """What a target reads, and everything that was asked of the snapshot to find out."""
        with self._snapshot.record() as trace:
            if isinstance(target, Gate):
                inputs = self.gate(target)
            elif isinstance(target, Action):
                inputs = self.action(target)
            else:
                inputs = self.leaves(target)
        return inputs, trace

    def own_modules(self) -> frozenset[str]:
        """Modules of the workspace: an installed copy of one of them must never stand in for it.  In no key."""
        if self._top is None:
            self._top = frozenset(_top_level(self._at)) | self._own_names
        return self._top

    def gate(self, gate: Gate) -> Inputs:
        """What a gate of kind `command` reads."""
        into = _Collection(self._snapshot, self._reader)
        declared = gate.inputs is not None or bool(gate.deps) or bool(gate.requires_files)
        problems: list[str] = []
        warnings: list[str] = []
        for pattern in gate.inputs or ():
            if not into.glob(pattern, "", Reason.DECLARED):
                warnings.append(f"inputs: {pattern} matches nothing")
        for path in gate.requires_files:
            into.path(path, Reason.REQUIRED)
        self._dependency(into, gate.deps)
        reads = read_command(gate.cmd, dict(gate.env)) if gate.infer else Reads()
        return self._finish(into, reads, gate.exact, declared, problems, warnings)

    def action(self, action: Action) -> Inputs:
        """What an action reads."""
        into = _Collection(self._snapshot, self._reader)
        self._dependency(into, action.deps)
        reads = read_command(action.cmd, dict(action.env))
        return self._finish(into, reads, action.exact, bool(action.deps), [], [])

    def leaves(self, target: Files | Python) -> Inputs:
        """What a `files` or `python` target stands for, its deps included."""
        into = _Collection(self._snapshot, self._reader)
        self._dependency(into, [target.label])
        return Inputs(into.items(data_by_meaning=False, all_exact=target.exact))

    def _whole(self) -> str:
        self._snapshot.names("")
        return self._snapshot.tree

    def _finish(
        self, into: _Collection, reads: Reads, exact: bool, declared: bool, problems: list[str], warnings: list[str]
    ) -> Inputs:
        anything = ""
        own = set()
        for program in reads.programs:
            if program.how == "compileall":
                for path in program.paths:
                    found = [row for row in self._snapshot.walk(path) if row[0].endswith(".py")]
                    for leaf, mode, blob in found:
                        into.meaning.add(leaf)
                        into.leaf(leaf, mode, blob, Reason.NAMED, (), False)
                    if not found:
                        problems.append(f"{path or '.'} is named by the command and holds no Python file")
                continue
            if program.how == "pytest":
                anything = anything or self._pytest(into, program)
                continue
            closure = self._closure(program)
            if program.how == "module" and not closure.via and program.what.partition(".")[0] in closure.unresolved:
                if program.what.partition(".")[0] in self._own_names:
                    problems.append(f"{program.what} is named by the command and is not in the workspace")
                reads.give_up(f"{program.what} is no module of the workspace and may read anything")
                continue
            if program.how == "module":
                expected = program.what.replace(".", "/")
                if not any(
                    path.endswith((f"{expected}.py", f"{expected}/__main__.py", f"{expected}/__init__.py")) for path in closure.via
                ):
                    warnings.append(f"the command names module {program.what}, which the workspace lacks")
            own |= closure.unresolved & self._own_names
            anything = anything or closure.anything
            self._take(into, closure)
        exact_reader = bool(reads.exact_words) or bool(reads.not_understood)
        for path in reads.words:
            into.path(path, Reason.NAMED, exact=path.endswith((".py", ".pyi")))
        for path in reads.exact_words:
            into.path(path, Reason.NAMED, exact=True)
        for path in reads.must_exist:
            if self._snapshot.entry(path) is None and path not in into.outputs:
                problem = f"{path} is named by the command and does not exist"
                if problem not in problems and not any(one.startswith(f"{path} is named") for one in problems):
                    problems.append(problem)
        outputs_below = list(into.outputs)
        problems = [one for one in problems if not any(path.startswith(one.split(" is named")[0] + "/") for path in outputs_below)]
        whole = ""
        if anything:
            whole = f"{anything} imports by a name that is known only at run time"
        elif reads.not_understood and not declared:
            whole = reads.not_understood
        if whole:
            # Any program may read any byte: one item, git's own digest of everything.
            items = (
                Input("", TREE, Form.TREE, self._whole(), Reason.WHOLE_TREE),
                *(into.outputs[path] for path in sorted(into.outputs)),
            )
        else:
            if exact_reader:
                into.meaning.clear()
            items = into.items(data_by_meaning=bool(reads.programs) and not exact_reader, all_exact=exact)
        return Inputs(items, tuple(problems), whole, tuple(warnings), tuple(sorted(own)))


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


def entries(items: Iterable[Input]) -> list[tuple[str, int, str, str]]:
    """What of the inputs enters a digest: nothing but place, mode, form and content."""
    return [(item.path, item.mode, item.form.value, item.digest) for item in items]
