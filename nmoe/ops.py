"""The operations of `nmoe.reference` under the same names, on the device where their operands lie.

On CUDA they are the kernels of `nmoe.kernels`, elsewhere the reference; the kernels, and with them Triton, are imported when
first used.  `attention` and `grouped_mm` have gradients on both.  Everything repeats bit for bit on one device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from . import reference
from .reference import dequantize_mxfp8, dequantize_nvfp4, nvfp4_encode_scale

__all__ = [
    "attention", "combine", "dequantize_mxfp8", "dequantize_nvfp4", "grouped_mm", "grouped_wgrad", "nvfp4_encode_scale", "put_rows",
    "quantize_mxfp8", "quantize_nvfp4", "scaled_grouped_mm", "swiglu", "swiglu_backward", "swiglu_quantize_mxfp8",
]  # fmt: skip


P = ParamSpec("P")
T = TypeVar("T")


def _by_device(plain: Callable[P, T]) -> Callable[P, T]:
    """A function of the reference; where its first operand lies on a GPU, the kernel of the same name and arguments."""

    @wraps(plain)
    def call(*operands: P.args, **options: P.kwargs) -> T:
        if not operands[0].is_cuda:  # type: ignore[attr-defined]
            return plain(*operands, **options)
        from .kernels import quant, rdep, scaled

        of = {"combine": rdep, "scaled_grouped_mm": scaled}.get(plain.__name__, quant)
        return getattr(of, plain.__name__)(*operands, **options)

    return call


quantize_mxfp8 = _by_device(reference.quantize_mxfp8)
quantize_nvfp4 = _by_device(reference.quantize_nvfp4)
swiglu = _by_device(reference.swiglu)  # without a gradient of its own: see `swiglu_backward`
swiglu_backward = _by_device(reference.swiglu_backward)
scaled_grouped_mm = _by_device(reference.scaled_grouped_mm)  # gradients are taken straight through, by the two below
combine = _by_device(reference.combine)


def swiglu_quantize_mxfp8(x_R2F: Tensor) -> tuple[Tensor, Tensor]:
    """`quantize_mxfp8(swiglu(x))`, on CUDA in one pass."""
    if not x_R2F.is_cuda:
        return reference.quantize_mxfp8(reference.swiglu(x_R2F))
    from .kernels import quant

    return quant.swiglu_quantize_mxfp8(x_R2F)


def grouped_mm(x_RK: Tensor, w_EKN: Tensor, offsets_E1: Tensor) -> Tensor:
    """A w that is the transposed view of a contiguous [E, N, K] is read as it lies."""
    return _GroupedMM.apply(x_RK, w_EKN, offsets_E1) if x_RK.is_cuda else reference.grouped_mm(x_RK, w_EKN, offsets_E1)


def grouped_wgrad(x_RK: Tensor, dy_RN: Tensor, offsets_E1: Tensor) -> Tensor:
    if not x_RK.is_cuda:
        return reference.grouped_wgrad(x_RK, dy_RN, offsets_E1)
    from .kernels import grouped

    return grouped.grouped_wgrad(x_RK.contiguous(), dy_RN.contiguous(), offsets_E1)


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
