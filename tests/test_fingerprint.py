"""What a result says of its host."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nmoe_graph.execute import fingerprint as room
from nmoe_graph.execute import host

SMI = """#!/bin/sh
case "$*" in
  *compute_cap*) printf '0, 10.0\\n1, 10.0\\n' ;;
  *name,driver_version*) printf 'NVIDIA B200, 580.65.06\\nNVIDIA B200, 580.65.06\\n' ;;
  "") printf '| NVIDIA-SMI 580.65.06    Driver Version: 580.65.06    CUDA Version: 13.0 |\\n' ;;
  *) exit 9 ;;
esac
"""


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is remembered from or for another test."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for name in (room.HOST_CLASS, host.IMAGE):
        monkeypatch.delenv(name, raising=False)
    for cached in (room._gpu_facts, room._torch, host._query):
        cached.cache_clear()
        monkeypatch.setattr(cached.__module__ + "." + cached.__name__, cached.__wrapped__)


def program(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


def test_a_gate_without_gpus_asks_no_program(tmp_path: Path) -> None:
    """Operating system, processor and Python are all that counts there."""
    program(tmp_path, "nvidia-smi", "#!/bin/sh\ntouch asked\n")
    assert [name for name, _ in room.fingerprint(0)] == ["arch", "os", "python"]
    assert not Path("asked").exists()


def test_gpus_and_their_software(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Model, count, driver, CUDA, the torch that `python` finds, the image and the class that were declared."""
    program(tmp_path, "nvidia-smi", SMI)
    program(tmp_path, "python", "#!/bin/sh\necho 2.13.0+cu130\n")
    monkeypatch.setenv(host.IMAGE, "ghcr.io/x/y@sha256:" + "a" * 64)
    monkeypatch.setenv(room.HOST_CLASS, "b200-runner")
    found = dict(room.fingerprint(2))
    assert {name: found[name] for name in ("gpu", "gpus", "driver", "cuda", "torch", "image", "host_class")} == {
        "gpu": "NVIDIA B200",
        "gpus": "2",
        "driver": "580.65.06",
        "cuda": "13.0",
        "torch": "2.13.0+cu130",
        "image": "sha256:" + "a" * 64,
        "host_class": "b200-runner",
    }


def test_what_cannot_be_known_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failing program, a python without torch, and a class that is no word."""
    program(tmp_path, "nvidia-smi", "#!/bin/sh\nexit 9\n")
    program(tmp_path, "python", "#!/bin/sh\necho Traceback; exit 1\n")
    monkeypatch.setenv(room.HOST_CLASS, "node 17; rm")
    assert [name for name, _ in room.fingerprint(1)] == ["arch", "gpus", "os", "python"]
