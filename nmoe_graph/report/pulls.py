"""Pull requests as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import printable
from ..safe import redact
from .console import columns

if TYPE_CHECKING:
    from ..pulls.desk import PullMade
    from ..pulls.verdict import PullReport

__all__ = ["made_text", "pull_text"]


def made_text(made: PullMade) -> str:
    if made.what == "refused":
        count = len(made.unproven)
        word = "opened" if not made.number else "updated"
        return f"{made.contract}  not {word}: {count} {'reason' if count == 1 else 'reasons'}"
    return f"{made.contract}  #{made.number} {made.what} at {made.commit[:12]}  {printable(made.url, limit=200)}"


def pull_text(report: PullReport) -> str:
    """A line a thing that was looked at, then what it comes to."""
    lines = [f"#{report.number}  {printable(redact(report.title), limit=120)}"]
    lines.append(columns([[line.level, (f"{line.at}: " if line.at else "") + line.what] for line in report.shown]))
    word = "counts" if report.counts else "does not count"
    lines.append(f"{word}, at {report.head[:12]} onto {report.base[:12]}")
    return "\n".join(lines)
