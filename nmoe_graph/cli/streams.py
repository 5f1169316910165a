"""The streams of the process: a file or stdin read whole, and output that always finds a way."""

from __future__ import annotations

import io
import os
import sys

from ..errors import UsageError, printable

__all__ = ["can_ask", "mute_stdout", "prepare", "read_file"]


def prepare() -> None:
    """Closed outputs lead nowhere, and what an encoding cannot say is spelt out: no answer ends in an error of Python's."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started us: `>&-`
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - for the life of the process
        elif isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="backslashreplace")


def mute_stdout() -> None:
    """What is still in stdout's buffer goes nowhere: its reader has gone, or its disk is full."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        pass  # no stream of the system's


def can_ask() -> bool:
    """Whether somebody sits there who can be asked."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def read_file(path: str, most: int) -> bytes:
    """A file, or stdin for `-`; one byte more than `most` if there is more.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        if path != "-":
            with open(path, "rb") as handle:
                return handle.read(most + 1)
        if sys.stdin is None:
            raise UsageError(
                "stdin is closed, and nothing can be read from it", hint="name a file, or hand the text in with < or |"
            )
        if sys.stdin.isatty():
            sys.stderr.write("reading from the terminal; Ctrl-D ends it\n")
            sys.stderr.flush()
        return sys.stdin.buffer.read(most + 1)
    except OSError as error:
        raise UsageError(f"{printable(path, limit=200)} cannot be read: {error.strerror}") from None
