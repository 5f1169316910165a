"""`python -m nmoe.bench_train CONFIG.toml [--key=value ...]`: tokens a second and utilisation of whole steps, on one device.

    python -m nmoe.bench_train configs/moonlet.toml --target=sm90 --n_layers=6 --dtype=bf16 --steps=12

The steps are the trainer's own: forward, backward, optimizer.  Tokens are random, nothing is saved, and the first two steps,
which compile, do not count.  One JSON object on stdout.  Utilisation is the model's arithmetic (`Config.flops_per_token`) over what
the device's maker gives for dense bf16; on a CPU it is null.

Exit status: 0 measured, 1 the machine is not the target, 2 the configuration is wrong or does not fit.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .config import Config, ConfigError
from .target import Target, prepare, require

if TYPE_CHECKING:
    from .data import Stream

__all__ = ["main", "measure"]

WARM = 2


def main(argv: Sequence[str]) -> int:
    try:
        config = Config.from_args(argv)
    except ConfigError as error:
        sys.stderr.write("".join(f"nmoe: {fault}\n" for fault in error.faults))
        return 2
    target = require(config.target)
    from .memory import available, plan_memory

    prepare(target)
    plan, room = plan_memory(config, 1, target.name == "cpu"), available(target, 1)
    sys.stderr.write(f"nmoe: {plan.line(room)}\n")
    if plan.total > room or config.steps <= WARM:
        sys.stderr.write(f"nmoe: it does not fit, or {config.steps} steps are not more than the {WARM} that do not count\n")
        return 2
    sys.stdout.write(json.dumps(measure(config, target), indent=2) + "\n")
    return 0


def measure(config: Config, target: Target) -> dict[str, object]:
    """Train `config.steps` steps on random tokens and time each."""
    import torch

    from .metrics import PEAKS
    from .parallel import Ranks
    from .trainer import Trainer

    device = torch.device(target.device)
    trainer = Trainer(config, Ranks(device=device), _random_tokens(config))
    seconds = []
    while trainer.step < config.steps:
        begin = time.monotonic()
        result = trainer.train_step()  # it reads the loss, and so waits for the device
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.monotonic() - begin)
    counted = sorted(seconds[WARM:])
    middle, peak = statistics.median(counted), PEAKS.get(target.arch)
    tokens = config.batch_size * config.seq_len
    tflops = tokens * config.flops_per_token() / middle / 1e12
    return {
        "schema": "nmoe/bench-train@1",
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "torch": torch.__version__,
        "fingerprint": config.fingerprint(),
        "steps": len(counted),
        "loss": result.loss,
        "ms_p50": round(1000 * middle, 2),
        "ms_least": round(1000 * counted[0], 2),
        "ms_most": round(1000 * counted[-1], 2),
        "tokens_per_s": round(tokens / middle, 1),
        "tflops": round(tflops, 3),
        "mfu": round(tflops / peak, 4) if peak else None,
        "memory_gib": round(torch.cuda.max_memory_allocated(device) / 2**30, 2) if device.type == "cuda" else None,
    }


def _random_tokens(config: Config) -> Stream:
    """Ten steps of tokens below eos, in memory; each is as likely as any other."""
    import numpy as np

    from .data import Stream

    count = 10 * config.batch_size * config.seq_len + 1
    tokens = np.random.default_rng(config.seed).integers(0, config.eos_token_id, count, dtype=np.uint32)
    return Stream(Path(), (tokens,), (0,), count, "random")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
