"""What this machine has dispatched, so that being killed in between dispatches nothing twice.

A row is written before GitHub is asked, and again once the run is known: one that says `asked` and names no run is looked for
by its name among GitHub's runs before anything else is done.
"""

from __future__ import annotations

import json
import os
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import HostError
from ..locks import held

__all__ = ["Journal", "Row"]


@dataclass(frozen=True, slots=True)
class Row:
    """One dispatch: when it was asked for (UTC, as GitHub writes times), and its run, once that is known."""

    asked: str
    run: int | None = None


class Journal:
    """A file a dispatch, in the folder that all worktrees share."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def alone(self, stem: str) -> AbstractContextManager[None]:
        """No other process of this machine dispatches the same work meanwhile; the kernel ends it with the process.

        Raises:
            HostError: the folder cannot be written.
        """
        return held(self._folder / f"{stem}.lock", "the journal of dispatches cannot be kept")

    def read(self, name: str) -> Row | None:
        """The row of a dispatch; None where there is none that can be read."""
        try:
            said: Any = json.loads((self._folder / f"{name}.json").read_text("utf-8"))
            return Row(str(said["asked"]), int(said["run"]) if said["run"] is not None else None)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, name: str, row: Row) -> None:
        """Keep a row; it is on the disk when this returns.

        Raises:
            HostError: the disk refused, and nothing must be dispatched.
        """
        path = self._folder / f"{name}.json"
        scratch = path.with_suffix(f".{os.getpid()}")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with open(scratch, "w", encoding="utf-8") as handle:
                json.dump({"asked": row.asked, "run": row.run}, handle)
                handle.flush()
                os.fsync(handle.fileno())
            os.replace(scratch, path)
        except OSError as error:
            raise HostError(f"the journal of dispatches cannot be written: {error.strerror}") from None
