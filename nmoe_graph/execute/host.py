"""What this machine can run: its GPUs and their architectures, asked of nvidia-smi once a process."""

from __future__ import annotations

import functools

__all__ = ["host_archs", "host_gpus"]

_ARCHS = {"10.0": "sm_100a", "9.0": "sm_90a"}


@functools.cache
def _query() -> tuple[tuple[str, str], ...]:
    """(index, compute capability) of every GPU; empty where there is no driver."""
    import shutil
    import subprocess

    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    try:
        done = subprocess.run(
            [program, "--query-gpu=index,compute_cap", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    rows = [line.split(",") for line in done.stdout.splitlines()] if done.returncode == 0 else []
    return tuple((row[0].strip(), row[1].strip()) for row in rows if len(row) == 2)


def host_gpus() -> tuple[str, ...]:
    """Indices of the GPUs of this machine."""
    return tuple(index for index, _ in _query())


def host_archs() -> frozenset[str]:
    """Architectures that every GPU here has, in the names that declarations use; empty without a GPU."""
    return frozenset(_ARCHS.get(capability, f"sm_{capability.replace('.', '')}") for _, capability in _query())
