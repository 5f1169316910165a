"""What a piece of evidence comes to, line by line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ..errors import Fault, printable
from ..markup import table
from ..safe import redact

__all__ = ["VerifyLine", "VerifyReport"]

_MOST_LINES = 60


@dataclass(frozen=True)
class VerifyLine:
    """One thing that was looked at: it counts (True), it does not (False), or it is only worth knowing (None)."""

    ok: bool | None
    what: str
    at: str = ""

    @classmethod
    def refused(cls, fault: Fault) -> VerifyLine:
        """A fault of what was handed in: with its place, and with what to do about it."""
        return cls(False, f"{fault.what} ({fault.hint})" if fault.hint else fault.what, str(fault.at or ""))

    @property
    def level(self) -> str:
        return "note" if self.ok is None else "ok" if self.ok else "refused"


@dataclass(frozen=True)
class VerifyReport:
    """What a piece of evidence comes to.  It counts only where something is proven and nothing is refused."""

    file: str
    form: str
    lines: tuple[VerifyLine, ...]
    commit: str | None = None
    proven: tuple[str, ...] = ()

    @property
    def counts(self) -> bool:
        return bool(self.proven) and all(line.ok is not False for line in self.lines)

    @property
    def exit_code(self) -> int:
        return 0 if self.counts else 1

    def __iter__(self) -> Iterator[VerifyLine]:
        return iter(self.lines)

    @property
    def shown(self) -> tuple[VerifyLine, ...]:
        """The lines as they may be shown: nothing in them that must not be public, no control byte, and not without end.

        What is refused is never among the lines that are only counted.
        """
        kept = [
            replace(line, what=printable(redact(line.what), limit=600), at=printable(line.at, limit=200)) for line in self.lines
        ]
        if len(kept) <= _MOST_LINES:
            return tuple(kept)
        first = sorted(range(len(kept)), key=lambda at: (kept[at].ok is not False, at))[:_MOST_LINES]
        return (*(kept[at] for at in sorted(first)), VerifyLine(None, f"... and {len(kept) - _MOST_LINES} more lines"))

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": "nmoe-graph/verify@1",
            "file": printable(self.file),
            "form": self.form,
            "counts": self.counts,
            "commit": self.commit,
            "proven": list(self.proven),
            "lines": [{"level": line.level, "what": line.what, "at": line.at} for line in self.shown],
        }

    def _repr_html_(self) -> str:
        return table(["", "what"], [[line.level, line.what] for line in self.shown], f"{self.form} {printable(self.file)}")
