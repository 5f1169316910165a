"""YAML from strangers: the event stream, cut down to mappings, lists and text as written.

Anchors, aliases, tags, directives, second documents and duplicate keys are refused.  A plain scalar keeps its spelling: the
ids 01, 08 and 010 stay three ids, and a sha of digits stays text; a schema decides what is a number.
"""

from __future__ import annotations

from typing import Any

from ..errors import DeclarationError, Fault, Location
from .text import Path, Reading, decode

__all__ = ["Plain", "Quoted", "read_yaml"]

MOST_BYTES = 256 * 1024
_MOST_DEPTH = 32
_MOST_NODES = 20_000
_MOST_SCALAR = 4_000
_NOTHING = frozenset(["", "~", "null", "Null", "NULL"])  # unless in quotes, or a key


class Plain(str):
    """A scalar without quotes: what it means is for the schema to say."""

    __slots__ = ()


class Quoted(str):
    """A scalar in quotes, or a block: always text."""

    __slots__ = ()


def _refuse(file: str, what: str, mark: Any, hint: str = "", first_line: int = 0) -> DeclarationError:
    at = Location(file, mark.line + 1 + first_line, mark.column + 1) if mark is not None else Location(file)
    return DeclarationError(Fault(what, at, hint))


def _check_flow_depth(text: str, file: str, first_line: int) -> None:
    """Brackets nested deeper than any honest file: refused before a parser sees them."""
    if text.count("[") + text.count("{") <= _MOST_DEPTH * 4:
        return
    depth = 0
    for number, line in enumerate(text.split("\n"), 1):
        for column, char in enumerate(line, 1):
            if char in "[{":
                depth += 1
                if depth > _MOST_DEPTH * 4:
                    raise DeclarationError(Fault("brackets are nested too deep", Location(file, number + first_line, column)))
            elif char in "]}" and depth:
                depth -= 1
            elif char == "#" and (column == 1 or line[column - 2] in " \t"):
                break


def read_yaml(data: bytes | str, file: str, first_line: int = 0, whole_text: str = "") -> Reading:
    """Read one document.

    Raises:
        DeclarationError: with the first thing that is wrong; never anything else.
    """
    import yaml

    text = data if isinstance(data, str) else decode(data, file, MOST_BYTES)
    if not text.strip():
        raise DeclarationError(Fault("the file is empty; a mapping is due", Location(file, 1 + first_line, 1)))
    _check_flow_depth(text, file, first_line)
    reading = Reading(file, text, None, first_line=first_line, whole_text=whole_text)
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        reading.data = _compose(loader(text), yaml, reading)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        hint = 'text that begins with * or & must be in quotes: "**/x"' if "alias" in str(error) or "anchor" in str(error) else ""
        if mark is not None and (text.split("\n")[mark.line : mark.line + 1] or [""])[0][mark.column : mark.column + 1] == "\t":
            hint = "a tab stands there, and YAML takes none at the beginning of a line: indent with spaces"
        raise _refuse(
            file, f"not valid YAML: {error.problem or error.context or 'it cannot be read'}", mark, hint, first_line
        ) from None
    except (yaml.YAMLError, ValueError, RecursionError, IndexError, AttributeError, OverflowError, TypeError, KeyError) as error:
        word = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DeclarationError(Fault(f"not valid YAML: {word}", Location(file, 1 + first_line, 1))) from None
    return reading


def _compose(parser: Any, yaml: Any, reading: Reading) -> Any:
    """Events to values, with an explicit stack: depth costs nothing."""
    root: list[Any] = []
    stack: list[tuple[Any, Path]] = []  # the containers around the one that is open, each with its path
    here: Any = root
    path: Path = ()
    waiting: list[str | None] = []  # a key without its value, for each open container
    key: str | None = None
    nodes = documents = 0
    file, first = reading.file, reading.first_line
    keys, values = reading.keys, reading.values
    scalar, mapping, sequence = yaml.ScalarEvent, yaml.MappingStartEvent, yaml.SequenceStartEvent
    ends = (yaml.MappingEndEvent, yaml.SequenceEndEvent)

    while (event := parser.get_event()) is not None:
        kind = type(event)
        if kind in ends:
            here, path = stack.pop()
            key = waiting.pop()
            continue
        mark = event.start_mark
        if kind is scalar or kind is mapping or kind is sequence:
            nodes += 1
            if nodes > _MOST_NODES:
                raise _refuse(file, f"too many entries; the limit is {_MOST_NODES}", mark, "", first)
            if event.anchor is not None:
                raise _refuse(file, "a YAML anchor", mark, "text that begins with & must be in quotes", first)
            if event.tag is not None:
                of = f" on {key}" if key else ""
                raise _refuse(file, f"a YAML tag{of}", mark, "tags are not read here; write the value as text", first)
            value: Any
            is_key = key is None and type(here) is dict
            if kind is scalar:
                text = event.value
                if len(text) > _MOST_SCALAR:
                    raise _refuse(file, f"{key or 'a value'} is too long: the limit is {_MOST_SCALAR} characters", mark, "", first)
                if event.style:
                    value = Quoted(text)
                else:
                    value = None if text in _NOTHING and not is_key else Plain(text)
            else:
                if len(stack) >= _MOST_DEPTH:
                    raise _refuse(file, "nested too deep", mark, "", first)
                value = {} if kind is mapping else []
            place = mark.line + 1, mark.column + 1
            if is_key:
                if kind is not scalar:
                    raise _refuse(file, "a key must be text", mark, "", first)
                if value in here:
                    raise _refuse(file, f"duplicate key {value}", mark, "each key once: the second would silently win", first)
                key = str(value)
                keys[(*path, key)] = place
                here[key] = None
                continue
            if type(here) is dict:
                inner: Path = (*path, key)  # type: ignore[arg-type]
                here[key] = value
                key = None
            else:
                inner = () if here is root else (*path, len(here))
                here.append(value)
            values[inner] = place
            if kind is not scalar:
                stack.append((here, path))
                waiting.append(key)
                here, path, key = value, inner, None
        elif kind is yaml.AliasEvent:
            raise _refuse(file, "a YAML alias", mark, 'text that begins with * must be in quotes: "**/x"', first)
        elif kind is yaml.DocumentStartEvent:
            documents += 1
            if documents > 1:
                raise _refuse(file, "a second document, or text after the end of the first", mark, "keep one document", first)
            if event.tags or event.version:
                raise _refuse(file, "a YAML directive", mark, "take the % line out", first)
    if not root:
        raise DeclarationError(Fault("the file is empty; a mapping is due", Location(file, 1 + first, 1)))
    return root[0]
