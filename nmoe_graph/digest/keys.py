"""What enters an action key: one list, read by the hasher and by `why`, so that the two cannot disagree.

A gate's digest is its action key.  Bundles, contracts and merges digest their children; `files` and `python` targets digest
what they stand for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ..inputs.gather import Inputs, entries
from ..label import Label
from ..model import Action, Bundle, Contract, Files, Gate, Merge, Python
from .encoding import digest

__all__ = [
    "IN_KEY",
    "OUTSIDE_KEY",
    "action_key",
    "action_manifest",
    "bundle_digest",
    "contract_digest",
    "leaf_digest",
    "merge_digest",
    "perf_key",
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
        "arch",
        "gpus",
        "salt",
        "expects",
        "compare_gate",
        "metric",
        "better",
    }
)
OUTSIDE_KEY = frozenset({"label", "tier", "timeout_s", "retries", "accept_flaky", "notes", "at", "places"})


def action_manifest(what: Gate | Action, inputs: Inputs) -> dict[str, Any]:
    """The parts of an action's key by name.

    `inputs`, `deps`, `requires_files`, `infer` and `exact` enter as what they select, not as what was written.
    """
    gate = isinstance(what, Gate)
    return {
        "command": what.cmd,
        "env": dict(what.env),
        "requires": sorted(what.requires) if isinstance(what, Gate) else [],
        "platform": what.arch if isinstance(what, Gate) else "",
        "gpus": what.gpus if isinstance(what, Gate) else 0,
        "toolchains": {},
        "salt": what.salt if isinstance(what, Gate) else "",
        "expects": dict(what.expects) if isinstance(what, Gate) else {},
        "outs": [] if gate else sorted(what.outs) if isinstance(what, Action) else [],
        "inputs": entries(inputs.items),
    }


def action_key(manifest: Mapping[str, Any]) -> str:
    """The digest of an action: equal keys are the same proof."""
    return digest("action", manifest)


def perf_key(gate: Gate, compared: str) -> str:
    """The key of a perf gate without a contract: what is compared, and how."""
    return digest("perf", {"compared": compared, "metric": gate.metric, "better": gate.better, "salt": gate.salt})


def leaf_digest(target: Files | Python, inputs: Inputs) -> str:
    return digest(target.kind, {"name": str(target.label), "inputs": entries(inputs.items)})


def bundle_digest(target: Bundle, digests: Mapping[Label, str]) -> str:
    return digest("bundle", [[str(label), digests[label]] for label in target.members])


_CONTRACT_FIELDS = tuple(field.name for field in dataclasses.fields(Contract))


def contract_digest(target: Contract, digests: Mapping[Label, str]) -> str:
    """Everything that the contract says, and the digests of the gates that it requires."""
    names = [name for name in _CONTRACT_FIELDS if name not in ("label", "required", "perf", "at", "places")]
    said = {name: getattr(target, name) for name in names}
    perf = [target.perf.gate, target.perf.metric, target.perf.baseline_ref, float(target.perf.budget_pct)] if target.perf else None
    return digest(
        "contract", {"said": said, "perf": perf, "gates": [[gate, digests[Label.of_gate(gate)]] for gate in target.required]}
    )


def merge_digest(target: Merge, digests: Mapping[Label, str]) -> str:
    return digest("merge", [digests[target.contract], [digests[label] for label in target.after]])
