"""What every kernel computes, in plain torch: the path that a CPU runs, and the oracle that the kernels are held against.

Shape suffixes: M rows, K the contracted side, N the other; R rows sorted by expert, E experts, with the rows of expert e at
offsets_E1[e]:offsets_E1[e + 1] (an expert may have none; the last offset is R), F half of a gated pair; T tokens, W row width;
B batch, S sequence, H heads, D query and key width, V value width.

Formats.  MXFP8 (OCP MX v1.0; scales rounded up as in arXiv 2506.08027): blocks of 32 along K share one power of two.
NVFP4 (arXiv 2509.25149): blocks of 16 along K share one e4m3 scale, and an fp32 factor s_enc lifts the largest block to 448.
A value that is not finite makes its whole block (NVFP4: everything under its s_enc) NaN: it is never hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

__all__ = [
    "attention",
    "combine",
    "dequantize_mxfp8",
    "dequantize_nvfp4",
    "grouped_mm",
    "grouped_wgrad",
    "nvfp4_encode_scale",
    "put_rows",
    "quantize_mxfp8",
    "quantize_nvfp4",
    "scaled_grouped_mm",
    "swiglu",
    "swiglu_backward",
]

MX_BLOCK = 32
NV_BLOCK = 16
E4M3_MAX = 448.0
E2M1_MAX = 6.0
E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
# s_enc / s_b stays finite for the smallest block scale, 2^-9.  Only a tensor below 1e-27 everywhere reaches this bound.
S_ENC_MAX = 2.0**100


def quantize_mxfp8(x_MK: Tensor) -> tuple[Tensor, Tensor]:
    """Values float8_e4m3fn [M, K] and e8m0 scale bytes uint8 [M, K/32]: byte = 127 + ceil(log2(amax / 448)), within [1, 254].

    Rounding up means that nothing saturates.  Byte 255 (NaN) marks a block with a value that is not finite.
    """
    blocks = _blocks(x_MK, MX_BLOCK)
    amax = blocks.abs().amax(-1)
    mantissa, exponent = torch.frexp(amax)  # amax = mantissa * 2^exponent, mantissa in [1/2, 1); 448 = 7/8 * 2^9
    byte = (exponent - 9 + (mantissa > 0.875).to(exponent.dtype) + 127).clamp(1, 254)
    byte = torch.where(amax == 0, 1, byte)
    q = (blocks * _power_of_two(254 - byte)[..., None]).to(torch.float8_e4m3fn)
    byte = torch.where(torch.isfinite(amax), byte, 255)
    return q.reshape(x_MK.shape), byte.to(torch.uint8)


def dequantize_mxfp8(q_MK: Tensor, s: Tensor) -> Tensor:
    """The fp32 values that `quantize_mxfp8` kept, exactly."""
    scale = torch.where(s == 255, torch.nan, _power_of_two(s))
    return (_blocks(q_MK, MX_BLOCK) * scale[..., None]).reshape(q_MK.shape)


def nvfp4_encode_scale(amax: Tensor) -> Tensor:
    """s_enc = 448 * 6 / amax in fp32; 1 for amax 0, NaN where amax is not finite."""
    amax = amax.float()
    s_enc = torch.div(torch.full_like(amax, E4M3_MAX * E2M1_MAX), amax).clamp(max=S_ENC_MAX)  # number / tensor rounds twice
    return torch.where(amax == 0, 1.0, torch.where(torch.isfinite(amax), s_enc, torch.nan))


def quantize_nvfp4(x_MK: Tensor, s_enc: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Packed e2m1 uint8 [M, K/2] (the even element in the low nibble), scales float8_e4m3fn [M, K/16], and s_enc.

    `s_enc` is that of the whole tensor, an fp32 scalar, unless given: a scalar, or one a row [M].
    """
    if s_enc is None:
        s_enc = nvfp4_encode_scale(x_MK.float().abs().amax() if x_MK.numel() else x_MK.new_zeros(()))
    rows = s_enc.reshape(-1, 1)
    blocks = _blocks(x_MK, NV_BLOCK)
    amax = blocks.abs().amax(-1)
    per_unit = torch.div(amax, torch.full_like(amax, E2M1_MAX))  # on CUDA, tensor / number multiplies by 1 / number: other bits
    wanted = (per_unit * rows).clamp(max=E4M3_MAX)
    s = torch.where(torch.isfinite(amax), wanted, torch.nan).to(torch.float8_e4m3fn)
    inverse = torch.where(s.float() == 0, 0.0, rows / s.float())
    code = _e2m1_code(blocks * inverse[..., None]).reshape(x_MK.shape)
    return code[:, 0::2] | (code[:, 1::2] << 4), s, s_enc


def dequantize_nvfp4(packed: Tensor, s: Tensor, s_enc: Tensor) -> Tensor:
    """The fp32 values that `quantize_nvfp4` kept: q * s / s_enc, rounded once."""
    code = torch.stack((packed & 15, packed >> 4), -1).reshape(packed.shape[0], -1).long()
    magnitude = torch.tensor(E2M1, device=packed.device)[code & 7]
    q = torch.where(code >= 8, -magnitude, magnitude)
    scaled = (_blocks(q, NV_BLOCK) * s.float()[..., None]).reshape(q.shape)
    return scaled / s_enc.reshape(-1, 1)


def grouped_mm(x_RK: Tensor, w_EKN: Tensor, offsets_E1: Tensor) -> Tensor:
    """y_RN: the rows of expert e times w[e].  With w transposed to [E, N, K] it is the gradient by x."""
    ends = offsets_E1.tolist()
    if ends[-1] == 0:
        return x_RK.new_zeros((x_RK.shape[0], w_EKN.shape[-1]))
    parts = [x_RK[a:b] @ w_EKN[e] for e, (a, b) in enumerate(pairwise(ends)) if b > a]
    return torch.cat(parts)


def grouped_wgrad(x_RK: Tensor, dy_RN: Tensor, offsets_E1: Tensor) -> Tensor:
    """dw_EKN: for each expert, its rows of x, transposed, times its rows of dy; zeros for an expert without rows."""
    ends = offsets_E1.tolist()
    return torch.stack([x_RK[a:b].T @ dy_RN[a:b] for a, b in pairwise(ends)])


def scaled_grouped_mm(
    x_RK: Tensor,
    x_scales: Tensor,
    w_ENK: Tensor,
    w_scales: Tensor,
    offsets_E1: Tensor,
    x_enc: Tensor | None = None,
    w_enc: Tensor | None = None,
    dtype: torch.dtype = torch.bfloat16,
) -> Tensor:
    """y_RN = x w^T by expert, both operands as the quantisers leave them (w along K, its rows [E, N]); summed in fp32.

    uint8 values are NVFP4, which needs both s_enc: of x a scalar or one a row, of w a scalar or one an expert.
    """
    E, N = w_ENK.shape[:2]
    w_rows, w_scales = w_ENK.flatten(0, 1), w_scales.reshape(E * N, -1)
    if x_RK.dtype is torch.uint8:
        if x_enc is None or w_enc is None:
            raise ValueError("NVFP4 operands come with their s_enc")
        x = dequantize_nvfp4(x_RK, x_scales, x_enc)
        w = dequantize_nvfp4(w_rows, w_scales, w_enc.repeat_interleave(N) if w_enc.numel() > 1 else w_enc)
    else:
        x, w = dequantize_mxfp8(x_RK, x_scales), dequantize_mxfp8(w_rows, w_scales)
    return grouped_mm(x, w.view(E, N, -1).transpose(1, 2), offsets_E1).to(dtype)


def swiglu(x_R2F: Tensor) -> Tensor:
    """h_RF = silu(a) * b for x = [a | b], computed in fp32."""
    a, b = x_R2F.float().chunk(2, -1)
    return (a * torch.sigmoid(a) * b).to(x_R2F.dtype)


def swiglu_backward(x_R2F: Tensor, d_RF: Tensor, gate_R: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What the backward of gate * W2(swiglu(x)) needs, where d = dout W2^T is the gradient by h before the gate.

    Returns dx_R2F; gate * h, so that dW2 = (gate * h)^T dout; and dgate_R = <d, h> (fp32), which is <dout, W2 h>.
    """
    a, b = x_R2F.float().chunk(2, -1)
    sigmoid = torch.sigmoid(a)
    h_RF, d_RF, gate_R1 = swiglu(x_R2F).float(), d_RF.float(), gate_R.float()[:, None]
    da = d_RF * gate_R1 * b * (sigmoid * (1 + a * (1 - sigmoid)))
    db = d_RF * gate_R1 * (a * sigmoid)
    return torch.cat((da, db), -1).to(x_R2F.dtype), (h_RF * gate_R1).to(x_R2F.dtype), (d_RF * h_RF).sum(-1)


def put_rows(x_MW: Tensor, index_N: Tensor, rank_N: Tensor, slot_N: Tensor, arrays: Sequence[Tensor]) -> None:
    """arrays[rank[i]][slot[i]] = x[index[i]]: one array a rank; no two i name one slot."""
    for rank, array in enumerate(arrays):
        mine = (rank_N == rank).nonzero().flatten()
        array[slot_N[mine]] = x_MW[index_N[mine]]


def combine(rows_TKW: Tensor, gate_TK: Tensor | None, dtype: torch.dtype) -> Tensor:
    """out_TW: the K rows of each token times their gates (none: as they are), added in order, in fp32."""
    gate = torch.ones(rows_TKW.shape[:2], device=rows_TKW.device) if gate_TK is None else gate_TK.float()
    out_TW = torch.zeros(rows_TKW.shape[::2], device=rows_TKW.device)
    for k in range(rows_TKW.shape[1]):
        out_TW = out_TW + rows_TKW[:, k].float() * gate[:, k, None]
    return out_TW.to(dtype)


def attention(
    q_BSHD: Tensor, k_BSHD: Tensor, v_BSHV: Tensor, scale: float, window: int | None = None, sink_H: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Causal softmax attention in fp32: o_BSHV in q's dtype, and lse_BSH, the log of each row's softmax denominator.

    `window` leaves the keys j with 0 <= i - j < window; a sink is one more logit a head that joins the denominator only.
    """
    scores = torch.einsum("bihd,bjhd->bhij", q_BSHD.float(), k_BSHD.float()) * scale
    i = torch.arange(q_BSHD.shape[1], device=q_BSHD.device)
    behind = i[:, None] - i[None, :]
    seen = (behind >= 0) & (behind < (window or len(i)))
    scores = scores.masked_fill(~seen, -torch.inf)
    if sink_H is not None:
        scores = torch.cat((scores, sink_H.float().view(1, -1, 1, 1).expand(*scores.shape[:3], 1)), -1)
    p = scores.softmax(-1)[..., : len(i)]
    o_BSHV = torch.einsum("bhij,bjhv->bihv", p, v_BSHV.float())
    return o_BSHV.to(q_BSHD.dtype), scores.logsumexp(-1).transpose(1, 2)


def _blocks(x_MK: Tensor, size: int) -> Tensor:
    """fp32 [M, K/size, size]; K must be a multiple of the block."""
    rows, width = x_MK.shape
    if width % size:
        raise ValueError(f"the last dimension, {width}, is not a multiple of the block of {size}")
    return x_MK.float().reshape(rows, width // size, size)


def _power_of_two(byte: Tensor) -> Tensor:
    """2^(byte - 127) for bytes below 255, from the bits: exact on every device."""
    bits = torch.where(byte == 0, 1 << 22, byte.to(torch.int32) << 23)
    return bits.to(torch.int32).view(torch.float32)


def _e2m1_code(x: Tensor) -> Tensor:
    """The nearest e2m1 code, ties to the even code, saturating at 6; bit 3 is the sign."""
    magnitude = x.abs()
    code = torch.zeros_like(x, dtype=torch.uint8)
    for i in range(7):
        between = (E2M1[i] + E2M1[i + 1]) / 2
        code += (magnitude >= between if i % 2 else magnitude > between).to(torch.uint8)
    return code | (torch.signbit(x).to(torch.uint8) << 3)
