"""What may be sent to GitHub: checked here, before anything is, for ghapi checks nothing.

Every function returns what it was given, or raises UsageError.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from ..errors import UsageError, printable

__all__ = ["MOST_BODY", "branch", "created", "inputs", "label_names", "one_of", "positive", "sha", "text", "url", "workflow"]

#: GitHub takes so many characters of a body, a comment or a summary.
MOST_BODY = 65_535
_MOST_INPUTS = 25


def positive(value: int, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 1 << 63:
        raise UsageError(f"{printable(repr(value), limit=60)} is no {what}", hint="a whole number above 0")
    return value


def sha(value: str, what: str = "commit") -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9a-f]{40}", value):
        raise UsageError(f"{printable(repr(value), limit=60)} is no {what}", hint="all 40 digits of its SHA-1, in lower case")
    return value


def one_of(value: str, known: Collection[str], what: str) -> str:
    if value not in known:
        raise UsageError(f"{printable(repr(value), limit=60)} is no {what}", hint=f"one of {', '.join(sorted(known))}")
    return value


def branch(name: str, what: str = "branch") -> str:
    """A branch's name, as git check-ref-format has it, and such that no part of a URL can be made of it."""
    parts = name.split("/") if isinstance(name, str) else [""]
    bad = (
        not name
        or len(name.encode("utf-8", "replace")) > 255
        or not name.isprintable()
        or any(char in " ~^:?*[\\#%" for char in name)
        or name.startswith("-")
        or name == "@"
        or "@{" in name
        or ".." in name
        or any(not part or part.startswith(".") or part.endswith((".lock", ".")) for part in parts)
    )
    if bad:
        raise UsageError(f"{printable(repr(name), limit=100)} is no {what}", hint="a branch, without refs/heads/")
    return name


def text(value: str, what: str, most: int, *, lines: bool = False, empty: bool = False) -> str:
    """A title or a body.  Controls are refused, for GitHub would store them and somebody's terminal would obey."""
    if not isinstance(value, str) or (not empty and not value.strip()):
        raise UsageError(f"a {what} is missing")
    if len(value) > most:
        raise UsageError(f"the {what} has {len(value):,} characters", hint=f"GitHub takes {most:,}")
    allowed = "\n\t\r" if lines else ""
    bad = next(
        (
            char
            for char in value
            if (ord(char) < 32 or 0x7F <= ord(char) < 0xA0 or 0xD800 <= ord(char) < 0xE000) and char not in allowed
        ),
        "",
    )
    if bad:
        raise UsageError(f"the {what} holds the character U+{ord(bad):04X}", hint="text, not control characters")
    return value


def workflow(name: str) -> str:
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.ya?ml", name):
        raise UsageError(f"{printable(repr(name), limit=80)} is no workflow", hint="the name of a file in .github/workflows")
    return name


def inputs(given: Mapping[str, str]) -> dict[str, str]:
    """A workflow's inputs: GitHub takes 25, of 65,535 characters together."""
    if len(given) > _MOST_INPUTS:
        raise UsageError(f"{len(given)} inputs for a workflow", hint=f"GitHub takes {_MOST_INPUTS}")
    for name, value in given.items():
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]{0,99}", name):
            raise UsageError(f"{printable(repr(name), limit=80)} is no name of an input")
        text(value, f"input {name}", MOST_BODY, empty=True)
    if sum(len(name) + len(value) for name, value in given.items()) > MOST_BODY:
        raise UsageError("the inputs are too long together", hint=f"GitHub takes {MOST_BODY:,} characters")
    return dict(sorted(given.items()))


def created(value: str) -> str:
    """When runs were made: GitHub's search syntax for dates."""
    if value and not re.fullmatch(r"(?:[<>]=?)?[0-9T:Z+.*-]{1,60}", value):
        raise UsageError(f"{printable(repr(value), limit=60)} is no time", hint=">=2026-01-31T12:00:00Z, for example")
    return value


def label_names(names: Iterable[str]) -> list[str]:
    """Labels.  A comma would make two of one."""
    listed = list(names)
    for name in listed:
        text(name, "label", 50)
        if "," in name:
            raise UsageError(f"{printable(repr(name), limit=80)} is no label", hint="without a comma")
    return listed


def url(value: str) -> str:
    """An address that others may be sent to; "" is none."""
    if value and not re.fullmatch(r"https://[A-Za-z0-9.-]+(?::\d{1,5})?(?:/[A-Za-z0-9._~:/?&=%+-]*)?", value[:2000]):
        raise UsageError(f"{printable(repr(value), limit=80)} is no address", hint="https://...")
    return value[:2000]
