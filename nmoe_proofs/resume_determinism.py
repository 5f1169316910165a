"""A run that is saved and resumed is the run that was not, to the last bit: losses, weights, masters, moments, biases.

    torchrun --nproc_per_node=8 -m nmoe_proofs.resume_determinism CONFIG.toml --steps=10 [--key=value ...]

Takes the command line of `nmoe.train`; the checkpoint is written after half of the steps.  Both runs begin from nothing but the
configuration, the data and, for the second, the checkpoint.
"""

from __future__ import annotations

import gc
import hashlib
import sys
from collections.abc import Sequence

import torch
from torch import Tensor

from nmoe.checkpoint import newest, remove
from nmoe.config import Config
from nmoe.data import Stream
from nmoe.parallel import Ranks
from nmoe.train import launch
from nmoe.trainer import Trainer

__all__ = ["main", "prove"]


def main(argv: Sequence[str]) -> int:
    return launch([*argv, "--no-resume"], prove)


def prove(config: Config, ranks: Ranks, stream: Stream, frozen: str) -> int:
    half = config.steps // 2
    if half < 1:
        sys.stderr.write("nmoe: --steps must be at least 2: one before the checkpoint and one after it\n")
        return 2
    if ranks.rank == 0:
        remove(config.checkpoint_dir)
    ranks.barrier()

    straight = Trainer(config, ranks, stream, frozen)
    losses = [straight.train_step().loss for _ in range(half)]
    straight.save(config.checkpoint_dir, keep=1)
    middle = digests(straight)
    losses += [straight.train_step().loss for _ in range(config.steps - half)]
    end = digests(straight)
    del straight
    gc.collect()
    if ranks.device.type == "cuda":
        torch.cuda.empty_cache()

    found, notes = newest(config.checkpoint_dir, ranks)
    if found is None or found.step != half:
        sys.stderr.write(f"nmoe: no whole checkpoint of step {half} was left{''.join(f'; {note}' for note in notes)}\n")
        return 1
    second = Trainer(config, ranks, stream, frozen)
    second.resume(found)
    wrong = [f"after loading, {name}" for name in differing(middle, digests(second))]
    again = [second.train_step().loss for _ in range(config.steps - half)]
    wrong += [
        f"the loss of step {half + at + 1}" for at, pair in enumerate(zip(losses[half:], again, strict=True)) if pair[0] != pair[1]
    ]
    wrong += [f"after step {config.steps}, {name}" for name in differing(end, digests(second))]
    if not differing(middle, end):
        wrong.append("nothing: no tensor moved, so nothing was proven")

    everywhere = [f"rank {rank}: {line}" for rank, lines in enumerate(ranks.objects(wrong)) for line in lines]
    if ranks.rank == 0:
        for line in everywhere[:20]:
            sys.stderr.write(f"nmoe: differs: {line}\n")
        if not everywhere:
            sys.stdout.write(
                f"resume_determinism: {len(end)} tensors a rank and {len(losses)} losses on {ranks.world} ranks are bitwise equal; "
                f"saved at step {half} of {config.steps}; loss {losses[0]:.6f} -> {losses[-1]:.6f}\n"
            )
    return 1 if everywhere else 0


def digests(trainer: Trainer) -> dict[str, str]:
    """sha256 of the bytes of every tensor that a resume must bring back, and of the two counters."""
    found = {name: _digest(tensor) for name, tensor in trainer.state()}
    return {**found, "step": str(trainer.step), "tokens": str(trainer.tokens)}


def _digest(tensor: Tensor) -> str:
    flat = tensor.detach().contiguous().flatten().cpu()
    return hashlib.sha256(memoryview(flat.view(torch.uint8).numpy())).hexdigest()


def differing(one: dict[str, str], two: dict[str, str]) -> list[str]:
    return sorted(name for name in one.keys() | two.keys() if one.get(name) != two.get(name))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
