"""What a build says as it goes: a live table on a terminal, a line an event in a log.  Always on stderr."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TextIO

from ..answers import GateOutcome
from ..errors import printable
from .console import coloured, short

__all__ = ["LinesProgress", "LiveProgress", "progress"]


class LinesProgress:
    """A line an event."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        with self._lock:
            self._stream.write(printable(text) + "\n")
            self._stream.flush()

    def started(self, label: str) -> None:
        self.say(f"running {short(label)}")

    def waiting(self, label: str) -> None:
        self.say(f"waiting for {short(label)}, which another build is proving")

    def finished(self, outcome: GateOutcome) -> None:
        if outcome.attempts and not outcome.cached:
            self.say(f"{outcome.verdict.value} {short(outcome.label)} in {outcome.duration_s:.1f} s")

    def warn(self, text: str) -> None:
        self.say(f"warning: {text}")


class LiveProgress(LinesProgress):
    """The gates that run now, with their time; what has ended scrolls away above them."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        from rich.console import Console
        from rich.live import Live

        self._running: dict[str, tuple[str, float]] = {}
        self._console = Console(file=stream, highlight=False, emoji=False)
        self.live = Live(console=self._console, get_renderable=self._table, refresh_per_second=8, transient=True)

    def _table(self) -> Any:
        from rich.spinner import Spinner
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        for label, (state, since) in sorted(dict(self._running).items()):
            table.add_row(Spinner("dots"), Text(short(label)), Text(f"{state} {time.monotonic() - since:.0f} s"))
        return table

    def say(self, text: str) -> None:
        from rich.text import Text

        # As Text: square brackets of an untrusted name are no markup.
        self._console.print(Text(printable(text)))

    def started(self, label: str) -> None:
        self._running[label] = ("running", time.monotonic())

    def waiting(self, label: str) -> None:
        self._running[label] = ("waiting for another build", time.monotonic())

    def finished(self, outcome: GateOutcome) -> None:
        self._running.pop(outcome.label, None)
        super().finished(outcome)


@contextmanager
def _live(stream: TextIO) -> Iterator[LinesProgress]:
    reporter = LiveProgress(stream)
    with reporter.live:
        yield reporter


@contextmanager
def _lines(stream: TextIO) -> Iterator[LinesProgress]:
    yield LinesProgress(stream)


def progress(stream: TextIO | None = None) -> AbstractContextManager[LinesProgress]:
    """The reporter that suits a stream (default: stderr)."""
    stream = stream or sys.stderr
    return _live(stream) if coloured(stream) else _lines(stream)
