"""The playground does what it proposes: its commands, as a script, lead from a branch to a landing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .playground import TRY

TESTS = Path(__file__).resolve().parents[1]
COMMAND = [sys.executable, "-m", "github.playground"]


def environment(folder: Path, **more: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": f"{TESTS}:{TESTS.parent}", "TMPDIR": str(folder)} | more


def test_what_it_proposes_leads_to_a_landing(tmp_path: Path) -> None:
    """Every command ends as it should, and no folder and no server is left."""
    script = "".join(f"{line}; echo '#' $?\n" for line in TRY)
    env = environment(tmp_path)
    done = subprocess.run(COMMAND, input=script, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    codes = [int(line[2:]) for line in done.stdout.splitlines() if line.startswith("# ")]
    assert dict(zip(TRY, codes, strict=True)) == {line: 3 if "--no-wait" in line else 0 for line in TRY}
    assert "01  landed as " in done.stdout and "Contract: 01" in done.stdout
    assert "b200:train  proven    signed by runner@nmoe.example" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_is_gone_however_it_ends(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """Interrupted while the shell waits: no traceback, no folder."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(COMMAND, env=environment(tmp_path), cwd=tmp_path, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("echo here\n")
    process.stdin.flush()
    assert process.stdout.readline() == "here\n"
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (code, "")
    assert list(tmp_path.iterdir()) == []


def test_what_it_needs_is_named(tmp_path: Path) -> None:
    """Without git or OpenSSH there is one line."""
    done = subprocess.run(COMMAND, env=environment(tmp_path, PATH=str(tmp_path)), cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("error: git and ssh-keygen: not here, and needed\n")
