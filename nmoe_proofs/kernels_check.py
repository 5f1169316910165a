"""`python -m nmoe_proofs.kernels_check [SUBJECT ...] [--first] [--format json]`: every kernel against `nmoe.reference`.

Where there is a CUDA device the kernels are compiled and run on it, at sizes that fill several tiles; elsewhere Triton's
interpreter runs the same source on small ones.  Bits must be equal where the definition is exact; otherwise the error is relative,
||kernel - reference|| / ||reference||, with the reference in fp32.  What must not be read is filled with NaN.

Exit status: 0 all hold, 1 one does not, 2 no such subject, 3 Triton is missing or cannot interpret here.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from nmoe import reference

__all__ = ["SUBJECTS", "Measure", "run"]

#: Relative error of bf16 results (rounding once is 1.7e-3), of fp32 ones, and of the softmax's log.
BF16, FP32, LSE = 4e-3, 1e-5, 1e-5


@dataclass(frozen=True)
class Measure:
    """A kernel did what it should in one case if least <= error <= most."""

    kernel: str
    case: str
    error: float
    most: float
    least: float = 0.0

    @property
    def holds(self) -> bool:
        return self.least <= self.error <= self.most


def relative(found: Tensor, wanted: Tensor) -> float:
    found, wanted = found.detach().float(), wanted.detach().float()
    return float((found - wanted).norm() / wanted.norm().clamp_min(1e-30))


def differing(found: Tensor, wanted: Tensor) -> float:
    """The number of elements that differ in their bits; a different shape or type is all of them."""
    if found.shape != wanted.shape or found.dtype is not wanted.dtype:
        return float(max(found.numel(), wanted.numel(), 1))
    found, wanted = (x.contiguous().flatten().view(torch.uint8) for x in (found, wanted))
    return float((found != wanted).sum())


def limit(dtype: torch.dtype) -> float:
    return BF16 if dtype is torch.bfloat16 else FP32


# -- quantisers --------------------------------------------------------------------------------------------------------


def quantised_inputs(device: str) -> Iterator[tuple[str, Tensor]]:
    """Rows for a block quantiser: ordinary, of every size, at every tie, all zero, and with values that are not finite."""
    rows = 1000 if device != "cpu" else 40
    yield "normal", torch.randn(rows, 224, device=device).bfloat16()
    yield "normal fp32", torch.randn(rows, 96, device=device)
    yield "wide", torch.randn(rows, 96, device=device) * torch.exp2(torch.randint(-40, 40, (rows, 1), device=device).float())
    yield "ties e4m3", _around(torch.arange(0x7F, dtype=torch.uint8).view(torch.float8_e4m3fn).float(), 448.0).to(device)
    yield "ties e2m1", _around(torch.tensor(reference.E2M1), 6.0).to(device)
    yield "scales", _powers().to(device)
    yield "zeros", torch.zeros(3, 64, device=device)
    broken = torch.randn(4, 128, device=device)
    broken[0, 5], broken[1, 40], broken[2, 127] = torch.nan, torch.inf, -torch.inf
    yield "not finite", broken


def _around(values: Tensor, largest: float) -> Tensor:
    """Each value, each middle between neighbours, and the fp32 numbers next to both; a 32nd of them is `largest`, the scale."""
    middles = (values[:-1] + values[1:]) / 2
    points = torch.cat((values, middles))
    points = torch.cat((points, points.nextafter(torch.tensor(torch.inf)), points.nextafter(torch.tensor(-torch.inf))))
    points = points.clamp(max=largest)
    points = torch.cat((points, -points, torch.zeros(-2 * len(points) % 15))).view(-1, 15)
    rows = torch.cat((points, torch.full((len(points), 1), largest)), 1)
    return torch.cat((rows, rows.flip(0)), 1)


def _powers() -> Tensor:
    """Rows whose amax lies at and beside 448 * 2^n and 6 * 2^n, where a scale steps."""
    tops = torch.tensor([448.0, 6.0])[:, None] * torch.exp2(torch.arange(-30.0, 30.0))
    tops = torch.cat((tops, tops.nextafter(torch.tensor(torch.inf)), tops.nextafter(torch.tensor(0.0)))).reshape(-1, 1)
    return tops * torch.linspace(-1, 1, 32)


def check_quantisers(device: str) -> Iterator[Measure]:
    from nmoe.kernels import quant

    for case, x in quantised_inputs(device):
        for kernel, ours, theirs in (
            ("quantize_mxfp8", quant.quantize_mxfp8(x), reference.quantize_mxfp8(x)),
            ("quantize_nvfp4", quant.quantize_nvfp4(x), reference.quantize_nvfp4(x)),
        ):
            if case == "not finite":  # what the values of a NaN block are does not matter
                back = reference.dequantize_mxfp8 if kernel == "quantize_mxfp8" else reference.dequantize_nvfp4
                ours, theirs = (back(*ours).nan_to_num(-1.0),), (back(*theirs).nan_to_num(-1.0),)
            yield Measure(kernel, case, sum(differing(*pair) for pair in zip(ours, theirs, strict=True)), 0)
    ties = _around(torch.tensor(reference.E2M1), 6.0).to(device)  # with s_enc 1 the scale of these blocks is 1: true ties
    for case, s_enc in (("s_enc 1", torch.ones((), device=device)), ("a row", torch.rand(len(ties), device=device) + 0.5)):
        pairs = zip(quant.quantize_nvfp4(ties, s_enc), reference.quantize_nvfp4(ties, s_enc), strict=True)
        yield Measure("quantize_nvfp4", case, sum(differing(*pair) for pair in pairs), 0)


def check_swiglu(device: str) -> Iterator[Measure]:
    from nmoe.kernels import quant

    rows, width = (1000, 1408) if device != "cpu" else (40, 160)
    for dtype in (torch.bfloat16, torch.float32):
        case = str(dtype).removeprefix("torch.")
        x, d = torch.randn(rows, 2 * width, device=device).to(dtype), torch.randn(rows, width, device=device).to(dtype)
        gate = torch.rand(rows, device=device)
        yield Measure("swiglu", case, relative(quant.swiglu(x), reference.swiglu(x.float())), limit(dtype))
        found, wanted = quant.swiglu_backward(x, d, gate), reference.swiglu_backward(x.float(), d.float(), gate)
        for name, ours, theirs in zip(("dx", "gate * h", "dgate"), found, wanted, strict=True):
            yield Measure("swiglu_backward", f"{case} {name}", relative(ours, theirs), limit(dtype))
        pairs = zip(quant.swiglu_quantize_mxfp8(x), quant.quantize_mxfp8(quant.swiglu(x)), strict=True)
        yield Measure("swiglu_quantize_mxfp8", case, sum(differing(*pair) for pair in pairs), 0)


# -- grouped products --------------------------------------------------------------------------------------------------


def loads(device: str) -> Iterator[tuple[str, Tensor]]:
    """How many rows each of four experts has."""
    times = 37 if device != "cpu" else 1
    for case, counts in (("uneven", (5, 0, 33, 26)), ("one has all", (0, 0, 0, 40)), ("last has none", (16, 16, 1, 0))):
        yield case, torch.tensor((0, *counts), device=device).cumsum(0) * times


def check_grouped(device: str) -> Iterator[Measure]:
    from nmoe.kernels import grouped

    K, N = (416, 328) if device != "cpu" else (72, 80)
    for dtype in (torch.bfloat16, torch.float32):
        for load, offsets in loads(device):
            case, rows = f"{str(dtype).removeprefix('torch.')} {load}", int(offsets[-1])
            x, dy = (torch.randn(rows, width, device=device).to(dtype) for width in (K, N))
            w = torch.randn(len(offsets) - 1, K, N, device=device).to(dtype)
            beyond_x, beyond_dy = (torch.cat((t, torch.full_like(t[:9], torch.nan))) for t in (x, dy))
            kernels = {
                "grouped_mm": partial(grouped.grouped_mm, beyond_x, w, offsets),
                "grouped_mm turned": partial(grouped.grouped_mm, beyond_dy, w, offsets, transposed=True),
                "grouped_wgrad": partial(grouped.grouped_wgrad, beyond_x, beyond_dy, offsets),
            }
            wanted = (
                reference.grouped_mm(x.float(), w.float(), offsets),
                reference.grouped_mm(dy.float(), w.float().transpose(1, 2), offsets),
                reference.grouped_wgrad(x.float(), dy.float(), offsets),
            )
            for (name, kernel), right in zip(kernels.items(), wanted, strict=True):
                found = kernel()[: len(right)]
                yield Measure(name, case, relative(found, right), limit(dtype))
                if dtype is torch.bfloat16:
                    yield Measure(name, f"{case}, again", differing(found, kernel()[: len(right)]), 0)


def check_scaled(device: str) -> Iterator[Measure]:
    import triton

    from nmoe.kernels import scaled

    E, K, N = (4, 416, 328) if device != "cpu" else (4, 96, 80)
    # the tensor core's own scales: on Blackwell, and in an interpreter that reads power-of-two scales rightly
    native = torch.cuda.get_device_capability()[0] == 10 if device != "cpu" else triton.__version__ >= "3.9"
    for load, offsets in loads(device):
        rows = int(offsets[-1])
        x, w = torch.randn(rows, K, device=device).bfloat16(), torch.randn(E, N, K, device=device).bfloat16()
        exact = reference.grouped_mm(x.float(), w.float().transpose(1, 2), offsets)
        q, s = reference.quantize_mxfp8(x)
        wq, ws = reference.quantize_mxfp8(w.view(E * N, K))
        given = (q, s, wq.view(E, N, K), ws, offsets)
        wanted = reference.scaled_grouped_mm(*given, dtype=torch.float32)
        for decode in (True, False) if native else (True,):
            found = scaled.scaled_grouped_mm(*given, dtype=torch.float32, decode=decode)
            yield Measure("scaled_grouped_mm", f"mxfp8 {load}{'' if decode else ', native'}", relative(found, wanted), FP32)
        yield Measure("mxfp8 itself", load, relative(wanted, exact), 0.05, 0.03)
        for case, x_enc, w_enc in (
            ("a tensor", reference.nvfp4_encode_scale(x.abs().amax()), reference.nvfp4_encode_scale(w.abs().amax())),
            ("a row", reference.nvfp4_encode_scale(x.abs().amax(1)), reference.nvfp4_encode_scale(w.abs().amax((1, 2)))),
        ):
            q, s, _ = reference.quantize_nvfp4(x, x_enc)
            wq, ws, _ = reference.quantize_nvfp4(w.view(E * N, K), w_enc.repeat_interleave(N) if w_enc.numel() > 1 else w_enc)
            packed = (q, s, wq.view(E, N, K // 2), ws, offsets, x_enc, w_enc, torch.float32)
            wanted = reference.scaled_grouped_mm(*packed)
            for decode in (True, False) if native and device != "cpu" else (True,):
                found = scaled.scaled_grouped_mm(*packed, decode=decode)
                name = f"nvfp4 {load}, s_enc {case}{'' if decode else ', native'}"
                yield Measure("scaled_grouped_mm", name, relative(found, wanted), FP32)
            yield Measure("nvfp4 itself", f"{load}, s_enc {case}", relative(wanted, exact), 0.16, 0.11)


# -- attention ---------------------------------------------------------------------------------------------------------


def check_attention(device: str) -> Iterator[Measure]:
    from nmoe.kernels import attn

    cases: tuple[tuple[str, int, int, int | None, bool], ...] = (
        ("latent", 48, 32, None, False),
        ("window and sink", 32, 32, 20, True),
        ("sink", 32, 16, None, True),
        ("window 7", 16, 16, 7, False),
    )
    large = (("latent, moonlight", 192, 128, None, False), ("window, moonlight", 128, 128, 128, True))
    for dtype in (torch.bfloat16, torch.float32):
        for case, D, V, window, with_sink in cases + (large if device != "cpu" and dtype is torch.bfloat16 else ()):
            B, S, H = (2, 300, 3) if device != "cpu" else (2, 70 if dtype is torch.bfloat16 else 40, 2)
            q, k, v, do = (torch.randn(B, S, H, width, device=device).to(dtype) for width in (D, D, V, V))
            sink = torch.randn(H, device=device).to(dtype) if with_sink else None
            case = f"{str(dtype).removeprefix('torch.')} {case}"
            o, lse = attn.attention(q, k, v, D**-0.5, window, sink)
            found = attn.attention_backward(do, q, k, v, o, lse, D**-0.5, window, sink)
            leaves = [t.float().requires_grad_() for t in (q, k, v, *([] if sink is None else [sink]))]
            wanted_o, wanted_lse = reference.attention(leaves[0], leaves[1], leaves[2], D**-0.5, window, *leaves[3:])
            wanted = torch.autograd.grad(wanted_o, leaves, do.float())
            yield Measure("attention", f"{case} o", relative(o, wanted_o), limit(dtype))
            yield Measure("attention", f"{case} lse", float((lse - wanted_lse).detach().abs().max()), LSE)
            for name, ours, theirs in zip(("dq", "dk", "dv", "dsink"), found, wanted, strict=False):
                most = limit(dtype)
                if name == "dsink" and dtype is torch.bfloat16:
                    most = 0.1  # a sum of both signs over all rows, of an o that was rounded
                yield Measure("attention_backward", f"{case} {name}", relative(ours, theirs), most)
            if dtype is torch.bfloat16:
                again = attn.attention_backward(do, q, k, v, o, lse, D**-0.5, window, sink)
                pairs = [pair for pair in zip(found, again, strict=True) if pair[0] is not None]
                yield Measure("attention_backward", f"{case}, again", sum(differing(*pair) for pair in pairs), 0)


def check_gradients(device: str) -> Iterator[Measure]:
    """What autograd finds through `nmoe.ops` on a GPU, from leaves that are views as a model makes them."""
    from nmoe import ops

    offsets = torch.tensor([0, 5, 5, 38, 64], device=device)
    for case, turned in (("as it lies", False), ("turned", True)):
        x = torch.randn(64, 72, device=device).bfloat16().requires_grad_()
        w = torch.randn(4, *((80, 72) if turned else (72, 80)), device=device).bfloat16().requires_grad_()
        dy = torch.randn(64, 80, device=device).bfloat16()
        found = torch.autograd.grad(ops._GroupedMM.apply(x, w.transpose(1, 2) if turned else w, offsets), (x, w), dy)
        wide = x.detach().float().requires_grad_(), w.detach().float().requires_grad_()
        y = reference.grouped_mm(wide[0], wide[1].transpose(1, 2) if turned else wide[1], offsets)
        for name, ours, theirs in zip(("dx", "dw"), found, torch.autograd.grad(y, wide, dy.float()), strict=True):
            yield Measure("ops.grouped_mm", f"{case} {name}", relative(ours, theirs), BF16)
    both = torch.randn(2, 40, 3, 2, 32, device=device).bfloat16().requires_grad_()  # q, k and v of one projection
    sink, do = torch.randn(2, device=device).requires_grad_(), torch.randn(2, 40, 2, 32, device=device).bfloat16()
    found = torch.autograd.grad(ops._Attention.apply(*both.unbind(2), sink, 0.2, 20)[0], (both, sink), do)
    wide = both.detach().float().requires_grad_(), sink.detach().requires_grad_()
    o, _ = reference.attention(*wide[0].unbind(2), 0.2, 20, wide[1])
    for name, most, ours, theirs in zip(
        ("dqkv", "dsink"), (BF16, 0.1), found, torch.autograd.grad(o, wide, do.float()), strict=True
    ):
        yield Measure("ops.attention", name, relative(ours, theirs), most)


# -- dispatch ----------------------------------------------------------------------------------------------------------


def check_dispatch(device: str) -> Iterator[Measure]:
    from nmoe.kernels import rdep

    world, tokens, K, W = 3, 50, 2, 1064
    for dtype in (torch.bfloat16, torch.float32, torch.int64):
        x = torch.randint(-99, 99, (tokens, W if dtype.is_floating_point else 1), device=device).to(dtype)
        place = torch.randperm(world * tokens * K, device=device)[: tokens * K]
        index, rank, slot = torch.arange(tokens * K, device=device) // K, place % world, place // world
        found, wanted = ([torch.zeros(tokens * K, x.shape[1], dtype=dtype, device=device) for _ in range(world)] for _ in "ab")
        rdep.put_rows(x, index, rank, slot, torch.tensor([one.data_ptr() for one in found], device=device))
        reference.put_rows(x, index, rank, slot, wanted)
        errors = sum(differing(*pair) for pair in zip(found, wanted, strict=True))
        yield Measure("put_rows", str(dtype).removeprefix("torch."), errors, 0)
    rows, gate = torch.randn(tokens, K, W, device=device).bfloat16(), torch.rand(tokens, K, device=device)
    for case, given, dtype in (("gated", gate, torch.float32), ("plain", None, torch.bfloat16)):
        yield Measure("combine", case, differing(rdep.combine(rows, given, dtype), reference.combine(rows, given, dtype)), 0)
    flags = [torch.zeros(world, dtype=torch.int64, device=device) for _ in range(world)]
    bases = torch.tensor([one.data_ptr() for one in flags], device=device)
    seen = [rdep.barrier(bases, rank, 1, polls=3).tolist() for rank in range(world)]
    wanted_seen = [[int(peer > rank) for peer in range(world)] for rank in range(world)]  # who has not signalled when I wait
    yield Measure("barrier", "the missing are named", sum(a != b for a, b in zip(seen, wanted_seen, strict=True)), 0)
    yield Measure("barrier", "flags", sum(one.tolist() != [1] * world for one in flags), 0)


SUBJECTS: dict[str, Callable[[str], Iterator[Measure]]] = {
    "quantisers": check_quantisers,
    "swiglu": check_swiglu,
    "grouped": check_grouped,
    "scaled": check_scaled,
    "attention": check_attention,
    "gradients": check_gradients,
    "dispatch": check_dispatch,
}


def run(subjects: list[str], device: str) -> Iterator[Measure]:
    for subject in subjects:
        torch.manual_seed(0)
        yield from SUBJECTS[subject](device)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m nmoe_proofs.kernels_check", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help=f"of {', '.join(SUBJECTS)}; all by default")
    parser.add_argument("--first", action="store_true", help="stop at the first measure that does not hold")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    asked = parser.parse_args()
    if unknown := [name for name in asked.subjects if name not in SUBJECTS]:
        parser.error(f"no such subject: {', '.join(unknown)}; there are {', '.join(SUBJECTS)}")
    if importlib.util.find_spec("triton") is None:
        sys.stderr.write("nmoe_proofs.kernels_check: Triton is not installed; pip install 'nmoe-graph[train]'\n")
        return 3
    device = "cuda" if torch.cuda.is_available() else "cpu"
    os.environ["TRITON_INTERPRET"] = "0" if device == "cuda" else "1"
    import numpy
    import triton
    from triton.runtime.errors import InterpreterError

    warnings.filterwarnings("ignore", category=RuntimeWarning, module="triton.runtime.interpreter")  # numpy on 1/0 and NaN
    begin = time.monotonic()
    measures: list[Measure] = []
    try:
        for one in run(asked.subjects or list(SUBJECTS), device):
            measures.append(one)
            if asked.first and not one.holds:
                break
    except InterpreterError as error:
        if "only 0-dimensional arrays can be converted" not in str(error):
            raise
        old = f"Triton {triton.__version__}'s interpreter does not work with numpy {numpy.__version__}"
        sys.stderr.write(f"nmoe_proofs.kernels_check: {old}; take Triton 3.9 or numpy below 2.4\n")
        return 3
    where = torch.cuda.get_device_name() if device == "cuda" else "Triton's interpreter"
    if asked.format == "json":
        facts: dict[str, Any] = {"schema": "nmoe/kernels-check@1", "where": where, "torch": torch.__version__}
        facts |= {"triton": triton.__version__, "measures": [asdict(one) | {"holds": one.holds} for one in measures]}
        sys.stdout.write(json.dumps(facts, indent=2) + "\n")
    else:
        for one in measures:
            said = f"{one.error:9.2e} {'<=' if one.holds else 'NOT <='} {one.most:g}" + (f", >= {one.least:g}" if one.least else "")
            sys.stdout.write(f"{one.kernel:22} {one.case:38} {said}\n")
    failed = [one for one in measures if not one.holds]
    sys.stderr.write(f"{len(measures)} measures in {time.monotonic() - begin:.0f} s, {len(failed)} do not hold ({where})\n")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
