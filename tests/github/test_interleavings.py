"""Random orders of everything: nothing untested lands, no result is of another commit, nothing is said or dispatched twice.

`NMOE_GRAPH_TEST_SEEDS` and `NMOE_GRAPH_TEST_STEPS` make it longer.  That the orders can find what they look for is shown by
mutants: with each, one of the same orders finds a violation.
"""

from __future__ import annotations

import collections
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nmoe_graph.forge.errors import ForgeError
from nmoe_graph.forge.github import GitHub
from nmoe_graph.pulls import comments
from nmoe_graph.pulls.landing import HubLander
from nmoe_graph.tierb import desk as tierb_desk
from nmoe_graph.tierb import follow
from nmoe_graph.tierb.journal import Journal

from .double import Double
from .double_git import Bare
from .interleaving import Interleaving, Violation
from .site import made_site

#: Three orders in which each of these things happens; or, as NMOE_GRAPH_TEST_SEEDS says, "1000", the first so many, or "501-1000".
_ASKED = os.environ.get("NMOE_GRAPH_TEST_SEEDS", "").rpartition("-")
SEEDS = tuple(range(int(_ASKED[0] or 1), int(_ASKED[2]) + 1)) if _ASKED[2] else (1, 5, 12)
STEPS = int(os.environ.get("NMOE_GRAPH_TEST_STEPS", "30"))


@pytest.fixture
def order(tmp_path: Path, client: Callable[..., GitHub], github: Double, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Take one order of everything, in a place of its own."""

    def take(seed: int, steps: int = STEPS) -> Counter[str]:
        place = tmp_path / f"seed-{seed}"
        (place / "github.git").mkdir(parents=True)
        double = Double()
        bare = Bare(place / "github.git")
        bare.git("init", "-q", "--bare", "-b", "main")
        double.attach(bare.path)
        bare.write("main", {"a.txt": "one\n"}, "begin")

        def hub(*args: Any, **more: Any) -> GitHub:
            return client(*args, **({"over": double.transport()} | more))

        counts = Interleaving(made_site(double, bare, hub, place, monkeypatch), seed).run(steps)
        assert double.violations == []
        return counts

    yield take


#: What must have happened at the least: half of what did, or once.
LEAST = {
    "dispatched": 12,
    "approved": 1,
    "proven": 6,
    "attributed": 6,
    "cancelled": 2,
    "comments": 12,
    "comments changed": 13,
    "checks": 12,
    "landed": 2,
    "head moves refused": 1,
    "base moves refused": 1,
    "base moves found out": 1,
    "refused": 2,
    "synced": 1,
}


def test_random_orders_of_everything(order: Callable[..., Counter[str]], capsys: pytest.CaptureFixture[str]) -> None:
    """And enough of it happens: over these orders, things landed, were proven, said, cancelled and refused."""
    whole: Counter[str] = collections.Counter()
    for seed in SEEDS:
        whole += order(seed)
    with capsys.disabled():
        if "NMOE_GRAPH_TEST_SEEDS" in os.environ:
            print(f"\n{len(SEEDS)} orders of {STEPS}: {dict(sorted(whole.items()))}")  # noqa: T201
    if len(SEEDS) >= 3 and STEPS >= 30:
        assert not {name: (whole[name], bound) for name, bound in LEAST.items() if whole[name] < bound}


def _head_unchecked(patch: pytest.MonkeyPatch) -> None:
    """GitHub is asked to merge whatever head there is."""
    real = GitHub.merge_pull
    patch.setattr(GitHub, "merge_pull", lambda self, number, sha, *more: _late(self, real, number, *more))


def _late(hub: GitHub, real: Callable[..., Any], number: int, *more: Any) -> Any:
    try:
        return real(hub, number, "0" * 40, *more)  # as long as it takes for the head to move
    except ForgeError:
        return real(hub, number, hub.pull(number).head_sha, *more)


def _by_branch(patch: pytest.MonkeyPatch) -> None:
    """What came of a run is said of the commit that its branch has now."""
    real = comments.try_check

    def wrong(forge: Any, name: str, commit: str, key: str, **more: Any) -> str:
        number = int(key.split("pr", 1)[1].split("-")[0])
        return real(forge, name, forge.pull(number).head_sha, key, **more)

    patch.setattr(tierb_desk.comments, "try_check", lambda forge, name, *more, **words: (
        wrong if "tier-b" in name else real)(forge, name, *more, **words))  # fmt: skip


def _mark_ignored(patch: pytest.MonkeyPatch) -> None:
    """A comment of ours is not known again."""
    patch.setattr(comments, "_own", lambda *args: None)


def _name_ignored(patch: pytest.MonkeyPatch) -> None:
    """A run is not known by its name, nor by the journal."""
    patch.setattr(follow, "_attempt", lambda title, stem: 0)
    patch.setattr(Journal, "read", lambda self, name: None)


def _unproven_lands(patch: pytest.MonkeyPatch) -> None:
    """Whether gates are proven at the merge is not asked."""
    patch.setattr(HubLander, "_unproven", lambda self, *args: [])


MUTANTS = {
    "the head is not compared": (_head_unchecked, "landed that was not tested"),
    "a result is of the branch": (_by_branch, "is said to be proven"),
    "the mark of a comment is ignored": (_mark_ignored, "a comment is there more than once"),
    "the name of a dispatch is ignored": (_name_ignored, "a dispatch is there more than once"),
    "what is not proven lands": (_unproven_lands, "landed that was not tested"),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_is_found(order: Callable[..., Counter[str]], monkeypatch: pytest.MonkeyPatch, mutant: str) -> None:
    """Without the one check, one of the same orders finds what must never happen."""
    change, words = MUTANTS[mutant]
    change(monkeypatch)
    with pytest.raises(Violation, match=words):
        for seed in SEEDS:
            order(seed)
