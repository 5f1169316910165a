"""The parent of a gate's processes.  Run by its path, with nothing but the standard library; not imported.

    python -I -S supervisor.py TIMEOUT_S GRACE_S STATUS_FD -- COMMAND ARG...

It is a subreaper, so a process that forks twice and starts a session of its own still ends up as its child; and it is killed
with its parent, so a killed build leaves nothing behind.  When the command ends, at the limit, or on TERM, it ends every
descendant: TERM, a grace, KILL, until none is left.  One line of JSON on STATUS_FD says what happened.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def _prctl(option: int, value: int) -> bool:
    try:
        return bool(ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False


def _children(parent: int) -> list[int]:
    """Direct children of a process, from /proc."""
    found = []
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as handle:
                    fields = handle.read().rpartition(b")")[2].split()
                if int(fields[1]) == parent:
                    found.append(int(name))
            except (OSError, ValueError, IndexError):
                continue
    return found


def _descendants() -> list[int]:
    found: list[int] = []
    pending = [os.getpid()]
    while pending:
        for child in _children(pending.pop()):
            found.append(child)
            pending.append(child)
    return found


def _left_behind(child: int) -> int:
    """How many processes are still there although the command has ended; one that is about to end does not count."""
    for _ in range(20):
        _reap()
        found = [pid for pid in _descendants() if pid != child]
        if not found:
            return 0
        time.sleep(0.005)
    return len(found)


def _send(pids: list[int], number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except OSError:
            pass


def _reap() -> None:
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return
        except OSError:
            return


def _end_all(group: int, grace: float) -> None:
    """TERM, then KILL, until there is no descendant left."""
    try:
        os.killpg(group, signal.SIGTERM)
    except OSError:
        pass
    alive = _descendants()
    _send(alive, signal.SIGTERM)
    until = time.monotonic() + grace
    while alive and time.monotonic() < until:
        time.sleep(0.01)
        _reap()
        alive = _descendants()
    while alive:  # a process that forks while it dies is met again in the next round
        try:
            os.killpg(group, signal.SIGKILL)
        except OSError:
            pass
        _send(alive, signal.SIGKILL)
        time.sleep(0.005)
        _reap()
        alive = _descendants()


def main() -> None:
    timeout, grace, status_fd = float(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    command = sys.argv[5:]
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    stop = {"asked": False}

    def ask(*_: object) -> None:
        stop["asked"] = True

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, ask)
    if str(os.getppid()) != os.environ.get("NMOE_GRAPH_PARENT", str(os.getppid())):
        stop["asked"] = True  # the build died before we were ready
    os.environ.pop("NMOE_GRAPH_PARENT", None)
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
                signal.signal(number, signal.SIG_DFL)
            os.close(status_fd)
            os.execvpe(command[0], command, os.environ)
        except OSError as error:
            os.write(2, f"cannot start {command[0]}: {error.strerror}\n".encode())
        os._exit(127)
    status: int | None = None
    timed_out = False
    while status is None:
        try:
            pid, raw = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            pid, raw = child, 0x7F00
        if pid == child:
            status = raw
            break
        if pid == 0:
            if time.monotonic() - started > timeout:
                timed_out = True
                break
            if stop["asked"]:
                break
            time.sleep(0.004)
    duration = time.monotonic() - started
    left = _left_behind(child) if status is not None else 0
    _end_all(child, grace)
    report = {
        "exit": os.WEXITSTATUS(status) if status is not None and os.WIFEXITED(status) else None,
        "signal": os.WTERMSIG(status) if status is not None and os.WIFSIGNALED(status) else None,
        "timed_out": timed_out,
        "stopped": stop["asked"] and status is None and not timed_out,
        "duration": duration,
        "left_behind": left,
    }
    os.write(status_fd, json.dumps(report).encode() + b"\n")


main()
