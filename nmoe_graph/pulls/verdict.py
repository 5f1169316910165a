"""A pull request held against its contract, its scope, its gates and what must not be public, line by line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..attest.change import change_paths
from ..attest.evidence import Asked, Evidence
from ..attest.inside import verify_inside
from ..attest.report import VerifyLine
from ..errors import NmoeGraphError, printable
from ..forge.records import Pull
from ..git.merging import Merger
from ..git.repository import Repository
from ..markdown import Markdown, document, table
from ..markup import table as html_table
from ..merge.branches import Branches
from ..merge.scope import scope_faults
from ..model import Contract
from ..plan.control import control_plane, control_words
from ..safe import findings, redact
from .body import issue_of_title
from .commits import PullCommits

__all__ = ["PullReport", "contract_named", "judge_pull"]

_CONTROL = "control plane: "
_MOST_LINES = 80
_MOST_COMMITS = 250
_MOST_MESSAGE = 20_000


@dataclass(frozen=True)
class PullReport:
    """What a pull request comes to.  It counts only where nothing is refused."""

    number: int
    title: str
    contract: str
    head: str
    base: str
    lines: tuple[VerifyLine, ...]
    proven: tuple[str, ...]
    tiers: str  # "a", or "ab": what had to be proven
    comment: str = ""  # address of the comment that says it, where one was made
    notes: tuple[str, ...] = ()

    @property
    def counts(self) -> bool:
        return all(line.ok is not False for line in self.lines)

    @property
    def exit_code(self) -> int:
        return 0 if self.counts else 1

    @property
    def shown(self) -> tuple[VerifyLine, ...]:
        """The lines as they may be shown; what is refused is never among those that are only counted."""
        kept = [VerifyLine(one.ok, printable(redact(one.what), limit=400), printable(one.at, limit=200)) for one in self.lines]
        first = sorted(range(len(kept)), key=lambda at: (kept[at].ok is not False, at))[:_MOST_LINES]
        more = len(kept) - len(first)
        listed = [kept[at] for at in sorted(first)]
        return (*listed, VerifyLine(None, f"... and {more} more lines")) if more else tuple(listed)

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": "nmoe-graph/pr-verify@1",
            "number": self.number,
            "title": printable(redact(self.title), limit=300),
            "contract": self.contract,
            "head": self.head,
            "base": self.base,
            "tiers": self.tiers,
            "counts": self.counts,
            "proven": list(self.proven),
            "lines": [{"level": line.level, "what": line.what, "at": line.at} for line in self.shown],
            "comment": printable(self.comment) or None,
            "notes": [printable(redact(one), limit=400) for one in self.notes],
        }

    def markdown(self) -> Markdown:
        """The report for a comment or a check."""
        word = "counts" if self.counts else "does not count"
        head = f"**nmoe-graph: this pull request {word}**, at `{self.head[:12]}` onto `{self.base[:12]}`"
        asked = "" if self.tiers == "ab" else "\n\nOnly gates of tier a had to be proven."
        return document([head + asked, table(["", "what"], [[line.level, line.what] for line in self.shown])])

    def _repr_html_(self) -> str:
        return html_table(["", "what"], [[line.level, line.what] for line in self.shown], f"pull request {self.number}")


def contract_named(pull: Pull, contracts: dict[str, Contract]) -> tuple[Contract | None, list[VerifyLine]]:
    """The contract of a pull request: its title names it, and its branch must agree."""
    issue = issue_of_title(pull.title)
    if not issue:
        return None, [VerifyLine(False, "the title names no contract: it begins with [ID] and a blank")]
    contract = contracts.get(issue)
    if contract is None:
        return None, [VerifyLine(False, f"the title names contract {issue}, and the base has none of that id")]
    lines = [VerifyLine(True, f"it answers contract {issue}: {contract.title or contract.slug}")]
    if pull.head_ref != contract.branch:
        lines.append(VerifyLine(None, f"its branch is {pull.head_ref}, and the contract's is {contract.branch}"))
    return contract, lines


def judge_pull(workspace: Asked, evidence: Evidence, pull: Pull, commits: PullCommits, *, tiers: str = "ab") -> PullReport:
    """Hold a pull request against everything that the base says of it.

    With `tiers` "a", gates of tier b need not be proven yet; what the text claims of them must be so all the same.

    Raises:
        SnapshotError, HostError: a commit is not here, or signatures cannot be checked on this machine.
    """
    repository = workspace.repository
    contracts = {one.issue: one for one in evidence.graph.contracts()}
    contract, lines = contract_named(pull, contracts)
    if pull.state != "open":
        lines.append(VerifyLine(None, f"it is {'merged' if pull.merged else pull.state}"))
    names = [ref.removeprefix("origin/").removeprefix("refs/heads/") for ref in evidence.graph.workspace.base]
    if names and pull.base_ref not in names:
        lines.append(VerifyLine(False, f"it would land on {pull.base_ref}, and the base of this workspace is {names[0]}"))
    lines += _public(repository, pull, commits, evidence)
    lines += _commits(workspace, contract, commits)
    lines += _merges(repository, workspace, commits)
    lines += _control(repository, evidence, commits)
    proven: tuple[str, ...] = ()
    if contract is not None:
        report = verify_inside(
            workspace,
            evidence,
            pull.body.encode("utf-8", "surrogatepass"),
            f"pull request {pull.number}",
            commit=commits.head,
            contract=contract,
            tiers=tiers,
        )
        proven = report.proven
        lines += [one for one in report.lines if not one.what.startswith(_CONTROL)]
    return PullReport(
        pull.number, pull.title, contract.issue if contract else "", commits.head, commits.base, tuple(lines), proven, tiers
    )


def _public(repository: Repository, pull: Pull, commits: PullCommits, evidence: Evidence) -> list[VerifyLine]:
    """What of the words of a pull request must not be public: title, text, name of the branch, messages of its commits."""
    from ..load.build import load_build
    from ..load.discover import BUILD_FILE

    allow = load_build(repository.at(evidence.base).read(BUILD_FILE) or b"", BUILD_FILE, "").allow
    texts = [("the title", pull.title), ("the text", pull.body), ("the branch's name", pull.head_ref)]
    for commit in _own(repository, commits):
        message = repository.objects.commit_fields(commit)[2].decode("utf-8", "replace")
        texts.append((f"the message of {commit[:12]}", message[:_MOST_MESSAGE]))
    found = []
    for name, text in texts:
        for number, line in enumerate(text.splitlines(), 1):
            found += [
                VerifyLine(False, f"{name}, line {number}, is not public-safe: {one.words()}") for one in findings(line, allow)
            ]
    return found or [VerifyLine(True, "title, text and commit messages are public-safe")]


def _own(repository: Repository, commits: PullCommits) -> list[str]:
    """The commits that are in the head and not in the base, newest first."""
    fork = repository.merge_base(commits.base, commits.head)
    found: list[str] = []
    pending, seen = [commits.head], {fork}
    while pending and len(found) < _MOST_COMMITS:
        commit = pending.pop(0)
        if commit in seen:
            continue
        seen.add(commit)
        try:
            if repository.merge_base(commits.base, commit) == commit:
                continue
        except NmoeGraphError:
            pass  # of an unrelated history, and so not the base's
        found.append(commit)
        pending += repository.objects.commit_fields(commit)[1]
    return found


def _commits(workspace: Asked, contract: Contract | None, commits: PullCommits) -> list[VerifyLine]:
    """Commits that are not of this contract alone: worth knowing, since the tree is what is judged."""
    repository = workspace.repository
    branches = Branches(repository, workspace.memo, commits.base)
    lines = []
    for commit in _own(repository, commits):
        _, parents, _ = repository.objects.commit_fields(commit)
        if len(parents) > 1:
            lines.append(VerifyLine(None, f"commit {commit[:12]} is a merge"))
        elif contract is not None and parents:
            trees = [repository.objects.commit_fields(one)[0] for one in (parents[0], commit)]
            if faults := scope_faults(contract, branches.changes(*trees)):
                lines.append(VerifyLine(None, f"commit {commit[:12]} touches {faults[0][0]} ({faults[0][1]})"))
    return lines


def _control(repository: Repository, evidence: Evidence, commits: PullCommits) -> list[VerifyLine]:
    """What of the change judges it: said of every pull request, whether or not it has a contract or a block."""
    words = control_words(control_plane(change_paths(repository, commits.base, commits.head), evidence.rules))
    return [VerifyLine(None, f"{words}: for a maintainer, and judged by the rules of {evidence.base_ref}")] if words else []


def _merges(repository: Repository, workspace: Asked, commits: PullCommits) -> list[VerifyLine]:
    with Merger(repository, workspace.memo) as merger:
        merged = merger.merge_heads(commits.base, commits.head)
    if merged.conflicts:
        return [VerifyLine(False, f"it conflicts with its base in {', '.join(merged.conflicts[:8])}")]
    return [VerifyLine(True, "it merges with its base")]
