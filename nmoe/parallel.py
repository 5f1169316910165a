"""The ranks of a run: who I am, the few collectives that are used, and what happens when a rank is gone.

There is no all-to-all here, nor anywhere else: rows of experts travel through the heap (`nmoe.heap`).  Floats are summed in rank
order, from gathered values, so that a rerun adds in the same order.
"""

from __future__ import annotations

import datetime
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from .faults import LostRank
from .target import Where

__all__ = ["Ranks"]


@dataclass
class Ranks:
    """The ranks of one run.  With `world` 1 nothing is ever sent.  `process` holds each rank's (host, pid, start time)."""

    where: Where = field(default_factory=Where)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    timeout_s: float = 300.0
    process: list[tuple[str, int, str]] = field(default_factory=list)

    @classmethod
    def join(cls, where: Where, device: str, timeout_s: float) -> Ranks:
        """Meet the other ranks: gloo on a CPU, NCCL on GPUs.

        Raises:
            LostRank: not all came within the limit.
        """
        ranks = cls(where, torch.device(device), timeout_s)
        if where.world > 1:
            limit = datetime.timedelta(seconds=timeout_s)
            with ranks._watched("meeting"):
                on_gpu = ranks.device.type != "cpu"
                dist.init_process_group("nccl" if on_gpu else "gloo", timeout=limit, device_id=ranks.device if on_gpu else None)
                ranks.process = ranks.objects((socket.gethostname(), os.getpid(), _started(os.getpid())))
        return ranks

    def leave(self) -> None:
        if self.world > 1 and dist.is_initialized():
            dist.destroy_process_group()

    @property
    def rank(self) -> int:
        return self.where.rank

    @property
    def world(self) -> int:
        return self.where.world

    # -- what is sent --------------------------------------------------------------------------------------------------

    def sum_integers(self, values: Tensor) -> Tensor:
        """The sum over the ranks of an int64 tensor; exact, so its order does not matter."""
        if self.world > 1:
            values = values.clone()
            with self._watched("summing counts"):
                dist.all_reduce(values)
        return values

    def sum_floats(self, values: Tensor) -> Tensor:
        """The sum over the ranks, in fp64 and in rank order."""
        values = values.double()
        if self.world == 1:
            return values
        every = torch.empty((self.world, *values.shape), dtype=torch.float64, device=values.device)
        with self._watched("gathering figures"):
            _all_gather(every.view(-1), values.contiguous().view(-1))
        total = every[0].clone()
        for rank in range(1, self.world):
            total += every[rank]
        return total

    def reduce_scatter(self, mine: Tensor, parts: Tensor) -> None:
        """mine := the sum over the ranks of their row for me; `parts` is [world, ...]."""
        if self.world == 1:
            mine.copy_(parts[0])
            return
        with self._watched("reducing gradients"):
            _reduce_scatter(mine, parts.view(-1))

    def all_gather(self, every: Tensor, mine: Tensor) -> None:
        """every[r] := what rank r gave."""
        if self.world == 1:
            every.view(-1).copy_(mine.view(-1))
            return
        with self._watched("gathering parameters"):
            _all_gather(every, mine)

    def objects(self, value: Any) -> list[Any]:
        """What every rank gave, in rank order; small things only."""
        every: list[Any] = [value] * self.world
        if self.world > 1:
            with self._watched("exchanging notes"):
                dist.all_gather_object(every, value)
        return every

    def barrier(self) -> None:
        self.objects(None)

    # -- ranks that are gone -------------------------------------------------------------------------------------------

    def gone(self) -> list[int]:
        """Ranks of this host whose process has ended.  Of other hosts nothing is known."""
        here = socket.gethostname()
        return [rank for rank, (host, pid, began) in enumerate(self.process) if host == here and _started(pid) != began]

    @contextmanager
    def _watched(self, what: str) -> Iterator[None]:
        """Turn whatever the library says of a broken connection into the rank that is gone."""
        try:
            yield
        except RuntimeError as error:
            until = time.monotonic() + 2.0  # a process that was just killed may take a moment to be seen
            while not (lost := self.gone()) and time.monotonic() < until and self.process:
                time.sleep(0.05)
            if not lost and not _BROKEN.search(str(error)):
                raise
            why = ", ".join(f"rank {rank} is gone (process {self.process[rank][1]} ended)" for rank in lost)
            why = why or f"a rank did not answer: {str(error).strip().splitlines()[0]}"
            raise LostRank(f"rank {self.rank}, {what}: {why}") from error


#: What gloo, NCCL and the store say of a peer that is away, and of nothing else.
_BROKEN = re.compile(r"(?i)timed? ?out|connection|peer|broken pipe|DistStoreError|aborted")

# torch 2.13 renamed the two and warns of the older names, which are the only ones that 2.11 has
_reduce_scatter = getattr(dist, "reduce_scatter_single", None) or dist.reduce_scatter_tensor
_all_gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor


def _started(pid: int) -> str:
    """When a living process started, in clock ticks since boot; nothing for one that has ended (zombies have)."""
    try:
        state, rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split(maxsplit=1)
    except OSError:
        return ""
    return "" if state in "ZX" else rest.split()[18]
