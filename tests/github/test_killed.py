"""The command that waits for a run is killed, and asked again: it picks the same run up; nothing is dispatched or said twice."""

from __future__ import annotations

import os
import random
import re
import signal
import time

from .shell import Shell
from .site import Site

KILLS = int(os.environ.get("NMOE_GRAPH_TEST_KILLS", "30"))


def test_killed_at_any_moment_nothing_is_dispatched_or_said_twice(shell: Shell, site: Site) -> None:
    """SIGKILL at random moments: before it asks, while GitHub works at the dispatch, while it waits for approval, while the run
    goes on, while proofs come home, and while it says so.

    Each moment is one of GitHub's requests: the process dies at a random time after so many of them have arrived.  The run is
    approved, and goes on, along the way; the last call is left alone.
    """
    rng = random.Random(int(os.environ.get("NMOE_GRAPH_TEST_SEED", "1")))
    ask = ("tier-b", "run", str(site.number), "--bundle", "hot", "--every", "1")
    runs = site.github.runs
    met: dict[str, int] = {}
    for kill in range(KILLS):
        with site.github.lock:
            seen = len(site.github.log)
        process = shell.start(*ask)
        left = seen + rng.randint(0, 9)
        end = time.monotonic() + rng.uniform(1.5, 4.0)
        while len(site.github.log) < left and time.monotonic() < end and process.poll() is None:
            time.sleep(0.002)
        time.sleep(rng.choice([0.0, 0.0, rng.uniform(0, 0.03)]))
        process.send_signal(signal.SIGKILL)
        out, err = process.communicate(timeout=60)
        assert not re.search("(?m)^Traceback", out + err)
        state = next(iter(runs.values())).status if runs else "not asked"
        met[state] = met.get(state, 0) + (process.returncode == -signal.SIGKILL)
        if kill == KILLS // 3 and state == "waiting":
            shell("tier-b", "approve", str(site.number), "--bundle", "hot", "--yes")
        assert len(runs) <= 1
    if next(iter(runs.values())).status == "waiting":
        shell("tier-b", "approve", str(site.number), "--bundle", "hot", "--yes")
    assert shell(*ask).out.startswith("b200:train  proven")
    assert len(site.github.carried_out("actions/create-workflow-dispatch")) == 1 and len(shell.runners.jobs) == 1
    assert [one.body.split()[2] for one in site.github.comments.values()] == ["tier-b"]
    assert [(one.name, one.conclusion) for one in site.github.checks.values()] == [("nmoe-graph / tier-b hot", "success")]
    if KILLS >= 30:  # it died where it says that it did
        assert met.get("waiting", 0) >= 3 and met.get("completed", 0) + met.get("in_progress", 0) >= 3, met


def test_killed_between_the_dispatch_and_its_answer(shell: Shell, site: Site) -> None:
    """GitHub has taken the dispatch, and the process dies before it hears so: the journal knows no run, GitHub's list does."""
    site.github.inject("slow", "actions/create-workflow-dispatch", seconds=5)
    ask = ("tier-b", "run", str(site.number), "--bundle", "hot", "--no-wait")
    process = shell.start(*ask)
    end = time.monotonic() + 60
    while not site.github.runs and time.monotonic() < end:
        time.sleep(0.01)
    process.kill()
    process.communicate(timeout=60)
    assert "found pr1-" in shell(*ask, code=3).err
    assert len(site.github.runs) == 1


def test_two_that_ask_at_once_dispatch_once(shell: Shell, site: Site) -> None:
    """Two worktrees of one machine, in the same moment."""
    ask = ("tier-b", "run", str(site.number), "--bundle", "hot", "--no-wait")
    both = [shell.start(*ask) for _ in range(3)]
    said = sorted(process.communicate(timeout=60)[1].split(" pr1-")[0].rsplit("\n", 1)[-1] for process in both)
    assert said == ["dispatched", "found", "found"] and len(site.github.runs) == 1
