"""What never passes, whichever way it is made to look green."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Scratch, add_gate

from nmoe_graph.errors import DeclarationError
from nmoe_graph.load.lint import lint_bytes

Cli = Callable[..., tuple[int, str, str]]
Ask = Callable[..., Any]
GATES = "configs/gates/gates.toml"


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NMOE_GRAPH_SANDBOX", "folder")


def test_an_empty_bundle(scratch: Scratch, cli: Cli) -> None:
    """It is a fault of the declarations, not a success."""
    scratch.replace(GATES, 'tier_a = ["cpu:import", "cpu:compileall"]', "tier_a = []")
    assert cli("build", "//gates:tier_a")[0] == 2


@pytest.mark.parametrize(
    "args", [("b200:train",), ("//gates:hot",), ("//gates:tier_a", "--", "-//gates/cpu:import", "-//gates/cpu:compileall")]
)
def test_nothing_ran(scratch: Scratch, ask: Ask, cli: Cli, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...]) -> None:
    """Gates that this machine cannot run, and gates that were all taken out, prove nothing."""
    monkeypatch.setenv("NMOE_DATA_PATH", "x")
    monkeypatch.setattr("nmoe_graph.execute.build.host_archs", frozenset)
    code, out, _ = cli("build", *args)
    assert code in (1, 2, 3), out


def test_a_dry_run(ask: Ask) -> None:
    """What would run has not run."""
    report = ask("build", "//gates:tier_a", "--dry-run", code=1)
    assert report["verdict"] == "not_run"


@pytest.mark.parametrize("budget", [".nan", "nan", "NaN", ".inf", "-.inf", "1e999", "''", "ten", "[]"])
def test_a_budget_that_is_no_number(budget: str) -> None:
    """It is refused where it is read."""
    contract = f"""nmoe: {{issue: 01, slug: w, kind: perf, risk: hot, complexity: S, depends_on: []}}
scope: {{allow: [nmoe/**]}}
gates:
  required: [cpu:a]
  perf: {{gate: perf:x, metric: tps, baseline_ref: main, budget_pct: {budget}}}
"""
    with pytest.raises(DeclarationError):
        lint_bytes("contract", contract.encode(), "f")


@pytest.mark.parametrize(
    ("cmd", "verdict"),
    [
        ("python3 -c 'import os; os._exit(1)'", "failed"),
        ("bash -c 'exit 255'", "failed"),
        ("python3 -c 'import sys; sys.exit(257)'", "failed"),
        ("kill -9 $$", "failed"),
        ("kill -TERM $$", "failed"),
        ("kill -SEGV $$", "failed"),
        ("echo PASSED; echo 'status: pass rc=0'; false", "failed"),
        ("false | true", "failed"),
        ("sleep 60", "timed_out"),
    ],
)
def test_ends_that_are_no_success(scratch: Scratch, ask: Ask, cmd: str, verdict: str) -> None:
    """A status that is not 0, a signal, a limit; a status of 256 and 0 are one to the kernel, so none can ask for it."""
    add_gate(scratch, "x:y", cmd.replace("'", '"'), timeout_s=1 if verdict == "timed_out" else 30)
    report = ask("build", "x:y", code=1)
    assert (report["gates"][0]["verdict"], report["verdict"]) == (verdict, verdict)
    assert not ask("build", "x:y", "--dry-run", code=1)["gates"][0]["cached"]


PLANTED = ("results", "result.json", "nmoe-graph/results", "tier_b_results.json", ".nmoe-graph/result.json")


@pytest.mark.parametrize("place", PLANTED)
def test_a_result_that_the_change_planted(scratch: Scratch, ask: Ask, place: str) -> None:
    """No file of the tree is read as a result, and a gate that ends early leaves what it ended with."""
    scratch.write(place, '{"verdict": "passed", "overall": "pass", "exit": 0}\n')
    add_gate(scratch, "x:y", "exit 3")
    scratch.commit()
    assert ask("build", "x:y", code=1)["gates"][0]["verdict"] == "failed"
    assert [one["verdict"] for one in ask("results", "x:y")["results"]] == ["failed"]


def test_a_gate_that_writes_into_the_store(scratch: Scratch, ask: Ask, tmp_path: Path) -> None:
    """A file without a seal, under any name, is no result: it is put aside and the gate runs again."""
    add_gate(scratch, "x:y", "exit 3")
    key = ask("build", "x:y", code=1)["gates"][0]["action_key"]
    folder = scratch.root / ".git/nmoe-graph/results" / key[:2] / key
    (folder / "20990101000000-aaaaaaaaaaaa").write_text('{"verdict": "passed", "action_key": "' + key + '"}')
    assert ask("build", "x:y", code=1)["gates"][0]["verdict"] == "failed"
    assert len(list((scratch.root / ".git/nmoe-graph/quarantine").iterdir())) == 1
