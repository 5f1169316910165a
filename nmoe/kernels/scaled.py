"""The grouped product of block-scaled operands: MXFP8 and NVFP4, forward only (gradients are taken in bf16).

On Blackwell the tensor core reads the scales (`tl.dot_scaled`).  Elsewhere operands are decoded to bf16 first, which is exact:
an e2m1 value times an e4m3 scale has six significant bits, an e4m3 value times a power of two has four, and bf16 holds eight.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from .common import Tile, architecture, dot, e2m1_value, narrow, pick
from .grouped import tile_map

__all__ = ["TILES", "scaled_grouped_mm"]

TILES = {9: Tile(128, 128, 128, warps=8, stages=2), 10: Tile(128, 128, 128, warps=4, stages=4)}


@triton.jit
def decoded(q, s, R: tl.constexpr, BK: tl.constexpr, FORMAT: tl.constexpr):
    """bf16 [R, BK] of a block's codes and scales, exactly."""
    if FORMAT == "e2m1":
        pairs = tl.join(e2m1_value(q & 15), e2m1_value(q >> 4))
        blocks = tl.reshape(pairs, (R, BK // 16, 16)) * s.to(tl.float32)[:, :, None]
    else:
        # 2^-127, the scale of byte 0, is the one that is no normal number; no quantiser of ours writes it
        scale = tl.where(s == 255, float("nan"), (s.to(tl.uint32) << 23).to(tl.float32, bitcast=True))
        blocks = tl.reshape(q.to(tl.float32), (R, BK // 32, 32)) * scale[:, :, None]
    return narrow(tl.reshape(blocks, (R, BK)), tl.bfloat16)


@triton.jit(do_not_specialize=["n_tiles"])
def scaled_grouped_mm_kernel(
    x, xs, xg, x_stride, w, ws, wg, w_stride, y, offsets, tiles, n_tiles, E, N, K,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, FORMAT: tl.constexpr, DECODED: tl.constexpr,
):  # fmt: skip
    """One tile of y[m, n] = sum_k x[m, k] * w[e, n, k], both with their block scales, over xg[m] * wg[e]."""
    PACK: tl.constexpr = 2 if FORMAT == "e2m1" else 1
    G: tl.constexpr = 16 if FORMAT == "e2m1" else 32
    columns = tl.cdiv(N, BN)
    tile = tl.program_id(0) // columns
    e = tl.load(tiles + tile)
    if e >= E:
        return
    end = tl.load(offsets + e + 1)
    rm = (tl.load(tiles + n_tiles + tile) + tl.arange(0, BM)).to(tl.int64)
    rn = tl.program_id(0) % columns * BN + tl.arange(0, BN)
    rw = e.to(tl.int64) * N + rn
    rows, cols = rm[:, None] < end, rn[:, None] < N
    acc = tl.zeros((BM, BN), tl.float32)
    for k in range(0, K, BK):
        rk = k // PACK + tl.arange(0, BK // PACK)[None, :]
        rs = k // G + tl.arange(0, BK // G)[None, :]
        a = tl.load(x + rm[:, None] * (K // PACK) + rk, mask=rows & (rk < K // PACK), other=0.0)
        b = tl.load(w + rw[:, None] * (K // PACK) + rk, mask=cols & (rk < K // PACK), other=0.0)
        sa = tl.load(xs + rm[:, None] * (K // G) + rs, mask=rows & (rs < K // G), other=0.0)
        sb = tl.load(ws + rw[:, None] * (K // G) + rs, mask=cols & (rs < K // G), other=0.0)
        if DECODED:
            acc = dot(decoded(a, sa, BM, BK, FORMAT), decoded(b, sb, BN, BK, FORMAT).T, acc)
        else:
            acc = tl.dot_scaled(a, sa, FORMAT, b.T, sb, FORMAT, acc)
    gx = tl.load(xg + rm * x_stride, mask=rm < end, other=1.0)
    gw = tl.load(wg + e * w_stride)
    at = y + rm[:, None] * N + rn[None, :]
    tl.store(at, narrow(acc / gx[:, None] / gw, y.dtype.element_ty), mask=rows & (rn[None, :] < N))


def scaled_grouped_mm(
    x_RK: Tensor, x_scales: Tensor, w_ENK: Tensor, w_scales: Tensor, offsets_E1: Tensor,
    x_enc: Tensor | None = None, w_enc: Tensor | None = None, dtype: torch.dtype = torch.bfloat16, *, decode: bool | None = None,
) -> Tensor:  # fmt: skip
    """As `reference.scaled_grouped_mm`.

    `decode` decides between the tensor core's scales and decoded operands; by default, what the device can do.
    """
    packed = x_RK.dtype is torch.uint8
    R, K = x_RK.shape[0], x_RK.shape[1] * (2 if packed else 1)
    E, N = w_ENK.shape[:2]
    if w_ENK.shape[2] != x_RK.shape[1] or w_ENK.dtype is not x_RK.dtype or len(offsets_E1) != E + 1:
        raise ValueError(f"x {list(x_RK.shape)}, w {list(w_ENK.shape)} and {len(offsets_E1)} offsets do not fit together")
    if packed and (x_enc is None or w_enc is None):
        raise ValueError("NVFP4 operands come with their s_enc")
    if x_enc is not None and w_enc is not None and (x_enc.numel() not in (1, R) or w_enc.numel() not in (1, E)):
        raise ValueError(f"s_enc {list(x_enc.shape)} for {R} rows and {list(w_enc.shape)} for {E} experts")
    y_RN = torch.empty((R, N), dtype=dtype, device=x_RK.device)
    if R == 0:
        return y_RN
    one = torch.ones((), device=x_RK.device)
    x_enc, w_enc = (one if enc is None else enc.float().contiguous() for enc in (x_enc, w_enc))
    tile = pick(TILES, x_RK)
    tiles, _ = tile_map(offsets_E1, R, tile.m)
    scaled_grouped_mm_kernel[(tiles.shape[1] * triton.cdiv(N, tile.n),)](
        x_RK.contiguous(), x_scales.contiguous(), x_enc, int(x_enc.numel() > 1),
        w_ENK.contiguous(), w_scales.contiguous(), w_enc, int(w_enc.numel() > 1),
        y_RN, offsets_E1.to(torch.int32), tiles, tiles.shape[1], E, N, K,
        BM=tile.m, BN=tile.n, BK=tile.k, FORMAT="e2m1" if packed else "e4m3",
        DECODED=architecture(x_RK) != 10 if decode is None else decode, **tile.options,
    )  # fmt: skip
    return y_RN
