"""What a dispatch asks for: two commits, the tree of their merge, and the digests of what judges it.

Whoever resolves it, whoever approves it and the runner that carries it out compute the same request from the same commits; what
differs is refused.  Equal requests have equal names, so that none is dispatched twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from hashlib import sha256
from typing import Any

from ..attest.evidence import Evidence
from ..digest.encoding import digest
from ..digest.rules import BUILD_FILE, Rules
from ..errors import SnapshotError, UsageError, did_you_mean, printable
from ..git.merging import Merger
from ..git.repository import Repository
from ..git.snapshot import Snapshot
from ..git.writing import write_commit
from ..label import Label
from ..model import Bundle, Contract, Gate
from ..store.memo import SqliteMemo

__all__ = ["SINGLE", "Request", "definitions_digest", "gates_of", "merge_commit", "merged_tree", "names_of", "request_from"]

SINGLE = "single"
_WHO = "nmoe-graph <merge@nmoe-graph.invalid>"
_SHA = re.compile(r"[0-9a-f]{40}\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_ISSUE = re.compile(r"[0-9]{1,6}[a-z]{0,3}\Z", re.ASCII)
_WORD = re.compile(r"[A-Za-z0-9_.\-]{1,80}\Z", re.ASCII)
_GATE = re.compile(r"[A-Za-z0-9_.\-]{1,80}:[A-Za-z0-9_.\-]{1,120}\Z", re.ASCII)
_REF = re.compile(r"(?:[A-Za-z0-9_.][A-Za-z0-9_./\-]{0,199})?\Z", re.ASCII)
_PERCENT = re.compile(r"(?:-?\d{1,3}(?:\.\d{1,4})?)?\Z", re.ASCII)
_CORRELATION = re.compile(r"pr\d{1,9}-[0-9a-f]{20}-\d{1,4}\Z")


@dataclass(frozen=True, slots=True)
class Request:
    """The inputs of the workflow.  `single_gate` is "" unless `bundle` is `single`; the last two of a perf gate may be ""."""

    pr_number: int
    bundle: str
    single_gate: str
    head_sha: str
    base_sha: str
    merged_tree: str
    definitions_digest: str
    contract: str
    contract_digest: str
    baseline_ref: str = ""
    perf_budget_pct: str = ""
    correlation: str = ""

    @property
    def what(self) -> str:
        return self.single_gate if self.bundle == SINGLE else self.bundle

    def to_inputs(self) -> dict[str, str]:
        """As GitHub takes them: text by name."""
        return {field.name: str(getattr(self, field.name)) for field in fields(self)}

    def named(self, attempt: int) -> Request:
        """With its name: the same for the same work; `attempt` counts from 1 and tells a rerun from the run that failed."""
        said = replace(self, correlation="").to_inputs()
        whole = sha256("".join(f"{key}={len(value)}:{value}\n" for key, value in sorted(said.items())).encode()).hexdigest()
        return replace(self, correlation=f"pr{self.pr_number}-{whole[:20]}-{attempt}")

    @property
    def stem(self) -> str:
        """The name without the attempt."""
        return self.correlation.rpartition("-")[0]


def request_from(inputs: Any) -> Request:
    """The request that a dispatch carries, every value checked character by character.

    Raises:
        UsageError: an input is missing, unknown, or not of its form.
    """
    if not isinstance(inputs, Mapping):
        raise UsageError("the inputs of the dispatch are no mapping")
    known = {field.name for field in fields(Request)}
    if odd := sorted(set(map(str, inputs)) ^ known):
        raise UsageError(f"the dispatch lacks, or has besides, {', '.join(printable(one, limit=60) for one in odd[:5])}")
    said = {name: inputs[name] for name in known}
    if any(not isinstance(value, str) for value in said.values()):
        raise UsageError("an input of the dispatch is no text")
    forms = {
        "pr_number": re.compile(r"[1-9]\d{0,8}\Z", re.ASCII),
        "bundle": _WORD,
        "single_gate": _GATE if said["bundle"] == SINGLE else re.compile(r"\Z"),
        "head_sha": _SHA,
        "base_sha": _SHA,
        "merged_tree": _SHA,
        "definitions_digest": _SHA256,
        "contract": _ISSUE,
        "contract_digest": _SHA256,
        "baseline_ref": _REF,
        "perf_budget_pct": _PERCENT,
        "correlation": _CORRELATION,
    }
    for name, form in forms.items():
        if not form.match(said[name]):
            raise UsageError(f"the input {name} is {printable(said[name], limit=80)!r}, which is not of its form")
    if ".." in said["baseline_ref"]:
        raise UsageError("the input baseline_ref is no ref")
    made = Request(**(said | {"pr_number": int(said["pr_number"])}))
    attempt = int(made.correlation.rpartition("-")[2])
    if made.named(attempt).correlation != made.correlation:
        raise UsageError("the dispatch does not bear the name of what it asks for")
    return made


def names_of(evidence: Evidence, bundle: str, gate: str) -> tuple[str, str]:
    """The bundle and the single gate of a request, as the base knows them.

    Raises:
        UsageError: the base has no such bundle or gate.
    """
    if bool(bundle) == bool(gate):
        raise UsageError("say --bundle B or --gate ID, one of the two")
    if gate:
        name = gate.removeprefix("//gates/")
        known = [one.gate_id for one in evidence.gates()]
        if name not in known:
            raise UsageError(f"{evidence.base_ref} has no gate {printable(name, limit=80)}", hint=did_you_mean(name, known))
        return SINGLE, name
    name = bundle.removeprefix("//gates:")
    known = [one.label.name for one in evidence.graph.of_kind("bundle")]
    if name not in known:
        hint = did_you_mean(name, known) or f"bundles: {', '.join(known)}"
        raise UsageError(f"{evidence.base_ref} has no bundle {printable(name, limit=80)}", hint=hint)
    return name, ""


def gates_of(evidence: Evidence, request: Request) -> list[Gate]:
    """The gates of a request, as the base defines them, in the order of their labels."""
    if request.bundle == SINGLE:
        found = [evidence.gate(request.single_gate)]
    else:
        bundle = next(one for one in evidence.graph.of_kind("bundle") if one.label.name == request.bundle)
        assert isinstance(bundle, Bundle)
        found = [evidence.gate(label.short) for label in bundle.members]
    return sorted((gate for gate in found if gate is not None), key=lambda gate: gate.label)


def labels_of(gates: Sequence[Gate], contract: Contract) -> list[str]:
    """What to build for them: the gates, and for perf gates the contract whose budget they judge."""
    labels = [str(gate.label) for gate in gates if gate.gate_kind != "perf"]
    if any(gate.gate_kind == "perf" for gate in gates) and contract.perf is not None:
        labels.append(str(Label("contracts", contract.issue)))
    return labels


def definitions_digest(base: Snapshot, rules: Rules) -> str:
    """A digest of all that says, at the base, what a gate is and when it passes: hex."""
    rows = []
    for path, mode, name in base.walk():
        judges = path.rpartition("/")[2] == BUILD_FILE or path in (rules.gates, rules.signers, *rules.locks)
        if judges:
            rows.append([path, mode, name])
    return digest("definitions", sorted(rows))


def merged_tree(repository: Repository, memo: SqliteMemo, base: str, head: str) -> str:
    """The tree that GitHub would make of the two.

    Raises:
        SnapshotError: they conflict, or have no common history.
    """
    with Merger(repository, memo) as merger:
        found = merger.merge_heads(base, head)
        if found.conflicts:
            files = ", ".join(printable(path, limit=100) for path in found.conflicts[:5])
            raise SnapshotError(
                f"{head[:12]} and {base[:12]} conflict in {files}", hint="bring the branch up to date with its base"
            )
        if not found.exact:
            raise SnapshotError("this merge needs git 2.38 or newer to be exact", hint="install git")
        merger.bring(found.tree)
    return found.tree


def merge_commit(repository: Repository, base: str, head: str, tree: str) -> str:
    """A commit of the merge: the same id wherever it is made, since all that it holds follows from the two commits."""
    when = max(_committed(repository, one) for one in (base, head))
    message = f"Merge {head} into {base}\n\nMade to be tested; it is on no branch."
    return write_commit(repository, tree, (base, head), message, who=_WHO, when=when)


def _committed(repository: Repository, commit: str) -> int:
    """When a commit was made, in seconds since 1970."""
    body = repository.objects.raw(commit)[1]
    found = re.search(rb"^committer .*> (\d{1,12}) [-+]\d{4}$", body, re.MULTILINE)
    return int(found[1]) if found else 0
