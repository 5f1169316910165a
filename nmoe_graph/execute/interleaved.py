"""Baseline and change, in turn, in one job: the same machine and the same GPUs throughout, each run in a fresh sandbox.

What is kept is one result under the key of the comparison, with the samples of every run under a name of its own; whoever holds
it can come to the decision again.  It is written once, at the end: a build that was killed leaves nothing, and starts anew.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from ..errors import HostError
from ..metrics import samples_of
from ..model import Gate, Job, PerfBudget, Result, Verdict
from ..plan.interleaved import BASELINE, CHANGE, RATCHET, decide_kept, order, run_name
from ..plan.perf import PerfDecision
from ..store.local import Store
from .host import host_gpus
from .local import Warn, attempt
from .sandbox import choose_means

__all__ = ["Comparison", "compare"]

_MOST_LOG = 1 << 20  # of one run


@dataclass(frozen=True)
class Comparison:
    """What is held against each other, and how.  `shift` finds the ratchet for the platform of a comparison."""

    key: str
    gate: Gate  # of kind perf
    budget: PerfBudget
    shift: Callable[[Result], float]

    def decision(self, result: Result) -> PerfDecision:
        """The decision by the samples of a comparison that was made, whatever it says itself."""
        return decide_kept(result, self.gate, self.budget, self.shift(result))

    def kept(self, store: Store) -> Result | None:
        """One that passed and whose samples still say so, made here or proven by others."""
        found = store.proof(self.key, timeout_s=self.gate.timeout_s or 10**9)
        if found is None or found.label != str(self.gate.label):
            return None
        return found if self.decision(found).verdict is Verdict.PASSED else None


def compare(
    what: Comparison,
    jobs: tuple[Job, Job],
    store: Store,
    *,
    use_cache: bool,
    warn: Warn,
    cancelled: threading.Event | None = None,
    on_wait: Callable[[], None] | None = None,
) -> tuple[Result, bool]:
    """A comparison that is kept and passes, or a new one of two jobs, the baseline's and the change's; two builds that want the
    same one make it once.

    Returns the result, and whether it was there already.  A run of the change that fails makes it `failed`; one of the baseline
    says nothing of the change, so that is `inconclusive`.  Trouble of the machine and a cancellation are not kept.

    Raises:
        HostError: the machine cannot run it at all.
    """
    with store.lock(what.key, on_wait, cancelled.is_set if cancelled else None):
        if use_cache and (kept := what.kept(store)) is not None:
            return kept, True
        return _run(what, dict(zip((BASELINE, CHANGE), jobs, strict=True)), store, warn, cancelled), False


def _run(what: Comparison, jobs: dict[str, Job], store: Store, warn: Warn, cancelled: threading.Event | None) -> Result:
    if shutil.which("bash") is None:
        raise HostError("bash is not here, and commands run under it", hint="install bash")
    means = choose_means()
    began = time.monotonic()
    first: Result | None = None
    metrics: dict[str, tuple[float, ...]] = {}
    logs: list[bytes] = []
    ended: tuple[Verdict, str] | None = None
    gpus_needed = max(job.gpus for job in jobs.values())
    with store.gpu_slots(gpus_needed, host_gpus(), cancelled.is_set if cancelled else None) as gpus:
        for side, number in order(what.gate.rounds):
            if cancelled is not None and cancelled.is_set():
                ended = (Verdict.CANCELLED, "interrupted")
                break
            left = what.gate.timeout_s - (time.monotonic() - began) if what.gate.timeout_s else jobs[side].timeout_s
            if left <= 0:
                ended = (Verdict.TIMED_OUT, f"the comparison ran into its limit of {what.gate.timeout_s} s")
                break
            job = jobs[side]
            run, log = attempt(replace(job, timeout_s=min(job.timeout_s, max(1, int(left)))), store, means, gpus, cancelled)
            first = first or run
            logs.append(b"[%s, round %d of %d]\n%s\n" % (side.encode(), number, what.gate.rounds, log[-_MOST_LOG:]))
            ended = _trouble(side, number, run, what)
            if ended is not None:
                break
            metrics[run_name(side, number)] = tuple(samples_of(run.metrics, what.budget.metric))
    assert first is not None or ended is not None
    made = Result(
        what.key,
        str(what.gate.label),
        Verdict.INCONCLUSIVE,
        started=first.started if first else "",
        duration_s=time.monotonic() - began,
        commit=jobs[CHANGE].commit,
        tree=jobs[CHANGE].tree,
        means=means,
        fingerprint=first.fingerprint if first else (),
        metrics=metrics,
    )
    if ended is not None:
        made = replace(made, verdict=ended[0], reason=ended[1])
    else:
        decision = what.decision(made)
        if (shift := what.shift(made)) != 1.0:
            made = replace(made, metrics={**metrics, RATCHET: (shift,)})
        made = replace(made, verdict=decision.verdict, reason=decision.reason, exit_code=0)
    if made.verdict in (Verdict.INFRA_ERROR, Verdict.CANCELLED):
        return made
    return store.record(made, b"".join(logs), warn)


def _trouble(side: str, number: int, run: Result, what: Comparison) -> tuple[Verdict, str] | None:
    """What a run came to where it left no samples that count; None where it did."""
    where = f"round {number} of {what.gate.rounds}, the {side}"
    if run.verdict in (Verdict.INFRA_ERROR, Verdict.CANCELLED):
        return run.verdict, f"{where}: {run.reason}"
    if run.verdict is not Verdict.PASSED:
        words = f"{where} {run.verdict.value.replace('_', ' ')}: {run.reason}"
    elif not samples_of(run.metrics, what.budget.metric):
        words = f"{where} left no samples of {what.budget.metric} that count"
    else:
        return None
    return Verdict.INCONCLUSIVE if side == BASELINE else Verdict.FAILED, words
