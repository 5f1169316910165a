"""Baseline and change interleaved in one job: a table, laws, how often chance alone decides, and builds with scripted figures."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Scratch
from hypothesis import given, settings
from hypothesis import strategies as st

from nmoe_graph import Verdict, Workspace
from nmoe_graph.plan.interleaved import BASELINE, CHANGE, STUDENT, decide_interleaved, order

Cli = Callable[..., tuple[int, str, str]]
Ask = Callable[..., Any]
LAW = settings(deadline=None, derandomize=True, max_examples=40)
NAN, INF = float("nan"), float("inf")

FLAT = [[100.0] * 5] * 4
DRIFT = [[100.0 * factor] * 5 for factor in (1.0, 0.8, 0.6, 0.4)]  # a machine that gets slower and slower


def run(baseline: Any, change: Any, budget: float = -10, better: str = "higher", **more: Any) -> Any:
    return decide_interleaved(baseline, change, budget_pct=budget, better=better, **{"seed": 1, **more})


def times(runs: Any, *factors: float) -> list[list[float]]:
    return [[one * factors[number % len(factors)] for one in job] for number, job in enumerate(runs)]


#: baseline runs, change runs, budget, better -> verdict, a word of the reason
TABLE: dict[str, tuple[Any, Any, float, str, str, str]] = {
    "no change": (FLAT, FLAT, -10, "higher", "passed", "+0.00 %"),
    "no change, and a machine that drifts": (DRIFT, DRIFT, -10, "higher", "passed", "4 interleaved rounds"),
    "a loss within, and a machine that drifts": (DRIFT, times(DRIFT, 0.95), -10, "higher", "passed", "-5.00 %"),
    "a loss beyond, and a machine that drifts": (DRIFT, times(DRIFT, 0.8), -10, "higher", "failed", "-20.00 %"),
    "better": (FLAT, times(FLAT, 1.3), -10, "higher", "passed", "+30.00 %"),
    "a budget of nothing, nothing lost": (FLAT, FLAT, 0, "higher", "passed", "+0.00 %"),
    "a budget of nothing, a little lost": (FLAT, times(FLAT, 0.999), 0, "higher", "failed", "-0.10 %"),
    "noise around no change": (FLAT, times(FLAT, 0.8, 1.2), -10, "higher", "inconclusive", "nothing is shown"),
    "noise around the budget": (FLAT, times(FLAT, 0.88, 0.92), -10, "higher", "inconclusive", "nothing is shown"),
    "noise far beyond the budget": (FLAT, times(FLAT, 0.5, 0.52), -10, "higher", "failed", "4 interleaved rounds"),
    "noise within one run": (FLAT, [[60.0, 100.0, 140.0]] * 4, -10, "higher", "inconclusive", "nothing is shown"),
    "one round that is out of line": (FLAT, [*FLAT[:3], [50.0] * 5], -10, "higher", "inconclusive", "nothing is shown"),
    "lower is better, grown within": (FLAT, times(FLAT, 1.05), 10, "lower", "passed", "+5.00 %"),
    "lower is better, grown beyond": (FLAT, times(FLAT, 1.2), 10, "lower", "failed", "+20.00 %"),
    "lower is better, fallen": (FLAT, times(FLAT, 0.5), 10, "lower", "passed", "-50.00 %"),
    "two rounds that agree": (FLAT[:2], FLAT[:2], -10, "higher", "passed", "2 interleaved rounds"),
    "two rounds that nearly agree": (FLAT[:2], times(FLAT[:2], 0.99, 1.01), -10, "higher", "inconclusive", "nothing is shown"),
    "one round": (FLAT[:1], FLAT[:1], -10, "higher", "inconclusive", "no rounds"),
    "a round without the change": (FLAT, FLAT[:3], -10, "higher", "inconclusive", "no rounds"),
    "no rounds": ([], [], -10, "higher", "inconclusive", "no samples"),
    "a run without samples": (FLAT, [*FLAT[:3], []], -10, "higher", "inconclusive", "a run of the change has no samples"),
    "a run of the baseline without samples": ([*FLAT[:3], []], FLAT, -10, "higher", "inconclusive", "a run of the baseline has"),
    "a sample that is no number": (FLAT, [*FLAT[:3], [NAN]], -10, "higher", "inconclusive", "no finite number"),
    "a sample without end": ([*FLAT[:3], [INF]], FLAT, -10, "higher", "inconclusive", "no finite number"),
    "a negative sample": (FLAT, [*FLAT[:3], [-1.0]], -10, "higher", "inconclusive", "negative"),
    "a baseline of nothing": ([*FLAT[:3], [0.0]], FLAT, -10, "higher", "inconclusive", "not above zero"),
    "a change of nothing": (FLAT, [[0.0]] * 4, -10, "higher", "failed", "-100.00 %"),
    "figures without measure": ([[1e-308]] * 4, [[1e308]] * 4, -10, "higher", "inconclusive", "too far apart"),
    "a budget that is no number": (FLAT, FLAT, NAN, "higher", "inconclusive", "no finite number"),
    "a budget without end": (FLAT, FLAT, -INF, "higher", "inconclusive", "no finite number"),
    "a budget of the wrong sign": (FLAT, FLAT, 10, "higher", "inconclusive", "bounds no loss"),
    "a budget of the wrong sign, lower": (FLAT, FLAT, -10, "lower", "inconclusive", "bounds no loss"),
}


@pytest.mark.parametrize("case", TABLE)
def test_table(case: str) -> None:
    """What is decided of which runs; no figure in the answer is without measure."""
    baseline, change, budget, better, verdict, word = TABLE[case]
    found = run(baseline, change, budget, better)
    assert found.verdict.value == verdict, found
    assert word in found.reason
    assert found.way == "interleaved"
    assert "NaN" not in json.dumps(found.to_dict()) and "Infinity" not in json.dumps(found.to_dict())


def test_recorded_jobs_that_drift_would_have_lied() -> None:
    """What the interleaving is for: the same figures, recorded one side after the other, fail a change that changes nothing."""
    from nmoe_graph.plan.perf import decide

    first, then = DRIFT[:2], DRIFT[2:]
    assert decide([first[0], [99.0] * 5], then, budget_pct=-10).verdict is Verdict.FAILED
    assert run(DRIFT, DRIFT).verdict is Verdict.PASSED


def test_the_order_is_balanced() -> None:
    """Every side runs once a round, and is first in half of them."""
    turns = order(4)
    assert turns[:4] == ((BASELINE, 1), (CHANGE, 1), (CHANGE, 2), (BASELINE, 2))
    assert len(set(turns)) == 8
    assert [side for side, _ in turns[::2]].count(BASELINE) == 2
    places = {side: sum(at for at, turn in enumerate(turns) if turn[0] == side) for side in (BASELINE, CHANGE)}
    assert places[BASELINE] == places[CHANGE]  # so a linear drift weighs on both alike


def test_students_quantiles() -> None:
    """The table against the integral of the density, by Simpson's rule."""
    for freedom, quantile in enumerate(STUDENT, 1):
        scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(freedom * math.pi)
        steps = 4000
        width = quantile / steps
        values = [scale * (1 + (at * width) ** 2 / freedom) ** (-(freedom + 1) / 2) for at in range(steps + 1)]
        half = width / 3 * (values[0] + values[-1] + 4 * sum(values[1:-1:2]) + 2 * sum(values[2:-1:2]))
        assert half == pytest.approx(0.475, abs=4e-6), freedom


RUNS = st.lists(st.tuples(*[st.lists(st.floats(min_value=50, max_value=150), min_size=1, max_size=5)] * 2), min_size=2, max_size=6)
BUDGETS = st.floats(min_value=-50, max_value=0)


def split(pairs: Any) -> tuple[Any, Any]:
    return [one for one, _ in pairs], [two for _, two in pairs]


@LAW
@given(RUNS, BUDGETS, st.randoms(use_true_random=False))
def test_order_does_not_matter(pairs: Any, budget: float, chance: Any) -> None:
    """Of samples within a run, and of rounds as pairs; and the same question has the same answer."""
    mixed = [(chance.sample(one, len(one)), chance.sample(two, len(two))) for one, two in pairs]
    chance.shuffle(mixed)
    one, two = run(*split(pairs), budget), run(*split(mixed), budget)
    assert (one.verdict, one.to_dict()) == (two.verdict, two.to_dict())


@LAW
@given(RUNS, BUDGETS, st.sampled_from([0.5, 2.0, 1024.0]))
def test_the_unit_does_not_matter(pairs: Any, budget: float, unit: float) -> None:
    """Twice the figures on both sides are the same comparison."""
    scaled = [times(side, unit) for side in split(pairs)]
    one, two = run(*split(pairs), budget), run(*scaled, budget)
    assert (one.verdict, one.low_pct, one.high_pct) == (two.verdict, two.low_pct, two.high_pct)


@LAW
@given(RUNS, BUDGETS, st.floats(min_value=0, max_value=50), st.floats(min_value=1, max_value=3))
def test_more_room_or_more_speed_never_hurts(pairs: Any, budget: float, more: float, faster: float) -> None:
    """What passed passes with a larger budget, and with every figure of the change better; what failed did not pass before."""
    baseline, change = split(pairs)
    tight = run(baseline, change, budget).verdict
    for wide in (run(baseline, change, budget - more).verdict, run(baseline, times(change, faster), budget).verdict):
        assert not (tight is Verdict.PASSED and wide is not Verdict.PASSED)
        assert not (wide is Verdict.FAILED and tight is not Verdict.FAILED)


@LAW
@given(RUNS, BUDGETS)
def test_no_verdict_contradicts_its_figures(pairs: Any, budget: float) -> None:
    """The difference that is shown lies in the interval, and on the side of the budget that the verdict says."""
    found = run(*split(pairs), budget)
    assert found.low_pct <= found.delta_pct <= found.high_pct
    assert found.delta_pct == pytest.approx((found.result - found.baseline) / found.baseline * 100)
    if found.verdict is not Verdict.INCONCLUSIVE:
        assert (found.delta_pct >= budget) == (found.verdict is Verdict.PASSED)


@LAW
@given(RUNS, st.sampled_from([NAN, INF, -INF, -1.0]), st.integers(0, 1))
def test_one_bad_sample_decides_nothing(pairs: Any, bad: float, side: int) -> None:
    """Wherever it stands."""
    sides = split(pairs)
    sides[side][0].append(bad)
    assert run(*sides).verdict is Verdict.INCONCLUSIVE


def test_the_ratchet_is_only_ever_stricter() -> None:
    """A shift moves the mark up where higher is better, and one that would move it down does not count."""
    slower = times(FLAT, 0.94)
    assert run(FLAT, slower).verdict is Verdict.PASSED
    found = run(FLAT, slower, shift=1.1)
    assert (found.verdict, found.baseline) == (Verdict.FAILED, pytest.approx(110.0))
    for odd in (0.5, 1.0, 0.0, -1.0, NAN, INF):
        assert run(FLAT, slower, shift=odd).to_dict() == run(FLAT, slower).to_dict()
    assert run(FLAT, times(FLAT, 1.06), 10, "lower", shift=0.9).verdict is Verdict.FAILED


@pytest.mark.parametrize("rounds", [2, 4, 6])
def test_chance_alone_seldom_decides(rounds: int) -> None:
    """Where the loss is the budget to the last digit, a pass and a fail are both wrong: neither comes more often than in 5 %.

    Rounds differ by 3 %, samples within a run by 2 %, and the machine drifts; the interval is made for 2.5 % a side.
    """
    chance = random.Random(rounds)
    found = []
    for trial in range(200):
        sides: dict[str, list[list[float]]] = {BASELINE: [], CHANGE: []}
        for at, (side, _) in enumerate(order(rounds)):
            level = (100.0 if side == BASELINE else 90.0) * chance.gauss(1, 0.03) * (1 - 0.002 * at)
            sides[side].append([level * chance.gauss(1, 0.02) for _ in range(7)])
        sides[CHANGE] = [one for _, one in sorted(zip([n for s, n in order(rounds) if s == CHANGE], sides[CHANGE], strict=True))]
        found.append(run(sides[BASELINE], sides[CHANGE], seed=trial).verdict)
    assert found.count(Verdict.PASSED) <= 10
    assert found.count(Verdict.FAILED) <= 10


# -- in a build ----------------------------------------------------------------------------------------------------------------

GATES = """[meta]
version = "1"

[gates."run:speed"]
tier = "a"
timeout_s = 30
cmd = "python speed.py"
inputs = ["speed.py", "figures.txt"]
requires = [{ name = "COUNT_ROOT", write = true }]
expects = { log = "tps {tps}", warmup = 1 }

[gates."perf:delta"]
tier = "a"
kind = "perf"
timeout_s = 0
compare_gate = "run:speed"
metric = "tps"

[bundles]
all = ["run:speed", "perf:delta"]
"""
CONTRACT = """nmoe:
  issue: 01
  slug: work
  kind: perf
  risk: hot
  complexity: S
  depends_on: []
scope:
  allow: [figures.txt]
gates:
  required: [run:speed]
  perf:
    gate: perf:delta
    metric: tps
    baseline_ref: main
    budget_pct: -10
"""
#: Prints the figures of the line whose turn it is; the turns of each side are counted outside of the sandbox.
SPEED = """import os, pathlib, sys, time
lines = pathlib.Path("figures.txt").read_text().splitlines()
side, lines = lines[0], lines[1:]
count = pathlib.Path(os.environ["COUNT_ROOT"], side)
turn = len(count.read_text().split()) if count.exists() else 0
with open(count.parent / "order", "a") as handle: handle.write(side + "\\n")
with open(count, "a") as handle: handle.write(f"{os.getcwd()}\\n")
assert not pathlib.Path("left").exists()
pathlib.Path("left").write_text("of an earlier run")
words = lines[turn % len(lines)].split()
if words[0] == "sleep": time.sleep(20)
if words[0] == "crash": sys.exit(3)
if words[0] == "silent": words = []
print("tps 1")
for one in words: print("tps", one)
"""


@pytest.fixture
def bench(scratch: Scratch, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Scratch:
    """A base that never ran, a contract that may lose 10 %, and a branch."""
    monkeypatch.setenv("NMOE_GRAPH_SANDBOX", "folder")
    monkeypatch.setenv("COUNT_ROOT", str(tmp_path / "count"))
    (tmp_path / "count").mkdir()
    scratch.write("configs/gates/gates.toml", GATES)
    scratch.write("configs/contracts/01-work.yaml", CONTRACT)
    scratch.write("speed.py", SPEED)
    scratch.write("figures.txt", "baseline\n100 101 99\n")
    scratch.commit("base")
    scratch.git("checkout", "-q", "-b", "issue/01-work")
    return scratch


def turns(tmp_path: Path, side: str = "order") -> list[str]:
    file = tmp_path / "count" / side
    return file.read_text().split() if file.exists() else []


def judged(ask: Ask, code: int, *args: str) -> dict[str, Any]:
    (row,) = [one for one in ask("build", "//contracts:01", *args, code=code)["gates"] if one["label"] == "//gates/perf:delta"]
    return dict(row)


@pytest.mark.parametrize(
    ("figures", "verdict", "word"),
    [
        ("98 99 97\n", "passed", "-2.00 % against a budget of -10 %, by 4 interleaved rounds"),
        ("80 81 79\n", "failed", "-20.00 % against a budget of -10 %, by 4 interleaved rounds"),
        ("80 80 80\n80 80 80\n120 120 120\n", "inconclusive", "nothing is shown"),
        ("98\ncrash\n", "failed", "round 1 of 4, the change failed: exit 3"),
        ("98\nsilent\n", "failed", "round 1 of 4, the change left no samples of tps"),
        ("98\nnan\n", "failed", "left no samples of tps"),
        ("98\n98\n-1\n", "failed", "round 2 of 4, the change left no samples of tps"),
    ],
)
def test_a_budget_by_interleaved_runs(bench: Scratch, ask: Ask, tmp_path: Path, figures: str, verdict: str, word: str) -> None:
    """With nothing recorded at the baseline both run here, in turn, each in its own folder; the first sample is left out."""
    bench.write("figures.txt", f"change\n{figures}")
    bench.commit()
    row = judged(ask, 0 if verdict == "passed" else 1, "--trusted", "main")
    assert (row["verdict"], row["proven"]) == (verdict, verdict == "passed"), row["reason"]
    assert row["reason"].startswith("for 01: ") and word in row["reason"]
    assert turns(tmp_path)[:5] == ["change", "baseline", "change", "change", "baseline"][: len(turns(tmp_path))]
    folders = turns(tmp_path, "baseline") + turns(tmp_path, "change")
    assert len(set(folders)) == len(folders)
    store = Workspace.open(bench.root).store
    (kept,) = store.results(row["action_key"])
    assert kept.verdict.value == verdict
    log = store.log(kept)
    assert log is not None and b"[baseline, round 1 of 4]\ntps 1\ntps 100" in log
    if "rounds" in word or "shown" in word:
        assert len(turns(tmp_path)) == 9
        assert row["perf"]["way"] == "interleaved"
        assert sorted(kept.metrics) == sorted(f"{side}.{number}" for side in (BASELINE, CHANGE) for number in (1, 2, 3, 4))
        assert kept.metrics["baseline.1"] == (100.0, 101.0, 99.0)


def test_a_baseline_that_crashes_says_nothing_of_the_change(bench: Scratch, ask: Ask, tmp_path: Path) -> None:
    """It is named, it is no pass, and it is no failure of the change either."""
    bench.git("checkout", "-q", "main")
    bench.write("figures.txt", "baseline\n100\ncrash\n")
    bench.commit("a base that fails now and then")
    bench.git("checkout", "-q", "-B", "issue/01-work")
    bench.write("figures.txt", "change\n100\n")
    bench.commit()
    row = judged(ask, 1)
    assert (row["verdict"], row["proven"]) == ("inconclusive", False)
    assert "round 2 of 4, the baseline failed: exit 3" in row["reason"]
    assert turns(tmp_path, "baseline")


def test_a_pass_is_not_run_twice_and_anything_else_is(bench: Scratch, ask: Ask, tmp_path: Path) -> None:
    """By its key: at another commit with the same inputs, too; with another budget, number of rounds or code not."""
    bench.write("figures.txt", "change\n100 100\n")
    bench.commit()
    assert not judged(ask, 0)["cached"]
    ran = len(turns(tmp_path))
    bench.write("docs/a.txt", "other\n")
    bench.commit()
    row = judged(ask, 0)
    assert (row["cached"], row["proven"], len(turns(tmp_path))) == (True, True, ran)
    bench.replace("configs/contracts/01-work.yaml", "-10", "-20")
    bench.commit()
    assert not judged(ask, 0)["cached"]
    assert len(turns(tmp_path)) == ran + 8
    bench.replace("configs/gates/gates.toml", 'metric = "tps"\n', 'metric = "tps"\nrounds = 2\n')
    bench.commit()
    assert not judged(ask, 0)["cached"]
    assert len(turns(tmp_path)) == ran + 12
    bench.write("figures.txt", "change\n50 50\n")
    bench.commit()
    for _ in range(2):
        assert judged(ask, 1)["verdict"] == "failed"
    assert len(turns(tmp_path)) == ran + 12 + 1 + 8


def test_a_kept_verdict_is_worth_its_samples(bench: Scratch, ask: Ask, tmp_path: Path) -> None:
    """A result that calls itself passed and whose samples do not say so is no proof: the comparison is made."""
    bench.write("figures.txt", "change\n50 50\n")
    bench.commit()
    row = judged(ask, 1)
    store = Workspace.open(bench.root).store
    (kept,) = store.results(row["action_key"])
    store.record(replace(kept, verdict=Verdict.PASSED, reason=""), b"log")
    store.record(replace(kept, verdict=Verdict.PASSED, reason="", metrics={}), b"log")
    ran = len(turns(tmp_path))
    assert judged(ask, 1)["verdict"] == "failed"
    assert len(turns(tmp_path)) == ran + 8


def test_without_rounds_recorded_jobs_alone_decide(bench: Scratch, ask: Ask, tmp_path: Path) -> None:
    """`rounds = 0`; an odd number, and rounds at a gate that runs, are refused."""
    bench.replace("configs/gates/gates.toml", 'metric = "tps"\n', 'metric = "tps"\nrounds = 0\n')
    bench.write("figures.txt", "change\n100 100\n")
    bench.commit()
    row = judged(ask, 1)
    assert (row["verdict"], "the baseline has no samples" in row["reason"]) == ("inconclusive", True)
    assert len(turns(tmp_path)) == 1


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ('metric = "tps"', 'metric = "tps"\nrounds = 3', "odd"),
        ('metric = "tps"', 'metric = "tps"\nrounds = 22', "20"),
        ('metric = "tps"', 'metric = "tps"\nrounds = -2', "0"),
        ('cmd = "python speed.py"', 'cmd = "python speed.py"\nrounds = 4', "belongs to gates of kind perf"),
    ],
)
def test_rounds_that_make_no_sense(bench: Scratch, cli: Cli, old: str, new: str, word: str) -> None:
    """With the place and the reason."""
    bench.replace("configs/gates/gates.toml", old, new)
    code, _, err = cli("build", "//contracts:01")
    assert code == 2 and "gates.toml" in err and word in err


def test_a_machine_that_cannot_run_it(bench: Scratch, ask: Ask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Not run, with what is missing; a dry run says what it would do; and what was proven elsewhere is reused all the same."""
    bench.write("figures.txt", "change\n100 100\n")
    bench.commit()
    ask("build", "run:speed")
    ran = len(turns(tmp_path))
    row = judged(ask, 1, "--dry-run")
    assert (row["verdict"], "would run baseline and change interleaved, 4 rounds" in row["reason"]) == ("not_run", True)
    with monkeypatch.context() as without:
        without.delenv("COUNT_ROOT")
        row = judged(ask, 3)
        assert (row["verdict"], "needs COUNT_ROOT" in row["reason"]) == ("not_run", True)
        assert len(turns(tmp_path)) == ran
    assert judged(ask, 0)["verdict"] == "passed"
    monkeypatch.delenv("COUNT_ROOT")
    assert judged(ask, 0)["cached"]


def test_a_build_that_is_killed_in_between_starts_anew(bench: Scratch, ask: Ask, tmp_path: Path) -> None:
    """Half a comparison is none: nothing is kept, no process is left, and the next build has all of its rounds."""
    bench.write("figures.txt", "change\n100\n100\nsleep\n50\n50\n50\n50\n")
    bench.commit()
    process = subprocess.Popen([sys.executable, "-m", "nmoe_graph", "build", "//contracts:01"], cwd=bench.root)
    until = time.monotonic() + 30
    while len(turns(tmp_path, "change")) < 3 and time.monotonic() < until:
        time.sleep(0.05)
    assert len(turns(tmp_path, "change")) == 3
    process.send_signal(signal.SIGKILL)
    process.wait()
    store = Workspace.open(bench.root).store
    assert [one for one in store.all() if one.label == "//gates/perf:delta"] == []
    row = judged(ask, 1)
    assert row["verdict"] == "failed", row["reason"]
    assert (row["perf"]["result"], len(turns(tmp_path, "change"))) == (50.0, 7)
    time.sleep(0.2)
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                assert (
                    f"COUNT_ROOT={tmp_path}/count".encode() not in Path("/proc", name, "environ").read_bytes()
                    or int(name) == os.getpid()
                )
            except OSError:
                continue


def test_one_limit_for_the_whole_comparison(bench: Scratch, ask: Ask) -> None:
    """A perf gate's own `timeout_s`, where it has one, ends the comparison."""
    bench.replace("configs/gates/gates.toml", "timeout_s = 0", "timeout_s = 1")
    bench.write("figures.txt", "change\n100\nsleep\n")
    bench.commit()
    row = judged(ask, 1)
    assert not row["proven"] and "ran into its limit" in row["reason"]


def test_swapped_sides_would_be_noticed(bench: Scratch, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant of this file: with the two sides exchanged, a change that is too slow passes, so the table above can fail."""
    from nmoe_graph.execute import interleaved

    bench.write("figures.txt", "change\n50 50\n")
    bench.commit()
    assert judged(ask, 1)["verdict"] == "failed"
    other = {BASELINE: CHANGE, CHANGE: BASELINE}
    monkeypatch.setattr(interleaved, "run_name", lambda side, number: f"{other[side]}.{number}")
    assert judged(ask, 0)["verdict"] == "passed"


def test_a_ratchet_by_interleaved_runs(bench: Scratch, ask: Ask, cli: Cli) -> None:
    """The best figure that was recorded before the baseline moves the mark, and is kept with the samples."""
    bench.git("checkout", "-q", "main")
    bench.replace("configs/gates/gates.toml", 'metric = "tps"\n', 'metric = "tps"\nratchet = true\n')
    bench.commit("a ratchet")
    ask("build", "run:speed", "--at", "main")
    bench.write("figures.txt", "baseline\n94 94\n")
    bench.commit("slower, within the budget")
    bench.git("checkout", "-q", "-B", "issue/01-work")
    bench.write("figures.txt", "change\n88 88\n")
    bench.commit()
    row = judged(ask, 1)
    assert (row["verdict"], row["perf"]["way"], row["perf"]["baseline"]) == ("failed", "interleaved", 100.0)
    (kept,) = Workspace.open(bench.root).store.results(row["action_key"])
    assert kept.metrics["ratchet"] == (pytest.approx(100 / 94),)
