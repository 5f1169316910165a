"""What a run says: the log line, `metrics.jsonl`, a row in the experiments database, and a progress line for people.

The log line goes to stdout and `metrics.jsonl` holds the same figures for programs.  The first step of a process compiles, so its
record carries `"warmup": true` and it is left out of the median.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from .config import Config
from .whole import write_whole

__all__ = ["Experiments", "Metrics", "Record", "upper_median"]

SCHEMA = "nmoe/metrics@1"

#: Dense bf16 TFLOP/s of a device, as its maker gives them; elsewhere utilisation is not said.
PEAKS = {"sm_90a": 989.0, "sm_100a": 2250.0}


@dataclass(frozen=True)
class Record:
    """One logged step.  `tps` is tokens a second of one rank, `node_tps` of all ranks of this machine."""

    step: int
    loss: float
    grad_norm: float
    memory_gib: float
    memory_pct: float
    tps: float
    node_tps: float
    tflops: float
    ms_per_step: float
    lr: float
    tokens: int
    load_cv: float
    warmup: bool = False

    def line(self) -> str:
        return (
            f"step: {self.step:2}  loss: {self.loss:7.4f}  grad_norm: {self.grad_norm:7.4f}  "
            f"memory: {self.memory_gib:5.2f}GiB({self.memory_pct:.2f}%)  tps: {round(self.tps):,}  tflops: {self.tflops:,.2f}  "
            f"ms/step: {self.ms_per_step:.1f}  node_tps: {round(self.node_tps):,}"
        )


def upper_median(values: list[float]) -> float:
    """Element n // 2 of the sorted list; NaN without values."""
    return sorted(values)[len(values) // 2] if values else float("nan")


class Metrics:
    """Rank 0 writes; the others hold one that is silent."""

    def __init__(self, config: Config, start_step: int, speaks: bool) -> None:
        self._steps, self._speaks = config.steps, speaks
        self._bar = speaks and sys.stderr.isatty()
        self._began, self._start_step = time.monotonic(), start_step
        self.records: list[Record] = []
        self.path = Path(config.metrics_dir) / "metrics.jsonl"
        if speaks:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _keep_until(self.path, start_step)

    def log(self, record: Record) -> None:
        self.records.append(record)
        if self._speaks:
            self._draw("")
            sys.stdout.write(record.line() + "\n")
            sys.stdout.flush()
            with self.path.open("a") as file:
                file.write(json.dumps({"schema": SCHEMA, **asdict(record)}) + "\n")

    def progress(self, step: int) -> None:
        """`step 40/120  00:00:12 left`, rewritten in place, on a terminal and nowhere else."""
        left = (time.monotonic() - self._began) / max(step - self._start_step, 1) * (self._steps - step)
        self._draw(f"step {step}/{self._steps}  {time.strftime('%H:%M:%S', time.gmtime(left))} left")

    def _draw(self, text: str) -> None:
        if self._bar:
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()

    def node_tps_p50(self) -> float:
        return upper_median([record.node_tps for record in self.records if not record.warmup])

    def end(self) -> None:
        self._draw("")


def _keep_until(path: Path, step: int) -> None:
    """A run that starts after `step` writes the later steps anew: what the file has of them goes, and a half line with it."""
    kept = []
    if path.exists():
        for line in path.read_text().splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line)
            except (ValueError, KeyError, TypeError):
                continue
    write_whole(path, "".join(f"{line}\n" for line in kept))


class Experiments:
    """A row a run in SQLite; without a path, nothing."""

    def __init__(self, path: str) -> None:
        self._path, self._row = path, 0

    def prepare(self) -> None:
        """Make the table.

        Raises:
            sqlite3.Error: the file is no database, or cannot be written.
        """
        if self._path:
            with self._connect() as db:
                db.execute(
                    "CREATE TABLE IF NOT EXISTS runs (id INTEGER PRIMARY KEY, experiment_id TEXT, fingerprint TEXT, config TEXT, "
                    "world INTEGER, device TEXT, began TEXT, ended TEXT, status TEXT, step INTEGER, loss REAL, node_tps_p50 REAL)"
                )

    def begin(self, config: Config, world: int, device: str) -> None:
        if not self._path:
            return
        self.prepare()
        with self._connect() as db:
            row = db.execute(
                "INSERT INTO runs (experiment_id, fingerprint, config, world, device, began, status) "
                "VALUES (?, ?, ?, ?, ?, ?, 'running')",
                (config.experiment_id, config.fingerprint(), config.to_toml(), world, device, _now()),
            )
            self._row = row.lastrowid or 0

    def end(self, status: str, step: int, loss: float | None, node_tps_p50: float) -> None:
        if self._row:
            with self._connect() as db:
                db.execute(
                    "UPDATE runs SET ended = ?, status = ?, step = ?, loss = ?, node_tps_p50 = ? WHERE id = ?",
                    (_now(), status, step, loss, node_tps_p50, self._row),
                )

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=30)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
