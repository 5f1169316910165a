"""The trainer's configuration: files, overrides, environment, presets."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from nmoe.config import Config
from nmoe.faults import ConfigError

ROOT = Path(__file__).resolve().parents[2]
PRESETS = ("tiny", "moonlet", "moonlight", "moonlight_frozen")


@pytest.fixture
def file(tmp_path: Path):  # type: ignore[no-untyped-def]
    """Write a configuration file and return its path."""

    def write(text: str) -> str:
        path = tmp_path / "some.toml"
        path.write_text(text, "utf-8")
        return str(path)

    return write


def faults(*args: str, env: dict[str, str] | None = None) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        Config.from_args(args, env or {})
    return caught.value.faults


# -- presets ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRESETS)
def test_preset_is_a_configuration_that_reads_back_as_itself(name: str, file) -> None:  # type: ignore[no-untyped-def]
    """Every preset of the repository parses; what it prints is a file with the same meaning and the same fingerprint."""
    config = Config.load(ROOT / f"configs/{name}.toml", env={})
    assert config.preset == name
    again = Config.load(file(config.to_toml()), env={})
    assert again == config and again.fingerprint() == config.fingerprint()


def test_parameter_count_of_tiny_is_the_sum_of_its_tensors() -> None:
    """Counted by hand, tensor by tensor: latent attention in every layer, one dense layer, three of experts."""
    attention = 128 * 48 + 48 + 48 * 4 * 48 + 128 * (32 + 16) + 32 + 32 * 4 * (32 + 32) + 4 * 32 * 128
    expert, norms, router = 3 * 128 * 64, 2 * 128, 8 * 128
    outside = 2 * 512 * 128 + 128
    every_token = outside + 4 * (attention + norms) + 3 * 128 * 256 + 3 * (router + 2 * expert)
    expected = every_token + 3 * 8 * expert, every_token + 3 * 2 * expert
    assert Config.load(ROOT / "configs/tiny.toml", env={}).parameter_count() == expected


@pytest.mark.parametrize(("name", "total", "active"), [("moonlet", 7.36, 1.84), ("moonlight", 16.16, 3.11)])
def test_parameter_count_of_the_large_presets(name: str, total: float, active: float) -> None:
    """In billions, embeddings and output head included."""
    counted = Config.load(ROOT / f"configs/{name}.toml", env={}).parameter_count()
    assert tuple(round(count / 1e9, 2) for count in counted) == (total, active)


def test_local_layers_have_fewer_parameters(file) -> None:  # type: ignore[no-untyped-def]
    """With `attn_global_every = 3` layers 3, 6, ... and the last are global, the others local."""
    config = Config.load(ROOT / "configs/tiny.toml", env={}, attn_global_every=3)
    assert [config.is_global_layer(layer) for layer in range(4)] == [False, False, True, True]
    assert config.parameter_count() != Config.load(ROOT / "configs/tiny.toml", env={}).parameter_count()


# -- overrides -------------------------------------------------------------------------------------------------------------------


def test_overrides_are_typed_by_their_field(file) -> None:  # type: ignore[no-untyped-def]
    """Text of the command line becomes what the field is; the last word on a key counts."""
    path = file("steps = 5\n")
    config = Config.from_args([path, "--steps=20", "--lr_dense=1e-4", "--norm_topk_prob=false", "--data_path=1", "--no-resume"], {})
    assert (config.steps, config.lr_dense, config.norm_topk_prob, config.data_path) == (20, 1e-4, False, "1")
    assert config.resume is False
    assert Config.from_args(["--steps=7", path, "--steps=8"], {}).steps == 8
    assert Config.from_args([path, "--data_path=a=b"], {}).data_path == "a=b"


def test_whole_number_is_a_float_where_one_is_due(file) -> None:  # type: ignore[no-untyped-def]
    """`rope_theta = 10000` is 10000.0, so that both spellings have one fingerprint."""
    one, two = Config.load(file("rope_theta = 10000"), env={}), Config.load(file("rope_theta = 1e4"), env={})
    assert isinstance(one.rope_theta, float) and one.fingerprint() == two.fingerprint()


@pytest.mark.parametrize(
    ("word", "fault"),
    [
        ("--step=3", "--step=3: unknown key step; did you mean steps?"),
        ("--steps=ten", "--steps=ten: steps must be a whole number, not 'ten'"),
        ("--steps=1.5", "--steps=1.5: steps must be a whole number, not '1.5'"),
        ("--lr_dense=nan", "--lr_dense=nan: lr_dense must be a finite number, not nan"),
        ("--resume=yes", "--resume=yes: resume must be true or false, not 'yes'"),
        ("--steps", "--steps: options are written --key=value"),
        ("-s=3", "-s=3: options are written --key=value"),
        ("steps=3", "steps=3: options are written --key=value, and one configuration file is enough"),
        ("--steps=0", "--steps=0: steps = 0 must be above zero"),
        ("--target=h100", "--target=h100: target = 'h100' is none of b200, sm90, cpu"),
    ],
)
def test_wrong_override_is_named_with_its_reason(file, word: str, fault: str) -> None:  # type: ignore[no-untyped-def]
    """An unknown key, a wrong type, a wrong form, an impossible value."""
    assert faults(file(""), word) == (fault,)


# -- files -----------------------------------------------------------------------------------------------------------------------


def test_all_faults_are_said_at_once_each_with_its_place(file) -> None:  # type: ignore[no-untyped-def]
    """Unknown keys with a hint, wrong types, in the file's own lines."""
    path = file('# sizes\ndimm = 8\nn_layers = "four"\nresume = 1\n\n[zzz]\nx = 1\n')
    assert set(faults(path)) == {
        f"{path}:2: unknown key dimm; did you mean dim?",
        f"{path}:3: n_layers must be a whole number, not 'four'",
        f"{path}:4: resume must be true or false, not 1",
        f"{path}:6: unknown key zzz",
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("n_routed_experts = 4", "n_activated_experts = 6 is more than the 4 routed experts"),
        ("seq_len = 9000", "seq_len = 9000 is more than max_position_embeddings 8192"),
        ("eos_token_id = 300000", "is outside the vocabulary of 201088"),
        ("qk_rope_head_dim = 63", "must be even"),
        ("frozen_experts = true", "needs frozen_dir"),
        ("adam_beta1 = 1.0", "must lie in [0, 1)"),
        ("n_dense_layers = 13", "is more than the 12 layers"),
        ('dtype = "nvfp4"\ndim = 100', "in blocks of 32"),
        ("steps = -1", "must be above zero"),
        ("seed = -1", "must not be negative"),
    ],
)
def test_values_that_do_not_fit_each_other_are_refused(file, text: str, words: str) -> None:  # type: ignore[no-untyped-def]
    """Each value may be fine alone; together they make no model."""
    (fault,) = faults(file(text))
    assert words in fault


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("some.toml", "steps = = 3", ":1:9: no valid TOML"),
        ("some.yaml", "steps: 3", "a configuration is a TOML file"),
        ("gone/some.toml", None, "cannot be read"),
    ],
)
def test_unreadable_file_is_one_fault(tmp_path: Path, name: str, text: str | None, words: str) -> None:
    """Broken TOML has line and column; another format and a missing file are said to be that."""
    if text is not None:
        (tmp_path / name).write_text(text)
    (fault,) = faults(str(tmp_path / name))
    assert name in fault and words in fault


def test_no_file_is_a_fault() -> None:
    """Overrides alone are no configuration."""
    assert faults("--steps=3") == (
        "a configuration file is due: CONFIG.toml [--key=value ...]; python -m nmoe CONFIG.toml lists the keys",
    )


# -- environment -----------------------------------------------------------------------------------------------------------------


def test_environment_variables_stand_in_texts(file) -> None:  # type: ignore[no-untyped-def]
    """`${NMOE_X:-default}` is the variable where it is set, even to nothing, and the default where it is not."""
    path = file('data_path = "${NMOE_DATA_PATH:-data}"\nmetrics_dir = "${NMOE_RUN_ROOT:-runs}/m"\n')
    assert Config.load(path, env={}).data_path == "data"
    set_ = Config.load(path, env={"NMOE_DATA_PATH": "/d", "NMOE_RUN_ROOT": ""})
    assert (set_.data_path, set_.metrics_dir) == ("/d", "/m")


def test_value_of_a_variable_is_not_expanded_again(file) -> None:  # type: ignore[no-untyped-def]
    """What a variable holds is text, whatever it looks like."""
    path = file('data_path = "${NMOE_DATA_PATH}"')
    assert Config.load(path, env={"NMOE_DATA_PATH": "${NMOE_SECRET}", "NMOE_SECRET": "s"}).data_path == "${NMOE_SECRET}"


def test_unset_and_foreign_variables_are_faults(file) -> None:  # type: ignore[no-untyped-def]
    """A variable without value or default says how to set it; one without the prefix is never read."""
    path = file('data_path = "${NMOE_DATA_PATH}"\nfrozen_dir = "${HOME}"')
    one, two = faults(path, env={"HOME": "/h"})
    assert one.startswith(f"{path}:1: ${{NMOE_DATA_PATH}} is not set; export NMOE_DATA_PATH=...")
    assert two.startswith(f"{path}:2: ${{HOME}} cannot be used here")


# -- one value -------------------------------------------------------------------------------------------------------------------


def test_fingerprint_follows_the_mathematics_alone() -> None:
    """Where a run writes changes no fingerprint; what it computes does."""
    base = Config()
    assert dataclasses.replace(base, steps=1, data_path="x", resume=False).fingerprint() == base.fingerprint()
    assert dataclasses.replace(base, seed=1).fingerprint() != base.fingerprint()
    with pytest.raises(dataclasses.FrozenInstanceError):
        base.steps = 1  # type: ignore[misc]


def test_program_prints_the_configuration_or_every_fault(file) -> None:  # type: ignore[no-untyped-def]
    """`python -m nmoe` ends with 0 and TOML, or with 2 and a line a fault."""
    run = [sys.executable, "-m", "nmoe"]
    good = subprocess.run([*run, "configs/tiny.toml", "--steps=3"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "steps = 3\n" in good.stdout and good.stdout.startswith("# 1,155,520 parameters")
    bad = subprocess.run([*run, file("a = 1\nb = 2\n")], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (bad.returncode, bad.stdout, bad.stderr.count("nmoe: ")) == (2, "", 2) and "Traceback" not in bad.stderr
