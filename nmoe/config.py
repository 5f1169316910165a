"""The configuration: one frozen dataclass, read from TOML, with overrides typed by the field that they set.

    python -m nmoe configs/tiny.toml --steps=20      prints what a run would use

Values come from the defaults below, then the file, then `--key=value`.  `${NMOE_X}` and `${NMOE_X:-default}` in the file's
texts stand for environment variables of that prefix and of no other.  Everything that is wrong is reported at once.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from .faults import ConfigError
from .given import Given, from_file, from_words

__all__ = ["Config", "ConfigError"]


class _Rule(NamedTuple):
    """What a value must be, and the words for one that is not."""

    holds: Callable[[Any], bool]
    words: str


_ANY = _Rule(lambda value: True, "")
_POSITIVE = _Rule(lambda value: value > 0, "must be above zero")
_NOT_NEGATIVE = _Rule(lambda value: value >= 0, "must not be negative")
_SHARE = _Rule(lambda value: 0 <= value < 1, "must lie in [0, 1)")


def _one_of(*choices: str) -> _Rule:
    return _Rule(lambda value: value in choices, f"is none of {', '.join(choices)}")


def _maths(default: Any, rule: _Rule = _ANY) -> Any:
    """A field that changes what is computed: it enters the fingerprint that a resume must match."""
    return field(default=default, metadata={"rule": rule, "maths": True})


def _run(default: Any, rule: _Rule) -> Any:
    """A field of what a run does around the mathematics: a resumed run may differ in it."""
    return field(default=default, metadata={"rule": rule})


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything a run needs to know.  Sizes are in elements, lengths in tokens, batch_size in sequences over all ranks."""

    preset: str = "custom"
    experiment_id: str = "default"
    target: str = _run("b200", _one_of("b200", "sm90", "cpu"))

    vocab_size: int = _maths(201_088, _POSITIVE)
    eos_token_id: int = _maths(199_999, _NOT_NEGATIVE)
    dim: int = _maths(2048, _POSITIVE)
    n_layers: int = _maths(12, _POSITIVE)
    n_heads: int = _maths(16, _POSITIVE)
    inter_dim: int = _maths(11_264, _POSITIVE)
    moe_inter_dim: int = _maths(1408, _POSITIVE)
    n_routed_experts: int = _maths(64, _POSITIVE)
    n_activated_experts: int = _maths(6, _POSITIVE)
    n_shared_experts: int = _maths(2, _NOT_NEGATIVE)
    n_dense_layers: int = _maths(1, _NOT_NEGATIVE)

    attn: str = _maths("mla", _one_of("mla"))
    attn_local: str = _maths("swa", _one_of("swa"))
    attn_global_every: int = _maths(1, _POSITIVE)
    attn_local_window: int = _maths(128, _NOT_NEGATIVE)
    q_lora_rank: int = _maths(1536, _NOT_NEGATIVE)
    kv_lora_rank: int = _maths(512, _POSITIVE)
    qk_nope_head_dim: int = _maths(128, _POSITIVE)
    qk_rope_head_dim: int = _maths(64, _POSITIVE)
    v_head_dim: int = _maths(128, _POSITIVE)
    rope_theta: float = _maths(50_000.0, _POSITIVE)
    max_position_embeddings: int = _maths(8192, _POSITIVE)
    rms_norm_eps: float = _maths(1e-5, _POSITIVE)

    router_bias_update_rate: float = _maths(1e-4, _NOT_NEGATIVE)
    route_scale: float = _maths(1.0, _POSITIVE)
    norm_topk_prob: bool = _maths(True)
    mup_embed: float = _maths(1.0, _POSITIVE)
    mup_logits: float = _maths(1.0, _POSITIVE)

    dtype: str = _maths("bf16", _one_of("bf16", "fp8", "nvfp4"))
    bf16_last_layers: int = _maths(0, _NOT_NEGATIVE)
    moments: str = _maths("fp32", _one_of("fp32", "bf16"))
    frozen_experts: bool = _maths(False)
    frozen_dir: str = ""

    lr_dense: float = _maths(3.4e-4, _POSITIVE)
    lr_router: float = _maths(3.4e-4, _POSITIVE)
    lr_expert: float = _maths(3.4e-4, _POSITIVE)
    weight_decay: float = _maths(0.1, _NOT_NEGATIVE)
    adam_beta1: float = _maths(0.9, _SHARE)
    adam_beta2: float = _maths(0.95, _SHARE)
    adam_beta2_expert: float = _maths(0.99, _SHARE)
    adam_eps: float = _maths(1e-8, _POSITIVE)
    warmup_steps: int = _maths(500, _NOT_NEGATIVE)
    hold_tokens: int = _maths(10_000_000_000, _NOT_NEGATIVE)
    decay_tokens: int = _maths(40_000_000_000, _NOT_NEGATIVE)
    decay_floor: float = _maths(3e-5, _NOT_NEGATIVE)

    batch_size: int = _maths(8, _POSITIVE)
    seq_len: int = _maths(4096, _POSITIVE)
    seed: int = _maths(42, _NOT_NEGATIVE)

    steps: int = _run(10_000, _POSITIVE)
    log_every: int = _run(10, _POSITIVE)
    checkpoint_dir: str = "checkpoints"
    checkpoint_every: int = _run(1000, _POSITIVE)
    checkpoint_keep_last_n: int = _run(3, _NOT_NEGATIVE)
    resume: bool = True
    data_path: str = "data"
    metrics_dir: str = "metrics"
    experiments_db: str = ""
    timeout_s: int = _run(300, _POSITIVE)

    # -- questions -----------------------------------------------------------------------------------------------------

    def is_global_layer(self, layer: int) -> bool:
        """True if a layer attends to everything: each `attn_global_every`-th one, and always the last."""
        return self.attn_global_every == 1 or (layer + 1) % self.attn_global_every == 0 or layer == self.n_layers - 1

    def is_moe_layer(self, layer: int) -> bool:
        return layer >= self.n_dense_layers

    def expert_format(self, layer: int) -> str:
        """What a layer's expert products are computed in: `dtype`, except in the last `bf16_last_layers` layers."""
        return "bf16" if layer >= self.n_layers - self.bf16_last_layers else self.dtype

    def parameter_count(self) -> tuple[int, int]:
        """Parameters in all, and those that one token uses; embeddings and the output head count in both."""
        d = self.dim
        total = active = 2 * self.vocab_size * d + d
        for layer in range(self.n_layers):
            shared = self._attention_parameters(layer) + 2 * d
            if not self.is_moe_layer(layer):
                total += shared + 3 * d * self.inter_dim
                active += shared + 3 * d * self.inter_dim
                continue
            expert = 3 * d * self.moe_inter_dim
            fixed = shared + self.n_shared_experts * expert + self.n_routed_experts * d
            total += fixed + self.n_routed_experts * expert
            active += fixed + self.n_activated_experts * expert
        return total, active

    def _attention_parameters(self, layer: int) -> int:
        d, heads, value = self.dim, self.n_heads, self.v_head_dim
        if not self.is_global_layer(layer):
            return 3 * d * heads * value + heads * value * d + heads  # q, k, v; o; one sink a head
        query_out = heads * (self.qk_nope_head_dim + self.qk_rope_head_dim)
        rank = self.q_lora_rank
        query = d * rank + rank + rank * query_out if rank else d * query_out
        latent = d * (self.kv_lora_rank + self.qk_rope_head_dim) + self.kv_lora_rank
        return query + latent + self.kv_lora_rank * heads * (self.qk_nope_head_dim + value) + heads * value * d

    def flops_per_token(self) -> float:
        """Of one training step: 6 a parameter that is used (the embedding is looked up, not multiplied), and attention.

        A query sees half of a sequence on average, or its window.
        """
        _, active = self.parameter_count()
        scores = 0.0
        for layer in range(self.n_layers):
            if self.is_global_layer(layer):
                scores += (self.qk_nope_head_dim + self.qk_rope_head_dim + self.v_head_dim) * self.seq_len / 2
            else:
                scores += 2 * self.v_head_dim * min(self.seq_len / 2, self.attn_local_window)
        return 6 * (active - self.vocab_size * self.dim) + 6 * self.n_heads * scores

    def maths(self) -> dict[str, Any]:
        """Every key that changes the mathematics."""
        return {one.name: getattr(self, one.name) for one in dataclasses.fields(self) if one.metadata.get("maths")}

    def fingerprint(self) -> str:
        """SHA-256, in hex, of `maths()`; a checkpoint resumes only under its own."""
        return hashlib.sha256(json.dumps(self.maths(), sort_keys=True).encode()).hexdigest()

    def to_toml(self) -> str:
        """The configuration as a TOML file that reads back as itself."""
        return "".join(f"{one.name} = {_toml(getattr(self, one.name))}\n" for one in dataclasses.fields(self))

    # -- reading -------------------------------------------------------------------------------------------------------

    @classmethod
    def from_args(cls, argv: Sequence[str], env: Mapping[str, str] | None = None) -> Config:
        """Read `CONFIG.toml [--key=value ...] [--resume|--no-resume]`.

        Raises:
            ConfigError: with every fault of the file and of the command line.
        """
        faults: list[str] = []
        given = from_words(argv, _KINDS, os.environ if env is None else env, faults)
        return cls._made(given, faults)

    @classmethod
    def load(cls, path: str | Path, env: Mapping[str, str] | None = None, **overrides: Any) -> Config:
        """Read a file, with overrides given as Python values.

        Raises:
            ConfigError: with every fault.
        """
        faults: list[str] = []
        given = from_file(str(path), os.environ if env is None else env, faults)
        return cls._made(given | {name: (value, "override") for name, value in overrides.items()}, faults)

    @classmethod
    def _made(cls, given: Given, faults: list[str]) -> Config:
        typed = {}
        for name, (value, where) in given.items():
            if name not in _KINDS:
                near = difflib.get_close_matches(name, _KINDS, n=1)
                faults.append(f"{where}: unknown key {name}{f'; did you mean {near[0]}?' if near else ''}")
            elif (fitted := _fit(_KINDS[name], value)) is None:
                faults.append(f"{where}: {name} must be {_WORDS[_KINDS[name]]}, not {value!r}")
            else:
                typed[name] = fitted
        if faults:
            raise ConfigError(faults)
        config = cls(**typed)
        if wrong := _check(config):
            places = {name: where for name, (_, where) in given.items()}
            raise ConfigError(
                [f"{places.get(name, 'default')}: {name} = {getattr(config, name)!r} {words}" for name, words in wrong]
            )
        return config


_KINDS = {one.name: str(one.type) for one in dataclasses.fields(Config)}
_WORDS = {"int": "a whole number", "float": "a finite number", "bool": "true or false", "str": "text"}


def _fit(kind: str, value: Any) -> Any:
    """A value of the field's type, or None where it is of another."""
    if kind == "bool" or isinstance(value, bool):
        return value if kind == "bool" and isinstance(value, bool) else None
    if kind == "float":
        return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
    return value if isinstance(value, int if kind == "int" else str) else None


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _check(c: Config) -> list[tuple[str, str]]:
    """Every key whose value cannot be, and why; only if each is fine alone, how they do not fit each other."""
    rules = {one.name: one.metadata["rule"] for one in dataclasses.fields(c) if one.metadata}
    wrong = [(name, rule.words) for name, rule in rules.items() if not rule.holds(getattr(c, name))]
    local, rope, routed = c.attn_global_every > 1, c.qk_rope_head_dim, c.n_routed_experts
    together = (
        (c.n_activated_experts > routed, "n_activated_experts", f"is more than the {routed} routed experts"),
        (c.n_dense_layers > c.n_layers, "n_dense_layers", f"is more than the {c.n_layers} layers"),
        (rope % 2, "qk_rope_head_dim", "must be even: rotary pairs halves"),
        (local and c.attn_local_window < 1, "attn_local_window", "must be above zero where there are local layers"),
        (local and c.v_head_dim < rope, "v_head_dim", f"is below qk_rope_head_dim {rope}, which local heads rotate"),
        (c.eos_token_id >= c.vocab_size, "eos_token_id", f"is outside the vocabulary of {c.vocab_size}"),
        (c.seq_len > c.max_position_embeddings, "seq_len", f"is more than max_position_embeddings {c.max_position_embeddings}"),
        (
            c.dtype != "bf16" and (c.dim % 32 or c.moe_inter_dim % 32),
            "dtype",
            f"needs dim {c.dim} and moe_inter_dim {c.moe_inter_dim} in blocks of 32",
        ),
        (c.frozen_experts and not c.frozen_dir, "frozen_experts", "needs frozen_dir"),
    )
    return wrong or [(name, words) for refused, name, words in together if refused]
