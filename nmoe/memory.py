"""What a rank will hold, computed before anything is allocated: exact for what stays, an estimate for activations.

The estimate assumes that experts are loaded evenly; the heap does not assume it, and is sized for the worst case.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import torch

from .config import Config
from .formats import experts_layout
from .heap import heap_bytes
from .model import LOSS_CHUNK
from .rdep import rdep_layout
from .target import Target
from .zero2 import shard_size

__all__ = ["MemoryPlan", "available", "plan_memory"]

_GIB = 1 << 30


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes of one rank, by what they are for."""

    parts: tuple[tuple[str, int], ...]

    @property
    def total(self) -> int:
        return sum(size for _, size in self.parts)

    def line(self, room: int) -> str:
        said = ", ".join(f"{name} {size / _GIB:.2f}" for name, size in self.parts)
        return f"memory of a rank: {self.total / _GIB:.2f} of {room / _GIB:.2f} GiB ({said})"


def plan_memory(config: Config, world: int, cpu: bool) -> MemoryPlan:
    moe_layers = range(config.n_dense_layers, config.n_layers)
    experts = len(moe_layers) * config.n_routed_experts * 3 * config.dim * config.moe_inter_dim
    dense = config.parameter_count()[0] - experts
    trained, frozen = experts // world, 0
    if config.frozen_experts:
        layouts = (experts_layout(config, config.n_routed_experts // world, config.expert_format(layer)) for layer in moe_layers)
        trained, frozen = 0, sum(torch.Size(shape).numel() * dtype.itemsize for one in layouts for shape, dtype in one.values())
    state = 12 if config.moments == "fp32" else 8
    shard = shard_size(dense, world)
    tokens = config.batch_size * config.seq_len // world
    layout = rdep_layout(tokens, config.n_activated_experts, config.dim, config.n_routed_experts, world, torch.bfloat16)
    return MemoryPlan(
        (
            ("weights", 2 * (dense + trained) + frozen),
            ("gradients", 2 * (dense + trained)),
            ("optimizer", state * (shard + trained) + 4 * shard),
            ("heap", heap_bytes(layout) if moe_layers else 0),
            ("activations", _activations(config, tokens, cpu)),
        )
    )


def _activations(config: Config, tokens: int, cpu: bool) -> int:
    """What the layers keep for their backward, and the largest thing that is there for a moment."""
    d, heads = config.dim, config.n_heads
    kept, largest = 0, 0
    for layer in range(config.n_layers):
        wide = heads * (2 * (config.qk_nope_head_dim + config.qk_rope_head_dim) + 2 * config.v_head_dim)
        kept += 2 * tokens * (8 * d + wide + config.q_lora_rank + 2 * config.kv_lora_rank)
        if cpu:  # the plain definition keeps all scores
            kept += 4 * 4 * tokens * heads * config.seq_len
        if config.is_moe_layer(layer):
            rows, inner = tokens * config.n_activated_experts, config.moe_inter_dim
            kept += 2 * rows * (d + 2 * inner) + 2 * 5 * tokens * config.n_shared_experts * inner
            largest = max(largest, rows * (24 * inner + 8 * d))
        else:
            kept += 2 * 5 * tokens * config.inter_dim
    chunk = min(tokens, LOSS_CHUNK)
    return kept + max(largest, 10 * chunk * config.vocab_size + 6 * config.vocab_size * d)


def available(target: Target, local_world: int) -> int:
    """Bytes that a rank may count on: free memory of its GPU, or its share of what the machine has left."""
    if target.name != "cpu":
        return int(torch.cuda.mem_get_info(torch.device(target.device))[0])
    free = []
    if said := re.search(r"MemAvailable:\s*(\d+) kB", _text("/proc/meminfo")):
        free.append(int(said[1]) * 1024)
    limit, used = (_text(f"/sys/fs/cgroup/memory.{name}").strip() for name in ("max", "current"))
    if limit.isdigit() and used.isdigit():  # without a limit it says "max"
        free.append(int(limit) - int(used))
    return min(free) // local_world if free else 1 << 62


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
