"""Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434): keys and values come from one narrow latent a token.

Shape suffixes: B batch, S sequence, H heads, N the part of a head without position, R the rotary part (one for all heads of a
key), V value width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .. import ops
from ..config import Config
from ..layers import Linear, RMSNorm
from .rope import rotate

__all__ = ["MLA"]


class MLA(nn.Module):
    """Global causal attention.  `q_lora_rank = 0` means a direct query projection."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        dim, heads = config.dim, config.n_heads
        self.heads, self.nope, self.rope, self.value = heads, config.qk_nope_head_dim, config.qk_rope_head_dim, config.v_head_dim
        self.latent = config.kv_lora_rank
        self.wq_a = self.q_norm = None
        if config.q_lora_rank:
            self.wq_a = Linear(dim, config.q_lora_rank)
            self.q_norm = RMSNorm(config.q_lora_rank, config.rms_norm_eps)
        self.wq_b = Linear(config.q_lora_rank or dim, heads * (self.nope + self.rope))
        self.wkv_a = Linear(dim, self.latent + self.rope)
        self.kv_norm = RMSNorm(self.latent, config.rms_norm_eps)
        self.wkv_b = Linear(self.latent, heads * (self.nope + self.value))
        self.wo = Linear(heads * self.value, dim, into_residual=True)

    def forward(self, x_BSD: Tensor, table: Tensor) -> Tensor:
        batch, length, _ = x_BSD.shape
        narrow = x_BSD if self.wq_a is None or self.q_norm is None else self.q_norm(self.wq_a(x_BSD))
        q_BSHN, q_BSHR = self.wq_b(narrow).view(batch, length, self.heads, -1).split([self.nope, self.rope], -1)
        latent, k_BSR = self.wkv_a(x_BSD).split([self.latent, self.rope], -1)
        wide = self.wkv_b(self.kv_norm(latent)).view(batch, length, self.heads, -1)
        k_BSHN, v_BSHV = wide.split([self.nope, self.value], -1)
        k_BSHR = rotate(k_BSR.unsqueeze(2), table).expand(-1, -1, self.heads, -1)
        q = torch.cat((q_BSHN, rotate(q_BSHR, table)), -1)
        k = torch.cat((k_BSHN, k_BSHR), -1)
        o_BSHV, _ = ops.attention(q, k, v_BSHV, (self.nope + self.rope) ** -0.5)
        return self.wo(o_BSHV.reshape(batch, length, -1))
