"""What a gate expects its run to leave, beyond an exit status of 0: samples, read after the run and never before it.

The keys of `expects`, flat as `load` hands them on:

    metrics           a file of JSON lines that the run must write, below its folder or below a variable whose folder it may write
    log.PATTERN       words with one {metric} in them, looked for in every line of the log
    samples.METRIC    so many samples at least
    finite.METRIC     at least one sample, and none that is infinite or no number
    warmup            so many first samples of each metric do not count

A file that was there before the run, or that the change brought along, is no evidence of the run.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import counted
from ..metrics import LogPattern, Samples, read_jsonl, read_log
from ..model import Job

__all__ = ["Evidence"]

_MOST_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Before:
    """What stood in the file before the run."""

    size: int
    digest: str


class Evidence:
    """Made before the run, asked after it."""

    def __init__(self, job: Job, root: Path, env: Mapping[str, str]) -> None:
        declared = dict(job.expects)
        self._patterns = [LogPattern.parse(key.removeprefix("log.")) for key in declared if key.startswith("log.")]
        self._least = {key.removeprefix("samples."): count for key, count in declared.items() if key.startswith("samples.")}
        self._finite = [key.removeprefix("finite.") for key in declared if key.startswith("finite.")]
        warmup = declared.get("warmup", 0)
        self._warmup = warmup if isinstance(warmup, int) else 0
        self._named = str(declared.get("metrics", ""))
        self._path: Path | None = None
        self._brought = False
        if self._named:
            variable, brace, rest = self._named.removeprefix("${").partition("}/")
            inside = not (brace and self._named.startswith("${"))
            self._path = root / self._named if inside else Path(root, env.get(variable, "")) / rest
            self._brought = any(root / file.path == self._path for file in job.files)
        self._before = self._look()

    def _read(self) -> bytes | str:
        """The bytes of the file, or why there are none."""
        assert self._path is not None
        try:
            # Opened before it is looked at, and never waited for: the command may have left a pipe, or put a link there.
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    return f"{self._named} is no regular file"
                with open(descriptor, "rb", closefd=False) as handle:
                    data = handle.read(_MOST_BYTES + 1)
            finally:
                os.close(descriptor)
        except OSError as error:
            return f"{self._named} cannot be read: {error.strerror}"
        return data if len(data) <= _MOST_BYTES else f"{self._named} is too large: the limit is {_MOST_BYTES} bytes"

    def _look(self) -> _Before | None:
        data = self._read() if self._path is not None else b""
        return _Before(len(data), hashlib.sha256(data).hexdigest()) if isinstance(data, bytes) else None

    def judge(self, log: bytes) -> tuple[dict[str, tuple[float, ...]], str]:
        """The samples that count, and what is missing; "" where nothing is."""
        if self._brought:
            return {}, f"{self._named} came with the change, so what it holds is no evidence of this run"
        try:
            samples = read_log(log, self._patterns) if self._path is None else self._from_file()
        except ValueError as error:
            return {}, f"{self._named}: {error}"
        if isinstance(samples, str):
            return {}, samples
        found = {name: listed[self._warmup :] for name, listed in samples.sound().items() if len(listed) > self._warmup}
        why = {one.metric: f"line {one.line} {one.why}" for one in reversed(samples.refused)}
        for metric, least in sorted(self._least.items()):
            have = len(found.get(metric, ()))
            if not isinstance(least, int) or have < least:
                return found, f"{counted(have, 'sample')} of {metric}, and {least} are expected{_because(why, metric)}"
        for metric in sorted(self._finite):
            if metric not in found:
                return found, f"no finite samples of {metric}{_because(why, metric)}"
        return found, ""

    def _from_file(self) -> Samples | str:
        data = self._read()
        if isinstance(data, str):
            return data
        if self._before is not None:
            old = self._before
            if len(data) >= old.size and hashlib.sha256(data[: old.size]).hexdigest() == old.digest:
                data = data[old.size :]  # the run went on where an earlier one ended
        if not data.strip():
            return f"{self._named} holds nothing that this run wrote"
        return read_jsonl(data)


def _because(why: Mapping[str, str], metric: str) -> str:
    return f" ({why[metric]})" if metric in why else ""
