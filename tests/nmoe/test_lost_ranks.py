"""A rank that is killed: the others name it and stop, nothing is left behind, and the next run goes on where it can."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the trainer needs torch: pip install 'nmoe-graph[train]'")

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 120
SMALL = ["--dim=32", "--inter_dim=64", "--moe_inter_dim=32", "--n_layers=2", "--batch_size=2", "--seq_len=16", "--log_every=1"]

#: Trains, and ends the process with SIGKILL just before it makes the n-th file safe on the disk.  On rank 0 the first two are
#: metrics.jsonl and its folder; then a checkpoint has six: three of tensors, the manifest, and two folders.
KILLS_ITSELF = """
import os, signal, sys
from nmoe.train import main
real, left = os.fsync, [int(sys.argv.pop(1))]
def fsync(file):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    real(file)
os.fsync = fsync
sys.exit(main(sys.argv[1:]))
"""


def start(
    folder: Path, data: str, world: int, *options: str, special: dict[int, list[str]] | None = None
) -> list[subprocess.Popen[str]]:
    """The ranks of one run, started one by one, so that nothing but themselves stops them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    ranks = []
    for rank in range(world):
        env = {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "PYTHONPATH": str(ROOT)}
        env |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(world)}
        program = (special or {}).get(rank, ["-m", "nmoe.train"])
        words = [
            "configs/tiny.toml",
            *SMALL,
            f"--data_path={data}",
            f"--checkpoint_dir={folder}/c",
            f"--metrics_dir={folder}/m",
            *options,
        ]
        ranks.append(
            subprocess.Popen(
                [sys.executable, *program, *words], cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        )
    return ranks


def finish(ranks: list[subprocess.Popen[str]]) -> list[tuple[int, str]]:
    """Exit status and stderr of each, within the limit."""
    found = []
    try:
        for rank in ranks:
            _, err = rank.communicate(timeout=LIMIT_S)
            found.append((rank.returncode, err))
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()
    return found


def losses(folder: Path) -> dict[int, float]:
    records = [json.loads(line) for line in (folder / "m/metrics.jsonl").read_text().splitlines()]
    return {record["step"]: record["loss"] for record in records}


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory, text: str) -> dict[int, float]:
    """What a run that nobody disturbs has for losses."""
    folder = tmp_path_factory.mktemp("straight")
    assert [status for status, _ in finish(start(folder, text, 2, "--steps=8", "--checkpoint_every=3"))] == [0, 0]
    return losses(folder)


def shared() -> set[str]:
    return set(os.listdir("/dev/shm"))


def test_rank_killed_in_a_step_is_named_and_the_run_goes_on(tmp_path: Path, text: str, straight: dict[int, float]) -> None:
    """kill -9 while all are training: the other stops well within the limit and says who; the losses of the next run are those of
    a run that was never disturbed."""
    before = shared()
    ranks = start(tmp_path, text, 2, "--steps=100000", "--checkpoint_every=3")
    stdout = ranks[0].stdout
    assert stdout is not None
    for line in stdout:
        if "step:  5" in line:
            break
    ranks[1].send_signal(signal.SIGKILL)
    began = time.monotonic()
    (status, said), _ = finish(ranks)
    assert status == 3 and time.monotonic() - began < 60
    assert "rank 1 is gone" in said, said
    assert "Traceback" not in said and "rank 0 is gone" not in said
    assert shared() == before
    again = finish(start(tmp_path, text, 2, "--steps=8", "--checkpoint_every=3"))
    assert [one for one, _ in again] == [0, 0], again
    assert "resumed" in again[0][1]
    assert losses(tmp_path) == straight


@pytest.mark.parametrize(
    ("rank", "at", "resumed"),
    [
        (1, 4, 3),  # rank 1, between its two files of step 6
        (0, 12, 3),  # rank 0, with all files safe and the manifest not yet in place
        (0, 13, 6),  # rank 0, with the manifest in place, and nothing else done
    ],
)
def test_rank_killed_in_a_checkpoint_leaves_the_last_whole_one(
    tmp_path: Path, text: str, straight: dict[int, float], rank: int, at: int, resumed: int
) -> None:
    """Wherever in the writing of step 6's checkpoint it happens; never half of it is taken."""
    before = shared()
    killed = {rank: ["-c", KILLS_ITSELF, str(at)]}
    ranks = finish(start(tmp_path, text, 2, "--steps=8", "--checkpoint_every=3", special=killed))
    assert ranks[rank][0] == -signal.SIGKILL
    status, said = ranks[1 - rank]
    assert status == 3 and f"rank {rank} is gone" in said, said
    again = finish(start(tmp_path, text, 2, "--steps=8", "--checkpoint_every=3"))
    assert [one for one, _ in again] == [0, 0], again
    assert f"resumed {tmp_path}/c/iter_{resumed:07d} at step {resumed}" in again[0][1]
    assert losses(tmp_path) == straight
    assert shared() == before
    assert all((folder / "manifest.json").is_file() for folder in (tmp_path / "c").iterdir())


def test_rank_that_never_comes_is_a_time_out(tmp_path: Path, text: str) -> None:
    """One of two ranks is not there: the other does not wait for ever."""
    (one, *_) = start(tmp_path, text, 2, "--steps=2", "--timeout_s=3", special={1: ["-c", "pass"]})
    ((status, said),) = finish([one])
    assert status == 3 and "did not answer" in said, said
