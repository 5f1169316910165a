"""The plan for real branches: facts are collected, `plan` decides, and each step is made as it will be.

This is where `plan` (pure) meets git, the analysis and the store.
"""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

from .. import plan
from ..answers import BuildReport
from ..digest.analysis import Analysis, Row, Table, engine_stamp
from ..digest.manifest import value_digest
from ..digest.patched import Patched
from ..digest.rules import Rules
from ..errors import DeclarationError, SnapshotError, UsageError, did_you_mean
from ..git.merging import Merger, MergeResult, conflict_lines
from ..git.repository import Repository
from ..git.snapshot import Snapshot
from ..inputs.files import FileReader
from ..label import Label
from ..load.globs import Glob
from ..model import Contract, Gate
from ..plan.conflicts import choose
from ..plan.control import control_plane, control_words
from ..plan.cost import Candidate, GatePrice
from ..plan.merge import (
    Batch,
    Conflict,
    GateState,
    HandBack,
    MergePlan,
    Status,
    Step,
    Totals,
    id_order,
    landing_order,
    shared_hotspots,
)
from ..plan.order import Planned, plan_batches
from ..plan.probe import Probe, Seen, next_probe
from ..plan.risk import PRIORS, posterior
from ..result import Verdict
from ..store.local import Store
from ..store.memo import SqliteMemo
from .branches import Branch, Branches, OwnWork
from .scope import knob_faults, scope_faults

__all__ = ["CONTROL_PLANE", "MergePlanner", "Wishes"]

_MOST_NOTED = 5
_ROUNDS = 12

#: How the note of a contract begins that changes the rules.
CONTROL_PLANE = "control plane"
_NO_EVIDENCE = (Verdict.INFRA_ERROR, Verdict.TIMED_OUT, Verdict.CANCELLED)
_NO_GIT = "merged without following renames, and only where changes lie clearly apart: git 2.38 is not here"


class Asked(Protocol):
    """What the planner asks of the workspace that it plans for."""

    repository: Repository
    memo: SqliteMemo

    @property
    def store(self) -> Store: ...

    def analysis(self, at: str | Snapshot | None = None) -> Analysis: ...

    def base_ref(self, at: str | None = None) -> str | None: ...

    def synced(self) -> Snapshot | None: ...

    def build(self, labels: Sequence[str] | str, at: str | Snapshot | None = None, *, keep_going: bool = False) -> BuildReport: ...


@dataclass(frozen=True)
class Wishes:
    """What whoever asks wants: chances of failing by contract, what counts first, runners, the longest batch (0: any)."""

    risks: Mapping[str, float] = field(default_factory=dict)
    objective: str = "gpu"
    runners: int = 1
    max_batch: int = 0


@dataclass(slots=True)
class _Facts:
    """A contract with a branch: what is merged, onto whose work, and how that went."""

    branch: Branch
    own: OwnWork
    alone: MergeResult | None = None  # on the base; None where it stands on work that is not there
    exact: bool = True


@dataclass(frozen=True)
class _Recorded:
    """What the store tells of all runs at once: how long the passes took, by label, and the trees that were tested."""

    durations: dict[str, list[float]] = field(default_factory=dict)
    trees: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, store: Store) -> _Recorded:
        found = cls()
        for result in store.all():
            found.trees.add(result.tree)
            if result.verdict in (Verdict.PASSED, Verdict.FLAKY):
                found.durations.setdefault(result.label, []).append(result.duration_s)
        return found


class MergePlanner:
    """Collects facts and makes the steps."""

    def __init__(
        self, workspace: Asked, at: str | None, base: str | None, branches: Mapping[str, str], wishes: Wishes | None = None
    ) -> None:
        self._workspace, self._repository = workspace, workspace.repository
        self._wishes = wishes or Wishes()
        self._graph = workspace.analysis(at).graph
        self._notes: list[str] = []
        ref = base or workspace.base_ref(at)
        if ref is None:
            ref = "HEAD"
            listed = ", ".join(self._graph.workspace.base) or "no base is declared"
            self._notes.append(f"planned on HEAD, since no base ref is here ({listed})")
        self.base_ref = ref
        self.base = self._repository.resolve(ref)
        self.base_tree = self._repository.objects.commit_fields(self.base)[0]
        self._contracts: dict[str, Contract] = {contract.issue: contract for contract in self._graph.contracts()}
        self._named: dict[str, str] = {}
        for issue, named in branches.items():
            self._named[self.known(issue).issue] = named
        for issue in self._wishes.risks:
            self.known(issue)
        self._branches = Branches(self._repository, workspace.memo, self.base)
        self._tables: dict[str, Table | None] = {}
        self._faults: dict[str, str] = {}
        self._environment = ""
        self._control: Rules | None = None
        self._by_patches: dict[str, Patched] = {}
        self._analyses: dict[str, Analysis] = {}
        self._recorded = _Recorded.of(workspace.store)
        self._merger: Merger

    def known(self, issue: str) -> Contract:
        issue = issue.removeprefix("//contracts:").removeprefix("//merges:")
        found = self._contracts.get(issue)
        if found is None:
            raise UsageError(
                f"there is no contract {issue}", hint=did_you_mean(issue, self._contracts) or "ids are text, as written: 01, 03a"
            )
        return found

    def contracts(self) -> tuple[Contract, ...]:
        """All contracts that are planned with."""
        return tuple(self._contracts.values())

    @property
    def landed(self) -> set[str]:
        return self._branches.landings.keys() & self._contracts.keys()

    # -- the plan --------------------------------------------------------------------------------------------------------------

    def plan(self, wanted: Sequence[str] = ()) -> MergePlan:
        """The steps for the given contracts and what they wait for; without any, for all."""
        chosen = {self.known(issue).issue for issue in wanted} or set(self._contracts)
        pending = list(chosen)
        while pending:
            new = set(self._needs(self._contracts[pending.pop()])) - chosen
            chosen |= new
            pending += new
        landed = self.landed
        contracts = landing_order((self._contracts[issue] for issue in chosen), landed)
        self._order = [contract.issue for contract in contracts]
        with Merger(self._repository, self._workspace.memo) as self._merger:
            facts = self._facts(contracts, landed)
            ready, conflicts, stuck = self._what_can_land(contracts, facts, landed)
            return self._steps(contracts, facts, ready, conflicts, stuck, landed)

    def _needs(self, contract: Contract) -> list[str]:
        """What a contract waits for."""
        if contract.depends_on_all:
            return [one for one in self._contracts if one != contract.issue]
        return list(contract.depends_on)

    def _facts(self, contracts: Sequence[Contract], landed: set[str]) -> dict[str, _Facts]:
        """By contract, in landing order: its branch, and where its own work begins."""
        branches: dict[str, Branch] = {}
        for contract in contracts:
            branch = self._branches.of(contract.branch, self._named.get(contract.issue))
            if branch is not None:
                branches[contract.issue] = branch
        found: dict[str, _Facts] = {}
        for contract in contracts:
            if contract.issue in landed or contract.issue not in branches:
                continue
            branch = branches[contract.issue]
            needs = set(self._needs(contract))
            parents = [one for one in self._order if one in needs]
            facts = found[contract.issue] = _Facts(branch, self._branches.own_work(branch, parents, branches))
            if landed.issuperset(facts.own.on):
                facts.alone = self._onto(self.base_tree, facts)
        return found

    def _onto(self, tree: str, one: _Facts) -> MergeResult:
        """A branch's own work merged onto a tree."""
        return self._merger.merge(one.own.trees[0], tree, one.branch.tree, one.own.crossed)

    # -- conflicts -------------------------------------------------------------------------------------------------------------

    def _what_can_land(
        self, contracts: Sequence[Contract], facts: Mapping[str, _Facts], landed: set[str]
    ) -> tuple[list[str], dict[str, tuple[Conflict, ...]], dict[str, list[str]]]:
        """Contracts that land together, the conflicts of those that do not, and what each of the others waits for."""
        conflicts: dict[str, tuple[Conflict, ...]] = {}
        stuck: dict[str, list[str]] = {}
        possible: list[str] = []
        for contract in contracts:
            issue = contract.issue
            if issue in landed:
                continue
            needs = [one for one in sorted(self._needs(contract), key=id_order) if one not in landed]
            one = facts.get(issue)
            if one is None:
                stuck[issue] = [need for need in needs if need in stuck and need in facts]
            elif one.alone is not None and one.alone.conflicts:
                conflicts[issue] = (self._conflict(("base",), one.alone),)
                stuck[issue] = []
            elif waits := [need for need in needs if need in stuck]:
                stuck[issue] = waits
            else:
                possible.append(issue)
        pairs: set[tuple[str, str]] = set()
        hopeless: set[str] = set()
        chosen = possible
        after = {issue: frozenset(self._needs(self._contracts[issue])) & frozenset(possible) for issue in possible}
        for _ in range(_ROUNDS):
            kept = choose([issue for issue in possible if issue not in hopeless], sorted(pairs), after)
            chosen = [issue for issue in possible if issue in kept.landing and not self._closure(issue, after) & hopeless]
            merged = self._fight(chosen, facts, after, pairs, hopeless, conflicts)
            if len(merged) == len(chosen):
                break
            chosen = merged  # should this be the last round: they do merge, though perhaps more could
        lost = [issue for issue in possible if issue not in chosen]
        for issue in lost:
            rivals = sorted({one for pair in pairs if issue in pair for one in pair if one in chosen}, key=id_order)
            if rivals:
                conflicts[issue] = tuple(self._between(issue, rival, facts) for rival in rivals)
            waits = [need for need in sorted(after[issue], key=id_order) if need in lost or need in stuck]
            stuck[issue] = [] if rivals or issue in hopeless else waits
            if not rivals and issue not in hopeless and not waits:
                against = sorted({one for pair in pairs if issue in pair for one in pair if one != issue}, key=id_order)
                conflicts[issue] = tuple(self._between(issue, rival, facts) for rival in against)
        return chosen, conflicts, stuck

    def _closure(self, issue: str, after: Mapping[str, frozenset[str]]) -> set[str]:
        found: set[str] = set()
        pending = [issue]
        while pending:
            new = after.get(pending.pop(), frozenset()) - found
            found |= new
            pending += new
        return found

    def _fight(
        self,
        chosen: Sequence[str],
        facts: Mapping[str, _Facts],
        after: Mapping[str, frozenset[str]],
        pairs: set[tuple[str, str]],
        hopeless: set[str],
        conflicts: dict[str, tuple[Conflict, ...]],
    ) -> list[str]:
        """Merge the chosen one after the other; note every pair that does not merge, and return those that do."""
        tree = self.base_tree
        inside: list[str] = []
        for issue in chosen:
            if not after[issue] <= set(inside):
                continue  # what it stands on does not merge
            one = facts[issue]
            merged = self._onto(tree, one)
            one.exact = merged.exact
            if not merged.conflicts:
                tree = merged.tree
                inside.append(issue)
                continue
            mine = set(one.branch.paths)
            near = [other for other in inside if not mine.isdisjoint(facts[other].branch.paths)]
            rivals = [other for other in near if self._fights(issue, other, facts)]
            if not rivals:  # a folder that moved needs no path in common
                rivals = [other for other in inside if other not in near and self._fights(issue, other, facts)]
            pairs |= {(other, issue) for other in rivals}
            if not rivals:
                hopeless.add(issue)
                conflicts[issue] = (self._conflict(tuple(inside) or ("base",), merged),)
        return inside

    def _fights(self, issue: str, other: str, facts: Mapping[str, _Facts]) -> bool:
        return bool(self._together(issue, other, facts).conflicts)

    def _together(self, issue: str, other: str, facts: Mapping[str, _Facts]) -> MergeResult:
        """One contract merged onto another, with what the two stand on."""
        tree = self.base_tree
        for one in self._with_parents(other, facts):
            merged = self._onto(tree, facts[one])
            if merged.conflicts:
                break
            tree = merged.tree
        return self._onto(tree, facts[issue])

    def _with_parents(self, issue: str, facts: Mapping[str, _Facts]) -> list[str]:
        """A contract behind those whose work its branch carries."""
        found = {issue}
        pending = [issue]
        while pending:
            new = {one for one in facts[pending.pop()].own.on if one in facts} - found
            found |= new
            pending += new
        return [one for one in self._order if one in found]

    def _between(self, issue: str, other: str, facts: Mapping[str, _Facts]) -> Conflict:
        return self._conflict((other,), self._together(issue, other, facts))

    def _conflict(self, against: tuple[str, ...], merged: MergeResult) -> Conflict:
        lines: list[tuple[str, tuple[int, int], tuple[int, int]]] = []
        self._merger.bring(merged.tree)
        snapshot = self._snapshot(merged.tree)
        for path in merged.conflicts:
            data = snapshot.read(path)
            if data is not None:
                lines += [(one.path, one.ours, one.theirs) for one in conflict_lines(path, data)]
        return Conflict(against, merged.conflicts, self._owners(merged.conflicts), tuple(lines), merged.kinds)

    def _owners(self, files: Iterable[str]) -> tuple[str, ...]:
        listed = list(files)
        return tuple(
            sorted(
                {
                    who
                    for pattern, who in self._graph.owners.items()
                    if any(path == pattern or Glob(pattern).matches(path) for path in listed)
                }
            )
        )

    # -- tables ----------------------------------------------------------------------------------------------------------------

    def _snapshot(self, tree: str) -> Snapshot:
        return Snapshot(self._repository.objects, tree, f"tree {tree[:12]}")

    def _gates_at(self, tree: str, near: str = "") -> Table | None:
        """The gates at a tree; None where its declarations are wrong (`_faults` says how).  `near` differs little."""
        if tree not in self._tables:
            kind, key = f"gates.{engine_stamp()}", f"{self._values()}:{tree}"
            kept = self._workspace.memo.get(kind, key)
            if isinstance(kept, dict):
                self._tables[tree] = {label: Row(*row) for label, row in kept.items()}
                return self._tables[tree]
            found = self._edited(near, tree) if near else None
            if found is None:
                found = self._edited(self.base_tree, tree)
            if found is not None:  # its declarations are those of the base, and so are the variables that its keys name
                self._workspace.memo.put(kind, key, {label: row.to_json() for label, row in found.items()})
            self._tables[tree] = self._analysed(tree) if found is None else found
        return self._tables[tree]

    def _values(self) -> str:
        """A digest of the environment's values that can be in a key here."""
        if not self._environment:
            gates = [target for target in self._graph if isinstance(target, Gate)]
            names = sorted({name for gate in gates for name in gate.requires})
            self._environment = hashlib.sha256(json.dumps([[name, value_digest(name)] for name in names]).encode()).hexdigest()
        return self._environment

    def _edited(self, near: str, tree: str) -> Table | None:
        """From the gates of a tree that differs by edits alone, where that tree is known well enough."""
        self._merger.bring(near)
        self._merger.bring(tree)
        known = self._by_patches.get(near)
        if known is None and near == self.base_tree and near != tree:
            self._analysed(near)
        if known is None and near in self._analyses:
            reader = FileReader(self._repository.objects, self._workspace.memo)
            known = self._by_patches[near] = Patched(self._analyses.pop(near), self._repository.objects, reader)
        found = known.gates(near, tree) if known is not None else None
        if found is not None and known is not None:
            self._by_patches[tree] = known
        return found

    def _analysed(self, tree: str) -> Table | None:
        self._merger.bring(tree)
        analysis = Analysis(self._snapshot(tree), self._workspace.memo, self._workspace.synced())
        if tree != self.base_tree:
            analysis.consider(self._workspace.analysis(self._snapshot(self.base_tree)))
        try:
            table = analysis.table()
        except DeclarationError as error:
            self._faults[tree] = error.faults[0].what
            return None
        self._analyses = {tree: analysis}  # one at a time: they are large
        return {label: row for label, row in table.items() if row.kind == "gate"}

    def _proven(self, row: Row) -> bool:
        return self._workspace.store.proof(row.digest, timeout_s=row.timeout_s or 10**9, accept_flaky=row.accept_flaky) is not None

    def _gate(self, label: str) -> Gate | None:
        package, _, name = label[2:].partition(":")
        target = self._graph.targets.get(Label(package, name))
        return target if isinstance(target, Gate) else None

    # -- what landing needs ----------------------------------------------------------------------------------------------------

    def required(self, contract: Contract, table: Table) -> set[str]:
        """What must be proven to land a contract: what it requires, and everything of tier a."""
        named = {str(Label.of_gate(gate)) for gate in contract.required}
        tier_a = {label for label in table if (gate := self._gate(label)) and gate.tier == "a" and gate.gate_kind != "perf"}
        return (named & table.keys()) | tier_a

    def bring(self, tree: str) -> None:
        """Make a tree of the last plan readable, of which perhaps only the id was remembered."""
        with self._merger:
            self._merger.bring(tree)

    def unproven(self, tree: str, issues: Sequence[str]) -> list[str]:
        """What landing these contracts at a tree of the plan still lacks: gates of tier a, those that they require, budgets."""
        table = self._tables.get(tree) or {}
        wanted: set[str] = set()
        for issue in issues:
            contract = self._contracts[issue]
            wanted |= self.required(contract, table) | {str(Label.of_gate(gate)) for gate in contract.required}
            if contract.perf is not None:
                wanted.add(str(Label.of_gate(contract.perf.gate)))
        return sorted(label for label in wanted if label not in table or not self._proven(table[label]))

    def _touched(self, issue: str, one: _Facts) -> frozenset[str]:
        """Gates whose key the contract's own change moves."""
        pair = (self.base_tree, one.alone.tree) if one.alone and not one.alone.conflicts else (one.own.trees[0], one.branch.tree)
        old = self._gates_at(pair[0])
        new = self._gates_at(pair[1], pair[0])
        if old is None or new is None:
            return frozenset(old or new or ())
        return frozenset(
            label
            for label in old.keys() | new.keys()
            if label not in old or label not in new or old[label].digest != new[label].digest
        )

    def _prices(self, table: Table) -> dict[str, GatePrice]:
        """By label: from recorded passes where there are any, else the time limit."""
        durations = self._recorded.durations
        found = {}
        for label, row in table.items():
            gate = self._gate(label)
            minutes = (statistics.median(durations[label]) if label in durations else float(row.timeout_s)) / 60
            found[label] = GatePrice(round((gate.gpus if gate else 0) * minutes, 4), round(minutes, 4))
        return found

    def _risk(self, contract: Contract, one: _Facts, needed: Iterable[str]) -> float:
        wished = self._wishes.risks.get(contract.issue)
        if wished is not None:
            return wished
        passed, failed = self._evidence(one, needed)
        return round(posterior(self._class_risk.get(contract.risk, PRIORS["hot"]), passed, failed, strength=2.0), 6)

    def _evidence(self, one: _Facts, needed: Iterable[str]) -> tuple[int, int]:
        """Whether runs of this contract's own trees passed and failed; what was the machine's fault does not count."""
        passed = failed = 0
        for tree in dict.fromkeys([one.alone.tree if one.alone and not one.alone.conflicts else "", one.branch.tree]):
            table = self._tables.get(tree)
            for label in needed if table else ():
                row = table.get(label) if table else None
                for result in self._workspace.store.results(row.digest) if row else ():
                    failed += result.verdict is Verdict.FAILED
                    passed += result.verdict is Verdict.PASSED
        return min(passed, 1) if not failed else 0, min(failed, 2)

    def _alone_in_a_batch(self, contract: Contract, one: _Facts) -> bool:
        """Perf budgets cannot be pooled, and who changes the rules is judged by itself."""
        return contract.perf is not None or bool(self._rules(one))

    def _rules(self, one: _Facts) -> str:
        """What the branch changes of that by which it would be judged, in words; by the declarations of the base."""
        if self._control is None:
            try:
                self._control = self._workspace.analysis(self.base).rules()
            except DeclarationError:
                self._control = Rules()
        return control_words(control_plane(one.branch.paths, self._control))

    # -- steps -----------------------------------------------------------------------------------------------------------------

    def _steps(
        self,
        contracts: Sequence[Contract],
        facts: Mapping[str, _Facts],
        ready: Sequence[str],
        conflicts: Mapping[str, tuple[Conflict, ...]],
        stuck: Mapping[str, list[str]],
        landed: set[str],
    ) -> MergePlan:
        hotspots = shared_hotspots(contracts)
        table = self._gates_at(self.base_tree) if ready else None
        planned = None
        candidates: dict[str, Candidate] = {}
        if ready and table is not None:
            touched = {issue: self._touched(issue, facts[issue]) & table.keys() for issue in ready}
            needed = {issue: frozenset(self.required(self._contracts[issue], table)) for issue in ready}
            self._class_risk = self._learned(ready, facts, needed)
            for issue in ready:
                contract, one = self._contracts[issue], facts[issue]
                candidates[issue] = Candidate(
                    issue,
                    self._risk(contract, one, needed[issue]),
                    needed[issue],
                    touched[issue],
                    frozenset(self._needs(contract)) & frozenset(ready),
                    self._alone_in_a_batch(contract, one),
                )
            planned = self._planned(
                list(candidates.values()), self._prices(table), frozenset(self._proofs(table, ready, facts, touched))
            )
        batches = [list(batch) for batch in planned.batches] if planned else [[issue] for issue in ready]
        trees = self._chain([issue for batch in batches for issue in batch], facts)
        if trees is None:  # clean in one order and not in another: rare, and then the order that was tried counts
            batches = [[issue] for issue in ready]
            trees = self._chain(list(ready), facts) or {}
            planned = None
        steps: dict[str, Step] = {}
        made: list[Batch] = []
        wanted = frozenset[str]().union(*(one.requires for one in candidates.values()))
        for number, batch in enumerate(batches, 1):
            to_run: set[str] = set()
            for issue in batch:
                before, after = trees[issue]
                step = self._step(self._contracts[issue], facts, Status.READY, hotspots[issue], before, after, wanted)
                to_run |= {gate.label for gate in step.gates if gate.required or (gate.invalidated and gate.label in wanted)}
                chance = round(1 - candidates[issue].risk, 4) if issue in candidates else 0.0
                steps[issue] = _with(step, batch=number, chance=chance, reason=self._reason(issue, batch, candidates, step))
            tip = trees[batch[-1]][1]
            here = self._gates_at(tip) or {}
            run = tuple(sorted(label for label in to_run if label in here and not self._proven(here[label])))
            cost = planned.batch_costs[number - 1] if planned else (0.0, 0.0)
            risk = 1.0
            for issue in batch if run else ():
                risk *= 1 - (candidates[issue].risk if issue in candidates else 0.0)
            made.append(Batch(tuple(batch), tip, run, cost[0], cost[1], round(risk, 4)))
        last = trees[batches[-1][-1]][1] if batches else self.base_tree
        for contract in contracts:
            issue = contract.issue
            if issue in steps:
                continue
            status, notes = Status.LANDED, list[str]()
            if issue in landed:
                pass
            elif issue not in facts:
                status = Status.NO_BRANCH
                notes = [f"waits for {', '.join(stuck[issue])}"] if stuck.get(issue) else []
            elif issue in conflicts:
                status = Status.CONFLICT
            else:
                status = Status.BLOCKED
                waits = stuck[issue]
                absent = [one for one in waits if one not in facts]
                notes = [f"waits for {', '.join(waits)}"]
                if absent:
                    notes.append(f"no branch yet: {', '.join(absent)}")
            steps[issue] = self._step(contract, facts, status, hotspots[issue], last, "", wanted, conflicts.get(issue, ()), notes)
        order = [issue for issue in self._order if issue in landed]
        order += [issue for batch in batches for issue in batch]
        placed = set(order)
        order += [issue for issue in self._order if issue not in placed]
        totals = Totals()
        if planned:
            totals = Totals(
                planned.gpu_minutes,
                planned.minutes,
                planned.one_by_one,
                planned.fifo,
                planned.bound_gpu_minutes,
                round(planned.gap, 4),
                planned.exact,
                self._wishes.objective,
                self._wishes.runners,
            )
        back = tuple(
            HandBack(
                issue,
                tuple(name for one in conflicts[issue] for name in one.against),
                tuple(sorted({path for one in conflicts[issue] for path in one.files})),
                tuple(sorted({who for one in conflicts[issue] for who in one.owners})),
            )
            for issue in order
            if issue in conflicts and steps[issue].status == Status.CONFLICT
        )
        rows = tuple(steps[issue] for issue in order)
        return MergePlan(self.base, self.base_ref, self.base_tree, rows, tuple(self._notes), tuple(made), totals, back)

    def _planned(
        self, candidates: list[Candidate], prices: dict[str, GatePrice], proven: frozenset[tuple[str, frozenset[str]]]
    ) -> Planned:
        """The batches; remembered by everything that they depend on."""
        wishes = self._wishes
        asked = [
            [[one.issue, one.risk, sorted(one.requires), sorted(one.touches), sorted(one.after), one.alone] for one in candidates],
            sorted([name, price.gpu_minutes, price.minutes] for name, price in prices.items()),
            sorted([gate, sorted(names)] for gate, names in proven),
            [wishes.runners, wishes.objective, wishes.max_batch, _optimiser()],
        ]
        key = hashlib.sha256(json.dumps(asked).encode("utf-8", "surrogatepass")).hexdigest()
        kept = self._workspace.memo.get("batches.1", key)
        if isinstance(kept, dict):
            batches = tuple(tuple(batch) for batch in kept.pop("batches"))
            costs = tuple((one, two) for one, two in kept.pop("batch_costs"))
            return Planned(batches=batches, batch_costs=costs, **kept)
        found = plan_batches(
            candidates, prices, proven, runners=wishes.runners, objective=wishes.objective, max_batch=wishes.max_batch
        )
        self._workspace.memo.put("batches.1", key, asdict(found))
        return found

    def _learned(self, ready: Sequence[str], facts: Mapping[str, _Facts], needed: Mapping[str, frozenset[str]]) -> dict[str, float]:
        """The prior of each risk class, moved by what is recorded of the branches in it."""
        counts: dict[str, list[int]] = {}
        for issue in ready:
            passed, failed = self._evidence(facts[issue], needed[issue])
            row = counts.setdefault(self._contracts[issue].risk, [0, 0])
            row[0], row[1] = row[0] + (passed and not failed), row[1] + bool(failed)
        return {name: posterior(PRIORS[name], *counts.get(name, (0, 0))) for name in PRIORS}

    def _proofs(
        self, table: Table, ready: Sequence[str], facts: Mapping[str, _Facts], touched: Mapping[str, frozenset[str]]
    ) -> list[tuple[str, frozenset[str]]]:
        """Keys that are proven: on the base, with one contract, and with the first so many in order of their ids."""
        found = [(label, frozenset[str]()) for label, row in table.items() if self._proven(row)]
        tree = self.base_tree
        inside: list[str] = []
        for issue in ready:
            one = facts[issue]
            inside.append(issue)
            tree = self._onto(tree, one).tree
            trees = [([issue], one.alone.tree)] if one.alone and not one.alone.conflicts else []
            if tree in self._recorded.trees:  # only there can a train's proofs be
                trees.append((list(inside), tree))
            for members, at in trees:
                here = self._gates_at(at) or {}
                for label in touched[issue] & here.keys():
                    if self._proven(here[label]):
                        found.append((label, frozenset(name for name in members if label in touched[name])))
        return found

    def _chain(self, order: Sequence[str], facts: Mapping[str, _Facts]) -> dict[str, tuple[str, str]] | None:
        """The trees before and after each landing; None where one does not merge."""
        found: dict[str, tuple[str, str]] = {}
        tree = self.base_tree
        for issue in order:
            merged = self._onto(tree, facts[issue])
            if merged.conflicts:
                return None
            facts[issue].exact = merged.exact
            found[issue] = (tree, merged.tree)
            tree = merged.tree
        return found

    def _reason(self, issue: str, batch: Sequence[str], candidates: Mapping[str, Candidate], step: Step) -> str:
        to_run = [gate for gate in step.gates if gate.to_run]
        if not to_run:
            return "free: all that it needs is proven"
        me = candidates.get(issue)
        if me is not None and me.alone:
            return "alone: a perf budget or a change of the rules is judged by itself"
        if len(batch) == 1:
            return "by itself: no batch with it is cheaper"
        others = ", ".join(one for one in batch if one != issue)
        return (
            f"tested with {others}: one run serves all"
            if len(batch) < 8
            else f"tested with {len(batch) - 1} others: one run serves all"
        )

    def _step(
        self,
        contract: Contract,
        facts: Mapping[str, _Facts],
        status: str,
        hotspots: Mapping[str, Sequence[str]],
        before: str,
        after: str,
        wanted: frozenset[str],
        conflicts: tuple[Conflict, ...] = (),
        notes: Sequence[str] = (),
    ) -> Step:
        issue = contract.issue
        one = facts.get(issue)
        said = list(notes)
        if one is not None and not one.exact:
            said.append(_NO_GIT)
        if status == Status.READY and before == after:
            said.append("its change is on the base already: nothing is left to land")
        if one is not None and (rules := self._rules(one)):
            said.append(rules)
        gates: tuple[GateState, ...] = ()
        if one is not None and status != Status.LANDED:
            gates = self._states(contract, before, after or before, wanted, said)
        changes = self._branches.own_changes(one.own, one.branch) if one else []
        scope = scope_faults(contract, changes)
        knobs = knob_faults(contract, changes, self._repository.objects) if one else []
        needs = sorted(self._needs(contract), key=id_order)
        return Step(
            contract=issue,
            title=contract.title or contract.slug,
            after=tuple(needs),
            status=status,
            branch=self._named.get(issue, contract.branch),
            commit=one.branch.head if one else "",
            tree=after if status == Status.READY else "",
            base_tree=before if status == Status.READY else "",
            strategy=contract.merge_strategy,
            delete_branch=contract.delete_branch,
            restacked_on=one.own.on[-1] if one and one.own.on else "",
            conflicts=conflicts,
            hotspots=tuple((path, tuple(others)) for path, others in hotspots.items()),
            out_of_scope=tuple(path for path, _ in scope),
            scope=tuple(scope),
            knobs=tuple(knobs),
            gates=gates,
            notes=tuple(said),
            invariants=tuple((text, self._graph.invariants.get(text, "unchecked")) for text in contract.invariants),
        )

    def _states(
        self, contract: Contract, before: str, after: str, wanted: frozenset[str], notes: list[str]
    ) -> tuple[GateState, ...]:
        """The gates that the contract requires and those that its landing invalidates, at the tree that it leads to."""
        old = self._gates_at(before)
        new = self._gates_at(after, before)
        if new is None or old is None:
            notes.append(f"the declarations of the merged tree are wrong: {self._faults.get(after) or self._faults.get(before)}")
            return ()
        named = {str(Label.of_gate(gate)) for gate in contract.required}
        needed = self.required(contract, new)
        prices = self._prices(new)
        states = []
        for label, row in new.items():
            invalidated = label not in old or old[label].digest != row.digest
            if not (invalidated or label in named):
                continue
            proven = self._proven(row)
            gate = self._gate(label)
            most = 0.0 if proven else round((gate.gpus if gate else 0) * row.timeout_s / 60, 2)
            costs = 0.0 if proven else prices[label].gpu_minutes
            to_run = not proven and (label in needed or (invalidated and label in wanted))
            states.append(GateState(label, row.digest, label in named, invalidated, proven, most, costs, to_run))
        missing = sorted(named - new.keys())
        if missing:
            notes.append(f"required gates are not defined there: {', '.join(missing[:_MOST_NOTED])}")
        unasked = [state.label for state in states if state.invalidated and not state.required and before != after]
        if unasked:
            notes.append(f"invalidates gates that it does not require: {', '.join(unasked[:_MOST_NOTED])}")
        return tuple(states)

    # -- after a failure -------------------------------------------------------------------------------------------------------

    def after_failure(self, train: Sequence[str]) -> Probe:
        """The next test for a train, from the results that are stored for the trees of its prefixes."""
        contracts = [self.known(issue) for issue in train]
        if not contracts or len({contract.issue for contract in contracts}) < len(contracts):
            raise UsageError("a train is contracts in their order, each once", hint="--after-failure 01,03a,02")
        whole = {contract.issue for contract in contracts}
        chain = list(landing_order(self._contracts.values(), self.landed))
        self._order = [contract.issue for contract in chain]
        with Merger(self._repository, self._workspace.memo) as self._merger:
            facts = self._facts([contract for contract in chain if contract.issue in whole], self.landed)
            for contract in contracts:
                if contract.issue not in facts:
                    raise UsageError(f"contract {contract.issue} has no branch here, or has landed", hint="say --branch ID=REF")
            base = self._gates_at(self.base_tree)
            if base is None:
                raise SnapshotError(f"the base cannot be read: {self._faults[self.base_tree]}")
            needed = set[str]().union(*(self.required(contract, base) for contract in contracts))
            self._class_risk = dict(PRIORS)
            risks = [self._wishes.risks.get(contract.issue, PRIORS.get(contract.risk, PRIORS["hot"])) for contract in contracts]
            if self._chain([contract.issue for contract in contracts], facts) is None:
                raise UsageError("these contracts do not merge in this order", hint="nmoe-graph plan-merges shows what conflicts")

            def look(issues: tuple[str, ...]) -> Seen | None:
                trees = self._chain(issues, facts)
                if trees is None:
                    return None
                return self._seen(trees[issues[-1]][1] if issues else self.base_tree, needed)

            return next_probe([contract.issue for contract in contracts], risks, look)

    def _seen(self, tree: str, needed: Iterable[str]) -> Seen:
        table = self._gates_at(tree) or {}
        passed, failures, infrastructure = bool(table), 0, 0
        for label in needed:
            row = table.get(label)
            if row is None or self._proven(row):
                continue
            passed = False
            results = self._workspace.store.results(row.digest)
            failures = max(failures, sum(result.verdict is Verdict.FAILED for result in results))
            infrastructure += sum(
                result.verdict in (Verdict.INFRA_ERROR, Verdict.TIMED_OUT, Verdict.CANCELLED) for result in results
            )
        return Seen(passed, failures, infrastructure)


def _optimiser() -> str:
    """A digest of the code that decides, so that batches of another version are never taken."""
    folder = Path(plan.__file__).parent
    return hashlib.sha256(b"".join((folder / name).read_bytes() for name in ("cost.py", "order.py", "risk.py"))).hexdigest()


def _with(step: Step, **changes: object) -> Step:
    from dataclasses import replace

    return replace(step, **changes)  # type: ignore[arg-type]
