"""The update, the schedule and the groups."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="the trainer needs torch: pip install 'nmoe-graph[train]'")

from nmoe.opt import Adam, learning_rate, parameter_groups  # noqa: E402
from nmoe.parallel import Ranks  # noqa: E402
from nmoe.zero2 import Zero2  # noqa: E402


def test_update_is_torchs_adamw(tiny):
    """Fifty steps in fp32, bit by bit close; the state is untouched by what is returned."""
    torch.manual_seed(0)
    start = torch.randn(300)
    config = tiny()
    adam = Adam(start, config, 0.95, 0.1)
    theirs = torch.nn.Parameter(start.clone())
    other = torch.optim.AdamW([theirs], lr=3e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
    for step in range(50):
        grad = torch.randn(300) * (1 + step)
        theirs.grad = grad.clone()
        other.step()
        assert torch.allclose(adam.update(grad, 3e-3, step), theirs, rtol=1e-5, atol=1e-6)
    assert torch.allclose(adam.m, other.state[theirs]["exp_avg"], rtol=1e-5)
    assert torch.allclose(adam.v, other.state[theirs]["exp_avg_sq"], rtol=1e-5)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_fused_step_is_the_formula(tiny, device):
    """What a GPU runs and what a CPU runs, from the same gradients; and it does move."""
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    torch.manual_seed(0)
    start, config = torch.randn(1000), tiny()
    plain, fused = Adam(start, config, 0.95, 0.1), Adam(start.to(device), config, 0.95, 0.1)
    for step in range(4):
        grad = torch.randn(1000) * 10.0**-step
        plain.update(grad, 1e-2, step)
        fused.step_fused(fused.master, fused.m, fused.v, grad.to(device), 1e-2, step)
    for name, wanted in plain.state().items():
        assert torch.allclose(fused.state()[name].cpu(), wanted, rtol=1e-5, atol=1e-7), name
    assert (plain.master - start).abs().min() > 1e-4


def test_moments_are_kept_in_what_was_chosen_and_the_master_in_fp32(tiny):
    """bf16 moments follow the fp32 ones closely, in half the room."""
    torch.manual_seed(0)
    adams = [Adam(torch.ones(100, dtype=torch.bfloat16), tiny(moments=kind), 0.95, 0.0) for kind in ("fp32", "bf16")]
    for step in range(20):
        grad = torch.randn(100) + 1
        for adam in adams:
            adam.update(grad, 1e-2, step)
    assert [adam.m.dtype for adam in adams] == [torch.float32, torch.bfloat16]
    assert all(adam.master.dtype == torch.float32 for adam in adams)
    assert (adams[0].master - adams[1].master).abs().max() < 5e-3


def test_small_rates_move_the_master_where_bf16_alone_would_stand_still(tiny):
    """A hundred steps of 3e-5 on a weight of 1: in bf16 each would round away."""
    adam = Adam(torch.ones(1, dtype=torch.bfloat16), tiny(), 0.95, 0.0)
    for step in range(300):
        adam.update(torch.ones(1), 3e-5, step)
    assert adam.master.to(torch.bfloat16).item() < 1.0
    assert (torch.ones(1, dtype=torch.bfloat16) - 3e-5).item() == 1.0


def test_schedule_warms_up_holds_decays_and_ends_at_the_floor(tiny):
    """By steps at first, by tokens then; the floor is absolute and never above the peak."""
    config = tiny(warmup_steps=10, hold_tokens=1000, decay_tokens=2000, decay_floor=1e-5)

    def rate(step, tokens, peak=1e-3):
        return learning_rate(config, peak, step, tokens)

    assert rate(0, 0) == pytest.approx(1e-5 + (1e-3 - 1e-5) / 10)
    assert rate(9, 500) == rate(10, 999) == rate(500, 0) == pytest.approx(1e-3)
    assert rate(20, 2000) == pytest.approx(1e-5 + (1e-3 - 1e-5) * 0.5 * (1 + math.cos(math.pi / 2)))
    assert rate(20, 3000) == rate(10**9, 10**12) == pytest.approx(1e-5)
    assert rate(20, 10**12, peak=1e-6) == 1e-6
    values = [rate(20, tokens) for tokens in range(1000, 3000, 50)]
    assert values == sorted(values, reverse=True)


def test_every_parameter_is_in_one_group(tiny, build):
    """Matrices decay; norms, sinks, embedding and head do not; router and experts stand apart."""
    config = tiny(attn_global_every=2, lr_router=1e-4, lr_expert=2e-4)
    model = build(config)
    groups = parameter_groups(model, config)
    names = [name for group in groups.values() for name, _ in group.parameters]
    assert sorted(names) == sorted(name for name, _ in model.named_parameters())
    where = {name: group for group in groups.values() for name, _ in group.parameters}
    assert {name for name, group in where.items() if group.name == "router"} == {f"blocks.{i}.ffn.router.weight" for i in (1, 2, 3)}
    assert where["blocks.1.ffn.experts.w13_LDF"].beta2 == 0.99 and where["blocks.1.ffn.experts.w13_LDF"].peak == 2e-4
    assert where["blocks.1.ffn.router.weight"].weight_decay == 0 and where["blocks.1.ffn.router.weight"].peak == 1e-4
    plain = {"embedding.weight", "head.weight", "norm.weight", "blocks.0.attn.sink_H", "blocks.1.attn.kv_norm.weight"}
    assert all(where[name].name == "dense_no_decay" and where[name].weight_decay == 0 for name in plain)
    assert where["blocks.1.ffn.shared.w1.weight"].name == where["blocks.1.attn.wo.weight"].name == "dense_decay"


def test_parameters_are_views_of_the_flat_buffer(tiny, build):
    """What the gather writes is what the model uses; gradients land in the flat buffer and are gone after the sum."""
    config = tiny()
    model = build(config)
    before = {name: one.detach().clone() for name, one in model.named_parameters()}
    group = parameter_groups(model, config)["dense_decay"]
    zero = Zero2(group, config, Ranks())
    assert all(torch.equal(one, before[name]) for name, one in group.parameters)
    tokens = torch.randint(0, 256, (8, 129))
    model.loss(tokens[:, :-1], tokens[:, 1:], 1024).backward()
    grads = torch.cat([one.grad.flatten() for _, one in group.parameters])
    expected = float(grads.double().square().sum())
    assert float(zero.reduce()) == pytest.approx(expected) and expected > 0
    assert torch.equal(zero._sum[: len(grads)], grads.float()) and not zero._grad.any()
    zero.update(0, 0)
    assert all(not torch.equal(one, before[name]) for name, one in group.parameters)
