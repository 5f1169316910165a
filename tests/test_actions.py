"""Actions: they are made once, feed gates, and their trouble is theirs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Scratch, add_gate, stored, with_actions

Ask = Callable[..., Any]


def test_actions_feed_a_gate(scratch: Scratch, ask: Ask) -> None:
    """A gate sees the outs of the action that it depends on, made in order, and not what those were made of."""
    with_actions(scratch)
    ask("build", "cpu:made")
    assert ask("log", "cpu:made")["text"] == "2\n"
    assert ask("build", "cpu:made")["gates"][0]["cached"] is True


def test_actions_are_made_once(scratch: Scratch, ask: Ask) -> None:
    """A second gate on the same action does not make it again, in this build or the next."""
    with_actions(scratch)
    add_gate(scratch, "cpu:also", "test -s made/upper.txt -a -x made/upper.txt")
    scratch.replace("configs/gates/gates.toml", 'inputs = ["docs/a.txt"]\ninfer = false', 'infer = false\ndeps = ["//:upper"]')
    ask("build", "cpu:made", "cpu:also")
    ask("build", "cpu:made", "cpu:also", "//:upper", "--no-cache")
    assert len(stored(ask, "//:twice")) == 1
    assert not (scratch.root / "made").exists()


def test_change_below_an_action_runs_the_gate(scratch: Scratch, ask: Ask) -> None:
    """A gate depends on the sources of its actions."""
    with_actions(scratch)
    ask("build", "cpu:made")
    scratch.write("docs/a.txt", "two\n")
    (row,) = ask("build", "cpu:made", code=1)["gates"]
    assert (row["verdict"], row["cached"]) == ("failed", False)


def test_failing_action_fails_its_gate(scratch: Scratch, ask: Ask) -> None:
    """A gate whose action fails is failed and names the action; it does not run."""
    with_actions(scratch)
    scratch.replace("BUILD.toml", "cat made/upper.txt made/upper.txt >", "false >")
    (row,) = ask("build", "cpu:made", code=1)["gates"]
    assert (row["verdict"], row["attempts"]) == ("failed", 0)
    assert "//:twice" in row["reason"]


def test_trouble_of_an_action_is_no_failure_of_its_gate(scratch: Scratch, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """An action that comes to no verdict leaves its gate without one: `infra_error`, exit 3."""
    monkeypatch.setenv("NMOE_GRAPH_SANDBOX", "audit")
    with_actions(scratch)
    scratch.replace("BUILD.toml", "cat made/upper.txt made/upper.txt >", "kill -9 $PPID; cat made/upper.txt >")
    (row,) = ask("build", "cpu:made", code=3)["gates"]
    assert (row["verdict"], row["proven"]) == ("infra_error", False)
    assert "//:twice" in row["reason"]


def test_action_that_makes_nothing_fails(scratch: Scratch, ask: Ask) -> None:
    """An out that was declared and not made is a failure that names it."""
    with_actions(scratch)
    scratch.replace("BUILD.toml", "made/upper.txt > made/twice.txt", "made/upper.txt > made/other.txt")
    (row,) = ask("build", "//:twice", code=1)["gates"]
    assert (row["verdict"], "made/twice.txt" in row["reason"]) == ("failed", True)


def test_action_whose_output_is_gone_is_made_again(scratch: Scratch, ask: Ask) -> None:
    """When a kept output is damaged the action runs again, and the gate is right."""
    with_actions(scratch)
    ask("build", "//:twice")
    for path in (scratch.root / ".git/nmoe-graph/blobs").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:-1])
    ask("build", "cpu:made")
    assert len(stored(ask, "//:twice")) == 2


@pytest.mark.timeout(60)
def test_an_action_that_is_asked_for_and_needed_does_not_lock_itself_out(
    scratch: Scratch, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One thread runs the action while another prepares the gate that needs it: neither waits for what the other holds."""
    from nmoe_graph.execute.sandbox import Sandbox

    fill = Sandbox.fill

    def slowly(self: Sandbox) -> str:
        time.sleep(0.5)
        return fill(self)

    monkeypatch.setattr(Sandbox, "fill", slowly)
    with_actions(scratch)
    assert ask("build", "cpu:made", "//:upper", "-j", "2")["verdict"] == "passed"
