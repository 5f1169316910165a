"""Checkpoints: safetensors files and a manifest, which is written last and makes them count.

    iter_0000040/dense.safetensors         dense weights and router biases, by name          (rank 0)
    iter_0000040/zero_000.safetensors      one rank's shards of masters and moments          (each rank)
    iter_0000040/experts_000.safetensors   one rank's experts, by global expert id           (each rank)
    iter_0000040/manifest.json             step, tokens, fingerprint, sha256 of each file    (rank 0, last)

A folder without a manifest is no checkpoint, whatever is in it.  Nothing is a pickle.  A run of another number of ranks can
resume: experts are found by their id, shards by their place in the whole.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from .config import Config
from .faults import CheckpointError
from .opt import ExpertAdamW
from .parallel import Ranks
from .whole import damaged, flush, read_tensors, write_tensors, write_whole
from .zero2 import Zero2, shard_size

__all__ = [
    "Checkpoint", "checkpoints", "damaged_files", "expert_tensors", "load_expert_weights", "newest", "read_dense", "read_experts",
    "read_zero", "remove", "save", "zero_tensors",
]  # fmt: skip

MANIFEST = "manifest.json"
SCHEMA = "nmoe/checkpoint@1"
_KEYS = {"step", "world", "files", "maths", "fingerprint", "tokens", "frozen", "run"}


@dataclass(frozen=True)
class Checkpoint:
    folder: Path
    manifest: Mapping[str, Any]

    @property
    def step(self) -> int:
        return int(self.manifest["step"])

    @property
    def world(self) -> int:
        return int(self.manifest["world"])

    def fits(self, config: Config, frozen: str = "") -> None:
        """
        Raises:
            CheckpointError: it was made with other mathematics; the keys that differ are named.
        """
        made, now = self.manifest["maths"], config.maths()
        differ = [f"{key} = {made.get(key)!r}, not {value!r}" for key, value in now.items() if made.get(key) != value]
        if differ or self.manifest["fingerprint"] != config.fingerprint():
            raise CheckpointError(
                f"{self.folder}: was made with {'; '.join(differ) or 'another fingerprint'}; --no-resume starts anew"
            )
        if self.manifest["frozen"] != frozen:
            raise CheckpointError(f"{self.folder}: was made with other frozen experts; --no-resume starts anew")


def checkpoints(folder: str | Path) -> list[Checkpoint]:
    """All that have a manifest, the newest first."""
    found = []
    for path in Path(folder).glob("iter_*"):
        if not re.fullmatch(r"iter_\d{7,}", path.name):
            continue
        try:
            manifest = json.loads((path / MANIFEST).read_bytes())
            if manifest["schema"] == SCHEMA and manifest.keys() >= _KEYS:
                found.append(Checkpoint(path, manifest))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return sorted(found, key=lambda one: one.step, reverse=True)


def newest(folder: str | Path, ranks: Ranks | None = None) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint whose files are all intact, and a line for each newer one that is not.

    The ranks share the reading, and all come to the same answer.
    """
    ranks = ranks or Ranks()
    notes: list[str] = []
    for one in checkpoints(folder):
        bad = damaged_files(one.folder, one.manifest["files"], ranks)
        if not bad:
            return one, notes
        notes.append(f"{one.folder}: passed over, {', '.join(bad)} {'is' if len(bad) == 1 else 'are'} damaged")
    return None, notes


def damaged_files(folder: Path, digests: Mapping[str, str], ranks: Ranks) -> list[str]:
    """Names of files that are not what they should be.  The ranks share the reading, and all are told."""
    share = dict(sorted(digests.items())[ranks.rank :: ranks.world])
    return sorted(name for names in ranks.objects(damaged(folder, share)) for name in names)


def save(
    folder: str | Path,
    ranks: Ranks,
    manifest: Mapping[str, Any],
    tensors: Mapping[str, Mapping[str, Tensor]],
    keep: int,
) -> Path:
    """Write this rank's files; when all ranks have, rank 0 writes the manifest and removes all but the `keep` newest of this
    run (0: keep all).  `manifest["run"]` tells runs apart.

    A crash at any moment leaves either no manifest, or a whole checkpoint.

    Raises:
        CheckpointError: this rank cannot write, for want of room or of rights.
    """
    into = Path(folder) / f"iter_{manifest['step']:07d}"
    try:
        if ranks.rank == 0:
            shutil.rmtree(into, ignore_errors=True)
            into.mkdir(parents=True)
        ranks.barrier()
        every = ranks.objects(
            {f"{name}.safetensors": write_tensors(into / f"{name}.safetensors", held) for name, held in tensors.items()}
        )
        if ranks.rank == 0:
            files = {name: digest for one in every for name, digest in one.items()}
            said = {"schema": SCHEMA, **manifest, "world": ranks.world, "files": files}
            write_whole(into / MANIFEST, json.dumps(said, indent=1, sort_keys=True) + "\n")
            flush(into.parent)
            _purge(Path(folder), keep, manifest)
        ranks.barrier()
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"rank {ranks.rank}: {folder}: the checkpoint of step {manifest['step']} cannot be written: {error}"
        ) from None
    return into


def remove(folder: str | Path) -> None:
    """Remove every checkpoint, whole or not."""
    for one in checkpoints(folder):
        (one.folder / MANIFEST).unlink()
    for path in Path(folder).glob("iter_*"):
        shutil.rmtree(path)


def _purge(folder: Path, keep: int, latest: Mapping[str, Any]) -> None:
    """What is older than the `keep` newest goes, and what another run or a run before its resume left here, or a crash.

    The manifest goes first, so that no checkpoint is ever half there.
    """
    whole = checkpoints(folder)
    ours = [one for one in whole if one.manifest["run"] == latest["run"] and one.step <= latest["step"]]
    for one in whole:
        if one not in ours[: keep or None]:
            (one.folder / MANIFEST).unlink()
            shutil.rmtree(one.folder)
    for path in folder.glob("iter_*"):
        if not (path / MANIFEST).exists():
            shutil.rmtree(path)


# -- what is in the files ----------------------------------------------------------------------------------------------------------


def expert_tensors(experts: ExpertAdamW, first: int) -> dict[str, Tensor]:
    """This rank's experts, each under `name.expert.part`."""
    held = {}
    for name, weight in experts.group.parameters:
        for part, tensor in {"weight": weight, **experts.states[name].state()}.items():
            for at in range(len(tensor)):
                held[f"{name}.{first + at}.{part}"] = tensor[at].clone()
    return held


def zero_tensors(groups: Iterable[Zero2]) -> dict[str, Tensor]:
    return {f"{zero.group.name}.{part}": tensor for zero in groups for part, tensor in zero.adam.state().items()}


def read_dense(one: Checkpoint, into: Mapping[str, Tensor]) -> None:
    """Fill the dense weights and buffers.

    Raises:
        CheckpointError: the file holds other tensors.
    """
    with _opened(one, "dense.safetensors") as file:
        if set(file.keys()) != set(into):
            raise CheckpointError(f"{one.folder}: dense.safetensors holds other tensors than this model has")
        for name, tensor in into.items():
            tensor.copy_(file.get_tensor(name))


def read_experts(one: Checkpoint, experts: ExpertAdamW, first: int, total: int) -> None:
    """Fill this rank's experts from the files of whichever ranks had them."""
    each = total // one.world
    for owner in range(one.world):
        with _opened(one, f"experts_{owner:03d}.safetensors") as file:
            for name, weight in experts.group.parameters:
                for part, tensor in {"weight": weight.data, **experts.states[name].state()}.items():
                    for at in range(len(tensor)):
                        if (first + at) // each == owner:
                            tensor[at].copy_(file.get_tensor(f"{name}.{first + at}.{part}"))


def read_zero(one: Checkpoint, groups: Sequence[Zero2], rank: int) -> None:
    """Fill this rank's shards from the parts of the saved ones that overlap them."""
    for owner in range(one.world):
        with _opened(one, f"zero_{owner:03d}.safetensors") as file:
            for zero in groups:
                old = shard_size(zero.count, one.world)
                begin, saved = rank * zero.shard, owner * old
                low, high = max(begin, saved), min(begin + zero.shard, saved + old, zero.count)
                if low < high:
                    for part, tensor in zero.adam.state().items():
                        kept = file.get_slice(f"{zero.group.name}.{part}")
                        tensor[low - begin : high - begin].copy_(kept[low - saved : high - saved])


def _opened(one: Checkpoint, name: str) -> Any:
    return read_tensors(one.folder / name, CheckpointError)


def load_expert_weights(one: Checkpoint, name: str, total: int) -> Tensor:
    """One expert weight, [E, ...], put together from all ranks' files."""
    each = total // one.world
    parts = []
    for owner in range(one.world):
        with _opened(one, f"experts_{owner:03d}.safetensors") as file:
            parts += [file.get_tensor(f"{name}.{expert}.weight") for expert in range(owner * each, (owner + 1) * each)]
    return torch.stack(parts)
