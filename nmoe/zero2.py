"""ZeRO-2 for dense parameters: weights everywhere, gradients summed into shards, one shard's optimizer state a rank.

Each group lies in one flat buffer, and its parameters and gradients are views of it: what the all-gather writes is already in
its place.  Gradients are summed in fp32, a chunk at a time, so that no fp32 copy of all of them ever exists.  Experts never
come here.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .config import Config
from .opt import Adam, Group, learning_rate, square_sum
from .parallel import Ranks

__all__ = ["Zero2", "shard_size"]

#: Elements of one shard that are reduced at a time: world * 64 MiB of fp32 in flight.
CHUNK = 1 << 24


def shard_size(count: int, world: int) -> int:
    """Elements a rank holds of a group, the last of them padding."""
    return -(-count // world)


class Zero2:
    """One group of dense parameters."""

    def __init__(self, group: Group, config: Config, ranks: Ranks) -> None:
        self.group, self._config, self._ranks = group, config, ranks
        self.count = sum(parameter.numel() for _, parameter in group.parameters)
        self.shard = shard_size(self.count, ranks.world)
        first = group.parameters[0][1]
        self._flat = torch.zeros(ranks.world * self.shard, dtype=first.dtype, device=first.device)
        self._grad = torch.zeros_like(self._flat)
        at = 0
        for _, parameter in group.parameters:
            part = slice(at, at + parameter.numel())
            self._flat[part].copy_(parameter.detach().flatten())
            parameter.data = self._flat[part].view_as(parameter)
            parameter.grad = self._grad[part].view_as(parameter)
            at += parameter.numel()
        self.adam = Adam(self._mine(), config, group.beta2, group.weight_decay)
        self._sum = torch.zeros(self.shard, dtype=torch.float32, device=first.device)

    def _mine(self) -> Tensor:
        return self._flat[self._ranks.rank * self.shard :][: self.shard]

    def reduce(self) -> Tensor:
        """Sum the gradients of all ranks into this rank's shard; returns the sum of its squares, fp64."""
        parts = self._grad.view(self._ranks.world, self.shard)
        for begin in range(0, self.shard, CHUNK):
            part = slice(begin, min(begin + CHUNK, self.shard))
            self._ranks.reduce_scatter(self._sum[part], parts[:, part].float().contiguous())
        self._grad.zero_()
        return square_sum(self._sum)

    def update(self, step: int, tokens: int) -> None:
        """Update my shard and send it to all."""
        master = self.adam.update(self._sum, learning_rate(self._config, self.group.peak, step, tokens), step)
        mine = master.to(self._flat.dtype)
        self._ranks.all_gather(self._flat, mine)
