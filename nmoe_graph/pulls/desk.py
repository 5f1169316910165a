"""Pull requests of one workspace: what the command line and a notebook ask of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from ..answers import MergeReport
from ..attest.block import AttestReport, contract_of
from ..errors import UsageError, printable
from ..forge.records import Pull
from ..git.synced import read_synced, synced_issues
from ..model import Contract
from . import comments, landing
from .body import first_body, issue_of_title, pull_title, with_block
from .commits import PullCommits, bring, push_branch
from .landing import HubLander
from .verdict import PullReport, contract_named, judge_pull

__all__ = ["Asked", "Forge", "PullDesk", "PullMade"]

CHECK = "nmoe-graph / contract"


class Asked(landing.Asked, Protocol):
    """What is asked of the workspace."""

    def attest(self, contract: str, at: str | None = None, base: str | None = None) -> AttestReport: ...


class Forge(landing.Forge, Protocol):
    """What is asked of GitHub."""

    def create_pull(self, title: str, body: str, head: str, base: str, draft: bool = False) -> Pull: ...


@dataclass(frozen=True)
class PullMade:
    """A pull request that was opened or brought up to date; or, where `unproven` says why, was not."""

    contract: str
    number: int
    url: str
    commit: str
    what: str  # opened, updated, unchanged, refused
    unproven: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        return 1 if self.unproven else 0

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": "nmoe-graph/pr@1",
            "contract": self.contract,
            "number": self.number or None,
            "url": printable(self.url),
            "commit": self.commit,
            "what": self.what,
            "unproven": [printable(one, limit=600) for one in self.unproven],
            "notes": [printable(one, limit=600) for one in self.notes],
        }


class PullDesk:
    """`github` makes the forge when it is first needed; `remote` is where its branches are fetched from and pushed to."""

    def __init__(
        self,
        workspace: Asked,
        github: Callable[[], Forge],
        remote: str = "origin",
        say: Callable[[str], None] = lambda words: None,
    ) -> None:
        self._say = say
        self._workspace, self._repository, self._remote = workspace, workspace.repository, remote
        self._github = github

    # -- opened, and kept up to date -------------------------------------------------------------------------------------------

    def create(self, issue: str, *, base: str | None = None, draft: bool = False) -> PullMade:
        """Push the contract's branch and open its pull request, with the block of what is proven; asked again, bring it up to date.

        Raises:
            UsageError, SnapshotError: there is no such contract, or no branch of it.
            HostError: the branch cannot be pushed, or GitHub refuses.
        """
        judge = self._workspace.evidence(base)
        contract = contract_of(judge, issue)
        head = self._repository.branch_commit(contract.branch)
        if head is None:
            raise UsageError(f"there is no branch {contract.branch}", hint=f"nmoe-graph contract worktree {contract.issue}")
        report = self._workspace.attest(contract.issue, head, base)
        if report.unproven:
            return PullMade(contract.issue, 0, "", head, "refused", report.unproven, report.notes)
        forge = self._github()
        push_branch(self._repository, self._remote, contract.branch, head)
        found = self._open_pull(forge, contract)
        if found is not None:
            return self._bring_up(forge, found, contract, report)
        onto = judge.base_ref.removeprefix("refs/heads/").removeprefix(f"{self._remote}/")
        synced = synced_issues(read_synced(self._repository)).get(contract.issue)
        body = first_body(contract, report.text, synced.number if synced is not None else 0)
        made = forge.create_pull(pull_title(contract), body, contract.branch, onto, draft)
        return PullMade(contract.issue, made.number, made.url, head, "opened", (), report.notes)

    def _open_pull(self, forge: Forge, contract: Contract) -> Pull | None:
        listed = forge.pulls(state="open", head=contract.branch)
        here = f"{forge.where.owner}/{forge.where.name}".casefold()
        found = [one for one in listed if one.head_ref == contract.branch and one.head_repo.casefold() == here]
        return found[0] if found else None

    def update(self, number: int, *, base: str | None = None) -> PullMade:
        """Push what its branch has gained here, and write the block of what is proven now.

        Raises:
            UsageError: it is no open pull request of a contract.
            DeclarationError: its text has more than one block.
            HostError: the branch cannot be pushed, or GitHub refuses.
        """
        forge = self._github()
        pull = forge.pull(number)
        judge = self._workspace.evidence(base)
        contract, lines = contract_named(pull, {one.issue: one for one in judge.graph.contracts()})
        if contract is None:
            raise UsageError(f"pull request {number}: {lines[0].what}")
        if pull.state != "open":
            raise UsageError(f"pull request {number} is {'merged' if pull.merged else pull.state}")
        head = self._repository.branch_commit(contract.branch) if pull.head_ref == contract.branch else None
        report = self._workspace.attest(contract.issue, head or self._bring(pull).head, base)
        if report.unproven:
            return PullMade(contract.issue, number, pull.url, report.commit, "refused", report.unproven, report.notes)
        if head is not None and pull.head_repo.casefold() == f"{forge.where.owner}/{forge.where.name}".casefold():
            push_branch(self._repository, self._remote, contract.branch, head)
        return self._bring_up(forge, pull, contract, report)

    def _bring_up(self, forge: Forge, pull: Pull, contract: Contract, report: AttestReport) -> PullMade:
        body = with_block(pull.body, report.text)
        title = pull.title if issue_of_title(pull.title) == contract.issue else pull_title(contract)
        if (body, title) == (pull.body, pull.title):
            return PullMade(contract.issue, pull.number, pull.url, report.commit, "unchanged", (), report.notes)
        forge.update_pull(pull.number, title=title, body=body)
        return PullMade(contract.issue, pull.number, pull.url, report.commit, "updated", (), report.notes)

    # -- landed ----------------------------------------------------------------------------------------------------------------

    def land(self, wanted: Sequence[str] = (), *, dry_run: bool = False, exact: bool = False, head: str = "") -> MergeReport:
        """Land contracts through their pull requests; see `landing`.

        Raises:
            UsageError, SnapshotError, DeclarationError, HostError: there is no such contract, or GitHub cannot be asked.
        """
        return HubLander(self._workspace, self._github, self._remote, self._say).land(
            wanted, dry_run=dry_run, exact=exact, head=head
        )

    # -- judged ----------------------------------------------------------------------------------------------------------------

    def verify(self, number: int, *, tiers: str = "ab", base: str | None = None, report: bool = False) -> PullReport:
        """Judge a pull request by the rules of the branch that it would land on; with `report`, say so where it is.

        Raises:
            SnapshotError: it moved while it was read.
            HostError: GitHub or the remote cannot be asked.
        """
        forge = self._github()
        pull = forge.pull(number)
        commits = self._bring(pull)
        judge = self._workspace.evidence(base or commits.base)
        found = judge_pull(self._workspace, judge, pull, commits, tiers=tiers)
        if report:
            text = found.markdown()
            said = comments.say_comment(forge, number, "pr-verify", f"pull {number}", text)
            title = "it counts" if found.counts else "it does not count"
            why = comments.try_check(
                forge, CHECK, commits.head, f"pr-verify {number} {commits.head}", passed=found.counts, title=title, summary=text
            )
            found = replace(found, comment=said.url, notes=(why,) if why else ())
        return found

    def _bring(self, pull: Pull) -> PullCommits:
        return bring(self._repository, self._remote, pull)
