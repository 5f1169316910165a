"""Merges along long histories are git's own, where heads have more than one merge base too."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from histories import History

#: How many histories, and how many steps each; more by the environment.
COUNT = int(os.environ.get("NMOE_GRAPH_TEST_HISTORIES", "2"))


@pytest.mark.parametrize("seed", range(COUNT))
def test_every_merge_along_a_history_is_gits(tmp_path: Path, seed: int) -> None:
    """Tree and conflicted paths, for each pair of heads that was merged or could have been; many of them cross."""
    from nmoe_graph.git.merging import Merger

    history = History(tmp_path / "repository", seed)
    with Merger(history.repository) as merger:
        history.grow(merger, int(os.environ.get("NMOE_GRAPH_TEST_STEPS", "60")))
    assert sum(pair.crossed for pair in history.pairs) > 3
    assert history.wrong() == []


def test_a_wrong_merge_is_noticed(tmp_path: Path) -> None:
    """The comparison can fail: a merge with the first of several bases alone is not git's."""
    from dataclasses import replace

    from nmoe_graph.git.merging import Merger

    history = History(tmp_path / "repository", 7)
    with Merger(history.repository) as merger:
        history.grow(merger, 40)
    clean = next(pair for pair in history.pairs if not pair.found.conflicts)
    history.pairs = [replace(clean, found=replace(clean.found, tree="0" * 40))]
    assert history.wrong()
