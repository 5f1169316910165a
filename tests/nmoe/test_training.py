"""Training: it learns, it resumes to the last bit, frozen experts stay frozen, and what is wrong is said before memory is taken."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the trainer needs torch: pip install 'nmoe-graph[train]'")
pytest.importorskip("safetensors", reason="checkpoints need safetensors: pip install 'nmoe-graph[train]'")

from conftest import ROOT, torchrun  # noqa: E402

import nmoe.checkpoint as checkpoint  # noqa: E402
import nmoe.train as train  # noqa: E402
from nmoe import loop  # noqa: E402
from nmoe.data import Stream  # noqa: E402
from nmoe.faults import NotFinite  # noqa: E402
from nmoe.freeze import freeze  # noqa: E402
from nmoe.freeze import main as freeze_main  # noqa: E402
from nmoe.metrics import Record, upper_median  # noqa: E402
from nmoe.opt import Adam  # noqa: E402
from nmoe.parallel import Ranks  # noqa: E402
from nmoe.trainer import Trainer  # noqa: E402
from nmoe_proofs import learned, no_all_to_all, resume_determinism  # noqa: E402

#: Small enough to take a step in a hundredth of a second.
MINI = {
    "dim": 32, "inter_dim": 64, "moe_inter_dim": 32, "n_layers": 3, "batch_size": 2, "seq_len": 16, "attn_global_every": 2,
    "attn_local_window": 8, "q_lora_rank": 0, "log_every": 1,
}  # fmt: skip


def stream(config) -> Stream:
    return Stream.open(config.data_path, config.vocab_size, config.eos_token_id, config.seq_len)


@pytest.fixture
def mini(tiny, text, tmp_path):
    """A very small configuration that writes into a temporary folder."""

    def make(**overrides):
        places = {"data_path": text, "checkpoint_dir": str(tmp_path / "c"), "metrics_dir": str(tmp_path / "m")}
        return tiny(**{**MINI, **places, **overrides})

    return make


def words(config, *more: str) -> list[str]:
    """A command line that stands for a configuration."""
    path = Path(config.metrics_dir).parent / "config.toml"
    path.write_text(config.to_toml())
    return [str(path), *more]


# -- learning --------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def curves(text: str) -> dict[str, list[float]]:
    """Losses of tiny on Python's help topics, with local layers, in three formats of the experts' products.

    The rates are half of the file's: the runs are smooth then, and a difference is one of formats.
    """
    from nmoe.config import Config

    found = {}
    more = {"attn_global_every": 2, "attn_local_window": 32, "lr_dense": 1e-3, "lr_router": 1e-3, "lr_expert": 1e-3}
    for dtype, steps in (("bf16", 120), ("fp8", 100), ("nvfp4", 100)):
        config = Config.load(ROOT / "configs/tiny.toml", env={}, data_path=text, dtype=dtype, **more)
        trainer = Trainer(config, Ranks(), stream(config))
        results = [trainer.train_step() for _ in range(steps)]
        found[dtype] = [result.loss for result in results]
        found[f"{dtype} load"] = [result.load_cv for result in results]
    return found


def test_tiny_learns_english(curves: dict[str, list[float]], text: str) -> None:
    """120 steps: from above log 512 to below 2.9 and below what frequencies alone would give; experts are loaded more evenly."""
    losses = curves["bf16"]
    last = sum(losses[-10:]) / 10
    assert losses[0] > math.log(512)
    assert last < 2.9 and last < Stream.open(text, 512, 256, 128).unigram_entropy(), last
    load = curves["bf16 load"]
    assert sum(load[-10:]) / 10 < 0.7 * sum(load[5:15]) / 10, load


@pytest.mark.parametrize(("dtype", "limit"), [("fp8", 0.02), ("nvfp4", 0.05)])
def test_fewer_bits_learn_nearly_as_well(curves: dict[str, list[float]], dtype: str, limit: float) -> None:
    """After 100 steps the mean of the last ten losses is within 2 % (fp8) and 5 % (nvfp4) of bf16's; and it is another run."""
    plain, other = (sum(losses[90:100]) / 10 for losses in (curves["bf16"], curves[dtype]))
    assert abs(other / plain - 1) < limit, (plain, other)
    assert curves[dtype][1:] != curves["bf16"][1 : len(curves[dtype])]


def test_learned_notices_a_model_that_has_not(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Above the entropy, too short, not finite, cut off early: each is said."""
    path = tmp_path / "metrics.jsonl"

    def verdict(losses: list[float], *more: str) -> tuple[int, str]:
        path.write_text("".join(json.dumps({"step": at + 1, "loss": loss}) + "\n" for at, loss in enumerate(losses)))
        status = learned.main([text, str(path), *more])
        return status, capsys.readouterr().err

    assert verdict([6.0] * 10 + [3.0] * 10)[0] == 0
    for losses, more, said in (
        ([3.0] * 10 + [3.4] * 10, (), "is not below the unigram entropy"),
        ([3.0] * 9, (), "too few"),
        ([3.0] * 10 + [float("nan")] + [3.0] * 10, (), "not every loss is finite"),
        ([3.0] * 20, ("--steps=40",), "ends at step 20, not 40"),
    ):
        status, err = verdict(losses, *more)
        assert status == 1 and said in err
    assert learned.main([text]) == 2 and learned.main([text, str(tmp_path / "none")]) == 2


# -- resume ----------------------------------------------------------------------------------------------------------------------


def test_resumed_run_is_the_run_that_was_not_interrupted(mini, capsys) -> None:
    """Losses, weights, masters, moments and biases, bitwise; in every format and with bf16 moments."""
    for overrides in ({}, {"dtype": "nvfp4", "moments": "bf16", "bf16_last_layers": 1}):
        config = mini(steps=6, **overrides)
        assert resume_determinism.prove(config, Ranks(), stream(config), "") == 0, capsys.readouterr().err
        assert "are bitwise equal" in capsys.readouterr().out


@pytest.mark.parametrize("forgotten", ["m", "v", "master"])
def test_proof_notices_a_forgotten_part(mini, monkeypatch, capsys, forgotten: str) -> None:
    """A checkpoint without one of the three parts of an optimizer's state loads, and the proof fails and names it."""
    whole = Adam.state
    monkeypatch.setattr(Adam, "state", lambda self: {name: one for name, one in whole(self).items() if name != forgotten})
    config = mini(steps=4)
    assert resume_determinism.prove(config, Ranks(), stream(config), "") == 1
    assert "differs: rank 0: the loss of step" in capsys.readouterr().err


def test_proof_notices_that_nothing_happened(mini, monkeypatch, capsys) -> None:
    """Two runs that do nothing are equal, and prove nothing."""
    monkeypatch.setattr(Trainer, "train_step", lambda self: type("R", (), {"loss": 1.0})())
    monkeypatch.setattr(Trainer, "save", lambda self, folder, keep: checkpoint.save(folder, self.ranks, _facts(self, 2), {}, keep))
    monkeypatch.setattr(Trainer, "resume", lambda self, one: None)
    assert resume_determinism.prove(mini(steps=4), Ranks(), stream(mini()), "") == 1
    assert "no tensor moved" in capsys.readouterr().err
    assert resume_determinism.prove(mini(steps=1), Ranks(), stream(mini()), "") == 2


def _facts(trainer, step: int) -> dict:
    maths, fingerprint = trainer.config.maths(), trainer.config.fingerprint()
    return {"step": step, "tokens": 0, "maths": maths, "fingerprint": fingerprint, "frozen": "", "data": "", "run": "r"}


def test_checkpoints_are_kept_and_removed_as_asked(mini) -> None:
    """The newest three of seven; no pickle anywhere; a folder without a manifest is none and goes."""
    config = mini(steps=7, checkpoint_every=1, checkpoint_keep_last_n=3)
    (Path(config.checkpoint_dir) / "iter_0000002").mkdir(parents=True)
    (Path(config.checkpoint_dir) / "iter_0000002/dense.safetensors").write_bytes(b"half")
    loop.run(config, Ranks(), stream(config))
    assert [one.step for one in checkpoint.checkpoints(config.checkpoint_dir)] == [7, 6, 5]
    files = sorted(path.name for path in Path(config.checkpoint_dir).rglob("*") if path.is_file())
    assert sorted(set(files)) == ["dense.safetensors", "experts_000.safetensors", "manifest.json", "zero_000.safetensors"]
    assert len(list(Path(config.checkpoint_dir).iterdir())) == 3


def test_damaged_checkpoint_is_passed_over_and_named(mini, capsys) -> None:
    """A flipped bit, a lost file: the run goes on from the one before; with none left it starts anew."""
    config = mini(steps=6, checkpoint_every=2)
    loop.run(config, Ranks(), stream(config))
    straight = [json.loads(line)["loss"] for line in (Path(config.metrics_dir) / "metrics.jsonl").read_text().splitlines()]
    newest = Path(config.checkpoint_dir) / "iter_0000006"
    raw = bytearray((newest / "dense.safetensors").read_bytes())
    raw[-5] ^= 4
    (newest / "dense.safetensors").write_bytes(raw)
    (Path(config.checkpoint_dir) / "iter_0000004/zero_000.safetensors").unlink()
    capsys.readouterr()
    loop.run(config, Ranks(), stream(config))
    said = capsys.readouterr().err
    assert "iter_0000006: passed over, dense.safetensors is damaged" in said and "iter_0000004: passed over" in said
    assert "resumed" in said and "at step 2" in said
    again = [json.loads(line)["loss"] for line in (Path(config.metrics_dir) / "metrics.jsonl").read_text().splitlines()]
    assert again == straight


def test_no_resume_starts_anew_and_says_what_it_takes_away(mini, capsys) -> None:
    """The same first loss again; the older checkpoints stay until the first of the new run takes their place."""
    config = mini(steps=3)
    assert train.main(words(config)) == 0
    first = capsys.readouterr().out
    assert train.main(words(config, "--no-resume", "--steps=2")) == 0
    out, err = capsys.readouterr()
    assert out.split("grad")[0] == first.split("grad")[0] and "holds checkpoints of another run" in err
    assert [one.step for one in checkpoint.checkpoints(config.checkpoint_dir)] == [2]


def test_two_ranks_rerun_bitwise_and_one_rank_takes_over(mini, tmp_path: Path) -> None:
    """The same two-rank run twice has the same losses to the last digit; a single rank resumes what two have saved, all of it."""
    config = mini(steps=4)
    line = [*torchrun(2), "-m", "nmoe.train", *words(config, "--no-resume")]
    losses, manifests = [], []
    for _ in range(2):
        subprocess.run(line, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True, capture_output=True)
        records = [json.loads(one) for one in (Path(config.metrics_dir) / "metrics.jsonl").read_text().splitlines()]
        losses.append([(one["loss"], one["grad_norm"]) for one in records])
        manifests.append(checkpoint.checkpoints(config.checkpoint_dir)[0].manifest)
    assert losses[0] == losses[1] and manifests[0]["files"] == manifests[1]["files"] and manifests[0]["world"] == 2
    alone = Trainer(config, Ranks(), stream(config))
    one = [alone.train_step() for _ in range(4)]
    assert [a.loss for a in one] == pytest.approx([loss for loss, _ in losses[0]], rel=2e-3)
    # Adam would hide a gradient that is twice too large on two ranks; its norm does not
    assert one[0].grad_norm == pytest.approx(losses[0][0][1], rel=1e-2)
    found, _ = checkpoint.newest(config.checkpoint_dir)
    other = Trainer(config, Ranks(), stream(config))
    other.resume(found)
    for zero in other.dense:
        weights = torch.cat([weight.flatten() for _, weight in zero.group.parameters])
        assert torch.equal(zero.adam.master[: zero.count].to(weights.dtype), weights)
    for name, weight in other.experts.group.parameters:
        assert torch.equal(other.experts.states[name].master.to(weight.dtype), weight)
    assert other.train_step().loss == pytest.approx(alone.train_step().loss, rel=5e-3)


# -- frozen experts --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def frozen(mini, tmp_path: Path):
    """A trained checkpoint, and what of its experts was frozen in a format."""

    def make(dtype: str):
        config = mini(steps=3, dtype=dtype)
        trainer = loop.run(config, Ranks(), stream(config))
        freeze(config, tmp_path / "frozen" / dtype)
        places = {
            "frozen_dir": str(tmp_path / "frozen" / dtype),
            "checkpoint_dir": str(tmp_path / "c2"),
            "metrics_dir": str(tmp_path / "m2"),
        }
        return trainer, mini(steps=3, dtype=dtype, frozen_experts=True, **places)

    return make


@pytest.mark.parametrize("dtype", ["bf16", "fp8", "nvfp4"])
def test_frozen_experts_compute_the_same_and_keep_their_bits(frozen, dtype: str) -> None:
    """The same forward as the trained ones, bit for bit; after training no bit of an expert has changed and all else has."""
    trained, config = frozen(dtype)
    trainer = Trainer(config, Ranks(), stream(config), "x")
    tensors = trainer.dense_tensors()
    for name, tensor in trained.dense_tensors().items():
        tensors[name].data.copy_(tensor)
    tokens, targets = stream(config).batch(7, 2, 16, 1)
    with torch.no_grad():
        assert torch.equal(trainer.model.loss(tokens, targets, 32), trained.model.loss(tokens, targets, 32))
    buffers = {name: one.clone() for name, one in trainer.model.named_buffers() if ".experts." in name}
    before = {name: one.detach().clone() for name, one in trainer.model.named_parameters()}
    assert not any(".experts." in name for name in before) and trainer.experts.states == {}
    for _ in range(3):
        trainer.train_step()
    after = dict(trainer.model.named_buffers())
    assert buffers and all(torch.equal(one.view(torch.uint8), after[name].view(torch.uint8)) for name, one in buffers.items())
    unmoved = [name for name, one in trainer.model.named_parameters() if torch.equal(one, before[name])]
    assert unmoved == [] or all("norm" in name or "sink" in name for name in unmoved), unmoved


def test_frozen_run_resumes_bitwise_and_only_with_its_own_experts(frozen, tmp_path: Path, capsys) -> None:
    """Through the command line; other frozen experts are refused before anything is built."""
    _, config = frozen("fp8")
    assert train.main(words(config)) == 0
    held = sorted(path.name for path in Path(config.checkpoint_dir).glob("*/*"))
    assert "experts_000.safetensors" in held
    assert resume_determinism.main(words(config, "--steps=4")) == 0
    manifest = Path(config.frozen_dir) / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"from_step": 3', '"from_step": 4'))
    capsys.readouterr()
    assert train.main(words(config)) == 2
    assert "was made with other frozen experts" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("shape", "frozen experts of another shape: moe_inter_dim = 32, not 64"),
        ("dtype", "frozen experts of another shape: dtype = 'fp8', not 'nvfp4'"),
        ("file", "layer_001.safetensors: cannot be read"),
        ("cut", "layer_001.safetensors: cannot be read"),
        ("bits", "layer_001.safetensors: not what the manifest says"),
        ("none", "cannot be read: No such file or directory; python -m nmoe.freeze"),
    ],
)
def test_frozen_dir_that_does_not_fit_is_one_line(frozen, tmp_path, capsys, harm: str, said: str) -> None:
    """Another shape or format, a file gone, cut or altered, no folder."""
    _, config = frozen("fp8")
    more = {"shape": ["--moe_inter_dim=64"], "dtype": ["--dtype=nvfp4"], "none": ["--frozen_dir=/nowhere"]}.get(harm, [])
    layer = Path(config.frozen_dir) / "layer_001.safetensors"
    if harm == "file":
        layer.unlink()
    if harm == "cut":
        layer.write_bytes(layer.read_bytes()[:-100])
    if harm == "bits":
        layer.write_bytes(layer.read_bytes()[:-1] + b"\x55")
    assert train.main(words(config, *more)) == 2
    err = capsys.readouterr().err
    lines = [line for line in err.splitlines() if not line.startswith("nmoe: memory of a rank")]
    assert len(lines) == 1 and said in lines[0], err


def test_freezing_needs_a_checkpoint_of_that_model(frozen, mini, tmp_path, capsys) -> None:
    """None, another model, or one whose experts are frozen already."""
    frozen("fp8")
    plain = mini(dtype="fp8")
    for more, said in (
        ([f"--checkpoint_dir={tmp_path}/none"], "holds no whole checkpoint to freeze"),
        (["--n_routed_experts=4"], "is of another model: n_routed_experts differ"),
        ([], "--frozen_dir=OUT is due"),
    ):
        out = [] if said.startswith("--") else [f"--frozen_dir={tmp_path}/out"]
        capsys.readouterr()
        assert freeze_main(words(plain, *out, *more)) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert freeze_main(words(plain, f"--frozen_dir={tmp_path}/out", "--dtype=nvfp4")) == 0
    assert json.loads((tmp_path / "out/manifest.json").read_text())["dtype"] == "nvfp4"


# -- what is wrong ---------------------------------------------------------------------------------------------------------------


def cut_shard(folder: Path) -> None:
    path = folder / "shard_00002.npy"
    path.write_bytes(path.read_bytes()[:1000])


@pytest.mark.parametrize(
    ("more", "env", "harm", "said"),
    [
        (["--step=3"], {}, None, "--step=3: unknown key step; did you mean steps?"),
        (["--steps=x"], {}, None, "--steps=x: steps must be a whole number, not 'x'"),
        (["--data_path=/nowhere"], {}, None, "/nowhere/index.json: cannot be read: No such file or directory"),
        ([], {}, lambda folder: (folder / "shard_00002.npy").unlink(), "shard_00002.npy: the shard is missing"),
        ([], {}, cut_shard, "shard_00002.npy: the shard is cut short"),
        (["--vocab_size=200", "--eos_token_id=199"], {}, None, "the model's vocab_size is 200"),
        ([], {"WORLD_SIZE": "3"}, None, "8 experts cannot be divided among 3 ranks"),
        ([], {"WORLD_SIZE": "4"}, None, "batch_size = 2 sequences cannot be divided among 4 ranks"),
        (["--metrics_dir=/dev/null/m"], {}, None, "metrics_dir: /dev/null/m cannot be made"),
        (["--experiments_db=/dev/null"], {}, None, "experiments_db: /dev/null is no database"),
        (["--target=b200"], {}, None, "needs a CUDA device of compute capability 10.0"),
    ],
)
def test_bad_input_is_one_line_before_memory_is_taken(mini, text, tmp_path, monkeypatch, capsys, more, env, harm, said) -> None:
    """Status 2 (1 for a machine that is not the target), one line, nothing built."""
    if "--target=b200" in more and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    data = tmp_path / "data"
    shutil.copytree(text, data)
    if harm:
        harm(data)
    monkeypatch.setattr(Trainer, "__init__", lambda *_: pytest.fail("a trainer was built"))
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    try:
        status, stray = train.main(words(mini(data_path=str(data)), *more)), ""
    except SystemExit as refused:
        status, stray = 1, str(refused.code)
    out, err = capsys.readouterr()
    lines = [line for line in (err + stray).splitlines() if not line.startswith("nmoe: memory of a rank")]
    assert status == (1 if stray else 2) and len(lines) == 1 and said in lines[0] and lines[0].startswith("nmoe: ") and not out, err


def test_foreign_checkpoint_is_refused_and_says_how_it_differs(mini, monkeypatch, capsys) -> None:
    """A key of the mathematics; what does not change them may differ."""
    config = mini(steps=2)
    assert train.main(words(config)) == 0
    assert train.main(words(config, "--steps=3", "--log_every=5", "--checkpoint_every=7")) == 0
    capsys.readouterr()
    monkeypatch.setattr(Trainer, "__init__", lambda *_: pytest.fail("a trainer was built"))
    assert train.main(words(config, "--lr_dense=1e-4")) == 2
    err = capsys.readouterr().err
    said = f"iter_0000003: was made with lr_dense = {config.lr_dense}, not 0.0001; --no-resume starts anew"
    assert said in err and err.count("\n") == 1


def test_run_that_cannot_fit_is_refused_early(mini, monkeypatch, capsys) -> None:
    """What is needed and what is free are printed; nothing is built."""
    monkeypatch.setattr(loop, "available", lambda *_: 1 << 20)
    monkeypatch.setattr(Trainer, "__init__", lambda *_: pytest.fail("a trainer was built"))
    assert train.main(words(mini())) == 2
    err = capsys.readouterr().err
    assert "memory of a rank: " in err and "GiB are free; see the line above" in err


def test_memory_of_the_large_presets_is_what_arithmetic_says() -> None:
    """moonlet: 7.36B parameters in bf16 are 13.7 GiB, gradients as much, masters and moments 82.2; the heap 0.9 + 0.8 GB."""
    from nmoe.config import Config
    from nmoe.memory import plan_memory

    moonlet = dict(plan_memory(Config.load(ROOT / "configs/moonlet.toml", env={}), 1, False).parts)
    gib = 1 << 30
    assert moonlet["weights"] / gib == pytest.approx(13.7, abs=0.05) == moonlet["gradients"] / gib
    assert moonlet["optimizer"] / gib == pytest.approx(54.8 + 27.4 + 3.7, abs=2)
    eight = dict(plan_memory(Config.load(ROOT / "configs/moonlight.toml", env={}), 8, False).parts)
    assert eight["heap"] == pytest.approx(6.44e9 + 0.805e9, rel=0.01)
    ice = plan_memory(Config.load(ROOT / "configs/moonlight_frozen.toml", env={}), 8, False)
    assert dict(ice.parts)["optimizer"] < eight["optimizer"] / 2 and ice.total < sum(eight.values())


def test_loss_that_is_not_finite_stops_the_run(mini, monkeypatch, capsys) -> None:
    """Status 1 and one line; the checkpoint before it stays the newest."""
    config = mini(steps=6, checkpoint_every=2)
    real = Trainer.train_step

    def poisoned(self):
        if self.step == 4:
            self.model.head.weight.data.fill_(float("nan"))
        return real(self)

    monkeypatch.setattr(Trainer, "train_step", poisoned)
    assert train.main(words(config)) == 1
    assert "nmoe: step 5: the loss is nan" in capsys.readouterr().err
    assert checkpoint.checkpoints(config.checkpoint_dir)[0].step == 4
    assert NotFinite.__doc__


def test_checkpoint_that_cannot_be_written_is_one_line(mini, tmp_path, capsys) -> None:
    """A file where the folder should be."""
    (tmp_path / "c").write_text("in the way")
    assert train.main(words(mini(steps=1))) == 2
    assert "the checkpoint of step 1 cannot be written" in capsys.readouterr().err


# -- what a run says -------------------------------------------------------------------------------------------------------------


def test_every_logged_step_has_a_line_and_a_record_with_node_tps(mini, tmp_path, capsys) -> None:
    """Also on one rank; step 1, every log_every, the last; the line reads back with the pattern of the seed's gates."""
    config = mini(steps=7, log_every=3, experiments_db=str(tmp_path / "e.db"))
    assert train.main(words(config)) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step:")]
    records = [json.loads(line) for line in (Path(config.metrics_dir) / "metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records] == [1, 3, 6, 7]
    assert [record["warmup"] for record in records] == [True, False, False, False]
    read = [int(match[1].replace(",", "")) for line in lines for match in re.finditer(r"\bnode_tps:\s*([\d,]+)", line)]
    assert read == [round(record["node_tps"]) for record in records] and all(one > 0 for one in read)
    assert all(record["node_tps"] == record["tps"] for record in records)
    with sqlite3.connect(tmp_path / "e.db") as db:
        (row,) = db.execute("SELECT experiment_id, status, step, loss, node_tps_p50, fingerprint FROM runs").fetchall()
    assert row[:4] == ("tiny", "done", 7, records[-1]["loss"]) and row[5] == config.fingerprint()
    assert row[4] == upper_median([record["node_tps"] for record in records[1:]])


def test_people_see_how_long_it_takes_and_a_pipe_does_not(mini, monkeypatch, capsys) -> None:
    """On a terminal a line that is rewritten; in a log nothing but what it is about."""
    import sys

    from nmoe.metrics import Metrics

    Metrics(mini(), 0, speaks=True).progress(1)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    metrics = Metrics(mini(steps=40), 0, speaks=True)
    metrics.progress(10)
    metrics.end()
    assert re.fullmatch(r"\r\x1b\[Kstep 10/40  00:00:0\d left\r\x1b\[K", capsys.readouterr().err)
    Metrics(mini(), 0, speaks=False).progress(1)
    assert capsys.readouterr().err == ""


def test_line_of_a_large_run_is_the_seeds() -> None:
    """Groups of three, the fields in their order."""
    record = Record(5, 2.34567, 0.5, 81.5, 45.25, 9872.4, 78979.2, 412.345, 415.04, 1e-3, 5, 0.1)
    assert record.line() == (
        "step:  5  loss:  2.3457  grad_norm:  0.5000  memory: 81.50GiB(45.25%)  tps: 9,872  tflops: 412.35  ms/step: 415.0  "
        "node_tps: 78,979"
    )


def test_flops_of_the_presets_are_those_of_the_arithmetic() -> None:
    """GFLOP a token at 4,096: moonlet 9.3, moonlight 17.9."""
    from nmoe.config import Config

    for name, expected in (("moonlet", 9.3), ("moonlight", 17.9)):
        assert Config.load(ROOT / f"configs/{name}.toml", env={}).flops_per_token() / 1e9 == pytest.approx(expected, abs=0.06)


# -- no all-to-all ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "import torch.distributed as dist; dist.all_to_all_single(a, b)",
        "from torch.distributed import all_to_all",
        "getattr(dist, 'all_to_all_single')(a, b)",
        "torch.ops._c10d_functional.all_to_all_single(a)",
        "group.alltoall_base(a, b)",
    ],
)
def test_all_to_all_is_found_however_it_is_written(tmp_path: Path, line: str) -> None:
    """A call, an import, a name in a text, an operator, a method; prose about it is none."""
    package = tmp_path / "nmoe"
    package.mkdir()
    (package / "a.py").write_text('"""There is no all-to-all here."""\n')
    assert no_all_to_all.mentions(package) == []
    (package / "b.py").write_text(f"{line}\n")
    assert [found.split(":")[0] for found in no_all_to_all.mentions(package)] == ["nmoe/b.py"]
    (package / "b.py").write_text("")
    (package / "c.cu").write_text("ncclAllToAll(x);\n")
    assert no_all_to_all.mentions(package) == ["nmoe/c.cu:1: ncclAllToAll"]
