"""The trainer's configuration: TOML in, one frozen value out, every fault named."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from nmoe.config import Config, ConfigError

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
PRESETS = {"moonlet": (7.36e9, 1.84e9), "moonlight": (16.16e9, 3.11e9), "tiny": (1.16e6, None)}


@pytest.mark.parametrize("name", PRESETS)
def test_presets_have_the_size_that_they_claim(name: str) -> None:
    """Parameters, all and active, to half a per cent of the published size."""
    total, active = Config.load(CONFIGS / f"{name}.toml", env={}).parameter_count()
    assert total == pytest.approx(PRESETS[name][0], rel=0.005)
    if PRESETS[name][1]:
        assert active == pytest.approx(PRESETS[name][1], rel=0.005)


@pytest.mark.parametrize("name", PRESETS)
def test_what_is_printed_reads_back(name: str, tmp_path: Path) -> None:
    """A configuration's TOML is that configuration."""
    config = Config.load(CONFIGS / f"{name}.toml", env={})
    (tmp_path / "again.toml").write_text(config.to_toml())
    again = Config.load(tmp_path / "again.toml", env={})
    assert again == config and again.fingerprint() == config.fingerprint()


def test_overrides_have_the_type_of_their_field() -> None:
    """`--steps=10` is a number, `--no-resume` a truth value; a wrong one is refused by name."""
    config = Config.from_args([str(CONFIGS / "tiny.toml"), "--steps=10", "--no-resume", "--lr_dense=1e-4"], env={})
    assert (config.steps, config.resume, config.lr_dense) == (10, False, 1e-4)
    with pytest.raises(ConfigError, match="steps"):
        Config.from_args([str(CONFIGS / "tiny.toml"), "--steps=ten"], env={})


def test_unknown_keys_are_errors_with_a_hint(tmp_path: Path) -> None:
    """Nothing is ignored: neither in the file nor on the command line."""
    path = tmp_path / "x.toml"
    path.write_text((CONFIGS / "tiny.toml").read_text() + "\nn_layer = 3\n")
    with pytest.raises(ConfigError, match=r"n_layer.*n_layers"):
        Config.load(path, env={})
    with pytest.raises(ConfigError, match="step"):
        Config.from_args([str(CONFIGS / "tiny.toml"), "--step=3"], env={})


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    """Two wrong values are two faults."""
    path = tmp_path / "x.toml"
    path.write_text(
        (CONFIGS / "tiny.toml").read_text().replace("dim = 128", 'dim = "wide"', 1).replace("steps = 120", "steps = -1")
    )
    with pytest.raises(ConfigError) as raised:
        Config.load(path, env={})
    assert any("dim" in fault for fault in raised.value.faults)


def test_places_come_from_the_environment() -> None:
    """`${NAME:-default}` takes the variable, or what stands behind the dash."""
    assert Config.load(CONFIGS / "tiny.toml", env={}).data_path == "data"
    assert Config.load(CONFIGS / "tiny.toml", env={"NMOE_DATA_PATH": "/d"}).data_path == "/d"


def test_a_configuration_is_frozen_and_named_by_its_mathematics() -> None:
    """Where data lies changes no fingerprint; a learning rate does."""
    config = Config.load(CONFIGS / "tiny.toml", env={})
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.dim = 3  # type: ignore[misc]
    assert dataclasses.replace(config, data_path="elsewhere").fingerprint() == config.fingerprint()
    assert dataclasses.replace(config, lr_dense=1.0).fingerprint() != config.fingerprint()


def test_command_line_prints_or_refuses() -> None:
    """`python -m nmoe CONFIG` prints; a missing file is exit 2 and one line."""
    good = subprocess.run([sys.executable, "-m", "nmoe", str(CONFIGS / "tiny.toml")], capture_output=True, text=True)
    assert good.returncode == 0 and "dim = 128" in good.stdout
    bad = subprocess.run([sys.executable, "-m", "nmoe", "missing.toml"], capture_output=True, text=True)
    assert bad.returncode == 2 and bad.stderr.count("\n") == 1 and "missing.toml" in bad.stderr
