"""What the host of a run was: enough to say which figures may be compared, and nothing that names a machine."""

from __future__ import annotations

import functools
import os
import platform
import re

from .host import IMAGE, host_gpus

__all__ = ["HOST_CLASS", "fingerprint"]

#: The variable in which whoever runs a machine says what sort of machine it is: b200-runner, laptop.
HOST_CLASS = "NMOE_GRAPH_HOST_CLASS"
_WORD = re.compile(r"[A-Za-z0-9_.+\-]{1,60}\Z", re.ASCII)


def fingerprint(gpus: int) -> tuple[tuple[str, str], ...]:
    """The facts, by name: operating system, processor, Python, image, class; of a gate with GPUs also those and their software."""
    found = {"os": platform.system().lower(), "arch": platform.machine(), "python": platform.python_version()}
    if image := os.environ.get(IMAGE, "").rpartition("@")[2]:
        found["image"] = image
    if _WORD.match(kind := os.environ.get(HOST_CLASS, "")):
        found["host_class"] = kind
    if gpus:
        found |= {"gpus": str(len(host_gpus())), **_gpu_facts(), **_torch()}
    return tuple(sorted(found.items()))


def _ask(args: list[str]) -> str:
    """What a program prints; nothing where it is not there or fails."""
    import subprocess

    try:
        done = subprocess.run(args, capture_output=True, text=True, errors="replace", timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


@functools.cache
def _gpu_facts() -> dict[str, str]:
    """Model, driver and the CUDA version of the driver.  Serial numbers and bus addresses are not asked for."""
    rows = [
        line.split(",") for line in _ask(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]).splitlines()
    ]
    names = sorted({row[0].strip() for row in rows if len(row) == 2})
    drivers = sorted({row[1].strip() for row in rows if len(row) == 2})
    cuda = re.search(r"CUDA Version\s*:\s*([0-9.]{1,20})", _ask(["nvidia-smi"]) if names else "")
    found = {"gpu": " + ".join(names), "driver": " + ".join(drivers), "cuda": cuda[1] if cuda else ""}
    return {name: text for name, text in found.items() if text}


@functools.cache
def _torch() -> dict[str, str]:
    """The torch that `python` finds, which need not be this interpreter; it is not imported."""
    code = "import importlib.metadata as m; print(m.version('torch'))"
    version = _ask(["python", "-c", code]).strip()
    return {"torch": version} if _WORD.match(version) else {}
