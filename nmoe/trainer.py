"""One run's state and its step: forward, backward, sum, update, and the checkpoint that holds all of it."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from .checkpoint import Checkpoint, expert_tensors, read_dense, read_experts, read_zero, save, zero_tensors
from .config import Config
from .data import Stream
from .faults import NotFinite
from .freeze import load_frozen
from .heap import make_heap
from .model import Transformer
from .opt import ExpertAdamW, learning_rate, parameter_groups
from .parallel import Ranks
from .rdep import Rdep, rdep_layout
from .zero2 import Zero2

__all__ = ["StepResult", "Trainer"]


@dataclass(frozen=True)
class StepResult:
    """`step` counts from 1.  Figures are those of all ranks.  `load_cv` is the mean over layers of std / mean of expert loads."""

    step: int
    loss: float
    grad_norm: float
    lr: float
    tokens: int
    load_cv: float


class Trainer:
    """Everything that a checkpoint must bring back: weights, masters, moments, biases, `step` and `tokens`."""

    def __init__(self, config: Config, ranks: Ranks, stream: Stream, frozen: str = "") -> None:
        self.config, self.ranks, self.stream, self.frozen = config, ranks, stream, frozen
        self.step = self.tokens = 0
        self.run = str(ranks.objects(uuid.uuid4().hex)[0])  # which run a checkpoint is of; a resume goes on under the same
        tokens = config.batch_size * config.seq_len // ranks.world
        active, experts = config.n_activated_experts, config.n_routed_experts
        self.heap = make_heap(rdep_layout(tokens, active, config.dim, experts, ranks.world, torch.bfloat16), ranks)
        self.model = Transformer(config, Rdep(self.heap, tokens, active, experts), ranks.device)
        if config.frozen_experts:
            load_frozen(config, ranks, self.model)
        groups = parameter_groups(self.model, config)
        self.experts = ExpertAdamW(groups.pop("experts"), config)
        self.dense = [Zero2(group, config, ranks) for group in groups.values() if group.parameters]

    # -- one step ------------------------------------------------------------------------------------------------------

    def train_step(self) -> StepResult:
        """
        Raises:
            NotFinite: the loss or the gradient is not finite.
            LostRank: another rank is gone.
        """
        config, ranks = self.config, self.ranks
        tokens, targets = self.stream.batch(self.step, config.batch_size, config.seq_len, config.seed, ranks.rank, ranks.world)
        counted = int(ranks.sum_integers((targets != config.eos_token_id).sum().to(ranks.device)))
        loss = self.model.loss(tokens.to(ranks.device), targets.to(ranks.device), counted)
        loss.backward()
        dense = sum((zero.reduce() for zero in self.dense), torch.zeros((), dtype=torch.float64, device=ranks.device))
        both = torch.stack((loss.detach().double(), dense + self.experts.squares()))
        total, squares = ranks.sum_floats(both).tolist()
        self.heap.check()
        if not (math.isfinite(total) and math.isfinite(squares)):
            raise NotFinite(f"step {self.step + 1}: the loss is {total} and the gradient's norm {math.sqrt(abs(squares))}")
        rate = learning_rate(config, config.lr_dense, self.step, self.tokens)
        for zero in self.dense:
            zero.update(self.step, self.tokens)
        self.experts.update(self.step, self.tokens)
        load_cv = self._even_load()
        self.step += 1
        self.tokens += config.batch_size * config.seq_len
        return StepResult(self.step, total, math.sqrt(squares), rate, self.tokens, load_cv)

    def _even_load(self) -> float:
        """Move the router biases by the loads of all ranks."""
        routers = [moe.router for _, moe in self.model.layers_of_experts()]
        if not routers:
            return 0.0
        counts = self.ranks.sum_integers(torch.stack([router.counts_E for router in routers]))
        for router, counts_E in zip(routers, counts, strict=True):
            router.update_bias(counts_E)
        load = counts.double()
        return float((load.std(1, correction=0) / load.mean(1)).mean())

    # -- all of it -----------------------------------------------------------------------------------------------------

    @property
    def first_expert(self) -> int:
        return self.ranks.rank * (self.config.n_routed_experts // self.ranks.world)

    def dense_tensors(self) -> dict[str, Tensor]:
        """Dense weights and router biases; the same on every rank."""
        return {name: tensor for name, tensor in self.model.state_dict().items() if name not in self.experts.states}

    def state(self) -> Iterator[tuple[str, Tensor]]:
        """Every tensor that a resume must bring back, with a name; for comparing two trainers."""
        yield from self.dense_tensors().items()
        yield from zero_tensors(self.dense).items()
        yield from expert_tensors(self.experts, self.first_expert).items()

    def save(self, folder: str | Path, keep: int) -> Path:
        held = {
            f"zero_{self.ranks.rank:03d}": zero_tensors(self.dense),
            f"experts_{self.ranks.rank:03d}": expert_tensors(self.experts, self.first_expert),
        }
        if self.ranks.rank == 0:
            held["dense"] = self.dense_tensors()
        facts = {
            "run": self.run,
            "step": self.step,
            "tokens": self.tokens,
            "fingerprint": self.config.fingerprint(),
            "maths": self.config.maths(),
            "frozen": self.frozen,
            "data": self.stream.digest,
        }
        return save(folder, self.ranks, facts, held, keep)

    @torch.no_grad()
    def resume(self, one: Checkpoint) -> None:
        """
        Raises:
            CheckpointError: it was made with other mathematics, or cannot be read.
        """
        one.fits(self.config, self.frozen)
        read_dense(one, self.dense_tensors())
        read_zero(one, self.dense, self.ranks.rank)
        read_experts(one, self.experts, self.first_expert, self.config.n_routed_experts)
        self.step, self.tokens, self.run = one.step, int(one.manifest["tokens"]), str(one.manifest["run"])
