"""Public safety: what must not leave the house in a contract, an attestation, a note, a log excerpt or an error.

    findings(text)   what is in it, with its place and at most four characters of it
    redact(text)     the text without it

The rules stand in `saferules`; each is compiled when the first line comes along that it might say something about, so a start
that says nothing pays nothing.  `excerpt` is the way of a stranger's text to a sink.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .saferules import Rule

__all__ = ["ALL_BUT_PATHS", "KINDS", "Finding", "findings", "redact"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that must not be public.  Columns count from 1; `shown` is at most four characters of it."""

    line: int
    column: int
    end: int
    kind: str  # host, ip, path, cluster, credential
    rule: str
    shown: str

    def words(self) -> str:
        """The finding without the secret."""
        return f"{_NAMES[self.kind]} ({self.rule}), begins {self.shown!r}"

    def to_dict(self) -> dict[str, object]:
        return {
            "line": self.line,
            "column": self.column,
            "end": self.end,
            "kind": self.kind,
            "rule": self.rule,
            "begins": self.shown,
        }


KINDS = ("host", "ip", "path", "cluster", "credential")
#: For words that send somebody to a file.
ALL_BUT_PATHS = ("host", "ip", "cluster", "credential")
_NAMES = {
    "host": "an internal host name",
    "ip": "an internal IP address",
    "path": "an internal path",
    "cluster": "a cluster identifier",
    "credential": "a credential (secret)",
}
_MOST_LINE = 20_000  # a longer line is read in pieces that overlap
_OVERLAP = 500

#: Short lines in which no rule finds anything: contracts and logs say the same things again and again.
_clean: set[str] = set()
_MOST_CLEAN, _MOST_REMEMBERED = 10_000, 200


@functools.cache
def _rules() -> tuple[Rule, ...]:
    from .saferules import RULES

    return RULES


@functools.cache
def _words() -> frozenset[str]:
    return frozenset(word for rule in _rules() for word in rule.only)


def _live(text: str) -> tuple[Rule, ...]:
    """The rules that can say anything about a text: those without words of their own, and those of which it holds one."""
    folded = text.lower()
    present = {word for word in _words() if word in folded}
    return tuple(rule for rule in _rules() if not rule.only or not present.isdisjoint(rule.only))


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _allowed(line: str, allow: Sequence[str]) -> list[tuple[int, int]]:
    """The spans of a line that the allow list names, as whole words; `*` at the end lets the rest of the word follow."""
    spans = []
    for entry in allow:
        words, rest = (entry[:-1], r"[^\s'\"]{0,400}") if entry.endswith("*") else (entry, r"(?![\w\-])")
        spans += [hit.span() for hit in re.finditer(rf"(?<![\w\-]){re.escape(words)}{rest}", line)]
    return spans


def _holds(folded: str, words: Sequence[str]) -> bool:
    for word in words:  # noqa: SIM110 - this is asked more often than anything else, and any() costs twice as much
        if word in folded:
            return True
    return False


def findings(text: str, allow: Sequence[str] = ()) -> tuple[Finding, ...]:
    """Everything in a text that must not be public, in order; overlapping hits count once, credentials first.

    `allow` are words that may be public here, as `[public] allow` of BUILD.toml says; no word makes a credential public.
    """
    found: list[Finding] = []
    live = _live(text)
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line in _clean:
            continue
        clean = True
        taken: list[tuple[int, int]] = []
        spans = _allowed(line, allow) if allow else ()
        for start in range(0, len(line), _MOST_LINE):
            piece = line[start : start + _MOST_LINE + _OVERLAP]
            folded = piece.lower()
            for kind, rule, pattern, only, alike in live:
                if only and not _holds(folded, only):
                    continue
                for hit in _compiled(pattern).finditer(piece):
                    one, two = hit.start() + start, hit.end() + start
                    if any(one < end and two > begin for begin, end in taken) or (alike is not None and alike(piece, hit)):
                        continue
                    clean = False
                    if kind != "credential" and any(begin <= one and two <= end for begin, end in spans):
                        continue
                    taken.append((one, two))
                    found.append(Finding(number, one + 1, two + 1, kind, rule, hit[0][:4]))
        if clean and len(line) <= _MOST_REMEMBERED:
            if len(_clean) >= _MOST_CLEAN:
                _clean.clear()
            _clean.add(line)
    return tuple(sorted(found, key=lambda one: (one.line, one.column)))


def redact(text: str, allow: Sequence[str] = (), kinds: Collection[str] = KINDS) -> str:
    """The text with every finding replaced by its kind; what lay under another finding goes in a further pass."""
    for _ in range(8):
        found = [one for one in findings(text, allow) if one.kind in kinds]
        if not found:
            break
        lines = text.split("\n")
        for one in reversed(found):
            line = lines[one.line - 1]
            lines[one.line - 1] = f"{line[: one.column - 1]}[{one.kind} removed]{line[one.end - 1 :]}"
        text = "\n".join(lines)
    return text
