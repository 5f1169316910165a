"""The merge order: contracts sorted so that no hard edge is ever broken, ties by contract id.

Conflicts, trees and proofs are facts that come in from outside; here they only become steps.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from ..model import Contract

__all__ = [
    "Batch",
    "Conflict",
    "GateState",
    "HandBack",
    "MergePlan",
    "Status",
    "Step",
    "Totals",
    "id_order",
    "landing_order",
    "shared_hotspots",
]


#: Of a file that everybody names, no step lists more than so many others.
MOST_SHARING = 100


def id_order(issue: str) -> tuple[int, str]:
    """Contract ids by number, then as written: 03a, 03b, 08, 010, 10, 12."""
    digits = re.match(r"[0-9]+", issue)
    return (int(digits[0]) if digits else 0, issue)


def landing_order(contracts: Iterable[Contract], landed: Iterable[str] = ()) -> list[Contract]:
    """Contracts in a topological order of `depends_on`, the smallest id first among those that may come next.

    A contract with `depends_on: all` comes last.  Cycles and unknown ids are refused when the graph is built.
    """
    known = {contract.issue: contract for contract in contracts}
    done = set(landed)
    waits = {
        issue: {one for one in (known if contract.depends_on_all else contract.depends_on) if one in known and one != issue} - done
        for issue, contract in known.items()
    }
    after: dict[str, list[str]] = {issue: [] for issue in known}
    for issue, ones in waits.items():
        for one in ones:
            after[one].append(issue)
    ready = [(id_order(issue), issue) for issue, ones in waits.items() if not ones]
    heapq.heapify(ready)
    order = []
    while ready:
        _, issue = heapq.heappop(ready)
        order.append(known[issue])
        for other in after[issue]:
            waits[other].discard(issue)
            if not waits[other]:
                heapq.heappush(ready, (id_order(other), other))
    return order


def shared_hotspots(contracts: Iterable[Contract]) -> dict[str, dict[str, list[str]]]:
    """For each contract: hotspot -> the other contracts that name it too, the first so many by id."""
    owners: dict[str, list[str]] = {}
    listed = sorted(contracts, key=lambda contract: id_order(contract.issue))
    for contract in listed:
        for path in contract.merge_hotspots:
            owners.setdefault(path, []).append(contract.issue)
    return {
        contract.issue: {
            path: list(islice((one for one in owners[path] if one != contract.issue), MOST_SHARING))
            for path in sorted(set(contract.merge_hotspots))
        }
        for contract in listed
    }


class Status:
    """What a step can come to."""

    READY = "ready"
    LANDED = "landed"
    NO_BRANCH = "no branch"
    CONFLICT = "conflict"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class Conflict:
    """Files in which a branch cannot be merged; `against` names `base` or contracts that land before."""

    against: tuple[str, ...]
    files: tuple[str, ...]
    owners: tuple[str, ...] = ()
    lines: tuple[tuple[str, tuple[int, int], tuple[int, int]], ...] = ()  # path, lines there, lines of the branch
    kinds: tuple[tuple[str, str], ...] = ()  # path, what git calls it

    def to_dict(self) -> dict[str, Any]:
        return {
            "with": list(self.against),
            "files": list(self.files),
            "owners": list(self.owners),
            "lines": [{"path": path, "there": list(there), "here": list(here)} for path, there, here in self.lines],
            "kinds": [{"path": path, "kind": kind} for path, kind in self.kinds],
        }


@dataclass(frozen=True, slots=True)
class GateState:
    """A gate at the tree of a step."""

    label: str
    action_key: str
    required: bool
    invalidated: bool
    proven: bool
    gpu_minutes_bound: float = 0.0  # GPUs x timeout: what it may cost at most
    gpu_minutes: float = 0.0  # what it costs, from recorded runs where there are any
    to_run: bool = False  # has to be proven before this step lands

    def to_dict(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "action_key": self.action_key,
            "required": self.required,
            "invalidated": self.invalidated,
            "proven": self.proven,
            "gpu_minutes_bound": self.gpu_minutes_bound,
            "gpu_minutes": self.gpu_minutes,
            "to_run": self.to_run,
        }


@dataclass(frozen=True, slots=True)
class Step:
    """One contract in the plan."""

    contract: str
    title: str
    after: tuple[str, ...]
    status: str
    branch: str
    commit: str = ""
    tree: str = ""  # of the workspace once this has landed
    strategy: str = "squash"
    delete_branch: bool = True
    restacked_on: str = ""
    conflicts: tuple[Conflict, ...] = ()
    hotspots: tuple[tuple[str, tuple[str, ...]], ...] = ()
    out_of_scope: tuple[str, ...] = ()
    gates: tuple[GateState, ...] = ()
    notes: tuple[str, ...] = ()
    invariants: tuple[tuple[str, str], ...] = ()  # text -> gate id, or "unchecked"
    base_tree: str = ""  # of the workspace before
    batch: int = 0  # which batch it is tested in, from 1; 0: none
    chance: float = 0.0  # of passing its gates
    reason: str = ""  # why here
    scope: tuple[tuple[str, str], ...] = ()  # a path out of scope, and what is done to it
    knobs: tuple[str, ...] = ()  # what is wrong with the knobs

    def to_dict(self) -> dict[str, Any]:
        return {
            "contract": self.contract,
            "title": self.title,
            "after": list(self.after),
            "status": self.status,
            "branch": self.branch,
            "commit": self.commit,
            "base_tree": self.base_tree,
            "tree": self.tree,
            "batch": self.batch or None,
            "chance": self.chance if self.batch else None,
            "reason": self.reason,
            "strategy": self.strategy,
            "delete_branch": self.delete_branch,
            "restacked_on": self.restacked_on,
            "conflicts": [one.to_dict() for one in self.conflicts],
            "hotspots": [{"path": path, "with": list(others)} for path, others in self.hotspots],
            "out_of_scope": list(self.out_of_scope),
            "scope": [{"path": path, "what": what} for path, what in self.scope],
            "knobs": list(self.knobs),
            "gates": [gate.to_dict() for gate in self.gates],
            "invariants": [{"text": text, "gate": gate} for text, gate in self.invariants],
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class Batch:
    """Contracts that are tested together at one tree; expected GPU-minutes include what a failure leads to."""

    contracts: tuple[str, ...]
    tree: str
    gates: tuple[str, ...]  # to run at that tree
    gpu_minutes: float
    minutes: float
    chance: float  # that all of it passes at once

    def to_dict(self) -> dict[str, Any]:
        return {
            "contracts": list(self.contracts),
            "tree": self.tree,
            "gates": list(self.gates),
            "expected_gpu_minutes": self.gpu_minutes,
            "expected_minutes": self.minutes,
            "chance": self.chance,
        }


@dataclass(frozen=True, slots=True)
class Totals:
    """Expected GPU-minutes of the plan beside other ways, and what no way can save."""

    gpu_minutes: float = 0.0
    minutes: float = 0.0
    one_by_one: float = 0.0
    fifo: float = 0.0
    bound: float = 0.0
    gap: float = 0.0
    exact: bool = True
    objective: str = "gpu"
    runners: int = 1

    def to_dict(self) -> dict[str, Any]:
        return {
            "expected_gpu_minutes": self.gpu_minutes,
            "expected_minutes": self.minutes,
            "one_by_one_gpu_minutes": self.one_by_one,
            "fifo_gpu_minutes": self.fifo,
            "lower_bound_gpu_minutes": self.bound,
            "gap": self.gap,
            "optimal": self.exact,
            "objective": self.objective,
            "runners": self.runners,
        }


@dataclass(frozen=True, slots=True)
class HandBack:
    """A contract whose author has to rebase, and onto what."""

    contract: str
    onto: tuple[str, ...]  # contracts, or the base
    files: tuple[str, ...]
    owners: tuple[str, ...] = ()

    @classmethod
    def of(cls, contract: str, conflicts: Iterable[Conflict]) -> HandBack:
        """The one for all conflicts of a contract."""
        rows = list(conflicts)
        onto = tuple(name for one in rows for name in one.against)
        files = {path for one in rows for path in one.files}
        return cls(contract, onto, tuple(sorted(files)), tuple(sorted({who for one in rows for who in one.owners})))

    def to_dict(self) -> dict[str, Any]:
        return {"contract": self.contract, "onto": list(self.onto), "files": list(self.files), "owners": list(self.owners)}


@dataclass(frozen=True)
class MergePlan:
    """The whole plan, in landing order."""

    base: str
    base_ref: str
    base_tree: str
    steps: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()
    batches: tuple[Batch, ...] = ()
    totals: Totals = Totals()
    hand_backs: tuple[HandBack, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": "nmoe-graph/plan@1",
            "base": self.base,
            "base_ref": self.base_ref,
            "base_tree": self.base_tree,
            "steps": [step.to_dict() for step in self.steps],
            "batches": [batch.to_dict() for batch in self.batches],
            "totals": self.totals.to_dict(),
            "hand_backs": [one.to_dict() for one in self.hand_backs],
            "notes": list(self.notes),
        }

    def _repr_html_(self) -> str:
        from ..markup import table

        rows = [
            [
                step.contract,
                step.status,
                ", ".join(step.after),
                "; ".join(f for c in step.conflicts for f in c.files),
                str(len(step.gates)),
            ]
            for step in self.steps
        ]
        return table(["contract", "status", "after", "conflicts", "gates"], rows)
