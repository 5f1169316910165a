"""The queue that `docs/merging.md` compares: bounds on its runs, and on whom it sends back."""

from __future__ import annotations

import importlib.util
import statistics
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from nmoe_graph.plan.risk import entropy

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def queue() -> ModuleType:
    spec = importlib.util.spec_from_file_location("merge_queue", ROOT / "benchmarks/merge_queue.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["merge_queue"] = module
    spec.loader.exec_module(module)
    return module


def rows(queue: ModuleType, name: str, flakes: float, size: int = 2_000, seeds: int = 4) -> list[Any]:
    return [queue.simulate(name, queue.trace(seed, size, [0.05], 0.0), 1, flakes, seed) for seed in range(seeds)]


def test_ours_is_near_the_bound(queue: ModuleType) -> None:
    """p = .05, one runner: at most .295 runs a decided contract before confirmations and .345 with them; entropy is .2864."""
    found = rows(queue, "ours", 0.0, 10_000, 10)
    assert statistics.mean(one.before for one in found) <= 0.295
    assert statistics.mean(one.runs for one in found) <= 0.345
    assert entropy(0.05) == pytest.approx(0.2864, abs=1e-4)


def test_hardly_anybody_is_sent_back_for_a_flake(queue: ModuleType) -> None:
    """At 5 % flakes, less than one in a hundred; one by one sends back one in twenty."""
    assert statistics.mean(one.false for one in rows(queue, "ours", 0.05)) < 0.01
    assert statistics.mean(one.false for one in rows(queue, "one by one", 0.05, seeds=1)) > 0.03


def test_the_usual_queues_need_more(queue: ModuleType) -> None:
    """The comparison can fail: batches that are halved, and fours that are bisected, are above ours on the same traces."""
    ours = statistics.mean(one.runs for one in rows(queue, "ours", 0.0, seeds=2))
    for name in ("halve and retry (bors), 16", "batches of 4, bisected"):
        assert statistics.mean(one.runs for one in rows(queue, name, 0.0, seeds=2)) > ours + 0.02
