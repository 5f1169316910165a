"""Perf gates: a table of what is decided, laws of the decision, and how a contract's budget is judged in a build."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Scratch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nmoe_graph import Verdict, Workspace
from nmoe_graph.plan.perf import decide, interval

Cli = Callable[..., tuple[int, str, str]]
Ask = Callable[..., Any]
LAW = settings(deadline=None, derandomize=True, max_examples=60)

STEADY = [[100.0] * 9, [100.5] * 9, [99.5] * 9]  # a spread of 1 %
NOISY = [[100.0] * 9, [112.0] * 9, [92.0] * 9]  # a spread of 20 %
NAN, INF = float("nan"), float("inf")

#: baseline jobs, change jobs, budget, better -> verdict, a word of the reason
TABLE: dict[str, tuple[Any, Any, float, str, str, str]] = {
    "no change": (STEADY, [[100.0] * 9], -10, "higher", "passed", "+0.00 %"),
    "better": (STEADY, [[130.0] * 9], -10, "higher", "passed", "+30.00 %"),
    "worse within the budget": (STEADY, [[95.0] * 9], -10, "higher", "passed", "-5.00 %"),
    "worse beyond the budget": (STEADY, [[80.0] * 9], -10, "higher", "failed", "-20.00 %"),
    "at the budget, within the spread": (STEADY, [[90.0] * 9], -10, "higher", "inconclusive", "within the noise"),
    "just past the budget, within the spread": (STEADY, [[89.5] * 9], -10, "higher", "inconclusive", "within the noise"),
    "the spread is larger than the budget": (NOISY, [[100.0] * 9], -10, "higher", "inconclusive", "within the noise"),
    "far beyond a large spread": (NOISY, [[50.0] * 9], -10, "higher", "failed", "-50.00 %"),
    "far better than a large spread": (NOISY, [[150.0] * 9], -10, "higher", "passed", "+50.00 %"),
    "a budget of nothing, no change": (STEADY, [[100.0] * 9], 0, "higher", "inconclusive", "within the noise"),
    "a budget of nothing, better": (STEADY, [[110.0] * 9], 0, "higher", "passed", "+10.00 %"),
    "lower is better, grown within": (STEADY, [[105.0] * 9], 10, "lower", "passed", "+5.00 %"),
    "lower is better, grown beyond": (STEADY, [[120.0] * 9], 10, "lower", "failed", "+20.00 %"),
    "lower is better, fallen": (STEADY, [[50.0] * 9], 10, "lower", "passed", "-50.00 %"),
    "one job of the baseline": ([[100.0] * 9], [[100.0] * 9], -10, "higher", "inconclusive", "one job"),
    "no job of the baseline": ([], [[100.0] * 9], -10, "higher", "inconclusive", "the baseline has no samples"),
    "no job of the change": (STEADY, [], -10, "higher", "inconclusive", "the change has no samples"),
    "a job without samples": (STEADY, [[]], -10, "higher", "inconclusive", "the change has no samples"),
    "a sample that is no number": (STEADY, [[100.0, NAN, 100.0]], -10, "higher", "inconclusive", "no finite number"),
    "a sample without end": (STEADY, [[100.0, INF, 100.0]], -10, "higher", "inconclusive", "no finite number"),
    "a negative sample": ([[100.0], [-100.0]], [[100.0]], -10, "higher", "inconclusive", "negative"),
    "a baseline of nothing": ([[0.0], [0.0]], [[100.0]], -10, "higher", "inconclusive", "not above zero"),
    "a budget that is no number": (STEADY, [[100.0] * 9], NAN, "higher", "inconclusive", "no finite number"),
    "a budget without end": (STEADY, [[1.0] * 9], -INF, "higher", "inconclusive", "no finite number"),
    "a budget of the wrong sign": (STEADY, [[1.0] * 9], 10, "higher", "inconclusive", "bounds no loss"),
    "a budget of the wrong sign, lower": (STEADY, [[1.0] * 9], -10, "lower", "inconclusive", "bounds no loss"),
    "wide samples": (STEADY, [[60.0, 100.0, 140.0] * 3], -10, "higher", "inconclusive", "by bootstrap"),
}


@pytest.mark.parametrize("case", TABLE)
def test_table(case: str) -> None:
    """What is decided of which samples."""
    baseline, change, budget, better, verdict, word = TABLE[case]
    found = decide(baseline, change, budget_pct=budget, better=better)
    assert found.verdict.value == verdict, found
    assert word in found.reason


def test_the_table_has_every_verdict_and_one_proves() -> None:
    """Passed, failed and inconclusive are all reached; only the first proves, flaky or not."""
    found = {row[4] for row in TABLE.values()}
    assert found == {"passed", "failed", "inconclusive"}
    assert [one for one in found if Verdict(one).proves(accept_flaky=True)] == ["passed"]


def test_a_ratchet_keeps_small_losses_from_adding_up() -> None:
    """Each step loses 6 % of a budget of 10; against the best that ever was, the second is too much."""
    step = [[94.0] * 9, [94.4] * 9, [93.6] * 9]
    assert decide(step, [[88.4] * 9], budget_pct=-10).verdict is Verdict.PASSED
    found = decide(step, [[88.4] * 9], budget_pct=-10, ratchet=100.0)
    assert found.verdict is Verdict.FAILED
    assert found.baseline == pytest.approx(100.0)
    assert decide(step, [[88.4] * 9], budget_pct=-10, ratchet=50.0) == decide(step, [[88.4] * 9], budget_pct=-10)
    for odd in (NAN, INF, 0.0, -1.0):
        assert decide(step, [[88.4] * 9], budget_pct=-10, ratchet=odd).verdict is Verdict.PASSED


def test_one_action_is_no_change() -> None:
    """Equal action keys are one proof, whatever two runs of it gave; without samples there is nothing to say."""
    assert decide(NOISY, [[50.0] * 9], budget_pct=-10, same=True).verdict is Verdict.PASSED
    assert decide([], [[50.0] * 9], budget_pct=-10, same=True).verdict is Verdict.INCONCLUSIVE


SAMPLE = st.floats(min_value=0.5, max_value=1e6)
JOBS = st.lists(st.lists(SAMPLE, min_size=1, max_size=8), min_size=1, max_size=4)


@LAW
@given(JOBS, JOBS, st.floats(min_value=-50, max_value=0), st.randoms(use_true_random=False))
def test_order_does_not_matter(baseline: Any, change: Any, budget: float, chance: Any) -> None:
    """Of samples, and of jobs; and the same question has the same answer."""
    mixed = [[list(job) for job in side] for side in (baseline, change)]
    for side in mixed:
        chance.shuffle(side)
        for job in side:
            chance.shuffle(job)
    assert decide(baseline, change, budget_pct=budget) == decide(mixed[0], mixed[1], budget_pct=budget)


@LAW
@given(JOBS, JOBS, st.floats(min_value=-50, max_value=0), st.sampled_from([0.5, 2.0, 4.0, 1024.0]))
def test_the_unit_does_not_matter(baseline: Any, change: Any, budget: float, unit: float) -> None:
    """Twice the figures on both sides are the same comparison."""
    one = decide(baseline, change, budget_pct=budget)
    scaled = ([[unit * sample for sample in job] for job in side] for side in (baseline, change))
    two = decide(*scaled, budget_pct=budget)
    assert (one.verdict, one.delta_pct) == (two.verdict, two.delta_pct)


@LAW
@given(JOBS, JOBS, st.floats(min_value=-50, max_value=0), st.floats(min_value=0, max_value=50))
def test_a_larger_budget_never_fails_what_passed(baseline: Any, change: Any, budget: float, more: float) -> None:
    """And a smaller one never passes what failed."""
    tight = decide(baseline, change, budget_pct=budget).verdict
    wide = decide(baseline, change, budget_pct=budget - more).verdict
    assert not (tight is Verdict.PASSED and wide is not Verdict.PASSED)
    assert not (wide is Verdict.FAILED and tight is not Verdict.FAILED)


@LAW
@given(JOBS, JOBS, st.floats(min_value=-50, max_value=0))
def test_a_pass_is_within_the_budget_with_room_for_the_noise(baseline: Any, change: Any, budget: float) -> None:
    """What passed lost less than the budget by the spread; what failed lost more by it."""
    found = decide(baseline, change, budget_pct=budget)
    if found.verdict is Verdict.INCONCLUSIVE:
        return
    assert found.delta_pct is not None
    assert found.spread_pct is not None
    assert len(baseline) >= 2
    if found.verdict is Verdict.PASSED:
        assert found.delta_pct - found.spread_pct >= budget - 1e-9
    else:
        assert found.delta_pct + found.spread_pct < budget + 1e-9


@LAW
@given(JOBS, JOBS, st.sampled_from([NAN, INF, -INF, -1.0]), st.integers(0, 1))
def test_one_bad_sample_decides_nothing(baseline: Any, change: Any, bad: float, side: int) -> None:
    """Wherever it stands."""
    (baseline, change)[side][0].append(bad)
    assert decide(baseline, change, budget_pct=-10).verdict is Verdict.INCONCLUSIVE


@LAW
@given(JOBS, JOBS)
def test_the_interval_is_an_interval(baseline: Any, change: Any) -> None:
    """Its ends are in order and are differences that samples can give."""
    low, high = interval(baseline, change)
    assert low <= high
    pools = [[sample for job in side for sample in job] for side in (baseline, change)]
    assume(min(pools[0]) > 0)
    assert low >= (min(pools[1]) / max(pools[0]) - 1) * 100 - 1e-6
    assert high <= (max(pools[1]) / min(pools[0]) - 1) * 100 + 1e-6


def test_many_samples_cost_little() -> None:
    """Of a hundred thousand, evenly chosen ones are drawn."""
    assert (
        decide([[100.0 + index % 7 for index in range(100_000)]] * 2, [[100.0] * 100_000], budget_pct=-10).verdict is Verdict.PASSED
    )


def test_json_has_no_number_that_is_none() -> None:
    """Figures are finite, or null."""
    for row in TABLE.values():
        found = decide(row[0], row[1], budget_pct=row[2], better=row[3]).to_dict()
        flat = [one for value in found.values() for one in (value if isinstance(value, list) else [value])]
        assert all(one is None or isinstance(one, str) or math.isfinite(one) for one in flat)


# -- in a build ----------------------------------------------------------------------------------------------------------------

PERF_GATES = """[meta]
version = "1"

[gates."run:speed"]
tier = "a"
timeout_s = 30
cmd = "cat speed.txt"
expects = { log = "tps {tps}", samples = { tps = 3 }, warmup = 1 }

[gates."perf:delta"]
tier = "a"
kind = "perf"
timeout_s = 0
compare_gate = "run:speed"
metric = "tps"

[bundles]
all = ["run:speed", "perf:delta"]
"""
BUDGET = """nmoe:
  issue: {issue}
  slug: work
  kind: perf
  risk: hot
  complexity: S
  depends_on: []
scope:
  allow: [nmoe/**]
gates:
  required: [run:speed]
  perf:
    gate: perf:delta
    metric: tps
    baseline_ref: main
    budget_pct: {budget}
"""


def speed(*figures: float) -> str:
    return "tps 1\n" + "".join(f"tps {one}\n" for one in figures)


@pytest.fixture
def timed(scratch: Scratch, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> Scratch:
    """A base that ran twice at about 100, a contract that may lose 10 %, and a branch."""
    monkeypatch.setenv("NMOE_GRAPH_SANDBOX", "folder")
    scratch.write("configs/gates/gates.toml", PERF_GATES)
    scratch.write("configs/contracts/01-work.yaml", BUDGET.format(issue="01", budget=-10))
    scratch.write("speed.txt", speed(100, 101, 99))
    scratch.commit("base")
    for _ in range(2):
        ask("build", "run:speed", "--no-cache", "--at", "main")
    scratch.git("checkout", "-q", "-b", "change")
    return scratch


def perf_row(ask: Ask, code: int, *args: str) -> dict[str, Any]:
    (row,) = [one for one in ask("build", "//contracts:01", *args, code=code)["gates"] if one["label"] == "//gates/perf:delta"]
    return dict(row)


@pytest.mark.parametrize(
    ("figures", "verdict", "code"),
    [
        ((98, 99, 97), "passed", 0),
        ((50, 51, 49), "failed", 1),
        ((90, 91, 89), "inconclusive", 1),
        ((70, 130, 100), "inconclusive", 1),
    ],
)
def test_a_contracts_budget(timed: Scratch, ask: Ask, cli: Cli, figures: Any, verdict: str, code: int) -> None:
    """The compare gate runs, its samples are held against the baseline's, and the first sample is left out."""
    timed.write("speed.txt", speed(*figures))
    timed.commit()
    for more in ((), ("--trusted", "main")):
        row = perf_row(ask, code, *more)
        assert (row["verdict"], row["proven"]) == (verdict, verdict == "passed"), row["reason"]
        assert row["perf"]["baseline"] == 100.0
        assert row["perf"]["result"] == sorted(figures)[1]
        assert row["perf"]["spread_pct"] == 0.0
        assert row["reason"].startswith("for 01: ")
    assert verdict in cli("build", "//contracts:01")[1].replace("not run", "")


def test_one_recorded_run_of_the_baseline_decides_nothing(timed: Scratch, ask: Ask, tmp_path: Any) -> None:
    """And none does not either, where nothing is run beside it: nobody's figure is taken for another's."""
    timed.replace("configs/gates/gates.toml", 'kind = "perf"', 'kind = "perf"\nrounds = 0')
    timed.write("speed.txt", speed(100, 100, 100))
    timed.commit()
    base = [one for one in ask("results")["results"] if one["label"] == "//gates/run:speed"]
    folder = timed.root / ".git/nmoe-graph/results" / base[0]["action_key"][:2] / base[0]["action_key"]
    first, second = sorted(folder.iterdir())
    second.unlink()
    assert "one job" in perf_row(ask, 1)["reason"]
    first.unlink()
    row = perf_row(ask, 1)
    assert (row["verdict"], "the baseline has no samples" in row["reason"]) == ("inconclusive", True)


def test_another_platform_is_no_baseline(timed: Scratch, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures of two machines of different kinds are not compared."""
    timed.replace("configs/gates/gates.toml", 'kind = "perf"', 'kind = "perf"\nrounds = 0')
    monkeypatch.setattr("nmoe_graph.execute.local.fingerprint", lambda *job: (("gpu", "another"),))
    timed.write("speed.txt", speed(100, 100, 100))
    timed.commit()
    assert "the baseline has no samples" in perf_row(ask, 1)["reason"]


def test_what_changes_nothing_of_the_action_passes(timed: Scratch, ask: Ask) -> None:
    """Its key is the baseline's."""
    timed.write("docs/a.txt", "other\n")
    timed.commit()
    assert "the same action" in perf_row(ask, 0)["reason"]


def test_without_a_proof_of_the_compare_gate_nothing_is_judged(timed: Scratch, ask: Ask) -> None:
    """A run that fails, or leaves no samples, has no figure."""
    timed.write("speed.txt", "tps nan\ntps 1\ntps 2\ntps 3\n")
    timed.commit()
    row = perf_row(ask, 1)
    assert (row["verdict"], row["proven"]) == ("not_run", False)
    assert "run:speed is not proven" in row["reason"]


def test_a_baseline_that_is_not_here(timed: Scratch, ask: Ask) -> None:
    """It decides nothing."""
    timed.replace("configs/contracts/01-work.yaml", "baseline_ref: main", "baseline_ref: origin/nowhere")
    timed.commit()
    row = perf_row(ask, 1)
    assert (row["verdict"], "cannot be read" in row["reason"]) == ("inconclusive", True)


def test_without_a_contract_a_perf_gate_is_not_run(timed: Scratch, ask: Ask) -> None:
    """In a bundle there is no budget."""
    rows = {row["label"]: row for row in ask("build", "//gates:all", code=1)["gates"]}
    assert rows["//gates/perf:delta"]["verdict"] == "not_run"
    assert rows["//gates/run:speed"]["proven"]


def test_what_a_budget_compares_is_proven_though_it_is_taken_out(timed: Scratch) -> None:
    """Nothing could be judged without it; the budget itself can be taken out."""
    workspace = Workspace.open(timed.root)
    rows = workspace.build(["//contracts:01", "-run:speed"]).gates
    assert [row.label for row in rows] == ["//gates/perf:delta", "//gates/run:speed"]
    assert [row.label for row in workspace.build(["//contracts:01", "-perf:delta"]).gates] == ["//gates/run:speed"]


def test_two_contracts_have_two_budgets(timed: Scratch, ask: Ask) -> None:
    """One gate, one run, two rows."""
    timed.write("configs/contracts/02-work.yaml", BUDGET.format(issue="02", budget=-60))
    timed.write("speed.txt", speed(60, 60, 60))
    timed.commit()
    rows = [row for row in ask("build", "//contracts:01", "//contracts:02", code=1)["gates"] if "perf" in row["label"]]
    assert [(row["reason"][:7], row["verdict"]) for row in rows] == [("for 01:", "failed"), ("for 02:", "passed")]
    assert rows[0]["action_key"] != rows[1]["action_key"]


def test_a_budget_of_trusted_definitions_is_the_bases(timed: Scratch, ask: Ask) -> None:
    """A change that gives itself a larger budget is judged by the old one."""
    timed.write("speed.txt", speed(60, 60, 60))
    timed.replace("configs/contracts/01-work.yaml", "-10", "-60")
    timed.commit()
    assert perf_row(ask, 0)["verdict"] == "passed"
    assert perf_row(ask, 1, "--trusted", "main")["verdict"] == "failed"


def test_a_ratchet_in_a_build(timed: Scratch, ask: Ask) -> None:
    """With `ratchet`, a loss is measured from the best that the baseline's history had."""
    timed.git("checkout", "-q", "main")
    timed.replace("configs/gates/gates.toml", 'metric = "tps"\n', 'metric = "tps"\nratchet = true\n')
    timed.write("speed.txt", speed(94, 94, 94))
    timed.commit("slower, within the budget")
    for _ in range(2):
        ask("build", "run:speed", "--no-cache", "--at", "main")
    timed.git("checkout", "-q", "-b", "next")
    timed.write("speed.txt", speed(88, 88, 88))
    timed.commit()
    row = perf_row(ask, 1)
    assert (row["verdict"], row["perf"]["baseline"]) == ("failed", 100.0)


# -- in a landing --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def landing(timed: Scratch, monkeypatch: pytest.MonkeyPatch) -> Scratch:
    """The same with a branch of contract 01 that may change the figures, and nobody on the base's branch."""
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "lander")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "lander@example.com")
    timed.git("checkout", "-q", "main")
    timed.replace("configs/contracts/01-work.yaml", "allow: [nmoe/**]", "allow: [speed.txt]")
    timed.commit("scope")
    timed.git("checkout", "-q", "-b", "issue/01-work")
    return timed


@pytest.mark.parametrize(("figures", "lands"), [((98, 99, 97), True), ((50, 51, 49), False)])
def test_a_budget_is_judged_where_it_lands(landing: Scratch, ask: Ask, cli: Cli, figures: Any, lands: bool) -> None:
    """Against the base that it lands on, from wherever it is asked: what keeps the budget lands, and what does not says why."""
    landing.write("speed.txt", speed(*figures))
    landing.commit("work")
    (step,) = ask("plan-merges", "--base", "main")["steps"]
    assert step["notes"] == ["its budget, -10 % of tps by perf:delta, is judged at the tree that lands"]
    before = landing.git("rev-parse", "main")
    code, out, err = cli("merge", "01", "--base", "main")
    assert code == 1 and "//gates/run:speed" in out and "hint: --prove" in err
    code, out, err = cli("merge", "01", "--base", "main", "--prove")
    assert "passed run:speed" in err
    if lands:
        assert code == 0 and "01  landed as" in out
        assert landing.git("show", "main:speed.txt") == landing.read("speed.txt").strip()
    else:
        assert code == 1 and "//gates/perf:delta: -50.00 % against a budget of -10 %" in out
        assert landing.git("rev-parse", "main") == before


def test_a_budget_that_recorded_jobs_do_not_decide_is_compared_in_a_landing(landing: Scratch, ask: Ask, cli: Cli) -> None:
    """Without --prove it is said that it would run; with it, both sides run by turns, and the comparison decides."""
    landing.write("speed.txt", speed(70, 130, 100))
    landing.commit("work")
    ask("build", "run:speed")
    code, out, _ = cli("merge", "01", "--base", "main")
    assert code == 1 and "//gates/perf:delta: would run baseline and change interleaved" in out
    code, out, err = cli("merge", "01", "--base", "main", "--prove")
    assert code == 1 and "running perf:delta" in err
    assert "//gates/perf:delta: +0.00 % against a budget of -10 %, by 4 interleaved rounds" in out


def test_the_first_batch_lands_and_what_comes_after_it_is_named(landing: Scratch, ask: Ask) -> None:
    """A budget is judged alone, so two contracts are two batches; whoever names none hears which one is left."""
    landing.write("speed.txt", speed(98, 99, 97))
    landing.commit("work")
    landing.git("checkout", "-q", "main")
    landing.contract("02")
    landing.replace("configs/contracts/02-work.yaml", "cpu:import", "run:speed")
    landing.commit("another")
    landing.git("checkout", "-q", "-b", "issue/02-work")
    landing.replace("nmoe/a.py", "X = 1", "X = 2")
    landing.commit("work of 02")
    landing.git("checkout", "-q", "main")
    (first, second) = [batch["contracts"] for batch in ask("plan-merges", "--base", "main")["batches"]]
    found = ask("merge", "--train", "--prove", "--base", "main")
    assert [one["contract"] for one in found["contracts"]] == first
    assert found["notes"] == [f"the first batch of 2; after it: {second[0]}"]
    found = ask("merge", "--train", "--prove", "--base", "main")
    assert ([one["contract"] for one in found["contracts"]], found["notes"]) == (second, [])


def test_a_budget_is_not_judged_by_the_figures_of_a_train(landing: Scratch, ask: Ask, cli: Cli) -> None:
    """What another contract gains would hide what this one costs: in a train of two, nothing lands."""
    landing.write("speed.txt", speed(50, 51, 49))
    landing.commit("slower")
    landing.git("checkout", "-q", "main")
    landing.contract("02")
    landing.replace("configs/contracts/02-work.yaml", "cpu:import", "run:speed")
    landing.replace("configs/contracts/02-work.yaml", "nmoe/**", "more.txt")
    before = landing.commit("another")
    landing.git("checkout", "-q", "-b", "issue/02-work")
    landing.write("more.txt", "faster\n")
    landing.commit("work of 02")
    landing.git("checkout", "-q", "main")
    code, out, _ = cli("merge", "--train", "--prove", "--base", "main", "01", "02")
    assert code == 1 and "a train has one figure for all: land it by itself" in out
    assert landing.git("rev-parse", "main") == before
