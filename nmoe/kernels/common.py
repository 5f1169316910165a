"""What all kernels share: tiles, the interpreter's guards, and rounding that is exact wherever it runs.

Triton's interpreter truncates where it narrows fp32 to bf16, loses the carry where it narrows to fp8, and multiplies the raw
bits of bf16 operands.  So every kernel widens before arithmetic (`dot`), and rounds on the integer bits before it narrows
(`narrow`, `rne_e4m3`): the cast that follows is then exact, interpreted or compiled.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
import triton
import triton.language as tl

__all__ = [
    "INTERPRETED",
    "Tile",
    "architecture",
    "dot",
    "e2m1_code",
    "e2m1_value",
    "multiprocessors",
    "mx_byte",
    "narrow",
    "pick",
    "rne_bits",
    "rne_e4m3",
]

INTERPRETED = os.environ.get("TRITON_INTERPRET", "0") not in ("", "0")
_INTERPRETED = tl.constexpr(INTERPRETED)


@dataclass(frozen=True)
class Tile:
    """The block that one program computes: m x n outputs, k at a time; and how it is compiled."""

    m: int
    n: int
    k: int
    warps: int
    stages: int

    @property
    def options(self) -> dict[str, int | bool]:
        """What the compiler is told; fusion is named because Triton's default for it changes."""
        return {"num_warps": self.warps, "num_stages": self.stages, "enable_fp_fusion": True}


# A program of the interpreter costs milliseconds whatever its size, but its tests need several tiles: small ones.
SMALL = Tile(16, 32, 64, warps=4, stages=1)


def architecture(of: torch.Tensor) -> int:
    """9 for Hopper, 10 for Blackwell; 0 where the interpreter runs."""
    return torch.cuda.get_device_capability(of.device)[0] if of.is_cuda else 0


def pick(table: dict[int, Tile], of: torch.Tensor) -> Tile:
    """The static tile for the device of `of`: nothing is tuned at run time, so that a run repeats bit for bit."""
    if not of.is_cuda:
        if not INTERPRETED:
            raise RuntimeError("a Triton kernel needs a CUDA tensor, or TRITON_INTERPRET=1 set before the import")
        return SMALL
    return table.get(architecture(of), table[9])


def multiprocessors(of: torch.Tensor) -> int:
    """How many programs run at a time where each takes a whole multiprocessor; few where the interpreter runs."""
    return torch.cuda.get_device_properties(of.device).multi_processor_count if of.is_cuda else 4


@triton.jit
def dot(a, b, acc):
    """acc + a @ b, accumulated in fp32."""
    if _INTERPRETED:
        acc += tl.dot(a.to(tl.float32), b.to(tl.float32), input_precision="ieee")
    else:
        acc = tl.dot(a, b, acc, input_precision="ieee")
    return acc


@triton.jit
def narrow(x, dtype: tl.constexpr):
    """fp32 to `dtype`, to nearest even."""
    if _INTERPRETED and dtype == tl.bfloat16:
        x = rne_bits(x, 16)
    return x.to(dtype)


@triton.jit
def rne_bits(x, drop: tl.constexpr):
    """fp32 rounded to nearest even with the last `drop` bits of its mantissa gone; still fp32."""
    u = x.to(tl.uint32, bitcast=True)
    rounded = ((u + ((1 << (drop - 1)) - 1) + ((u >> drop) & 1)) >> drop) << drop
    finite = (u & 0x7F800000) != 0x7F800000
    return tl.where(finite, rounded, u).to(tl.float32, bitcast=True)


@triton.jit
def rne_e4m3(x):
    """fp32 rounded to the nearest e4m3 value, ties to even, saturating at 448; still fp32.  NaN stays NaN."""
    a = tl.abs(x)
    below = (a + 16384.0) - 16384.0  # under 2^-6 the step is 2^-9, which is the step of fp32 at 2^14
    r = tl.where(a < 0.015625, below, rne_bits(a, 20))
    r = tl.where(r > 448.0, 448.0, r)
    sign = x.to(tl.uint32, bitcast=True) & 0x80000000
    return (r.to(tl.uint32, bitcast=True) | sign).to(tl.float32, bitcast=True)


@triton.jit
def mx_byte(amax_bits):
    """The e8m0 byte 127 + ceil(log2(amax / 448)) within [1, 254], from amax's bits; 255 where amax is not finite.

    448 = 1.75 * 2^8, so the exponent rounds up exactly where the mantissa is above 1.75.
    """
    byte = ((amax_bits + 0x1FFFFF) >> 23).to(tl.int32) - 8
    byte = tl.minimum(tl.maximum(byte, 1), 254)
    return tl.where(amax_bits >= 0x7F800000, 255, byte)


@triton.jit
def e2m1_code(x):
    """fp32 to the nearest 4-bit code, ties to the even code, saturating at 6; bit 3 is the sign."""
    a = tl.abs(x)
    code = (a > 0.25).to(tl.uint8) + (a >= 0.75).to(tl.uint8) + (a > 1.25).to(tl.uint8) + (a >= 1.75).to(tl.uint8)
    code += (a > 2.5).to(tl.uint8) + (a >= 3.5).to(tl.uint8) + (a > 5.0).to(tl.uint8)
    return code | ((x.to(tl.uint32, bitcast=True) >> 31).to(tl.uint8) << 3)


@triton.jit
def e2m1_value(code):
    """The fp32 value of a 4-bit code: its three low bits are an fp32 number's top bits, but for the subnormal 0.5."""
    magnitude = (code & 7).to(tl.uint32)
    normal = ((magnitude + 252) << 22).to(tl.float32, bitcast=True)
    value = tl.where(magnitude < 2, magnitude.to(tl.float32) * 0.5, normal)
    return tl.where((code & 8) != 0, -value, value)
