"""Expert weights and rows in fewer bits: what a forward product sees in fp8 (MXFP8) and in nvfp4.

Both operands are quantised along the contracted side K.  What NVFP4 calls a tensor, with one `s_enc`, is here one expert's weight,
or one expert's rows: its amax does not depend on which rank holds the expert, so neither do the bits.

Shape suffixes: R rows by expert, E experts here, K contracted, N the other side.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from . import ops
from .config import Config
from .heap import Layout

__all__ = ["dequantise_weight", "experts_layout", "gated_product", "product", "quantise_weight"]

#: A weight's parts, by name: {"q": ..., "s": ..., "s_enc": ...}; bf16 has only "w".
Parts = Mapping[str, Tensor]


def weight_layout(experts: int, k: int, n: int, fmt: str) -> Layout:
    """Shape and dtype of each part of an [E, K, N] weight; the quantised ones lie [E, N, K], K last."""
    if fmt == "bf16":
        return {"w": ((experts, k, n), torch.bfloat16)}
    if fmt == "fp8":
        return {"q": ((experts, n, k), torch.float8_e4m3fn), "s": ((experts, n, k // 32), torch.uint8)}
    return {
        "q": ((experts, n, k // 2), torch.uint8),
        "s": ((experts, n, k // 16), torch.float8_e4m3fn),
        "s_enc": ((experts,), torch.float32),
    }


def experts_layout(config: Config, experts: int, fmt: str) -> Layout:
    """The same of both weights of a layer's experts, under `w13_q`, `w13_s`, `w2_q` and so on."""
    one = weight_layout(experts, config.dim, 2 * config.moe_inter_dim, fmt)
    two = weight_layout(experts, config.moe_inter_dim, config.dim, fmt)
    return {f"{which}_{part}": told for which, parts in (("w13", one), ("w2", two)) for part, told in parts.items()}


def quantise_weight(w_EKN: Tensor, fmt: str) -> dict[str, Tensor]:
    """The parts of a weight; `weight_layout` says how they lie."""
    if fmt == "bf16":
        return {"w": w_EKN.to(torch.bfloat16)}
    experts, k, n = w_EKN.shape
    rows = w_EKN.transpose(1, 2).reshape(experts * n, k)
    if fmt == "fp8":
        q, s = ops.quantize_mxfp8(rows)
        return {"q": q.view(experts, n, k), "s": s.view(experts, n, -1)}
    s_enc = ops.nvfp4_encode_scale(w_EKN.abs().amax((1, 2)))
    q, s, _ = ops.quantize_nvfp4(rows, s_enc.repeat_interleave(n))
    return {"q": q.view(experts, n, -1), "s": s.view(experts, n, -1), "s_enc": s_enc}


def dequantise_weight(parts: Parts, fmt: str) -> Tensor:
    """w_EKN with the values that the parts stand for: bf16 as it is, the others in fp32."""
    if fmt == "bf16":
        return parts["w"]
    experts, n = parts["q"].shape[:2]
    q, s = parts["q"].flatten(0, 1), parts["s"].flatten(0, 1)
    rows = ops.dequantize_mxfp8(q, s) if fmt == "fp8" else ops.dequantize_nvfp4(q, s, parts["s_enc"].repeat_interleave(n))
    return rows.view(experts, n, -1).transpose(1, 2)


def product(x_RK: Tensor, parts: Parts, fmt: str, offsets_E1: Tensor) -> Tensor:
    """y_RN: each expert's rows times its weight, both in `fmt`, summed in fp32, in x's dtype."""
    if fmt == "bf16":
        return ops.grouped_mm(x_RK, parts["w"], offsets_E1)
    if not len(x_RK):
        return x_RK.new_zeros((0, parts["q"].shape[1]))
    if fmt == "fp8":
        q, s = ops.quantize_mxfp8(x_RK)
        return ops.scaled_grouped_mm(q, s, parts["q"], parts["s"], offsets_E1, dtype=x_RK.dtype)
    q, s, x_enc = ops.quantize_nvfp4(x_RK, _row_scales(x_RK, offsets_E1))
    return ops.scaled_grouped_mm(q, s, parts["q"], parts["s"], offsets_E1, x_enc, parts["s_enc"], x_RK.dtype)


def gated_product(h_RK2: Tensor, parts: Parts, fmt: str, offsets_E1: Tensor) -> Tensor:
    """`product` of silu(first half) * second half."""
    if fmt == "fp8" and len(h_RK2):
        q, s = ops.swiglu_quantize_mxfp8(h_RK2)
        return ops.scaled_grouped_mm(q, s, parts["q"], parts["s"], offsets_E1, dtype=h_RK2.dtype)
    return product(ops.swiglu(h_RK2), parts, fmt, offsets_E1)


def _row_scales(x_RK: Tensor, offsets_E1: Tensor) -> Tensor:
    """Each row's s_enc: that of the rows of its expert."""
    expert_R = torch.repeat_interleave(offsets_E1.diff())
    amax_E = torch.zeros(len(offsets_E1) - 1, device=x_RK.device)
    amax_E.scatter_reduce_(0, expert_R, x_RK.float().abs().amax(-1), "amax")
    return ops.nvfp4_encode_scale(amax_E)[expert_R]
