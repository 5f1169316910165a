"""The compile gate: that it compiles for both chips, knows every kernel, and notices what it should."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("triton")

PACKAGE = Path(__file__).resolve().parents[2] / "nmoe"


def run(*arguments: str, root: Path = PACKAGE.parent) -> subprocess.CompletedProcess[str]:
    env = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    env |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    return subprocess.run([sys.executable, *arguments], cwd=root, env=env, capture_output=True, text=True, timeout=600)


def test_some_kernels_compile_for_both_chips() -> None:
    """The gate compiles all of them; here are three kinds: a tensor-core product, a block-scaled one, and the barrier."""
    done = run("-m", "nmoe_proofs.kernels_aot", "grouped_wgrad", "scaled_mm_nvfp4", "barrier", "--format", "json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["schema"] == "nmoe/aot@1"
    assert {(one["name"], one["arch"]) for one in said["kernels"]} == {
        (name, arch) for name in ("grouped_wgrad", "scaled_mm_nvfp4", "barrier") for arch in ("sm_90a", "sm_100a")
    }
    assert all(one["cubin"] > 1000 and one["registers"] > 4 and not one["faults"] for one in said["kernels"])


MISTAKES = """
import dataclasses, json, os, tempfile
os.environ["TRITON_CACHE_DIR"] = tempfile.mkdtemp()
from nmoe_proofs.kernels_aot import builds, compile_one
every = {(one.name, one.arch): one for one in builds()}
native, product = every["scaled_mm_mxfp8", 10], every["grouped_mm", 9]
quantiser = every["quantize_nvfp4", 10]
wrong = {
    "decoded": dataclasses.replace(native, constants=native.constants | {"DECODED": True}),
    "deep": dataclasses.replace(product, options=product.options | {"num_stages": 8}),
    "fused": dataclasses.replace(every["swiglu_backward", 10], options={"enable_fp_fusion": True}),
    "shape": dataclasses.replace(quantiser, constants=quantiser.constants | {"BM": 33}),
}
print(json.dumps({name: compile_one(build).faults for name, build in wrong.items()}))
"""


def test_mistakes_are_noticed() -> None:
    """A product that lost its tensor-core scales, tiles that do not fit, arithmetic that fuses, a kernel that does not compile."""
    done = run("-c", MISTAKES)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert len(said["decoded"]) == 1 and "mxf8f6f4" in said["decoded"][0] and "is not in the PTX" in said["decoded"][0]
    assert len(said["deep"]) == 1 and "bytes of shared memory, of 232448" in said["deep"][0]
    assert said["fused"] == [r"fma\.rn\.f32 is in the PTX"]
    assert len(said["shape"]) == 1 and said["shape"][0].startswith("does not compile: ")


def test_a_signal_for_one_gpu_alone_fails(tmp_path: Path) -> None:
    """The program's exit status: a barrier whose release reaches only its own GPU."""
    for name in ("nmoe", "nmoe_proofs"):
        shutil.copytree(PACKAGE.parent / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "build"))
    target = tmp_path / "nmoe" / "kernels" / "rdep.py"
    target.write_text(target.read_text().replace('sem="release", scope="sys"', 'sem="release", scope="gpu"'))
    done = run("-m", "nmoe_proofs.kernels_aot", "barrier", root=tmp_path)
    assert done.returncode == 1 and "barrier for sm_100a:" in done.stderr and "release" in done.stderr, done.stdout


def test_every_kernel_is_in_the_gate() -> None:
    """A function that is launched (`..._kernel`) is one that the gate compiles."""
    launched = {
        node.name
        for path in (PACKAGE / "kernels").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.endswith("_kernel")
    }
    done = run("-c", "from nmoe_proofs.kernels_aot import builds; print(*{one.kernel.fn.__name__ for one in builds()})")
    assert set(done.stdout.split()) == launched and len(launched) > 10


def test_an_unknown_kernel_is_said() -> None:
    done = run("-m", "nmoe_proofs.kernels_aot", "group_mm")
    assert done.returncode == 2 and "no such kernel: group_mm; there are attention_delta" in done.stderr


def test_importing_the_operations_does_not_import_triton() -> None:
    """A CPU run never needs Triton, and `import nmoe` not even torch."""
    light = "import sys, nmoe, nmoe.kernels, nmoe.csrc; print('torch' in sys.modules)"
    done = run("-c", f"{light}; import nmoe.ops; print('triton' in sys.modules)")
    assert done.stdout.split() == ["False", "False"], done.stderr
