"""Block quantisers: MXFP8 and NVFP4, and SwiGLU with MXFP8 behind it.

The bits are those of `reference`, on a GPU too: divisions are `div_rn`, and the launches switch the fusion of multiply and
add off, which would round once where the definition rounds twice.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..reference import nvfp4_encode_scale
from .common import e2m1_code, mx_byte, narrow, rne_e4m3

__all__ = ["quantize_mxfp8", "quantize_nvfp4", "swiglu", "swiglu_backward", "swiglu_quantize_mxfp8"]

ROWS = 32
COLUMNS = 128


@triton.jit
def put_mxfp8(v, q, s, rm, rk, rs, M, K, BM: tl.constexpr, BK: tl.constexpr):
    """Quantise the fp32 block v [BM, BK] at rows rm, columns rk, scale columns rs."""
    blocks = tl.reshape(v, (BM, BK // 32, 32))
    byte = mx_byte(tl.max(blocks.to(tl.uint32, bitcast=True) & 0x7FFFFFFF, axis=2))  # bits: a maximum that keeps NaN
    inverse = ((254 - tl.minimum(byte, 254)) << 23).to(tl.float32, bitcast=True)  # 2^(127 - byte), normal as byte <= 247
    y = rne_e4m3(tl.reshape(blocks * inverse[:, :, None], (BM, BK)))
    inside = rm[:, None] < M
    tl.store(q + rm[:, None].to(tl.int64) * K + rk[None, :], y.to(tl.float8e4nv), mask=inside & (rk[None, :] < K))
    at = s + rm[:, None].to(tl.int64) * (K // 32) + rs[None, :]
    tl.store(at, byte.to(tl.uint8), mask=inside & (rs[None, :] < K // 32))


@triton.jit(do_not_specialize=["M"])
def quantize_mxfp8_kernel(x, q, s, M, K, BM: tl.constexpr, BK: tl.constexpr):
    """x [M, K] -> q e4m3 [M, K], s e8m0 bytes [M, K/32]."""
    rm = tl.program_id(0) * BM + tl.arange(0, BM)
    rk = tl.program_id(1) * BK + tl.arange(0, BK)
    rs = tl.program_id(1) * (BK // 32) + tl.arange(0, BK // 32)
    inside = (rm[:, None] < M) & (rk[None, :] < K)
    v = tl.load(x + rm[:, None].to(tl.int64) * K + rk[None, :], mask=inside, other=0.0).to(tl.float32)
    put_mxfp8(v, q, s, rm, rk, rs, M, K, BM, BK)


@triton.jit(do_not_specialize=["M"])
def quantize_nvfp4_kernel(x, q, s, s_enc, stride, M, K, BM: tl.constexpr, BK: tl.constexpr):
    """x [M, K] -> q e2m1 in pairs [M, K/2], s e4m3 [M, K/16]; s_enc[row * stride] as fp32."""
    rm = tl.program_id(0) * BM + tl.arange(0, BM)
    rk = tl.program_id(1) * BK + tl.arange(0, BK)
    row = rm[:, None].to(tl.int64)
    inside = rm[:, None] < M
    v = tl.load(x + row * K + rk[None, :], mask=inside & (rk[None, :] < K), other=0.0).to(tl.float32)
    encode = tl.load(s_enc + rm * stride, mask=rm < M, other=1.0)[:, None]
    blocks = tl.reshape(v, (BM, BK // 16, 16))
    bits = tl.max(blocks.to(tl.uint32, bitcast=True) & 0x7FFFFFFF, axis=2)  # bits: a maximum that keeps NaN
    amax = bits.to(tl.float32, bitcast=True)
    scale = rne_e4m3(tl.math.div_rn(amax, tl.full(amax.shape, 6.0, tl.float32)) * encode)
    scale = tl.where(bits >= 0x7F800000, float("nan"), scale)
    inverse = tl.where(scale == 0.0, 0.0, tl.math.div_rn(tl.broadcast_to(encode, scale.shape), scale))
    code = e2m1_code(tl.reshape(blocks * inverse[:, :, None], (BM, BK)))
    low, high = tl.split(tl.reshape(code, (BM, BK // 2, 2)))
    rq = tl.program_id(1) * (BK // 2) + tl.arange(0, BK // 2)
    tl.store(q + row * (K // 2) + rq[None, :], low | (high << 4), mask=inside & (rq[None, :] < K // 2))
    rs = tl.program_id(1) * (BK // 16) + tl.arange(0, BK // 16)
    tl.store(s + row * (K // 16) + rs[None, :], scale.to(tl.float8e4nv), mask=inside & (rs[None, :] < K // 16))


@triton.jit
def gated(x, rm, rf, M, F):
    """In fp32: a = x[:, :F], b = x[:, F:] and sigmoid(a); and which of them there are."""
    at = x + rm[:, None].to(tl.int64) * (2 * F) + rf[None, :]
    inside = (rm[:, None] < M) & (rf[None, :] < F)
    a = tl.load(at, mask=inside, other=0.0).to(tl.float32)
    b = tl.load(at + F, mask=inside, other=0.0).to(tl.float32)
    sigmoid = 1.0 / (1.0 + tl.exp(-a))
    return a, b, sigmoid, inside


@triton.jit(do_not_specialize=["M"])
def swiglu_kernel(x, h, M, F, BM: tl.constexpr, BK: tl.constexpr):
    """x [M, 2F] -> h [M, F] = silu(x[:, :F]) * x[:, F:]."""
    rm = tl.program_id(0) * BM + tl.arange(0, BM)
    rf = tl.program_id(1) * BK + tl.arange(0, BK)
    a, b, sigmoid, inside = gated(x, rm, rf, M, F)
    tl.store(h + rm[:, None].to(tl.int64) * F + rf[None, :], narrow(a * sigmoid * b, h.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["M"])
def swiglu_backward_kernel(x, d, gate, dx, gh, dgate, M, F, BM: tl.constexpr, BK: tl.constexpr):
    """dx [M, 2F], gh = gate * h [M, F] and dgate = <d, h> [M], where d [M, F] is the gradient by h before the gate."""
    rm = tl.program_id(0) * BM + tl.arange(0, BM)
    g = tl.load(gate + rm, mask=rm < M, other=0.0)[:, None]
    total = tl.zeros((BM, BK), tl.float32)
    for f in range(0, F, BK):
        rf = f + tl.arange(0, BK)
        a, b, sigmoid, inside = gated(x, rm, rf, M, F)
        h = narrow(a * sigmoid * b, x.dtype.element_ty).to(tl.float32)
        at = rm[:, None].to(tl.int64) * F + rf[None, :]
        p = tl.load(d + at, mask=inside, other=0.0).to(tl.float32)
        total += p * h
        tl.store(gh + at, narrow(h * g, gh.dtype.element_ty), mask=inside)
        da = p * g * b * (sigmoid * (1.0 + a * (1.0 - sigmoid)))
        db = p * g * (a * sigmoid)
        at += rm[:, None].to(tl.int64) * F
        tl.store(dx + at, narrow(da, dx.dtype.element_ty), mask=inside)
        tl.store(dx + at + F, narrow(db, dx.dtype.element_ty), mask=inside)
    tl.store(dgate + rm, tl.sum(total, 1), mask=rm < M)


@triton.jit(do_not_specialize=["M"])
def swiglu_quantize_mxfp8_kernel(x, q, s, M, F, BM: tl.constexpr, BK: tl.constexpr):
    """The MXFP8 of what `swiglu_kernel` would have stored, without storing it."""
    rm = tl.program_id(0) * BM + tl.arange(0, BM)
    rf = tl.program_id(1) * BK + tl.arange(0, BK)
    rs = tl.program_id(1) * (BK // 32) + tl.arange(0, BK // 32)
    a, b, sigmoid, _ = gated(x, rm, rf, M, F)
    h = narrow(a * sigmoid * b, x.dtype.element_ty).to(tl.float32)
    put_mxfp8(h, q, s, rm, rf, rs, M, F, BM, BK)


def quantize_mxfp8(x_MK: Tensor) -> tuple[Tensor, Tensor]:
    """As `reference.quantize_mxfp8`, bit for bit."""
    x_MK, M, K = _rows(x_MK, 32)
    q, s = _mxfp8_like(x_MK, M, K)
    if M:
        quantize_mxfp8_kernel[_grid(M, K)](x_MK, q, s, M, K, BM=ROWS, BK=COLUMNS, enable_fp_fusion=False)
    return q, s


def quantize_nvfp4(x_MK: Tensor, s_enc: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """As `reference.quantize_nvfp4`, bit for bit."""
    x_MK, M, K = _rows(x_MK, 16)
    if s_enc is None:
        s_enc = nvfp4_encode_scale(x_MK.abs().amax() if M else x_MK.new_zeros(()))
    q = torch.empty((M, K // 2), dtype=torch.uint8, device=x_MK.device)
    s = torch.empty((M, K // 16), dtype=torch.float8_e4m3fn, device=x_MK.device)
    if M:
        quantize_nvfp4_kernel[_grid(M, K)](
            x_MK, q, s, s_enc.contiguous(), int(s_enc.numel() > 1), M, K, BM=ROWS, BK=COLUMNS, enable_fp_fusion=False
        )
    return q, s, s_enc


def swiglu(x_M2F: Tensor) -> Tensor:
    """As `reference.swiglu`."""
    x_M2F, M, K = _rows(x_M2F, 2)
    F = K // 2
    h_MF = x_M2F.new_empty((M, F))
    if M:
        swiglu_kernel[_grid(M, F)](x_M2F, h_MF, M, F, BM=ROWS, BK=COLUMNS, enable_fp_fusion=False)
    return h_MF


def swiglu_backward(x_M2F: Tensor, d_MF: Tensor, gate_M: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """As `reference.swiglu_backward`, in one pass."""
    x_M2F, M, K = _rows(x_M2F, 2)
    F = K // 2
    dx_M2F, gh_MF = torch.empty_like(x_M2F), x_M2F.new_empty((M, F))
    dgate_M = torch.empty(M, dtype=torch.float32, device=x_M2F.device)
    if M:
        swiglu_backward_kernel[(triton.cdiv(M, 16),)](
            x_M2F, d_MF.contiguous(), gate_M.float().contiguous(), dx_M2F, gh_MF, dgate_M, M, F, BM=16, BK=COLUMNS,
            enable_fp_fusion=False,
        )  # fmt: skip
    return dx_M2F, gh_MF, dgate_M


def swiglu_quantize_mxfp8(x_M2F: Tensor) -> tuple[Tensor, Tensor]:
    """`quantize_mxfp8(swiglu(x))` in one pass."""
    x_M2F, M, K = _rows(x_M2F, 64)
    q, s = _mxfp8_like(x_M2F, M, K // 2)
    if M:
        swiglu_quantize_mxfp8_kernel[_grid(M, K // 2)](x_M2F, q, s, M, K // 2, BM=ROWS, BK=COLUMNS, enable_fp_fusion=False)
    return q, s


def _rows(x: Tensor, multiple: int) -> tuple[Tensor, int, int]:
    if x.ndim != 2 or x.shape[1] % multiple:
        raise ValueError(f"shape {list(x.shape)}: two dimensions, the last a multiple of {multiple}")
    return x.contiguous(), x.shape[0], x.shape[1]


def _mxfp8_like(x: Tensor, M: int, K: int) -> tuple[Tensor, Tensor]:
    q = torch.empty((M, K), dtype=torch.float8_e4m3fn, device=x.device)
    return q, torch.empty((M, K // 32), dtype=torch.uint8, device=x.device)


def _grid(M: int, K: int) -> tuple[int, int]:
    return triton.cdiv(M, ROWS), triton.cdiv(K, COLUMNS)
