"""Text of strangers in a comment or a check run on GitHub: shown to the letter, and never markup.

A span is an HTML `code` element in which every character that could mean something is a numeric reference: no Markdown construct
can begin in it, GitHub links neither mentions nor issue numbers nor addresses inside `code`, a table's cell ends only where we
end it, and what is copied to a CI log holds no workflow command.  A block is a fence longer than any run of backticks inside.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from .errors import UsageError
from .excerpt import excerpt, fenced, one_line

__all__ = ["MOST_CHARACTERS", "Markdown", "block", "code", "document", "link", "table"]

#: GitHub takes 65,536 of a comment and 65,535 of a check run's summary.
MOST_CHARACTERS = 65_535
_MOST_BLOCK = 20_000
#: ASCII that means nothing in Markdown, in HTML, to GitHub's links or to a runner, wherever it stands inside a line.
_INERT = re.compile(r"[^A-Za-z0-9 ,/=%;\x80-\U0010ffff]")
_URL = re.compile(r"https://[A-Za-z0-9.-]+(?::\d{1,5})?(?:/[A-Za-z0-9._~/?&=%+-]*)?")


class Markdown(str):
    """Markup of our own; every other text is a stranger's."""

    __slots__ = ()


def code(text: str, limit: int = 300) -> Markdown:
    """One line of a stranger's text, for a sentence or a cell; at most `limit` characters of it are shown."""
    shown = one_line(text, limit=limit)
    return Markdown(f"<code>{_INERT.sub(_reference, shown)}</code>")


def _reference(hit: re.Match[str]) -> str:
    return f"&#{ord(hit[0])};"


def link(text: str, url: str) -> Markdown:
    """A stranger's text that leads to an address; the text alone where the address is not a plain https one."""
    return Markdown(f"[{code(text)}]({url})") if _URL.fullmatch(url) else code(text)


def block(text: str | bytes, most: int = _MOST_BLOCK) -> Markdown:
    """Lines of a stranger's text, head and tail of at most `most` characters."""
    data = text if isinstance(text, bytes) else text.encode("utf-8", "replace")
    shown = excerpt(data, most)
    return Markdown("\n" + fenced(shown if len(shown) <= 2 * most else shown[:most]) + "\n")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Markdown:
    """A table; a cell is a stranger's text unless it is `Markdown`.  `head` is ours.

    Raises:
        UsageError: a row has another number of cells than the head.
    """
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for row in rows:
        if len(row) != len(head):
            raise UsageError(f"a row has {len(row)} cells, the table {len(head)}")
        lines.append("| " + " | ".join(cell if isinstance(cell, Markdown) else code(cell) for cell in row) + " |")
    return Markdown("\n" + "\n".join(lines) + "\n")


def document(parts: Iterable[str], most: int = MOST_CHARACTERS) -> Markdown:
    """Parts, a blank line apart, as many of them as fit: a part is there as a whole or not at all, and what is missing is counted.

    The parts are ours or `Markdown`; they are not escaped again.
    """
    listed = [part.strip("\n") for part in parts]
    joined = "\n\n".join(listed) + "\n"
    if len(joined) <= most:
        return Markdown(joined)
    room = most - 80
    kept: list[str] = []
    for part in listed:
        if len(part) + 2 <= room:
            kept.append(part)
            room -= len(part) + 2
    return Markdown("\n\n".join([*kept, f"({len(listed) - len(kept)} parts left out: there is no room for them here)"]) + "\n")
