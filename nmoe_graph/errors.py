"""Everything that nmoe-graph says when it cannot go on.

    NmoeGraphError            exit code
    ├── DeclarationError      2   a file that someone wrote is wrong; carries every fault found
    ├── UsageError            2   a label, a flag or a value on the command line is wrong
    ├── SnapshotError         2   a commit, a ref or a tree cannot be read; says what to fetch
    └── HostError             3   this machine or a remote lacks something that was asked for

A fault has a place, a fact and a hint.  `render_fault` is the one form in which people see it; `Fault.to_dict` the one for
programs.  Untrusted text reaches both through `printable`, so that no control byte, no bidirectional override and no workflow
command gets to a terminal or a CI log.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

__all__ = [
    "DeclarationError",
    "Fault",
    "HostError",
    "Location",
    "NmoeGraphError",
    "SnapshotError",
    "UsageError",
    "counted",
    "did_you_mean",
    "printable",
    "render_fault",
    "render_faults",
]

#: More faults than this are counted, not printed: output stays below 64 KiB for any input.
MOST_FAULTS_SHOWN = 50
_MOST_CHARACTERS = 160


@dataclass(frozen=True, slots=True, order=True)
class Location:
    """A place in a file.  `line` and `column` count from 1; `width` is in characters."""

    file: str
    line: int = 0
    column: int = 0
    width: int = 1

    def __str__(self) -> str:
        if not self.line:
            return printable(self.file)
        return f"{printable(self.file)}:{self.line}:{self.column or 1}"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: where, what, and what to do about it."""

    what: str
    at: Location | None = None
    hint: str = ""
    source: str = ""  # the line of the file that `at` points into, if it may be shown
    level: str = "error"  # or "warning": said, but nothing is refused for it

    def to_dict(self) -> dict[str, object]:
        place = {"file": self.at.file, "line": self.at.line, "column": self.at.column} if self.at else None
        return {
            "level": self.level,
            "message": printable(_public(self.what), limit=2000),
            "at": place,
            "hint": printable(_public(self.hint), limit=2000),
        }


def _words(fault: Fault) -> str:
    """A fault in one line, as a traceback or a notebook ends with it."""
    return (f"{fault.at}: " if fault.at else "") + fault.what + (f" ({fault.hint})" if fault.hint else "")


class NmoeGraphError(Exception):
    """The root: every error that is ours, with the exit code that it stands for."""

    exit_code = 2

    def __init__(self, faults: Fault | str | Iterable[Fault], hint: str = "") -> None:
        if isinstance(faults, str):
            faults = Fault(faults, hint=hint)
        self.faults: tuple[Fault, ...] = (faults,) if isinstance(faults, Fault) else tuple(faults)
        super().__init__("; ".join(map(_words, self.faults[:5])))


class DeclarationError(NmoeGraphError):
    """A BUILD.toml, a gates.toml, a contract or an attestation is wrong.

    A fault may quote what it is about.  Where that must not be public, it is taken out here: this is the one door through which
    words of a declaration get into output.
    """

    def __init__(self, faults: Fault | str | Iterable[Fault], hint: str = "") -> None:
        from .safe import redact

        given = [Fault(faults, hint=hint)] if isinstance(faults, str) else [faults] if isinstance(faults, Fault) else faults
        super().__init__(replace(fault, what=redact(fault.what), hint=redact(fault.hint)) for fault in given)


class UsageError(NmoeGraphError):
    """The command line or an API call asks for something that cannot be."""


class SnapshotError(NmoeGraphError):
    """A commit, ref, tree or blob that is needed cannot be read."""


class HostError(NmoeGraphError):
    """The machine, its environment or a remote is not what the work needs."""

    exit_code = 3


def printable(text: str, limit: int = 0) -> str:
    """`text` with every byte that could move a cursor, reverse a line or command a CI runner spelt out as U+XXXX."""
    out = []
    for char in text if not limit or len(text) <= limit else text[:limit] + "…":
        # Cc controls, Cf format (zero width, bidi), Cs lone surrogates, Zl/Zp separators.
        bad = unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") and char != "\t"
        out.append(f"<U+{ord(char):04X}>" if bad else char)
    shown = "".join(out)
    if shown.startswith(("::", "##[")):
        shown = "\\" + shown
    return shown


def counted(number: int, noun: str) -> str:
    """A number of things, in words: 1 gate, 2 gates."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint that names the nearest known word, or the empty string."""
    import difflib

    folded = {name.casefold(): name for name in sorted(known)}
    near = difflib.get_close_matches(word.casefold()[:200], list(folded), n=1, cutoff=0.6)
    return f"did you mean {folded[near[0]]}?" if near else ""


def _public(text: str) -> str:
    """Words of a fault without what must not be public.  A path stays: whoever asked has to find the file."""
    from .safe import ALL_BUT_PATHS, redact

    return redact(text, kinds=ALL_BUT_PATHS)


def render_fault(fault: Fault) -> str:
    """Place, fact, source line with a caret, hint (without colours; `report.console` adds them)."""
    head = f"{fault.level}: {fault.at}: " if fault.at else f"{fault.level}: "
    lines = [head + printable(_public(fault.what), limit=600)]
    if fault.at and fault.at.line and fault.source:
        number, column = str(fault.at.line), max(fault.at.column, 1)
        if column <= _MOST_CHARACTERS:
            shown = printable(fault.source, limit=_MOST_CHARACTERS)
            before = len(printable(fault.source[: column - 1]).lstrip("\\")) if column > 1 else 0
            width = max(1, min(fault.at.width, len(shown) - before))
            lines.append(f"  {number} | {shown}")
            lines.append(f"  {' ' * len(number)} | {' ' * before}{'^' * width}")
    if fault.hint:
        lines.append(f"hint: {printable(_public(fault.hint), limit=600)}")
    return "\n".join(lines)


def render_faults(faults: Sequence[Fault]) -> str:
    """All faults in the order of their places; a long list is cut and counted."""
    shown = [render_fault(fault) for fault in faults[:MOST_FAULTS_SHOWN]]
    if len(faults) > MOST_FAULTS_SHOWN:
        shown.append(f"... and {len(faults) - MOST_FAULTS_SHOWN} more")
    return "\n".join(shown)
