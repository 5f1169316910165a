"""N ranks compute what one rank computes, to the last bit, on the expert path: output, and gradients by x, gate and both weights.

    python -m nmoe_proofs.rdep_equivalence [--worlds=1,2,4,8] [--rounds=2] [--jitter=0.01] [--timeout_s=60]

Ranks are forked processes over a `Posix` heap and have no collective library at all.  Each compares its part with the whole,
computed by itself alone.  Routing is even, skewed (with experts that get nothing) and all to one place; `jitter` (seconds) makes
ranks late now and then, after a barrier, so that a missing one shows.
"""

from __future__ import annotations

import os
import random
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nmoe.config import Config
from nmoe.heap import Heap, Local, Posix
from nmoe.moe import Experts, Routed
from nmoe.rdep import Rdep, rdep_layout

__all__ = ["main", "prove"]

TOKENS, ACTIVE, DIM, INNER, EXPERTS = 256, 2, 64, 64, 8
ROUTINGS = ("even", "skewed", "one place")
#: dtype of rows and weights, and the format of the forward products
KINDS = ((torch.float32, "bf16"), (torch.bfloat16, "bf16"), (torch.bfloat16, "fp8"), (torch.bfloat16, "nvfp4"))
NAMES = ("out", "dx", "dgate", "dw13", "dw2")


@dataclass(frozen=True)
class Case:
    """All tokens' inputs of one round."""

    x: Tensor
    ids: Tensor
    gate: Tensor
    w13: Tensor
    w2: Tensor
    dout: Tensor
    fmt: str

    @classmethod
    def draw(cls, seed: int, routing: str, dtype: torch.dtype, fmt: str) -> Case:
        g = torch.Generator().manual_seed(seed)
        if routing == "one place":
            ids = torch.arange(ACTIVE).expand(TOKENS, ACTIVE).contiguous()
        else:
            shares = torch.ones(EXPERTS) if routing == "even" else torch.tensor([8.0, 4, 2, 1, 0.5, 0.5, 0, 0])
            ids = torch.multinomial(shares.expand(TOKENS, EXPERTS), ACTIVE, generator=g)
        shapes = ((TOKENS, DIM), (EXPERTS, DIM, 2 * INNER), (EXPERTS, INNER, DIM), (TOKENS, DIM))
        x, w13, w2, dout = (torch.randn(shape, generator=g) * scale for shape, scale in zip(shapes, (1, 0.1, 0.1, 1), strict=True))
        gate = torch.rand(TOKENS, ACTIVE, generator=g)
        return cls(x.to(dtype), ids, gate, w13.to(dtype), w2.to(dtype), dout.to(dtype), fmt)

    def run(self, rdep: Rdep) -> tuple[Tensor, ...]:
        """This rank's part, in the order of `NAMES`."""
        rank, world = rdep.heap.rank, rdep.heap.world
        tokens = slice(rank * TOKENS // world, (rank + 1) * TOKENS // world)
        owned = slice(rank * EXPERTS // world, (rank + 1) * EXPERTS // world)
        config = Config(target="cpu", dim=DIM, moe_inter_dim=INNER, n_routed_experts=EXPERTS, n_activated_experts=ACTIVE)
        experts = Experts(config, self.fmt, owned.start, EXPERTS // world)
        experts.w13_LDF.data, experts.w2_LFD.data = self.w13[owned].clone(), self.w2[owned].clone()
        x, gate = self.x[tokens].clone().requires_grad_(), self.gate[tokens].clone().requires_grad_()
        out = Routed.apply(rdep, experts, x, self.ids[tokens], gate, experts.w13_LDF, experts.w2_LFD)
        out.backward(self.dout[tokens])
        return out.detach(), x.grad, gate.grad, experts.w13_LDF.grad, experts.w2_LFD.grad

    @staticmethod
    def part(whole: tuple[Tensor, ...], rank: int, world: int) -> list[Tensor]:
        """What of the whole is a rank's."""
        sizes = (TOKENS, TOKENS, TOKENS, EXPERTS, EXPERTS)
        return [one[rank * n // world : (rank + 1) * n // world] for one, n in zip(whole, sizes, strict=True)]


class _Late(Heap):
    """A heap that half of the time is late for what comes after a barrier, be it reading or writing; each rank in its own way."""

    def __init__(self, heap: Heap, jitter: float) -> None:
        self._heap, self._jitter, self._fresh = heap, jitter, True
        self._random = random.Random(heap.rank)
        self.rank, self.world = heap.rank, heap.world

    def at(self, rank: int, name: str) -> Tensor:
        if self._fresh and self._random.random() < 0.5:
            time.sleep(self._jitter * (0.5 + self._random.random()))
        self._fresh = False
        return self._heap.at(rank, name)

    def barrier(self) -> None:
        self._heap.barrier()
        self._fresh = True


def _one_rank(rank: int, files: dict[torch.dtype, list[int]], rounds: int, jitter: float, timeout_s: float) -> int:
    world = len(next(iter(files.values())))
    heaps: dict[torch.dtype, Heap] = {
        dtype: _Late(Posix(rdep_layout(TOKENS // world, ACTIVE, DIM, EXPERTS, world, dtype), rank, opened, timeout_s), jitter)
        for dtype, opened in files.items()
    }
    wrong: list[str] = []
    for turn in range(rounds):
        for dtype, fmt in KINDS:
            for routing in ROUTINGS:
                case = Case.draw(7 + turn, routing, dtype, fmt)
                mine = case.run(Rdep(heaps[dtype], TOKENS // world, ACTIVE, EXPERTS))
                alone = Rdep(Local(rdep_layout(TOKENS, ACTIVE, DIM, EXPERTS, 1, dtype)), TOKENS, ACTIVE, EXPERTS)
                for name, a, b in zip(NAMES, mine, Case.part(case.run(alone), rank, world), strict=True):
                    if not torch.equal(a, b):
                        wrong.append(f"{name} ({dtype}, {fmt}, {routing})")
    for line in sorted(set(wrong)):
        sys.stderr.write(f"nmoe: world {world}, rank {rank}: {line} differs from one rank's\n")
    return 1 if wrong else 0


def prove(worlds: Sequence[int], rounds: int = 2, jitter: float = 0.0, timeout_s: float = 60.0) -> int:
    """0 if every rank of every world agrees, bit for bit."""
    failed = 0
    for world in worlds:
        start = time.monotonic()
        files = {dtype: [Posix.segment() for _ in range(world)] for dtype in {dtype for dtype, _ in KINDS}}
        children = []
        for rank in range(world):
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    torch.set_num_threads(1)
                    status = _one_rank(rank, files, rounds, jitter, timeout_s)
                except BaseException:  # noqa: BLE001 - a forked child must end here, whatever happened
                    traceback.print_exc()
                finally:
                    sys.stderr.flush()
                    os._exit(status)
            children.append(pid)
        bad = sum(os.waitpid(pid, 0)[1] != 0 for pid in children)
        for opened in files.values():
            for file in opened:
                os.close(file)
        failed += bad
        said = (
            f"{bad} ranks differ"
            if bad
            else f"bitwise equal in {len(NAMES)} tensors of {rounds * len(KINDS) * len(ROUTINGS)} cases"
        )
        sys.stdout.write(f"rdep_equivalence: world {world}: {said}, {time.monotonic() - start:.1f} s\n")
        sys.stdout.flush()
    return 1 if failed else 0


def main(argv: Sequence[str]) -> int:
    options = {"worlds": "1,2,4,8", "rounds": "2", "jitter": "0.01", "timeout_s": "60"}
    try:
        for word in argv:
            name, equals, value = word.removeprefix("--").partition("=")
            if not equals or name not in options:
                raise ValueError(f"{word}: the options are {', '.join(f'--{key}={one}' for key, one in options.items())}")
            options[name] = value
        worlds = [int(word) for word in options["worlds"].split(",")]
        if any(world < 1 or EXPERTS % world for world in worlds):
            raise ValueError(f"--worlds={options['worlds']}: each must divide {EXPERTS}")
        return prove(worlds, int(options["rounds"]), float(options["jitter"]), float(options["timeout_s"]))
    except ValueError as error:
        sys.stderr.write(f"nmoe: {error}\n")
        return 2


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
