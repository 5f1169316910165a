"""B200, or a clear refusal."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from nmoe.target import Target, TargetError, require


def machine(*capabilities: tuple[int, int]) -> Any:
    """A torch that sees these devices."""
    cuda = SimpleNamespace(
        is_available=lambda: bool(capabilities),
        device_count=lambda: len(capabilities),
        get_device_capability=lambda index: capabilities[index],
        get_device_name=lambda index: f"device of {capabilities[index]}",
    )
    return SimpleNamespace(cuda=cuda)


@pytest.mark.parametrize(
    ("name", "capability", "arch"), [("b200", (10, 0), "sm_100a"), ("sm90", (9, 0), "sm_90a")], ids=["b200", "sm90"]
)
def test_the_right_device_is_taken(name: str, capability: tuple[int, int], arch: str) -> None:
    """A device of the target's capability is the target, and kernels are compiled for it."""
    found = require(name, torch=machine(capability))
    assert (found.name, found.arch) == (name, arch) and found.device.startswith("cuda")


@pytest.mark.parametrize("capabilities", [(), ((9, 0),), ((10, 3),), ((12, 0),)], ids=str)
def test_everything_else_is_refused_in_one_line(capabilities: tuple[tuple[int, int], ...]) -> None:
    """B200 is 10.0 and nothing near it; the message says what was found and how to go on."""
    with pytest.raises(TargetError) as raised:
        require("b200", torch=machine(*capabilities))
    text = str(raised.value)
    assert "10.0" in text and "--target=" in text and "\n" not in text
    if capabilities:
        assert f"{capabilities[0][0]}.{capabilities[0][1]}" in text


def test_cpu_is_taken_only_by_name() -> None:
    """No target falls back to the CPU by itself."""
    assert require("cpu", torch=machine()) == Target("cpu", "cpu", "cpu")
    with pytest.raises(TargetError, match="no target"):
        require("tpu", torch=machine())
    with pytest.raises(TargetError, match="local rank 1"):
        require("b200", local_rank=1, torch=machine((10, 0)))
