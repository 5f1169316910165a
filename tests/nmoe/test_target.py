"""Where the trainer runs, and that its two light gates notice when it is broken."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nmoe.target import Target, TargetError, require
from nmoe_graph import Workspace

ROOT = Path(__file__).resolve().parents[2]


def machine(*capabilities: tuple[int, int]) -> Any:
    """What torch would say of a machine with these devices."""
    cuda = SimpleNamespace(
        is_available=lambda: bool(capabilities),
        device_count=lambda: len(capabilities),
        get_device_capability=lambda at: capabilities[at],
        get_device_name=lambda at: f"device of {capabilities[at]}",
    )
    return SimpleNamespace(cuda=cuda)


def test_b200_is_taken_where_it_is() -> None:
    """Compute capability 10.0 is the target; each local rank has its own device."""
    assert require("b200", 1, machine((10, 0), (10, 0))) == Target("b200", "cuda:1", "sm_100a")
    assert require("sm90", 0, machine((9, 0))) == Target("sm90", "cuda:0", "sm_90a")


@pytest.mark.parametrize(
    ("devices", "words"),
    [
        ((), ["there is no CUDA device", "--target=cpu"]),
        (((9, 0),), ["needs compute capability 10.0", "has 9.0", "--target=sm90"]),
        (((8, 0),), ["has 8.0", "--target=cpu"]),
        (((10, 3),), ["has 10.3", "--target=cpu"]),
        (((12, 0),), ["has 12.0", "--target=cpu"]),
    ],
)
def test_b200_refuses_elsewhere_with_one_line(devices: tuple[tuple[int, int], ...], words: list[str]) -> None:
    """What was asked for, what was found, and how to run here on purpose; nothing falls back by itself."""
    with pytest.raises(TargetError) as caught:
        require("b200", 0, machine(*devices))
    text = str(caught.value)
    assert text.startswith("nmoe: target b200 needs") and "\n" not in text
    assert all(word in text for word in words), text


def test_cpu_is_taken_only_by_name() -> None:
    """`cpu` runs on every machine, also on one with a B200, since somebody asked for it."""
    assert require("cpu", 0, machine()) == require("cpu", 0, machine((10, 0))) == Target("cpu", "cpu", "cpu")


def test_unknown_target_and_rank_without_a_device() -> None:
    """Both end with one line that names what there is."""
    with pytest.raises(TargetError, match="no target 'h100'; targets are b200, sm90, cpu"):
        require("h100", 0, machine((9, 0)))
    with pytest.raises(TargetError, match="local rank 1 has no device of its own; this machine has 1"):
        require("b200", 1, machine((10, 0)))


def test_refusal_ends_a_program_with_status_1_and_no_traceback() -> None:
    """Not caught by anybody, the error is one line on stderr; so is a machine without torch."""
    code = "import sys; sys.modules['torch'] = None\nfrom nmoe.target import require\nrequire('b200')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "nmoe: torch is not installed; pip install 'nmoe-graph[train]'\n"


def test_import_loads_no_torch_and_nothing_heavy() -> None:
    """`import nmoe` works with the standard library alone, so that cpu:import means something on every machine."""
    code = "import nmoe, sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=ROOT, env={}, capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "nmoe" in loaded and not {"torch", "numpy", "triton", "pydantic", "nmoe_graph"} & set(loaded)


# -- the two light gates ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of this repository's last commit."""
    root = tmp_path_factory.mktemp("copy") / "repo"
    subprocess.run(["git", "clone", "-q", "--local", str(ROOT), str(root)], check=True)
    return root


def emptied(root: Path) -> None:
    for path in sorted((root / "nmoe").rglob("*"), reverse=True):
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink()


def broken_import(root: Path) -> None:
    (root / "nmoe/target.py").write_text("from .nothing import missing\n")


def raising(root: Path) -> None:
    (root / "nmoe/config.py").write_text("raise RuntimeError('broken')\n")


def syntax_error(root: Path) -> None:
    (root / "nmoe/deep/er").mkdir(parents=True)
    (root / "nmoe/deep/er/module.py").write_text("def f(:\n")


@pytest.mark.parametrize(
    ("edit", "failing"),
    [
        (lambda root: None, set()),
        (emptied, {"cpu:import", "cpu:compileall"}),
        (broken_import, {"cpu:import"}),
        (raising, {"cpu:import"}),
        (syntax_error, {"cpu:compileall"}),
    ],
    ids=["as it is", "emptied", "broken import", "raising module", "syntax error"],
)
def test_light_gates_notice_a_broken_trainer(copy: Path, edit: Callable[[Path], None], failing: set[str]) -> None:
    """An emptied package, a broken light module, a syntax error anywhere: the gate that must fail fails, and no other."""
    edit(copy)
    try:
        report = Workspace.open(copy).build("//gates:tier_a", keep_going=True)
    finally:
        for args in (["checkout", "-q", "--", "."], ["clean", "-qfd"]):
            subprocess.run(["git", *args], cwd=copy, check=True)
    outcome = {gate.label.removeprefix("//gates/"): gate.verdict.value for gate in report}
    expected = {name: "failed" if name in failing else "passed" for name in ("cpu:import", "cpu:compileall")}
    assert outcome == expected, [gate.reason for gate in report]
    assert report.exit_code == (1 if failing else 0)
