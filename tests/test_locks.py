"""Locks between processes: one holder, others wait or are told, and a holder that dies holds nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nmoe_graph.errors import HostError
from nmoe_graph.locks import held

HOLDER = """
import sys
from pathlib import Path
from nmoe_graph.locks import held
with held(Path(sys.argv[1]), "no lock"):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_who_does_not_wait_is_told(tmp_path: Path) -> None:
    """While another process holds it, there is one error; afterwards the lock is free, and can be taken again and again."""
    path = tmp_path / "a/b/lock"
    process = holder(path)
    with pytest.raises(HostError, match="somebody is at it"), held(path, "no lock", "somebody is at it"):
        pytest.fail("two hold it")
    process.communicate()
    for _ in range(2):
        with held(path, "no lock", "somebody is at it"):
            pass


def test_a_holder_that_is_killed_holds_nothing(tmp_path: Path) -> None:
    """The kernel gives the lock back; who waits for it has it at once."""
    path = tmp_path / "lock"
    process = holder(path)
    waits = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with pytest.raises(subprocess.TimeoutExpired):
        waits.wait(0.5)
    process.send_signal(signal.SIGKILL)
    out, _ = waits.communicate(timeout=30)
    assert out == "held\n"
    process.communicate()


def test_an_error_inside_gives_it_back(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with pytest.raises(ValueError, match="mine"), held(path, "no lock"):
        raise ValueError("mine")
    with held(path, "no lock", "still held"):
        pass


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    """One error that begins with what could not be done; nothing is made."""
    (tmp_path / "file").write_text("")
    with pytest.raises(HostError, match="the thing cannot be locked: "), held(tmp_path / "file/lock", "the thing cannot be locked"):
        pytest.fail("held")
