"""A model has learned something from order: its loss is below the entropy of the tokens' frequencies.

    python -m nmoe_proofs.learned DATA_DIR METRICS.jsonl [--steps=60]

The mean of the last ten logged losses must be below the unigram entropy of the data, every loss finite, and the last step the one
that is asked for.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from nmoe.data import Stream, read_index
from nmoe.faults import DataError, say

__all__ = ["main", "prove"]

LAST = 10


def prove(data: str, metrics: str, steps: int | None = None) -> list[str]:
    """What does not hold; nothing, if the model has learned."""
    records = [json.loads(line) for line in Path(metrics).read_text().splitlines()]
    losses = [record["loss"] for record in records]
    if len(losses) < LAST:
        return [f"{metrics}: {len(losses)} losses are too few; log every step"]
    if not all(math.isfinite(loss) for loss in losses):
        return [f"{metrics}: not every loss is finite"]
    wrong = []
    if steps is not None and records[-1]["step"] != steps:
        wrong.append(f"{metrics}: ends at step {records[-1]['step']}, not {steps}")
    entropy = Stream.open(
        data, vocab_size=1 << 32, eos_token_id=read_index(Path(data))[1]["eos_token_id"], seq_len=1
    ).unigram_entropy()
    mean = sum(losses[-LAST:]) / LAST
    if not mean < entropy:
        wrong.append(f"the mean of the last {LAST} losses, {mean:.4f}, is not below the unigram entropy {entropy:.4f}")
    else:
        sys.stdout.write(
            f"learned: {losses[0]:.4f} -> {mean:.4f} (mean of the last {LAST}), below the unigram entropy {entropy:.4f}\n"
        )
    return wrong


def main(argv: Sequence[str]) -> int:
    words = [word for word in argv if not word.startswith("--")]
    steps = [word.partition("=")[2] for word in argv if word.startswith("--steps=")]
    if len(words) != 2 or len(words) + len(steps) != len(argv) or not all(one.isdigit() for one in steps):
        sys.stderr.write("nmoe: python -m nmoe_proofs.learned DATA_DIR METRICS.jsonl [--steps=N]\n")
        return 2
    try:
        wrong = prove(words[0], words[1], int(steps[-1]) if steps else None)
    except (DataError, OSError, ValueError, KeyError) as error:
        return say(error)
    sys.stderr.write("".join(f"nmoe: {line}\n" for line in wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
