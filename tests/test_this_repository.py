"""The gates of this repository, on this repository: they pass, and each of them can fail."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from conftest import Scratch

from nmoe_graph import DeclarationError, Verdict, Workspace

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def copy(tmp_path: Path) -> Scratch:
    """This repository's declarations and trainer, in a repository of their own."""
    root = tmp_path / "copy"
    root.mkdir()
    for name in ("nmoe", "nmoe_proofs", "configs", "docker"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "BUILD.toml", root)
    scratch = Scratch.__new__(Scratch)
    scratch.root = root
    scratch.git("init", "-q", "-b", "main")
    scratch.commit("copy")
    return scratch


def verdicts(copy: Scratch, *labels: str) -> dict[str, tuple[Verdict, str]]:
    report = Workspace.open(copy.root).build(list(labels) or "//gates:tier_a", keep_going=True)
    return {gate.label.removeprefix("//gates/"): (gate.verdict, gate.reason) for gate in report}


def test_tier_a_passes(copy: Scratch) -> None:
    """Both gates of tier a prove this tree."""
    assert {verdict for verdict, _ in verdicts(copy).values()} == {Verdict.PASSED}


def test_an_emptied_package_fails_both(copy: Scratch) -> None:
    """compileall exits 0 on an empty folder; the gate does not."""
    for path in (copy.root / "nmoe").iterdir():
        path.unlink() if path.is_file() else shutil.rmtree(path)
    found = verdicts(copy)
    assert {verdict for verdict, _ in found.values()} == {Verdict.FAILED}


def test_an_import_that_fails_fails_cpu_import(copy: Scratch) -> None:
    """A light module that raises fails the import, and nothing else."""
    copy.write("nmoe/target.py", "raise RuntimeError('broken')\n")
    found = verdicts(copy)
    assert found["cpu:import"][0] is Verdict.FAILED and "broken" in found["cpu:import"][1]
    assert found["cpu:compileall"][0] is Verdict.PASSED


def test_broken_syntax_anywhere_fails_compileall(copy: Scratch) -> None:
    """Also in a module that nobody imports."""
    copy.write("nmoe/unused.py", "def f(:\n")
    found = verdicts(copy)
    assert found["cpu:compileall"][0] is Verdict.FAILED
    assert found["cpu:import"][0] is Verdict.PASSED


def test_an_installed_copy_does_not_stand_in(copy: Scratch) -> None:
    """This package is installed where the tests run; a workspace without it fails all the same."""
    shutil.rmtree(copy.root / "nmoe")
    assert verdicts(copy, "cpu:import")["cpu:import"][0] is Verdict.FAILED


def test_a_required_file_that_is_missing_is_named(copy: Scratch) -> None:
    """With the file, the line, and every gate that asks for it."""
    os.unlink(copy.root / "configs/moonlight.toml")
    with pytest.raises(DeclarationError) as raised:
        Workspace.open(copy.root).graph()
    fault = raised.value.faults[0]
    assert fault.at is not None and fault.at.file == "configs/gates/gates.toml" and fault.at.line > 1
    assert "configs/moonlight.toml" in fault.what
    assert all(gate in fault.what for gate in ("b200:moonlight_8x20", "b200:profile_fp8", "b200:profile_nvfp4"))


def test_the_missing_trainer_is_a_warning(copy: Scratch) -> None:
    """`nmoe.train` is named by commands and arrives later: lint says so, and refuses nothing."""
    report = Workspace.open(copy.root).lint()
    assert any("nmoe.train" in fault.what for fault in report.faults) or (copy.root / "nmoe/train.py").exists()
    assert all(fault.level == "warning" for fault in report.faults)


def test_the_plan_is_that_of_the_workflow(copy: Scratch) -> None:
    """Chains in their order, 10 last."""
    order = [step.contract for step in Workspace.open(copy.root).plan_merges(base="HEAD").steps]
    assert order == ["01", "02", "03a", "03b", "05", "06", "07", "08", "09", "11", "12", "13", "10"]
