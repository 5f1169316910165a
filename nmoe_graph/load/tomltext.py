"""TOML from strangers: bounded before it is parsed, and with the place of every key found afterwards, by one linear scan."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..errors import DeclarationError, Fault, Location
from .text import Path, Reading, decode

__all__ = ["read_toml"]

MOST_BYTES = 2 * 1024 * 1024
_MOST_DEPTH = 32
_MOST_LINE = 20_000
_MOST_ITEMS = 20_000  # of arrays that have a place of their own; those behind have their array's

_PART = r"""(?:"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[A-Za-z0-9_-]+)"""
_HEADER = re.compile(rf"\s*\[(\[?)\s*({_PART}(?:\s*\.\s*{_PART})*)\s*\]")
_KEY = re.compile(rf"\s*({_PART}(?:\s*\.\s*{_PART})*)\s*=\s*")
_EACH = re.compile(_PART)
_STRING = re.compile(r"""\"(?:[^"\\\n]|\\.)*\"|'[^'\n]*'""")


def _check_shape(text: str, file: str) -> None:
    """Depth and length, before a recursive or quadratic parser sees the text."""
    depth = 0
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > _MOST_LINE and line.count("[") + line.count(".") > 200:
            what = "too deep or too long: one line with over 200 dots or brackets"
            raise DeclarationError(Fault(what, Location(file, number, 1)))
        quote = ""
        for column, char in enumerate(line, 1):
            if quote:
                if char == quote and line[column - 2] != "\\":
                    quote = ""
            elif char in "\"'":
                quote = char
            elif char == "#":
                break
            elif char in "[{":
                depth += 1
                if depth > _MOST_DEPTH * 2:
                    raise DeclarationError(Fault("nested too deep", Location(file, number, column)))
            elif char in "]}" and depth:
                depth -= 1
        head = line.partition("=")[0] if not line.lstrip().startswith("#") else ""
        if head.count(".") > _MOST_DEPTH and not line.lstrip().startswith(('"', "'")):
            raise DeclarationError(Fault("a dotted key is nested too deep", Location(file, number, 1)))


def _names(text: str) -> tuple[str, ...]:
    names = []
    for part in _EACH.findall(text):
        names.append(
            part[1:-1].encode().decode("unicode_escape", "replace") if part[0] == '"' and "\\" in part else part.strip("\"'")
        )
    return tuple(names)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that do not begin inside a multi-line string, with their numbers."""
    closing = ""
    for number, line in enumerate(text.split("\n"), 1):
        if closing:
            closing = "" if closing in line else closing
            continue
        yield number, line
        key = _KEY.match(line)
        rest = line[key.end() :] if key else ""
        for mark in ('"""', "'''"):
            if rest.startswith(mark) and rest.count(mark) == 1:
                closing = mark


def _index(reading: Reading) -> None:
    """Where each header and key stands.  Multi-line strings and arrays are stepped over."""
    table: Path = ()
    counts: dict[Path, int] = {}
    lines = reading.text.split("\n")
    until = 0  # the line in which the last array ended
    for number, line in _lines(reading.text):
        if number <= until:
            continue
        header = _HEADER.match(line)
        if header:
            table = _names(header[2])
            if header[1]:
                counts[table] = counts.get(table, -1) + 1
                table = (*table, counts[table])
            reading.keys[table] = reading.values[table] = (number, header.start(2) + 1)
            for end in range(1, len(table)):  # [gates."cpu:import"] is where gates begins, too
                reading.keys.setdefault(table[:end], reading.keys[table])
            continue
        key = _KEY.match(line)
        if key:
            path = (*table, *_names(key[1]))
            reading.keys[path] = (number, key.start(1) + 1)
            reading.values[path] = (number, key.end() + 1)
            rest = line[key.end() :]
            if rest[:1] in "[{":
                until = _index_items(reading, path, lines, number, key.end())
                for each in re.finditer(rf"{_PART}\s*=", rest) if rest[:1] == "{" else ():
                    inner = (*path, *_names(each[0].rstrip("= ")))
                    reading.keys[inner] = reading.values[inner] = (number, key.end() + each.start() + 1)


def _index_items(reading: Reading, path: Path, lines: list[str], number: int, column: int) -> int:
    """Where each item of an array, and of the arrays in it, stands; what is inside an inline table is that table's.

    `column` is the index of the opening bracket in line `number`, counted from 1.  The text is valid TOML.  Returns the number of
    the line with the closing bracket.
    """
    opened: list[int | None] = []  # of each bracket that is open the index of its item; None for an inline table
    closing = ""  # of a string over several lines
    begins = False
    for row in range(number - 1, len(lines)):
        line, at = lines[row], column if row == number - 1 else 0
        while at < len(line) or closing:
            if closing:
                end = line.find(closing, at)
                if end < 0:
                    break
                at, closing = end + 3, ""
                continue
            char = line[at]
            if char == "#":
                break
            if begins and char not in " \t]" and len(reading.values) < _MOST_ITEMS:
                reading.values[(*path, *(one for one in opened if one is not None))] = (row + 1, at + 1)
            begins = begins and char in " \t"
            string = _STRING.match(line, at)
            if line.startswith(('"""', "'''"), at):
                closing, at = line[at : at + 3], at + 3
                continue
            if string:
                at = string.end()
                continue
            if char == "[":
                opened.append(0)
                begins = None not in opened
            elif char == "{":
                opened.append(None)
            elif char in "]}":
                opened.pop()
                if not opened:
                    return row + 1
            elif char == "," and (last := opened[-1]) is not None:
                opened[-1] = last + 1
                begins = None not in opened
            at += 1
    return len(lines)


def read_toml(data: bytes, file: str) -> Reading:
    """Read a TOML file.

    Raises:
        DeclarationError: it is too large, too deep, no UTF-8 or no TOML 1.0; never anything else.
    """
    import tomli

    text = decode(data, file, MOST_BYTES)
    _check_shape(text, file)
    _inline_newline(text, file)
    reading = Reading(file, text, {})
    try:
        reading.data = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise DeclarationError(_syntax_fault(str(error), reading)) from None
    except (ValueError, RecursionError, OverflowError, KeyError, IndexError, TypeError, AttributeError) as error:
        word = (
            "nested too deep"
            if isinstance(error, RecursionError)
            else str(error).splitlines()[0]
            if str(error)
            else "it cannot be read"
        )
        raise DeclarationError(Fault(f"invalid TOML: {word}", Location(file, 1, 1))) from None
    _index(reading)
    return reading


def _inline_newline(text: str, file: str) -> None:
    """TOML 1.1 lets an inline table run over lines and 1.0 does not: two parsers, two answers, so it is refused."""
    for number, line in _lines(text):
        key = _KEY.match(line)
        if key and line[key.end() :].rstrip() == "{":
            what = f"invalid TOML 1.0: the inline table {key[1]} runs over more than one line"
            raise DeclarationError(
                Fault(what, Location(file, number, key.end() + 1), f"write it as [table.{key[1]}], or on one line")
            )


def _syntax_fault(message: str, reading: Reading) -> Fault:
    found = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", message)
    words = message[: found.start()] if found else message
    at = (
        Location(reading.file, int(found[1]), int(found[2]))
        if found and found[1]
        else Location(reading.file, reading.text.count("\n") + 1, 1)
    )
    hint = "each table and key once: is it declared twice?" if "declare" in words or "overwrite" in words else ""
    name = ""
    if hint and at.line:
        line = reading.text.split("\n")[at.line - 1].strip()
        name = f" {line}" if len(line) < 120 else ""
    return Fault(f"invalid TOML: {words[:1].lower()}{words[1:]}{name}", at, hint, reading.source(at))
