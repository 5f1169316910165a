"""One build: which gates are proven, which can run here, and what came of those that did.

Nothing starts before everything that can be known is known: declarations, commits, required variables and platforms of all
gates are checked first, and one error lists all that is missing.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, Protocol

from ..answers import BuildReport, GateOutcome
from ..digest.analysis import Analysis
from ..errors import Fault, HostError, SnapshotError
from ..git.objects import GITLINK, TREE
from ..inputs.input import Form, Input
from ..label import Label
from ..model import Action, Contract, Gate, InputFile, Job, PerfBudget, Result, Verdict
from ..store.local import Store
from .host import host_archs, host_gpus, lacking
from .interleaved import Comparison, compare
from .local import prove
from .perf import Bench, PerfJudge

__all__ = ["Builder", "Events"]

_LFS = b"version https://git-lfs.github.com/spec/"


class Events(Protocol):
    """What a build says as it goes.  Called from any thread."""

    def started(self, label: str) -> None: ...

    def waiting(self, label: str) -> None: ...

    def finished(self, outcome: GateOutcome) -> None: ...

    def warn(self, text: str) -> None: ...


class _Silent:
    def started(self, label: str) -> None:
        return None

    def waiting(self, label: str) -> None:
        return None

    def finished(self, outcome: GateOutcome) -> None:
        return None

    def warn(self, text: str) -> None:
        return None


class Builder:
    """Proves the gates of one analysed snapshot."""

    def __init__(
        self,
        analysis: Analysis,
        store: Store,
        hidden: tuple[str, ...],
        events: Events | None = None,
        perf: PerfJudge | None = None,
    ) -> None:
        self._perf = perf
        self._analysis, self._store, self._hidden = analysis, store, hidden
        self._events: Events = events or _Silent()
        self._cancelled = threading.Event()
        self._outputs: dict[Label, Result] = {}
        self._listed: bytes | None = None
        self._prepare = threading.RLock()  # dulwich and the memo are not made for threads

    # -- the run ---------------------------------------------------------------------------------------------------------------

    def build(
        self,
        chosen: Sequence[Label],
        *,
        keep_going: bool,
        jobs: int | None,
        dry_run: bool,
        use_cache: bool,
        without: frozenset[Label] = frozenset(),
    ) -> BuildReport:
        """Prove the gates that the labels stand for, but for those in `without`, and make the actions among them.

        The gate that a budget compares is proven all the same: without it nothing can be judged.
        """
        items, budgets = self._asked(chosen, without)
        with self._store.in_use():
            outcomes: dict[Label, GateOutcome] = {}
            todo: list[Gate | Action] = []
            for item in items:
                ready = self._known(item, use_cache)
                if ready is None:
                    todo.append(item)
                else:
                    outcomes[item.label] = ready
                    self._events.finished(ready)
            self._check_requires([item for item in todo if isinstance(item, Gate)])
            if dry_run:
                for item in todo:
                    outcomes[item.label] = self._outcome(item, Verdict.NOT_RUN, "would run")
            else:
                self._run_all(todo, outcomes, keep_going, jobs or min(4, os.cpu_count() or 1), use_cache)
            listed = [outcomes[item.label] for item in items]
            for contract, budget, gate in budgets:
                assert self._perf is not None
                compared = outcomes[Label.of_gate(gate.compare_gate or "")]
                listed.append(self._perf.judge(contract, budget, gate, compared, self._bench(use_cache, dry_run)))
                self._events.finished(listed[-1])
            rows = tuple(sorted(listed, key=lambda row: (row.label, row.reason)))
            return BuildReport(rows, self._exit_code(rows))

    def _asked(
        self, chosen: Sequence[Label], without: frozenset[Label]
    ) -> tuple[list[Gate | Action], list[tuple[Contract, PerfBudget, Gate]]]:
        """The gates and actions to prove, sorted by label, and the budgets to judge by them."""
        graph = self._analysis.graph
        actions = [target for label in chosen if isinstance(target := graph.targets[label], Action)]
        items: list[Gate | Action] = [*graph.gates_of(chosen), *actions]
        budgets = self._perf.budgets(chosen) if self._perf is not None else []
        budgets = [row for row in budgets if row[2].label not in without]
        judged = {gate.label for _, _, gate in budgets}
        left_out = without - {Label.of_gate(gate.compare_gate or "") for _, _, gate in budgets}
        items = [item for item in items if item.label not in judged | left_out]
        return sorted(items, key=lambda item: item.label), budgets

    def _bench(self, use_cache: bool, dry_run: bool) -> Bench:
        """What a comparison of two snapshots is made with."""

        def at(other: Analysis) -> Builder:
            return Builder(other, self._store, self._hidden, self._events)

        def run(what: Comparison, jobs: tuple[Job, Job]) -> tuple[Result, bool]:
            label = str(what.gate.label)
            self._events.started(label)
            return compare(
                what,
                jobs,
                self._store,
                use_cache=use_cache,
                warn=self._events.warn,
                cancelled=self._cancelled,
                on_wait=lambda: self._events.waiting(label),
            )

        return Bench(self, at, run, use_cache, dry_run)

    def _exit_code(self, rows: Sequence[GateOutcome]) -> int:
        if any(row.verdict is Verdict.CANCELLED for row in rows):
            return 130
        unproven = [row for row in rows if not row.proven]
        elsewhere = [row for row in unproven if row.verdict is Verdict.NOT_RUN and row.reason.startswith(_NOT_HERE)]
        broken = [row for row in unproven if row.verdict is Verdict.INFRA_ERROR]
        if not rows or len(unproven) > len(elsewhere) + len(broken):
            return 1
        return 3 if unproven else 0

    def _run_all(
        self, todo: list[Gate | Action], outcomes: dict[Label, GateOutcome], keep_going: bool, jobs: int, use_cache: bool
    ) -> None:
        waiting = list(todo)
        running: dict[Future[GateOutcome], Gate | Action] = {}
        stopped = False
        with ThreadPoolExecutor(max_workers=max(1, jobs)) as pool:
            try:
                while waiting or running:
                    while waiting and not stopped and len(running) < max(1, jobs):
                        item = waiting.pop(0)
                        running[pool.submit(self._run_one, item, use_cache)] = item
                    if stopped and not running:
                        break
                    done, _ = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
                    for future in done:
                        item = running.pop(future)
                        outcome = future.result()
                        outcomes[item.label] = outcome
                        self._events.finished(outcome)
                        if not outcome.proven and not keep_going:
                            stopped = True
            except BaseException:
                # Ctrl-C or an error of ours: nobody's process tree stays behind.
                self._cancelled.set()
                wait(running)
                raise
        for item in waiting:
            outcomes[item.label] = self._outcome(item, Verdict.NOT_RUN, "stopped after a failure; --keep-going runs the rest")

    # -- one gate --------------------------------------------------------------------------------------------------------------

    def _outcome(
        self, item: Gate | Action, verdict: Verdict, reason: str, result: Result | None = None, cached: bool = False
    ) -> GateOutcome:
        accept = item.accept_flaky if isinstance(item, Gate) else False
        return GateOutcome(
            label=str(item.label),
            verdict=verdict,
            cached=cached,
            reason=reason,
            action_key=self._analysis.digest(item.label),
            commit=(result.commit if result else None) or (None if result else self._analysis.snapshot.commit),
            duration_s=result.duration_s if result else 0.0,
            started=result.started if result else "",
            attempts=result.attempts if result else 0,
            means=result.means if result else "",
            proven=result is not None and verdict.proves(accept),
            log_digest=result.log_digest if result else "",
        )

    def _known(self, item: Gate | Action, use_cache: bool) -> GateOutcome | None:
        """The outcome of a gate that need not, or cannot, run here; None for one that is to run."""
        key = self._analysis.digest(item.label)
        if isinstance(item, Gate) and item.gate_kind == "perf":
            return self._outcome(
                item, Verdict.NOT_RUN, "a perf gate is judged for a contract, against its baseline; there is none here"
            )
        proof = self._proof(item, key) if use_cache else None
        if proof is not None:
            whose = f", {proof.reason}" if proof.reason else ""
            return self._outcome(item, proof.verdict, f"proven {proof.where}{whose}", proof, cached=True)
        inputs = self._analysis.inputs(item.label)
        if inputs.problems:
            return self._outcome(item, Verdict.FAILED, inputs.problems[0])
        reason = self.why_not_here(item)
        return self._outcome(item, Verdict.NOT_RUN, reason) if reason else None

    def _proof(self, item: Gate | Action, key: str) -> Result | None:
        accept = item.accept_flaky if isinstance(item, Gate) else False
        return self._store.proof(key, timeout_s=item.timeout_s, accept_flaky=accept)

    def why_not_here(self, item: Gate | Action) -> str:
        """What a gate needs and this machine is not; empty where it can run here."""
        wants = lacking(self._analysis.inputs(item.label).toolchains)
        for label in self._actions_below(item):
            wants += [one for one in lacking(self._analysis.inputs(label).toolchains) if one not in wants]
        if isinstance(item, Gate) and item.arch and item.arch not in host_archs():
            wants.append(item.arch)
        if isinstance(item, Gate) and item.gpus > len(host_gpus()):
            wants.append(f"{item.gpus} GPU{'s' if item.gpus > 1 else ''}")
        if not wants:
            return ""
        return f"{_NOT_HERE} {' and '.join(wants)}, and no executor is configured that has them; run it on such a machine"

    def _check_requires(self, gates: Sequence[Gate]) -> None:
        missing: dict[str, list[str]] = {}
        for gate in gates:
            for name in gate.requires:
                if name not in os.environ:
                    missing.setdefault(name, []).append(gate.gate_id)
        if missing:
            raise HostError(
                Fault(f"environment variable {name} is not set and is required by {', '.join(ids)}", None, f"export {name}=...")
                for name, ids in sorted(missing.items())
            )

    def _run_one(self, item: Gate | Action, use_cache: bool) -> GateOutcome:
        label = str(item.label)
        try:
            with self._prepare:
                job = self.job(item)
            if isinstance(job, str):
                return self._outcome(item, Verdict.FAILED, job)
            self._events.started(label)
            result, cached = prove(
                job,
                self._store,
                use_cache=use_cache,
                warn=self._events.warn,
                cancelled=self._cancelled,
                on_wait=lambda: self._events.waiting(label),
            )
        except HostError as error:
            return self._outcome(item, Verdict.INFRA_ERROR, error.faults[0].what)
        if cached:
            return self._outcome(item, result.verdict, "proven by another build just now", result, cached=True)
        return self._outcome(item, result.verdict, result.reason, result)

    # -- jobs ------------------------------------------------------------------------------------------------------------------

    def job(self, item: Gate | Action) -> Job | str:
        """The job of a gate or an action, or the reason why it fails before it runs."""
        inputs = self._analysis.inputs(item.label)
        if inputs.problems:
            return str(inputs.problems[0])
        files: dict[str, InputFile] = {}
        for one in inputs.items:
            if one.form is not Form.OUTPUT:
                for file in self._files(one):
                    files[file.path] = file
        for label in self._actions_below(item):
            made = self._make(label)
            if made.verdict is Verdict.INFRA_ERROR:
                raise HostError(f"{label} is needed and could not be made: {made.reason}")
            if not made.verdict.proves():
                return f"{label} is needed and {made.verdict.value}: {made.reason}"
            for output in made.outputs:
                files[output.path] = InputFile(output.path, output.mode, _reader(self._store.blob, output.digest))
        gate = item if isinstance(item, Gate) else None
        snapshot = self._analysis.snapshot
        return Job(
            action_key=self._analysis.digest(item.label),
            label=str(item.label),
            cmd=item.cmd,
            timeout_s=item.timeout_s,
            files=tuple(files[path] for path in sorted(files)),
            env=item.env,
            pass_env=gate.requires if gate else (),
            gpus=gate.gpus if gate else 0,
            retries=gate.retries if gate else 0,
            accept_flaky=gate.accept_flaky if gate else False,
            outs=() if gate else item.outs if isinstance(item, Action) else (),
            own_modules=tuple(sorted(self._analysis.gatherer.own_modules() | set(inputs.own_modules))),
            hidden=self._hidden,
            writable=tuple(os.environ[name] for name in gate.writable) if gate else (),
            names=self._names(),
            commit=snapshot.commit,
            tree=snapshot.tree,
            expects=gate.expects if gate else (),
        )

    def _names(self) -> Callable[[], bytes]:
        """Every path of the snapshot, a line each, between line ends.

        Listed while the job is prepared: whoever runs it holds the lock of its key, and must not wait for the preparation of
        another, which may wait for that key.
        """
        with self._prepare:
            if self._listed is None:
                self._listed = b"\n" + b"".join(os.fsencode(path) + b"\n" for path, _, _ in self._analysis.snapshot.walk())
            listed = self._listed
        return lambda: listed

    def _actions_below(self, item: Gate | Action) -> list[Label]:
        """Actions whose outs are inputs: those reached through deps without passing another action."""
        graph = self._analysis.graph
        found: list[Label] = []
        seen: set[Label] = set()
        pending = list(item.deps)
        while pending:
            label = pending.pop(0)
            if label in seen:
                continue
            seen.add(label)
            target = graph.targets[label]
            if isinstance(target, Action):
                found.append(label)
            else:
                pending += graph.deps(label)
        return sorted(found)

    def _make(self, label: Label) -> Result:
        """An action's result, made now if it is not there; the caller holds the preparation lock, so each is made once."""
        if label not in self._outputs:
            action = self._analysis.graph.targets[label]
            assert isinstance(action, Action)
            inputs = self._analysis.inputs(label)
            key = self._analysis.digest(label)
            if inputs.problems:
                return Result(key, str(label), Verdict.FAILED, inputs.problems[0])
            job = self.job(action)
            if isinstance(job, str):
                return Result(key, str(label), Verdict.FAILED, job)
            self._events.started(str(label))
            self._outputs[label], _ = prove(job, self._store, use_cache=True, warn=self._events.warn, cancelled=self._cancelled)
        return self._outputs[label]

    def _files(self, item: Input) -> list[InputFile]:
        objects = self._analysis.snapshot.objects
        rows = list(self._analysis.snapshot.walk(item.path)) if item.form is Form.TREE else []
        if not rows and item.mode not in (TREE, GITLINK):
            entry = self._analysis.snapshot.entry(item.path)
            rows = [(item.path, entry[0], entry[1])] if entry else []
        files = []
        for path, mode, blob in rows:
            if mode == GITLINK:
                continue
            data = objects.blob(blob)
            if data.startswith(_LFS) and len(data) < 1024:
                raise SnapshotError(
                    f"{path} is a Git LFS pointer, not the file",
                    hint="git lfs pull, then commit nothing: or keep it out of the inputs",
                )
            files.append(InputFile(path, mode, _reader(objects.blob, blob)))
        return files


#: How the reason of a gate begins that this machine cannot run.
_NOT_HERE = "needs"


def _reader(read: Any, name: str) -> Any:
    def data() -> bytes:
        found = read(name)
        if found is None:
            raise HostError(f"blob {name[:12]} is gone from the store", hint="build again with --no-cache")
        return bytes(found)

    return data
