"""A line as its reader sees it: spellings undone, invisible characters taken out, with the place of every character.

A name can be written so that no pattern finds it and every reader does: with a colour in its middle (ECMA-48), with characters of
no width, overstruck, as JSON (RFC 8259), in percent signs (RFC 3986), as character references of HTML, in full-width letters.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator

__all__ = ["ESCAPES", "joined", "key_lines", "readings"]

#: CSI, OSC and the other strings with their terminators, and the short sequences (ECMA-48).
ESCAPES = (
    r"(?:\x1b\[|\x9b)[0-?]{0,64}[ -/]{0,8}[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]{0,4096}(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]{0,4}[0-~]?"
)
_SPELT = re.compile(
    rf"(?P<escape>{ESCAPES})"
    r"|(?P<struck>[^\x08]\x08)"
    r"|(?P<control>[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f])"
    r"|(?P<slashes>(?:\\\\)+)"
    r"|\\(?:u\{?(?P<u>[0-9A-Fa-f]{4,6})\}?|U(?P<wide>[0-9A-Fa-f]{8})|x(?P<x>[0-9A-Fa-f]{2})|(?P<plain>[/\"'_.:@=~\-])|(?P<blank>[nrt]))"
    r"|(?P<percent>(?:%[0-9A-Fa-f]{2})+)"
    r"|(?P<reference>&(?:#\d{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z]{2,31});)"
    r"|(?P<other>[^\x00-\x7f])"
)
#: Whatever is spelt in some way holds one of these.
_SIGNS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\U0010ffff\\%&]")
_DEEPEST = 3  # a log in JSON in a query is spelt three times


def _undone(hit: re.Match[str]) -> str:
    kind, text = str(hit.lastgroup), hit[0]
    if kind in ("u", "wide", "x"):
        number = int(hit[kind], 16)
        return "\ufffd" if number >= 0x110000 or 0xD800 <= number < 0xE000 else chr(number)
    if kind == "slashes":
        return text[: len(text) // 2]
    if kind == "plain":
        return hit["plain"]
    if kind == "blank":
        return "\t" if hit["blank"] == "t" else "\n"
    if kind == "percent":
        return bytes.fromhex(text.replace("%", "")).decode("utf-8", "replace")
    if kind == "reference":
        return html.unescape(text)
    if kind == "other":
        if unicodedata.category(text) in ("Cf", "Cs"):
            return ""
        same = unicodedata.normalize("NFKC", text)
        return same if same.isascii() else text
    return " " if text == "\r" else ""  # what was overwritten is still in the file


def readings(line: str) -> Iterator[tuple[str, list[int], list[int]]]:
    """Every other reading of a line, the deepest first: its text, and where each character of it begins and ends in the line."""
    found: list[tuple[str, list[int], list[int]]] = []
    text, begins, ends = line, list[int](), list[int]()
    for _ in range(_DEEPEST):
        if _SIGNS.search(text) is None:
            break
        parts: list[str] = []
        first: list[int] = []
        last: list[int] = []
        at = 0
        for hit in _SPELT.finditer(text):
            read = _undone(hit)
            if read == hit[0]:
                continue
            one, two = hit.span()
            parts += (text[at:one], read)
            first += begins[at:one] if begins else range(at, one)
            last += ends[at:one] if ends else range(at + 1, one + 1)
            first += [begins[one] if begins else one] * len(read)
            last += [ends[two - 1] if ends else two] * len(read)
            at = two
        if not parts:
            break
        parts.append(text[at:])
        first += begins[at:] if begins else range(at, len(text))
        last += ends[at:] if ends else range(at + 1, len(text) + 1)
        text, begins, ends = "".join(parts), first, last
        found.append((text, begins, ends))
    yield from reversed(found)


# -- over the ends of lines ----------------------------------------------------------------------------------------------------

_CONTINUED = re.compile(r"(?<!\\)\\\s{0,4}\Z")
_TO_COME = re.compile(r"(?:[:=]|=>)\s{0,4}(?:[|>][+\-]?\d?)?\s{0,4}\Z")
#: A word that begins as tokens begin, at a line's end.
_CUT = re.compile(
    r"(?<![A-Za-z0-9_])(?:gh[pousr]_|github_pat_|gl[a-z]{2,4}-|sk-|A[KS]IA|hf_|xox[a-z]-|npm_|pypi-|eyJ|AIza|nvapi-|ya29\.|hvs\.|dapi|wandb_v1_)"
    r"[A-Za-z0-9_\-.]{0,400}\Z"
)
_TOKEN = 24  # as long as this, it may be all of it
_WIDTH = 60  # a line that was wrapped is at least as wide
_GOES_ON = re.compile(r"[A-Za-z0-9_\-.]{2,400}")


def joined(line: str, after: str) -> tuple[str, int, int, int] | None:
    """What goes on in the next line: a backslash at the end, a name whose value is to come, a token that was wrapped.

    Returns:
        The text of both, the column of the line where it begins, where in the text the next line begins, and from which of its
        columns on; None where nothing goes on.
    """
    end = line[-420:]
    if (hit := _CONTINUED.search(end)) is not None:
        one = line[: len(line) - len(hit[0])]
        two = after.lstrip() if one[-1:].isspace() or after[:1].isspace() else after
        text = f"{one.rstrip()} " if two != after or one[-1:].isspace() else one
        return text + two, 0, len(text), len(after) - len(two)
    if (hit := _TO_COME.search(end)) is not None and after.strip():
        text = f"{line[: len(line) - len(hit[0])]}: "
        two = after.lstrip()
        return text + two, 0, len(text), len(after) - len(two)
    if (hit := _CUT.search(end)) is not None and (more := _GOES_ON.match(after)) is not None:
        wide = len(line) >= _WIDTH and more[0] == after.rstrip("\r\"',;")
        if (len(hit[0]) < _TOKEN or wide) and re.search(r"\d|[a-z][A-Z]", more[0]):
            return hit[0] + more[0], len(line) - len(hit[0]), len(hit[0]), 0
    return None


_BODY = re.compile(r"[A-Za-z0-9+/=]{24,}|(?:Proc-Type|DEK-Info|Comment|Version|Hash):.*")
_LAST = re.compile(r"(?<![^\s\"'|>])[A-Za-z0-9+/=]{1,23}(?:\\n)?[\"',]{0,3}\s{0,9}\Z")
_MOST_KEY = 400  # lines


def key_lines(lines: list[str], at: int) -> int:
    """How many lines after `at`, where a private key begins, belong to it."""
    begin = lines[at].rfind("-----BEGIN ")
    if begin < 0 or "-----END " in lines[at][begin:]:
        return 0
    body, most = False, min(len(lines), at + _MOST_KEY)
    for number in range(at + 1, most):
        if "-----END " in lines[number]:
            return number - at
        if _BODY.search(lines[number]) is not None:
            body = True
        elif lines[number].strip() and not (body and _LAST.search(lines[number])):
            return number - at - 1
    return most - at - 1
