"""What one Python file imports, read from its syntax.  Nothing is resolved here.

A fact is a tuple, so that a list of them can be kept as JSON:

    ("import", "a.b")               import a.b
    ("from", level, "a", "b", ...)  from a import b  (level counts the leading dots; "*" stands for a star)
    ("all", "b", ...)               __all__ as far as it is literal: what a star may load
    ("package", "a.b")              a dynamic import that can only reach modules below a.b
    ("own",)                        a dynamic import relative to the file's own package
    ("anything", line)              a dynamic import that names nothing
"""

from __future__ import annotations

import ast
import warnings

__all__ = ["FACTS_VERSION", "Fact", "import_facts"]

FACTS_VERSION = 2
Fact = tuple[object, ...]

_IMPORTERS = {"import_module", "__import__", "run_module"}


def _is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def _leading_text(value: ast.expr) -> tuple[str, bool]:
    """The literal text that an expression starts with, and whether that is all of it."""
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        return value.value, True
    if isinstance(value, ast.JoinedStr) and value.values and isinstance(value.values[0], ast.Constant):
        return str(value.values[0].value), False
    if isinstance(value, ast.BinOp) and isinstance(value.op, (ast.Add, ast.Mod)):
        text, _ = _leading_text(value.left)
        return (text.partition("%")[0] if isinstance(value.op, ast.Mod) else text), False
    return "", False


def _is_own_name(value: ast.expr) -> bool:
    return isinstance(value, ast.Name) and value.id in ("__name__", "__package__")


def _dynamic(call: ast.Call) -> Fact | None:
    """The fact of a call that imports by name, or None for every other call."""
    function = call.func
    name = function.id if isinstance(function, ast.Name) else function.attr if isinstance(function, ast.Attribute) else ""
    if name not in _IMPORTERS or not call.args:
        return None
    text, whole = _leading_text(call.args[0])
    if text.startswith("."):
        dots = len(text) - len(text.lstrip("."))
        return ("from", dots, text.lstrip(".")) if whole else ("own",)
    if whole:
        return ("import", text)
    package, dot, _ = text.rpartition(".")
    if dot:
        return ("package", package)
    if isinstance(call.args[0], ast.BinOp) and _is_own_name(call.args[0].left):
        return ("own",)
    if isinstance(call.args[0], ast.JoinedStr) and call.args[0].values:
        first = call.args[0].values[0]
        if isinstance(first, ast.FormattedValue) and _is_own_name(first.value):
            return ("own",)
    return ("anything", call.lineno)


def import_facts(source: bytes) -> tuple[Fact, ...] | None:
    """The import facts of a file, in order and without repeats; None where it cannot be parsed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            module = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
    found: dict[Fact, None] = {}
    pending: list[ast.AST] = [module]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            for alias in node.names:
                found["import", alias.name] = None
        elif isinstance(node, ast.ImportFrom):
            found["from", node.level, node.module or "", *(alias.name for alias in node.names)] = None
        elif isinstance(node, ast.Call):
            fact = _dynamic(node)
            if fact:
                found[fact] = None
        elif isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {target.id for target in targets if isinstance(target, ast.Name)} & {"__all__", "pytest_plugins"}
            if names and node.value is not None:
                words = [
                    item.value for item in ast.walk(node.value) if isinstance(item, ast.Constant) and isinstance(item.value, str)
                ]
                if "__all__" in names:
                    found["all", *words] = None
                else:  # pytest imports them by name
                    found.update({("import", word): None for word in words})
        elif isinstance(node, ast.If) and _is_type_checking(node.test):
            pending.extend(node.orelse)
            continue
        pending.extend(ast.iter_child_nodes(node))
    return tuple(sorted(found, key=repr))
