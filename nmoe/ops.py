"""The operations of `nmoe.reference` under the same names, on the device where their operands lie.

On CUDA they are the kernels of `nmoe.kernels`, elsewhere the reference; the kernels, and with them Triton, are imported when
first used.  `attention` and `grouped_mm` have gradients on both.  Everything repeats bit for bit on one device.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from . import reference
from .reference import dequantize_mxfp8, dequantize_nvfp4, nvfp4_encode_scale

__all__ = [
    "attention",
    "combine",
    "dequantize_mxfp8",
    "dequantize_nvfp4",
    "grouped_mm",
    "grouped_wgrad",
    "nvfp4_encode_scale",
    "put_rows",
    "quantize_mxfp8",
    "quantize_nvfp4",
    "scaled_grouped_mm",
    "swiglu",
    "swiglu_backward",
    "swiglu_quantize_mxfp8",
]


def quantize_mxfp8(x_MK: Tensor) -> tuple[Tensor, Tensor]:
    if not x_MK.is_cuda:
        return reference.quantize_mxfp8(x_MK)
    from .kernels import quant

    return quant.quantize_mxfp8(x_MK)


def quantize_nvfp4(x_MK: Tensor, s_enc: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    if not x_MK.is_cuda:
        return reference.quantize_nvfp4(x_MK, s_enc)
    from .kernels import quant

    return quant.quantize_nvfp4(x_MK, s_enc)


def swiglu(x_R2F: Tensor) -> Tensor:
    """Without a gradient of its own: see `swiglu_backward`."""
    if not x_R2F.is_cuda:
        return reference.swiglu(x_R2F)
    from .kernels import quant

    return quant.swiglu(x_R2F)


def swiglu_quantize_mxfp8(x_R2F: Tensor) -> tuple[Tensor, Tensor]:
    """`quantize_mxfp8(swiglu(x))`, on CUDA in one pass."""
    if not x_R2F.is_cuda:
        return reference.quantize_mxfp8(reference.swiglu(x_R2F))
    from .kernels import quant

    return quant.swiglu_quantize_mxfp8(x_R2F)


def swiglu_backward(x_R2F: Tensor, d_RF: Tensor, gate_R: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    if not x_R2F.is_cuda:
        return reference.swiglu_backward(x_R2F, d_RF, gate_R)
    from .kernels import quant

    return quant.swiglu_backward(x_R2F, d_RF, gate_R)


def grouped_mm(x_RK: Tensor, w_EKN: Tensor, offsets_E1: Tensor) -> Tensor:
    """A w that is the transposed view of a contiguous [E, N, K] is read as it lies."""
    return _GroupedMM.apply(x_RK, w_EKN, offsets_E1) if x_RK.is_cuda else reference.grouped_mm(x_RK, w_EKN, offsets_E1)


def grouped_wgrad(x_RK: Tensor, dy_RN: Tensor, offsets_E1: Tensor) -> Tensor:
    if not x_RK.is_cuda:
        return reference.grouped_wgrad(x_RK, dy_RN, offsets_E1)
    from .kernels import grouped

    return grouped.grouped_wgrad(x_RK.contiguous(), dy_RN.contiguous(), offsets_E1)


def scaled_grouped_mm(
    x_RK: Tensor,
    x_scales: Tensor,
    w_ENK: Tensor,
    w_scales: Tensor,
    offsets_E1: Tensor,
    x_enc: Tensor | None = None,
    w_enc: Tensor | None = None,
    dtype: torch.dtype = torch.bfloat16,
) -> Tensor:
    """Forward only: gradients of quantised products are taken straight through, by `grouped_mm` and `grouped_wgrad`."""
    if not x_RK.is_cuda:
        return reference.scaled_grouped_mm(x_RK, x_scales, w_ENK, w_scales, offsets_E1, x_enc, w_enc, dtype)
    from .kernels import scaled

    return scaled.scaled_grouped_mm(x_RK, x_scales, w_ENK, w_scales, offsets_E1, x_enc, w_enc, dtype)


def attention(
    q_BSHD: Tensor, k_BSHD: Tensor, v_BSHV: Tensor, scale: float, window: int | None = None, sink_H: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """On CUDA lse has no gradient."""
    if not q_BSHD.is_cuda:
        return reference.attention(q_BSHD, k_BSHD, v_BSHV, scale, window, sink_H)
    o_BSHV, lse_BSH = _Attention.apply(q_BSHD, k_BSHD, v_BSHV, sink_H, scale, window)
    return o_BSHV, lse_BSH


def put_rows(x_MW: Tensor, index_N: Tensor, rank_N: Tensor, slot_N: Tensor, arrays: Sequence[Tensor]) -> None:
    """On CUDA each array begins at a multiple of 16 bytes, which torch's allocations do."""
    if not x_MW.is_cuda:
        return reference.put_rows(x_MW, index_N, rank_N, slot_N, arrays)
    from .kernels import rdep

    begins = [array.data_ptr() for array in arrays]
    if any(begin % 16 for begin in begins):
        raise ValueError("an array that rows are put into does not begin at a multiple of 16 bytes")
    bases = torch.tensor(begins, dtype=torch.int64, device=x_MW.device)
    return rdep.put_rows(x_MW, index_N, rank_N, slot_N, bases)


def combine(rows_TKW: Tensor, gate_TK: Tensor | None, dtype: torch.dtype) -> Tensor:
    if not rows_TKW.is_cuda:
        return reference.combine(rows_TKW, gate_TK, dtype)
    from .kernels import rdep

    return rdep.combine(rows_TKW, gate_TK, dtype)


class _GroupedMM(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_RK: Tensor, w_EKN: Tensor, offsets_E1: Tensor) -> Tensor:
        ctx.save_for_backward(x_RK, w_EKN, offsets_E1)
        return _product(x_RK, w_EKN, offsets_E1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy_RN: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x_RK, w_EKN, offsets_E1 = ctx.saved_tensors
        dx = _product(dy_RN, w_EKN.transpose(1, 2), offsets_E1) if ctx.needs_input_grad[0] else None
        dw = grouped_wgrad(x_RK, dy_RN, offsets_E1) if ctx.needs_input_grad[1] else None
        return dx, dw, None


def _product(x_RK: Tensor, w_EKN: Tensor, offsets_E1: Tensor) -> Tensor:
    from .kernels import grouped

    turned = w_EKN.transpose(1, 2)
    if turned.is_contiguous():
        return grouped.grouped_mm(x_RK.contiguous(), turned, offsets_E1, transposed=True)
    return grouped.grouped_mm(x_RK.contiguous(), w_EKN.contiguous(), offsets_E1)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, q_BSHD: Tensor, k_BSHD: Tensor, v_BSHV: Tensor, sink_H: Tensor | None, scale: float, window: int | None
    ) -> tuple[Tensor, Tensor]:
        from .kernels import attn

        o_BSHV, lse_BSH = attn.attention(q_BSHD, k_BSHD, v_BSHV, scale, window, sink_H)
        ctx.save_for_backward(q_BSHD, k_BSHD, v_BSHV, sink_H, o_BSHV, lse_BSH)
        ctx.scale, ctx.window = scale, window
        ctx.mark_non_differentiable(lse_BSH)
        return o_BSHV, lse_BSH

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, do_BSHV: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        from .kernels import attn

        q_BSHD, k_BSHD, v_BSHV, sink_H, o_BSHV, lse_BSH = ctx.saved_tensors
        dq, dk, dv, dsink = attn.attention_backward(
            do_BSHV, q_BSHD, k_BSHD, v_BSHV, o_BSHV, lse_BSH, ctx.scale, ctx.window, sink_H
        )  # fmt: skip
        return dq, dk, dv, dsink, None, None
