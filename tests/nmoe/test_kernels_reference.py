"""The formats are those of their definitions: against exact arithmetic, and bit for bit against independent programs."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest

torch = pytest.importorskip("torch")

from nmoe import ops, reference  # noqa: E402

E4M3 = [float(x) for x in torch.arange(0x7F, dtype=torch.uint8).view(torch.float8_e4m3fn).float()]


def nearest(x: float, values: list[float]) -> float:
    """The value next to x >= 0, in exact arithmetic; of two equally near, the one whose place is even; the last at most."""
    exact = Fraction(x)
    place = min(range(len(values)), key=lambda at: (abs(Fraction(values[at]) - exact), at % 2))
    return values[place]


SAMPLES = {
    "normal": torch.randn(3, 64, generator=torch.Generator().manual_seed(0)),
    "bf16": torch.randn(3, 64, generator=torch.Generator().manual_seed(1)).bfloat16(),
    "wide": torch.randn(3, 64, generator=torch.Generator().manual_seed(2)) * torch.exp2(torch.arange(-60.0, 60.0, 40.0))[:, None],
    "every e4m3": torch.tensor([E4M3[:64], [-x for x in E4M3[-64:]]]),
    "ties": torch.tensor([[0.25, -0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0, 6.0, 5.5, -6.0, 0.0, -0.0, 1e-30, 7e-46, 2.0] * 4]),
}


@pytest.mark.parametrize("x", SAMPLES.values(), ids=SAMPLES)
def test_mxfp8_in_exact_arithmetic(x: object) -> None:
    """The scale is the least power of two under which a block fits into 448; each value is then the nearest, ties to even."""
    q, s = reference.quantize_mxfp8(x)
    kept = reference.dequantize_mxfp8(q, s)
    for at in range(len(x)):
        for block in range(x.shape[1] // 32):
            part = [float(v) for v in x[at, 32 * block : 32 * block + 32]]
            amax = max(abs(v) for v in part)
            scale = Fraction(2) ** (int(s[at, block]) - 127)
            if amax:
                assert Fraction(amax) <= 448 * scale and (int(s[at, block]) == 1 or Fraction(amax) > 224 * scale)
            for place, v in enumerate(part):
                wanted = math.copysign(float(nearest(float(Fraction(abs(v)) / scale), E4M3) * scale), v)
                assert float(kept[at, 32 * block + place]) == wanted


@pytest.mark.parametrize("x", SAMPLES.values(), ids=SAMPLES)
def test_nvfp4_in_exact_arithmetic(x: object) -> None:
    """Codes are nearest to x * s_enc / s, ties to even; two to a byte, the even element low; what is decoded is q * s / s_enc."""
    packed, s, s_enc = reference.quantize_nvfp4(x)
    amax = float(x.float().abs().max())
    assert float(s_enc) == float(torch.tensor(2688.0) / torch.tensor(amax))
    kept = reference.dequantize_nvfp4(packed, s, s_enc)
    for at in range(len(x)):
        for place in range(x.shape[1]):
            code = int(packed[at, place // 2]) >> (4 if place % 2 else 0) & 15
            scale = s[at, place // 16].float()
            block = x[at, place // 16 * 16 : place // 16 * 16 + 16].float()
            assert float(scale) == nearest(float((block.abs().max() / 6 * s_enc).clamp(max=448)), E4M3)
            scaled = float(x[at, place].float() * (s_enc / scale)) if float(scale) else math.copysign(0.0, float(x[at, place]))
            assert reference.E2M1[code & 7] == nearest(abs(scaled), list(reference.E2M1))
            assert bool(code & 8) == (math.copysign(1.0, scaled) < 0)
            value = reference.E2M1[code & 7] * (-1 if code & 8 else 1)
            assert float(kept[at, place]) == float(torch.tensor(value) * scale / s_enc)


def test_scale_of_nothing_and_of_what_is_not_finite() -> None:
    """Zeros stay zeros; one NaN or infinity makes its block NaN and, in NVFP4, what shares its s_enc: never a number."""
    assert not reference.dequantize_mxfp8(*reference.quantize_mxfp8(torch.zeros(2, 64))).any()
    assert not reference.dequantize_nvfp4(*reference.quantize_nvfp4(torch.zeros(2, 64))).any()
    for bad in (torch.nan, torch.inf, -torch.inf):
        x = torch.ones(1, 96)
        x[0, 40] = bad
        kept = reference.dequantize_mxfp8(*reference.quantize_mxfp8(x))
        assert kept[0, 32:64].isnan().all() and kept[0, :32].eq(1).all() and kept[0, 64:].eq(1).all()
        assert reference.dequantize_nvfp4(*reference.quantize_nvfp4(x)).isnan().all()
    assert reference.quantize_mxfp8(torch.zeros(0, 64))[0].shape == (0, 64)
    assert reference.quantize_nvfp4(torch.zeros(0, 64))[0].shape == (0, 32)
    with pytest.raises(ValueError, match="not a multiple of the block of 32"):
        reference.quantize_mxfp8(torch.zeros(1, 48))


def test_bits_are_torchao_s() -> None:
    """MXFP8 and NVFP4 equal torchao's bytes.  It lets no NVFP4 scale fall below 2^-6 and calls a zero block's byte 0; we follow
    the papers there, so those blocks are left out."""
    pytest.importorskip("torchao")
    from torchao.prototype.mx_formats.config import ScaleCalculationMode
    from torchao.prototype.mx_formats.mx_tensor import to_mx
    from torchao.prototype.mx_formats.nvfp4_tensor import nvfp4_quantize, per_tensor_amax_to_scale

    torch.manual_seed(1)
    steps = torch.exp2(torch.randint(-12, 12, (64, 256)).float())
    for x in (torch.randn(64, 256), torch.randn(64, 256).bfloat16(), steps * 448, torch.randn(64, 256) * steps[:, :1]):
        s, q = to_mx(x, torch.float8_e4m3fn, 32, ScaleCalculationMode.RCEIL)[:2]
        ours_q, ours_s = reference.quantize_mxfp8(x)
        assert torch.equal(s.view(torch.uint8).view(ours_s.shape), ours_s)
        assert torch.equal(q.view(torch.uint8).view(ours_q.shape), ours_q.view(torch.uint8))
        s, q = nvfp4_quantize(x, 16, per_tensor_amax_to_scale(x.float().abs().max()))[:2]
        packed, scales, _ = reference.quantize_nvfp4(x)
        normal = scales.float() > 2.0**-6
        assert normal.any()
        assert torch.equal(s.view(torch.uint8).view(scales.shape)[normal], scales.view(torch.uint8)[normal])
        assert torch.equal(q.view(torch.uint8).view(64, 16, 8)[normal], packed.view(64, 16, 8)[normal])


def test_casts_are_those_of_ml_dtypes() -> None:
    """e2m1 codes, and what torch does when it casts to e4m3, equal another library's over a dense range."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = torch.cat((torch.linspace(-7, 7, 100_001), torch.randn(50_000) * 2))
    code = reference._e2m1_code(x)
    ours = torch.tensor(reference.E2M1)[(code & 7).long()] * torch.where(code >= 8, -1.0, 1.0)
    assert ours.numpy().tolist() == x.numpy().astype(ml_dtypes.float4_e2m1fn).astype("float32").tolist()
    wide = torch.randn(100_000) * torch.exp2(torch.randint(-12, 7, (100_000,)).float())
    wide = wide.clamp(-448, 448)
    assert wide.to(torch.float8_e4m3fn).float().tolist() == wide.numpy().astype(ml_dtypes.float8_e4m3fn).astype("float32").tolist()


def test_grouped_products_are_products_by_expert() -> None:
    """Each row meets its own expert; one without rows has a zero gradient; no rows at all give none."""
    torch.manual_seed(2)
    x, w, dy = torch.randn(9, 5), torch.randn(4, 5, 3), torch.randn(9, 3)
    offsets, expert = torch.tensor([0, 4, 4, 9, 9]), [0] * 4 + [2] * 5
    wanted = torch.stack([row @ w[e] for row, e in zip(x, expert, strict=True)])
    torch.testing.assert_close(reference.grouped_mm(x, w, offsets), wanted)
    dw = reference.grouped_wgrad(x, dy, offsets)
    torch.testing.assert_close(dw[2], sum(torch.outer(x[at], dy[at]) for at in range(4, 9)))
    assert not dw[1].any() and not dw[3].any()
    assert reference.grouped_mm(x[:0], w, torch.zeros(5, dtype=torch.int64)).shape == (0, 3)


def test_attention_is_torch_s() -> None:
    """Without window and sink it is torch's own causal attention; a sink of minus infinity changes nothing; a window of one
    returns the values; lse is the denominator's logarithm."""
    torch.manual_seed(3)
    q, k, v = torch.randn(2, 12, 3, 8), torch.randn(2, 12, 3, 8), torch.randn(2, 12, 3, 4)
    o, lse = reference.attention(q, k, v, 0.3)
    wanted = torch.nn.functional.scaled_dot_product_attention(*(t.transpose(1, 2) for t in (q, k, v)), is_causal=True, scale=0.3)
    torch.testing.assert_close(o, wanted.transpose(1, 2))
    torch.testing.assert_close(reference.attention(q, k, v, 0.3, None, torch.full((3,), -torch.inf))[0], o)
    torch.testing.assert_close(reference.attention(q, k, v, 0.3, 1)[0], v)
    torch.testing.assert_close(lse[:, 0], (q[:, 0] * k[:, 0]).sum(-1) * 0.3)
    with_sink, _ = reference.attention(q, k, v, 0.3, None, torch.zeros(3))
    torch.testing.assert_close(with_sink, o * torch.sigmoid(lse)[..., None])


def test_gated_unit_s_gradient_is_autograd_s() -> None:
    """swiglu_backward gives what autograd gives for gate * W2(swiglu(x))."""
    torch.manual_seed(4)
    x, w2, gate = torch.randn(6, 10, requires_grad=True), torch.randn(5, 3), torch.rand(6, requires_grad=True)
    dout = torch.randn(6, 3)
    (gate[:, None] * (reference.swiglu(x) @ w2)).backward(dout)
    dx, gated, dgate = reference.swiglu_backward(x.detach(), dout @ w2.T, gate.detach())
    torch.testing.assert_close(dx, x.grad)
    torch.testing.assert_close(dgate, gate.grad)
    torch.testing.assert_close(gated, gate.detach()[:, None] * reference.swiglu(x.detach()))


def test_ops_have_the_reference_s_names() -> None:
    """What the reference defines, ops offers, with the same arguments, and on a CPU it is the reference."""
    import inspect

    for name in reference.__all__:
        assert list(inspect.signature(getattr(ops, name)).parameters) == list(
            inspect.signature(getattr(reference, name)).parameters
        )
    x, w = torch.randn(4, 8), torch.randn(2, 8, 8)
    assert torch.equal(ops.grouped_mm(x, w, torch.tensor([0, 1, 4])), reference.grouped_mm(x, w, torch.tensor([0, 1, 4])))


def test_an_operand_on_a_gpu_goes_to_the_kernel_of_that_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each operation that is chosen by where its first operand lies: the right file, all arguments."""
    pytest.importorskip("triton")
    from types import SimpleNamespace

    from nmoe.kernels import quant, rdep, scaled

    gpu = SimpleNamespace(is_cuda=True)
    names = ("quantize_mxfp8", "quantize_nvfp4", "swiglu", "swiglu_backward", "swiglu_quantize_mxfp8")
    for module, name in [*((quant, name) for name in names), (rdep, "combine"), (scaled, "scaled_grouped_mm")]:
        monkeypatch.setattr(module, name, lambda *given, name=name, **named: (name, given, named))
        more = () if name == "swiglu_quantize_mxfp8" else (1,)
        assert getattr(ops, name)(gpu, *more) == (name, (gpu, *more), {})
