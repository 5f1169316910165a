"""Mutants of a file: small damages that a check of it should notice.  Pure; the same bytes give the same list."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Mutant", "mutants"]

_KEY_LINE = re.compile(
    rb"^[ \t]*[A-Za-z0-9_\-\"'.]+[ \t]*=(?![ \t]*(?:[\[{][ \t]*$|\"\"\"|'''))[^\n]*\n",
    re.MULTILINE,
)
_MOST_KEYS = 20


@dataclass(frozen=True, slots=True)
class Mutant:
    """One damage: what was done, in words, and the bytes after it."""

    what: str
    data: bytes


def mutants(path: str, data: bytes) -> tuple[Mutant, ...]:
    """Every mutant of a file; none is equal to the file."""
    return tuple(one for one in _made(path, data) if one.data != data)


def _made(path: str, data: bytes) -> Iterator[Mutant]:
    suffix = path[path.rfind(".") :] if "." in path.rpartition("/")[2] else ""
    end = b"" if not data or data.endswith(b"\n") else b"\n"
    if suffix == ".py":
        yield Mutant("raises on import", data + end + b'raise RuntimeError("mutant")\n')
        yield Mutant("broken syntax", data + end + b")(\n")
        yield Mutant("emptied", b"")
        return
    yield Mutant("emptied", b"")
    if suffix == ".toml":
        for found in list(_KEY_LINE.finditer(data))[:_MOST_KEYS]:
            key = found[0].partition(b"=")[0].strip().decode("utf-8", "replace")
            yield Mutant(f"without {key}", data[: found.start()] + data[found.end() :])
    elif suffix == ".json":
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            return
        for key in list(value)[:_MOST_KEYS] if isinstance(value, dict) else ():
            yield Mutant(f"without {key}", json.dumps({name: one for name, one in value.items() if name != key}).encode())
    else:
        lines = data.splitlines(keepends=True)
        if len(lines) > 1:
            yield Mutant("without its first line", b"".join(lines[1:]))
            yield Mutant("without its last line", b"".join(lines[:-1]))
