"""The router: fp32 sigmoid scores, the best K experts, and a bias that evens the load without a loss term.

Scores and weights as in DeepSeek-V3 (arXiv 2412.19437): the bias enters the choice and never the weights; the normalised
weights are scaled afterwards.  The bias rule is that of arXiv 2408.15664, with the step centred so that the biases keep their sum.

Shape suffixes: T tokens, D model width, E experts of all ranks, K experts a token.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import Config

__all__ = ["Router"]

_MOST_BIAS = 16.0


class Router(nn.Module):
    """Chooses experts.  `counts_E` holds how many rows this rank's last forward sent to each expert, as int64."""

    counts_E: Tensor
    bias_E: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        experts = config.n_routed_experts
        self.active, self.scale, self.normalise = config.n_activated_experts, config.route_scale, config.norm_topk_prob
        self.rate = config.router_bias_update_rate
        self.weight = nn.Parameter(torch.empty(experts, config.dim, dtype=torch.float32))
        self.register_buffer("bias_E", torch.empty(experts, dtype=torch.float32))
        self.register_buffer("counts_E", torch.zeros(experts, dtype=torch.int64), persistent=False)

    def forward(self, x_TD: Tensor) -> tuple[Tensor, Tensor]:
        """Expert ids int64 [T, K], best first (of equals, the lower id), and their weights fp32 [T, K]."""
        score_TE = F.linear(x_TD.float(), self.weight.float()).sigmoid()
        # topk breaks ties as it likes; a stable sort does not
        ids_TK = (score_TE.detach() + self.bias_E).sort(dim=-1, descending=True, stable=True).indices[:, : self.active]
        weight_TK = score_TE.gather(1, ids_TK)
        if self.normalise:
            weight_TK = weight_TK / (weight_TK.sum(-1, keepdim=True) + 1e-20)
        one_hot = torch.zeros_like(self.counts_E)
        self.counts_E = one_hot.scatter_add_(0, ids_TK.reshape(-1), torch.ones_like(ids_TK).reshape(-1))
        return ids_TK.contiguous(), weight_TK * self.scale

    @torch.no_grad()
    def update_bias(self, counts_E: Tensor) -> None:
        """After a step: raise the bias of experts below the mean load of all ranks, lower that of experts above it."""
        load = counts_E.double()
        step = self.rate * torch.sign(load.mean() - load)
        self.bias_E += (step - step.mean()).float()
        self.bias_E.clamp_(-_MOST_BIAS, _MOST_BIAS)
