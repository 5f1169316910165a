"""How every tensor starts: drawn from a generator of its own, seeded by (seed, its name, its expert).

So the start depends neither on the number of ranks nor on the order in which modules are built.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor, nn

from .attention.swa import SWA
from .layers import Linear, RMSNorm
from .moe import Experts
from .router import Router

__all__ = ["initialise"]

_STD = 0.02


@torch.no_grad()
def initialise(model: nn.Module, seed: int) -> None:
    """Fill every parameter and buffer of a `Transformer`, in place.

    Projections: normal, cut at three deviations, 0.02; those that join the residual stream 0.02 / sqrt(2 (layer + 1)).
    The embedding 0.02, the head dim^-1/2, norms 1, sinks and biases 0.
    """
    for name, module in model.named_modules():
        layer = int(name.split(".")[1]) if name.startswith("blocks.") else 0
        deep = _STD / (2 * (layer + 1)) ** 0.5
        if isinstance(module, Linear):
            std = module.weight.shape[1] ** -0.5 if name == "head" else deep if module.into_residual else _STD
            _draw(module.weight, std, f"{seed}/{name}.weight")
        elif isinstance(module, nn.Embedding):
            _draw(module.weight, _STD, f"{seed}/{name}.weight")
        elif isinstance(module, RMSNorm):
            module.weight.fill_(1)
        elif isinstance(module, Router):
            _draw(module.weight, _STD, f"{seed}/{name}.weight")
            module.bias_E.zero_()
        elif isinstance(module, SWA):
            module.sink_H.zero_()
        elif isinstance(module, Experts):
            for which, weight, std in (("w13", module.w13_LDF, _STD), ("w2", module.w2_LFD, deep)):
                for at in range(module.count):
                    _draw(weight[at], std, f"{seed}/{name}.{which}.{module.first + at}")


def _draw(into: Tensor, std: float, what: str) -> None:
    seed = int.from_bytes(hashlib.sha256(what.encode()).digest()[:8], "big") >> 1
    generator = torch.Generator(into.device).manual_seed(seed)
    drawn = torch.empty(into.shape, dtype=torch.float32, device=into.device)
    nn.init.trunc_normal_(drawn, std=std, a=-3 * std, b=3 * std, generator=generator)
    into.copy_(drawn)
