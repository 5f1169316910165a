"""What a stranger's text becomes when it is shown: the one way of a log, a reason or a note to a person.

In this order, for an escape in the middle of a name hides the name from whoever looks for it: escape sequences and invisible
characters go, what must not be public goes, control characters and workflow commands are spelt out, and what is too long is cut
and counted.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from .errors import printable
from .safe import redact
from .seen import ESCAPES

__all__ = ["excerpt", "fenced", "one_line", "plain"]

_ESCAPES = re.compile(ESCAPES)
_MOST_LINE = 2_000
#: Of a longer log, this much of either end is looked at; far less is shown.
_MOST_BYTES = 1 << 17


def plain(text: str) -> str:
    """The text as a screen would hold it at the end: no escape sequences, nothing invisible, nothing overwritten."""
    text = _ESCAPES.sub("", text.replace("\r\n", "\n"))
    if "\r" in text:
        text = "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    if "\b" in text:
        text = re.sub("[^\b\n]\b", "", text)
    if text.isascii():
        return text
    return "".join(char for char in text if unicodedata.category(char) not in ("Cf", "Cs"))


def excerpt(data: bytes, most: int = 0, allow: Sequence[str] = ()) -> str:
    """A log for people, at most about `most` characters of it (0: all): its head and its tail, in lines of a bearable length."""
    if most and len(data) > 2 * _MOST_BYTES:
        data = data[:_MOST_BYTES] + b"\n[%d bytes left out]\n" % (len(data) - 2 * _MOST_BYTES) + data[-_MOST_BYTES:]
    lines = [_line(line) for line in redact(plain(data.decode("utf-8", "replace")), allow).split("\n")]
    if not most or sum(map(len, lines)) + len(lines) <= most:
        return "\n".join(lines)
    head, used = 0, 0
    while head < len(lines) and used + len(lines[head]) + 1 <= most // 3:
        used += len(lines[head]) + 1
        head += 1
    tail = len(lines)
    while tail > head and used + len(lines[tail - 1]) + 1 <= most:
        tail -= 1
        used += len(lines[tail]) + 1
    return "\n".join([*lines[:head], f"[{tail - head} lines left out]", *lines[tail:]])


def _line(line: str) -> str:
    if len(line) > _MOST_LINE:
        line = f"{line[: _MOST_LINE // 2]} [{len(line) - _MOST_LINE} characters left out] {line[-_MOST_LINE // 2 :]}"
    return printable(line)


def one_line(text: str, limit: int = 300, allow: Sequence[str] = ()) -> str:
    """A stranger's words inside a line of ours: a reason, a name, the last line of a log."""
    words = " ".join(redact(plain(text), allow).split())
    return printable(words, limit=limit)


def fenced(text: str) -> str:
    """An excerpt as a block of Markdown that nothing inside can end."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text.rstrip(chr(10))}\n{fence}\n"
