"""Can a gate fail?  Damage its inputs one at a time, run it for real, and see what it notices.  Nothing of this is recorded."""

from __future__ import annotations

import os
import random
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from ..answers import AuditFinding, AuditReport, GateAudit
from ..digest.analysis import Analysis
from ..inputs.input import Reason
from ..label import Label
from ..load.globs import Glob
from ..model import Contract, Gate, InputFile, Job, Verdict
from ..store.local import Store
from .build import Builder
from .local import run_job
from .mutants import Mutant, mutants

__all__ = ["audit"]

Say = Callable[[str], None]
_NOTICED = (Verdict.FAILED, Verdict.TIMED_OUT)


def audit(
    analysis: Analysis,
    store: Store,
    hidden: tuple[str, ...],
    chosen: Iterable[Label],
    *,
    budget: int,
    seed: int,
    jobs: int,
    say: Say,
) -> AuditReport:
    """Audit the gates that the labels stand for: what their declarations say, and what they notice.

    Raises:
        HostError: this machine cannot run gates at all.
    """
    gates = [gate for gate in analysis.graph.gates_of(chosen) if gate.gate_kind == "command"]
    builder = Builder(analysis, store, hidden)
    rows = []
    with tempfile.TemporaryDirectory(prefix="nmoe-graph-audit-") as aside:
        for gate in gates:
            reason = builder.why_not_here(gate)
            job = reason or _unready(analysis, gate) or builder.job(gate)
            if isinstance(job, str):
                rows.append(GateAudit(str(gate.label), reason=job))
                continue
            say(f"auditing {gate.gate_id}")
            rows.append(_one(gate, job, Store(Path(aside)), budget, seed, jobs))
    return AuditReport(tuple(rows), tuple(sorted(_declared(analysis, gates), key=lambda one: (one.label, one.what))), seed)


def _unready(analysis: Analysis, gate: Gate) -> str:
    """Why a gate cannot run at all, here and now."""
    problems = analysis.inputs(gate.label).problems
    missing = [f"environment variable {name} is not set" for name in gate.requires if name not in os.environ]
    return next(iter([*problems, *missing]), "")


def _one(gate: Gate, job: Job, aside: Store, budget: int, seed: int, jobs: int) -> GateAudit:
    cancelled = threading.Event()
    label = str(gate.label)

    def verdict(files: tuple[InputFile, ...]) -> Verdict:
        changed = replace(job, files=files, retries=0, commit=None)
        return run_job(changed, aside, warn=lambda text: None, cancelled=cancelled).verdict

    if verdict(job.files) is not Verdict.PASSED:
        return GateAudit(label, reason="it does not pass as it is, so nothing can be learnt from it")
    tried = _sample(job.files, budget, random.Random(f"{seed} {label}"))
    with ThreadPoolExecutor(max_workers=max(1, jobs)) as pool:
        try:
            verdicts = list(pool.map(lambda one: verdict(_with(job.files, one[0], one[1].data)), tried))
        except BaseException:
            cancelled.set()  # Ctrl-C: no gate goes on behind our back
            raise
    survived: list[tuple[str, str]] = []
    noticed: set[str] = set()
    lost = 0
    for (file, mutant), came in zip(tried, verdicts, strict=True):
        if came in _NOTICED:
            noticed.add(file.path)
        elif came is Verdict.PASSED:
            survived.append((file.path, mutant.what))
        else:
            lost += 1
    idle = sorted({path for path, _ in survived} - noticed)
    return GateAudit(
        label, runs=len(tried) - lost, killed=len(tried) - lost - len(survived), survived=tuple(sorted(survived)), idle=tuple(idle)
    )


def _sample(files: Sequence[InputFile], budget: int, pick: random.Random) -> list[tuple[InputFile, Mutant]]:
    """Mutants of every input in turn, the inputs in random order, until the budget is used."""
    regular = [file for file in files if file.mode != 0o120000]
    pick.shuffle(regular)
    waiting = []
    for file in regular:
        made = list(mutants(file.path, file.read()))
        pick.shuffle(made)
        if made:
            waiting.append((file, made))
        if len(waiting) >= budget:
            break
    tried: list[tuple[InputFile, Mutant]] = []
    while waiting and len(tried) < budget:
        for file, made in waiting[: budget - len(tried)]:
            tried.append((file, made.pop()))
        waiting = [(file, made) for file, made in waiting if made]
    return tried


def _with(files: tuple[InputFile, ...], changed: InputFile, data: bytes) -> tuple[InputFile, ...]:
    return tuple(replace(file, read=lambda: data) if file is changed else file for file in files)


def _declared(analysis: Analysis, gates: Sequence[Gate]) -> list[AuditFinding]:
    """What declarations alone show."""
    found = []
    twins: dict[str, Gate] = {}
    for gate in gates:
        label = str(gate.label)
        twin = twins.setdefault(analysis.digest(gate.label), gate)
        if twin is not gate:
            found.append(AuditFinding(label, f"is the same action as {twin.gate_id}: one of them is no second check"))
        alone = analysis.gatherer.of(replace(gate, requires_files=()))[0].by_path()
        whole = any(item.reason is Reason.WHOLE_TREE for item in alone.values())
        for path in () if whole else gate.requires_files:
            if not any(name == path or name.startswith(path + "/") for name in alone):
                what = f"requires {path}, which its command does not name and nothing that it runs reaches"
                found.append(AuditFinding(label, what))
    judges = {gate.gate_id for gate in gates}
    kinds = ("gate", "bundle", "files", "python", "action", "toolchain")
    places = sorted({target.at.file for target in analysis.graph if target.at is not None and target.kind in kinds})
    for contract in analysis.graph.contracts():
        mine = [path for path in places if _may_change(contract, path)]
        if mine and judges.intersection(contract.required):
            what = f"may change {', '.join(mine)}, where the gates that judge it are defined"
            found.append(AuditFinding(str(contract.label), what))
    return found


def _may_change(contract: Contract, path: str) -> bool:
    allowed = any(Glob(pattern).matches(path) for pattern in contract.allow)
    return allowed and not any(Glob(pattern).matches(path) for pattern in contract.deny)
