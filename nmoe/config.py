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
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Config", "ConfigError"]


class ConfigError(ValueError):
    """A configuration is wrong.  `faults` holds every reason, each with its place."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


def _maths(default: Any) -> Any:
    """A field that changes what is computed: it enters the fingerprint that a resume must match."""
    return field(default=default, metadata={"maths": True})


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything a run needs to know.  Sizes are in elements, lengths in tokens, batch_size in sequences over all ranks."""

    preset: str = "custom"
    experiment_id: str = "default"
    target: str = "b200"

    vocab_size: int = _maths(201_088)
    eos_token_id: int = _maths(199_999)
    dim: int = _maths(2048)
    n_layers: int = _maths(12)
    n_heads: int = _maths(16)
    inter_dim: int = _maths(11_264)
    moe_inter_dim: int = _maths(1408)
    n_routed_experts: int = _maths(64)
    n_activated_experts: int = _maths(6)
    n_shared_experts: int = _maths(2)
    n_dense_layers: int = _maths(1)

    attn: str = _maths("mla")
    attn_local: str = _maths("swa")
    attn_global_every: int = _maths(1)
    attn_local_window: int = _maths(128)
    q_lora_rank: int = _maths(1536)
    kv_lora_rank: int = _maths(512)
    qk_nope_head_dim: int = _maths(128)
    qk_rope_head_dim: int = _maths(64)
    v_head_dim: int = _maths(128)
    rope_theta: float = _maths(50_000.0)
    max_position_embeddings: int = _maths(8192)
    rms_norm_eps: float = _maths(1e-5)

    router_bias_update_rate: float = _maths(1e-4)
    route_scale: float = _maths(1.0)
    norm_topk_prob: bool = _maths(True)
    mup_embed: float = _maths(1.0)
    mup_logits: float = _maths(1.0)

    dtype: str = _maths("bf16")
    bf16_last_layers: int = _maths(0)
    moments: str = _maths("fp32")
    frozen_experts: bool = _maths(False)
    frozen_dir: str = ""

    lr_dense: float = _maths(3.4e-4)
    lr_router: float = _maths(3.4e-4)
    lr_expert: float = _maths(3.4e-4)
    weight_decay: float = _maths(0.1)
    adam_beta1: float = _maths(0.9)
    adam_beta2: float = _maths(0.95)
    adam_beta2_expert: float = _maths(0.99)
    adam_eps: float = _maths(1e-8)
    warmup_steps: int = _maths(500)
    hold_tokens: int = _maths(10_000_000_000)
    decay_tokens: int = _maths(40_000_000_000)
    decay_floor: float = _maths(3e-5)

    batch_size: int = _maths(8)
    seq_len: int = _maths(4096)
    seed: int = _maths(42)

    # What a run does around the mathematics: a resumed run may differ in any of these.
    steps: int = 10_000
    log_every: int = 10
    checkpoint_dir: str = "checkpoints"
    checkpoint_every: int = 1000
    checkpoint_keep_last_n: int = 3
    resume: bool = True
    data_path: str = "data"
    metrics_dir: str = "metrics"
    experiments_db: str = ""
    timeout_s: int = 300

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
        env = os.environ if env is None else env
        files = [word for word in argv if not word.startswith("-")]
        if not files:
            raise ConfigError(["a configuration file is due: CONFIG.toml [--key=value ...]"])
        values, faults, places = _read(files[0], env)
        faults += [f"{word}: options are written --key=value, and one configuration file is enough" for word in files[1:]]
        for word in argv:
            if word.startswith("-"):
                _override(word, values, faults, places)
        return cls._made(values, faults, places)

    @classmethod
    def load(cls, path: str | Path, env: Mapping[str, str] | None = None, **overrides: Any) -> Config:
        """Read a file, with overrides given as Python values.

        Raises:
            ConfigError: with every fault.
        """
        values, faults, places = _read(str(path), os.environ if env is None else env)
        for name, value in overrides.items():
            values[name], places[name] = value, "override"
        return cls._made(values, faults, places)

    @classmethod
    def _made(cls, values: Mapping[str, Any], faults: list[str], places: Mapping[str, str]) -> Config:
        typed = {}
        kinds = {one.name: str(one.type) for one in dataclasses.fields(cls)}
        for name, value in values.items():
            where = places.get(name, "")
            if name not in kinds:
                faults.append(f"{where}: unknown key {name}{_hint(name, kinds)}")
                continue
            fitted = _fit(kinds[name], value)
            if fitted is None:
                faults.append(f"{where}: {name} must be {_WORDS[kinds[name]]}, not {value!r}")
            else:
                typed[name] = fitted
        if faults:
            raise ConfigError(faults)
        config = cls(**typed)
        if wrong := _check(config, places):
            raise ConfigError(wrong)
        return config


_WORDS = {"int": "a whole number", "float": "a finite number", "bool": "true or false", "str": "text"}


def _hint(name: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _fit(kind: str, value: Any) -> Any:
    """A value of the field's type, or None where it is of another."""
    if kind == "bool" or isinstance(value, bool):
        return value if kind == "bool" and isinstance(value, bool) else None
    if kind == "float":
        return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
    if kind == "int":
        return value if isinstance(value, int) else None
    return value if isinstance(value, str) else None


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


_VARIABLE = re.compile(r"\$\{([^}:]*)(?::-([^}]*))?\}")


def _expand(text: str, where: str, env: Mapping[str, str], faults: list[str]) -> str:
    def value(found: re.Match[str]) -> str:
        name, default = found[1], found[2]
        if not re.fullmatch(r"NMOE_[A-Z0-9_]+", name):
            faults.append(f"{where}: ${{{name}}} cannot be used here; only variables that begin with NMOE_ can")
            return ""
        if name in env:
            return env[name]
        if default is None:
            faults.append(f"{where}: ${{{name}}} is not set; export {name}=..., or write ${{{name}:-default}}")
            return ""
        return default

    return _VARIABLE.sub(value, text)


def _read(path: str, env: Mapping[str, str]) -> tuple[dict[str, Any], list[str], dict[str, str]]:
    """Values, faults and places of a file."""
    if not path.endswith(".toml"):
        raise ConfigError([f"{path}: a configuration is a TOML file"])
    try:
        text = Path(path).read_text("utf-8")
        data = tomllib.loads(text)
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        found = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
        where = f"{path}:{found[1]}:{found[2]}" if found else path
        raise ConfigError([f"{where}: no valid TOML: {str(error).split(' (at ')[0]}"]) from None
    lines: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        key = re.match(r"\s*\[?([A-Za-z0-9_\-]+)\]?\s*(=|$)", line)
        if key:
            lines.setdefault(key[1], f"{path}:{number}")
    faults: list[str] = []
    places = {name: lines.get(name, path) for name in data}
    values = {name: _expand(value, places[name], env, faults) if isinstance(value, str) else value for name, value in data.items()}
    return values, faults, places


def _override(word: str, values: dict[str, Any], faults: list[str], places: dict[str, str]) -> None:
    kinds = {one.name: str(one.type) for one in dataclasses.fields(Config)}
    if word in ("--resume", "--no-resume"):
        values["resume"], places["resume"] = word == "--resume", word
        return
    name, equals, text = word.removeprefix("--").partition("=")
    if not word.startswith("--") or not equals:
        faults.append(f"{word}: options are written --key=value")
        return
    if name not in kinds:
        faults.append(f"{word}: unknown key {name}{_hint(name, kinds)}")
        return
    kind = kinds[name]
    try:
        value: Any = (
            {"int": int, "float": float, "str": str}[kind](text) if kind != "bool" else {"true": True, "false": False}[text]
        )
    except (ValueError, KeyError):
        faults.append(f"{word}: {name} must be {_WORDS[kind]}, not {text!r}")
        return
    values[name], places[name] = value, word


_POSITIVE = [
    "vocab_size",
    "dim",
    "n_layers",
    "n_heads",
    "inter_dim",
    "moe_inter_dim",
    "n_routed_experts",
    "n_activated_experts",
    "kv_lora_rank",
    "qk_nope_head_dim",
    "qk_rope_head_dim",
    "v_head_dim",
    "rope_theta",
    "max_position_embeddings",
    "rms_norm_eps",
    "adam_eps",
    "batch_size",
    "seq_len",
    "log_every",
    "checkpoint_every",
    "attn_global_every",
    "lr_dense",
    "lr_router",
    "lr_expert",
    "steps",
    "route_scale",
    "mup_embed",
    "mup_logits",
    "timeout_s",
]
_NOT_NEGATIVE = [
    "n_shared_experts",
    "n_dense_layers",
    "q_lora_rank",
    "router_bias_update_rate",
    "weight_decay",
    "warmup_steps",
    "hold_tokens",
    "decay_tokens",
    "decay_floor",
    "checkpoint_keep_last_n",
    "eos_token_id",
    "seed",
    "attn_local_window",
    "bf16_last_layers",
]
_CHOICES = {
    "target": ("b200", "sm90", "cpu"),
    "attn": ("mla",),
    "attn_local": ("swa",),
    "dtype": ("bf16", "fp8", "nvfp4"),
    "moments": ("fp32", "bf16"),
}


def _check(config: Config, places: Mapping[str, str]) -> list[str]:
    """Every way in which the values do not fit each other."""
    wrong: list[str] = []

    def say(name: str, text: str) -> None:
        wrong.append(f"{places.get(name, 'default')}: {name} = {getattr(config, name)!r} {text}")

    for name in _POSITIVE:
        if not getattr(config, name) > 0:
            say(name, "must be above zero")
    for name in _NOT_NEGATIVE:
        if getattr(config, name) < 0:
            say(name, "must not be negative")
    for name, choices in _CHOICES.items():
        if getattr(config, name) not in choices:
            say(name, f"is none of {', '.join(choices)}")
    for name in ("adam_beta1", "adam_beta2", "adam_beta2_expert"):
        if not 0 <= getattr(config, name) < 1:
            say(name, "must lie in [0, 1)")
    if wrong:
        return wrong
    if config.n_activated_experts > config.n_routed_experts:
        say("n_activated_experts", f"is more than the {config.n_routed_experts} routed experts")
    if config.n_dense_layers > config.n_layers:
        say("n_dense_layers", f"is more than the {config.n_layers} layers")
    if config.qk_rope_head_dim % 2:
        say("qk_rope_head_dim", "must be even: rotary pairs halves")
    if config.attn_global_every > 1 and config.attn_local_window < 1:
        say("attn_local_window", "must be above zero where there are local layers")
    if config.attn_global_every > 1 and config.v_head_dim < config.qk_rope_head_dim:
        say("v_head_dim", f"is below qk_rope_head_dim {config.qk_rope_head_dim}, which local heads rotate")
    if config.eos_token_id >= config.vocab_size:
        say("eos_token_id", f"is outside the vocabulary of {config.vocab_size}")
    if config.seq_len > config.max_position_embeddings:
        say("seq_len", f"is more than max_position_embeddings {config.max_position_embeddings}")
    if config.dtype != "bf16" and (config.dim % 32 or config.moe_inter_dim % 32):
        say("dtype", f"needs dim {config.dim} and moe_inter_dim {config.moe_inter_dim} in blocks of 32")
    if config.frozen_experts and not config.frozen_dir:
        say("frozen_experts", "needs frozen_dir")
    return wrong
