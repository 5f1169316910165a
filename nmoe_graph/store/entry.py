"""The form of every file of the store: one line of header, then the body.

    nmoe-graph-entry 1 KIND KEY LENGTH SHA256\\n
    BODY

SHA256 covers kind, key, length and body, so a flipped bit anywhere, a truncation, and a file under another's name are all
noticed.  A file is written beside its place, synced, renamed, and its folder synced: after a crash it is there whole or not
at all.  What cannot be verified is put aside and counts as absent.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

__all__ = ["open_entry", "quarantine", "read_entry", "write_entry"]

_MAGIC = b"nmoe-graph-entry 1"


def _seal(kind: str, key: str, body: bytes) -> str:
    whole = hashlib.sha256(f"{kind} {key} {len(body)}\n".encode())
    whole.update(body)
    return whole.hexdigest()


def write_entry(path: Path, kind: str, key: str, body: bytes) -> None:
    """Write an entry so that it is durable when this returns.

    Raises:
        OSError: the disk is full, read-only or broken; nothing of the entry is visible then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp"
    header = b"%s %s %s %d %s\n" % (_MAGIC, kind.encode(), key.encode(), len(body), _seal(kind, key, body).encode())
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            left = memoryview(header + body)
            while left:
                left = left[os.write(descriptor, left) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(temporary, path)
    except BaseException:
        try:
            os.unlink(temporary)
        except OSError:
            pass
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_entry(path: Path, kind: str, key: str | None = None, on_damage: Callable[[Path], None] | None = None) -> bytes | None:
    """The body of an entry, or None: absent, unreadable or damaged.  A damaged file is put aside, and `on_damage` hears of it.

    Without `key`, the one in the header is believed (and is covered by the seal).
    """
    try:
        data = path.read_bytes()
    except OSError:
        return None
    body = open_entry(data, kind, key)
    if body is None:
        quarantine(path)
        if on_damage is not None:
            on_damage(path)
    return body


def open_entry(data: bytes, kind: str, key: str | None = None) -> bytes | None:
    """The body of an entry's bytes, or None where they are damaged or another's."""
    head, newline, body = data.partition(b"\n")
    fields = head.split(b" ")
    if newline and len(fields) == 6 and b" ".join(fields[:2]) == _MAGIC:
        try:
            said_kind, said_key = fields[2].decode("ascii"), fields[3].decode("ascii")
        except UnicodeDecodeError:
            said_kind = said_key = ""
        whole = fields[4] == b"%d" % len(body) and fields[5].decode("latin-1") == _seal(said_kind, said_key, body)
        if whole and said_kind == kind and key in (None, said_key):
            return body
    return None


def quarantine(path: Path) -> None:
    """Put a damaged file aside, for people to look at; a disk that refuses is left as it is."""
    root = next((folder for folder in path.parents if folder.name == "nmoe-graph"), path.parent)
    try:
        aside = root / "quarantine"
        aside.mkdir(exist_ok=True)
        os.rename(path, aside / f"{path.name}.{os.urandom(4).hex()}")
    except OSError:
        pass
