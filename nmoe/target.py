"""Where the trainer runs: on B200 (sm_100a), or nowhere, unless another target is asked for by name.

`--target=sm90` and `--target=cpu` exist for development and tests.  torch is imported when a target is required and not before.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

__all__ = ["CAPABILITIES", "Target", "TargetError", "Where", "prepare", "require", "where"]

#: target -> CUDA compute capability (major, minor)
CAPABILITIES = {"b200": (10, 0), "sm90": (9, 0)}


class TargetError(SystemExit):
    """The machine is not the target.  As a SystemExit it ends a program with one line and exit status 1."""


@dataclass(frozen=True)
class Target:
    """A target that this machine is.  `device` is a torch device string; `arch` what kernels are compiled for."""

    name: str
    device: str
    arch: str


def require(name: str, local_rank: int = 0, torch: Any = None) -> Target:
    """The target `name` on this machine.

    Raises:
        TargetError: the machine is something else; the message says what was found and what would be accepted.
    """
    if name not in (*CAPABILITIES, "cpu"):
        raise TargetError(f"nmoe: there is no target {name!r}; targets are {', '.join((*CAPABILITIES, 'cpu'))}")
    if torch is None:
        try:
            import torch  # type: ignore[no-redef]
        except ImportError:
            raise TargetError("nmoe: torch is not installed; pip install 'nmoe-graph[train]'") from None
    if name == "cpu":
        return Target("cpu", "cpu", "cpu")
    wanted = CAPABILITIES[name]
    if not torch.cuda.is_available():
        raise TargetError(
            f"nmoe: target {name} needs a CUDA device of compute capability {wanted[0]}.{wanted[1]}, and there is no CUDA device. "
            "To run without one on purpose, pass --target=cpu."
        )
    count = torch.cuda.device_count()
    if not 0 <= local_rank < count:
        raise TargetError(f"nmoe: local rank {local_rank} has no device of its own; this machine has {count}")
    found = tuple(torch.cuda.get_device_capability(local_rank))
    if found != wanted:
        other = next((key for key, value in CAPABILITIES.items() if value == found), "cpu")
        raise TargetError(
            f"nmoe: target {name} needs compute capability {wanted[0]}.{wanted[1]}, and device {local_rank} "
            f"({torch.cuda.get_device_name(local_rank)}) has {found[0]}.{found[1]}. To run here on purpose, pass --target={other}."
        )
    return Target(name, f"cuda:{local_rank}", f"sm_{wanted[0]}{wanted[1]}a")


@dataclass(frozen=True)
class Where:
    """One rank's place among the ranks of a run, `local_` among those of its machine."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    local_world: int = 1


def where() -> Where:
    """As torchrun puts it into the environment; without it there is one rank."""
    world = os.environ.get("WORLD_SIZE", "1")
    said = (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"), ("LOCAL_WORLD_SIZE", world))
    return Where(*(int(os.environ.get(name, default)) for name, default in said))


def prepare(target: Target) -> None:
    """Make torch repeat itself: algorithms that are deterministic, one thread on a CPU unless OMP_NUM_THREADS says more.

    Call it before anything runs on the device.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    import torch

    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if target.name == "cpu":
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
        return
    torch.cuda.set_device(torch.device(target.device))
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
