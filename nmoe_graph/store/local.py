"""The local store: results, logs and outputs of one repository, shared by all its worktrees.

results/K1/KEY/STAMP-RAND    one file a run, never overwritten
blobs/D1/DIGEST              logs and outputs, by SHA-256
locks/                       advisory locks; only to avoid double work, never for correctness
quarantine/                  what could not be verified
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import math
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..errors import UsageError, printable
from ..result import Output, Result, Verdict
from .entry import read_entry, write_entry

__all__ = ["Shared", "Store", "result_from_json", "result_to_json"]

_KEY = re.compile(r"[0-9a-f]{64}\Z")


def result_to_json(result: Result) -> dict[str, Any]:
    """A result as JSON-ready data.

    Raises:
        ValueError: a metric sample is negative, infinite or not a number.
    """
    for name, samples in result.metrics.items():
        if not all(isinstance(sample, (int, float)) and math.isfinite(sample) and sample >= 0 for sample in samples):
            raise ValueError(f"metric {name} has a sample that is negative or no finite number")
    return {
        "action_key": result.action_key,
        "label": result.label,
        "verdict": result.verdict.value,
        "reason": result.reason,
        "exit_code": result.exit_code,
        "signal": result.signal,
        "started": result.started,
        "duration_s": result.duration_s,
        "attempts": result.attempts,
        "commit": result.commit,
        "tree": result.tree,
        "means": result.means,
        "fingerprint": [list(pair) for pair in result.fingerprint],
        "log_digest": result.log_digest,
        "log_bytes": result.log_bytes,
        "outputs": [[output.path, output.mode, output.digest] for output in result.outputs],
        "metrics": {name: list(samples) for name, samples in result.metrics.items()},
    }


def result_from_json(data: Any) -> Result | None:
    """The result behind JSON data, or None where it is none."""
    try:
        return Result(
            **{
                **data,
                "verdict": Verdict(data["verdict"]),
                "fingerprint": tuple((str(one), str(two)) for one, two in data["fingerprint"]),
                "outputs": tuple(Output(*row) for row in data["outputs"]),
                "metrics": {name: tuple(samples) for name, samples in data["metrics"].items()},
            }
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


#: What others have proven under an action key within a time limit, as far as it counts here.
Shared = Callable[[str, int, bool], list[Result]]


class Store:
    """Results by action key, by commit, by label.  No method raises for what a disk does."""

    def __init__(self, root: Path, shared: Shared | None = None) -> None:
        self.root = root
        self.damaged: dict[str, None] = {}  # the files found damaged since this was opened, relative to the root
        self._shared = shared

    def _found_damaged(self, path: Path) -> None:
        self.damaged[path.relative_to(self.root).as_posix()] = None

    def damage(self) -> list[str]:
        """What was found damaged since this was opened, in words."""
        return [f"{name} in the store is damaged and counts for nothing" for name in self.damaged]

    # -- blobs -----------------------------------------------------------------------------------------------------------------

    def _blob_path(self, digest: str) -> Path:
        return self.root / "blobs" / digest[:2] / digest

    def put_blob(self, data: bytes) -> str:
        """Keep bytes and return their SHA-256.

        Raises:
            OSError: they could not be kept.
        """
        digest = hashlib.sha256(data).hexdigest()
        if self.blob(digest) is None:
            write_entry(self._blob_path(digest), "blob", digest, data)
        else:
            with contextlib.suppress(OSError):
                os.utime(self._blob_path(digest))  # wanted again: old enough to be cleaned away is counted from now
        return digest

    def blob(self, digest: str) -> bytes | None:
        """The bytes of a digest, verified; None where they are not here or damaged."""
        if not _KEY.match(digest):
            return None
        data = read_entry(self._blob_path(digest), "blob", digest, self._found_damaged)
        return data if data is not None and hashlib.sha256(data).hexdigest() == digest else None

    # -- results ---------------------------------------------------------------------------------------------------------------

    def record(self, result: Result, log: bytes, warn: Callable[[str], None] | None = None) -> Result:
        """Keep a result and its log.  Where the disk refuses, the result is returned all the same and only not kept."""
        try:
            kept = Result(**{**_fields(result), "log_digest": self.put_blob(log), "log_bytes": len(log)})
            body = json.dumps(result_to_json(kept), sort_keys=True).encode()
            stamp = f"{re.sub(r'[^0-9]', '', kept.started)[:14] or '0'}-{os.urandom(6).hex()}"
            write_entry(self.root / "results" / kept.action_key[:2] / kept.action_key / stamp, "result", kept.action_key, body)
        except OSError as error:
            if warn is not None:
                warn(f"the result could not be stored ({error.strerror}); the gate will run again")
            return result
        return kept

    def _read(self, folder: Path, key: str) -> list[Result]:
        try:
            names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
        except OSError:
            return []
        found = []
        for name in names:
            body = read_entry(folder / name, "result", key, self._found_damaged)
            if body is None:
                continue
            try:
                result = result_from_json(json.loads(body))
            except (ValueError, RecursionError):
                result = None
            if result is not None and result.action_key == key:
                found.append(result)
        return sorted(found, key=lambda result: (result.started, result.verdict.value, result.log_digest))

    def results(self, action_key: str) -> list[Result]:
        """Every stored run of an action, the oldest first."""
        return self._read(self.root / "results" / action_key[:2] / action_key, action_key) if _KEY.match(action_key) else []

    def proof(self, action_key: str, *, timeout_s: int, accept_flaky: bool = False) -> Result | None:
        """What proves the action: a run on this machine, or else what others proved, if the ledger and its policy say so."""
        own = self.own_proof(action_key, timeout_s=timeout_s, accept_flaky=accept_flaky)
        if own is not None or self._shared is None:
            return own
        return next(iter(self._shared(action_key, timeout_s, accept_flaky)), None)

    def proofs(self, action_key: str, *, timeout_s: int, accept_flaky: bool = False) -> list[Result]:
        """Every run that proves the action, whatever it took here, and what others proved, each once."""
        found = [one for one in self.results(action_key) if one.verdict.proves(accept_flaky)]
        known = {(one.started, one.log_digest) for one in found}
        for one in self._shared(action_key, timeout_s, accept_flaky) if self._shared is not None else ():
            if (one.started, one.log_digest) not in known:
                found.append(one)
                known.add((one.started, one.log_digest))
        return found

    def own_proof(self, action_key: str, *, timeout_s: int, accept_flaky: bool = False) -> Result | None:
        """The oldest run here that proves the action: it passed, within the present limit, and its outputs are intact."""
        for result in self.results(action_key):
            if not result.verdict.proves(accept_flaky) or result.duration_s > timeout_s:
                continue
            if all(self.blob(output.digest) is not None for output in result.outputs):
                return result
        return None

    def all(self) -> list[Result]:
        """Every stored run, by label, then time."""
        found: list[Result] = []
        base = self.root / "results"
        for group in _listing(base):
            for key in _listing(base / group):
                if _KEY.match(key):
                    found += self._read(base / group / key, key)
        return sorted(found, key=lambda result: (result.label, result.started, result.action_key))

    def by_label(self, label: str) -> list[Result]:
        return [result for result in self.all() if result.label == label]

    def by_commit(self, prefix: str) -> list[Result]:
        """The runs at a commit, or else at a tree, or else of an action key, given whole or by a prefix that is unique.

        Raises:
            UsageError: no such name, or an ambiguous one.
        """
        word, prefix = prefix, prefix.lower()
        if not re.fullmatch(r"[0-9a-f]{4,64}", prefix):
            raise UsageError(
                f"{printable(word, limit=60)} is neither a label nor a commit",
                hint="a label, a ref, or at least 4 digits of a commit, a tree or an action key",
            )
        listed = self.all()
        for attribute in ("commit", "tree", "action_key"):
            found = [result for result in listed if (getattr(result, attribute) or "").startswith(prefix)]
            names = sorted({str(getattr(result, attribute)) for result in found})
            if len(names) > 1:
                raise UsageError(f"{prefix} is ambiguous: {', '.join(name[:12] for name in names[:5])}", hint="give more digits")
            if found:
                return found
        return []

    # -- use -------------------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """While this is held, nothing that a proof needs is cleaned away.  Where locks cannot be had, it holds nothing."""
        descriptors = self._use_files()
        try:
            for descriptor in descriptors:
                with contextlib.suppress(OSError):
                    fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    @contextlib.contextmanager
    def unused(self, wait_s: float) -> Iterator[bool | None]:
        """True while nobody uses the store and nobody can begin to; False where somebody still does after `wait_s`; None where
        locks cannot be had, so that nobody knows."""
        descriptors = self._use_files()
        held = 0
        busy = False
        try:
            until = time.monotonic() + wait_s
            for descriptor in descriptors:
                while not busy:
                    try:
                        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        held += 1
                        break
                    except BlockingIOError:
                        busy = time.monotonic() >= until
                        time.sleep(0.05)
                    except OSError:
                        break  # no such lock on this kind of disk
            yield False if busy else True if held else None
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _use_files(self) -> list[int]:
        """What a lock on the store's use can be held on: a file, and the folder itself, for a full disk takes no new file."""
        found = [self._lock_file("in-use")]
        with contextlib.suppress(OSError):
            found.append(os.open(self.root, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY))
        return [one for one in found if one is not None]

    def log(self, result: Result) -> bytes | None:
        """The log of a result, verified; None where it is gone."""
        return self.blob(result.log_digest) if result.log_digest else None

    # -- locks -----------------------------------------------------------------------------------------------------------------

    def _lock_file(self, name: str) -> int | None:
        try:
            folder = self.root / "locks"
            folder.mkdir(parents=True, exist_ok=True)
            return os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError:
            pass
        try:
            return os.open(self.root / "locks" / name, os.O_RDONLY | os.O_CLOEXEC)  # of a read-only disk
        except OSError:
            return None

    @contextlib.contextmanager
    def lock(
        self, action_key: str, waiting: Callable[[], None] | None = None, cancelled: Callable[[], bool] | None = None
    ) -> Iterator[bool]:
        """Hold the lock of an action, so that two builds run it once.  Yields False where locks cannot be had."""
        descriptor = self._lock_file(action_key)
        if descriptor is None:
            yield False
            return
        try:
            told = False
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if not told and waiting is not None:
                        waiting()
                    told = True
                    if cancelled is not None and cancelled():
                        break
                    time.sleep(0.05)
                except OSError:
                    break
            yield True
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def gpu_slots(
        self, count: int, gpus: tuple[str, ...], cancelled: Callable[[], bool] | None = None
    ) -> Iterator[tuple[str, ...]]:
        """Hold `count` of this machine's GPUs, across processes; the kernel gives them back when a process dies."""
        held: list[tuple[str, int]] = []
        try:
            while len(held) < count and not (cancelled is not None and cancelled()):
                for gpu in gpus:
                    if len(held) == count or any(gpu == one for one, _ in held):
                        continue
                    descriptor = self._lock_file(f"gpu-{gpu}")
                    if descriptor is None:
                        held.append((gpu, -1))
                        continue
                    try:
                        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        held.append((gpu, descriptor))
                    except OSError:
                        os.close(descriptor)
                if len(held) < count:
                    # All or nothing: two builds that each hold half would wait for ever.
                    for _, descriptor in held:
                        if descriptor >= 0:
                            os.close(descriptor)
                    held = []
                    time.sleep(0.1 + os.urandom(1)[0] / 2560)
            yield tuple(gpu for gpu, _ in held)
        finally:
            for _, descriptor in held:
                if descriptor >= 0:
                    os.close(descriptor)


def _fields(result: Result) -> dict[str, Any]:
    return {name: getattr(result, name) for name in result.__slots__}


def _listing(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
