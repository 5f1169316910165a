"""Grouped matrix products over experts: forward and both gradients in bf16.

Rows are sorted by expert; `reference` has the definition.  One program owns one tile of the output and reduces in a fixed
order: no atomics, no split of K, so a result depends on nothing but its operands.  Operands come through tensor descriptors
(the bulk tensor copy engine), which fill with zeros outside the tensor.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from .common import Tile, dot, multiprocessors, narrow, pick

__all__ = ["TILES", "WGRAD_TILES", "grouped_mm", "grouped_wgrad", "tile_map"]

# Three stages: what the fourth would hold is where a tile is turned round before it is stored.
TILES = {9: Tile(128, 256, 64, warps=8, stages=3), 10: Tile(128, 256, 64, warps=8, stages=3)}
# m and n are the sides of dw here, k the rows that are reduced at a time.
WGRAD_TILES = {9: Tile(128, 256, 64, warps=8, stages=4), 10: Tile(128, 256, 64, warps=8, stages=4)}
# fp32 operands, for checks only: without tensor cores, and four times the shared memory.
PLAIN = Tile(64, 64, 32, warps=4, stages=2)


@triton.jit(do_not_specialize=["n_tiles"])
def grouped_mm_kernel(
    x, w, y, offsets, tiles, used, n_tiles, N, K,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, TRANSPOSED: tl.constexpr, PROGRAMS: tl.constexpr,
):  # fmt: skip
    """BM x BN tiles of y, every PROGRAMS-th for a program, which loads its next tile while it stores the last.

    Columns come first, so that the programs in flight share an expert's rows and weights in L2.
    """
    columns = tl.cdiv(N, BN)
    for at in tl.range(tl.program_id(0), tl.load(used) * columns, PROGRAMS, flatten=True):
        tile = at // columns
        n = (at % columns) * BN
        e = tl.load(tiles + tile)
        m = tl.load(tiles + n_tiles + tile)
        acc = tl.zeros((BM, BN), tl.float32)
        for k in range(0, K, BK):
            # Rows after the expert's last belong to the next one: what they give is not stored.  Where K is not a multiple of
            # BK, x's columns past K are zeros and meet the next expert's weights.
            a = x.load([m, k])
            if TRANSPOSED:
                b = w.load([e * N + n, k]).T
            else:
                b = w.load([e * K + k, n])
            acc = dot(a, b, acc)
        rm = m + tl.arange(0, BM)
        rn = n + tl.arange(0, BN)
        kept = (rm[:, None] < tl.load(offsets + e + 1)) & (rn[None, :] < N)
        tl.store(y + rm[:, None].to(tl.int64) * N + rn[None, :], narrow(acc, y.dtype.element_ty), mask=kept)


@triton.jit
def grouped_wgrad_kernel(
    x, dy, dw, offsets, K, N,
    BM: tl.constexpr, BN: tl.constexpr, BR: tl.constexpr,
):  # fmt: skip
    """One BM x BN tile of dw[e] = x[rows of e]^T @ dy[rows of e], BR rows at a time."""
    columns = tl.cdiv(N, BN)
    per_expert = tl.cdiv(K, BM) * columns
    e = tl.program_id(0) // per_expert
    k = (tl.program_id(0) % per_expert) // columns * BM
    n = (tl.program_id(0) % columns) * BN
    begin = tl.load(offsets + e)
    end = tl.load(offsets + e + 1)
    whole = begin + (end - begin) // BR * BR
    acc = tl.zeros((BM, BN), tl.float32)
    for r in range(begin, whole, BR):
        acc = dot(x.load([r, k]).T, dy.load([r, n]), acc)
    if whole < end:  # the last rows, without the next expert's
        mine = (whole + tl.arange(0, BR))[:, None] < end
        a = tl.where(mine, x.load([whole, k]), 0.0)
        b = tl.where(mine, dy.load([whole, n]), 0.0)
        acc = dot(a.T, b, acc)
    rk = k + tl.arange(0, BM)
    rn = n + tl.arange(0, BN)
    at = dw + e.to(tl.int64) * K * N + rk[:, None] * N + rn[None, :]
    tl.store(at, narrow(acc, dw.dtype.element_ty), mask=(rk[:, None] < K) & (rn[None, :] < N))


def tile_map(offsets_E1: Tensor, rows: int, height: int) -> tuple[Tensor, Tensor]:
    """int32 [2, n]: the expert and the first row of each tile of `height` rows; and [1], how many there are.  Then expert E.

    Made on the device: n is the most that `rows` rows can need, so nothing waits for the counts.
    """
    experts = len(offsets_E1) - 1
    tiles_E = (offsets_E1.diff() + (height - 1)) // height
    ends_E = tiles_E.cumsum(0)
    i = torch.arange(rows // height + experts, device=offsets_E1.device)
    e = torch.searchsorted(ends_E, i, right=True)
    own = e.clamp(max=experts - 1)
    first = offsets_E1[own] + (i - (ends_E - tiles_E)[own]) * height
    return torch.stack((e, first)).to(torch.int32), ends_E[-1:].to(torch.int32)


def grouped_mm(x_RK: Tensor, w_EKN: Tensor, offsets_E1: Tensor, transposed: bool = False) -> Tensor:
    """y_RN as in `reference.grouped_mm`; with `transposed`, w is [E, N, K]: the gradient by x, from w as it lies.

    Where x has rows from offsets_E1[-1] on, theirs are not written.  Raises ValueError for what a descriptor cannot address.
    """
    rows, K = x_RK.shape
    E, N = w_EKN.shape[0], w_EKN.shape[1 if transposed else 2]
    if w_EKN.shape[2 if transposed else 1] != K or len(offsets_E1) != E + 1:
        raise ValueError(f"x {list(x_RK.shape)}, w {list(w_EKN.shape)} and {len(offsets_E1)} offsets do not fit together")
    y_RN = x_RK.new_empty((rows, N))
    if rows == 0:
        return y_RN
    tile = _tile(TILES, x_RK)
    tiles, used = tile_map(offsets_E1, rows, tile.m)
    programs = min(tiles.shape[1] * triton.cdiv(N, tile.n), multiprocessors(x_RK))
    flat = w_EKN.reshape(-1, w_EKN.shape[2])
    grouped_mm_kernel[(programs,)](
        _descriptor(x_RK, tile.m, tile.k),
        _descriptor(flat, *((tile.n, tile.k) if transposed else (tile.k, tile.n))),
        y_RN, offsets_E1.to(torch.int32), tiles, used, tiles.shape[1], N, K,
        BM=tile.m, BN=tile.n, BK=tile.k, TRANSPOSED=transposed, PROGRAMS=programs, **tile.options,
    )  # fmt: skip
    return y_RN


def grouped_wgrad(x_RK: Tensor, dy_RN: Tensor, offsets_E1: Tensor) -> Tensor:
    """dw_EKN as in `reference.grouped_wgrad`, in x's dtype."""
    K, N, E = x_RK.shape[1], dy_RN.shape[1], len(offsets_E1) - 1
    if len(x_RK) != len(dy_RN):
        raise ValueError(f"x {list(x_RK.shape)} and dy {list(dy_RN.shape)} differ in rows")
    if len(x_RK) == 0:
        return x_RK.new_zeros((E, K, N))
    dw_EKN = x_RK.new_empty((E, K, N))
    tile = _tile(WGRAD_TILES, x_RK)
    grouped_wgrad_kernel[(E * triton.cdiv(K, tile.m) * triton.cdiv(N, tile.n),)](
        _descriptor(x_RK, tile.k, tile.m), _descriptor(dy_RN, tile.k, tile.n), dw_EKN, offsets_E1.to(torch.int32), K, N,
        BM=tile.m, BN=tile.n, BR=tile.k, **tile.options,
    )  # fmt: skip
    return dw_EKN


def _tile(table: dict[int, Tile], of: Tensor) -> Tile:
    tile = pick(table, of)
    return tile if of.dtype is not torch.float32 or not of.is_cuda else PLAIN


def _descriptor(of: Tensor, *block: int) -> TensorDescriptor:
    if of.stride(1) != 1 or of.stride(0) * of.element_size() % 16 or of.data_ptr() % 16:
        raise ValueError(f"rows must lie 16 bytes aligned: shape {list(of.shape)}, strides {list(of.stride())}, {of.dtype}")
    return TensorDescriptor.from_tensor(of, list(block))
