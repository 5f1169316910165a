"""Secrets of the report, lent for as long as a call needs them: neither on a command line nor left in a file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["git_credentials", "key_file"]


@contextmanager
def key_file(text: str) -> Iterator[Path]:
    """The text of a key as a file that nobody else can read, for as long as it is needed."""
    with tempfile.TemporaryDirectory(prefix="nmoe-graph-key-") as folder:
        path = Path(folder) / "key"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as handle:
            handle.write(text.strip() + "\n")
        yield path


@contextmanager
def git_credentials(token: str) -> Iterator[None]:
    """Let git's https speak with a token, which stands in no file and on no command line."""
    if not token:
        yield
        return
    before = {name: os.environ.get(name) for name in ("GIT_ASKPASS", "NMOE_GRAPH_GIT_TOKEN")}
    with tempfile.TemporaryDirectory(prefix="nmoe-graph-askpass-") as folder:
        program = Path(folder) / "askpass"
        program.write_text('#!/bin/sh\ncase "$1" in Username*) echo x-access-token ;; *) printenv NMOE_GRAPH_GIT_TOKEN ;; esac\n')
        program.chmod(0o700)
        os.environ |= {"GIT_ASKPASS": str(program), "NMOE_GRAPH_GIT_TOKEN": token}
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name, None) if value is None else os.environ.update({name: value})
