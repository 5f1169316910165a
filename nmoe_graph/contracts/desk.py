"""Contracts of one workspace: what the command line and a notebook ask of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..attest import evidence
from ..attest.evidence import Evidence
from ..errors import DeclarationError, HostError, SnapshotError, UsageError, did_you_mean, printable
from ..forge.records import Issue, Pull
from ..forge.where import Where
from ..git.snapshot import Snapshot
from ..git.synced import fetch_synced, push_synced
from ..load.gates import GatesFile
from ..merge.branches import Branches
from ..model import Contract, Gate
from .check import CheckReport, check_contracts
from .draft import Draft, contract_path, free_issue_id, issue_body, issue_title, write_contract
from .policy import issue_policy
from .status import StatusReport, contract_states
from .sync import SyncReport, sync_issues
from .worktree import WorktreeReport, make_worktree

__all__ = ["Asked", "ContractDesk", "Forge", "NewContract"]


class Asked(evidence.Asked, Protocol):
    """What is asked of the workspace."""

    def snapshot(self, at: str | None = None) -> Snapshot: ...

    def synced(self) -> Snapshot | None: ...

    def evidence(self, base: str | None = None) -> Evidence: ...


class Forge(Protocol):
    """What is asked of GitHub."""

    where: Where

    def issues(self, *, labels: Iterable[str] = (), state: str = "open") -> Sequence[Issue]: ...

    def create_issue(self, title: str, body: str, labels: Iterable[str] = ()) -> Issue: ...

    def pulls(self, *, state: str = "open", head: str = "", base: str = "") -> Sequence[Pull]: ...


@dataclass(frozen=True)
class NewContract:
    """A contract that was written: its file, and the issue that was opened for it."""

    contract: str
    path: str
    text: str
    number: int = 0
    url: str = ""

    @property
    def exit_code(self) -> int:
        return 0

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": "nmoe-graph/contract-new@1",
            "contract": self.contract,
            "path": self.path,
            "text": self.text,
            "number": self.number or None,
            "url": printable(self.url),
        }


class ContractDesk:
    """`github` makes the forge when it is first needed; most questions do without."""

    def __init__(self, workspace: Asked, github: Callable[[], Forge]) -> None:
        self._workspace, self._repository, self._github = workspace, workspace.repository, github

    def _contracts(self) -> dict[str, Contract]:
        """Those of the work tree, and those of the base, which count before them: a branch may be older than its contract."""
        found = {one.issue: one for one in self._workspace.analysis().graph.contracts()}
        base = self._workspace.base_ref()
        if base is not None:
            try:
                found |= {one.issue: one for one in self._workspace.analysis(self._repository.resolve(base)).graph.contracts()}
            except DeclarationError:
                pass  # the work tree may be about to mend it
        return found

    def known(self, issue: str) -> Contract:
        """A contract of the base, the issues or the work tree.

        Raises:
            UsageError: there is none of this id.
        """
        found = self._contracts()
        name = issue.removeprefix("//contracts:").removeprefix("//merges:")
        if name not in found:
            hint = (
                did_you_mean(name, found) or f"contracts: {', '.join(sorted(found)[:20])}" if found else "nmoe-graph contract new"
            )
            raise UsageError(f"there is no contract {printable(name, limit=60)}", hint=hint)
        return found[name]

    # -- written ---------------------------------------------------------------------------------------------------------------

    def free_id(self) -> str:
        """An id that no contract has."""
        return free_issue_id(self._contracts())

    def gates_of_tier_a(self) -> tuple[str, ...]:
        """What a new contract asks for unless it says otherwise."""
        gates = [target for target in self._workspace.analysis().graph if isinstance(target, Gate) and target.tier == "a"]
        bundle = next((one for one in self._workspace.analysis().graph.of_kind("bundle") if one.label.name == "tier_a"), None)
        if bundle is not None:
            return tuple(label.short for label in self._workspace.analysis().graph.deps(bundle.label))
        return tuple(gate.gate_id for gate in gates)

    def new(self, draft: Draft, *, issue: bool = False, dry_run: bool = False) -> NewContract:
        """Write a contract's file, and with `issue` open the GitHub issue that holds it.

        An issue that holds the contract already is not opened again.

        Raises:
            DeclarationError, UsageError: the contract would not be one, or its id is taken; nothing was written.
            HostError: the file cannot be written, or GitHub cannot be asked.
        """
        graph = self._workspace.analysis().graph
        gates = GatesFile("", tuple(target for target in graph if isinstance(target, Gate)), ())
        contract = draft.checked(gates if graph.workspace.gates else None, self._public())
        known = self._contracts()
        text = draft.to_yaml()
        unknown = [one for one in contract.depends_on if one not in known]
        if unknown:
            raise UsageError(f"depends on {', '.join(unknown)}, which no contract here is", hint=did_you_mean(unknown[0], known))
        if contract.depends_on_all and (last := [one.issue for one in known.values() if one.depends_on_all]):
            raise UsageError(f"{last[0]} lands last already, and only one can")
        path = contract_path(graph.workspace.contracts, draft)
        body = issue_body(text)
        if dry_run:
            return NewContract(contract.issue, path, text)
        if contract.issue in known:
            at = known[contract.issue].at
            raise UsageError(
                f"contract {contract.issue} is there already: {at.file if at else ''}", hint=f"{self.free_id()} is free"
            )
        opened: Issue | None = None
        if issue:
            policy = issue_policy(self._base())
            labels = (policy.label,) if policy.label else ()
            forge = self._github()
            title = issue_title(contract)
            same = [one for one in forge.issues(labels=labels, state="open") if not one.is_pull and one.title == title]
            opened = same[0] if same else forge.create_issue(title=title, body=body, labels=labels)
            if same and opened.body.replace("\r\n", "\n").strip() != body.strip():
                raise UsageError(
                    f"issue #{opened.number} has this title and holds something else", hint="look at it, or take another id"
                )
        write_contract(self._repository.root, path, text)
        return NewContract(contract.issue, path, text, opened.number if opened else 0, opened.url if opened else "")

    def _public(self) -> tuple[str, ...]:
        from ..load.build import load_build
        from ..load.discover import BUILD_FILE

        return load_build(self._workspace.snapshot().read(BUILD_FILE) or b"", BUILD_FILE, "").allow

    def _base(self, base: str | None = None) -> Snapshot:
        ref = base or self._workspace.base_ref()
        if ref is None:
            raise SnapshotError("no base ref is here, so there are no rules to judge by", hint=self._repository.base_hint())
        return self._repository.at(ref)

    # -- checked and synced ----------------------------------------------------------------------------------------------------

    def check(self, wanted: Sequence[str] = ()) -> CheckReport:
        """All contracts, or some files and ids: each by itself, against the gates and the others, and for public safety.

        Raises:
            UsageError: a word is neither.
        """
        return check_contracts(self._workspace.snapshot(), self._workspace.synced(), wanted, self._workspace.analysis())

    def sync(self, *, base: str | None = None, dry_run: bool = False) -> SyncReport:
        """Make the contracts of the issues this clone's.

        Raises:
            SnapshotError, DeclarationError, HostError: the base's rules cannot be read, or GitHub cannot be asked.
        """
        rules = self._base(base)
        landed = Branches(self._repository, self._workspace.memo, str(rules.commit)).landings
        return sync_issues(self._repository, self._github(), rules, landed, dry_run=dry_run)

    def push(self, remote: str = "origin") -> bool:
        """Give the synced contracts to a remote; whether that changed anything there.

        Raises:
            UsageError, HostError: there is no such remote, or it takes nothing.
        """
        return push_synced(self._repository, remote)

    def fetch(self, remote: str = "origin") -> str | None:
        """Take the synced contracts that a remote holds: for machines without a token.

        Raises:
            UsageError, HostError: there is no such remote.
        """
        return fetch_synced(self._repository, remote)

    # -- worked on -------------------------------------------------------------------------------------------------------------

    def worktree(self, issue: str, *, base: str | None = None, folder: str | None = None) -> WorktreeReport:
        """A worktree on the contract's branch; asked again, the same one.

        Raises:
            UsageError, SnapshotError, HostError: there is no such contract or base, or git refuses.
        """
        contract = self.known(issue)
        ref = base or self._workspace.base_ref() or "HEAD"
        return make_worktree(self._repository, contract, self._workspace.analysis().graph.workspace.name, ref, folder)

    def status(self, wanted: Sequence[str] = (), *, base: str | None = None, offline: bool = False) -> StatusReport:
        """How far contracts are.  Without GitHub, or with `offline`, nothing is said of pull requests.

        Raises:
            UsageError, SnapshotError, DeclarationError: there is no such contract or base.
        """
        judge = self._workspace.evidence(base)
        contracts = self._contracts()
        chosen = {self.known(one).issue for one in wanted} or set(contracts)
        notes: list[str] = []
        pulls: Mapping[str, Pull] | None = None
        if not offline:
            try:
                pulls = self._pulls()
            except (HostError, UsageError) as error:
                notes.append(f"GitHub was not asked: {error.faults[0].what}")
        states = contract_states(self._workspace, judge, list(contracts.values()), pulls)
        return StatusReport(judge.base, tuple(one for one in states if one.contract in chosen), tuple(notes))

    def _pulls(self) -> dict[str, Pull]:
        """By branch, the newest pull request, an open one before a closed one; of forks, none."""
        found: dict[str, Pull] = {}
        forge = self._github()
        here = f"{forge.where.owner}/{forge.where.name}"
        for pull in sorted(forge.pulls(state="all"), key=lambda one: (one.state == "open", one.number)):
            if not pull.merged and pull.head_repo.casefold() == here.casefold():
                found[pull.head_ref] = pull
        return found
