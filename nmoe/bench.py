"""`python -m nmoe.bench [--tokens=N] [--format json]`: the experts of one layer at moonlight's shape, beside other programs.

Every contender computes y_TD = sum over k of gate[t, k] * W2(silu(W1 x) * (W3 x)) from the same tokens, choices and weights,
and all gradients of it; gathering rows by expert and adding them up again is part of it.  First each is held against fp32; then
they are timed in turns on one GPU, with CUDA events, and with them the rate of one large product, the ceiling.  Rates count the
three products alone: 6 T K D F forward, three times that with the backward.

Exit status: 0 measured, 1 a contender computes something else, 3 there is no GPU.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from . import ops, reference

__all__ = ["CONTENDERS", "Layer", "Shape", "errors", "interleaved", "make_layer"]

#: Relative error of bf16 results: three roundings deep.
LIMIT = 1.5e-2
NAMES = ("y", "dx", "dgate", "dw13", "dw2")


@dataclass(frozen=True)
class Shape:
    """T tokens of width D, K of E experts each, of inner width F."""

    tokens: int = 32_768
    dim: int = 2048
    inner: int = 1408
    experts: int = 64
    active: int = 6

    @property
    def flops(self) -> float:
        """Of the forward products; the backward has twice as many."""
        return 6.0 * self.tokens * self.active * self.dim * self.inner


@dataclass(frozen=True)
class Layer:
    """What every contender is given.  W1 and W3 lie side by side in w13."""

    x_TD: Tensor
    ids_TK: Tensor
    gate_TK: Tensor
    w13_EDF: Tensor
    w2_EFD: Tensor
    dout_TD: Tensor

    def leaves(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.x_TD, self.gate_TK, self.w13_EDF, self.w2_EFD


def make_layer(shape: Shape, device: str) -> Layer:
    """Random tokens and weights; choices of a random router, so that loads differ."""
    torch.manual_seed(0)
    score = torch.rand(shape.tokens, shape.experts, device=device) + 0.1 * torch.rand(shape.experts, device=device)
    gate, ids = score.topk(shape.active)

    def normal(*sizes: int, scale: float = 1.0) -> Tensor:
        return (torch.randn(sizes, device=device) * scale).bfloat16()

    w13 = normal(shape.experts, shape.dim, 2 * shape.inner, scale=shape.dim**-0.5)
    w2 = normal(shape.experts, shape.inner, shape.dim, scale=shape.inner**-0.5)
    x, dout = normal(shape.tokens, shape.dim), normal(shape.tokens, shape.dim)
    leaves = [t.requires_grad_() for t in (x, gate / gate.sum(1, keepdim=True), w13, w2)]
    return Layer(leaves[0], ids, leaves[1], leaves[2], leaves[3], dout)


def _by_expert(ids_TK: Tensor, experts: int) -> tuple[Tensor, Tensor, Tensor]:
    """The pairs sorted by expert, where each pair went, and the experts' bounds."""
    flat = ids_TK.flatten()
    order = flat.argsort(stable=True)
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device=order.device)
    counts = torch.zeros(experts, dtype=torch.int64, device=flat.device).scatter_add_(0, flat, torch.ones_like(flat))
    return order, place, F.pad(counts.cumsum(0), (1, 0))


# -- contenders --------------------------------------------------------------------------------------------------------


class _Ours(torch.autograd.Function):
    """The trainer's operations, on one rank."""

    @staticmethod
    def forward(ctx: Any, x_TD: Tensor, gate_TK: Tensor, w13: Tensor, w2: Tensor, ids_TK: Tensor) -> Tensor:
        order, place, offsets = _by_expert(ids_TK, len(w13))
        token = order // ids_TK.shape[1]
        x_RD = x_TD[token]
        h_RF = ops.grouped_mm(x_RD, w13, offsets)
        y_RD = ops.grouped_mm(ops.swiglu(h_RF), w2, offsets)
        ctx.save_for_backward(x_RD, h_RF, gate_TK, w13, w2, order, place, offsets)
        return ops.combine(y_RD[place].view(*ids_TK.shape, -1), gate_TK, x_TD.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout_TD: Tensor) -> tuple[Tensor | None, ...]:
        x_RD, h_RF, gate_TK, w13, w2, order, place, offsets = ctx.saved_tensors
        dout_RD = dout_TD[order // gate_TK.shape[1]]
        d_RF = ops.grouped_mm(dout_RD, w2.transpose(1, 2), offsets)
        dh_RF, gated_RF, dgate_R = ops.swiglu_backward(h_RF, d_RF, gate_TK.flatten()[order])
        dx_RD = ops.grouped_mm(dh_RF, w13.transpose(1, 2), offsets)
        dx_TD = ops.combine(dx_RD[place].view(*gate_TK.shape, -1), None, dx_RD.dtype)
        dw13, dw2 = ops.grouped_wgrad(x_RD, dh_RF, offsets), ops.grouped_wgrad(gated_RF, dout_RD, offsets)
        return dx_TD, dgate_R[place].view_as(gate_TK), dw13, dw2, None


def ours(layer: Layer) -> Callable[[], Tensor]:
    return lambda: _Ours.apply(layer.x_TD, layer.gate_TK, layer.w13_EDF, layer.w2_EFD, layer.ids_TK)


def torchs(layer: Layer) -> Callable[[], Tensor]:
    """torch's grouped product, its own gated unit and its autograd."""
    grouped = getattr(F, "grouped_mm", None) or torch._grouped_mm

    def run() -> Tensor:
        order, place, offsets = _by_expert(layer.ids_TK, len(layer.w13_EDF))
        ends = offsets[1:].to(torch.int32)
        h_RF = grouped(layer.x_TD[order // layer.ids_TK.shape[1]], layer.w13_EDF, offs=ends)
        a, b = h_RF.chunk(2, -1)
        y_RD = grouped(F.silu(a) * b, layer.w2_EFD, offs=ends)
        y_TKD = y_RD[place].view(*layer.ids_TK.shape, -1)
        return (y_TKD * layer.gate_TK[..., None]).sum(1).to(layer.x_TD.dtype)

    return run


def transformers_experts(layer: Layer) -> Callable[[], Tensor]:
    """transformers' DeepseekV3 experts, in the implementation that its authors made for grouped products."""
    from transformers.models.deepseek_v3 import modeling_deepseek_v3 as theirs
    from transformers.models.deepseek_v3.configuration_deepseek_v3 import DeepseekV3Config

    E, D, width = layer.w13_EDF.shape
    config = DeepseekV3Config(hidden_size=D, moe_intermediate_size=width // 2, n_routed_experts=E)
    config._experts_implementation = "grouped_mm"
    with torch.device("meta"):
        experts = theirs.DeepseekV3Experts(config)

    def run() -> Tensor:  # its weights lie the other way round; as views they are ours
        weights = {"gate_up_proj": layer.w13_EDF.transpose(1, 2), "down_proj": layer.w2_EFD.transpose(1, 2)}
        given = (layer.x_TD, layer.ids_TK, layer.gate_TK.to(layer.x_TD.dtype))
        return torch.func.functional_call(experts, weights, given)

    return run


CONTENDERS: dict[str, Callable[[Layer], Callable[[], Tensor]]] = {
    "nmoe": ours,
    "torch grouped_mm": torchs,
    "transformers": transformers_experts,
}


# -- correct, then fast ------------------------------------------------------------------------------------------------


def _gradients(y_TD: Tensor, layer: Layer) -> tuple[Tensor, ...]:
    return torch.autograd.grad(y_TD, layer.leaves(), layer.dout_TD.to(y_TD.dtype))


def exact(layer: Layer) -> tuple[Tensor, ...]:
    """y and the four gradients in fp32, expert by expert."""
    x, gate, w13, w2 = (t.detach().float().requires_grad_() for t in layer.leaves())
    order, place, offsets = _by_expert(layer.ids_TK, len(w13))
    h = reference.grouped_mm(x[order // layer.ids_TK.shape[1]], w13, offsets)
    y = reference.grouped_mm(reference.swiglu(h), w2, offsets)[place].view(*layer.ids_TK.shape, -1)
    y = (y * gate[..., None]).sum(1)
    return y.detach(), *torch.autograd.grad(y, (x, gate, w13, w2), layer.dout_TD.float())


def errors(run: Callable[[], Tensor], layer: Layer, wanted: tuple[Tensor, ...]) -> dict[str, float]:
    """Relative error of y and of each gradient."""
    y = run()
    found = (y.detach(), *_gradients(y, layer))
    return {
        name: float((ours.float() - theirs).norm() / theirs.norm()) for name, ours, theirs in zip(NAMES, found, wanted, strict=True)
    }


def interleaved(runs: dict[str, Callable[[], object]], warm: int, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each run, sorted; the runs of a round follow one another."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(warm + rounds):
        for name, run in runs.items():
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            run()
            end.record()
            torch.cuda.synchronize()
            if turn >= warm:
                times[name].append(begin.elapsed_time(end))
    return {name: sorted(values) for name, values in times.items()}


def _row(times: list[float], flops: float) -> dict[str, float]:
    middle = statistics.median(times)
    tenth = max(1, len(times) // 10)
    return {
        "p50_ms": round(middle, 3),
        "p10_ms": round(times[tenth - 1], 3),
        "p90_ms": round(times[-tenth], 3),
        "tflops": round(flops / middle / 1e9, 1),
    }


def measure(shape: Shape, warm: int, rounds: int) -> dict[str, Any]:
    layer = make_layer(shape, "cuda")
    runs, missing = {}, {}
    for name, make in CONTENDERS.items():
        try:
            runs[name] = make(layer)
        except ImportError as error:
            missing[name] = str(error)
    wanted = exact(layer)
    wrong = {name: errors(run, layer, wanted) for name, run in runs.items()}
    del wanted
    a, b = (torch.randn(8192, 8192, device="cuda").bfloat16() for _ in range(2))
    forward: dict[str, Callable[[], object]] = {**runs, "ceiling": lambda: a @ b}
    both: dict[str, Callable[[], object]] = {name: lambda run=run: _gradients(run(), layer) for name, run in runs.items()}
    with torch.no_grad():
        fast = interleaved(forward, warm, rounds)
    whole = interleaved(both, warm, rounds)
    ceiling = _row(fast.pop("ceiling"), 2.0 * 8192**3)
    return {
        "schema": "nmoe/bench@1",
        "device": torch.cuda.get_device_name(),
        "versions": _versions(),
        "shape": asdict(shape),
        "rounds": rounds,
        "ceiling": ceiling,
        "missing": missing,
        "contenders": {
            name: {
                "errors": wrong[name],
                "forward": _row(fast[name], shape.flops),
                "forward_backward": _row(whole[name], 3 * shape.flops),
            }
            for name in runs
        },
    }


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "torch": torch.__version__, "cuda": torch.version.cuda or ""}
    for name in ("triton", "transformers"):
        try:
            found[name] = __import__(name).__version__
        except ImportError:
            found[name] = "not installed"
    return found


def table(said: dict[str, Any]) -> str:
    shape, ceiling = said["shape"], said["ceiling"]["tflops"]
    lines = [
        f"{said['device']}; " + ", ".join(f"{name} {version}" for name, version in said["versions"].items()),
        f"T={shape['tokens']} D={shape['dim']} F={shape['inner']} E={shape['experts']} K={shape['active']}, bf16, "
        f"{said['rounds']} rounds; a product of 8192^3 runs at {ceiling} TFLOP/s",
        f"{'':20}{'':18}{'p50 ms':>10}{'p10':>10}{'p90':>10}{'TFLOP/s':>10}{'of ceiling':>12}",
    ]
    for name, one in said["contenders"].items():
        for which in ("forward", "forward_backward"):
            row = one[which]
            lines.append(
                f"{name:20}{which:18}{row['p50_ms']:10.2f}{row['p10_ms']:10.2f}{row['p90_ms']:10.2f}{row['tflops']:10.1f}"
                f"{row['tflops'] / ceiling:12.0%}"
            )
    lines += [f"{name}: not here ({why})" for name, why in said["missing"].items()]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m nmoe.bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tokens", type=int, default=Shape.tokens)
    parser.add_argument("--warm", type=int, default=10, help="rounds that are not counted")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--format", choices=("text", "json"), default="text")
    asked = parser.parse_args()
    if not torch.cuda.is_available():
        sys.stderr.write("nmoe.bench: it measures a GPU, and there is no CUDA device here\n")
        return 3
    said = measure(Shape(tokens=asked.tokens), asked.warm, asked.rounds)
    sys.stdout.write(json.dumps(said, indent=2) + "\n" if asked.format == "json" else table(said))
    wrong = [
        f"{name}: {which} is {error:.1e} off"
        for name, one in said["contenders"].items()
        for which, error in one["errors"].items()
        if not error <= LIMIT
    ]
    sys.stderr.write("".join(f"nmoe.bench: {line}\n" for line in wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
