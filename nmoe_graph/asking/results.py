"""What is recorded: results by label and by commit, logs, and statements of results."""

from __future__ import annotations

from ..answers import ResultsReport
from ..errors import DeclarationError
from ..label import parse_label
from ..result import Result
from .asked import Asked

__all__ = ["log", "results"]


def results(workspace: Asked, what: str | None = None, at: str | None = None) -> ResultsReport:
    """Stored results: all, a label's, or what is proven at a commit (full SHA, unique prefix of one, or any ref)."""
    if what is None:
        return ResultsReport("", tuple(workspace.store.all()))
    if what.startswith(("//", ":")) or (":" in what and "/" not in what):
        label = parse_label(what)
        analysis = workspace.analysis(at)
        target = analysis.graph.get(label)
        ran = tuple(workspace.store.by_label(str(label)))
        row = analysis.table()[str(label)]
        limit = row.timeout_s or 10**9
        proof = workspace.store.proof(row.digest, timeout_s=limit, accept_flaky=row.accept_flaky) if target.kind == "gate" else None
        return ResultsReport(str(label), ran, (proof,) if proof is not None and proof not in ran else ())
    commit = workspace.repository.try_resolve(what)
    if commit is None:
        return ResultsReport(what, tuple(workspace.store.by_commit(what)))
    found = {id(result): result for result in workspace.store.by_commit(commit)}
    by_key = {}
    try:
        table = workspace.analysis(commit).table()
    except DeclarationError:
        table = {}
    for label_text, row in table.items():
        if row.kind == "gate":
            proof = workspace.store.proof(row.digest, timeout_s=row.timeout_s or 10**9, accept_flaky=row.accept_flaky)
            by_key[label_text] = proof
    workspace.memo.flush()
    recorded = {(result.action_key, result.started) for result in found.values()}
    reused = [proof for proof in by_key.values() if proof is not None and (proof.action_key, proof.started) not in recorded]
    return ResultsReport(commit, tuple(found.values()), tuple(reused))


def log(workspace: Asked, label: str, at: str | None = None) -> tuple[Result, bytes] | None:
    """The latest log of a gate at a snapshot; of any earlier key where this one never ran."""
    parsed = parse_label(label)
    analysis = workspace.analysis(at)
    analysis.graph.get(parsed)
    candidates = workspace.store.results(analysis.digest(parsed)) or workspace.store.by_label(str(parsed))
    for result in sorted(candidates, key=lambda one: one.started, reverse=True):
        log = workspace.store.log(result)
        if log is not None:
            return result, log
    return None
