"""Attention: latent (`mla`) in global layers, windowed with sinks (`swa`) in local ones, behind one function.

Shape suffixes: B batch, S sequence, H heads, D query and key width, V value width.
"""

from __future__ import annotations

from torch import Tensor

from .. import ops

__all__ = ["attend"]


def attend(
    q_BSHD: Tensor, k_BSHD: Tensor, v_BSHV: Tensor, scale: float, window: int | None = None, sink_H: Tensor | None = None
) -> Tensor:
    """Causal attention, differentiable.  Returns o_BSHV."""
    return ops.attention(q_BSHD, k_BSHD, v_BSHV, scale, window, sink_H)[0]
