"""A lock between processes that the kernel gives back when its holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from .errors import HostError

__all__ = ["held"]


@contextlib.contextmanager
def held(path: Path, what: str, busy: str = "") -> Iterator[None]:
    """Hold the lock of a file, which is made if need be; wait for it, or where `busy` says in words what is under way, do not.

    Raises:
        HostError: the file cannot be made (`what` begins the message), or somebody holds the lock and `busy` is given.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise HostError(f"{what}: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
    except BlockingIOError:
        os.close(descriptor)
        raise HostError(busy, hint="wait for it to end") from None
    except OSError as error:
        os.close(descriptor)
        raise HostError(f"{what}: {error.strerror}") from None
    try:
        yield
    finally:
        os.close(descriptor)
