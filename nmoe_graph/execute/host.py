"""What this machine is: its GPUs, asked of nvidia-smi once a process, the image it runs in, the versions it has."""

from __future__ import annotations

import functools
import os
import platform
from collections.abc import Iterable

from ..model import Toolchain

__all__ = ["IMAGE", "host_archs", "host_gpus", "lacking"]

#: The variable in which a container says which image it is, by digest; our runner image sets it.
IMAGE = "NMOE_GRAPH_IMAGE"

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


def _version(name: str) -> str | None:
    """The version of Python, or of an installed distribution; None where it is not here."""
    if name == "python":
        return platform.python_version()
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def lacking(tools: Iterable[Toolchain]) -> list[str]:
    """What the toolchains name and this machine is not, in words."""
    from packaging.specifiers import SpecifierSet

    found = []
    for tool in tools:
        here = os.environ.get(IMAGE, "")
        if tool.image and here.rpartition("@")[2] != tool.image.rpartition("@")[2]:
            found.append(f"image {tool.image}")
        for name, text in tool.versions:
            version = _version(name)
            if version is None or not SpecifierSet(text).contains(version, prereleases=True):
                found.append(f"{name} {text} ({version or 'not'} here)")
    return list(dict.fromkeys(found))
