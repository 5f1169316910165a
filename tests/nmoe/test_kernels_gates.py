"""The kernels' gates as they are declared: what they run, what they depend on, and one of them in its sandbox, both ways."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from conftest import ROOT, Scratch

from nmoe_graph import Verdict, Workspace

GATES = {
    "cpu:kernels_interpret": "python -m nmoe_proofs.kernels_check",
    "cpu:aot_sm100a": "python -m nmoe_proofs.kernels_aot",
    "cpu:csrc_sm100a": "python -m nmoe_proofs.csrc_check",
}


@pytest.fixture
def copy(tmp_path: Path) -> Scratch:
    """This repository's declarations and trainer, in a repository of their own."""
    scratch = Scratch.__new__(Scratch)
    scratch.root = tmp_path / "copy"
    for name in ("nmoe", "nmoe_proofs", "configs", "docker"):
        shutil.copytree(ROOT / name, scratch.root / name, ignore=shutil.ignore_patterns("__pycache__", "build"))
    shutil.copy(ROOT / "BUILD.toml", scratch.root)
    scratch.git("init", "-q", "-b", "main")
    scratch.commit("copy")
    return scratch


@pytest.mark.parametrize(
    ("file", "gates"),
    [
        ("nmoe/kernels/attn.py", {"cpu:kernels_interpret", "cpu:aot_sm100a"}),
        ("nmoe/kernels/common.py", {"cpu:kernels_interpret", "cpu:aot_sm100a"}),
        ("nmoe/ops.py", {"cpu:kernels_interpret"}),
        ("nmoe/csrc/rdep.cu", {"cpu:csrc_sm100a"}),
        ("nmoe/csrc/Makefile", {"cpu:csrc_sm100a"}),
        ("nmoe/router.py", set()),
    ],
)
def test_a_change_invalidates_what_reads_it(copy: Scratch, file: str, gates: set[str]) -> None:
    """A kernel's gates are those that import or compile it, and no other change costs them a run."""
    with (copy.root / file).open("a") as text:
        text.write("\nATTACHED = 1\n")
    affected = {item.label for item in Workspace.open(copy.root).affected("HEAD")}
    assert {gate for gate in GATES if f"//gates/{gate}" in affected} == gates


def test_commands_are_the_programs() -> None:
    """The gate is the program that the other tests make fail."""
    declared = (ROOT / "configs" / "gates" / "gates.toml").read_text()
    for gate, command in GATES.items():
        assert f'cmd = "{command}"' in declared.partition(f'[gates."{gate}"]')[2].partition("[gates.")[0]


@pytest.mark.skipif(shutil.which("nvcc") is None or shutil.which("make") is None, reason="the gate needs nvcc and make")
@pytest.mark.skipif(sys.platform != "linux", reason="the gate builds an ELF library")
def test_the_library_s_gate_both_ways(copy: Scratch) -> None:
    """In a folder with exactly its inputs it proves this tree; with a signal that releases nothing it fails and says so."""
    workspace = Workspace.open(copy.root)
    (result,) = workspace.build("cpu:csrc_sm100a")
    assert result.verdict is Verdict.PASSED, result.reason
    copy.replace("nmoe/csrc/rdep.cu", "st.release.sys", "st.relaxed.sys")
    workspace = Workspace.open(copy.root)
    (result,) = workspace.build("cpu:csrc_sm100a", keep_going=True)
    found = workspace.log("cpu:csrc_sm100a")
    assert result.verdict is Verdict.FAILED and found is not None and b"st.release.sys.global.s64 is not in the PTX" in found[1]
