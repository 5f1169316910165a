"""The executor `github`: gates that this machine cannot run, proven on the runners through the pull request of a commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from ..answers import BuildReport, GateOutcome
from ..attest import evidence
from ..attest.evidence import Evidence
from ..errors import HostError, UsageError
from ..forge.records import Pull
from ..label import parse_label
from ..model import Bundle
from ..result import Verdict
from .desk import Forge, TierBDesk

__all__ = ["Asked", "elsewhere", "prove_elsewhere", "unreached"]


class Asked(evidence.Asked, Protocol):
    """What is asked of the workspace."""

    def evidence(self, base: str | None = None) -> Evidence: ...


def elsewhere(report: BuildReport) -> list[GateOutcome]:
    """The gates of a build that did not run because this machine is not what they need."""
    return [one for one in report.gates if one.verdict is Verdict.NOT_RUN and one.reason.startswith("needs ")]


def unreached(report: BuildReport, why: str) -> BuildReport:
    """A build whose executor could not be asked, with the reason where the gates stand."""
    left = {one.label for one in elsewhere(report)}
    rows = []
    for one in report.gates:
        wants = one.reason.partition(", and no executor")[0]
        rows.append(replace(one, reason=f"{wants}; GitHub's runners were not asked: {why}") if one.label in left else one)
    return replace(report, gates=tuple(rows))


def prove_elsewhere(
    workspace: Asked, desk: TierBDesk, github: Callable[[], Forge], gates: Sequence[GateOutcome], at: str | None
) -> None:
    """Prove gates on the runners, for the open pull request whose head a commit is; what is proven is then in the ledger.

    Raises:
        UsageError: the work tree holds changes that no commit has.
        HostError: no pull request has this head, or GitHub cannot be asked.
    """
    repository = workspace.repository
    if at is None and repository.work_tree().commit is None:
        raise UsageError("the work tree has changes, and a runner proves commits", hint="git commit, then nmoe-graph pr create")
    commit = repository.resolve(at or "HEAD")
    pull = _pull_of(github(), commit)
    ids = {name for one in gates if (name := parse_label(one.label).gate_id) is not None}
    judge = workspace.evidence()
    bundle = next(
        (one for one in judge.graph.of_kind("bundle") if isinstance(one, Bundle) and {each.short for each in one.members} == ids),
        None,
    )
    for name, gate in [(bundle.label.name, "")] if bundle is not None else [("", one) for one in sorted(ids)]:
        desk.run(pull.number, name, gate)


def _pull_of(forge: Forge, commit: str) -> Pull:
    here = f"{forge.where.owner}/{forge.where.name}".casefold()
    found = [one for one in forge.pulls(state="open") if one.head_sha == commit and one.head_repo.casefold() == here]
    if not found:
        what = f"no open pull request has {commit[:12]} as its head, and the runners prove pull requests"
        raise HostError(what, hint="nmoe-graph pr create CONTRACT, or nmoe-graph pr update N")
    return found[0]
