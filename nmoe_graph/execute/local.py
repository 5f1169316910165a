"""The local executor: one job, run here, judged by its exit status and by nothing that it says of itself."""

from __future__ import annotations

import os
import shutil
import stat
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from ..errors import HostError
from ..excerpt import one_line, plain
from ..model import Job, Output, Result, Verdict
from ..safe import ALL_BUT_PATHS, redact
from ..store.local import Store
from .evidence import Evidence
from .fingerprint import fingerprint
from .host import host_gpus
from .process import Ended, run_command
from .sandbox import Sandbox, choose_means

__all__ = ["Warn", "attempt", "prove", "run_job"]

Warn = Callable[[str], None]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _verdict(ended: Ended) -> tuple[Verdict, str]:
    if ended.lost:
        return Verdict.INFRA_ERROR, "the supervisor was killed, so nothing is known of the gate"
    if ended.timed_out:
        return Verdict.TIMED_OUT, f"ran into its limit after {ended.duration_s:.0f} s"
    if ended.stopped:
        return Verdict.CANCELLED, "interrupted"
    if ended.signal is not None:
        return Verdict.FAILED, f"ended by signal {ended.signal}"
    if ended.exit_code != 0:
        return Verdict.FAILED, f"exit {ended.exit_code}{_last_line(ended.log)}"
    return Verdict.PASSED, ""


def _last_line(log: bytes) -> str:
    lines = [line for line in plain(log[-65_536:].decode("utf-8", "replace")).split("\n") if line.strip()]
    return f": {one_line(lines[-1], limit=160)}" if lines else ""


def _collect(job: Job, box: Sandbox, store: Store) -> tuple[tuple[Output, ...], str]:
    """The outs of an action, kept as blobs; or why it fails."""
    outputs = []
    for out in job.outs:
        path = box.root / out
        try:
            info = os.lstat(path)
        except OSError:
            return (), f"{out} was declared in outs and was not made"
        if not stat.S_ISREG(info.st_mode):
            return (), f"{out} is no regular file"
        mode = 0o100755 if info.st_mode & 0o100 else 0o100644
        try:
            outputs.append(Output(out, mode, store.put_blob(path.read_bytes())))
        except OSError as error:
            raise HostError(f"{out} cannot be kept: {error.strerror}") from None
    return tuple(outputs), ""


def attempt(job: Job, store: Store, means: str, gpus: tuple[str, ...], cancelled: threading.Event | None) -> tuple[Result, bytes]:
    """One run in a fresh sandbox, on GPUs that the caller holds: what came of it, not yet kept, and its log.

    Raises:
        HostError: the machine cannot run it at all.
    """
    started = _now()
    blank = Result(
        job.action_key,
        job.label,
        Verdict.INFRA_ERROR,
        started=started,
        commit=job.commit,
        tree=job.tree,
        means=means,
        fingerprint=fingerprint(job.gpus),
    )
    with Sandbox(job, means) as box:
        if failure := box.fill():
            return replace(blank, verdict=Verdict.FAILED, reason=failure), failure.encode() + b"\n"
        env = box.environment(gpus)
        evidence = Evidence(job, box.root, env)
        ended = run_command(box.command(), box.root, env, job.timeout_s, cancelled, stray=f"TMPDIR={env['TMPDIR']}")
        verdict, reason = _verdict(ended)
        outputs: tuple[Output, ...] = ()
        if breach := box.breaches():
            verdict, reason = (Verdict.FAILED, breach) if verdict in (Verdict.PASSED, Verdict.FAILED) else (verdict, reason)
        if verdict is Verdict.PASSED and job.outs:
            outputs, failure = _collect(job, box, store)
            if failure:
                verdict, reason = Verdict.FAILED, failure
        metrics: dict[str, tuple[float, ...]] = {}
        if verdict is Verdict.PASSED and job.expects:
            metrics, failure = evidence.judge(ended.log)
            if failure:
                verdict, reason = Verdict.FAILED, one_line(f"exit 0, and {failure}")
        log = ended.log
        if verdict is Verdict.FAILED and not breach and (missed := box.missed(log)):
            reason = f"{reason}; {missed}"
        if notes := box.notes():
            log += b"".join(b"\n[%s]" % note.encode("utf-8", "replace") for note in notes) + b"\n"
        if ended.left_behind:
            log += f"\n[{ended.left_behind} processes outlived the command and were ended]\n".encode()
    return (
        replace(
            blank,
            verdict=verdict,
            reason=redact(reason, kinds=ALL_BUT_PATHS),
            exit_code=ended.exit_code,
            signal=ended.signal,
            duration_s=ended.duration_s,
            outputs=outputs,
            metrics=metrics,
        ),
        log,
    )


def run_job(job: Job, store: Store, *, warn: Warn, cancelled: threading.Event | None = None) -> Result:
    """Run a job, with its retries, and keep what came of it.

    Infrastructure trouble and a cancellation are returned and not kept: they say nothing about the code.

    Raises:
        HostError: the machine cannot run it at all.
    """
    if shutil.which("bash") is None:
        raise HostError("bash is not here, and commands run under it", hint="install bash")
    means = choose_means()
    with store.gpu_slots(job.gpus, host_gpus(), cancelled.is_set if cancelled else None) as gpus:
        attempts = 0
        logs: list[bytes] = []
        while True:
            attempts += 1
            result, log = attempt(job, store, means, gpus, cancelled)
            logs.append(log)
            again = result.verdict in (Verdict.FAILED, Verdict.TIMED_OUT) and attempts <= job.retries
            if not again:
                break
    if result.verdict is Verdict.PASSED and attempts > 1:
        result = replace(result, verdict=Verdict.FLAKY, reason=f"passed only at attempt {attempts}")
    result = replace(result, attempts=attempts)
    if result.verdict in (Verdict.INFRA_ERROR, Verdict.CANCELLED):
        return result
    whole = logs[0] if attempts == 1 else b"".join(b"[attempt %d]\n%s\n" % (number, log) for number, log in enumerate(logs, 1))
    return store.record(result, whole, warn)


def prove(
    job: Job,
    store: Store,
    *,
    use_cache: bool,
    warn: Warn,
    cancelled: threading.Event | None = None,
    on_wait: Callable[[], None] | None = None,
) -> tuple[Result, bool]:
    """A stored proof of the job, or a run of it; two builds that want the same key at once run it once.

    Returns the result, and whether it was there already.
    """
    with store.lock(job.action_key, on_wait, cancelled.is_set if cancelled else None):
        if use_cache:
            proof = store.proof(job.action_key, timeout_s=job.timeout_s, accept_flaky=job.accept_flaky)
            if proof is not None:
                return proof, True
        if cancelled is not None and cancelled.is_set():
            return Result(job.action_key, job.label, Verdict.CANCELLED, "interrupted", commit=job.commit), False
        return run_job(job, store, warn=warn, cancelled=cancelled), False
