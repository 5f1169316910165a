"""The Mixture-of-Experts layer: route, send rows to their experts, multiply, bring them back, add.

y = sum over the K chosen experts of g_k * W2(silu(W1 x) * (W3 x)), plus one shared gated unit for every token.  Forward products
run in bf16, fp8 or nvfp4 (`nmoe.formats`); the backward is bf16 and straight through: it differentiates the product as if
nothing had been rounded.  Frozen experts have only their quantised weights; the gradient passes through them and changes nothing.

Shape suffixes: T tokens, D model width, E experts of all ranks, L experts of this rank, K experts a token, F an expert's inner
width (h has 2F columns), R rows that came to this rank, sorted by expert.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from . import ops
from .config import Config
from .formats import Parts, dequantise_weight, experts_layout, gated_product, product, quantise_weight
from .layers import SwiGLU
from .rdep import Rdep
from .router import Router

__all__ = ["Experts", "FrozenExperts", "MoE", "Routed"]


class Experts(nn.Module):
    """The experts first .. first + L - 1, trained.  W1 and W3 lie side by side in w13."""

    def __init__(self, config: Config, fmt: str, first: int, count: int) -> None:
        super().__init__()
        self.format, self.first, self.count = fmt, first, count
        self.w13_LDF = nn.Parameter(torch.empty(count, config.dim, 2 * config.moe_inter_dim))
        self.w2_LFD = nn.Parameter(torch.empty(count, config.moe_inter_dim, config.dim))

    def weights(self) -> tuple[Tensor | None, Tensor | None]:
        """The parameters, for the gradient to find."""
        return self.w13_LDF, self.w2_LFD

    def parts(self) -> tuple[Parts, Parts]:
        """What the forward multiplies with."""
        return self._part(self.w13_LDF), self._part(self.w2_LFD)

    def _part(self, weight: Tensor) -> Parts:
        weight = weight.detach()
        return {"w": weight} if self.format == "bf16" else quantise_weight(weight, self.format)

    def straight(self) -> tuple[Tensor, Tensor]:
        """What the backward multiplies with."""
        return self.w13_LDF.detach(), self.w2_LFD.detach()


class FrozenExperts(nn.Module):
    """Experts that are not trained: only the quantised parts are held, `w13_q`, `w13_s` and so on, and no optimizer knows them."""

    def __init__(self, config: Config, fmt: str, first: int, count: int) -> None:
        super().__init__()
        self.format, self.first, self.count = fmt, first, count
        for name, (shape, dtype) in experts_layout(config, count, fmt).items():
            self.register_buffer(name, torch.empty(shape, dtype=dtype), persistent=False)

    def weights(self) -> tuple[Tensor | None, Tensor | None]:
        return None, None

    def parts(self) -> tuple[Parts, Parts]:
        held = [(*name.split("_", 1), buffer) for name, buffer in self.named_buffers()]
        one, two = ({part: buffer for which, part, buffer in held if which == weight} for weight in ("w13", "w2"))
        return one, two

    def straight(self) -> tuple[Tensor, Tensor]:
        one, two = (dequantise_weight(parts, self.format).to(torch.bfloat16) for parts in self.parts())
        return one, two


class MoE(nn.Module):
    """One layer.  `rdep` is shared by all layers: they take turns."""

    def __init__(self, config: Config, layer: int, rdep: Rdep) -> None:
        super().__init__()
        self.router = Router(config)
        kind = FrozenExperts if config.frozen_experts else Experts
        count = config.n_routed_experts // rdep.heap.world
        self.experts = kind(config, config.expert_format(layer), rdep.heap.rank * count, count)
        self.shared = SwiGLU(config.dim, config.n_shared_experts * config.moe_inter_dim) if config.n_shared_experts else None
        self._rdep = rdep

    def forward(self, x_BSD: Tensor) -> Tensor:
        x_TD = x_BSD.flatten(0, 1)
        ids_TK, gate_TK = self.router(x_TD)
        y_TD = Routed.apply(self._rdep, self.experts, x_TD, ids_TK, gate_TK, *self.experts.weights())
        if self.shared is not None:
            y_TD = y_TD + self.shared(x_TD)
        return y_TD.view_as(x_BSD)


class Routed(torch.autograd.Function):
    """Dispatch, experts and return as one step of autograd: everybody takes its five barriers, with or without rows.

    dgate needs no saved result: <dOut, W2^T a> = <dOut W2, a>, and the left factor of the right side is needed anyway.
    """

    @staticmethod
    def forward(
        ctx: Any,
        rdep: Rdep,
        experts: Experts | FrozenExperts,
        x_TD: Tensor,
        ids_TK: Tensor,
        gate_TK: Tensor,
        w13_LDF: Tensor | None,
        w2_LFD: Tensor | None,
    ) -> Tensor:
        plan = rdep.plan(ids_TK)
        x_RD, gate_R, origin_R = rdep.dispatch(plan, x_TD, gate_TK)
        w13, w2 = experts.parts()
        h_R2F = product(x_RD, w13, experts.format, plan.offsets_L1)
        y_RD = gated_product(h_R2F, w2, experts.format, plan.offsets_L1)
        y_TKD, _ = rdep.give_back(y_RD, origin_R)
        ctx.rdep, ctx.experts, ctx.plan = rdep, experts, plan
        ctx.save_for_backward(x_RD, gate_R, origin_R, h_R2F)
        return ops.combine(y_TKD, gate_TK, x_TD.dtype)

    @staticmethod
    def backward(ctx: Any, dout_TD: Tensor) -> tuple[Tensor | None, ...]:
        rdep, experts, plan = ctx.rdep, ctx.experts, ctx.plan
        x_RD, gate_R, origin_R, h_R2F = ctx.saved_tensors
        offsets = plan.offsets_L1
        w13, w2 = experts.straight()
        dout_RD = rdep.send(plan, dout_TD.contiguous())
        d_RF = ops.grouped_mm(dout_RD, w2.transpose(1, 2), offsets)
        dh_R2F, gated_RF, dgate_R = ops.swiglu_backward(h_R2F, d_RF, gate_R)
        dw13 = dw2 = None
        if ctx.needs_input_grad[5]:
            dw13 = ops.grouped_wgrad(x_RD, dh_R2F, offsets)
            dw2 = ops.grouped_wgrad(gated_RF, dout_RD, offsets)
        dx_RD = ops.grouped_mm(dh_R2F, w13.transpose(1, 2), offsets)
        dx_TKD, dgate_TK = rdep.give_back(dx_RD, origin_R, dgate_R)
        return None, None, ops.combine(dx_TKD, None, x_RD.dtype), None, dgate_TK, dw13, dw2
