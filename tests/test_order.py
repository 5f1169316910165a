"""The optimiser: against brute force with costs found by doing, and against the laws of a plan."""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
from pathlib import Path

import landing_by_hand
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from landing_by_hand import Instance, Item

from nmoe_graph.plan.conflicts import choose
from nmoe_graph.plan.cost import Candidate, GatePrice
from nmoe_graph.plan.order import Planned, plan_batches
from nmoe_graph.plan.risk import PRIORS, entropy, golomb_size, median_split, posterior

#: More instances for a night: NMOE_GRAPH_PLANS=20.
TIMES = int(os.environ.get("NMOE_GRAPH_PLANS", "1"))


def instance(rng: random.Random, size: int) -> Instance:
    """Contracts over up to three gates: some proofs are there already, some must ride alone, some stand on others."""
    gates = ["a", "b", "c"][: rng.randint(1, 3)]
    edges = {2: 0.2, 3: 0.2, 4: 0.2, 5: 0.4, 6: 0.6, 7: 0.75}[size]
    items = []
    for number in range(size):
        touches = frozenset(gate for gate in gates if rng.random() < 0.6)
        requires = frozenset(gate for gate in gates if rng.random() < 0.5)
        after = frozenset(f"{other:02d}" for other in range(number) if rng.random() < edges)
        items.append(
            Item(f"{number:02d}", rng.choice([0, 0.01, 0.05, 0.15, 0.3, 0.5]), requires, touches, after, rng.random() < 0.08)
        )
    proven: set[tuple[str, frozenset[str]]] = set()
    for gate in gates:
        if rng.random() < 0.8:
            proven.add((gate, frozenset()))
        proven |= {(gate, frozenset([item.name])) for item in items if gate in item.touches and rng.random() < 0.15}
        both = frozenset(item.name for item in rng.sample(items, 2) if gate in item.touches)
        if both and rng.random() < 0.1:
            proven.add((gate, both))
    return Instance(tuple(items), {gate: float(rng.choice([0, 1, 2, 5, 10])) for gate in gates}, frozenset(proven))


def planned(one: Instance, **options: int) -> Planned:
    candidates = [Candidate(item.name, item.risk, item.requires, item.touches, item.after, item.alone) for item in one.items]
    return plan_batches(candidates, {gate: GatePrice(price, price) for gate, price in one.prices.items()}, one.proven, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("size", "count"), [(2, 500), (3, 600), (4, 50), (5, 14), (6, 4), (7, 2)])
def test_no_order_and_no_batches_are_cheaper(size: int, count: int) -> None:
    """All linear extensions, all ways to cut them into batches, each landed by hand under every way that faults can lie: the
    plan's cost is what landing it by hand costs, is the least of all, and is not below the bound that it prints."""
    rng = random.Random(size)
    for _ in range(count * TIMES):
        one = instance(rng, size)
        most = rng.choice([99, 99, 2])
        found = planned(one, max_batch=0 if most == 99 else most)
        assert found.exact
        cost, least = landing_by_hand.expected(one, found.batches), landing_by_hand.best(one, most)
        assert found.gpu_minutes == pytest.approx(cost, abs=2e-6), one
        assert cost == pytest.approx(least, abs=1e-6), one
        assert found.bound_gpu_minutes <= least + 2e-6, one
        assert max(map(len, found.batches)) <= most


def test_the_comparison_can_fail() -> None:
    """Landing in another order, or in other batches, costs more where it should."""
    two = Item("01", 0.3, frozenset("a"), frozenset("a"), frozenset()), Item("02", 0.0, frozenset("a"), frozenset("a"), frozenset())
    one = Instance(two, {"a": 10.0}, frozenset({("a", frozenset())}))
    assert landing_by_hand.expected(one, [["02"], ["01"]]) > landing_by_hand.best(one) + 1
    assert planned(one).batches == (("02", "01"),)


def test_the_beam_is_near_the_best_and_never_below_its_bound() -> None:
    """Where the exact search is refused, the beam's plan costs little more; its own figure is again what landing it costs."""
    rng = random.Random(99)
    excess = []
    for size in (3, 4, 5, 6) * 12:
        one = instance(rng, size)
        best, found = planned(one), planned(one, most_exact=0)
        assert best.exact and not found.exact
        assert found.gpu_minutes >= best.gpu_minutes - 1e-6 >= found.bound_gpu_minutes - 2e-6
        if size < 5:
            assert found.gpu_minutes == pytest.approx(landing_by_hand.expected(one, found.batches), abs=2e-6)
        excess.append(found.gpu_minutes / best.gpu_minutes - 1 if best.gpu_minutes else 0.0)
    assert sum(excess) / len(excess) < 0.02 and max(excess) < 0.35, sorted(excess)[-5:]


@st.composite
def many(draw: st.DrawFn) -> list[Candidate]:
    size = draw(st.integers(1, 14))
    gates = st.frozensets(st.sampled_from("abcd"), max_size=4)
    made = []
    for number in range(size):
        after = draw(st.frozensets(st.sampled_from([f"{one:02d}" for one in range(number)]), max_size=3)) if number else frozenset()
        made.append(
            Candidate(
                f"{number:02d}", draw(st.floats(0, 0.9)), draw(gates), draw(gates), after, draw(st.booleans()) and number % 5 == 0
            )
        )
    return made


PRICES = {gate: GatePrice(cost, cost / 8) for gate, cost in zip("abcd", (0.0, 8.0, 40.0, 120.0), strict=True)}


@settings(max_examples=40, deadline=None)
@given(many(), st.randoms(use_true_random=False), st.sampled_from([0, 1, 3]), st.sampled_from(["gpu", "time"]))
def test_plans_keep_every_edge_and_do_not_depend_on_the_input_order(candidates, rng, most, objective) -> None:  # type: ignore[no-untyped-def]
    """Nobody is lost or lands before what it stands on, who must ride alone does, and a shuffle changes nothing."""
    found = plan_batches(candidates, PRICES, max_batch=most, objective=objective, most_exact=300)
    order = [name for batch in found.batches for name in batch]
    assert sorted(order) == [one.issue for one in candidates]
    assert all(order.index(parent) < order.index(one.issue) for one in candidates for parent in one.after)
    assert all(len(batch) == 1 for batch in found.batches for one in candidates if one.alone and one.issue in batch)
    assert not most or max(map(len, found.batches)) <= most
    assert found.bound_gpu_minutes <= found.gpu_minutes + 1e-6
    shuffled = list(candidates)
    rng.shuffle(shuffled)
    assert plan_batches(shuffled, dict(reversed(PRICES.items())), max_batch=most, objective=objective, most_exact=300) == found


def test_the_hash_seed_changes_nothing() -> None:
    """Three processes with other seeds print the same plan."""
    code = (
        "import random, test_order as t\n"
        "rng = random.Random(5)\n"
        "for size in (4, 5, 6, 7): print(t.planned(one := t.instance(rng, size)), t.planned(one, most_exact=0))"
    )
    said = set()
    for seed in ("0", "1", "random"):
        env = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parent)}
        said.add(subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=True).stdout)
    assert len(said) == 1 and said.pop().count(b"Planned(") == 8


def test_what_is_proven_lands_first_and_free() -> None:
    """A contract whose gates are proven on the base alone costs nothing in front, and a run behind."""
    two = [Candidate("01", 0.1, frozenset("a"), frozenset("a")), Candidate("02", 0.1, frozenset("a"), frozenset("a"))]
    found = plan_batches(two, {"a": GatePrice(80, 10)}, frozenset({("a", frozenset()), ("a", frozenset({"02"}))}))
    assert found.batches == (("02",), ("01",)) and found.batch_costs[0] == (0.0, 0.0)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 7).flatmap(
        lambda n: st.tuples(
            st.just(n),
            st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6))),
            st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6))),
        )
    )
)
def test_the_largest_set_without_a_conflict(drawn) -> None:  # type: ignore[no-untyped-def]
    """Against all subsets: as many as can be, no two that fight, nobody without what it stands on; ties by the smallest ids."""
    size, fights, edges = drawn
    names = [f"{number:02d}" for number in range(size)]
    pairs = [(names[one], names[two]) for one, two in sorted(fights) if one < two < size]
    after = {name: frozenset(names[two] for one, two in edges if names[one : one + 1] == [name] and two < one) for name in names}
    found = choose(names, pairs, after)
    best: tuple[int, tuple[bool, ...]] = (-1, ())
    for count in range(size + 1):
        for subset in map(set, itertools.combinations(names, count)):
            if any(one in subset and two in subset for one, two in pairs) or any(not after[name] <= subset for name in subset):
                continue
            best = max(best, (count, tuple(name in subset for name in names)))
    assert tuple(name in found.landing for name in names) == best[1]
    assert all(set(found.handed_back[name]) <= found.landing for name in found.handed_back)
    assert found.landing | found.handed_back.keys() == set(names)


def test_the_heavier_one_lands() -> None:
    """Of two that fight, the dearer to rebase lands; two cheap ones outweigh it."""
    assert choose(["01", "02"], [("01", "02")], {}, {"02": 3.0}).landing == {"02"}
    assert choose(["01", "02", "03"], [("01", "02"), ("02", "03")], {}, {"02": 1.5}).landing == {"01", "03"}


def test_batch_sizes_splits_and_priors() -> None:
    """Golomb's sizes, the median of probability (not of the index), the entropy, and a prior that moves."""
    assert [golomb_size(p) for p in (0.01, 0.05, 0.1, 0.3, 0.4, 0.6)] == [69, 14, 7, 2, 1, 1]
    assert median_split([0.05] * 8) in (3, 4) and median_split([0.4, 0.01, 0.01, 0.01]) == 1
    assert median_split([0.001, 0.001, 0.001, 0.9, 0.9]) == 4
    assert entropy(0.05) == pytest.approx(0.2864, abs=1e-4) and entropy(0.5) == 1.0 and entropy(0.0) == 0.0
    assert posterior(PRIORS["warm"], 0, 0) == 0.08
    assert posterior(0.08, 100, 0) < 0.02 < 0.08 < posterior(0.08, 0, 3)
