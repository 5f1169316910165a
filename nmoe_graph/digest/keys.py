"""The digest of each kind of target, and the parts of a manifest.

A gate's digest is its action key.  Bundles, contracts and merges digest their children; `files` and `python` targets digest
what they stand for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ..inputs.input import Inputs
from ..label import Label
from ..model import PERF_ROUNDS, Action, Contract, Files, Gate, Merge, PerfBudget, Python, Toolchain
from .encoding import digest
from .listing import rows_digest
from .manifest import value_digest

__all__ = [
    "IN_KEY",
    "OUTSIDE_KEY",
    "action_manifest",
    "contract_digest",
    "leaf_digest",
    "merge_digest",
    "perf_contract_key",
    "perf_key",
    "toolchain_digest",
    "toolchain_parts",
]

#: Every field of a Gate stands in exactly one of these two (a test walks them).
IN_KEY = frozenset(
    {
        "cmd",
        "gate_kind",
        "inputs",
        "deps",
        "requires_files",
        "infer",
        "exact",
        "env",
        "requires",
        "keyed",
        "toolchains",
        "arch",
        "gpus",
        "salt",
        "expects",
        "compare_gate",
        "metric",
        "better",
        "ratchet",
        "rounds",
    }
)
OUTSIDE_KEY = frozenset({"label", "tier", "writable", "timeout_s", "retries", "accept_flaky", "notes", "at", "places"})


def action_manifest(what: Gate | Action, inputs: Inputs) -> dict[str, Any]:
    """The parts of an action's key by name, with the luggage that `why` shows.

    `inputs`, `deps`, `requires_files`, `infer` and `exact` enter as what they select, not as what was written.
    """
    gate = isinstance(what, Gate)
    return {
        "command": what.cmd,
        "env": dict(what.env),
        "requires": [_required(name, name in what.keyed) for name in sorted(what.requires)] if isinstance(what, Gate) else [],
        "platform": what.arch if isinstance(what, Gate) else "",
        "gpus": what.gpus if isinstance(what, Gate) else 0,
        "toolchains": toolchain_parts(inputs),
        "salt": what.salt if isinstance(what, Gate) else "",
        "expects": dict(what.expects) if isinstance(what, Gate) else {},
        "outs": [] if gate else sorted(what.outs) if isinstance(what, Action) else [],
        "inputs": [item.row() for item in inputs.items],
        "whole_tree": inputs.whole_tree,
        "search": [list(inputs.search[0]), *inputs.search[1:]] if inputs.search else None,
    }


def _required(name: str, keyed: bool) -> str | list[str | None]:
    """A variable's name, and, where its value was declared to count, the digest of that (None: it is not set here)."""
    return [name, value_digest(name)] if keyed else name


def toolchain_parts(inputs: Inputs) -> dict[str, Any]:
    """What the toolchains say, whatever they are called; nothing where there is none."""
    if not inputs.toolchains:
        return {}
    return {
        "lock": [list(row) for row in inputs.locks],
        "image": sorted({tool.image for tool in inputs.toolchains if tool.image}),
        "versions": sorted({f"{name} {text}" for tool in inputs.toolchains for name, text in tool.versions}),
    }


def toolchain_digest(target: Toolchain, inputs: Inputs) -> str:
    return digest("toolchain", {"name": str(target.label), "says": toolchain_parts(inputs)})


def perf_key(gate: Gate, compared: str) -> str:
    """The key of a perf gate without a contract: what is compared, and how."""
    parts = {"compared": compared, "metric": gate.metric, "better": gate.better, "salt": gate.salt}
    said = {"ratchet": True} if gate.ratchet else {}
    return digest("perf", parts | said | ({"rounds": gate.rounds} if gate.rounds != PERF_ROUNDS else {}))


def perf_contract_key(gate: Gate, before: str, after: str, budget: PerfBudget) -> str:
    """The key of one contract's budget: both actions that are compared, what of them, and how far they may lie apart."""
    parts = {"baseline": before, "metric": budget.metric, "budget_pct": float(budget.budget_pct)}
    return digest("perf.contract", {"gate": perf_key(gate, after), **parts})


def leaf_digest(target: Files | Python, inputs: Inputs) -> str:
    return digest(target.kind, {"name": str(target.label), "inputs": rows_digest(item.row() for item in inputs.items)})


_CONTRACT_FIELDS = tuple(field.name for field in dataclasses.fields(Contract))


def contract_digest(target: Contract, digests: Mapping[Label, str]) -> str:
    """Everything that the contract says, and the digests of the gates that it requires."""
    names = [name for name in _CONTRACT_FIELDS if name not in ("label", "required", "perf", "source", "at", "places")]
    said = {name: getattr(target, name) for name in names}
    perf = [target.perf.gate, target.perf.metric, target.perf.baseline_ref, float(target.perf.budget_pct)] if target.perf else None
    return digest(
        "contract", {"said": said, "perf": perf, "gates": [[gate, digests[Label.of_gate(gate)]] for gate in target.required]}
    )


def merge_digest(target: Merge, digests: Mapping[Label, str]) -> str:
    return digest("merge", [digests[target.contract], [digests[label] for label in target.after]])
