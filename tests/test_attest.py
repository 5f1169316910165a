"""The block of a pull request: written from what is proven, held against results, contract and scope."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Scratch
from signing import TRUST, Key, Trusting, trusting

from nmoe_graph import Workspace
from nmoe_graph.load.lint import lint_bytes
from nmoe_graph.model import Result, Verdict

Cli = Callable[..., tuple[int, str, str]]

PERF_GATES = """
[gates."b200:bench"]
tier = "b"
timeout_s = 600
inputs = ["nmoe/a.py"]
infer = false
cmd = "true"

[gates."perf:delta"]
tier = "b"
kind = "perf"
timeout_s = 0
compare_gate = "b200:bench"
metric = "tps"

[bundles]
"""

PERF_CONTRACT = """  required: [cpu:import, b200:bench]
  perf:
    gate: perf:delta
    metric: tps
    baseline_ref: origin/main
    budget_pct: -10
"""


@pytest.fixture
def house(scratch: Scratch, tmp_path: Path) -> Trusting:
    return trusting(scratch, tmp_path)


@pytest.fixture
def bench(scratch: Scratch, tmp_path: Path) -> Trusting:
    """A contract with a gate of tier b and a budget."""
    scratch.replace("configs/gates/gates.toml", "[bundles]\n", PERF_GATES)
    made = trusting(scratch, tmp_path)
    scratch.git("checkout", "-q", "main")
    scratch.replace("configs/contracts/01-work.yaml", "  required: [cpu:import]\n", PERF_CONTRACT)
    base = scratch.commit("budget")
    scratch.git("update-ref", "refs/remotes/origin/main", base)
    scratch.git("checkout", "-q", "issue/01-work")
    scratch.git("rebase", "-q", "main")
    return replace(made, base=base)


def lines(house: Trusting, text: str, name: str = "body.md", **more: Any) -> tuple[bool, str]:
    report = Workspace.open(house.scratch.root).verify(text.encode(), name, **more)
    return report.counts, "; ".join(line.what for line in report if line.ok is False)


def test_what_is_not_proven_is_not_written(house: Trusting, cli: Cli) -> None:
    """No block before the gates ran; then one that lint and verify accept, in a file and in a body."""
    code, out, err = cli("attest", "01")
    assert (code, out) == (1, "") and "cpu:import is not proven" in err
    assert cli("build", "cpu:import")[0] == 0
    code, out, err = cli("attest", "01")
    assert code == 0, err
    data = lint_bytes("attestation", out.encode(), "block.yaml")
    assert data["gates_passed"] == {"tier_a": ["cpu:import"], "tier_b": []}
    head = house.scratch.git("rev-parse", "HEAD")
    assert (data["nmoe_pr"]["pr_sha"], data["nmoe_pr"]["baseline_sha"]) == (head, house.base)
    assert lines(house, out, "block.yaml") == (True, "")
    assert lines(house, f"What I did.\n\n```yaml\n{out}```\n") == (True, "")
    assert lines(house, out, commit=head) == (True, "")


def test_a_block_of_no_change_says_so(house: Trusting, cli: Cli) -> None:
    """Whoever stands on the base and forgot the branch is told."""
    assert cli("build", "cpu:import")[0] == 0
    assert "nothing changed" not in cli("attest", "01")[2]
    err = cli("attest", "01", "--at", house.base)[2]
    assert "nothing changed between" in err and "check out the branch, or say --at REF" in err


def test_a_fault_of_a_block_has_its_place_and_its_hint(house: Trusting, cli: Cli, tmp_path: Path) -> None:
    """As in `lint`: the line of the file, and the word that was perhaps meant."""
    assert cli("build", "cpu:import")[0] == 0
    block = tmp_path / "block.yaml"
    block.write_text(cli("attest", "01")[1].replace("- cpu:import", "- cpu:imprt"))
    number = block.read_text().splitlines().index("    - cpu:imprt") + 1
    code, out, _ = cli("verify", str(block))
    assert code == 1 and f"refused  {block}:{number}:7: unknown gate cpu:imprt (did you mean cpu:import?)" in out
    block.write_text("nmoe_pr:\n\tissue: 01\n")
    assert f"refused  {block}:2:1: not valid YAML: " in cli("verify", str(block))[1]


def test_a_failure_is_no_proof(house: Trusting, cli: Cli) -> None:
    """Neither is a pass of other inputs, nor of a tree that no commit holds."""
    assert cli("build", "cpu:import")[0] == 0
    house.scratch.write("nmoe/a.py", "raise RuntimeError\n")
    code, _, err = cli("attest", "01")
    assert code == 2 and "only commits are attested" in err
    house.scratch.commit("broken")
    assert cli("build", "cpu:import")[0] == 1
    assert cli("attest", "01")[0] == 1


@pytest.mark.parametrize("who", ["a machine where it ran", "another machine"])
def test_where_a_claim_counts(who: str, house: Trusting, cli: Cli) -> None:
    """A run counts on the machine that saw it; elsewhere only a trusted signature does."""
    assert cli("build", "cpu:import")[0] == 0
    block = cli("attest", "01")[1]
    if who == "a machine where it ran":
        assert lines(house, block) == (True, "")
        return
    import shutil

    shutil.rmtree(house.scratch.root / ".git/nmoe-graph/results")
    counts, why = lines(house, block)
    assert not counts and "claimed and not proven" in why


def test_what_others_signed_is_no_run_of_this_machine(house: Trusting, cli: Cli) -> None:
    """A result in the ledger counts by its signature only, also where look-ups by key would find it."""
    from nmoe_graph.attest.making import Signing

    assert cli("build", "cpu:import")[0] == 0
    workspace = Workspace.open(house.scratch.root)
    workspace.state_results(Signing(str(house.dev.path)))
    import shutil

    shutil.rmtree(house.scratch.root / ".git/nmoe-graph/results")
    workspace = Workspace.open(house.scratch.root)
    evidence = workspace.evidence()
    gate = evidence.gate("cpu:import")
    assert gate is not None
    proof, _ = evidence.proof(gate, house.scratch.git("rev-parse", "HEAD"))
    assert proof is not None and proof.by == "signed by dev@nmoe.example"
    key = proof.result.action_key
    assert workspace.store.proof(key, timeout_s=30) is not None
    assert workspace.store.own_proof(key, timeout_s=30) is None
    strict = replace(gate, tier="b")  # the same action, asked for as tier b: what a developer signed is not enough
    assert evidence.proof(strict, house.scratch.git("rev-parse", "HEAD"))[0] is None


def edited(block: str, old: str, new: str) -> str:
    assert old in block
    return block.replace(old, new)


LIES: list[tuple[str, Callable[[str, Trusting], str], str]] = [
    (
        "a gate that is not proven",
        lambda block, _: edited(block, "    - cpu:import\n", "    - cpu:import\n    - cpu:grep\n"),
        "claimed and not",
    ),
    (
        "a gate that is not claimed",
        lambda block, _: edited(block, "  tier_a:\n    - cpu:import\n", "  tier_a: []\n"),
        "does not say so",
    ),
    (
        "tier b by word of mouth",
        lambda block, _: edited(block, "tier_b: []", "tier_b: [b200:train]"),
        "b200:train is claimed and not proven",
    ),
    ("an unknown gate", lambda block, _: edited(block, "tier_b: []", "tier_b: [b200:none]"), "unknown gate"),
    ("another risk", lambda block, _: edited(block, "risk: cold", "risk: hot"), "risk"),
    ("no such contract", lambda block, _: edited(block, "issue: 01", "issue: 99"), "no contract 99"),
    ("another commit", lambda block, house: edited(block, house.scratch.git("rev-parse", "HEAD"), "f" * 40), "names no commit"),
    ("the base as the change", lambda block, house: edited(block, house.scratch.git("rev-parse", "HEAD"), house.base), ""),
    (
        "another baseline",
        lambda block, house: edited(
            block, f"baseline_sha: {house.base}", f"baseline_sha: {house.scratch.git('rev-parse', 'HEAD')}"
        ),
        "baseline_sha",
    ),
    ("a perf line without a budget", lambda block, _: block + PERF_LINE, "no budget"),
    ("an approval", lambda block, _: block + "approved_by: me\n", "unknown key"),
]
PERF_LINE = """
perf:
  gate: perf:delta
  metric: tps
  baseline: 1
  result: 1
  delta_pct: 0
  budget_pct: -10
  status: pass
"""


@pytest.mark.parametrize(("name", "lie", "word"), LIES, ids=[row[0] for row in LIES])
def test_a_block_that_says_more_or_less_than_is_proven(
    name: str, lie: Callable[[str, Trusting], str], word: str, house: Trusting, cli: Cli
) -> None:
    """Line by line: what is unproven, and why."""
    assert cli("build", "cpu:import")[0] == 0
    block = cli("attest", "01")[1]
    counts, why = lines(house, lie(block, house))
    assert not counts and word in why


def test_scope_is_held_against_the_diff(house: Trusting, cli: Cli) -> None:
    """What lies outside of it stops the block, and a block that was written anyway."""
    assert cli("build", "cpu:import")[0] == 0
    block = cli("attest", "01")[1]
    old = house.scratch.git("rev-parse", "HEAD")
    house.scratch.write("docs/a.txt", "two\n")
    new = house.scratch.commit("beyond")
    code, _, err = cli("attest", "01")
    assert code == 1 and "docs/a.txt is outside" in err
    counts, why = lines(house, block.replace(old, new))
    assert not counts and "docs/a.txt is outside" in why
    assert cli("attest", "01", "--at", old)[0] == 0


def test_the_control_plane_is_named(house: Trusting, cli: Cli) -> None:
    """A change of what judges it is in the block, and judged by the old rules."""
    scratch = house.scratch
    scratch.git("checkout", "-q", "main")
    scratch.replace("configs/contracts/01-work.yaml", "allow: [nmoe/**]", "allow: [nmoe/**, configs/**]")
    scratch.git("update-ref", "refs/remotes/origin/main", scratch.commit("wider"))
    scratch.git("checkout", "-q", "issue/01-work")
    scratch.git("rebase", "-q", "main")
    scratch.replace("configs/gates/gates.toml", "timeout_s = 30", "timeout_s = 31")
    scratch.commit("gates")
    assert cli("build", "cpu:import")[0] == 0
    code, block, err = cli("attest", "01")
    assert code == 0, err
    assert "# control plane" in block
    report = Workspace.open(scratch.root).verify(block.encode(), "b.yaml")
    assert report.counts and any("configs/gates/gates.toml" in line.what for line in report)


# -- tier b and perf -----------------------------------------------------------------------------------------------------------


def ran(
    house: Trusting, key: Key, commit: str, samples: tuple[float, ...], gpu: str = "NVIDIA B200", verdict: Verdict = Verdict.PASSED
) -> None:
    """A run of the bench on a runner, signed, in this clone's ledger."""
    from nmoe_graph.attest.making import Signing

    workspace = Workspace.open(house.scratch.root)
    hour = len(list(workspace.repository.common_dir.glob("ran-*")))
    (workspace.repository.common_dir / f"ran-{hour}").touch()
    gate = workspace.evidence().gate("b200:bench")
    assert gate is not None
    result = Result(
        workspace.evidence().key(gate, commit)[0],
        str(gate.label),
        verdict,
        exit_code=0 if verdict is Verdict.PASSED else 1,
        started=f"2026-05-01T{hour:02}:00:00.000000Z",
        duration_s=10.0,
        commit=commit,
        tree=workspace.snapshot(commit).tree,
        means="audit",
        fingerprint=(("gpu", gpu),),
        metrics={"tps": samples},
    )
    workspace.store.record(result, b"log\n")
    workspace.state_results(Signing(str(key.path)), namespace="trusted")
    for path in (workspace.store.root / "results").rglob("*"):
        if path.is_file():
            path.unlink()


def test_tier_b_and_perf_come_from_trusted_statements(bench: Trusting, cli: Cli) -> None:
    """Empty and away until there is proof that counts; then computed, and true."""
    head = bench.scratch.git("rev-parse", "HEAD")
    assert cli("build", "cpu:import")[0] == 0
    code, block, err = cli("attest", "01")
    assert code == 0 and "tier_b: []" in block and "perf:" not in block and "perf is left out" in err
    assert "b200:bench is required and not proven" in lines(bench, block + PERF_LINE)[1]
    ran(bench, bench.dev, head, (95.0,))
    assert "tier_b: []" in cli("attest", "01")[1]  # a developer proves no tier b
    ran(bench, bench.runner, head, (95.0, 96.0, 94.0))
    ran(bench, bench.runner, bench.base, (100.0, 101.0, 99.0))
    assert cli("build", "cpu:import")[0] == 0
    assert "recorded in one job" in cli("attest", "01")[2]  # how much jobs differ is not known of one
    ran(bench, bench.runner, bench.base, (100.0, 101.0, 99.0))
    assert cli("build", "cpu:import")[0] == 0
    code, block, err = cli("attest", "01")
    assert code == 0, err
    data = lint_bytes("attestation", block.replace("  tier_b:\n    - b200:bench\n", "  tier_b: []\n").encode(), "b.yaml")
    assert data["perf"] == {
        "gate": "perf:delta",
        "metric": "tps",
        "baseline": 100,
        "result": 95,
        "delta_pct": -5,
        "budget_pct": -10,
        "status": "pass",
    }
    assert "tier_b:\n    - b200:bench" in block
    assert lines(bench, block) == (True, "")
    for old, new, word in (("result: 95", "result: 99", "delta_pct"), ("baseline: 100", "baseline: 90", "delta_pct")):
        counts, why = lines(bench, edited(block, old, new))
        assert not counts and word in why
    both = edited(
        edited(edited(block, "result: 95", "result: 120"), "baseline: 100", "baseline: 120"), "delta_pct: -5", "delta_pct: 0"
    )
    counts, why = lines(bench, both)
    assert not counts and "the samples that count give" in why


@pytest.mark.parametrize(
    ("samples", "gpu", "word"),
    [
        ((80.0,), "NVIDIA B200", "outside of the budget"),
        ((95.0,), "NVIDIA H200", "different platforms"),
    ],
)
def test_perf_that_does_not_pass(samples: tuple[float, ...], gpu: str, word: str, bench: Trusting, cli: Cli) -> None:
    """Too slow is written as a fail and is none; figures of two platforms are not compared."""
    head = bench.scratch.git("rev-parse", "HEAD")
    for _ in range(2):
        ran(bench, bench.runner, bench.base, (100.0,))
    ran(bench, bench.runner, head, samples, gpu)
    assert cli("build", "cpu:import")[0] == 0
    code, block, err = cli("attest", "01")
    assert code == 0, err
    counts, why = lines(bench, block if "perf:" in block else block + PERF_LINE)
    assert not counts and word in why + err


def test_a_failure_of_tier_b_is_no_proof(bench: Trusting, cli: Cli) -> None:
    """However well it is signed."""
    ran(bench, bench.runner, bench.scratch.git("rev-parse", "HEAD"), (95.0,), verdict=Verdict.FAILED)
    assert cli("build", "cpu:import")[0] == 0
    code, block, err = cli("attest", "01")
    assert code == 0 and "tier_b: []" in block and "only a pass proves" in err


def test_a_base_without_a_policy(scratch: Scratch, tmp_path: Path, cli: Cli) -> None:
    """A run on one's own machine counts there for tier a; nobody's signature counts."""
    house = trusting(scratch, tmp_path)
    scratch.git("checkout", "-q", "main")
    scratch.replace("BUILD.toml", TRUST, "")
    scratch.git("update-ref", "refs/remotes/origin/main", scratch.commit("no policy"))
    scratch.git("checkout", "-q", "issue/01-work")
    scratch.git("rebase", "-q", "main")
    assert cli("build", "cpu:import")[0] == 0
    assert cli("attest", "01")[0] == 0
    scratch.git("checkout", "-q", "main")
    scratch.write("BUILD.toml", scratch.read("BUILD.toml") + '\n[trust]\nsigners = "none"\n')
    scratch.git("update-ref", "refs/remotes/origin/main", scratch.commit("a policy that cannot be read"))
    scratch.git("checkout", "-q", "issue/01-work")
    code, _, err = cli("attest", "01")
    assert code == 1 and "cpu:import is not proven" in err
    assert house.base


def test_a_contract_from_a_file(house: Trusting, cli: Cli, tmp_path: Path) -> None:
    """The captain's copy of the issue's contract can stand in for the base's; a perf gate needs a budget in it."""
    assert cli("build", "cpu:import")[0] == 0
    file = tmp_path / "01.yaml"
    file.write_text(house.scratch.read("configs/contracts/01-work.yaml").replace("risk: cold", "risk: hot"))
    block = cli("attest", str(file))[1]
    assert "risk: hot" in block
    assert lines(house, block, contract=str(file)) == (True, "")
    assert "risk" in lines(house, block)[1]


def test_a_perf_gate_without_a_budget(bench: Trusting, cli: Cli, tmp_path: Path) -> None:
    """It is required and cannot be judged, so nothing is written and nothing counts."""
    assert cli("build", "cpu:import")[0] == 0
    file = tmp_path / "01.yaml"
    text = bench.scratch.read("configs/contracts/01-work.yaml")
    file.write_text(text[: text.index("  required:")] + "  required: [cpu:import, perf:delta]\n")
    code, out, err = cli("attest", str(file))
    assert (code, out) == (1, "") and "no budget" in err
    file.write_text(text[: text.index("  required:")] + "  required: [cpu:import]\n")
    block = cli("attest", str(file))[1].replace("tier_b: []", "tier_b: [perf:delta]")
    counts, why = lines(bench, block, contract=str(file))
    assert not counts and "no budget" in why


def test_attest_answers_in_json(house: Trusting, cli: Cli) -> None:
    """The same answer for programs; a contract that the base does not have is a usage error."""
    code, out, _ = cli("attest", "01", "--format", "json")
    document = json.loads(out)
    assert (code, document["schema"], document["written"], document["text"]) == (1, "nmoe-graph/attest@1", False, "")
    assert document["unproven"]
    code, _, err = cli("attest", "1")
    assert code == 2 and "no contract 1" in err
