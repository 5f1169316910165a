"""The playground does what it proposes: its commands, as a script, lead from a branch to a landing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from .playground import TRY

TESTS = Path(__file__).resolve().parents[1]


def test_what_it_proposes_leads_to_a_landing(tmp_path: Path) -> None:
    """Every command ends as it should, and no folder and no server is left."""
    script = "".join(f"{line}; echo '#' $?\n" for line in TRY)
    env = os.environ | {"PYTHONPATH": f"{TESTS}:{TESTS.parent}", "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "github.playground"]
    done = subprocess.run(command, input=script, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    codes = [int(line[2:]) for line in done.stdout.splitlines() if line.startswith("# ")]
    assert dict(zip(TRY, codes, strict=True)) == {line: 3 if "--no-wait" in line else 0 for line in TRY}
    assert "01  landed as " in done.stdout and "Contract: 01" in done.stdout
    assert "b200:train  proven    signed by runner@nmoe.example" in done.stdout
    assert list(tmp_path.iterdir()) == []
