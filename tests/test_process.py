"""One command under the supervisor: nothing outlives it, its log is bounded, and only its exit status speaks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from conftest import bearers

from nmoe_graph.execute.process import Ended, run_command

#: A program that forks in some way and leaves a process that only sleeps.
TREES = {
    "child": "sleep 300 & ",
    "many": "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 300 & done; ",
    "new session": "setsid sleep 300 & ",
    "new session, output elsewhere": "setsid sleep 300 </dev/null >/dev/null 2>&1 & ",
    "forked twice": "( ( setsid bash -c 'sleep 300 & sleep 300' & ) & ) ; ",
    "deaf to TERM": "bash -c 'trap \"\" TERM INT HUP; while true; do sleep 0.2; done' & ",
    "deaf, forked twice": "( ( setsid bash -c 'trap \"\" TERM; while true; do sleep 0.2; done' & ) & ) ; ",
    "stopped": "sleep 300 & kill -STOP $!; ",
    "respawns": "bash -c 'trap \"(setsid sleep 300 &)\" TERM; while true; do sleep 0.1; done' & ",
}


def soon(word: str, at_least: int = 0, seconds: float = 5.0) -> list[int]:
    """The bearers of a word, once there are that many (of 0: once there are none), or at last."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = bearers(word)
        if len(found) >= at_least and (at_least or not found):
            break
        time.sleep(0.02)
    return found


def shell(
    code: str, word: str, cwd: Path, timeout_s: float = 20, cancelled: threading.Event | None = None, grace_s: float = 0.3
) -> Ended:
    env = {"PATH": os.environ["PATH"], "MARKER": word}
    return run_command(["bash", "-eu", "-o", "pipefail", "-c", code], cwd, env, timeout_s, cancelled, grace_s, f"MARKER={word}")


# -- how it ended --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 1, 2, 3, 77, 126, 127, 128, 130, 137, 255])
def test_exit_codes(tmp_path: Path, marker: str, code: int) -> None:
    """An exit code arrives as it was."""
    ended = shell(f"exit {code}", marker, tmp_path)
    assert (ended.exit_code, ended.signal, ended.timed_out, ended.stopped, ended.lost) == (code, None, False, False, False)


def test_exit_code_256_is_what_the_kernel_says(tmp_path: Path, marker: str) -> None:
    """An exit code above 255 keeps its low byte, as every Unix has it; 257 is a failure."""
    assert shell(f"{sys.executable} -c 'import os; os._exit(257)'", marker, tmp_path).exit_code == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGABRT, signal.SIGINT, signal.SIGPIPE])
def test_signals(tmp_path: Path, marker: str, number: signal.Signals) -> None:
    """A death by a signal is no exit code, and never 0."""
    ended = shell(f"ulimit -c 0; kill -{int(number)} $$", marker, tmp_path)
    assert (ended.exit_code, ended.signal, ended.stopped) == (None, int(number), False)


def test_command_that_does_not_exist(tmp_path: Path, marker: str) -> None:
    """A program that is not there ends with 127 and a word in the log."""
    ended = run_command(["/no/such/program"], tmp_path, {"MARKER": marker}, 5)
    assert ended.exit_code == 127
    assert b"/no/such/program" in ended.log


def test_stdin_is_empty(tmp_path: Path, marker: str) -> None:
    """A command that reads its standard input meets its end at once."""
    assert shell("cat; echo done", marker, tmp_path).log == b"done\n"


def test_no_descriptor_leaks(tmp_path: Path, marker: str) -> None:
    """The command has three open descriptors and nothing of ours."""
    code = "import os\nfor n in range(3, 100):\n  try: os.fstat(n)\n  except OSError: continue\n  print(n)"
    ended = run_command([sys.executable, "-c", code], tmp_path, {"MARKER": marker}, 10)
    assert (ended.exit_code, ended.log) == (0, b"")


def test_environment_is_what_was_given(tmp_path: Path, marker: str) -> None:
    """Nothing of this process's environment, and nothing of the supervisor's, is seen."""
    ended = run_command(
        [sys.executable, "-I", "-c", "import os; print(sorted(os.environ))"], tmp_path, {"A": "1", "LC_ALL": "C"}, 10
    )
    assert ended.log.strip() == b"['A', 'LC_ALL']"


# -- the log -------------------------------------------------------------------------------------------------------------------


def test_huge_output_is_bounded(tmp_path: Path, marker: str) -> None:
    """Of 60 MB of output the beginning and the end are kept, with a word between."""
    ended = shell("echo first; head -c 60000000 /dev/zero | tr '\\0' x; echo; echo last", marker, tmp_path)
    assert ended.exit_code == 0
    assert len(ended.log) < 13_000_000
    assert ended.log.startswith(b"first\n")
    assert ended.log.endswith(b"last\n")
    assert b" bytes left out]" in ended.log


def test_output_up_to_the_bound_is_whole(tmp_path: Path, marker: str) -> None:
    """A log of 3 MB is kept byte for byte."""
    ended = shell("seq 1 400000", marker, tmp_path)
    assert ended.log == b"".join(b"%d\n" % number for number in range(1, 400_001))


def test_both_streams_are_kept_in_order(tmp_path: Path, marker: str) -> None:
    """Standard output and standard error are one log."""
    assert shell("echo 1; echo 2 >&2; echo 3; echo 4 >&2", marker, tmp_path).log == b"1\n2\n3\n4\n"


def test_closed_output(tmp_path: Path, marker: str) -> None:
    """A command that closes its output, or writes to a pipe whose reader has gone, is judged by its status alone."""
    assert shell("exec >&- 2>&-; sleep 0.2; exit 4", marker, tmp_path).exit_code == 4
    assert shell("seq 1 1000000 | head -1", marker, tmp_path).signal is None
    assert shell("seq 1 1000000 | head -1", marker, tmp_path).exit_code == 141
    assert shell("(trap '' PIPE; seq 1 1000000) 2>/dev/null | true", marker, tmp_path).exit_code == 1


def test_log_is_no_verdict(tmp_path: Path, marker: str) -> None:
    """A log that says "passed", or looks like the supervisor's report, changes nothing."""
    report = '{"exit": 0, "signal": null, "timed_out": false, "stopped": false, "duration": 0, "left_behind": 0}'
    code = f"echo '{report}'; echo PASSED; exit 5"
    assert shell(code, marker, tmp_path).exit_code == 5


# -- nothing outlives ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tree", TREES)
def test_nothing_outlives_the_end(tmp_path: Path, marker: str, tree: str) -> None:
    """When the command ends well, what it left running is ended and counted."""
    ended = shell(f"{TREES[tree]} sleep 0.2; exit 0", marker, tmp_path)
    assert bearers(marker) == []
    assert ended.exit_code == 0
    assert ended.left_behind >= 1


@pytest.mark.parametrize("tree", TREES)
def test_nothing_outlives_the_limit(tmp_path: Path, marker: str, tree: str) -> None:
    """At the limit the whole tree goes, and the verdict is the clock's."""
    started = time.monotonic()
    ended = shell(f"{TREES[tree]} sleep 300", marker, tmp_path, timeout_s=0.4)
    assert bearers(marker) == []
    assert (ended.timed_out, ended.exit_code, ended.stopped) == (True, None, False)
    assert time.monotonic() - started < 4


@pytest.mark.parametrize("tree", TREES)
def test_nothing_outlives_a_cancellation(tmp_path: Path, marker: str, tree: str) -> None:
    """A cancelled command goes with its whole tree."""
    cancelled = threading.Event()
    timer = threading.Timer(0.4, cancelled.set)
    timer.start()
    ended = shell(f"{TREES[tree]} sleep 300", marker, tmp_path, cancelled=cancelled)
    assert bearers(marker) == []
    assert (ended.stopped, ended.exit_code, ended.timed_out) == (True, None, False)


def test_many_trees_at_once(tmp_path: Path, marker: str) -> None:
    """36 trees of every shape, eight at a time, leave no survivor."""
    from concurrent.futures import ThreadPoolExecutor

    codes = [TREES[name] + end for end in ("exit 0", "sleep 300") for name in TREES for _ in range(2)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda code: shell(code, marker, tmp_path, timeout_s=0.3, grace_s=0.1), codes))
    assert bearers(marker) == []


def test_deaf_command_at_the_limit(tmp_path: Path, marker: str) -> None:
    """A command that ignores TERM is killed after the grace."""
    ended = shell("trap '' TERM INT HUP; echo deaf; while true; do sleep 0.1; done", marker, tmp_path, timeout_s=0.4)
    assert ended.timed_out
    assert ended.log == b"deaf\n"
    assert bearers(marker) == []


def test_limit_does_not_wait_for_output(tmp_path: Path, marker: str) -> None:
    """The clock runs for a command that never prints, and for one that never stops printing."""
    for code in ("sleep 300", "yes"):
        started = time.monotonic()
        assert shell(code, marker, tmp_path, timeout_s=0.3).timed_out
        assert time.monotonic() - started < 3


def test_term_lets_the_command_clean_up(tmp_path: Path, marker: str) -> None:
    """At the limit TERM comes first, and a grace to use it."""
    shell("trap 'echo cleaned > done; exit 0' TERM; sleep 300 & wait", marker, tmp_path, timeout_s=0.4, grace_s=3)
    assert (tmp_path / "done").read_text() == "cleaned\n"


def test_exit_0_after_the_limit_is_no_success(tmp_path: Path, marker: str) -> None:
    """A command that exits 0 when it is told to end was timed out all the same."""
    ended = shell("trap 'exit 0' TERM; sleep 300 & wait", marker, tmp_path, timeout_s=0.3)
    assert (ended.timed_out, ended.exit_code) == (True, None)


# -- when we die ---------------------------------------------------------------------------------------------------------------

RUNNER = """import os, sys
from pathlib import Path
from nmoe_graph.execute.process import run_command
env = {"PATH": os.environ["PATH"], "MARKER": sys.argv[1]}
run_command(["bash", "-c", sys.argv[2]], Path("."), env, 60, None, 0.2)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("tree", ["child", "deaf, forked twice", "new session"])
def test_nothing_outlives_the_build(tmp_path: Path, marker: str, number: signal.Signals, tree: str) -> None:
    """When the build itself is killed, its supervisors end every tree."""
    command = [sys.executable, "-c", RUNNER, marker, f"{TREES[tree]} echo; sleep 300"]
    build = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
    assert len(soon(marker, 3)) >= 3
    build.send_signal(number)
    build.wait(10)
    assert soon(marker) == []


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.03, 0.06, 0.1, 0.15])
def test_nothing_outlives_a_build_killed_early(tmp_path: Path, marker: str, delay: float) -> None:
    """A build that is killed while it starts its supervisor leaves nothing either."""
    build = subprocess.Popen([sys.executable, "-c", RUNNER, marker, "sleep 300"], cwd=tmp_path, stderr=subprocess.DEVNULL)
    soon(marker, 1)
    time.sleep(delay)
    build.kill()
    build.wait(10)
    time.sleep(0.3)
    assert soon(marker) == []


def test_killed_supervisor_says_nothing(tmp_path: Path, marker: str) -> None:
    """When the supervisor is killed nothing is known: that is `lost`, which is no success, and nothing is left behind."""
    ended = shell("(setsid sleep 300 &) ; sleep 0.2; kill -9 $PPID; exit 0", marker, tmp_path)
    assert ended.lost
    assert ended.exit_code is None
    assert soon(marker) == []


def test_stopped_supervisor_is_not_waited_for(tmp_path: Path, marker: str) -> None:
    """A cancellation gets through although the gate has stopped its supervisor."""
    cancelled = threading.Event()
    threading.Timer(0.5, cancelled.set).start()
    started = time.monotonic()
    ended = shell("kill -STOP $PPID; sleep 300", marker, tmp_path, cancelled=cancelled)
    assert ended.stopped
    assert time.monotonic() - started < 10
    assert soon(marker) == []


def test_stopped_supervisor_still_keeps_the_limit(tmp_path: Path, marker: str) -> None:
    """A gate that stops its supervisor does not escape its limit for long."""
    ended = shell("kill -STOP $PPID; sleep 300", marker, tmp_path, timeout_s=0.3)
    assert ended.timed_out
    assert soon(marker) == []
