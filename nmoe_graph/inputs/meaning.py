"""What a Python, TOML or JSON file means, as a digest that is the same on every interpreter.

Python: the syntax tree without positions, comments and formatting; docstrings count.  Interpreters differ in how they build
that tree, so three things keep the digest portable:

- f-strings count as their source text, since their inner nodes differ between versions;
- only nodes and fields of Python 3.11's grammar are known here.  A file that needs anything newer counts by its bytes on
  every interpreter, also on those that could parse it;
- identifiers outside ASCII are normalised by tables that differ between versions, so a file that has one counts by its bytes.

TOML: the data; the order of keys does not count, the order of arrays does.

JSON: the data, with the order of keys and with numbers as they are written, since a reader can see both; what remains is
blanks, line ends and the spelling of strings.

None means "count the bytes".  This module imports the standard library only and can be loaded by its path alone.
"""

from __future__ import annotations

import ast
import hashlib
import io
import re
import sys
import tokenize
import warnings
from typing import Any

__all__ = ["MEANING_VERSION", "json_meaning", "meaning", "parsed", "python_meaning", "toml_meaning"]

MEANING_VERSION = 1
_MOST_BYTES = 1 << 20
_MOST_DEPTH = 80

#: Python 3.11's grammar: node class -> its fields, in the order in which they are written.
_FIELDS: dict[str, tuple[str, ...]] = {
    "Module": ("body",),
    "FunctionDef": ("name", "args", "body", "decorator_list", "returns"),
    "AsyncFunctionDef": ("name", "args", "body", "decorator_list", "returns"),
    "ClassDef": ("name", "bases", "keywords", "body", "decorator_list"),
    "Return": ("value",),
    "Delete": ("targets",),
    "Assign": ("targets", "value"),
    "AugAssign": ("target", "op", "value"),
    "AnnAssign": ("target", "annotation", "value", "simple"),
    "For": ("target", "iter", "body", "orelse"),
    "AsyncFor": ("target", "iter", "body", "orelse"),
    "While": ("test", "body", "orelse"),
    "If": ("test", "body", "orelse"),
    "With": ("items", "body"),
    "AsyncWith": ("items", "body"),
    "Match": ("subject", "cases"),
    "Raise": ("exc", "cause"),
    "Try": ("body", "handlers", "orelse", "finalbody"),
    "TryStar": ("body", "handlers", "orelse", "finalbody"),
    "Assert": ("test", "msg"),
    "Import": ("names",),
    "ImportFrom": ("module", "names", "level"),
    "Global": ("names",),
    "Nonlocal": ("names",),
    "Expr": ("value",),
    "Pass": (),
    "Break": (),
    "Continue": (),
    "BoolOp": ("op", "values"),
    "NamedExpr": ("target", "value"),
    "BinOp": ("left", "op", "right"),
    "UnaryOp": ("op", "operand"),
    "Lambda": ("args", "body"),
    "IfExp": ("test", "body", "orelse"),
    "Dict": ("keys", "values"),
    "Set": ("elts",),
    "ListComp": ("elt", "generators"),
    "SetComp": ("elt", "generators"),
    "DictComp": ("key", "value", "generators"),
    "GeneratorExp": ("elt", "generators"),
    "Await": ("value",),
    "Yield": ("value",),
    "YieldFrom": ("value",),
    "Compare": ("left", "ops", "comparators"),
    "Call": ("func", "args", "keywords"),
    "Constant": ("value",),
    "Attribute": ("value", "attr"),
    "Subscript": ("value", "slice"),
    "Starred": ("value",),
    "Name": ("id",),
    "List": ("elts",),
    "Tuple": ("elts",),
    "Slice": ("lower", "upper", "step"),
    "comprehension": ("target", "iter", "ifs", "is_async"),
    "ExceptHandler": ("type", "name", "body"),
    "arguments": ("posonlyargs", "args", "vararg", "kwonlyargs", "kw_defaults", "kwarg", "defaults"),
    "arg": ("arg", "annotation"),
    "keyword": ("arg", "value"),
    "alias": ("name", "asname"),
    "withitem": ("context_expr", "optional_vars"),
    "match_case": ("pattern", "guard", "body"),
    "MatchValue": ("value",),
    "MatchSingleton": ("value",),
    "MatchSequence": ("patterns",),
    "MatchMapping": ("keys", "patterns", "rest"),
    "MatchClass": ("cls", "patterns", "kwd_attrs", "kwd_patterns"),
    "MatchStar": ("name",),
    "MatchAs": ("pattern", "name"),
    "MatchOr": ("patterns",),
}
_OPERATORS = frozenset(
    [
        "And",
        "Or",
        "Add",
        "Sub",
        "Mult",
        "MatMult",
        "Div",
        "Mod",
        "Pow",
        "LShift",
        "RShift",
        "BitOr",
        "BitXor",
        "BitAnd",
        "FloorDiv",
        "Invert",
        "Not",
        "UAdd",
        "USub",
        "Eq",
        "NotEq",
        "Lt",
        "LtE",
        "Gt",
        "GtE",
        "Is",
        "IsNot",
        "In",
        "NotIn",
    ]
)
#: Fields that 3.11 has too and that say nothing, or that follow from the rest.
_SILENT = frozenset({"ctx", "type_comment", "type_ignores", "kind", "lineno", "col_offset", "end_lineno", "end_col_offset"})
#: Fields of newer grammars: allowed while they are empty.
_NEWER = frozenset({"type_params", "default_value"})


class _ByBytes(Exception):
    """The file cannot be given a portable meaning."""


class _Writer:
    def __init__(self, source: bytes) -> None:
        self.out: list[bytes] = []
        self.fstrings = False
        self._lines = source.split(b"\n")

    def _text(self, tag: bytes, data: bytes) -> None:
        self.out.append(b"%s%d:" % (tag, len(data)))
        self.out.append(data)

    def _segment(self, node: Any) -> bytes:
        first, last = node.lineno - 1, node.end_lineno - 1
        if first == last:
            return bytes(self._lines[first][node.col_offset : node.end_col_offset])
        middle = self._lines[first + 1 : last]
        return b"\n".join([self._lines[first][node.col_offset :], *middle, self._lines[last][: node.end_col_offset]])

    def constant(self, value: object) -> None:
        if isinstance(value, str):
            self._text(b"s", value.encode("utf-8", "surrogatepass"))
        elif value is None or value is True or value is False or value is Ellipsis:
            self._text(b"c", repr(value).encode())
        elif isinstance(value, bytes):
            self._text(b"b", value)
        elif isinstance(value, int):
            self._text(b"i", b"%x" % value)
        elif isinstance(value, float):
            self._text(b"f", value.hex().encode())
        elif isinstance(value, complex):
            self._text(b"j", f"{value.real.hex()},{value.imag.hex()}".encode())
        else:
            raise _ByBytes

    def name(self, value: str) -> None:
        self.out.append(_NAMES.get(value) or _named(value))

    def write(self, node: Any, depth: int) -> None:
        """One field's value: a node, a list, a name, a number or nothing."""
        out = self.out
        if node is None:
            out.append(b"-")
        elif node.__class__ is list:
            out.append(b"l%d:" % len(node))
            for item in node:
                self.write(item, depth)
        elif node.__class__ is str:
            self.name(node)
        elif node.__class__ is int:
            out.append(b"d%d;" % node)
        else:
            self._node(node, depth)

    def _node(self, node: Any, depth: int) -> None:
        if depth > _MOST_DEPTH:
            raise _ByBytes
        if node.__class__ is ast.Name and depth < _MOST_DEPTH:  # a third of all nodes
            self.out.append(b"(Name;%b)" % (_NAMES.get(node.id) or _named(node.id)))
            return
        shape = _SHAPES.get(node.__class__)
        if shape is None:
            shape = _SHAPES[node.__class__] = _shape(node.__class__)
        head, fields, newer = shape
        if fields is None:
            if head == b"F":
                source = self._segment(node)
                self.fstrings = self.fstrings or not _PLAIN_FSTRING.match(source)
                self._text(b"F", source)
            else:
                self.out.append(head)
            return
        for field in newer:
            if getattr(node, field, None):
                raise _ByBytes
        self.out.append(head)
        if head in (b"(Constant;", b"(MatchSingleton;"):
            self.constant(node.value)
        else:
            depth += 1
            if depth > _MOST_DEPTH and fields:
                raise _ByBytes
            values = node.__dict__
            for field in fields:
                value = values.get(field)
                if value is None:
                    self.out.append(b"-")
                elif value.__class__ in _LEAVES:
                    self.write(value, depth)
                elif value.__class__ is list:
                    self.out.append(b"l%d:" % len(value))
                    for item in value:
                        if isinstance(item, ast.AST):
                            self._node(item, depth)
                        else:
                            self.write(item, depth)
                else:
                    self._node(value, depth)
        self.out.append(b")")


_LEAVES = frozenset({str, int})
_NAMES: dict[str, bytes] = {}  # what was written for a name before; only ever a short cut


def _named(value: str) -> bytes:
    if not value.isascii():
        raise _ByBytes
    written = b"n%d:%b" % (len(value), value.encode("ascii"))
    if len(_NAMES) < 20_000:
        _NAMES[value] = written
    return written


#: Node class -> what it starts with, its fields (None: it has no parts), and newer fields that must be empty.
_SHAPES: dict[type, tuple[bytes, tuple[str, ...] | None, tuple[str, ...]]] = {}


def _shape(kind: type) -> tuple[bytes, tuple[str, ...] | None, tuple[str, ...]]:
    name = kind.__name__
    if name in _OPERATORS:
        return b"o" + name.encode() + b";", None, ()
    if name == "JoinedStr":
        return b"F", None, ()
    fields = _FIELDS.get(name)
    if fields is None:
        raise _ByBytes
    strange = [field for field in kind._fields if field not in fields and field not in _SILENT]  # type: ignore[attr-defined]
    if not _NEWER.issuperset(strange):
        raise _ByBytes
    return b"(" + name.encode() + b";", fields, tuple(strange)


#: One f-string whose fields hold neither quotes, braces, backslashes nor comments: every Python reads it alike.
_PLAIN_FSTRING = re.compile(
    rb"""[rR]?[fF][rR]?(?:"(?!"")[^"\\{}\n]*(?:\{[^"'\\#{}\n]*\}[^"\\{}\n]*)*"|'(?!'')[^'\\{}\n]*(?:\{[^"'\\#{}\n]*\}[^'\\{}\n]*)*')\Z"""
)
_FSTRING_START = getattr(tokenize, "FSTRING_START", None)
_FSTRING_MIDDLE = getattr(tokenize, "FSTRING_MIDDLE", None)
_FSTRING_END = getattr(tokenize, "FSTRING_END", None)


def _newer_fstrings(source: bytes) -> bool:
    """True if an f-string uses what came with Python 3.12, or comes near enough that 3.11 might refuse it.

    In 3.11 the expression part of an f-string holds no backslash, no #, and no quote of the kind that encloses it.  On 3.11
    itself a file that parses has none of these, except a # or an enclosing kind inside a nested string, which is why these
    are refused there too: both sides look at the same source with the same rule.
    """
    found = False
    for text in _fstring_sources(source):
        found = found or _expression_is_newer(text)
    return found


def _fstring_sources(source: bytes) -> list[str]:
    """The source text of every outermost f-string token, quotes and prefix included."""
    texts = []
    readline = io.BytesIO(source).readline
    if _FSTRING_START is None:
        for token in tokenize.tokenize(readline):
            if token.type == tokenize.STRING and "f" in token.string[: token.string.find(token.string[-1])].lower():
                texts.append(token.string)
        return texts
    lines = source.decode("utf-8").split("\n")
    depth, start = 0, (0, 0)
    for token in tokenize.tokenize(readline):
        if token.type == _FSTRING_START:
            if depth == 0:
                start = token.start
            depth += 1
        elif token.type == _FSTRING_END:
            depth -= 1
            if depth == 0:
                (row, column), (end_row, end_column) = start, token.end
                if row == end_row:
                    texts.append(lines[row - 1][column:end_column])
                else:
                    middle = lines[row : end_row - 1]
                    texts.append("\n".join([lines[row - 1][column:], *middle, lines[end_row - 1][:end_column]]))
    return texts


def _expression_is_newer(text: str) -> bool:
    at = min(position for position in (text.find("'"), text.find('"')) if position >= 0)
    quote = text[at : at + 3] if text[at : at + 3] in ("'''", '"""') else text[at]
    body = text[at + len(quote) : -len(quote)]
    raw = "r" in text[:at].lower()
    # Depth of replacement fields; a nested string's braces count like others, which errs towards bytes on every version.
    depth, index, most = 0, 0, 0
    while index < len(body):
        char = body[index]
        if depth == 0:
            if not raw and char == "\\":
                if body.startswith("\\N{", index):
                    close = body.find("}", index)
                    index = close + 1 if close > 0 else len(body)
                else:
                    index += 2
                continue
            if body.startswith(("{{", "}}"), index):
                index += 2
                continue
            depth += char == "{"
        else:
            if char in "\\#" or (char == quote[0]) or (char == "\n" and len(quote) == 1):
                return True
            depth += (char == "{") - (char == "}")
            most = max(most, depth)
            if most > 2:
                return True
        index += 1
    return depth != 0


def parsed(data: bytes) -> tuple[ast.Module, str] | None:
    """A Python file's syntax tree and the digest of its meaning, or None where its bytes count.

    Whether there is one is the same on every interpreter, so what else is read from the tree is too.
    """
    if len(data) > _MOST_BYTES or b"\0" in data or b"\f" in data:
        return None
    data = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            head = data[: data.find(b"\n", data.find(b"\n") + 1)] if data.count(b"\n", 0, 4096) > 1 else data
            if b"coding" in head and tokenize.detect_encoding(io.BytesIO(data).readline)[0] != "utf-8":
                return None
            # feature_version holds newer interpreters to the older grammar as far as they can be held.
            tree = ast.parse(data, feature_version=(3, 11))
            writer = _Writer(data)
            writer.write(tree, 0)
            if writer.fstrings and _newer_fstrings(data):
                return None
        except (_ByBytes, SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError, IndexError):
            return None
    return tree, hashlib.sha256(b"nmoe-graph/python-meaning %d\n" % MEANING_VERSION + b"".join(writer.out)).hexdigest()


def python_meaning(data: bytes) -> str | None:
    """The digest of a Python file's syntax tree, or None where its bytes count."""
    found = parsed(data)
    return found[1] if found else None


def _data(value: object, out: list[bytes], depth: int = 0) -> None:
    if depth > _MOST_DEPTH:
        raise _ByBytes
    if isinstance(value, dict):
        out.append(b"m%d:" % len(value))
        for key in sorted(value):
            _data(key, out, depth + 1)
            _data(value[key], out, depth + 1)
    elif isinstance(value, list):
        out.append(b"l%d:" % len(value))
        for item in value:
            _data(item, out, depth + 1)
    else:
        if isinstance(value, str):
            tag, text = b"s", value
        elif isinstance(value, bool):
            tag, text = b"t", str(value)
        elif isinstance(value, int):
            tag, text = b"i", format(value, "x")
        elif isinstance(value, float):
            tag, text = b"f", value.hex()
        else:  # the date and time types of TOML
            tag, text = type(value).__name__.encode(), value.isoformat()  # type: ignore[attr-defined]
        body = text.encode("utf-8", "surrogatepass")
        out.append(b"%s%d:" % (tag, len(body)))
        out.append(body)


def toml_meaning(data: bytes) -> str | None:
    """The digest of a TOML file's data, or None where its bytes count.

    Read with tomli below 2.4, which is TOML 1.0 on every interpreter; `tomllib` grows with Python, and keys must not.
    """
    import tomli

    if len(data) > _MOST_BYTES:
        return None
    out: list[bytes] = []
    try:
        _data(tomli.loads(data.decode("utf-8")), out)
    except (ValueError, RecursionError, _ByBytes):
        return None
    return hashlib.sha256(b"nmoe-graph/toml-meaning %d\n" % MEANING_VERSION + b"".join(out)).hexdigest()


class _Number(str):
    """A JSON number as it is written."""

    __slots__ = ()


def _pairs(rows: list[tuple[str, object]]) -> object:
    if len({key for key, _ in rows}) < len(rows):
        raise _ByBytes  # which of two equal keys counts is the reader's choice
    return dict(rows)


def _refuse(text: str) -> object:
    raise _ByBytes  # NaN and Infinity are no JSON


def _ordered(value: object, out: list[bytes], depth: int = 0) -> None:
    if depth > _MOST_DEPTH:
        raise _ByBytes
    if isinstance(value, dict):
        out.append(b"m%d:" % len(value))
        for key, item in value.items():
            _ordered(key, out, depth + 1)
            _ordered(item, out, depth + 1)
    elif isinstance(value, list):
        out.append(b"l%d:" % len(value))
        for item in value:
            _ordered(item, out, depth + 1)
    elif isinstance(value, str):
        body = value.encode("utf-8", "surrogatepass")
        out.append(b"%s%d:" % (b"i" if isinstance(value, _Number) else b"s", len(body)))
        out.append(body)
    else:
        out.append({None: b"n", True: b"t", False: b"f"}[value])  # type: ignore[index]


def json_meaning(data: bytes) -> str | None:
    """The digest of a JSON file's data, keys in their order, or None where its bytes count."""
    import json

    if len(data) > _MOST_BYTES:
        return None
    out: list[bytes] = []
    try:
        text = data.decode("utf-8")
        found = json.loads(text, object_pairs_hook=_pairs, parse_int=_Number, parse_float=_Number, parse_constant=_refuse)
        _ordered(found, out)
    except (ValueError, RecursionError, _ByBytes):
        return None
    return hashlib.sha256(b"nmoe-graph/json-meaning %d\n" % MEANING_VERSION + b"".join(out)).hexdigest()


def meaning(path: str, data: bytes) -> str | None:
    """The digest of what a file means, by the ending of its name; None where its bytes count."""
    if path.endswith((".py", ".pyi")):
        return python_meaning(data)
    if path.endswith(".json"):
        return json_meaning(data)
    return toml_meaning(data) if path.endswith(".toml") else None


if __name__ == "__main__":
    # `python meaning.py FILE...`: so that other interpreters can be asked.
    for _name in sys.argv[1:]:
        with open(_name, "rb") as _handle:
            print(meaning(_name, _handle.read()))  # noqa: T201
