"""A run from its checks to its last checkpoint: what can be wrong is found first, then step after step."""

from __future__ import annotations

import os
import resource
import sqlite3
import sys
import time

import torch

from .checkpoint import Checkpoint, checkpoints, newest
from .config import Config
from .data import Stream
from .freeze import check_frozen
from .memory import available, plan_memory
from .metrics import Experiments, Metrics, Record
from .parallel import Ranks, Where
from .target import Target
from .trainer import StepResult, Trainer

__all__ = ["Refused", "check", "run"]


class Refused(ValueError):
    """What was asked for cannot be run.  One line, before any memory is taken."""


def check(config: Config, target: Target, where: Where) -> tuple[Stream, str]:
    """The data and the digest of the frozen experts, or the first reason why this cannot run.

    Raises:
        Refused, DataError, FrozenError, CheckpointError: with one line.
    """
    world = where.world
    if config.n_routed_experts % world:
        raise Refused(f"{config.n_routed_experts} experts cannot be divided among {world} ranks")
    if config.batch_size % world:
        raise Refused(f"batch_size = {config.batch_size} sequences cannot be divided among {world} ranks")
    stream = Stream.open(config.data_path, config.vocab_size, config.eos_token_id, config.seq_len)
    frozen = check_frozen(config)
    if config.resume:
        for one in checkpoints(config.checkpoint_dir)[:1]:
            one.fits(config, frozen)
    elif checkpoints(config.checkpoint_dir):
        _note(
            f"{config.checkpoint_dir} holds checkpoints of another run; the first one of this run takes their place",
            where.rank == 0,
        )
    if where.rank == 0:
        _writable(config)
    plan, room = plan_memory(config, world, target.name == "cpu"), available(target, where.local_world)
    _note(plan.line(room), where.rank == 0)
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
            _resume(trainer, found, speaks)
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
        facts = {"step": trainer.step, "loss": last.loss if last else None, "node_tps_p50": metrics.node_tps_p50()}
        experiments.end(status, facts)
    return trainer


def _resume(trainer: Trainer, found: Checkpoint, speaks: bool) -> None:
    trainer.resume(found)
    _note(f"resumed {found.folder} at step {trainer.step}", speaks)
    if found.manifest["data"] != trainer.stream.digest:
        _note(f"the data is not what {found.folder} was trained on", speaks)


def _steps(trainer: Trainer, metrics: Metrics) -> StepResult | None:
    config, ranks = trainer.config, trainer.ranks
    clock = _Clock(trainer)
    first, last = trainer.step + 1, None
    saved = trainer.step
    while trainer.step < config.steps:
        last = trainer.train_step()
        step = last.step
        metrics.progress(step)
        if step == first or step % config.log_every == 0 or step == config.steps:
            seconds, steps = clock.read()
            tps = steps * config.batch_size * config.seq_len / ranks.world / seconds
            used, share = clock.memory()
            metrics.log(
                Record(
                    step,
                    last.loss,
                    last.grad_norm,
                    used,
                    share,
                    tps,
                    tps * ranks.where.local_world,
                    tps * config.flops_per_token() / 1e12,
                    1000 * seconds / steps,
                    last.lr,
                    last.tokens,
                    last.load_cv,
                    step == first,
                )
            )
        if step % config.checkpoint_every == 0:
            trainer.save(config.checkpoint_dir, config.checkpoint_keep_last_n)
            saved = step
            clock.start()
    if saved != trainer.step:
        trainer.save(config.checkpoint_dir, config.checkpoint_keep_last_n)
    return last


class _Clock:
    """Seconds and steps since the last reading; time spent on saving is nobody's throughput."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self.start()

    def start(self) -> None:
        self._synchronise()
        self._at, self._step = time.perf_counter(), self._trainer.step

    def read(self) -> tuple[float, int]:
        self._synchronise()
        now = time.perf_counter()
        seconds, steps = now - self._at, self._trainer.step - self._step
        self._at, self._step = now, self._trainer.step
        return max(seconds, 1e-9), max(steps, 1)

    def _synchronise(self) -> None:
        if self._trainer.ranks.device.type == "cuda":
            torch.cuda.synchronize(self._trainer.ranks.device)

    def memory(self) -> tuple[float, float]:
        """The most that was in use, in GiB and in percent: of the GPU, or of the machine by this process."""
        device = self._trainer.ranks.device
        if device.type == "cuda":
            used, total = torch.cuda.max_memory_allocated(device), torch.cuda.get_device_properties(device).total_memory
        else:
            used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return used / 2**30, 100 * used / total
