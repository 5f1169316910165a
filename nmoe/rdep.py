"""RDEP: rows go straight to the memory of the rank that owns their expert, and come straight back.  No collective is involved.

Expert e lives on rank e / (E / world).  Nothing is dropped: every rank's heap has room for all rows of all ranks.  Where a row
goes is computed, never raced for: `slot = rows of earlier experts + rows of lower ranks for this expert + my own earlier rows`.
Inside an expert the order is therefore (source rank, token, choice) = the order of all tokens, and what an expert multiplies
does not depend on how many ranks there are.

Shape suffixes: T tokens of this rank, K experts a token, D model width, E experts of all ranks, L experts of this rank, R rows
that this rank receives, P = T * K rows that it sends.

Order of the barriers.  Forward: counts | 1 | rows | 2 | results | 3.  Backward: gradients | 4 | results | 5.  What is read
after a barrier is overwritten only after the next one, by any rank; that is what makes five enough, and each of them needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from . import ops
from .heap import Heap, Layout

__all__ = ["Plan", "Rdep", "rdep_layout"]


def rdep_layout(tokens: int, active: int, dim: int, experts: int, world: int, dtype: torch.dtype) -> Layout:
    """One rank's arrays: room for the worst case, in which every row of every rank comes here."""
    pairs = tokens * active
    rows = pairs * world
    return {
        "count": ((world, experts // world), torch.int64),
        "x": ((rows, dim), dtype),
        "origin": ((rows,), torch.int64),  # source rank * pairs + token * active + choice
        "gate": ((rows,), torch.float32),
        "ret": ((pairs, dim), dtype),
        "rgate": ((pairs,), torch.float32),
    }


@dataclass(frozen=True)
class Plan:
    """Where the rows of one layer go.

    `order_P` lists my rows (token * K + choice) by expert; `owner_P` and `slot_P` are where each of them goes.  `offsets_L1` bound
    the rows of each of my experts; the last one is R, which is `received`.
    """

    order_P: Tensor
    owner_P: Tensor
    slot_P: Tensor
    offsets_L1: Tensor
    received: int


class Rdep:
    """The way of rows to experts and back, over a heap of `rdep_layout`."""

    def __init__(self, heap: Heap, tokens: int, active: int, experts: int) -> None:
        self.heap, self.tokens, self.active, self.experts = heap, tokens, active, experts
        self.local = experts // heap.world
        self.pairs = tokens * active

    def plan(self, ids_TK: Tensor) -> Plan:
        """Tell every owner how much is coming; barrier 1; learn every row's place."""
        heap, local = self.heap, self.local
        flat_P = ids_TK.reshape(-1)
        if flat_P.numel() != self.pairs:
            raise ValueError(f"{flat_P.numel()} rows, and the heap is laid out for {self.pairs}")
        order_P = torch.argsort(flat_P, stable=True)
        count_E = torch.zeros(self.experts, dtype=torch.int64, device=flat_P.device).scatter_add_(
            0, flat_P, torch.ones_like(flat_P)
        )
        for owner in range(heap.world):
            heap.at(owner, "count")[heap.rank] = count_E[owner * local : (owner + 1) * local]
        heap.barrier()
        table = torch.stack([heap.at(owner, "count") for owner in range(heap.world)])  # [owner, source, L]
        per_expert = table.sum(1)
        begin = per_expert.cumsum(1) - per_expert + table[:, : heap.rank].sum(1)  # [owner, L]: where my first row goes
        expert_P = flat_P[order_P]
        first_E = count_E.cumsum(0) - count_E
        slot_P = (begin.reshape(-1) - first_E)[expert_P] + torch.arange(self.pairs, device=flat_P.device)
        offsets_L1 = torch.nn.functional.pad(per_expert[heap.rank].cumsum(0), (1, 0))
        # the one place where the host waits for the device: it must know how many rows there are
        return Plan(order_P, expert_P // local, slot_P, offsets_L1, int(offsets_L1[-1]))

    def dispatch(self, plan: Plan, x_TD: Tensor, gate_TK: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Rows to their experts; barrier 2.  Returns x_RD, gate_R and origin_R of what came."""
        mine = torch.arange(self.pairs, device=x_TD.device) + self.heap.rank * self.pairs
        self._put("x", x_TD, plan.order_P // self.active, plan.owner_P, plan.slot_P)
        self._put("gate", gate_TK.reshape(-1), plan.order_P, plan.owner_P, plan.slot_P)
        self._put("origin", mine, plan.order_P, plan.owner_P, plan.slot_P)
        self.heap.barrier()
        return self._mine("x", plan.received), self._mine("gate", plan.received), self._mine("origin", plan.received)

    def send(self, plan: Plan, x_TD: Tensor) -> Tensor:
        """Rows to the same places once more; barrier 4.  Returns x_RD."""
        self._put("x", x_TD, plan.order_P // self.active, plan.owner_P, plan.slot_P)
        self.heap.barrier()
        return self._mine("x", plan.received)

    def give_back(self, y_RD: Tensor, origin_R: Tensor, gate_R: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Rows back to where they are from; barrier 3 or 5.  Returns what came back to me: [T, K, D] and, if given, [T, K]."""
        every = torch.arange(len(y_RD), device=y_RD.device)
        source_R, row_R = origin_R // self.pairs, origin_R % self.pairs
        self._put("ret", y_RD, every, source_R, row_R)
        if gate_R is not None:
            self._put("rgate", gate_R, every, source_R, row_R)
        self.heap.barrier()
        shape = (self.tokens, self.active)
        return self._mine("ret", self.pairs).view(*shape, -1), self._mine("rgate", self.pairs).view(shape)

    def _put(self, name: str, rows: Tensor, index: Tensor, rank: Tensor, slot: Tensor) -> None:
        arrays = [self.heap.at(one, name) for one in range(self.heap.world)]
        ops.put_rows(rows.contiguous(), index, rank, slot, arrays)

    def _mine(self, name: str, rows: int) -> Tensor:
        """A copy: the heap serves every layer in turn."""
        return self.heap.at(self.heap.rank, name)[:rows].clone()
