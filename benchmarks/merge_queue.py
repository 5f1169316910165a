"""Merge queues side by side, on the same traces: how many runs, GPU-minutes and hours a landing takes.

    python benchmarks/merge_queue.py            the table of docs/merging.md, and its plot
    python benchmarks/merge_queue.py --quick    a tenth of the contracts
    python benchmarks/merge_queue.py --write    into docs/

A trace says when each contract arrives, which are bad, and which two do not get along.  A policy sees none of that: it asks for
tests, and each passes or fails (flakes included) after its time.  What it lands must have been tested: the simulator checks
every landed tree against the passes that it gave out, and stops where one is missing.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
import statistics
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nmoe_graph.plan.probe import Next, Seen, next_probe
from nmoe_graph.plan.risk import entropy, golomb_size

ROOT = Path(__file__).resolve().parents[1]

#: GPU-minutes and minutes of a test by kind: nothing on a GPU, one B200 for ten minutes, a node of eight for fifteen.
KINDS = {"cpu": (0.0, 2.0), "one": (10.0, 10.0), "node": (120.0, 15.0)}


@dataclass(frozen=True)
class Trace:
    """What will happen, whatever a policy does."""

    arrival: tuple[float, ...]  # minutes
    risk: tuple[float, ...]  # as the policy believes, and as it is
    bad: tuple[bool, ...]
    kind: tuple[str, ...]
    rival: dict[int, int]  # later one -> earlier one with which it fails

    def __len__(self) -> int:
        return len(self.arrival)


def trace(seed: int, size: int, risks: Sequence[float], gap: float, kinds: Sequence[str] = ("node",), rivals: float = 0.0) -> Trace:
    """`gap`: mean minutes between arrivals; 0: all are there at the start."""
    rng = random.Random(seed)
    at, arrival = 0.0, []
    for _ in range(size):
        at += rng.expovariate(1 / gap) if gap else 0.0
        arrival.append(at)
    risk = [rng.choice(list(risks)) for _ in range(size)]
    bad = [rng.random() < one for one in risk]
    kind = [rng.choice(list(kinds)) for _ in range(size)]
    rival = {two: rng.randrange(max(0, two - 12), two) for two in range(1, size) if rng.random() < rivals}
    return Trace(tuple(arrival), tuple(risk), tuple(bad), tuple(kind), rival)


@dataclass
class Queue:
    """The clock, the pool, the base, and the tests that were given out."""

    trace: Trace
    runners: int = 1
    flakes: float = 0.0
    seed: int = 0
    now: float = 0.0
    runs: int = 0
    confirmations: int = 0
    gpu_minutes: float = 0.0
    pool: deque[int] = field(default_factory=deque)
    landed: dict[int, float] = field(default_factory=dict)
    ejected: dict[int, float] = field(default_factory=dict)
    false_ejections: int = 0
    _next: int = 0
    _passed: set[tuple[int, ...]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed * 7919 + 1)
        self._rivals: dict[int, list[int]] = {}
        for two, one in self.trace.rival.items():
            self._rivals.setdefault(two, []).append(one)
            self._rivals.setdefault(one, []).append(two)
        self.arrive()

    def arrive(self) -> None:
        while self._next < len(self.trace) and self.trace.arrival[self._next] <= self.now:
            self.pool.append(self._next)
            self._next += 1

    def wait(self) -> bool:
        """Let time pass until somebody is in the pool; False: nobody will be."""
        self.arrive()
        if not self.pool and self._next < len(self.trace):
            self.now = max(self.now, self.trace.arrival[self._next])
            self.arrive()
        return bool(self.pool)

    def works(self, tested: Sequence[int]) -> bool:
        inside = set(tested)
        if any(self.trace.bad[one] for one in tested):
            return False
        return not any(other in inside or other in self.landed for one in tested for other in self._rivals.get(one, ()))

    def test(self, *sets: Sequence[int], confirm: bool = False) -> list[bool]:
        """Test some sets on the base as it is, as many at once as there are runners."""
        found = []
        busy = [self.now] * self.runners
        heapq.heapify(busy)
        end = self.now
        for tested in sets:
            kinds = {self.trace.kind[one] for one in tested}
            self.gpu_minutes += sum(KINDS[kind][0] for kind in kinds)
            start = heapq.heappop(busy)
            done = start + sum(KINDS[kind][1] for kind in kinds)
            heapq.heappush(busy, done)
            end = max(end, done)
            self.runs += 1
            self.confirmations += confirm
            passed = self.works(tested) and self._rng.random() >= self.flakes
            found.append(passed)
            if passed:
                self._passed.add(tuple(sorted(tested)))
        self.now = end
        self.arrive()
        return found

    def land(self, tested: Sequence[int]) -> None:
        """What lands was tested, on this base, as a whole."""
        if tested:
            assert tuple(sorted(tested)) in self._passed, "a tree lands that was never tested"
            self._passed = set()  # the base has moved
            for one in tested:
                self.landed[one] = self.now

    def eject(self, one: int) -> None:
        self.ejected[one] = self.now
        alone = not self.trace.bad[one] and not any(other in self.landed for other in self._rivals.get(one, ()))
        self.false_ejections += alone


# -- policies ----------------------------------------------------------------------------------------------------------------------


def one_by_one(queue: Queue) -> None:
    while queue.wait():
        one = queue.pool.popleft()
        if queue.test([one])[0]:
            queue.land([one])
        else:
            queue.eject(one)


def fifo(queue: Queue, size: int = 8) -> None:
    """Batches as they come; one that fails is gone through one by one."""
    while queue.wait():
        batch = [queue.pool.popleft() for _ in range(min(size, len(queue.pool)))]
        if queue.test(batch)[0]:
            queue.land(batch)
            continue
        for one in batch if len(batch) > 1 else ():
            if queue.test([one])[0]:
                queue.land([one])
            else:
                queue.eject(one)
        if len(batch) == 1:
            queue.eject(batch[0])


def halves(queue: Queue, size: int = 16) -> None:
    """bors: a batch that fails is cut in two, and both halves are tested."""
    while queue.wait():
        pending = [[queue.pool.popleft() for _ in range(min(size, len(queue.pool)))]]
        while pending:
            batch = pending.pop(0)
            if queue.test(batch)[0]:
                queue.land(batch)
            elif len(batch) == 1:
                queue.eject(batch[0])
            else:
                pending = [batch[: len(batch) // 2], batch[len(batch) // 2 :], *pending]


def fours(queue: Queue) -> None:
    """Four at a time; where they fail, the first culprit is found by halving prefixes, and the rest goes back."""
    while queue.wait():
        batch = [queue.pool.popleft() for _ in range(min(4, len(queue.pool)))]
        if queue.test(batch)[0]:
            queue.land(batch)
            continue
        low, high = 0, len(batch)
        while high - low > 1:
            middle = (low + high) // 2
            if queue.test(batch[:middle])[0]:
                low = middle
            else:
                high = middle
        queue.land(batch[:low])
        queue.eject(batch[high - 1])
        queue.pool.extendleft(reversed(batch[high:]))


def window(queue: Queue, size: int = 20) -> None:
    """Zuul: each is tested behind all before it, as many at once as there are runners; behind a failure all begin anew."""
    while queue.wait():
        width = min(size, queue.runners, len(queue.pool))
        line = [queue.pool.popleft() for _ in range(width)]
        results = queue.test(*[line[: count + 1] for count in range(width)])
        good = next((place for place, passed in enumerate(results) if not passed), width)
        queue.land(line[:good])
        if good < width:
            queue.eject(line[good])
            queue.pool.extendleft(reversed(line[good + 1 :]))


def ours(queue: Queue) -> None:
    """Golomb batches of one gate set, the safest first; the next test is what `plan-merges --after-failure` would say."""
    while queue.wait():
        kinds: dict[str, list[int]] = {}
        for one in queue.pool:
            kinds.setdefault(queue.trace.kind[one], []).append(one)
        cheap = min(kinds, key=lambda kind: (KINDS[kind][1], kind))
        group = sorted(kinds[cheap], key=lambda one: (queue.trace.risk[one], one))
        batch = group[: golomb_size(statistics.fmean(queue.trace.risk[one] for one in group[:40]))]
        taken = set(batch)
        queue.pool = deque(one for one in queue.pool if one not in taken)
        _land_train(queue, batch)


def _land_train(queue: Queue, batch: list[int]) -> None:
    passed: set[tuple[str, ...]] = {()}
    failures: dict[tuple[str, ...], int] = {}
    place = {str(one): one for one in batch}

    def look(names: tuple[str, ...]) -> Seen | None:
        return Seen(names in passed, failures.get(names, 0))

    order = [str(one) for one in batch]
    risks = [queue.trace.risk[one] for one in batch]
    while True:
        probe = next_probe(order, risks, look)
        if probe.what in (Next.LAND, Next.EJECT):
            queue.land([place[name] for name in probe.land])
            if probe.what is Next.EJECT:
                queue.eject(place[probe.culprit])
                queue.pool.extendleft(place[name] for name in reversed(probe.rest))
            return
        asked = [probe.tested]
        if queue.runners > 1 and probe.what is Next.TEST and failures:
            low, high = len(probe.land), next(count for count in range(1, len(order) + 1) if tuple(order[:count]) in failures)
            cuts = {low + round((high - low) * part / (queue.runners + 1)) for part in range(1, queue.runners + 1)}
            asked = [tuple(order[:count]) for count in sorted(cuts | {len(probe.tested)}) if low < count < high][
                : queue.runners
            ] or asked
        results = queue.test(*[[place[name] for name in names] for names in asked], confirm=probe.what is Next.RERUN)
        for names, result in zip(asked, results, strict=True):
            if result:
                passed.add(names)
            else:
                failures[names] = failures.get(names, 0) + 1


def oracle(queue: Queue) -> None:
    """Knows who is bad: one run for everybody else who waits."""
    while queue.wait():
        good: list[int] = []
        for one in list(queue.pool):
            if queue.works([*good, one]):
                good.append(one)
            else:
                queue.eject(one)
        queue.pool.clear()
        while good and not queue.test(good)[0]:
            pass
        queue.land(good)


POLICIES: dict[str, Callable[[Queue], None]] = {
    "one by one": one_by_one,
    "FIFO batches of 8": fifo,
    "halve and retry (bors), 16": halves,
    "batches of 4, bisected": fours,
    "speculative window (Zuul)": window,
    "ours": ours,
    "oracle": oracle,
}


# -- figures -----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One policy on one trace."""

    runs: float  # per decided contract
    before: float  # the same without confirmations
    gpu: float  # GPU-minutes per landed contract
    median: float  # minutes from arrival to landing
    late: float  # the 95th percentile
    false: float  # of those that were good, the part that was sent back


def simulate(name: str, one: Trace, runners: int, flakes: float, seed: int) -> Row:
    queue = Queue(one, runners, flakes, seed)
    POLICIES[name](queue)
    assert len(queue.landed) + len(queue.ejected) == len(one), "somebody was lost"
    assert not any(one.bad[index] for index in queue.landed), "a bad one landed"
    waits = sorted(queue.landed[index] - one.arrival[index] for index in queue.landed) or [0.0]
    decided, landed = len(one), max(1, len(queue.landed))
    return Row(
        queue.runs / decided,
        (queue.runs - queue.confirmations) / decided,
        queue.gpu_minutes / landed,
        waits[len(waits) // 2],
        waits[min(len(waits) - 1, int(len(waits) * 0.95))],
        queue.false_ejections / max(1, decided - sum(one.bad)),
    )


def mean(values: Sequence[float]) -> tuple[float, float]:
    """The mean and half of its 95 % confidence interval."""
    if len(values) < 2:
        return values[0], 0.0
    return statistics.fmean(values), 1.96 * statistics.stdev(values) / math.sqrt(len(values))


SCENARIOS = {
    "p = .05, a backlog, one runner": {"risks": (0.05,), "gap": 0.0, "size": 10_000},
    "p = .05, a backlog, one runner, 5 % flakes": {"risks": (0.05,), "gap": 0.0, "flakes": 0.05, "size": 10_000},
    "mixed risks and gates, an arrival each 6 minutes, 2 % flakes, 1 % rivals, one runner": {
        "risks": (0.03, 0.08, 0.15), "gap": 6.0, "flakes": 0.02, "rivals": 0.01, "kinds": ("cpu", "one", "node"),
    },
    "the same with four runners": {
        "risks": (0.03, 0.08, 0.15), "gap": 6.0, "flakes": 0.02, "rivals": 0.01, "kinds": ("cpu", "one", "node"), "runners": 4,
    },
}  # fmt: skip


def rows(scenario: dict[str, object], name: str, size: int, seeds: int) -> list[Row]:
    options = dict(scenario)
    size = min(int(options.pop("size", size)), size * 5)  # type: ignore[call-overload]
    runners, flakes = int(options.pop("runners", 1)), float(options.pop("flakes", 0.0))  # type: ignore[call-overload, arg-type]
    return [simulate(name, trace(seed, size, **options), runners, flakes, seed) for seed in range(seeds)]  # type: ignore[arg-type]


def table(size: int, seeds: int) -> str:
    lines = []
    for title, scenario in SCENARIOS.items():
        lines += [
            "",
            f"**{title}**",
            "",
            "| policy | runs a decided | without confirmations | GPU-minutes a landed | landing, median | 95th | false ejections |",
        ]
        lines.append("|---|---|---|---|---|---|---|")
        for name in POLICIES:
            found = rows(scenario, name, size, seeds)
            cells = [mean([getattr(row, part) for row in found]) for part in ("runs", "before", "gpu", "median", "late", "false")]
            shown = [
                f"{cells[0][0]:.3f} ± {cells[0][1]:.3f}",
                f"{cells[1][0]:.3f} ± {cells[1][1]:.3f}",
                f"{cells[2][0]:.1f} ± {cells[2][1]:.1f}",
            ]
            shown += [f"{cells[3][0] / 60:.1f} h", f"{cells[4][0] / 60:.1f} h", f"{cells[5][0]:.2%}"]
            lines.append(f"| {name} | {' | '.join(shown)} |")
        if title.startswith("p = .05"):
            lines.append(f"| the bound: {entropy(0.05):.4f} bits a contract | {entropy(0.05):.3f} | {entropy(0.05):.3f} | | | | |")
    return "\n".join(lines) + "\n"


CHANCES = (0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.16, 0.2, 0.25, 0.3)
COLOURS = ("#888888", "#b58900", "#cb4b16", "#6c71c4", "#2aa198", "#268bd2")


def plot(size: int, seeds: int) -> str:
    """Runs a decided contract over the chance of failing, as SVG."""
    names = [name for name in POLICIES if name not in ("oracle", "speculative window (Zuul)")]
    width, height, left, top = 720, 420, 60, 20

    def at(chance: float, runs: float) -> str:
        return f"{left + chance / 0.32 * (width - left - 20):.1f},{top + (1 - min(runs, 1.4) / 1.4) * (height - top - 50):.1f}"

    lines = [
        (name, [(p, mean([row.before for row in rows({"risks": (p,), "gap": 0.0}, name, size, seeds)])[0]) for p in CHANCES])
        for name in names
    ]
    lines.append(("the bound, H(p)", [(p, entropy(p)) for p in CHANCES]))
    body = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">']
    body.append(f'<rect width="{width}" height="{height}" fill="white"/>')

    def text(x: float, y: float, words: str, more: str = "") -> None:
        body.append(f'<text x="{x:.1f}" y="{y:.1f}" {more}>{words}</text>')

    def line(path: str, colour: str, more: str = "") -> None:
        body.append(f'<path d="{path}" fill="none" stroke="{colour}" {more}/>')

    for tick in range(8):
        x, y = map(float, at(0, tick / 5).split(","))
        line(f"M{x},{y}H{width - 20}", "#ddd")
        text(left - 8, y + 4, f"{tick / 5:.1f}", 'text-anchor="end"')
    for tick in range(7):
        x, y = map(float, at(tick * 0.05, 0).split(","))
        text(x, y + 18, f"{tick * 0.05:.2f}", 'text-anchor="middle"')
    text(width / 2, height - 8, "chance that a contract fails", 'text-anchor="middle"')
    turned = f'text-anchor="middle" transform="rotate(-90 14 {height / 2})"'
    text(14, height / 2, "runs a decided contract, before confirmations", turned)
    for number, (name, points) in enumerate(lines):
        bound = name == "the bound, H(p)"
        colour = "black" if bound else COLOURS[number % len(COLOURS)]
        style = f'stroke-width="{3 if name == "ours" else 1.5}"' + (' stroke-dasharray="5 4"' if bound else "")
        line("M" + "L".join(at(*point) for point in points), colour, style)
        y = top + 14 + 16 * number
        line(f"M{left + 20},{y - 4}h24", colour, style)
        text(left + 50, y, name)
    return "\n".join([*body, "</svg>"]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    size, seeds = (200, 5) if options.quick else (2000, 10)
    found = table(size, seeds)
    print(found)
    if options.write:
        page = ROOT / "docs/merging.md"
        begin, end = "<!-- figures: begin -->\n", "<!-- figures: end -->"
        head, _, rest = page.read_text().partition(begin)
        page.write_text(head + begin + found + "\n" + end + rest.partition(end)[2])
        (ROOT / "docs/merge_queue.svg").write_text(plot(size, 3))


if __name__ == "__main__":
    main()
