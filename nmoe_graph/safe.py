"""Public safety: what must not leave the house in a contract, an attestation, a note, a log excerpt or an error.

    findings(text)   what is in it, with its place and at most four characters of it
    redact(text)     the text without it

The rules stand in `saferules`; each is compiled when the first line comes along that it might say something about, so a start
that says nothing pays nothing.  `excerpt` is the way of a stranger's text to a sink.
"""

from __future__ import annotations

import bisect
import functools
import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .seen import joined, key_lines, readings

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
_OVERLAP = 4_000  # as long as a private key

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


class _Allowed:
    """The spans of a line that the allow list names, as whole words; `*` at the end lets the rest of the word follow."""

    def __init__(self, line: str, allow: Sequence[str]) -> None:
        spans = []
        for entry in allow:
            words, rest = (entry[:-1], r"[^\s'\"]{0,400}") if entry.endswith("*") else (entry, r"(?![\w\-])")
            spans += [hit.span() for hit in re.finditer(rf"(?<![\w\-]){re.escape(words)}{rest}", line)]
        spans.sort()
        self._begins = [begin for begin, _ in spans]
        self._ends = list(itertools.accumulate((end for _, end in spans), max))  # the farthest of all that begin so far

    def __contains__(self, span: tuple[int, int]) -> bool:
        at = bisect.bisect_right(self._begins, span[0])
        return at > 0 and self._ends[at - 1] >= span[1]


def _holds(folded: str, words: Sequence[str]) -> bool:
    for word in words:  # noqa: SIM110 - this is asked more often than anything else, and any() costs twice as much
        if word in folded:
            return True
    return False


def _hits(text: str, live: Sequence[Rule]) -> Iterator[tuple[Rule, int, int, str]]:
    """What the rules find in one reading of a line, a rule after the other."""
    for start in range(0, len(text), _MOST_LINE):
        piece = text[start : start + _MOST_LINE + _OVERLAP]
        folded = piece.lower()
        for rule in live:
            if rule.only and not _holds(folded, rule.only):
                continue
            for hit in _compiled(rule.pattern).finditer(piece):
                if rule.alike is None or not rule.alike(piece, hit):
                    yield rule, hit.start() + start, hit.end() + start, hit[0][:4]


class _Line:
    """What was found in one line, and where: two of `given` may overlap, all others lie side by side."""

    def __init__(self, number: int, given: list[Finding]) -> None:
        self.number, self.clean = number, not given
        self._given = given
        self._columns: list[int] = []
        self._rows: list[tuple[int, Finding]] = []  # by column, each with its turn
        self._turn = 0

    def give(self, one: Finding) -> None:
        """Found together with another line, before anything is looked for."""
        self._given.append(one)
        self.clean = False

    @property
    def found(self) -> list[Finding]:
        return [*self._given, *(one for _, one in sorted(self._rows, key=lambda row: row[0]))]

    def look(self, text: str, live: Sequence[Rule], allow: Sequence[str], begins: Sequence[int], ends: Sequence[int]) -> None:
        """One reading: what lies under an earlier finding is part of it, and what an earlier reading saw half of is seen whole."""
        allowed = _Allowed(text, allow)
        earlier = self._turn
        for rule, start, stop, shown in _hits(text, live):
            if stop <= start:
                continue
            one, two = begins[start] + 1, ends[stop - 1] + 1
            first = bisect.bisect_left(self._columns, one)
            first -= first > 0 and self._rows[first - 1][1].end > one
            last = bisect.bisect_left(self._columns, two)
            given = [was for was in self._given if one < was.end and two > was.column]
            rows = sorted(self._rows[first:last], key=lambda row: row[0])
            over = [*given, *(was for _, was in rows)]
            known = bool(given) or (bool(rows) and rows[0][0] < earlier)
            if over and not (
                known and one <= over[0].column and two >= over[-1].end and (one, two) != (over[0].column, over[-1].end)
            ):
                continue
            self.clean = False
            if rule.kind != "credential" and (start, stop) in allowed:
                continue
            kind, name = (over[0].kind, over[0].rule) if over else (rule.kind, rule.name)
            self._given = [was for was in self._given if was not in given] if given else self._given
            self._columns[first:last] = [one]
            self._rows[first:last] = [(self._turn, Finding(self.number, one, two, kind, name, shown))]
            self._turn += 1


def findings(text: str, allow: Sequence[str] = ()) -> tuple[Finding, ...]:
    """Everything in a text that must not be public, in order; overlapping hits count once, credentials first.

    A line is looked at as it stands and in every other reading (`seen`); a private key is all of its lines, and what goes on in
    the next line is found in both.  `allow` are words that may be public here, as `[public] allow` of BUILD.toml says; no word
    makes a credential public.
    """
    found: list[Finding] = []
    live = _live(text)
    lines = text.split("\n")
    ahead: list[Finding] = []  # of the next line, found in this one
    key = 0
    for at, line in enumerate(lines):
        here = _Line(at + 1, ahead)
        ahead = []
        if key:
            key -= 1
            if line.strip():
                found.append(Finding(at + 1, 1, len(line) + 1, "credential", "private key", line[:4]))
            continue
        if at + 1 < len(lines) and (both := joined(line, lines[at + 1])) is not None:
            for one in _over(both, line, lines[at + 1], at + 1, allow):
                if one.line == at + 1:
                    here.give(one)
                else:
                    ahead.append(one)
        if not line.strip() or (here.clean and line in _clean):
            continue
        for reading, begins, ends in readings(line):
            here.look(reading, _rules(), allow, begins, ends)
        here.look(line, live, allow, range(len(line)), range(1, len(line) + 1))
        found += here.found
        if here.clean and len(line) <= _MOST_REMEMBERED:
            if len(_clean) >= _MOST_CLEAN:
                _clean.clear()
            _clean.add(line)
        if any(one.rule == "private key" for one in here.found):
            key = key_lines(lines, at)
    return tuple(sorted(found, key=lambda one: (one.line, one.column)))


def _over(both: tuple[str, int, int, int], line: str, after: str, number: int, allow: Sequence[str]) -> Iterator[Finding]:
    """What begins in a line and ends in the next one, as a finding in each."""
    text, begin, seam, indent = both
    for reading, begins, ends in (*readings(text), (text, range(len(text)), range(1, len(text) + 1))):
        for rule, start, stop, shown in _hits(reading, _rules()):
            one, two = begins[start], ends[stop - 1]
            if one < seam < two and (
                rule.kind == "credential" or (line.rstrip()[-1:] == "\\" and not any(word in text for word in allow))
            ):
                yield Finding(number, begin + one + 1, len(line) + 1, rule.kind, rule.name, shown)
                yield Finding(
                    number + 1, 1, min(two - seam + indent, len(after)) + 1, rule.kind, rule.name, after[indent : indent + 4]
                )
                return


def _without(line: str, found: Iterable[Finding]) -> str:
    """A line with the kinds of its findings, given by column, in their stead; what begins under another is gone with it."""
    parts, at = [], 0
    for one in found:
        if one.column > at:
            parts += [line[at : one.column - 1], f"[{one.kind} removed]"]
        at = max(at, one.end - 1)
    return "".join([*parts, line[at:]])


def redact(text: str, allow: Sequence[str] = (), kinds: Collection[str] = KINDS) -> str:
    """The text with every finding replaced by its kind; what lay under another finding goes in a further pass."""
    for _ in range(8):
        found = [one for one in findings(text, allow) if one.kind in kinds]
        if not found:
            break
        lines = text.split("\n")
        for number, listed in itertools.groupby(found, key=lambda one: one.line):
            lines[number - 1] = _without(lines[number - 1], listed)
        text = "\n".join(lines)
    return text
