"""The small parts that every layer is made of: a projection, a norm, a gated unit.

No module initialises itself: `nmoe.init` fills every tensor by its name, so that a model does not depend on who builds it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Linear", "RMSNorm", "SwiGLU"]


class Linear(nn.Module):
    """y = x W^T, no bias.  `into_residual` marks a projection whose output joins the residual stream (a smaller start)."""

    def __init__(self, wide_in: int, wide_out: int, into_residual: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(wide_out, wide_in))
        self.into_residual = into_residual

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight)


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) * w over the last dimension, in fp32."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x.float(), self.weight.shape, self.weight.float(), self.eps).to(x.dtype)


class SwiGLU(nn.Module):
    """W2(silu(W1 x) * (W3 x))."""

    def __init__(self, dim: int, inner: int) -> None:
        super().__init__()
        self.w1 = Linear(dim, inner)
        self.w3 = Linear(dim, inner)
        self.w2 = Linear(inner, dim, into_residual=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.w2(F.silu(self.w1(x)) * self.w3(x))
