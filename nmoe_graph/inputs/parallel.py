"""Many Python files read on all cores: facts and meanings, in the order in which they were asked for.

Each worker is a bare interpreter (no site, no user settings) that is sent sources and answers with rows.  Where no worker can
be started, or one fails, its share is read here: the answer is the same, only later.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from ..errors import SnapshotError
from ..git.objects import Objects
from .imports import facts_and_meaning

__all__ = ["read_all", "serve"]

_FEW = 400  # a worker's start costs as much as this many files
_CHUNK = 200
_START = "import sys; sys.path.insert(0, sys.argv[1]); from nmoe_graph.inputs.parallel import serve; serve()"


def _row(source: bytes) -> list[object]:
    facts, meant = facts_and_meaning(source)
    return [list(map(list, facts)), meant or ""]


def _send(stream: IO[bytes], parts: Sequence[bytes]) -> None:
    head = json.dumps([len(part) for part in parts]).encode()
    stream.write(b"%d\n" % len(head) + head + b"".join(parts))
    stream.flush()


def _receive(stream: IO[bytes]) -> list[bytes] | None:
    line = stream.readline()
    if not line:
        return None
    return [stream.read(length) for length in json.loads(stream.read(int(line)))]


def serve() -> None:
    """A worker: batches of sources on standard input, batches of rows on standard output."""
    gc.disable()  # syntax trees have no cycles, and a worker does not live long
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while (batch := _receive(source)) is not None:
        _send(sink, [json.dumps(_row(one)).encode("utf-8", "surrogatepass") for one in batch])


def _start() -> subprocess.Popen[bytes] | None:
    home = str(Path(__file__).resolve().parents[2])
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _START, home],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        return None


def _ask(worker: subprocess.Popen[bytes], batch: list[bytes]) -> list[object] | None:
    try:
        assert worker.stdin is not None
        assert worker.stdout is not None
        _send(worker.stdin, batch)
        answer = _receive(worker.stdout)
        return [json.loads(part) for part in answer] if answer and len(answer) == len(batch) else None
    except (OSError, ValueError):
        return None


def read_all(objects: Objects, blobs: Sequence[str], cores: int | None = None) -> Iterator[tuple[str, object]]:
    """(blob, row) for every blob that is here, in order."""
    cores = min(cores or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, 16)
    batches = [blobs[start : start + _CHUNK] for start in range(0, len(blobs), _CHUNK)]
    rows: dict[int, list[object]] = {}
    pending = iter(range(len(batches)))
    lock, reading = threading.Lock(), threading.Lock()

    def sources(number: int) -> list[bytes]:
        with reading:  # the object store is no friend of threads
            found = []
            for blob in batches[number]:
                try:
                    found.append(objects.blob(blob))
                except SnapshotError:
                    found.append(b"\0")  # says so again when somebody really needs it
            return found

    def attend() -> None:
        worker = _start()
        while True:
            with lock:
                number = next(pending, None)
            if number is None:
                break
            batch = sources(number)
            answer = _ask(worker, batch) if worker else None
            if answer is None:
                if worker:
                    worker.kill()
                worker = None
                answer = [_row(one) for one in batch]
            rows[number] = answer
        if worker:
            worker.communicate()

    count = min(cores, (len(blobs) + _FEW - 1) // _FEW)
    if count <= 1:
        for number in range(len(batches)):
            rows[number] = [_row(one) for one in sources(number)]
    else:
        threads = [threading.Thread(target=attend) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for number, batch_of in enumerate(batches):
        yield from zip(batch_of, rows.pop(number), strict=True)
