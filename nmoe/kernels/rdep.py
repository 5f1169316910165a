"""Direct dispatch: put rows into the memory of the rank that needs them, signal, and combine what comes back.

Every rank maps every peer's arrays; `bases` holds where one array lies on each rank (addresses as int64 [world]).  Slots are
unique by plan: no atomics, one writer a row.  Puts are plain stores; the release of the signal that follows on the same stream
makes them visible to whoever acquires it.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from .common import narrow

__all__ = ["POLLS", "barrier", "combine", "put_rows"]

# How often a wait looks before it gives up: minutes on a GPU.  `nmoe.csrc` waits by the clock; this does not need it built.
POLLS = 1 << 30


@triton.jit
def put_rows_kernel(x, index, rank, slot, bases, W, BW: tl.constexpr):
    """Row index[i] of x, W wide, becomes row slot[i] of the array on rank[i]."""
    i = tl.program_id(0)
    base = tl.load(bases + tl.load(rank + i)).to(tl.pointer_type(x.dtype.element_ty))
    target = tl.multiple_of(base, 16) + tl.load(slot + i) * W  # arrays begin at multiples of 16 bytes
    source = x + tl.load(index + i) * W
    for c in range(0, W, BW):
        column = c + tl.arange(0, BW)
        tl.store(target + column, tl.load(source + column, mask=column < W), mask=column < W)


@triton.jit(do_not_specialize=["rank", "epoch", "polls"])
def barrier_kernel(bases, rank, epoch, polls, missing, WORLD: tl.constexpr):
    """Tell every peer that this rank has reached `epoch`, then wait until all have; missing[r] = 1 for one that did not.

    The array is int64[WORLD], one word a peer, which only grow: nothing is ever reset.
    """
    mine = tl.load(bases + rank).to(tl.pointer_type(tl.int64))
    for r in tl.static_range(WORLD):
        theirs = tl.load(bases + r).to(tl.pointer_type(tl.int64))
        tl.atomic_xchg(theirs + rank, epoch, sem="release", scope="sys")
    for r in tl.static_range(WORLD):
        left = polls
        while (tl.atomic_add(mine + r, 0, sem="acquire", scope="sys") < epoch) & (left > 0):
            left -= 1
        tl.store(missing + r, (tl.atomic_add(mine + r, 0, sem="acquire", scope="sys") < epoch).to(tl.int32))


@triton.jit
def combine_kernel(rows, gate, out, W, K: tl.constexpr, BW: tl.constexpr, GATED: tl.constexpr):
    """out[t] = sum over k, in order, of gate[t, k] * rows[t * K + k], in fp32."""
    t = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BW + tl.arange(0, BW)
    acc = tl.zeros((BW,), tl.float32)
    for k in tl.static_range(K):
        row = tl.load(rows + (t * K + k) * W + column, mask=column < W, other=0.0).to(tl.float32)
        if GATED:
            row *= tl.load(gate + t * K + k)
        acc += row
    tl.store(out + t * W + column, narrow(acc, out.dtype.element_ty), mask=column < W)


def put_rows(x_MW: Tensor, index_N: Tensor, rank_N: Tensor, slot_N: Tensor, bases: Tensor) -> None:
    """As `reference.put_rows`, by where the arrays begin: at multiples of 16.  Indices are int64, inside by plan."""
    if index_N.numel():
        width = x_MW[0].numel()
        x_MW, index_N, rank_N, slot_N = (t.contiguous() for t in (x_MW, index_N, rank_N, slot_N))
        put_rows_kernel[(len(index_N),)](x_MW, index_N, rank_N, slot_N, bases, width, BW=_block(width), enable_fp_fusion=False)


def barrier(bases: Tensor, rank: int, epoch: int, polls: int = POLLS) -> Tensor:
    """Signal and wait; int32 [world] on the device of `bases`, 1 for each rank that did not come in `polls` looks."""
    missing = torch.zeros(len(bases), dtype=torch.int32, device=bases.device)
    barrier_kernel[(1,)](bases, rank, epoch, polls, missing, WORLD=len(bases), num_warps=1, enable_fp_fusion=False)
    return missing


def combine(rows_TKW: Tensor, gate_TK: Tensor | None, dtype: torch.dtype) -> Tensor:
    """As `reference.combine`."""
    T, K, W = rows_TKW.shape
    out_TW = torch.empty((T, W), dtype=dtype, device=rows_TKW.device)
    if T:
        gate = rows_TKW if gate_TK is None else gate_TK.float().contiguous()
        combine_kernel[(T, triton.cdiv(W, _block(W)))](
            rows_TKW.contiguous(), gate, out_TW, W, K=K, BW=_block(W), GATED=gate_TK is not None, enable_fp_fusion=False
        )
    return out_TW


def _block(width: int) -> int:
    return min(1024, triton.next_power_of_2(max(width, 16)))
