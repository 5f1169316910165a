"""Rotary positions: the first half of a head's width is rotated with the second half (arXiv 2104.09864, the half-split form)."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["rotary_table", "rotate"]


def rotary_table(length: int, width: int, theta: float, device: torch.device | str = "cpu") -> Tensor:
    """cos and sin of position * theta^(-2i/width), fp32 [2, length, width/2]."""
    frequency = theta ** -(torch.arange(0, width, 2, device=device, dtype=torch.float32) / width)
    angle = torch.outer(torch.arange(length, device=device, dtype=torch.float32), frequency)
    return torch.stack((angle.cos(), angle.sin()))


def rotate(x_BSHR: Tensor, table: Tensor) -> Tensor:
    """Rotate every head of every position, in fp32, and return to x's dtype."""
    cos, sin = table[:, : x_BSHR.shape[1], None, :]
    first, second = x_BSHR.float().chunk(2, -1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), -1).to(x_BSHR.dtype)
