"""Sliding-window attention with one learned sink a head: a logit that joins the softmax's denominator and carries no value.

Shape suffixes: B batch, S sequence, H heads, V head width (queries, keys and values alike).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .. import ops
from ..config import Config
from ..layers import Linear
from .rope import rotate

__all__ = ["SWA"]


class SWA(nn.Module):
    """Local causal attention: position i sees j with 0 <= i - j < window."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.heads, self.width, self.rope = config.n_heads, config.v_head_dim, config.qk_rope_head_dim
        self.window = config.attn_local_window
        self.wqkv = Linear(config.dim, 3 * self.heads * self.width)
        self.wo = Linear(self.heads * self.width, config.dim, into_residual=True)
        self.sink_H = nn.Parameter(torch.empty(self.heads))

    def forward(self, x_BSD: Tensor, table: Tensor) -> Tensor:
        batch, length, _ = x_BSD.shape
        q, k, v = self.wqkv(x_BSD).view(batch, length, 3, self.heads, self.width).unbind(2)
        q, k = self._positioned(q, table), self._positioned(k, table)
        o_BSHV, _ = ops.attention(q, k, v, self.width**-0.5, self.window, self.sink_H)
        return self.wo(o_BSHV.reshape(batch, length, -1))

    def _positioned(self, x_BSHV: Tensor, table: Tensor) -> Tensor:
        """The last `rope` of each head carry the position."""
        still, moved = x_BSHV.split([self.width - self.rope, self.rope], -1)
        return torch.cat((still, rotate(moved, table)), -1)
