"""Run one command under the supervisor and hear what came of it; the log is drained, bounded, and never blocks."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import HostError

__all__ = ["Ended", "run_command"]

_MOST_LOG = 8 * 1024 * 1024
_SUPERVISOR = Path(__file__).with_name("supervisor.py")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended.  Only `exit_code == 0` without `timed_out` and `stopped` is a success."""

    exit_code: int | None
    signal: int | None
    timed_out: bool
    stopped: bool
    duration_s: float
    left_behind: int  # processes that were still there when the command had ended
    log: bytes
    lost: bool = False  # the supervisor itself was killed: nothing is known


class _Log:
    """The head and the tail of what was printed."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0

    def add(self, data: bytes) -> None:
        room = _MOST_LOG // 2 - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data
        if len(self._tail) > _MOST_LOG:
            cut = len(self._tail) - _MOST_LOG // 2
            self._dropped += cut
            del self._tail[:cut]

    def bytes(self) -> bytes:
        gap = b"\n[%d bytes left out]\n" % self._dropped if self._dropped else b""
        return bytes(self._head) + gap + bytes(self._tail)


def run_command(
    command: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    timeout_s: float,
    cancelled: threading.Event | None = None,
    grace_s: float = 2.0,
    stray: str = "",
) -> Ended:
    """Run a command to its end, its limit or a cancellation; no process of it is left when this returns.

    `stray` is a NAME=value of `env` that no other process has: where the command kills its own supervisor, what is left of it
    is found by that.

    Raises:
        HostError: it could not be started at all.
    """
    status_read, status_write = os.pipe()
    log = _Log()
    argv = [sys.executable, "-I", "-S", str(_SUPERVISOR), str(timeout_s), str(grace_s), str(status_write), "--", *command]
    try:
        process = subprocess.Popen(
            argv,
            cwd=cwd,
            env={**env, "NMOE_GRAPH_PARENT": str(os.getpid())},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(status_write,),
            start_new_session=True,
        )
    except OSError as error:
        os.close(status_read)
        raise HostError(f"cannot start the gate: {error.strerror}") from None
    finally:
        os.close(status_write)
    assert process.stdout is not None
    output = process.stdout.fileno()
    os.set_blocking(output, False)
    status = b""
    sources = {output, status_read}
    asked = False
    # The supervisor keeps the time.  One that is stopped, by the gate that it watches, is told to go on.
    overdue = time.monotonic() + timeout_s + grace_s + 5
    try:
        while status_read in sources:
            ready, _, _ = select.select(list(sources), [], [], 0.1)
            for source in ready:
                data = os.read(source, 65536)
                if source == output:
                    log.add(data)
                else:
                    status += data
                if not data:
                    sources.discard(source)
            if not asked and cancelled is not None and cancelled.is_set():
                process.send_signal(signal.SIGTERM)
                process.send_signal(signal.SIGCONT)
                asked = True
            if time.monotonic() > overdue:
                process.send_signal(signal.SIGCONT)
                overdue += 5
        # All writers are gone, or belong to nobody; what is in the pipe is read, and no more is waited for.
        until = time.monotonic() + 1.0
        while output in sources and time.monotonic() < until:
            ready, _, _ = select.select([output], [], [], 0.05)
            if not ready and process.poll() is not None:
                break
            data = os.read(output, 65536) if ready else b"?"
            if ready:
                log.add(data)
            if not data:
                break
    except BaseException:
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(grace_s + 5)
        except subprocess.TimeoutExpired:
            process.kill()
        raise
    finally:
        os.close(status_read)
        process.stdout.close()
    process.wait()
    try:
        report = json.loads(status)
    except ValueError:
        if stray:
            _end_strays(os.fsencode(stray))
        return Ended(None, None, False, False, 0.0, 0, log.bytes(), lost=True)
    return Ended(
        report["exit"],
        report["signal"],
        report["timed_out"],
        report["stopped"],
        report["duration"],
        report["left_behind"],
        log.bytes(),
    )


def _end_strays(entry: bytes) -> None:
    """Kill every process that has an entry in its environment, until there is none."""
    for _ in range(200):
        found = False
        for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
            try:
                if name.isdigit() and entry in Path("/proc", name, "environ").read_bytes().split(b"\0"):
                    os.kill(int(name), signal.SIGKILL)
                    found = True
            except OSError:
                continue  # gone, or somebody else's
        if not found:
            return
        time.sleep(0.01)
