"""What one Python file imports, starts and opens, read from its syntax.  Nothing is resolved here.

A fact is a tuple, so that a list of them can be kept as JSON:

    ("import", "a.b")               import a.b
    ("from", level, "a", "b", ...)  from a import b  (level counts the leading dots; "*" stands for a star)
    ("all", "b", ...)               __all__ as far as it is literal: what a star may load ("*": the rest is not literal)
    ("package", "a.b")              a dynamic import that can only reach modules below a.b
    ("own",)                        a dynamic import relative to the file's own package
    ("anything", line)              a dynamic import that names nothing
    ("run", "module", "a.b")        a program that is started: module, code, script, or a command word
    ("entries", "group")            entry points by group ("": any)

and the facts of `paths`.  Facts do not depend on the interpreter: a file that has no portable meaning (see `meaning`) is
scanned as text instead, which finds more imports than there are and never fewer.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable

from .meaning import parsed
from .paths import literals, path_facts, wanted

__all__ = ["FACTS_VERSION", "Fact", "facts_and_meaning", "import_facts"]

FACTS_VERSION = 3
Fact = tuple[object, ...]

_IMPORTERS = {"import_module", "__import__", "run_module", "importorskip", "find_spec"}
_PATCHERS = {"patch", "setattr", "delattr"}  # a dotted literal is imported to find what is to be replaced
_STARTERS = {
    "run", "call", "check_call", "check_output", "Popen", "system", "popen", "getoutput", "getstatusoutput", "spawnl", "execvp",
    "execv", "execve", "create_subprocess_exec", "create_subprocess_shell",
}  # fmt: skip
_WORD = re.compile(r"[\w.-]+\Z")
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\Z")
#: Where statements hold statements.
_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
#: Without one of these words a file does nothing but import.
_HINT = re.compile(
    rb"import_module|__import__|run_module|run_path|importorskip|find_spec|patch|setattr|delattr|entry_points|exec|eval"
    rb"|iter_modules|walk_packages|__path__|subprocess|system|[pP]open|spawn|getoutput|getstatusoutput|check_call|check_output"
    rb"|['\"]-[mc]['\"]|\.py['\"]|\b(?:run|call)\("
)


def _is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def _literal(value: ast.expr | None) -> str | None:
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None


def _leading_text(value: ast.expr) -> tuple[str, bool]:
    """The literal text that an expression starts with, and whether that is all of it."""
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        return value.value, True
    if isinstance(value, ast.JoinedStr) and value.values and isinstance(value.values[0], ast.Constant):
        return str(value.values[0].value), False
    if isinstance(value, ast.BinOp) and isinstance(value.op, (ast.Add, ast.Mod)):
        text, _ = _leading_text(value.left)
        return (text.partition("%")[0] if isinstance(value.op, ast.Mod) else text), False
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr == "format":
        return _leading_text(value.func.value)[0].partition("{")[0], False
    return "", False


def _is_own_name(value: ast.expr) -> bool:
    return isinstance(value, ast.Name) and value.id in ("__name__", "__package__")


def _name(function: ast.expr) -> str:
    return function.id if isinstance(function, ast.Name) else function.attr if isinstance(function, ast.Attribute) else ""


def _argument(call: ast.Call, position: int, *names: str) -> ast.expr | None:
    if len(call.args) > position:
        return call.args[position]
    return next((one.value for one in call.keywords if one.arg in names), None)


def _dynamic(call: ast.Call, name: str) -> Fact | None:
    """The fact of a call that imports by name."""
    what = _argument(call, 0, "name", "modname", "mod_name")
    if what is None:
        return ("anything", call.lineno) if any(one.arg is None for one in call.keywords) else None
    if isinstance(what, ast.Starred):
        return ("anything", call.lineno)
    text, whole = _leading_text(what)
    if name == "__import__":
        level = _argument(call, 4, "level")
        number = level.value if isinstance(level, ast.Constant) and isinstance(level.value, int) else 0
        words = _argument(call, 3, "fromlist")
        named = [found for one in getattr(words, "elts", ()) if (found := _literal(one)) is not None]
        if level is not None and not isinstance(level, ast.Constant):
            return ("anything", call.lineno)
        if whole and text:
            return ("from", number, text, *named) if number or named else ("import", text)
        if number:
            return ("own",) if number == 1 else ("anything", call.lineno)
    if text.startswith("."):
        package = _argument(call, 1, "package")
        if package is not None and not _is_own_name(package):
            home = _literal(package)
            dots = len(text) - len(text.lstrip("."))
            stem = (home or "").split(".")
            if not home or dots > len(stem):
                return ("anything", call.lineno)
            above = ".".join(stem[: len(stem) - dots + 1])
            return ("import", f"{above}.{text.lstrip('.')}".rstrip(".")) if whole else ("package", above)
        dots = len(text) - len(text.lstrip("."))
        if whole:
            return ("from", dots, text.lstrip("."))
        return ("own",) if dots == 1 else ("anything", call.lineno)
    if whole:
        return ("run", "module", text) if name == "run_module" else ("import", text)
    package_name, dot, _ = text.rpartition(".")
    if dot:
        return ("package", package_name)
    first = what.left if isinstance(what, ast.BinOp) else what
    while isinstance(first, ast.BinOp):
        first = first.left
    if isinstance(first, ast.JoinedStr) and first.values and isinstance(first.values[0], ast.FormattedValue):
        first = first.values[0].value
    if first is not what and _is_own_name(first):
        return ("own",)
    return None if name == "find_spec" else ("anything", call.lineno)  # to look for a module is not to run it


def _started(call: ast.Call) -> list[Fact]:
    """Programs in a command that is given as literal text."""
    what = call.args[0] if call.args else None
    text = _literal(what)
    if isinstance(what, (ast.List, ast.Tuple)) and what.elts and (word := _literal(what.elts[0])) and _WORD.match(word):
        return [("run", "word", word)]
    return [("run", "shell", text)] if text else []


def _in_list(node: ast.List | ast.Tuple) -> list[Fact]:
    """Programs in a list of words: `[sys.executable, "-m", "pkg"]`."""
    words = [_literal(item) for item in node.elts]
    found: list[Fact] = []
    for number, word in enumerate(words):
        after = words[number + 1] if number + 1 < len(words) else None
        if word == "-m" and after and _DOTTED.match(after):
            found.append(("run", "module", after))
        elif word == "-c" and after:
            found.append(("run", "code", after))
        elif word and word.endswith(".py") and not word.startswith("/"):
            found.append(("run", "script", word))
    return found


def _all(value: ast.expr) -> list[str]:
    """The words of an `__all__`; "*" among them where some are not literal."""
    words = [item.value for item in ast.walk(value) if isinstance(item, ast.Constant) and isinstance(item.value, str)]
    pending: list[ast.expr] = [value]
    while pending:
        here = pending.pop()
        if isinstance(here, ast.BinOp) and isinstance(here.op, ast.Add):
            pending += [here.left, here.right]
        elif isinstance(here, (ast.List, ast.Tuple)):
            pending += here.elts
        elif _literal(here) is None:
            return [*words, "*"]
    return words


class _Facts:
    def __init__(self, tree: ast.Module) -> None:
        self._tree = tree
        self._literals: Callable[[ast.expr], list[str] | None] | None = None
        self.found: dict[Fact, None] = {}
        self.importers: dict[str, str] = {}  # local names of functions that import
        self.type_checking = True  # whether the name still means what it says

    def known(self, what: ast.expr) -> list[str] | None:
        """The strings that a name can be: `for name in ("a", "b"): import_module(name)`."""
        if self._literals is None:
            self._literals = literals(self._tree)
        return self._literals(what)

    def add(self, *facts: Fact) -> None:
        self.found.update(dict.fromkeys(facts))

    def call(self, node: ast.Call) -> None:
        name = _name(node.func)
        name = self.importers.get(name, name)
        if name in _IMPORTERS:
            fact = _dynamic(node, name)
            what = _argument(node, 0, "name", "modname", "mod_name")
            if fact and fact[0] == "anything" and what is not None:
                words = self.known(what)
                if words and all(_DOTTED.match(word) for word in words):
                    self.add(*(("import", word) for word in words))
                    return
            if fact:
                self.add(fact)
        elif name == "run_path" and node.args:
            text = _literal(node.args[0])
            if text is not None:
                self.add(("run", "script", text))
        elif name in _PATCHERS and node.args:
            text = _literal(node.args[0])
            if text and "." in text and _DOTTED.match(text):
                self.add(("import", text))
        elif name in ("entry_points", "iter_entry_points"):
            group = _argument(node, 0, "group")
            self.add(("entries", (_literal(group) or "") if group is not None else ""))
        elif name in ("exec", "eval") and node.args and (text := _literal(node.args[0])) and "import" in text:
            self.add(*(import_facts(text.encode("utf-8", "surrogatepass"))))
        elif name in ("iter_modules", "walk_packages") and not node.args and not node.keywords:
            self.add(("anything", node.lineno))
        if name in _STARTERS:
            self.add(*_started(node))

    def assign(self, node: ast.Assign | ast.AugAssign | ast.AnnAssign) -> None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names = {target.id for target in targets if isinstance(target, ast.Name)} & {"__all__", "pytest_plugins", "TYPE_CHECKING"}
        if not names or node.value is None:
            return
        if "TYPE_CHECKING" in names:
            self.type_checking &= isinstance(node.value, ast.Constant) and node.value.value is False
        elif "__all__" in names:
            self.add(("all", *_all(node.value)))
        else:  # pytest imports them by name
            words = _all(node.value)
            self.add(*(("import", word) for word in words if word != "*"))
            if "*" in words:
                self.add(("anything", node.lineno))

    def prepare(self, tree: ast.Module) -> None:
        """What names of the file mean; and all that imports and assigns."""
        statements: list[ast.AST] = [tree]
        while statements:
            node = statements.pop()
            kind = node.__class__
            if kind is ast.ImportFrom:
                assert isinstance(node, ast.ImportFrom)
                if node.module in ("importlib", "runpy", "importlib.util", "pkgutil"):
                    for one in node.names:
                        self.importers[one.asname or one.name] = one.name
            elif kind in (ast.Assign, ast.AugAssign, ast.AnnAssign):
                self.assign(node)  # type: ignore[arg-type]
            else:
                for block in _BLOCKS:
                    inner = getattr(node, block, None)
                    if inner.__class__ is list:
                        statements += inner

    def imports(self, tree: ast.Module) -> None:
        """Import statements alone."""
        statements: list[ast.AST] = [tree]
        while statements:
            node = statements.pop()
            kind = node.__class__
            if kind is ast.Import:
                self.add(*(("import", alias.name) for alias in node.names))  # type: ignore[attr-defined]
            elif kind is ast.ImportFrom:
                assert isinstance(node, ast.ImportFrom)
                self.add(("from", node.level, node.module or "", *(alias.name for alias in node.names)))
            elif kind is ast.If and self.type_checking and _is_type_checking(node.test):  # type: ignore[attr-defined]
                statements += node.orelse  # type: ignore[attr-defined]
            else:
                for block in _BLOCKS:
                    inner = getattr(node, block, None)
                    if inner.__class__ is list:
                        statements += inner

    def walk(self, tree: ast.Module) -> None:
        """Everything else: calls, lists, names.  Most files have nothing of the kind (`_HINT`)."""
        pending: list[ast.AST] = [tree]
        while pending:
            node = pending.pop()
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                continue
            if isinstance(node, ast.Call):
                self.call(node)
                if _name(node.func) in _IMPORTERS:  # the function itself goes nowhere else
                    pending.extend([*node.args, *node.keywords])
                    if isinstance(node.func, ast.Attribute):
                        pending.append(node.func.value)
                    continue
            elif isinstance(node, (ast.List, ast.Tuple)):
                self.add(*_in_list(node))
            elif isinstance(node, ast.If) and self.type_checking and _is_type_checking(node.test):
                pending.extend(node.orelse)
                continue
            elif isinstance(node, ast.Name):
                if isinstance(node.ctx, ast.Load):
                    self.name(node.id, node.lineno)
                continue
            elif isinstance(node, ast.Attribute):
                if isinstance(node.ctx, ast.Load) and node.attr in ("import_module", "__import__", "run_module"):
                    self.add(("anything", node.lineno))
                elif node.attr == "__path__":
                    text = _dotted(node.value)
                    self.add(("package", text) if text else ("anything", node.lineno))
            elif isinstance(node, ast.Constant):
                continue
            pending.extend(ast.iter_child_nodes(node))

    def name(self, name: str, line: int) -> None:
        if self.importers.get(name, name) in ("import_module", "__import__", "run_module"):
            self.add(("anything", line))  # given to somebody who may call it with anything
        elif name == "__path__":
            self.add(("own",))


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (text := _dotted(node.value)):
        return f"{text}.{node.attr}"
    return ""


# -- files that are only scanned -----------------------------------------------------------------------------------------------

_FROM = re.compile(r"(?:^|[;:])[ \t]*from[ \t]+(\.*)[ \t]*([\w.]*)[ \t]+import[ \t]*(\([^)]*\)|[^\n;#]*)", re.MULTILINE)
_IMPORT = re.compile(r"(?:^|[;:])[ \t]*import[ \t]+([^\n;#]*)", re.MULTILINE)
_LITERAL_IMPORT = re.compile(r"\b(?:import_module|__import__|run_module|importorskip)\(\s*[\"']([\w.]+)[\"']\s*[,)]")
_ANY_IMPORT = re.compile(r"\b(?:import_module|__import__|run_module|run_path|entry_points|walk_packages|iter_modules)\b")
_ANY_FILE = re.compile(r"\b(?:__file__|__path__|resources|get_data)\b")


def _scanned(source: bytes) -> list[Fact]:
    """What a file that has no portable tree may import: read from its text, strings and comments included."""
    text = source.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n").replace("\\\n", " ")
    found: list[Fact] = []
    for dots, module, names in _FROM.findall(text):
        listed = [part.split()[0] for part in re.sub(r"#[^\n]*", "", names).strip("() \t").split(",") if part.split()]
        found.append(("from", len(dots), module, *listed))
    for names in _IMPORT.findall(text):
        found += [("import", part.split()[0].strip(")")) for part in names.split(",") if part.split()]
    found += [("import", name) for name in _LITERAL_IMPORT.findall(text)]
    rest = _LITERAL_IMPORT.sub("", _FROM.sub("", text))
    if _ANY_IMPORT.search(rest) or _ANY_FILE.search(rest):
        found.append(("anything", 1))
    if "__all__" in text:
        found.append(("all", "*"))
    return found


def _sorted(facts: Iterable[Fact]) -> tuple[Fact, ...]:
    return tuple(sorted(facts, key=repr))


def facts_and_meaning(source: bytes) -> tuple[tuple[Fact, ...], str | None]:
    """What a file imports, starts and opens, without repeats and in order; and the digest of its meaning, if it has one."""
    found = parsed(source)
    if found is None:
        return _sorted(dict.fromkeys(_scanned(source))), None
    tree, meaning = found
    facts = _Facts(tree)
    facts.prepare(tree)
    facts.imports(tree)
    if _HINT.search(source):
        facts.walk(tree)
    if wanted(source):
        facts.add(*path_facts(tree))
    return _sorted(facts.found), meaning


def import_facts(source: bytes) -> tuple[Fact, ...]:
    """The facts of a file alone."""
    return facts_and_meaning(source)[0]
