"""The bench's contenders compute the same layer; the table is made of what was measured; without a GPU it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from nmoe import bench  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
SMALL = bench.Shape(tokens=96, dim=64, inner=32, experts=8, active=3)


@pytest.mark.parametrize("name", bench.CONTENDERS)
def test_contenders_compute_the_same(name: str) -> None:
    """y and all four gradients are those of fp32, to bf16's rounding and not better."""
    if name == "transformers":
        pytest.importorskip("transformers")
    layer = bench.make_layer(SMALL, "cpu")
    found = bench.errors(bench.CONTENDERS[name](layer), layer, bench.exact(layer))
    assert list(found) == list(bench.NAMES)
    assert all(1e-4 < error < bench.LIMIT for error in found.values()), found


def test_a_wrong_contender_is_seen() -> None:
    """One that forgets a gate is far over the limit."""
    layer = bench.make_layer(SMALL, "cpu")
    ungated = bench.ours(bench.Layer(layer.x_TD, layer.ids_TK, layer.gate_TK * 0 + 1, layer.w13_EDF, layer.w2_EFD, layer.dout_TD))
    assert bench.errors(ungated, layer, bench.exact(layer))["y"] > 0.5


def test_rates_count_the_products() -> None:
    """Three products of T * K rows; at the middle time of the rounds."""
    assert bench.Shape().flops == 2 * 3 * 32_768 * 6 * 2048 * 1408
    assert bench._row([1.0, 2.0, 2.0, 2.0, 9.0], 4e12) == {"p50_ms": 2.0, "p10_ms": 1.0, "p90_ms": 9.0, "tflops": 2000.0}
    row = {"p50_ms": 8.0, "p10_ms": 7.9, "p90_ms": 8.3, "tflops": 425.0}
    said = {
        "device": "a GPU",
        "versions": {"torch": "2"},
        "shape": vars(bench.Shape()),
        "rounds": 30,
        "ceiling": row | {"tflops": 850.0},
    }
    said |= {"missing": {"other": "no module"}, "contenders": {"nmoe": {"forward": row, "forward_backward": row}}}
    text = bench.table(said)
    assert "nmoe                forward                 8.00      7.90      8.30     425.0         50%" in text
    assert "other: not here (no module)" in text


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU: the bench would run")
def test_without_a_gpu_it_refuses() -> None:
    done = subprocess.run([sys.executable, "-m", "nmoe.bench"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (3, "") and "there is no CUDA device here" in done.stderr


def test_whole_steps_are_measured() -> None:
    """On a CPU too: the trainer's own steps on random tokens, whose loss starts at the vocabulary's logarithm."""
    command = [sys.executable, "-m", "nmoe.bench_train", str(ROOT / "configs" / "tiny.toml"), "--steps=4", "--batch_size=2"]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["schema"] == "nmoe/bench-train@1" and said["steps"] == 2 and said["mfu"] is None
    assert said["tokens_per_s"] == pytest.approx(2 * 128 / said["ms_p50"] * 1000, rel=0.01) and 5 < said["loss"] < 8
    few = subprocess.run([*command, "--steps=2"], env=env, capture_output=True, text=True)
    assert few.returncode == 2 and "2 steps are not more than the 2" in few.stderr
