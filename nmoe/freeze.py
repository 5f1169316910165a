"""Frozen experts: the routed experts of a checkpoint, quantised once, never trained again.

    python -m nmoe.freeze CONFIG.toml --dtype=nvfp4 --frozen_dir=OUT      from the newest checkpoint of --checkpoint_dir

A folder holds one `layer_NNN.safetensors` a layer of experts, with the parts of `w13` and `w2` for all experts (`nmoe.formats`),
and a `manifest.json`, written last, with the shapes and the sha256 of each file.  A run with `frozen_experts` loads it, keeps no
optimizer state for experts and computes no gradient for them; router, shared experts and everything dense are trained.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from .checkpoint import damaged_files, load_expert_weights, newest
from .config import Config
from .faults import CheckpointError, ConfigError, Fault, FrozenError, say
from .formats import experts_layout, quantise_weight
from .moe import FrozenExperts
from .whole import read_tensors, write_tensors, write_whole

if TYPE_CHECKING:
    from .model import Transformer
    from .parallel import Ranks

__all__ = ["check_frozen", "freeze", "load_frozen", "main"]

SCHEMA = "nmoe/frozen@1"
MANIFEST = "manifest.json"
_MODEL = ("dim", "moe_inter_dim", "n_routed_experts", "n_layers", "n_dense_layers")
_SHAPE = ("dtype", "bf16_last_layers", *_MODEL)


def freeze(config: Config, into: Path) -> Path:
    """Write `into` from the newest whole checkpoint of `config.checkpoint_dir`.

    Raises:
        CheckpointError: there is none, or it is of another model.
    """
    one, _ = newest(config.checkpoint_dir)
    if one is None:
        raise CheckpointError(f"{config.checkpoint_dir}: holds no whole checkpoint to freeze")
    maths = one.manifest["maths"]
    if differ := [key for key in _MODEL if maths.get(key) != getattr(config, key)]:
        raise CheckpointError(f"{one.folder}: is of another model: {', '.join(differ)} differ")
    if maths.get("frozen_experts"):
        raise CheckpointError(f"{one.folder}: its experts are frozen already; it holds no expert weights")
    into.mkdir(parents=True, exist_ok=True)
    (into / MANIFEST).unlink(missing_ok=True)
    files = {}
    for layer in range(config.n_dense_layers, config.n_layers):
        parts = {}
        for which, name in (("w13", "w13_LDF"), ("w2", "w2_LFD")):
            weight = load_expert_weights(one, f"blocks.{layer}.ffn.experts.{name}", config.n_routed_experts)
            for part, tensor in quantise_weight(weight, config.expert_format(layer)).items():
                parts[f"{which}_{part}"] = tensor
        files[_file(layer)] = write_tensors(into / _file(layer), parts)
    said = {"schema": SCHEMA, **{key: getattr(config, key) for key in _SHAPE}, "from_step": one.step, "files": files}
    write_whole(into / MANIFEST, json.dumps(said, indent=1, sort_keys=True) + "\n")
    return into


def _file(layer: int) -> str:
    return f"layer_{layer:03d}.safetensors"


def check_frozen(config: Config) -> str:
    """The digest of `frozen_dir`'s manifest; empty where nothing is frozen.

    Raises:
        FrozenError: the folder is missing, of another shape, or lacks a file.
    """
    if not config.frozen_experts:
        return ""
    path = Path(config.frozen_dir) / MANIFEST
    try:
        text = path.read_bytes()
        said = json.loads(text)
        if said["schema"] != SCHEMA:
            raise ValueError
    except OSError as error:
        raise FrozenError(f"{path}: cannot be read: {error.strerror}; python -m nmoe.freeze makes frozen experts") from None
    except (ValueError, KeyError, TypeError):
        raise FrozenError(f"{path}: is no manifest of {SCHEMA}") from None
    differ = [f"{key} = {said.get(key)!r}, not {getattr(config, key)!r}" for key in _SHAPE if said.get(key) != getattr(config, key)]
    if differ:
        raise FrozenError(f"{path}: frozen experts of another shape: {'; '.join(differ)}")
    for layer in range(config.n_dense_layers, config.n_layers):
        one = path.with_name(_file(layer))
        if one.name not in said["files"]:
            raise FrozenError(f"{path}: lists no {one.name}")
        layout = experts_layout(config, config.n_routed_experts, config.expert_format(layer))
        with read_tensors(one, FrozenError) as file:
            found = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
        if found != {name: list(shape) for name, (shape, _) in layout.items()}:
            raise FrozenError(f"{one}: holds tensors of another shape")
    return hashlib.sha256(text).hexdigest()


@torch.no_grad()
def load_frozen(config: Config, ranks: Ranks, model: Transformer) -> None:
    """Fill this rank's experts.  The ranks share the check of the files' bytes.

    Raises:
        FrozenError: a file is not what the manifest says.
    """
    folder = Path(config.frozen_dir)
    files = json.loads((folder / MANIFEST).read_bytes())["files"]
    if bad := damaged_files(folder, files, ranks):
        raise FrozenError(f"{folder}: {', '.join(bad)}: not what the manifest says")
    for layer, moe in model.layers_of_experts():
        experts = moe.experts
        assert isinstance(experts, FrozenExperts)
        with read_tensors(folder / _file(layer), FrozenError) as file:
            for name, buffer in experts.named_buffers():
                buffer.copy_(file.get_slice(name)[experts.first : experts.first + experts.count])


def main(argv: Sequence[str]) -> int:
    """Exit status 2, with a line, where nothing could be frozen."""
    try:
        config = Config.from_args(argv)
        if not config.frozen_dir:
            raise ConfigError(["--frozen_dir=OUT is due: where the frozen experts go"])
        into = freeze(config, Path(config.frozen_dir))
    except (Fault, OSError) as error:
        return say(error)
    sys.stdout.write(f"{into}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
