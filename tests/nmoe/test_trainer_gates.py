"""The trainer's gates on a CPU: they prove this tree in their sandbox, and each fails on the defect that it is there for."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from conftest import ROOT, Scratch

from nmoe_graph import Verdict, Workspace

pytest.importorskip("torch", reason="the trainer needs torch: pip install 'nmoe-graph[train]'")

#: gate -> a file, a piece of it, and what a careless change would make of that piece
MUTANTS = {
    "cpu:train_tiny": ("nmoe/opt.py", "value=-rate)", "value=+rate)"),
    "cpu:resume_determinism": ("nmoe/opt.py", '"m": self.m, "v": self.v}', '"m": self.m}'),
    "cpu:rdep_equivalence": (
        "nmoe/rdep.py",
        "plan.owner_P, plan.slot_P)\n        self.heap.barrier()",
        "plan.owner_P, plan.slot_P)",
    ),
    "cpu:no_all_to_all": (
        "nmoe/parallel.py",
        "                dist.all_reduce(values)",
        "                dist.all_reduce(values)\n                getattr(dist, 'all_to' + '_all_single')(values, values.clone())",
    ),
}

#: what the log then has to say
SAID = {
    "cpu:train_tiny": "nmoe: ",
    "cpu:resume_determinism": "nmoe: differs: rank ",
    "cpu:rdep_equivalence": "differs from one rank's",
    "cpu:no_all_to_all": "an all-to-all was called",
}


@pytest.fixture
def copy(tmp_path: Path) -> Scratch:
    """This repository's declarations and trainer, in a repository of their own."""
    root = tmp_path / "copy"
    root.mkdir()
    for name in ("nmoe", "nmoe_proofs", "configs", "docker"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", "build"))
    shutil.copy(ROOT / "BUILD.toml", root)
    scratch = Scratch.__new__(Scratch)
    scratch.root = root
    scratch.git("init", "-q", "-b", "main")
    scratch.commit("copy")
    return scratch


def test_they_prove_this_tree(copy: Scratch) -> None:
    """In a fresh folder with exactly their inputs, from declarations alone; and once proven, they do not run again."""
    report = Workspace.open(copy.root).build(list(MUTANTS), keep_going=True)
    assert {gate.verdict for gate in report} == {Verdict.PASSED}, [(gate.label, gate.reason) for gate in report]
    assert all(gate.cached for gate in Workspace.open(copy.root).build(list(MUTANTS)))


@pytest.mark.parametrize("gate", MUTANTS)
def test_each_fails_on_its_defect(copy: Scratch, gate: str) -> None:
    """An update uphill; a checkpoint without second moments; a barrier less; an all-to-all under an assembled name."""
    copy.replace(*MUTANTS[gate])
    workspace = Workspace.open(copy.root)
    (result,) = workspace.build(gate, keep_going=True)
    assert result.verdict is Verdict.FAILED, result.reason
    found = workspace.log(gate)
    assert found is not None and SAID[gate] in found[1].decode(), found
