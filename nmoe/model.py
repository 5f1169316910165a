"""The model: pre-norm blocks of attention and a gated unit, dense at first and then of experts; untied output head.

Shape suffixes: B sequences of this rank, S positions, T = B * S tokens, D model width, V vocabulary, E experts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention.mla import MLA
from .attention.rope import rotary_table
from .attention.swa import SWA
from .config import Config
from .init import initialise
from .layers import Linear, RMSNorm, SwiGLU
from .moe import MoE
from .rdep import Rdep

__all__ = ["Transformer"]

#: Tokens whose logits exist at one time: 201,088 words of 4,096 tokens are 3.3 GB in fp32, of 32,768 tokens 26 GB.
LOSS_CHUNK = 4096


class Block(nn.Module):
    """x += attention(norm(x)); x += ffn(norm(x))."""

    def __init__(self, config: Config, layer: int, rdep: Rdep) -> None:
        super().__init__()
        self.attn_norm = RMSNorm(config.dim, config.rms_norm_eps)
        self.attn = MLA(config) if config.is_global_layer(layer) else SWA(config)
        self.ffn_norm = RMSNorm(config.dim, config.rms_norm_eps)
        self.ffn = MoE(config, layer, rdep) if config.is_moe_layer(layer) else SwiGLU(config.dim, config.inter_dim)

    def forward(self, x_BSD: Tensor, table: Tensor) -> Tensor:
        x_BSD = x_BSD + self.attn(self.attn_norm(x_BSD), table)
        return x_BSD + self.ffn(self.ffn_norm(x_BSD))


class Transformer(nn.Module):
    """One rank's part of the model: everything dense, and this rank's experts."""

    def __init__(self, config: Config, rdep: Rdep, device: torch.device | str = "cpu", dtype: torch.dtype = torch.bfloat16) -> None:
        super().__init__()
        self.config = config
        with torch.device(device), _default_dtype(dtype):
            self.embedding = nn.Embedding(config.vocab_size, config.dim, _weight=torch.empty(config.vocab_size, config.dim))
            self.blocks = nn.ModuleList(Block(config, layer, rdep) for layer in range(config.n_layers))
            self.norm = RMSNorm(config.dim, config.rms_norm_eps)
            self.head = Linear(config.dim, config.vocab_size)
        table = rotary_table(config.max_position_embeddings, config.qk_rope_head_dim, config.rope_theta, device)
        self.register_buffer("table", table, persistent=False)
        initialise(self, config.seed)

    def layers_of_experts(self) -> Iterator[tuple[int, MoE]]:
        for layer, block in enumerate(self.blocks):
            if isinstance(block.ffn, MoE):
                yield layer, block.ffn

    def forward(self, tokens_BS: Tensor) -> Tensor:
        """What the head sees, [B, S, D]."""
        x_BSD = self.embedding(tokens_BS)
        if self.config.mup_embed != 1.0:
            x_BSD = x_BSD * self.config.mup_embed
        for block in self.blocks:
            x_BSD = block(x_BSD, self.table)
        return self.norm(x_BSD)

    def logits(self, tokens_BS: Tensor) -> Tensor:
        """All logits, fp32 [B, S, V]; for small models and tests."""
        return self.head(self(tokens_BS)).float() * self.config.mup_logits

    def loss(self, tokens_BS: Tensor, targets_BS: Tensor, counted: int) -> Tensor:
        """The sum of the cross entropy over this rank's targets that are not eos, over `counted`, those of all ranks.

        So gradients of the ranks add up to the gradient of the global mean, whoever holds how many tokens.
        """
        x_TD = self(tokens_BS).flatten(0, 1)
        targets_T = torch.where(targets_BS == self.config.eos_token_id, -1, targets_BS).flatten()
        return _ChunkedLoss.apply(x_TD, self.head.weight, targets_T, self.config.mup_logits, 1.0 / max(counted, 1))


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """What is made here is of this type, unless it says otherwise."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


class _ChunkedLoss(torch.autograd.Function):
    """Cross entropy in fp32 over one chunk of tokens at a time; both gradients are made on the way, so no logits are kept.

    The head's gradient is summed over the chunks in fp32.  Targets of -1 do not count.
    """

    @staticmethod
    def forward(ctx: Any, x_TD: Tensor, head_VD: Tensor, targets_T: Tensor, scale: float, share: float) -> Tensor:
        total = torch.zeros((), device=x_TD.device)
        dx_TD, dhead_VD = torch.empty_like(x_TD), torch.zeros_like(head_VD, dtype=torch.float32)
        for begin in range(0, len(x_TD), LOSS_CHUNK):
            part = slice(begin, begin + LOSS_CHUNK)
            x, targets = x_TD[part], targets_T[part]
            logits = F.linear(x, head_VD).float()
            if scale != 1.0:
                logits *= scale
            log_p = logits.log_softmax(-1)
            counts = (targets >= 0).float()
            wanted = targets.clamp(min=0)[:, None]
            total -= (log_p.gather(1, wanted)[:, 0] * counts).sum()
            grad = log_p.exp_()  # in place: nothing reads log_p after this
            grad[torch.arange(len(x), device=x.device), wanted[:, 0]] -= 1  # one place a row: nothing is raced for
            narrow = torch.mul(grad, (counts * (share * scale))[:, None], out=torch.empty_like(logits, dtype=x.dtype))
            dx_TD[part] = narrow @ head_VD
            dhead_VD += (narrow.T @ x).float()
        ctx.save_for_backward(dx_TD, dhead_VD.to(head_VD.dtype))
        return total * share

    @staticmethod
    def backward(ctx: Any, dloss: Tensor) -> tuple[Tensor | None, ...]:
        dx_TD, dhead_VD = ctx.saved_tensors
        return (dx_TD * dloss).to(dx_TD.dtype), (dhead_VD * dloss).to(dhead_VD.dtype), None, None, None
