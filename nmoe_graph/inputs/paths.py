"""Which files a Python file reads by a path that starts at itself, read from its syntax.

    ("open", base, "../x")          the file or folder there (a folder: everything below); from base's own path
    ("below", base, "..")           something below that folder, by a name that is known only at run time
    ("glob", base, "..", "*.txt")   what matches below that folder
    ("path", base, "..")            the folder is put on sys.path
    ("cwd", "x")                    a literal path, from the working folder
    ("const", "NAME", base, "..")   a path at the top of the file, which others may import

The base is "" for the file itself, else the dotted name of the module whose `__file__` or resources are meant (leading
dots: relative).  A path is written as seen from the file: "." is the file, ".." its folder.

Names hold what is assigned to them anywhere in the file; a path that goes where it cannot be followed counts as opened.
"""

from __future__ import annotations

import ast
import posixpath
from collections.abc import Callable, Iterable, Iterator

__all__ = ["literals", "path_facts", "wanted"]

Fact = tuple[object, ...]
#: (kind, base, text): kind "p" is a path, "s" a literal string.
Value = tuple[str, str, str]

_MOST = 24  # values of one name
_HINTS = (
    b"__file__",
    b"resource",
    b"get_data",
    b"open(",
    b"Path(",
    b"sys.path",
    b"addsitedir",
    b"syspath",
    b"listdir",
    b"scandir",
    b"glob",
    b"os.walk",
    b"CDLL",
)
_SAME = {"abspath", "realpath", "normpath", "expanduser", "fspath", "str", "Path", "PosixPath", "PurePath", "PurePosixPath"}
_SAME_METHODS = {"resolve", "absolute", "expanduser", "as_posix", "__str__", "__fspath__"}
_PURE = {"name", "stem", "suffix", "suffixes", "parts", "anchor", "is_relative_to", "relative_to", "endswith", "startswith"}
#: Functions that read a file they are given, or only look at its name.
_LOOKERS = {
    "open", "stat", "lstat", "getmtime", "getsize", "exists", "isfile", "compile", "basename", "splitext", "main", "repr",
    "read_text", "read_bytes", "spec_from_file_location", "print", "getLogger", "copy", "copyfile", "islink", "hash", "len",
}  # fmt: skip
_CWD = {
    "open", "Path", "listdir", "scandir", "walk", "glob", "iglob", "exists", "isfile", "isdir", "stat", "CDLL", "LoadLibrary",
    "loadtxt", "genfromtxt", "fromfile", "memmap", "read_csv", "read_parquet", "spec_from_file_location", "run_path", "chdir",
}  # fmt: skip
_RESOURCES = {"read_text", "read_binary", "open_text", "open_binary", "path", "is_resource", "get_data"}
_RESOURCES |= {"resource_filename", "resource_string", "resource_stream", "resource_listdir", "resource_exists", "resource_isdir"}
_WHOLE_RESOURCES = {"contents"}
_LIBRARIES = {"resources", "importlib_resources", "pkg_resources", "pkgutil", "importlib.resources"}


def wanted(source: bytes) -> bool:
    """Whether a file can read anything by a path at all; most files cannot."""
    return any(hint in source for hint in _HINTS)


def _dotted(node: ast.expr) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def _aliases(tree: ast.AST) -> dict[str, str]:
    """Local name -> the dotted name that an import gave to it (leading dots: relative)."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for one in node.names:
                found[one.asname or one.name.partition(".")[0]] = one.name if one.asname else one.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom):
            stem = "." * node.level + (f"{node.module}." if node.module else "")
            for one in node.names:
                found[one.asname or one.name] = stem + one.name
    return found


def _up(text: str) -> str:
    return posixpath.normpath(posixpath.join(text, ".."))


class _Evaluator:
    """Follows paths through the expressions of one file."""

    def __init__(self, tree: ast.AST, outer: _Evaluator | None = None) -> None:
        self.tree, self.alias, self.outer = tree, _aliases(tree), outer
        self.names: dict[str, set[Value]] = {}
        self.unknown: set[str] = set(self.alias)  # names that may hold what is not known
        self.facts: dict[Fact, None] = {}

    # -- values ----------------------------------------------------------------------------------------------------------------

    def _module(self, node: ast.expr) -> str | None:
        """The dotted name of the module that an expression stands for; "" for the file's own."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
        text = _dotted(node)
        if text in ("__package__", "__name__", "__spec__.parent"):
            return ""
        head, _, rest = text.partition(".")
        if head in self.alias:
            return f"{self.alias[head]}.{rest}" if rest else self.alias[head]
        return None

    def strings(self, node: ast.expr) -> list[str] | None:
        """What a path segment can be; None where it may be anything."""
        if self._is_outer(node):
            assert self.outer is not None
            return self.outer.strings(node)
        if isinstance(node, ast.Name) and node.id in self.unknown:
            return None
        found = self.value(node)
        if not found or any(kind != "s" for kind, _, _ in found):
            return None
        return [text for _, _, text in found]

    def _join(self, bases: list[Value], segments: Iterable[ast.expr]) -> list[Value]:
        for segment in segments:
            texts = self.strings(segment)
            if texts is None:
                return []
            bases = [
                (kind, base, posixpath.normpath(posixpath.join(here, text)) if kind == "p" else posixpath.join(here, text))
                for kind, base, here in bases
                for text in texts
                if not text.startswith("/")
            ]
            if len(bases) > _MOST:
                return []
        return bases

    def value(self, node: ast.expr) -> list[Value]:
        """The paths and strings that an expression can be, as far as they are known; empty where nothing is."""
        if isinstance(node, ast.Constant):
            return [("s", "", node.value)] if isinstance(node.value, str) else []
        if isinstance(node, ast.Name):
            if node.id == "__file__":
                return [("p", "", ".")]
            if self._is_outer(node):
                assert self.outer is not None
                return self.outer.value(node)
            held = sorted(self.names.get(node.id, ()))
            # Of a name that may hold more than what is known, the paths still count; a string would claim to be all.
            return [one for one in held if one[0] == "p"] if node.id in self.unknown else held
        if isinstance(node, ast.Attribute):
            return self._attribute(node)
        if isinstance(node, ast.BinOp):
            return self._binary(node)
        if isinstance(node, ast.Call):
            return self._call(node)
        if isinstance(node, ast.Subscript):
            return self._subscript(node)
        if isinstance(node, ast.JoinedStr):
            return self._formatted(node)
        if isinstance(node, ast.IfExp):
            one, two = self.value(node.body), self.value(node.orelse)
            return [*one, *two] if one and two else []
        if isinstance(node, ast.NamedExpr):
            return self.value(node.value)
        return []

    def _is_outer(self, node: ast.expr) -> bool:
        """Whether a name is none of this scope's own."""
        return self.outer is not None and isinstance(node, ast.Name) and node.id not in self.unknown and node.id not in self.names

    def paths(self, node: ast.expr) -> list[Value]:
        return [one for one in self.value(node) if one[0] == "p"]

    def _attribute(self, node: ast.Attribute) -> list[Value]:
        if node.attr == "__file__":
            text = _dotted(node.value)
            if not text and isinstance(node.value, ast.Subscript) and _dotted(node.value.value) == "sys.modules":
                return [("p", "", ".")] if _dotted(node.value.slice) == "__name__" else []
            head, _, rest = text.partition(".")
            if head in self.alias:
                return [("p", f"{self.alias[head]}.{rest}" if rest else self.alias[head], ".")]
            return []
        if node.attr in ("pardir", "curdir", "sep"):
            return [("s", "", {"pardir": "..", "curdir": ".", "sep": "/"}[node.attr])]
        if node.attr == "parent":
            return [(kind, base, _up(text)) for kind, base, text in self.paths(node.value)]
        if node.attr == "origin" and _dotted(node.value) == "__spec__":
            return [("p", "", ".")]
        return []

    def _subscript(self, node: ast.Subscript) -> list[Value]:
        index = node.slice.value if isinstance(node.slice, ast.Constant) else None
        if not isinstance(index, int) or index < 0:
            return []
        if isinstance(node.value, ast.Attribute) and node.value.attr == "parents" and index < 40:
            return [
                (kind, base, posixpath.normpath(text + "/.." * (index + 1))) for kind, base, text in self.paths(node.value.value)
            ]
        if isinstance(node.value, ast.Call) and index == 0:
            name = _dotted(node.value.func).rpartition(".")[2]
            if name == "split" and len(node.value.args) == 1:  # os.path.split
                return [(kind, base, _up(text)) for kind, base, text in self.paths(node.value.args[0])]
            if name in ("rpartition", "rsplit") and isinstance(node.value.func, ast.Attribute):
                return [(kind, base, _up(text)) for kind, base, text in self.paths(node.value.func.value)]
        return []

    def _binary(self, node: ast.BinOp) -> list[Value]:
        left = self.value(node.left)
        if isinstance(node.op, ast.Div):
            return self._join([one for one in left if one[0] == "p"], [node.right])
        if isinstance(node.op, ast.Add):
            texts = self.strings(node.right)
            if texts is None:
                return []
            return [
                (kind, base, posixpath.normpath(here + text) if kind == "p" else here + text)
                for kind, base, here in left
                for text in texts
                if kind == "s" or text.startswith("/")
            ]
        return []

    def _formatted(self, node: ast.JoinedStr) -> list[Value]:
        found: list[Value] = []
        for number, part in enumerate(node.values):
            if isinstance(part, ast.Constant):
                text = str(part.value)
                if number == 0:
                    found = [("s", "", text)]
                elif found:
                    found = [
                        (kind, base, posixpath.normpath(here + text) if kind == "p" else here + text) for kind, base, here in found
                    ]
            elif isinstance(part, ast.FormattedValue):
                if number == 0:
                    found = self.value(part.value)
                    if isinstance(part.value, ast.Name) and part.value.id in self.unknown and not self.paths(part.value):
                        return []
                else:
                    texts = self.strings(part.value)
                    if texts is None:
                        return []
                    found = [(kind, base, here + text) for kind, base, here in found for text in texts]
                    if len(found) > _MOST:
                        return []
        return found

    def _call(self, node: ast.Call) -> list[Value]:
        full = _dotted(node.func)
        name = full.rpartition(".")[2] or (node.func.attr if isinstance(node.func, ast.Attribute) else "")
        library = self._library(node.func)
        if library and name == "files":
            module = self._module(node.args[0]) if node.args else ""
            return [("p", module, "..")] if module is not None else []
        if library and name in ("resource_filename",) and len(node.args) == 2:
            module = self._module(node.args[0])
            return self._join([("p", module, "..")], node.args[1:]) if module is not None else []
        if isinstance(node.func, ast.Attribute) and not library:
            here = self.paths(node.func.value)
            if here:
                if name in _SAME_METHODS:
                    return here
                if name == "joinpath":
                    return self._join(here, node.args)
                if name == "with_name":
                    return self._join([(kind, base, _up(text)) for kind, base, text in here], node.args)
                return []
        if name == "dirname" and len(node.args) == 1:
            return [(kind, base, _up(text)) for kind, base, text in self.paths(node.args[0])]
        if name in _SAME and node.args:
            if isinstance(node.func, ast.Attribute) and not full:
                return []
            first = self.value(node.args[0])
            return self._join(first, node.args[1:]) if first else []
        if name == "join" and full.endswith("path.join") and node.args:
            return self._join(self.value(node.args[0]), node.args[1:])
        if name == "as_file" and node.args:
            return self.value(node.args[0])
        return []

    def _library(self, node: ast.expr) -> bool:
        """Whether a function belongs to one of the libraries that find resources of packages."""
        if isinstance(node, ast.Attribute):
            text = _dotted(node.value)
            return text.rpartition(".")[2] in _LIBRARIES or self.alias.get(text, "") in _LIBRARIES
        return isinstance(node, ast.Name) and self.alias.get(node.id, "").rpartition(".")[0] in _LIBRARIES

    # -- names -----------------------------------------------------------------------------------------------------------------

    def bind(self) -> None:
        """What names hold, wherever in the file it is assigned."""
        given: list[tuple[str, ast.expr]] = []
        for node in ast.walk(self.tree):
            targets: list[ast.expr] = []
            if isinstance(node, ast.Assign):
                targets = node.targets
                given += [(one.id, node.value) for one in targets if isinstance(one, ast.Name)]
            elif isinstance(node, (ast.AnnAssign, ast.NamedExpr)):
                targets = [node.target]
                if isinstance(node.target, ast.Name) and node.value is not None:
                    given.append((node.target.id, node.value))
            elif isinstance(node, (ast.For, ast.AsyncFor, ast.comprehension)):
                if isinstance(node.target, ast.Name) and isinstance(node.iter, (ast.Tuple, ast.List, ast.Set)):
                    given += [(node.target.id, one) for one in node.iter.elts]
                else:
                    self._lose(node.target)
            elif isinstance(node, ast.withitem) and node.optional_vars is not None:
                if isinstance(node.optional_vars, ast.Name):
                    given.append((node.optional_vars.id, node.context_expr))
                else:
                    self._lose(node.optional_vars)
            elif isinstance(node, ast.arg):
                self.unknown.add(node.arg)
            elif isinstance(
                node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)
            ):
                if node.name:
                    self.unknown.add(node.name)
            elif isinstance(node, ast.MatchMapping):
                if node.rest:
                    self.unknown.add(node.rest)
            elif isinstance(node, ast.AugAssign):
                self._lose(node.target)
            for one in targets:
                if not isinstance(one, ast.Name):
                    self._lose(one)
        for _ in range(5):
            self.names.clear()
            for _ in range(6):
                before = sum(map(len, self.names.values()))
                for name, expression in given:
                    held = self.names.setdefault(name, set())
                    held.update(self.value(expression))
                    if len(held) > _MOST:
                        self.unknown.add(name)
                        held.intersection_update(sorted(held)[:_MOST])
                if before == sum(map(len, self.names.values())):
                    break
            lost = {name for name, expression in given if not self.value(expression)} - self.unknown
            if not lost:
                return
            self.unknown |= lost
        self.unknown |= self.names.keys()

    def _lose(self, target: ast.expr) -> None:
        """What a target binds is not known; an item or an attribute of something is no name."""
        self.unknown.update(node.id for node in ast.walk(target) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))

    # -- uses ------------------------------------------------------------------------------------------------------------------

    def emit(self, values: Iterable[Value], kind: str = "open") -> None:
        for _, base, text in values:
            if kind == "open" and any(char in text for char in "*?["):
                folder = text
                pattern: list[str] = []
                while any(char in folder for char in "*?["):
                    folder, _, last = folder.rpartition("/")
                    pattern.insert(0, last)
                self.facts["glob", base, folder or ".", "/".join(pattern)] = None
            else:
                self.facts[kind, base, text] = None

    def _to_path(self, nodes: Iterable[ast.expr]) -> None:
        """Expressions that end up on sys.path."""
        for node in nodes:
            inner = list(node.elts) if isinstance(node, (ast.List, ast.Tuple)) else [node]
            for one in inner:
                for kind, base, text in self.value(one):
                    if kind == "p":
                        self.facts["path", base, text] = None
                    elif not text.startswith("/"):
                        self.facts["path", "cwd", text] = None
                if isinstance(one, (ast.BinOp, ast.Starred)) and not self.value(one):
                    self._to_path([one.left, one.right] if isinstance(one, ast.BinOp) else [one.value])

    def visit(self, node: ast.AST) -> None:
        pending = [node]
        while pending:
            here = pending.pop()
            pending.extend(self._step(here))

    def _step(self, node: ast.AST) -> Iterator[ast.AST]:
        """Look at one node; the nodes that are still to be looked at."""
        if isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            bare = [one.value if isinstance(one, ast.Subscript) else one for one in targets]
            if any(_dotted(one) == "sys.path" for one in bare):
                self._to_path([node.value])
                return
            if all(isinstance(one, ast.Name) for one in targets) and not isinstance(node, ast.AugAssign) and self.paths(node.value):
                return
            yield node.value
            yield from targets
        elif (isinstance(node, ast.withitem) and isinstance(node.optional_vars, ast.Name) and self.paths(node.context_expr)) or (
            isinstance(node, ast.Compare) and all(self.value(one) for one in (node.left, *node.comparators))
        ):
            return
        elif isinstance(node, ast.Call):
            yield from self._use(node)
        elif isinstance(node, ast.expr):
            found = self.paths(node)
            if found:
                self.emit(one for one in found if one[1:] != ("", "."))
            elif isinstance(node, ast.Attribute) and node.attr in _PURE and self.paths(node.value):
                return
            elif isinstance(node, ast.Attribute) and (here := self.paths(node.value)):
                self.emit(("p", base, ".." if text == "." else text) for _, base, text in here)
            elif (
                isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Div, ast.Add, ast.Mod)) and (left := self.paths(node.left))
            ):
                self.emit(left, "below")
                yield node.right
            elif isinstance(node, ast.JoinedStr):
                yield from self._text(node)
            else:
                yield from ast.iter_child_nodes(node)
        else:
            yield from ast.iter_child_nodes(node)

    def _text(self, node: ast.JoinedStr) -> Iterator[ast.AST]:
        """A path inside a formatted text, up to the next blank."""
        for number, part in enumerate(node.values):
            if isinstance(part, ast.FormattedValue):
                here = self.paths(part.value)
                rest = node.values[number + 1 :]
                literal = str(rest[0].value) if rest and isinstance(rest[0], ast.Constant) else ""
                word = literal.split()[0].rstrip("'\")") if literal.split() and not literal[0].isspace() else ""
                if not here:
                    yield part.value
                elif word.startswith("/") and (word != literal or len(rest) == 1):
                    self.emit((kind, base, posixpath.normpath(text + word)) for kind, base, text in here)
                elif rest and (word == literal or not literal):
                    stem = word.rpartition("/")[0] if word.startswith("/") else ""
                    self.emit([(kind, base, posixpath.normpath(text + stem)) for kind, base, text in here], "below")
                else:
                    self.emit(one for one in here if one[1:] != ("", "."))

    def _use(self, node: ast.Call) -> Iterator[ast.AST]:
        full = _dotted(node.func)
        name = full.rpartition(".")[2] or (node.func.attr if isinstance(node.func, ast.Attribute) else "")
        words = [*node.args, *(one.value for one in node.keywords)]
        if full in ("sys.path.insert", "sys.path.append", "sys.path.extend", "site.addsitedir") or name == "syspath_prepend":
            self._to_path(words)
            return
        if self._library(node.func) and (name in _RESOURCES or name in _WHOLE_RESOURCES) and node.args:
            yield from self._resource(node, name)
            return
        if self.paths(node):
            self.emit(one for one in self.paths(node) if one[1:] != ("", "."))
            return
        if isinstance(node.func, ast.Attribute) and (here := self.paths(node.func.value)):
            texts = self.strings(node.args[0]) if node.args and name in ("glob", "rglob") else None
            if texts:
                for text in texts:
                    for _, base, folder in here:
                        self.facts["glob", base, folder, f"**/{text}" if name == "rglob" else text] = None
            elif name in ("joinpath", "with_name"):
                self.emit(here if name == "joinpath" else [(kind, base, _up(text)) for kind, base, text in here], "below")
            elif name not in _PURE:
                self.emit(
                    ("p", base, ".." if text == "." and base == "" and name not in _LOOKERS else text) for _, base, text in here
                )
            yield from words
            return
        if full.endswith("path.join") and node.args and (here := self.paths(node.args[0])):
            self.emit(here, "below")
            yield from node.args[1:]
            return
        if name in _SAME and len(node.args) > 1 and (here := self.paths(node.args[0])):
            self.emit(here, "below")
            yield from node.args[1:]
            return
        for word in words:
            for kind, base, text in self.value(word):
                if kind == "p" and (base, text) == ("", "."):
                    self.facts["open", "", "." if name in _LOOKERS else ".."] = None
                elif (
                    kind == "s"
                    and name in _CWD
                    and word is words[0]
                    and text
                    and not text.startswith(("/", "~"))
                    and "://" not in text
                ):
                    self.facts["cwd", text] = None
            if not any((base, text) == ("", ".") for kind, base, text in self.paths(word)):
                yield word
        yield node.func

    def _resource(self, node: ast.Call, name: str) -> Iterator[ast.AST]:
        module = self._module(node.args[0])
        rest = node.args[1:]
        if module is None:
            self.facts["anything", node.lineno] = None
        elif name in _WHOLE_RESOURCES or not rest:
            self.emit([("p", module, "..")])
        else:
            found = self._join([("p", module, "..")], rest[:1])
            self.emit(found or [("p", module, "..")], "open" if found else "below")
        yield from rest

    def constants(self) -> None:
        """Paths at the top of the file, which other files may import by name."""
        for node in self.tree.body if isinstance(self.tree, ast.Module) else ():
            if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                for target in targets:
                    if isinstance(target, ast.Name):
                        for _, base, text in self.paths(node.value):
                            self.facts["const", target.id, base, text] = None


def literals(tree: ast.Module) -> Callable[[ast.expr], list[str] | None]:
    """A function that gives every string that an expression of the file can be, or None where that is not known.

    Names of the innermost function around the expression are told from those of others.
    """
    whole = _Evaluator(tree)
    whole.bind()
    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]

    def strings(what: ast.expr) -> list[str] | None:
        around = [one for one in functions if one.lineno < what.lineno <= (one.end_lineno or 0)]
        if not around:
            return whole.strings(what)
        inner = max(around, key=lambda one: one.lineno)
        if any(isinstance(node, (ast.Global, ast.Nonlocal)) for node in ast.walk(tree)):
            return whole.strings(what)
        scope = _Evaluator(inner, whole)
        scope.bind()
        return scope.strings(what)

    return strings


def path_facts(tree: ast.Module) -> list[Fact]:
    """What a file reads by paths, from its syntax tree."""
    found = _Evaluator(tree)
    found.bind()
    found.visit(tree)
    found.constants()
    return list(found.facts)
