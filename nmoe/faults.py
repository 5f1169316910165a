"""Why a program of the trainer ends early, and with which exit status.  Whatever is not listed here is a defect."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = [
    "CheckpointError", "ConfigError", "DataError", "Fault", "FrozenError", "HeapError", "LostRank", "NotFinite", "Refused", "say",
]  # fmt: skip


class Fault(Exception):
    """Something went wrong that may go wrong.  The message is one line, with its place; a ConfigError has a line a fault."""

    status = 2


class ConfigError(Fault):
    """A configuration is wrong.  `faults` holds every reason, each with its place."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


class Refused(Fault):
    """What was asked for cannot be run here; said before any memory is taken."""


class DataError(Fault):
    """A data folder cannot be read."""


class CheckpointError(Fault):
    """A checkpoint cannot be used, or cannot be written."""


class FrozenError(Fault):
    """A folder of frozen experts does not fit the run."""


class NotFinite(Fault):
    """The loss or the gradient is NaN or infinite; nothing was updated with it."""

    status = 1


class LostRank(Fault):
    """Another rank is gone, or did not answer within the time limit.  The message names it."""

    status = 3


class HeapError(Fault):
    """This machine cannot share memory between ranks in the way that is asked for."""

    status = 3


def say(error: Exception, speaks: bool = True) -> int:
    """Write the message to stderr, if this rank `speaks`; returns the exit status."""
    if speaks:
        sys.stderr.write("".join(f"nmoe: {line}\n" for line in str(error).splitlines()))
    return error.status if isinstance(error, Fault) else 2
