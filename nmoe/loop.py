"""A run from its checks to its last checkpoint: what can be wrong is found first, then step after step."""

from __future__ import annotations

import os
import resource
import sqlite3
import sys
import time
from dataclasses import asdict

import torch

from .checkpoint import checkpoints, newest
from .config import Config
from .data import Stream
from .faults import Refused
from .freeze import check_frozen
from .memory import available, plan_memory
from .metrics import Experiments, Metrics, Record
from .parallel import Ranks
from .target import Target, Where
from .trainer import StepResult, Trainer

__all__ = ["check", "run"]


def check(config: Config, target: Target, where: Where) -> tuple[Stream, str]:
    """The data and the digest of the frozen experts, or the first reason why this cannot run.

    Raises:
        Refused, DataError, FrozenError, CheckpointError: with one line.
    """
    world, speaks = where.world, where.rank == 0
    if config.n_routed_experts % world:
        raise Refused(f"{config.n_routed_experts} experts cannot be divided among {world} ranks")
    if config.batch_size % world:
        raise Refused(f"batch_size = {config.batch_size} sequences cannot be divided among {world} ranks")
    stream = Stream.open(config.data_path, config.vocab_size, config.eos_token_id, config.seq_len)
    frozen = check_frozen(config)
    before = checkpoints(config.checkpoint_dir)
    if before and config.resume:
        before[0].fits(config, frozen)
    elif before:
        _note(f"{config.checkpoint_dir} holds checkpoints of another run; the first one of this run takes their place", speaks)
    if speaks:
        _writable(config)
    plan, room = plan_memory(config, world, target.name == "cpu"), available(target, where.local_world)
    _note(plan.line(room), speaks)
    if plan.total > room:
        raise Refused(f"a rank needs {plan.total / 2**30:.2f} GiB and {room / 2**30:.2f} GiB are free; see the line above")
    return stream, frozen


def _writable(config: Config) -> None:
    for key, folder in (("metrics_dir", config.metrics_dir), ("experiments_db", os.path.dirname(config.experiments_db) or ".")):
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as error:
            raise Refused(f"{key}: {folder} cannot be made: {error.strerror}") from None
    try:
        Experiments(config.experiments_db).prepare()
    except sqlite3.Error as error:
        raise Refused(f"experiments_db: {config.experiments_db} is no database that can be written: {error}") from None


def _note(text: str, speaks: bool) -> None:
    if speaks:
        sys.stderr.write(f"nmoe: {text}\n")


def run(config: Config, ranks: Ranks, stream: Stream, frozen: str = "") -> Trainer:
    """Train to `config.steps`, from the newest whole checkpoint where `config.resume` says so."""
    speaks = ranks.rank == 0
    trainer = Trainer(config, ranks, stream, frozen)
    if config.resume:
        found, passed_over = newest(config.checkpoint_dir, ranks)
        for note in passed_over:
            _note(note, speaks)
        if found is not None:
            trainer.resume(found)
            _note(f"resumed {found.folder} at step {trainer.step}", speaks)
            if found.manifest["data"] != stream.digest:
                _note(f"the data is not what {found.folder} was trained on", speaks)
    if trainer.step >= config.steps:
        _note(f"nothing is left to do: step {trainer.step} of {config.steps}", speaks)
    metrics = Metrics(config, trainer.step, speaks)
    experiments = Experiments(config.experiments_db if speaks else "")
    experiments.begin(config, ranks.world, str(ranks.device))
    status, last = "failed", None
    try:
        last = _steps(trainer, metrics)
        status = "done"
    finally:
        metrics.end()
        experiments.end(status, trainer.step, last.loss if last else None, metrics.node_tps_p50())
    return trainer


def _steps(trainer: Trainer, metrics: Metrics) -> StepResult | None:
    config, where = trainer.config, trainer.ranks.where
    clock = _Clock(trainer)
    first, saved, last = trainer.step + 1, trainer.step, None
    while trainer.step < config.steps:
        last = trainer.train_step()
        step = last.step
        metrics.progress(step)
        if step == first or step % config.log_every == 0 or step == config.steps:
            seconds = clock.read()
            tps = config.batch_size * config.seq_len / where.world / seconds
            gib, percent = _memory(trainer.ranks.device)
            record = Record(
                **asdict(last), memory_gib=gib, memory_pct=percent, tps=tps, node_tps=tps * where.local_world,
                tflops=tps * config.flops_per_token() / 1e12, ms_per_step=1000 * seconds, warmup=step == first,
            )  # fmt: skip
            metrics.log(record)
        if step % config.checkpoint_every == 0:
            trainer.save(config.checkpoint_dir, config.checkpoint_keep_last_n)
            saved = step
            clock.start()
    if saved != trainer.step:
        trainer.save(config.checkpoint_dir, config.checkpoint_keep_last_n)
    return last


class _Clock:
    """Time from reading to reading; what is spent on saving is nobody's throughput."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self.start()

    def start(self) -> None:
        if self._trainer.ranks.device.type == "cuda":
            torch.cuda.synchronize(self._trainer.ranks.device)
        self._at, self._step = time.perf_counter(), self._trainer.step

    def read(self) -> float:
        """Seconds a step since the last reading; at least one step was taken."""
        at, step = self._at, self._step
        self.start()
        return (self._at - at) / (self._step - step)


def _memory(device: torch.device) -> tuple[float, float]:
    """The most that was in use, in GiB and in percent: of the GPU, or of the machine by this process."""
    if device.type == "cuda":
        used, total = torch.cuda.max_memory_allocated(device), torch.cuda.get_device_properties(device).total_memory
    else:
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return used / 2**30, 100 * used / total
