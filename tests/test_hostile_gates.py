"""Gates that do not want to end, in one build: no process is left, and none of them is stored as a pass.

NMOE_GRAPH_TEST_HOSTILE sets how many; the figure of the issue is 500.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Scratch, bearers

Ask = Callable[..., Any]
COUNT = int(os.environ.get("NMOE_GRAPH_TEST_HOSTILE", "20"))

#: How a gate misbehaves; each ends by a limit of one second, or with a status that is no success.
WAYS = (
    "(sleep 300 &) ; (setsid sleep 300 &) ; exit 1",
    'trap "" TERM INT HUP; while true; do sleep 0.05; done',
    "exec >&- 2>&-; sleep 300",
    "sleep 300",
    'setsid bash -c "trap : TERM; sleep 300 & sleep 300" & exit 7',
    '(trap "" TERM; sleep 300) & kill -9 $$',
    'for i in 1 2 3 4 5; do (setsid bash -c "sleep 300 & disown; sleep 300" >/dev/null 2>&1 &); done; exit 255',
    'bash -c "exec sleep 300" & kill -SEGV $$',
    'yes >/dev/null & echo PASSED; echo "status: pass rc=0"; exit 3',
    'python3 -c "import os; os._exit(256 + 1)"',
)


@pytest.mark.parametrize("means", ["folder"])
def test_hostile_gates(scratch: Scratch, ask: Ask, marker: str, means: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is over when the build is, and only failures and timeouts are kept."""
    monkeypatch.setenv("MARK", marker)
    monkeypatch.setenv("NMOE_GRAPH_SANDBOX", means)
    text = scratch.read("configs/gates/gates.toml").partition("[bundles]")[0]
    for number in range(COUNT):
        text += (
            f'[gates."hostile:{number}"]\ntier = "a"\ntimeout_s = 1\ninputs = ["docs/a.txt"]\ninfer = false\nrequires = ["MARK"]\n'
            f"salt = \"{number}\"\ncmd = '{WAYS[number % len(WAYS)]}'\n"
        )
    scratch.write("configs/gates/gates.toml", text)
    rows = ask("build", *(f"hostile:{number}" for number in range(COUNT)), "-k", "-j", "8", code=1)["gates"]
    assert bearers(marker) == []
    assert len(rows) == COUNT
    assert {row["verdict"] for row in rows} == {"failed", "timed_out"}
    kept = ask("results")["results"]
    assert len(kept) == COUNT
    assert {one["verdict"] for one in kept} <= {"failed", "timed_out"}
    again = ask("build", "hostile:0", code=1)["gates"]
    assert not again[0]["cached"]
