"""Flash attention: one forward and a two-pass backward, for latent attention and for sliding windows with sinks.

The definition is `reference.attention`.  The backward takes the rows first (dq), then the columns (dk, dv): every output has
one writer, so that a run repeats bit for bit; the scores are computed twice for that.

A head's width D is split into D1, the largest power of two in it, and the rest D2 (192 = 128 + 64), as blocks are powers of two.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from .common import Tile, dot, narrow, pick

__all__ = ["attention", "attention_backward"]

# m: rows of a program, n: columns at a time (dk and dv: the other way round).
FORWARD = {9: Tile(128, 64, 0, warps=8, stages=3), 10: Tile(128, 64, 0, warps=8, stages=3)}
ROWS = {9: Tile(128, 64, 0, warps=8, stages=2), 10: Tile(128, 64, 0, warps=8, stages=2)}
COLUMNS = {9: Tile(32, 128, 0, warps=8, stages=2), 10: Tile(32, 128, 0, warps=8, stages=2)}
# fp32 operands, for checks only: without tensor cores, and twice the shared memory.
PLAIN = Tile(32, 32, 0, warps=4, stages=1)
LOG2E = tl.constexpr(1.4426950408889634)
HIDDEN = tl.constexpr(-1e30)


@triton.jit
def load(x, row, rows, width, start, SIZE: tl.constexpr):
    """x[row, start:start + SIZE] of rows `width` apart; zeros for rows that `rows` leaves out."""
    return tl.load(x + row[:, None] * width + start + tl.arange(0, SIZE)[None, :], mask=rows[:, None], other=0.0)


@triton.jit
def store(x, value, row, rows, width, start, SIZE: tl.constexpr):
    at = x + row[:, None] * width + start + tl.arange(0, SIZE)[None, :]
    tl.store(at, narrow(value, x.dtype.element_ty), mask=rows[:, None])


@triton.jit
def scores(q1, q2, k1, k2, D2: tl.constexpr):
    """q @ k^T in fp32, over both parts of the width."""
    s = dot(q1, k1.T, tl.zeros((q1.shape[0], k1.shape[0]), tl.float32))
    if D2:
        s = dot(q2, k2.T, s)
    return s


@triton.jit
def seen(i, j, S, window):
    """Whether row i sees column j."""
    return (j <= i) & (i - j < window) & (i < S)


@triton.jit
def forward_step(
    m, total, acc, q1, q2, k, v, head, i, c, S, H, scale, window,
    D: tl.constexpr, D1: tl.constexpr, D2: tl.constexpr, V: tl.constexpr, BN: tl.constexpr, MASKED: tl.constexpr,
):  # fmt: skip
    """Take the columns c to c + BN into the running maximum (base 2), sum and output of the rows i."""
    j = c + tl.arange(0, BN)
    row, inside = (head // H * S + j).to(tl.int64) * H + head % H, j < S
    k1 = load(k, row, inside, D, 0, D1)
    k2 = load(k, row, inside, D, D1, D2) if D2 else k1
    s = scores(q1, q2, k1, k2, D2) * scale
    if MASKED:
        s = tl.where(seen(i[:, None], j[None, :], S, window), s, HIDDEN)
    new = tl.maximum(m, tl.max(s, 1))
    p = tl.exp2(s - new[:, None])
    if MASKED:  # a row that sees nothing here has a maximum of HIDDEN, and exp2(0) for all
        p = tl.where(seen(i[:, None], j[None, :], S, window), p, 0.0)
    shrink = tl.exp2(m - new)
    b = load(v, row, inside, V, 0, V)
    acc = dot(narrow(p, v.dtype.element_ty), b, acc * shrink[:, None])
    return new, total * shrink + tl.sum(p, 1), acc


@triton.jit
def forward_kernel(
    q, k, v, sink, o, lse, S, H, scale, window,
    D1: tl.constexpr, D2: tl.constexpr, V: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
    SINK: tl.constexpr, WINDOWED: tl.constexpr,
):  # fmt: skip
    """Rows of one head: program (block of rows, batch * H + head).  The longest rows start first."""
    D: tl.constexpr = D1 + D2
    head = tl.program_id(1)
    first = (tl.num_programs(0) - 1 - tl.program_id(0)) * BM
    i = first + tl.arange(0, BM)
    row, inside = (head // H * S + i).to(tl.int64) * H + head % H, i < S
    q1 = load(q, row, inside, D, 0, D1)
    q2 = load(q, row, inside, D, D1, D2) if D2 else q1
    acc = tl.zeros((BM, V), tl.float32)
    if SINK:
        m = tl.zeros((BM,), tl.float32) + tl.load(sink + head % H).to(tl.float32) * LOG2E
        total = tl.zeros((BM,), tl.float32) + 1.0
    else:
        m = tl.zeros((BM,), tl.float32) + HIDDEN
        total = tl.zeros((BM,), tl.float32)
    last = tl.minimum(S, first + BM)
    start = 0
    if WINDOWED:
        start = tl.maximum(0, first - window + 1) // BN * BN
    else:  # the columns that every row sees need no mask
        start = first // BN * BN
        for c in range(0, start, BN):
            m, total, acc = forward_step(
                m, total, acc, q1, q2, k, v, head, i, c, S, H, scale, window, D, D1, D2, V, BN, False
            )  # fmt: skip
    for c in range(start, last, BN):
        m, total, acc = forward_step(m, total, acc, q1, q2, k, v, head, i, c, S, H, scale, window, D, D1, D2, V, BN, True)
    store(o, acc / total[:, None], row, inside, V, 0, V)
    tl.store(lse + row, (m + tl.log2(total)) / LOG2E, mask=inside)


@triton.jit
def delta_kernel(o, do, delta, rows, V: tl.constexpr, BM: tl.constexpr):
    """delta = <o, do>, a row."""
    r = (tl.program_id(0) * BM + tl.arange(0, BM)).to(tl.int64)
    inside = r < rows
    product = load(o, r, inside, V, 0, V).to(tl.float32) * load(do, r, inside, V, 0, V).to(tl.float32)
    tl.store(delta + r, tl.sum(product, 1), mask=inside)


@triton.jit
def rows_step(
    dq1, dq2, q1, q2, g, lse_i, delta_i, k, v, head, i, c, S, H, scale, window,
    D: tl.constexpr, D1: tl.constexpr, D2: tl.constexpr, V: tl.constexpr, BN: tl.constexpr, MASKED: tl.constexpr,
):  # fmt: skip
    """dq of the rows i from the columns c to c + BN."""
    j = c + tl.arange(0, BN)
    row, inside = (head // H * S + j).to(tl.int64) * H + head % H, j < S
    k1 = load(k, row, inside, D, 0, D1)
    k2 = load(k, row, inside, D, D1, D2) if D2 else k1
    p = tl.exp2(scores(q1, q2, k1, k2, D2) * scale - lse_i[:, None])
    if MASKED:
        p = tl.where(seen(i[:, None], j[None, :], S, window), p, 0.0)
    dp = dot(g, load(v, row, inside, V, 0, V).T, tl.zeros((g.shape[0], BN), tl.float32))
    ds = narrow(p * (dp - delta_i[:, None]), k.dtype.element_ty)
    dq1 = dot(ds, k1, dq1)
    if D2:
        dq2 = dot(ds, k2, dq2)
    return dq1, dq2


@triton.jit
def rows_kernel(
    q, k, v, do, lse, delta, dq, S, H, scale, window,
    D1: tl.constexpr, D2: tl.constexpr, V: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, WINDOWED: tl.constexpr,
):  # fmt: skip
    """First pass of the backward: dq, a block of rows a program."""
    D: tl.constexpr = D1 + D2
    head = tl.program_id(1)
    first = (tl.num_programs(0) - 1 - tl.program_id(0)) * BM
    i = first + tl.arange(0, BM)
    row, inside = (head // H * S + i).to(tl.int64) * H + head % H, i < S
    q1 = load(q, row, inside, D, 0, D1)
    q2 = load(q, row, inside, D, D1, D2) if D2 else q1
    g = load(do, row, inside, V, 0, V)
    lse_i = tl.load(lse + row, mask=inside, other=0.0) * LOG2E
    delta_i = tl.load(delta + row, mask=inside, other=0.0)
    dq1 = tl.zeros((BM, D1), tl.float32)
    dq2 = tl.zeros((BM, D2 if D2 else 16), tl.float32)
    start = 0
    if WINDOWED:
        start = tl.maximum(0, first - window + 1) // BN * BN
    else:
        start = first // BN * BN
        for c in range(0, start, BN):
            dq1, dq2 = rows_step(
                dq1, dq2, q1, q2, g, lse_i, delta_i, k, v, head, i, c, S, H, scale, window, D, D1, D2, V, BN, False
            )  # fmt: skip
    for c in range(start, tl.minimum(S, first + BM), BN):
        dq1, dq2 = rows_step(
            dq1, dq2, q1, q2, g, lse_i, delta_i, k, v, head, i, c, S, H, scale, window, D, D1, D2, V, BN, True
        )  # fmt: skip
    natural = scale / LOG2E
    store(dq, dq1 * natural, row, inside, D, 0, D1)
    if D2:
        store(dq, dq2 * natural, row, inside, D, D1, D2)


@triton.jit
def columns_step(
    dk1, dk2, dv, k1, k2, b, q, do, lse, delta, head, j, r, S, H, scale, window,
    D: tl.constexpr, D1: tl.constexpr, D2: tl.constexpr, V: tl.constexpr, BM: tl.constexpr, MASKED: tl.constexpr,
):  # fmt: skip
    """dk and dv of the columns j from the rows r to r + BM; scores lie transposed, columns first."""
    i = r + tl.arange(0, BM)
    row, inside = (head // H * S + i).to(tl.int64) * H + head % H, i < S
    q1 = load(q, row, inside, D, 0, D1)
    q2 = load(q, row, inside, D, D1, D2) if D2 else q1
    lse_i = tl.load(lse + row, mask=inside, other=0.0) * LOG2E
    p = tl.exp2(scores(k1, k2, q1, q2, D2) * scale - lse_i[None, :])
    if MASKED:
        p = tl.where(seen(i[None, :], j[:, None], S, window), p, 0.0)
    g = load(do, row, inside, V, 0, V)
    dv = dot(narrow(p, do.dtype.element_ty), g, dv)
    dp = dot(b, g.T, tl.zeros((b.shape[0], BM), tl.float32))
    ds = narrow(p * (dp - tl.load(delta + row, mask=inside, other=0.0)[None, :]), q.dtype.element_ty)
    dk1 = dot(ds, q1, dk1)
    if D2:
        dk2 = dot(ds, q2, dk2)
    return dk1, dk2, dv


@triton.jit
def columns_kernel(
    q, k, v, do, lse, delta, dk, dv, S, H, scale, window,
    D1: tl.constexpr, D2: tl.constexpr, V: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, WINDOWED: tl.constexpr,
):  # fmt: skip
    """Second pass of the backward: dk and dv, a block of columns a program."""
    D: tl.constexpr = D1 + D2
    head = tl.program_id(1)
    first = tl.program_id(0) * BN
    j = first + tl.arange(0, BN)
    row, inside = (head // H * S + j).to(tl.int64) * H + head % H, j < S
    k1 = load(k, row, inside, D, 0, D1)
    k2 = load(k, row, inside, D, D1, D2) if D2 else k1
    b = load(v, row, inside, V, 0, V)
    dk1 = tl.zeros((BN, D1), tl.float32)
    dk2 = tl.zeros((BN, D2 if D2 else 16), tl.float32)
    sum_v = tl.zeros((BN, V), tl.float32)
    start = first // BM * BM
    if WINDOWED:
        for r in range(start, tl.minimum(S, first + BN - 1 + window), BM):
            dk1, dk2, sum_v = columns_step(
                dk1, dk2, sum_v, k1, k2, b, q, do, lse, delta, head, j, r, S, H, scale, window, D, D1, D2, V, BM, True
            )  # fmt: skip
    else:  # rows from first + BN - 1 on see every column here
        free = tl.minimum(tl.cdiv(first + BN - 1, BM) * BM, tl.cdiv(S, BM) * BM)
        for r in range(start, free, BM):
            dk1, dk2, sum_v = columns_step(
                dk1, dk2, sum_v, k1, k2, b, q, do, lse, delta, head, j, r, S, H, scale, window, D, D1, D2, V, BM, True
            )  # fmt: skip
        for r in range(free, S, BM):
            dk1, dk2, sum_v = columns_step(
                dk1, dk2, sum_v, k1, k2, b, q, do, lse, delta, head, j, r, S, H, scale, window, D, D1, D2, V, BM, False
            )  # fmt: skip
    natural = scale / LOG2E
    store(dk, dk1 * natural, row, inside, D, 0, D1)
    if D2:
        store(dk, dk2 * natural, row, inside, D, D1, D2)
    store(dv, sum_v, row, inside, V, 0, V)


def attention(
    q_BSHD: Tensor, k_BSHD: Tensor, v_BSHV: Tensor, scale: float, window: int | None = None, sink_H: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """As `reference.attention`: o_BSHV and lse_BSH (fp32)."""
    q_BSHD, k_BSHD, v_BSHV = (x.contiguous() for x in (q_BSHD, k_BSHD, v_BSHV))
    (B, S, H, D), V = q_BSHD.shape, v_BSHV.shape[-1]
    if k_BSHD.shape != q_BSHD.shape or v_BSHV.shape[:3] != q_BSHD.shape[:3]:
        raise ValueError(f"q {list(q_BSHD.shape)}, k {list(k_BSHD.shape)} and v {list(v_BSHV.shape)} do not fit together")
    o_BSHV = torch.empty_like(v_BSHV)
    lse_BSH = torch.empty((B, S, H), dtype=torch.float32, device=q_BSHD.device)
    tile = _tile(FORWARD, q_BSHD)
    forward_kernel[(triton.cdiv(S, tile.m), B * H)](
        q_BSHD, k_BSHD, v_BSHV, q_BSHD if sink_H is None else sink_H, o_BSHV, lse_BSH, S, H, scale * LOG2E.value, window or S,
        BM=tile.m, BN=tile.n, SINK=sink_H is not None, **_widths(D, V, window), **tile.options,
    )  # fmt: skip
    return o_BSHV, lse_BSH


def attention_backward(
    do_BSHV: Tensor, q_BSHD: Tensor, k_BSHD: Tensor, v_BSHV: Tensor, o_BSHV: Tensor, lse_BSH: Tensor,
    scale: float, window: int | None = None, sink_H: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:  # fmt: skip
    """The gradients by q, k, v and the sink, from what `attention` took and gave."""
    do_BSHV, q_BSHD, k_BSHD, v_BSHV = (x.contiguous() for x in (do_BSHV, q_BSHD, k_BSHD, v_BSHV))
    (B, S, H, D), V = q_BSHD.shape, v_BSHV.shape[-1]
    dq, dk, dv, delta_BSH = (torch.empty_like(x) for x in (q_BSHD, k_BSHD, v_BSHV, lse_BSH))
    rows = B * S * H
    delta_kernel[(triton.cdiv(rows, 32),)](o_BSHV, do_BSHV, delta_BSH, rows, V=V, BM=32, enable_fp_fusion=False)
    given = (S, H, scale * LOG2E.value, window or S)
    widths = _widths(D, V, window)
    tile = _tile(ROWS, q_BSHD)
    rows_kernel[(triton.cdiv(S, tile.m), B * H)](
        q_BSHD, k_BSHD, v_BSHV, do_BSHV, lse_BSH, delta_BSH, dq, *given,
        BM=tile.m, BN=tile.n, **widths, **tile.options,
    )  # fmt: skip
    tile = _tile(COLUMNS, q_BSHD)
    columns_kernel[(triton.cdiv(S, tile.n), B * H)](
        q_BSHD, k_BSHD, v_BSHV, do_BSHV, lse_BSH, delta_BSH, dk, dv, *given,
        BM=tile.m, BN=tile.n, **widths, **tile.options,
    )  # fmt: skip
    dsink_H = None
    if sink_H is not None:  # the sink takes exp(sink - lse) of each row, and nothing comes of it
        dsink_H = -(torch.exp(sink_H.float() - lse_BSH) * delta_BSH).sum((0, 1)).to(sink_H.dtype)
    return dq, dk, dv, dsink_H


def _tile(table: dict[int, Tile], of: Tensor) -> Tile:
    tile = pick(table, of)
    return tile if of.dtype is not torch.float32 or not of.is_cuda else PLAIN


def _widths(D: int, V: int, window: int | None) -> dict[str, int | bool]:
    D1 = 1 << (D.bit_length() - 1)
    D2 = D - D1
    if D1 < 16 or V < 16 or V & (V - 1) or (D2 and (D2 < 16 or D2 & (D2 - 1))):
        raise ValueError(f"head widths {D} and {V}: a power of two or a sum of two (V: one), each at least 16")
    return {"D1": D1, "D2": D2, "V": V, "WINDOWED": window is not None}
