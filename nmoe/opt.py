"""AdamW, four groups of parameters, and the schedule.

Weights are bf16 and every one of them has an fp32 master: at a learning rate of 3e-5 most bf16 weights would not move.
`moments` says what the two moments are kept in.  Dense parameters are sharded (`nmoe.zero2`); experts live on one rank each
and are updated there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from .attention.swa import SWA
from .config import Config
from .layers import Linear, RMSNorm
from .model import Transformer
from .moe import Experts
from .router import Router

__all__ = ["Adam", "ExpertAdamW", "Group", "learning_rate", "parameter_groups", "square_sum"]

#: Elements that are updated at a time: a few copies of 64 MiB each, whatever the size of a tensor.
_CHUNK = 1 << 24


@dataclass(frozen=True)
class Group:
    """Parameters that are updated alike, by name, in the model's order."""

    name: str
    peak: float
    beta2: float
    weight_decay: float
    parameters: tuple[tuple[str, nn.Parameter], ...]


def parameter_groups(model: Transformer, config: Config) -> dict[str, Group]:
    """dense_decay, dense_no_decay (norms, sinks, embedding, head), router, experts; by the kind of module.  One may be empty."""
    found: dict[str, list[tuple[str, nn.Parameter]]] = {"dense_decay": [], "dense_no_decay": [], "router": [], "experts": []}
    for name, module in model.named_modules():
        own = list(module.named_parameters(name, recurse=False))
        if isinstance(module, Experts):
            found["experts"] += own
        elif isinstance(module, Router):
            found["router"] += own
        elif isinstance(module, (RMSNorm, nn.Embedding, SWA)) or name == "head":
            found["dense_no_decay"] += own
        elif isinstance(module, Linear):
            found["dense_decay"] += own
        elif own:
            raise TypeError(f"no group for the parameters of {type(module).__name__}")
    peaks = {"router": config.lr_router, "experts": config.lr_expert}
    return {
        name: Group(
            name,
            peaks.get(name, config.lr_dense),
            config.adam_beta2_expert if name == "experts" else config.adam_beta2,
            config.weight_decay if name in ("dense_decay", "experts") else 0.0,
            tuple(parameters),
        )
        for name, parameters in found.items()
    }


def learning_rate(config: Config, peak: float, step: int, tokens: int) -> float:
    """Warm up over steps, hold and decay over tokens; `decay_floor` is absolute, and never above the peak.

    `step` counts from 0; `tokens` were seen before it.
    """
    floor = min(config.decay_floor, peak)
    if step < config.warmup_steps:
        scale = (step + 1) / config.warmup_steps
    elif tokens < config.hold_tokens:
        scale = 1.0
    elif tokens - config.hold_tokens < config.decay_tokens:
        scale = 0.5 * (1 + math.cos(math.pi * (tokens - config.hold_tokens) / config.decay_tokens))
    else:
        scale = 0.0
    return floor + (peak - floor) * scale


def square_sum(values: Tensor) -> Tensor:
    """In fp64, and without an fp64 copy."""
    return torch.linalg.vector_norm(values, dtype=torch.float64).square()


class Adam:
    """Master and moments of one tensor, and its update."""

    def __init__(self, start: Tensor, config: Config, beta2: float, weight_decay: float) -> None:
        kept = torch.float32 if config.moments == "fp32" else torch.bfloat16
        self.master = start.detach().clone().float()
        self.m = torch.zeros_like(self.master, dtype=kept)
        self.v = torch.zeros_like(self.master, dtype=kept)
        self._beta1, self._beta2, self._eps, self._decay = config.adam_beta1, beta2, config.adam_eps, weight_decay

    @torch.no_grad()
    def update(self, grad: Tensor, rate: float, step: int) -> Tensor:
        """One step of decoupled AdamW, `step` counting from 0, in fp32, a chunk at a time.  Returns the master.

        On CUDA torch's fused kernel does the same in one pass over memory, where the lines below take ten.
        """
        whole = (self.master.view(-1), self.m.view(-1), self.v.view(-1), grad.reshape(-1))
        for master, m_kept, v_kept, g in zip(*(one.split(_CHUNK) for one in whole), strict=True):
            m, v, g = m_kept.float(), v_kept.float(), g.float()  # the moments themselves, if they are kept in fp32
            if master.is_cuda:
                self.step_fused(master, m, v, g, rate, step)
            else:
                m.lerp_(g, 1 - self._beta1)
                v.mul_(self._beta2).addcmul_(g, g, value=1 - self._beta2)
                mean, square = m / (1 - self._beta1 ** (step + 1)), v / (1 - self._beta2 ** (step + 1))
                master.mul_(1 - rate * self._decay).addcdiv_(mean, square.sqrt_().add_(self._eps), value=-rate)
            if m is not m_kept:
                m_kept.copy_(m)
                v_kept.copy_(v)
        return self.master

    def step_fused(self, master: Tensor, m: Tensor, v: Tensor, g: Tensor, rate: float, step: int) -> None:
        """The same update in place, by torch's fused kernel."""
        done = torch.tensor(float(step), device=master.device)
        adamw(
            [master], [g], [m], [v], [], [done], fused=True, amsgrad=False, maximize=False,
            lr=rate, beta1=self._beta1, beta2=self._beta2, eps=self._eps, weight_decay=self._decay,
        )  # fmt: skip

    def state(self) -> dict[str, Tensor]:
        return {"master": self.master, "m": self.m, "v": self.v}


class ExpertAdamW:
    """The update of this rank's experts.  Their gradients are complete here: every token that used them was here."""

    def __init__(self, group: Group, config: Config) -> None:
        self._config, self.group = config, group
        self.states = {name: Adam(weight, config, group.beta2, group.weight_decay) for name, weight in group.parameters}

    def squares(self) -> Tensor | float:
        """The sum of the squared gradients, fp64."""
        return sum((square_sum(weight.grad) for _, weight in self.group.parameters if weight.grad is not None), 0.0)

    @torch.no_grad()
    def update(self, step: int, tokens: int) -> None:
        rate = learning_rate(self._config, self.group.peak, step, tokens)
        for name, weight in self.group.parameters:
            assert weight.grad is not None
            weight.copy_(self.states[name].update(weight.grad, rate, step))
            weight.grad = None
