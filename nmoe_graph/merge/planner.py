"""The plan for real branches: facts are collected, `plan` decides, and each step is made as it will be.

This is where `plan` (pure) meets git, the analysis and the store.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from .. import plan
from ..asking.asked import Asked
from ..digest.analysis import Table
from ..errors import SnapshotError, UsageError, did_you_mean
from ..label import Label
from ..model import Contract
from ..plan.cost import Candidate, GatePrice
from ..plan.merge import (
    Batch,
    Conflict,
    HandBack,
    MergePlan,
    Status,
    Step,
    Totals,
    landing_order,
    shared_hotspots,
)
from ..plan.order import Planned, plan_batches
from ..plan.probe import Probe, Seen, next_probe
from ..plan.risk import PRIORS, posterior
from ..result import Verdict
from .branches import Branch, Branches
from .steps import StepMaker, reason
from .together import Facts, Stack
from .trees import TreeGates

__all__ = ["CONTROL_PLANE", "MergePlanner", "Wishes"]


#: How the note of a contract begins that changes the rules.
CONTROL_PLANE = "control plane"


@dataclass(frozen=True)
class Wishes:
    """What whoever asks wants: chances of failing by contract, what counts first, runners, the longest batch (0: any)."""

    risks: Mapping[str, float] = field(default_factory=dict)
    objective: str = "gpu"
    runners: int = 1
    max_batch: int = 0


@dataclass(frozen=True, slots=True)
class _Arranged:
    """What can land: in batches, with the trees before and after each landing; and by what was weighed."""

    candidates: Mapping[str, Candidate]
    batches: Sequence[Sequence[str]]
    trees: Mapping[str, tuple[str, str]]
    planned: Planned | None  # None where nothing was weighed

    @property
    def order(self) -> list[str]:
        return [issue for batch in self.batches for issue in batch]

    @property
    def wanted(self) -> frozenset[str]:
        """Gates that some contract requires."""
        return frozenset[str]().union(*(one.requires for one in self.candidates.values()))

    def risk(self, issue: str) -> float:
        return self.candidates[issue].risk if issue in self.candidates else 0.0

    def chance(self, issue: str) -> float:
        """That it passes; 0 where nobody knows."""
        return round(1 - self.risk(issue), 4) if issue in self.candidates else 0.0


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
        self._gates = TreeGates(workspace, self._graph, self.base_tree)
        self._make = StepMaker(workspace, self.base, self._gates, self._branches, self._graph.invariants, self._named)

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
        with self._gates.fresh_merger():
            stack = self._stack(contracts, landed)
            ready, conflicts, stuck = stack.what_can_land(contracts, landed)
            return self._steps(contracts, stack, ready, conflicts, stuck, landed)

    def _needs(self, contract: Contract) -> list[str]:
        """What a contract waits for."""
        if contract.depends_on_all:
            return [one for one in self._contracts if one != contract.issue]
        return list(contract.depends_on)

    def _stack(self, contracts: Sequence[Contract], landed: set[str]) -> Stack:
        """The contracts in landing order, each with its branch and where its own work begins."""
        needs = {contract.issue: self._needs(contract) for contract in contracts}
        stack = Stack(self._gates, self.base_tree, needs, self._order, self._graph.owners)
        branches: dict[str, Branch] = {}
        for contract in contracts:
            branch = self._branches.of(contract.branch, self._named.get(contract.issue))
            if branch is not None:
                branches[contract.issue] = branch
        for contract in contracts:
            if contract.issue in landed or contract.issue not in branches:
                continue
            branch = branches[contract.issue]
            parents = [one for one in self._order if one in needs[contract.issue]]
            facts = stack.facts[contract.issue] = Facts(branch, self._branches.own_work(branch, parents, branches))
            if landed.issuperset(facts.own.on):
                facts.alone = stack.onto(self.base_tree, facts)
        return stack

    # -- what landing needs ----------------------------------------------------------------------------------------------------

    def required(self, contract: Contract, table: Table) -> set[str]:
        """What must be proven to land a contract."""
        return self._gates.required(contract, table)

    def bring(self, tree: str) -> None:
        """Make a tree of the last plan readable, of which perhaps only the id was remembered."""
        with self._gates.merger:
            self._gates.merger.bring(tree)

    def unproven(self, tree: str, issues: Sequence[str]) -> list[str]:
        """What landing these contracts at a tree of the plan still lacks: gates of tier a and those that they require.

        The gate of a contract's budget is not among them: it proves nothing by itself, and is judged by a build.
        """
        table = self._gates.known(tree) or {}
        wanted: set[str] = set()
        for issue in issues:
            contract = self._contracts[issue]
            named = {str(Label.of_gate(gate)) for gate in contract.required}
            budget = {str(Label.of_gate(contract.perf.gate))} if contract.perf is not None else set()
            wanted |= (self._gates.required(contract, table) | named) - budget
        return sorted(label for label in wanted if label not in table or not self._gates.proven(table[label]))

    def _touched(self, issue: str, one: Facts) -> frozenset[str]:
        """Gates whose key the contract's own change moves."""
        pair = (self.base_tree, one.on_base) if one.on_base else (one.own.trees[0], one.branch.tree)
        old = self._gates.at(pair[0])
        new = self._gates.at(pair[1], pair[0])
        if old is None or new is None:
            return frozenset(old or new or ())
        return frozenset(
            label
            for label in old.keys() | new.keys()
            if label not in old or label not in new or old[label].digest != new[label].digest
        )

    def _risk(self, contract: Contract, one: Facts, needed: Iterable[str]) -> float:
        wished = self._wishes.risks.get(contract.issue)
        if wished is not None:
            return wished
        passed, failed = self._evidence(one, needed)
        return round(posterior(self._class_risk.get(contract.risk, PRIORS["hot"]), passed, failed, strength=2.0), 6)

    def _evidence(self, one: Facts, needed: Iterable[str]) -> tuple[int, int]:
        """Whether runs of this contract's own trees passed and failed; what was the machine's fault does not count."""
        passed = failed = 0
        for tree in dict.fromkeys([one.on_base, one.branch.tree]):
            table = self._gates.known(tree)
            for label in needed if table else ():
                row = table.get(label) if table else None
                for result in self._gates.results(row) if row else ():
                    failed += result.verdict is Verdict.FAILED
                    passed += result.verdict is Verdict.PASSED
        return min(passed, 1) if not failed else 0, min(failed, 2)

    def _alone_in_a_batch(self, contract: Contract, one: Facts) -> bool:
        """Perf budgets cannot be pooled, and who changes the rules is judged by itself."""
        return contract.perf is not None or bool(self._make.rules(one))

    # -- steps -----------------------------------------------------------------------------------------------------------------

    def _steps(
        self,
        contracts: Sequence[Contract],
        stack: Stack,
        ready: Sequence[str],
        conflicts: Mapping[str, tuple[Conflict, ...]],
        stuck: Mapping[str, list[str]],
        landed: set[str],
    ) -> MergePlan:
        arranged = self._arranged(stack, ready)
        facts, hotspots = stack.facts, shared_hotspots(contracts)
        steps: dict[str, Step] = {}
        made: list[Batch] = []
        for batch in arranged.batches:
            rows = [self._landing(issue, facts[issue], hotspots[issue], arranged) for issue in batch]
            made.append(self._batch(len(made), batch, rows, arranged))
            for issue, row in zip(batch, rows, strict=True):
                why = reason(issue, batch, arranged.candidates, row)
                steps[issue] = replace(row, batch=len(made), chance=arranged.chance(issue), reason=why)
        tip = made[-1].tree if made else self.base_tree
        for contract in contracts:
            issue = contract.issue
            if issue not in steps:
                status, notes = _waiting(issue, facts, conflicts, stuck, landed)
                needs, against = self._needs(contract), conflicts.get(issue, ())
                steps[issue] = self._make.make(
                    contract, facts.get(issue), needs, status, hotspots[issue], tip, "", arranged.wanted, against, notes
                )
        first = [*(issue for issue in self._order if issue in landed), *arranged.order]
        order = [*first, *(issue for issue in self._order if issue not in set(first))]
        back = tuple(HandBack.of(issue, conflicts[issue]) for issue in order if steps[issue].status == Status.CONFLICT)
        rows_in_order = tuple(steps[issue] for issue in order)
        totals = self._totals(arranged.planned)
        return MergePlan(self.base, self.base_ref, self.base_tree, rows_in_order, tuple(self._notes), tuple(made), totals, back)

    def _arranged(self, stack: Stack, ready: Sequence[str]) -> _Arranged:
        """What can land, in batches: as cheaply as is known, or one by one where nothing can be weighed."""
        table = self._gates.at(self.base_tree) if ready else None
        candidates: dict[str, Candidate] = {}
        planned = None
        if table is not None:
            touched = {issue: self._touched(issue, stack.facts[issue]) & table.keys() for issue in ready}
            candidates = self._candidates(stack, ready, table, touched)
            proofs = frozenset(self._proofs(table, ready, stack, touched))
            planned = self._planned(list(candidates.values()), self._gates.prices(table), proofs)
        one_by_one = tuple((issue,) for issue in ready)
        batches = planned.batches if planned else one_by_one
        trees = stack.chain([issue for batch in batches for issue in batch])
        if trees is None:  # clean in one order and not in another: rare, and then the order that was tried counts
            return _Arranged(candidates, one_by_one, stack.chain(ready) or {}, None)
        return _Arranged(candidates, batches, trees, planned)

    def _candidates(
        self, stack: Stack, ready: Sequence[str], table: Table, touched: Mapping[str, frozenset[str]]
    ) -> dict[str, Candidate]:
        needed = {issue: frozenset(self._gates.required(self._contracts[issue], table)) for issue in ready}
        self._class_risk = self._learned(ready, stack.facts, needed)
        found = {}
        for issue in ready:
            contract, one = self._contracts[issue], stack.facts[issue]
            risk = self._risk(contract, one, needed[issue])
            after = frozenset(self._needs(contract)) & frozenset(ready)
            found[issue] = Candidate(issue, risk, needed[issue], touched[issue], after, self._alone_in_a_batch(contract, one))
        return found

    def _landing(self, issue: str, one: Facts, hotspots: Mapping[str, Sequence[str]], arranged: _Arranged) -> Step:
        """The step of a contract that can land, at its trees."""
        contract = self._contracts[issue]
        before, after = arranged.trees[issue]
        return self._make.make(contract, one, self._needs(contract), Status.READY, hotspots, before, after, arranged.wanted)

    def _batch(self, at: int, batch: Sequence[str], steps: Iterable[Step], arranged: _Arranged) -> Batch:
        """What a batch must run at its last tree, and the chance that all of it passes."""
        tip = arranged.trees[batch[-1]][1]
        here = self._gates.at(tip) or {}
        states = [gate for step in steps for gate in step.gates]
        to_run = {gate.label for gate in states if gate.required or (gate.invalidated and gate.label in arranged.wanted)}
        run = tuple(sorted(label for label in to_run if label in here and not self._gates.proven(here[label])))
        minutes = arranged.planned.batch_costs[at] if arranged.planned else (0.0, 0.0)
        chance = math.prod(1 - arranged.risk(issue) for issue in batch) if run else 1.0
        return Batch(tuple(batch), tip, run, *minutes, round(chance, 4))

    def _totals(self, planned: Planned | None) -> Totals:
        if planned is None:
            return Totals()
        return Totals(
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

    def _learned(self, ready: Sequence[str], facts: Mapping[str, Facts], needed: Mapping[str, frozenset[str]]) -> dict[str, float]:
        """The prior of each risk class, moved by what is recorded of the branches in it."""
        counts: dict[str, list[int]] = {}
        for issue in ready:
            passed, failed = self._evidence(facts[issue], needed[issue])
            row = counts.setdefault(self._contracts[issue].risk, [0, 0])
            row[0], row[1] = row[0] + (passed and not failed), row[1] + bool(failed)
        return {name: posterior(PRIORS[name], *counts.get(name, (0, 0))) for name in PRIORS}

    def _proofs(
        self, table: Table, ready: Sequence[str], stack: Stack, touched: Mapping[str, frozenset[str]]
    ) -> list[tuple[str, frozenset[str]]]:
        """Keys that are proven: on the base, with one contract, and with the first so many in order of their ids."""
        found = [(label, frozenset[str]()) for label, row in table.items() if self._gates.proven(row)]
        tree = self.base_tree
        inside: list[str] = []
        for issue in ready:
            one = stack.facts[issue]
            inside.append(issue)
            tree = stack.onto(tree, one).tree
            trees = [([issue], one.on_base)] if one.on_base else []
            if tree in self._gates.recorded.trees:  # only there can a train's proofs be
                trees.append((list(inside), tree))
            for members, at in trees:
                here = self._gates.at(at) or {}
                for label in touched[issue] & here.keys():
                    if self._gates.proven(here[label]):
                        found.append((label, frozenset(name for name in members if label in touched[name])))
        return found

    # -- after a failure -------------------------------------------------------------------------------------------------------

    def after_failure(self, train: Sequence[str]) -> Probe:
        """The next test for a train, from the results that are stored for the trees of its prefixes."""
        contracts = [self.known(issue) for issue in train]
        if not contracts or len({contract.issue for contract in contracts}) < len(contracts):
            raise UsageError("a train is contracts in their order, each once", hint="--after-failure 01,03a,02")
        whole = {contract.issue for contract in contracts}
        chain = list(landing_order(self._contracts.values(), self.landed))
        self._order = [contract.issue for contract in chain]
        with self._gates.fresh_merger():
            stack = self._stack([contract for contract in chain if contract.issue in whole], self.landed)
            for contract in contracts:
                if contract.issue not in stack.facts:
                    raise UsageError(f"contract {contract.issue} has no branch here, or has landed", hint="say --branch ID=REF")
            base = self._gates.at(self.base_tree)
            if base is None:
                raise SnapshotError(f"the base cannot be read: {self._gates.fault(self.base_tree)}")
            needed = set[str]().union(*(self._gates.required(contract, base) for contract in contracts))
            self._class_risk = dict(PRIORS)
            risks = [self._wishes.risks.get(contract.issue, PRIORS.get(contract.risk, PRIORS["hot"])) for contract in contracts]
            if stack.chain([contract.issue for contract in contracts]) is None:
                raise UsageError("these contracts do not merge in this order", hint="nmoe-graph plan-merges shows what conflicts")

            def look(issues: tuple[str, ...]) -> Seen | None:
                trees = stack.chain(issues)
                if trees is None:
                    return None
                return self._seen(trees[issues[-1]][1] if issues else self.base_tree, needed)

            return next_probe([contract.issue for contract in contracts], risks, look)

    def _seen(self, tree: str, needed: Iterable[str]) -> Seen:
        table = self._gates.at(tree) or {}
        passed, failures, infrastructure = bool(table), 0, 0
        for label in needed:
            row = table.get(label)
            if row is None or self._gates.proven(row):
                continue
            passed = False
            results = self._gates.results(row)
            failures = max(failures, sum(result.verdict is Verdict.FAILED for result in results))
            infrastructure += sum(
                result.verdict in (Verdict.INFRA_ERROR, Verdict.TIMED_OUT, Verdict.CANCELLED) for result in results
            )
        return Seen(passed, failures, infrastructure)


def _waiting(
    issue: str,
    facts: Mapping[str, Facts],
    conflicts: Mapping[str, tuple[Conflict, ...]],
    stuck: Mapping[str, list[str]],
    landed: set[str],
) -> tuple[str, list[str]]:
    """The status of a contract that does not land now, and what it waits for in words."""
    if issue in landed:
        return Status.LANDED, []
    waits = stuck.get(issue, [])
    said = [f"waits for {', '.join(waits)}"] if waits else []
    if issue not in facts:
        return Status.NO_BRANCH, said
    if issue in conflicts:
        return Status.CONFLICT, []
    absent = [one for one in waits if one not in facts]
    return Status.BLOCKED, said + ([f"no branch yet: {', '.join(absent)}"] if absent else [])


def _optimiser() -> str:
    """A digest of the code that decides, so that batches of another version are never taken."""
    folder = Path(plan.__file__).parent
    return hashlib.sha256(b"".join((folder / name).read_bytes() for name in ("cost.py", "order.py", "risk.py"))).hexdigest()
