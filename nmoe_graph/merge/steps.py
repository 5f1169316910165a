"""One step of a plan in full: what landing a contract at its tree means, and what it still lacks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..asking.asked import Asked
from ..digest.rules import Rules
from ..errors import DeclarationError
from ..label import Label
from ..model import Contract
from ..plan.control import control_plane, control_words
from ..plan.cost import Candidate
from ..plan.merge import Conflict, GateState, Status, Step, id_order
from .branches import Branches
from .scope import knob_faults, scope_faults
from .together import Facts
from .trees import TreeGates

__all__ = ["StepMaker", "reason"]

_MOST_NOTED = 5
_NO_GIT = "merged without following renames, and only where changes lie clearly apart: git 2.38 is not here"


class StepMaker:
    """Makes steps from facts, by the declarations of the base."""

    def __init__(
        self,
        workspace: Asked,
        base: str,
        gates: TreeGates,
        branches: Branches,
        invariants: Mapping[str, str],
        named: Mapping[str, str],
    ) -> None:
        self._workspace, self._base, self._gates, self._branches = workspace, base, gates, branches
        self._invariants, self._named = invariants, named
        self._control: Rules | None = None

    def rules(self, one: Facts) -> str:
        """What the branch changes of that by which it would be judged, in words; by the declarations of the base."""
        if self._control is None:
            try:
                self._control = self._workspace.analysis(self._base).rules()
            except DeclarationError:
                self._control = Rules()
        return control_words(control_plane(one.branch.paths, self._control))

    def make(
        self,
        contract: Contract,
        one: Facts | None,
        needs: Iterable[str],
        status: str,
        hotspots: Mapping[str, Sequence[str]],
        before: str,
        after: str,
        wanted: frozenset[str],
        conflicts: tuple[Conflict, ...] = (),
        notes: Sequence[str] = (),
    ) -> Step:
        issue = contract.issue
        said = list(notes)
        if one is not None and not one.exact:
            said.append(_NO_GIT)
        if status == Status.READY and before == after:
            said.append("its change is on the base already: nothing is left to land")
        if one is not None and (rules := self.rules(one)):
            said.append(rules)
        gates: tuple[GateState, ...] = ()
        if one is not None and status != Status.LANDED:
            gates = self._states(contract, before, after or before, wanted, said)
        changes = self._branches.own_changes(one.own, one.branch) if one else []
        scope = scope_faults(contract, changes)
        knobs = knob_faults(contract, changes, self._workspace.repository.objects) if one else []
        return Step(
            contract=issue,
            title=contract.title or contract.slug,
            after=tuple(sorted(needs, key=id_order)),
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
            invariants=tuple((text, self._invariants.get(text, "unchecked")) for text in contract.invariants),
        )

    def _states(
        self, contract: Contract, before: str, after: str, wanted: frozenset[str], notes: list[str]
    ) -> tuple[GateState, ...]:
        """The gates that the contract requires and those that its landing invalidates, at the tree that it leads to."""
        old = self._gates.at(before)
        new = self._gates.at(after, before)
        if new is None or old is None:
            notes.append(f"the declarations of the merged tree are wrong: {self._gates.fault(after, before)}")
            return ()
        named = {str(Label.of_gate(gate)) for gate in contract.required}
        needed = self._gates.required(contract, new)
        prices = self._gates.prices(new)
        states = []
        for label, row in new.items():
            invalidated = label not in old or old[label].digest != row.digest
            if not (invalidated or label in named):
                continue
            proven = self._gates.proven(row)
            gate = self._gates.gate(label)
            most = 0.0 if proven else round((gate.gpus if gate else 0) * row.timeout_s / 60, 2)
            costs = 0.0 if proven else prices[label].gpu_minutes
            to_run = not proven and (label in needed or (invalidated and label in wanted))
            states.append(GateState(label, row.digest, label in named, invalidated, proven, most, costs, to_run))
        missing = sorted(named - new.keys())
        if missing:
            notes.append(f"required gates are not defined there: {', '.join(missing[:_MOST_NOTED])}")
        if contract.perf is not None and before != after:
            budget = contract.perf
            notes.append(
                f"its budget, {budget.budget_pct:+g} % of {budget.metric} by {budget.gate}, is judged at the tree that lands"
            )
        unasked = [state.label for state in states if state.invalidated and not state.required and before != after]
        unasked = [one for one in unasked if (gate := self._gates.gate(one)) is None or gate.gate_kind != "perf"]
        if unasked:
            notes.append(f"invalidates gates that it does not require: {', '.join(unasked[:_MOST_NOTED])}")
        return tuple(states)


def reason(issue: str, batch: Sequence[str], candidates: Mapping[str, Candidate], step: Step) -> str:
    """Why a contract lands in this batch, in words."""
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
