"""Every kernel against the reference, on a GPU where there is one and else in Triton's interpreter; and that the check can fail."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("triton")

PACKAGE = Path(__file__).resolve().parents[2] / "nmoe"
CHECK = [sys.executable, "-m", "nmoe_proofs.kernels_check"]


def run(command: list[str], folder: Path = PACKAGE.parent) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=600)


def test_every_kernel_is_right() -> None:
    """No measure is over its limit, and no wrapper goes unmeasured."""
    done = run([*CHECK, "--format", "json"])
    said = json.loads(done.stdout)
    assert done.returncode == 0, [one for one in said["measures"] if not one["holds"]]
    measured = {one["kernel"].removesuffix(" turned") for one in said["measures"]}
    wrappers = {"attention", "attention_backward", "barrier", "combine", "grouped_mm", "grouped_wgrad", "put_rows"}
    wrappers |= {"quantize_mxfp8", "quantize_nvfp4", "scaled_grouped_mm", "swiglu", "swiglu_backward", "swiglu_quantize_mxfp8"}
    assert measured >= wrappers


def test_the_list_of_wrappers_is_whole() -> None:
    """Each file's `__all__` names no function that the test above does not know."""
    known = set(Path(__file__).read_text().split('"'))
    for path in (PACKAGE / "kernels").glob("*.py"):
        listed = re.search(r"^__all__ = (\[.*?\])", path.read_text(), re.S | re.M)
        if path.stem in ("attn", "grouped", "quant", "rdep", "scaled") and listed:
            assert {name for name in ast.literal_eval(listed[1]) if name.islower()} - {"tile_map"} <= known


#: subject, file, what stands there, what a mistake would make of it
MUTANTS = [
    ("quantisers", "common.py", "(u + ((1 << (drop - 1)) - 1) + ((u >> drop) & 1))", "u"),
    ("quantisers", "common.py", " + ((u >> drop) & 1)", ""),
    ("quantisers", "common.py", "tl.where(a < 0.015625, below, rne_bits(a, 20))", "rne_bits(a, 20)"),
    ("quantisers", "common.py", "+ 0x1FFFFF", "+ 0x200000"),
    ("quantisers", "common.py", "tl.where(amax_bits >= 0x7F800000, 255, byte)", "byte"),
    ("quantisers", "common.py", "(a >= 0.75)", "(a > 0.75)"),
    ("quantisers", "quant.py", "low | (high << 4)", "high | (low << 4)"),
    ("quantisers", "quant.py", "s_enc + rm * stride", "s_enc + rm * 0"),
    ("swiglu", "quant.py", "(1.0 + a * (1.0 - sigmoid))", "(1.0 - a * (1.0 - sigmoid))"),
    ("swiglu", "quant.py", "total += p * h", "total = p * h"),
    ("grouped", "grouped.py", "a = tl.where(mine, x.load([whole, k]), 0.0)", "a = x.load([whole, k])"),
    ("grouped", "grouped.py", "w.load([e * K + k, n])", "w.load([k, n])"),
    ("grouped", "grouped.py", "(i - (ends_E - tiles_E)[own]) * height", "i * 0"),
    ("scaled", "scaled.py", "/ gx[:, None] / gw", "/ gx[:, None]"),
    ("scaled", "scaled.py", "mask=cols & (rs < K // G)", "mask=cols & (rs < K // G - 1)"),
    ("scaled", "common.py", "(magnitude + 252) << 22", "(magnitude + 253) << 22"),
    ("attention", "attn.py", "(i - j < window)", "(i - j <= window)"),
    ("attention", "attn.py", "total = tl.zeros((BM,), tl.float32) + 1.0", "total = tl.zeros((BM,), tl.float32)"),
    ("attention", "attn.py", "free = tl.minimum(tl.cdiv(first + BN - 1, BM) * BM,", "free = tl.minimum(tl.cdiv(first, BM) * BM,"),
    ("attention", "attn.py", "p * (dp - delta_i[:, None])", "p * dp"),
    ("gradients", "../ops.py", "ctx.scale, ctx.window, sink_H", "ctx.scale, None, sink_H"),
    ("dispatch", "rdep.py", "tl.load(slot + i) * W", "i * W"),
    ("dispatch", "rdep.py", "row *= tl.load(gate + t * K + k)", "row *= tl.load(gate + t * K)"),
    ("dispatch", "rdep.py", 'sem="acquire", scope="sys") < epoch).to', 'sem="acquire", scope="sys") > epoch).to'),
]

#: Imports are the most of a run's time: one process has them, and a child of it runs each mutant.
DRIVER = """
import os, sys, torch
os.environ["TRITON_INTERPRET"] = "0" if torch.cuda.is_available() else "1"
import triton
for folder, subject in zip(sys.argv[1::2], sys.argv[2::2]):
    if os.fork() == 0:
        sys.path.insert(0, folder)
        sys.argv = ["check", subject, "--first"]
        status = 9
        try:
            from nmoe_proofs.kernels_check import main
            status = main()
        finally:
            os._exit(status)
    print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
"""


def test_a_wrong_kernel_is_caught(tmp_path: Path) -> None:
    """None of these mistakes passes the check: each ends with exit status 1, not with a crash."""
    arguments = []
    for number, (subject, file, right, wrong) in enumerate(MUTANTS):
        folder = tmp_path / str(number)
        for name in ("nmoe", "nmoe_proofs"):
            shutil.copytree(PACKAGE.parent / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "build"))
        target = folder / "nmoe" / "kernels" / file
        text = target.read_text()
        assert right in text, f"the mutant's place is gone: {right}"
        target.write_text(text.replace(right, wrong))
        arguments += [str(folder), subject]
    done = run([sys.executable, "-c", DRIVER, *arguments], tmp_path)
    statuses = [int(line) for line in done.stdout.splitlines() if line.isdigit()]
    assert len(statuses) == len(MUTANTS), done.stderr
    assert [mutant for mutant, status in zip(MUTANTS, statuses, strict=True) if status != 1] == [], done.stderr[-2000:]


def test_unknown_subject_is_said() -> None:
    done = run([*CHECK, "grouping"])
    assert done.returncode == 2 and "no such subject: grouping; there are quantisers" in done.stderr


RANK = """
import os, sys
os.environ["TRITON_INTERPRET"] = "1"
import mmap, torch
from nmoe.kernels import rdep
rank, world, rounds = int(sys.argv[1]), int(sys.argv[2]), 6
maps = [mmap.mmap(os.open(path, os.O_RDWR), 0) for path in sys.argv[3:]]
flags = [torch.frombuffer(one, dtype=torch.int64, count=world) for one in maps]
rows = [torch.frombuffer(one, dtype=torch.float32, offset=4096, count=world * 8 * 32).view(-1, 32) for one in maps]
bases = [torch.tensor([one.data_ptr() for one in array]) for array in (flags, rows)]
for turn in range(rounds):
    x = torch.arange(8 * 32).view(8, 32) + 1000.0 * rank + 100000.0 * turn
    for peer in range(world):
        slot = torch.arange(8) + 8 * rank
        rdep.put_rows(x, torch.arange(8), torch.full((8,), peer), slot, bases[1])
    assert not rdep.barrier(bases[0], rank, 2 * turn + 1, polls=10**7).any()
    wanted = torch.cat([torch.arange(8 * 32).view(8, 32) + 1000.0 * r + 100000.0 * turn for r in range(world)])
    assert torch.equal(rows[rank], wanted), (rank, turn)
    assert not rdep.barrier(bases[0], rank, 2 * turn + 2, polls=10**7).any()
if rank == 0:
    print(rdep.barrier(bases[0], 0, 99, polls=50).tolist())
"""


def test_processes_put_into_each_other_s_memory(tmp_path: Path) -> None:
    """The put and barrier kernels, interpreted, between processes over shared memory: what a barrier ends is there to read; and
    a rank that never comes is named."""
    world = 2
    places = [tmp_path / f"rank{rank}" for rank in range(world)]
    for place in places:
        place.write_bytes(bytes(4096 + world * 8 * 32 * 4))
    command = [sys.executable, "-c", RANK]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(PACKAGE.parent)}
    ranks = [
        subprocess.Popen(
            [*command, str(rank), str(world), *map(str, places)], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for rank in range(world)
    ]
    said = [one.communicate(timeout=120) for one in ranks]
    assert [one.returncode for one in ranks] == [0, 0], said
    assert said[0][0].decode().strip() == "[0, 1]"
