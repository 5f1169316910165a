"""Looking after the store: what is damaged is put aside, what is not worth its place is removed.

Nothing here decides what is proven: a store with less in it only makes gates run again.  So every step may be the last one
before a kill -9: a result goes before the logs and outputs that it names, and what then belongs to nobody goes next time.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ..result import Result
from .entry import open_entry, quarantine
from .local import Store, result_from_json

__all__ = ["Cleaning", "Damage", "Inspection", "clean", "inspect"]

_KEY = re.compile(r"[0-9a-f]{64}\Z")
#: What belongs to nobody stays this long: somebody may be about to name it.
_ORPHAN_S = 3600.0
_ORPHAN_IN_USE_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Damage:
    """A file that is not what it should be, and what is wrong with it."""

    path: str
    what: str


@dataclass(frozen=True)
class Inspection:
    """What a look at every file of the store found."""

    results: int
    blobs: int
    size: int
    damaged: tuple[Damage, ...]  # put aside, where the disk lets us
    incomplete: tuple[Damage, ...]  # results whose log or output is not here

    @property
    def exit_code(self) -> int:
        return 1 if self.damaged or self.incomplete else 0

    @property
    def all_aside(self) -> bool:
        """Whether every damaged file could be put aside."""
        return not any("could not be put aside" in one.what or one.what.startswith("cannot be listed") for one in self.damaged)


@dataclass(frozen=True)
class Cleaning:
    """What was removed, and what is left, in bytes."""

    removed: tuple[tuple[Result, int], ...]
    blobs: int
    freed: int
    left: int
    in_use: bool  # a build was running, so that only what no proof needs was looked at
    unlocked: bool  # locks cannot be had here: nobody knows whether one was, and nothing more was looked at either
    refused: tuple[Damage, ...]  # what the disk would not let go


@dataclass(frozen=True, slots=True)
class _Kept:
    path: Path
    result: Result
    size: int


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _files(base: Path, depth: int) -> Iterator[Path]:
    """The entries below a folder of the store; temporary files begin with a dot and are none."""
    for name in _names(base):
        path = base / name
        if depth and path.is_dir() and not path.is_symlink():
            yield from _files(path, depth - 1)
        elif not name.startswith("."):
            yield path


def _unlisted(root: Path) -> Iterator[tuple[Path, str]]:
    """Folders of the store that cannot be listed: what lies in them is unknown, and not nothing."""
    for base, depth in (("results", 2), ("blobs", 1)):
        pending = [(root / base, depth)]
        while pending:
            folder, left = pending.pop()
            try:
                names = sorted(os.listdir(folder))
            except FileNotFoundError:
                continue
            except OSError as error:
                yield folder, f"cannot be listed: {error.strerror}"
                continue
            if left:
                pending += [
                    (folder / name, left - 1) for name in names if (folder / name).is_dir() and not (folder / name).is_symlink()
                ]


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _read(path: Path) -> tuple[bytes | None, str]:
    """The bytes of a file, or why there are none.  A file that is gone is nobody's fault: others clean too."""
    try:
        if path.is_symlink() or not path.is_file():
            return None, "is no file"
        return path.read_bytes(), ""
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        return None, f"cannot be read: {error.strerror}"


def _result(path: Path, data: bytes) -> Result | None:
    key = path.parent.name
    body = open_entry(data, "result", key) if _KEY.match(key) else None
    try:
        result = result_from_json(json.loads(body)) if body is not None else None
    except (ValueError, RecursionError):
        return None
    return result if result is not None and result.action_key == key else None


def inspect(store: Store) -> Inspection:
    """Read every file of the store; what is damaged is put aside."""
    damaged: list[Damage] = []
    found: list[_Kept] = []
    blobs: set[str] = set()
    size = 0

    def aside(path: Path, what: str) -> None:
        quarantine(path)
        where = "" if not path.exists() else ", and could not be put aside"
        damaged.append(Damage(str(path.relative_to(store.root)), what + where))

    damaged += [Damage(str(path.relative_to(store.root)), what) for path, what in _unlisted(store.root)]
    for path in _files(store.root / "blobs", 1):
        data, why = _read(path)
        if data is None:
            if why:
                aside(path, why)
            continue
        body = open_entry(data, "blob", path.name) if _KEY.match(path.name) else None
        if body is None or hashlib.sha256(body).hexdigest() != path.name:
            aside(path, "is damaged")
            continue
        blobs.add(path.name)
        size += len(data)
    for path in _files(store.root / "results", 2):
        data, why = _read(path)
        if data is None:
            if why:
                aside(path, why)
            continue
        result = _result(path, data)
        if result is None:
            aside(path, "is damaged")
            continue
        found.append(_Kept(path, result, len(data)))
        size += len(data)
    incomplete = []
    for one in found:
        gone = [what for digest, what in _needs(one.result) if digest not in blobs and store.blob(digest) is None]
        if gone:
            incomplete.append(Damage(str(one.path.relative_to(store.root)), f"{', '.join(gone)} is not here"))
    return Inspection(len(found), len(blobs), size, tuple(damaged), tuple(incomplete))


def _needs(result: Result) -> list[tuple[str, str]]:
    """The blobs that a result names, and what each is."""
    log = [(result.log_digest, "its log")] if result.log_digest else []
    return [*log, *((output.digest, f"its output {output.path}") for output in result.outputs)]


def clean(
    store: Store,
    *,
    most_bytes: int | None = None,
    most_age_s: float | None = None,
    anchored: Collection[str] = (),
    now: float | None = None,
    wait_s: float = 5.0,
) -> Cleaning:
    """Remove what is older than `most_age_s`, then the oldest until all fits into `most_bytes`.

    The newest proof of a key and the results at `anchored` commits do not age, and go only where nothing else is left to make
    room, the anchored ones last.  While a build runs, whatever proves anything stays, and so does every file that a build could be
    about to name: then less is removed than was asked for.
    """
    with store.unused(wait_s) as unused:
        cleaner = _Cleaner(store, frozenset(anchored), time.time() if now is None else now, unused is True)
        done = cleaner.run(most_bytes, most_age_s)
        return replace(done, in_use=unused is False, unlocked=unused is None)


class _Cleaner:
    def __init__(self, store: Store, anchored: frozenset[str], now: float, unused: bool) -> None:
        self._store, self._anchored, self._now, self._unused = store, anchored, now, unused
        self._kept: dict[Path, _Kept] = {}
        self._blob_sizes: dict[str, int] = {}
        self._users: dict[str, int] = {}
        self._removed: list[tuple[Result, int]] = []
        self._blobs = self._freed = 0
        self._refused: list[Damage] = []

    def run(self, most_bytes: int | None, most_age_s: float | None) -> Cleaning:
        self._look()
        ranked = sorted(self._kept.values(), key=self._rank)
        if most_age_s is not None:
            limit = self._now - most_age_s
            for one in ranked:
                if self._rank(one)[0] == 0 and _began(one) < limit:
                    self._remove(one)
            self._remove_aside(limit)
        self._remove_orphans()
        if most_bytes is not None:
            for one in ranked:
                if self._total() <= most_bytes:
                    break
                if one.path in self._kept:
                    self._remove(one)
        return Cleaning(tuple(self._removed), self._blobs, self._freed, self._total(), False, False, tuple(self._refused))

    def _look(self) -> None:
        for path in _files(self._store.root / "results", 2):
            data, _ = _read(path)
            result = _result(path, data) if data is not None else None
            if result is not None and data is not None:
                self._kept[path] = _Kept(path, result, len(data))
                for digest, _ in _needs(result):
                    self._users[digest] = self._users.get(digest, 0) + 1
        for path in _files(self._store.root / "blobs", 1):
            if _KEY.match(path.name):
                self._blob_sizes[path.name] = _size(path)
        newest: dict[str, _Kept] = {}
        for one in self._kept.values():
            last = newest.get(one.result.action_key)
            if one.result.verdict.proves(accept_flaky=True) and (last is None or _order(last) < _order(one)):
                newest[one.result.action_key] = one
        self._newest = {one.path for one in newest.values()}

    def _rank(self, one: _Kept) -> tuple[int, float, str]:
        """What goes first: by worth, then by age."""
        worth = 2 if one.result.commit in self._anchored else 1 if one.path in self._newest else 0
        return worth, _began(one), str(one.path)

    def _total(self) -> int:
        return sum(one.size for one in self._kept.values()) + sum(self._blob_sizes.values())

    def _unlink(self, path: Path) -> bool:
        try:
            os.unlink(path)
        except FileNotFoundError:
            return True
        except OSError as error:
            self._refused.append(Damage(str(path.relative_to(self._store.root)), error.strerror or "cannot be removed"))
            return False
        return True

    def _remove(self, one: _Kept) -> None:
        if not self._unused and one.result.verdict.proves(accept_flaky=True):
            return
        if not self._unlink(one.path):
            return
        del self._kept[one.path]
        freed = one.size
        for digest, _ in _needs(one.result):
            self._users[digest] -= 1
            if not self._users[digest] and (self._unused or self._aged(digest, _ORPHAN_IN_USE_S)):
                freed += self._remove_blob(digest)
        self._freed += freed
        self._removed.append((one.result, freed))

    def _remove_blob(self, digest: str) -> int:
        size = self._blob_sizes.get(digest)
        if size is None or not self._unlink(self._store.root / "blobs" / digest[:2] / digest):
            return 0
        del self._blob_sizes[digest]
        self._blobs += 1
        return size

    def _aged(self, digest: str, seconds: float) -> bool:
        try:
            return (self._store.root / "blobs" / digest[:2] / digest).stat().st_mtime < self._now - seconds
        except OSError:
            return False

    def _remove_orphans(self) -> None:
        """Blobs that no result names, and temporary files of processes that were killed."""
        grace = _ORPHAN_S if self._unused else _ORPHAN_IN_USE_S
        for digest in sorted(self._blob_sizes):
            if not self._users.get(digest) and self._aged(digest, grace):
                self._freed += self._remove_blob(digest)
        for base, depth in (("results", 2), ("blobs", 1)):
            for path in _temporary(self._store.root / base, depth):
                self._remove_old(path, self._now - grace)

    def _remove_aside(self, limit: float) -> None:
        for name in _names(self._store.root / "quarantine"):
            self._remove_old(self._store.root / "quarantine" / name, limit)

    def _remove_old(self, path: Path, limit: float) -> None:
        try:
            info = path.lstat()
        except OSError:
            return
        if info.st_mtime < limit and self._unlink(path):
            self._freed += info.st_size


def _began(one: _Kept) -> float:
    """When a run began, in seconds since 1970; a time that cannot be read is as old as can be."""
    from datetime import UTC, datetime

    try:
        return datetime.fromisoformat(one.result.started).astimezone(UTC).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0


def _order(one: _Kept) -> tuple[float, str]:
    return _began(one), one.path.name


def _temporary(base: Path, depth: int) -> Iterator[Path]:
    for name in _names(base):
        path = base / name
        if name.startswith(".") and name.endswith(".tmp"):
            yield path
        elif depth and path.is_dir() and not path.is_symlink():
            yield from _temporary(path, depth - 1)
