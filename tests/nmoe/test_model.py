"""The model's mathematics, against transformers' DeepSeek-V3, against plain softmax, and against itself."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="the trainer needs torch: pip install 'nmoe-graph[train]'")

import torch.nn.functional as F  # noqa: E402

NAMES = {
    "attn.wq_a.weight": "self_attn.q_a_proj.weight",
    "attn.wq_b.weight": "self_attn.q_b_proj.weight",
    "attn.q_norm.weight": "self_attn.q_a_layernorm.weight",
    "attn.wkv_a.weight": "self_attn.kv_a_proj_with_mqa.weight",
    "attn.wkv_b.weight": "self_attn.kv_b_proj.weight",
    "attn.kv_norm.weight": "self_attn.kv_a_layernorm.weight",
    "attn.wo.weight": "self_attn.o_proj.weight",
    "attn_norm.weight": "input_layernorm.weight",
    "ffn_norm.weight": "post_attention_layernorm.weight",
    "ffn.w1.weight": "mlp.gate_proj.weight",
    "ffn.w3.weight": "mlp.up_proj.weight",
    "ffn.w2.weight": "mlp.down_proj.weight",
    "ffn.shared.w1.weight": "mlp.shared_experts.gate_proj.weight",
    "ffn.shared.w3.weight": "mlp.shared_experts.up_proj.weight",
    "ffn.shared.w2.weight": "mlp.shared_experts.down_proj.weight",
    "ffn.router.weight": "mlp.gate.weight",
    "ffn.router.bias_E": "mlp.gate.e_score_correction_bias",
    "ffn.experts.w13_LDF": "mlp.experts.gate_up_proj",
    "ffn.experts.w2_LFD": "mlp.experts.down_proj",
}


def theirs(name):
    """Our name of a tensor, and theirs."""
    outside = {"embedding.weight": "model.embed_tokens.weight", "norm.weight": "model.norm.weight", "head.weight": "lm_head.weight"}
    if name in outside:
        return outside[name]
    _, layer, rest = name.split(".", 2)
    if rest == "attn.wq_b.weight" and name not in outside and theirs.direct:
        return f"model.layers.{layer}.self_attn.q_proj.weight"
    return f"model.layers.{layer}.{NAMES[rest]}"


def turned(name, tensor):
    """Their experts are [E, out, in]."""
    return tensor.transpose(1, 2) if "_LDF" in name or "_LFD" in name else tensor


@pytest.mark.parametrize("q_lora", [48, 0], ids=["latent queries", "direct queries"])
def test_logits_loss_and_every_gradient_are_those_of_deepseek_v3(tiny, build, q_lora):
    """Same weights, same tokens: logits to 1e-5, gradients to 2e-5, at the epsilon that its inner norms are fixed to."""
    ds = pytest.importorskip("transformers.models.deepseek_v3", reason="transformers is the oracle here and is not installed")
    theirs.direct = not q_lora
    config = tiny(rms_norm_eps=1e-6, q_lora_rank=q_lora, batch_size=2, seq_len=64)
    model = build(config)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.1)
            else:
                parameter.add_(torch.randn_like(parameter) * 0.1)
        for _, moe in model.layers_of_experts():
            moe.router.bias_E.normal_(0, 0.1)
    other = ds.DeepseekV3ForCausalLM(
        ds.DeepseekV3Config(
            vocab_size=config.vocab_size, hidden_size=config.dim, intermediate_size=config.inter_dim,
            moe_intermediate_size=config.moe_inter_dim, num_hidden_layers=config.n_layers, num_attention_heads=config.n_heads,
            num_key_value_heads=config.n_heads, n_shared_experts=config.n_shared_experts, n_routed_experts=config.n_routed_experts,
            num_experts_per_tok=config.n_activated_experts, routed_scaling_factor=config.route_scale, q_lora_rank=q_lora or None,
            kv_lora_rank=config.kv_lora_rank, qk_rope_head_dim=config.qk_rope_head_dim, qk_nope_head_dim=config.qk_nope_head_dim,
            v_head_dim=config.v_head_dim, n_group=1, topk_group=1, first_k_dense_replace=1, norm_topk_prob=True,
            rope_interleave=False, rms_norm_eps=1e-6, rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
            attn_implementation="eager",
        )
    ).float()  # fmt: skip
    other.load_state_dict(
        {theirs(name): turned(name, tensor).contiguous() for name, tensor in model.state_dict().items()}, strict=True
    )
    tokens = torch.randint(0, config.vocab_size - 1, (2, 65))
    tokens[tokens == config.eos_token_id] = 1
    logits, expected = model.logits(tokens[:, :-1]), other(tokens[:, :-1]).logits
    assert (logits - expected).norm() / expected.norm() < 1e-5
    loss = model.loss(tokens[:, :-1], tokens[:, 1:], 128)
    reference = F.cross_entropy(expected.flatten(0, 1), tokens[:, 1:].flatten())
    assert abs(loss.item() - reference.item()) < 1e-5
    loss.backward()
    reference.backward()
    for name, parameter in model.named_parameters():
        grad = other.get_parameter(theirs(name)).grad
        error = (turned(name, parameter.grad) - grad).norm() / grad.norm()
        assert error < 2e-5, (name, error)


def test_local_attention_is_softmax_over_a_window_and_a_sink(tiny, build):
    """Written out position by position; with window >= length and no sink it is plain causal attention."""
    from nmoe.attention.swa import SWA

    torch.manual_seed(1)
    config = tiny(attn_global_every=2, attn_local_window=3)
    swa, table = SWA(config), build(config).table
    with torch.no_grad():
        for parameter in swa.parameters():
            parameter.normal_(0, 0.3)
    x = torch.randn(1, 7, config.dim)
    heads, width = config.n_heads, config.v_head_dim
    q, k, v = F.linear(x, swa.wqkv.weight).view(1, 7, 3, heads, width).unbind(2)
    q, k = swa._positioned(q, table), swa._positioned(k, table)
    rows = []
    for i in range(7):
        seen = [j for j in range(7) if 0 <= i - j < 3]
        parts = []
        for head in range(heads):
            logits = torch.stack([q[0, i, head] @ k[0, j, head] * width**-0.5 for j in seen] + [swa.sink_H[head]])
            weights = logits.softmax(0)[:-1]
            parts.append(sum(w * v[0, j, head] for w, j in zip(weights, seen, strict=True)))
        rows.append(torch.cat(parts))
    expected = F.linear(torch.stack(rows), swa.wo.weight)
    assert torch.allclose(swa(x, table)[0], expected, atol=1e-5)


def test_a_position_is_seen_by_nothing_before_it(tiny, build):
    """Changing the last token changes no earlier logits, global and local layers alike."""
    config = tiny(attn_global_every=2, attn_local_window=8, batch_size=1, seq_len=32)
    model = build(config)
    one = torch.randint(0, 256, (1, 32))
    two = one.clone()
    two[0, -1] += 1
    a, b = model.logits(one), model.logits(two)
    assert torch.allclose(a[:, :-1], b[:, :-1], atol=1e-5) and not torch.allclose(a[:, -1], b[:, -1], atol=1e-2)


def test_positions_enter_by_their_difference(tiny):
    """Rotating both by the same shift leaves every product as it was."""
    from nmoe.attention.rope import rotary_table, rotate

    table = rotary_table(64, 16, 50_000.0)
    q, k = torch.randn(1, 1, 2, 16), torch.randn(1, 1, 2, 16)

    def at(x, position):
        return rotate(x, table[:, position : position + 1])

    for shift in (1, 7, 40):
        moved = (at(q, 5 + shift) * at(k, 3 + shift)).sum(-1)
        assert torch.allclose(moved, (at(q, 5) * at(k, 3)).sum(-1), atol=1e-4)


# -- the router ------------------------------------------------------------------------------------------------------------------


def test_of_equal_scores_the_lower_expert_wins(tiny):
    """torch.topk would not promise that."""
    from nmoe.router import Router

    router = Router(tiny(n_routed_experts=64, n_activated_experts=6))
    with torch.no_grad():
        router.weight.zero_()
        router.bias_E.zero_()
    ids, weights = router(torch.randn(100, 128))
    assert torch.equal(ids, torch.arange(6).expand(100, 6))
    assert torch.allclose(weights, torch.full_like(weights, 2.446 / 6))
    assert router.counts_E.tolist() == [100] * 6 + [0] * 58


def test_bias_enters_the_choice_and_not_the_weights(tiny):
    """A bias brings an expert in; what it weighs comes from its score alone, and the sum is route_scale."""
    from nmoe.router import Router

    torch.manual_seed(0)
    router = Router(tiny())
    with torch.no_grad():
        router.weight.normal_(0, 0.1)
        router.bias_E.zero_()
        router.bias_E[3] = 10
    x = torch.randn(50, 128)
    ids, weights = router(x)
    assert (ids[:, 0] == 3).all() and torch.allclose(weights.sum(-1), torch.tensor(2.446))
    score = (x @ router.weight.T).sigmoid().gather(1, ids)
    assert torch.allclose(weights, score / score.sum(-1, keepdim=True) * 2.446)


def test_bias_rule_moves_towards_the_mean_and_keeps_its_sum(tiny):
    """Overloaded down, underloaded up, by the rate, centred; never beyond 16."""
    from nmoe.router import Router

    router = Router(tiny(router_bias_update_rate=0.5))
    with torch.no_grad():
        router.bias_E.zero_()
    router.update_bias(torch.tensor([9, 1, 2, 2, 2, 2, 2, 4]))  # mean 3: two above it, six below
    step = torch.tensor([-0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, -0.5])
    assert torch.allclose(router.bias_E, step - step.mean())
    assert abs(router.bias_E.sum()) < 1e-6
    for _ in range(100):
        router.update_bias(torch.tensor([9, 1, 2, 2, 2, 2, 2, 4]))
    assert router.bias_E.abs().max() == 16


# -- loss and start --------------------------------------------------------------------------------------------------------------


def test_chunked_loss_is_cross_entropy_whatever_the_chunk(tiny, build, monkeypatch):
    """Value and both gradients, ends of text not counted, against torch's own."""
    import nmoe.model as module

    config = tiny(batch_size=2, seq_len=32, mup_logits=0.5)
    tokens = torch.randint(0, 256, (2, 33))
    tokens[0, 5] = tokens[1, 20] = config.eos_token_id
    counted = int((tokens[:, 1:] != 256).sum())
    results = []
    for chunk in (4096, 7, 1):
        monkeypatch.setattr(module, "LOSS_CHUNK", chunk)
        model = build(config)
        loss = model.loss(tokens[:, :-1], tokens[:, 1:], counted)
        loss.backward()
        results.append((loss.detach(), model.head.weight.grad, model.embedding.weight.grad))
    model = build(config)
    plain = F.cross_entropy(model.logits(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten(), ignore_index=256)
    plain.backward()
    for loss, head, embedding in results:
        assert torch.allclose(loss, plain, atol=1e-5)
        assert torch.allclose(head, model.head.weight.grad, atol=1e-6)
        assert torch.allclose(embedding, model.embedding.weight.grad, atol=1e-4)


def test_start_depends_on_the_seed_and_on_no_order(tiny, build):
    """Twice the same; another seed differs in every drawn tensor; no two tensors begin alike."""
    one, two, other = (dict(build(tiny(seed=seed)).state_dict()) for seed in (1, 1, 2))
    drawn = [name for name, tensor in one.items() if tensor.dim() > 1]
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not any(torch.equal(one[name], other[name]) for name in drawn)
    firsts = [tuple(one[name].flatten()[:4].tolist()) for name in drawn]
    assert len(set(firsts)) == len(firsts)
    assert abs(one["blocks.1.ffn.shared.w1.weight"].std() - 0.02) < 0.001


def test_parameters_are_as_many_as_the_configuration_says(tiny, build):
    """Counted twice: from the tensors, and by arithmetic."""
    for config in (tiny(), tiny(attn_global_every=2), tiny(q_lora_rank=0, n_shared_experts=0)):
        assert sum(one.numel() for one in build(config).parameters()) == config.parameter_count()[0]
