"""The facade: everything that the command line and a notebook can ask of a workspace.

    from nmoe_graph import Workspace
    ws = Workspace.open(".")
    ws.affected(since="origin/main")

A snapshot is taken anew for each question, so a long-lived notebook never answers from yesterday's files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .digest.analysis import Analysis
from .errors import HostError, UsageError
from .git.refs import CONTRACTS_REF, has_ledger, read_ref
from .git.repository import Repository
from .git.snapshot import Snapshot
from .plan.affected import AffectedReport
from .store.memo import SqliteMemo

if TYPE_CHECKING:
    from .answers import AuditReport, BuildReport, LintReport, MergeReport, ResultsReport, WhyReport
    from .attest.block import AttestReport
    from .attest.evidence import Evidence
    from .attest.making import Signing
    from .attest.report import VerifyReport
    from .attest.shared import SharedProofs
    from .contracts.desk import ContractDesk
    from .execute.build import Events
    from .forge.github import GitHub
    from .git.exchange import Exchange
    from .graph.graph import Graph
    from .model import Result
    from .plan.merge import MergePlan
    from .plan.probe import Probe
    from .pulls.desk import PullDesk
    from .store.keeping import Cleaning, Inspection
    from .store.local import Store
    from .tierb.desk import TierBDesk

__all__ = ["Workspace"]


class Workspace:
    """One git repository with a BUILD.toml at its root."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self.memo = SqliteMemo(repository.state_dir / "memo.sqlite")
        self._store: Store | None = None
        self._shared: SharedProofs | None = None
        self._by_tree: dict[str, Analysis] = {}
        #: Hears what a wait is for; the command line prints it.
        self.say: Callable[[str], None] = lambda words: None

    @classmethod
    def open(cls, where: str | os.PathLike[str] = ".") -> Workspace:
        """The workspace that holds a folder.

        Raises:
            UsageError: the folder is in no git checkout.
        """
        return cls(Repository.open(Path(where)))

    def __repr__(self) -> str:
        return f"Workspace({str(self.root)!r})"

    @property
    def root(self) -> Path:
        return self.repository.root

    @property
    def store(self) -> Store:
        """The local results."""
        if self._store is None:
            from .store.local import Store

            shared = self._shared_proofs()
            self._store = Store(self.repository.state_dir, shared.proofs if shared is not None else None)
        return self._store

    def _shared_proofs(self) -> SharedProofs | None:
        """What others proved, if this clone has a ledger; one that has none pays a look at two files."""
        if self._shared is None and has_ledger(self.repository.common_dir):
            from .attest.shared import SharedProofs

            self._shared = SharedProofs(self)
        return self._shared

    def shared_refusals(self, key: str) -> list[str]:
        """Why what the ledger holds under an action key does not count here."""
        shared = self._shared_proofs()
        return shared.refused(key) if shared is not None else []

    # -- snapshots -------------------------------------------------------------------------------------------------------------

    def snapshot(self, at: str | None = None) -> Snapshot:
        """A commit's snapshot, or, without a ref, the work tree's."""
        return self.repository.at(at) if at is not None else self.repository.work_tree()

    def analysis(self, at: str | Snapshot | None = None) -> Analysis:
        """The analysis of a snapshot; equal trees share one."""
        snapshot = at if isinstance(at, Snapshot) else self.snapshot(at)
        synced = self.synced()
        found = self._by_tree.get(snapshot.tree)
        if found is None or found.snapshot.commit != snapshot.commit or found.synced != synced:
            found = self._by_tree[snapshot.tree] = Analysis(snapshot, self.memo, synced)
        return found

    def synced(self) -> Snapshot | None:
        """The contracts of the issues; a clone that never synced any pays a look at two files."""
        if read_ref(self.repository.common_dir, CONTRACTS_REF) is None:
            return None
        from .git.synced import read_synced

        return read_synced(self.repository)

    def graph(self, at: str | None = None) -> Graph:
        """Every target of a snapshot, and what needs what."""
        found: Graph = self.analysis(at).graph
        return found

    def base_ref(self, at: str | None = None) -> str | None:
        """The first ref of `[workspace] base` that exists, or None."""
        for ref in self.graph(at).workspace.base:
            if self.repository.try_resolve(ref):
                return ref
        return None

    # -- questions -------------------------------------------------------------------------------------------------------------

    def affected(self, since: str | None = None, at: str | None = None, kinds: Iterable[str] | str = ("gate",)) -> AffectedReport:
        """The targets whose digest differs between the merge base with `since` and `at` (default: the work tree).

        Raises:
            SnapshotError: a commit that is needed is not here.
            DeclarationError: the declarations at `at` are wrong.
        """
        from .asking.affected import affected

        return affected(self, since, at, kinds)

    def why(self, label: str, since: str | None = None, at: str | None = None) -> WhyReport:
        """Why a target is affected since a ref; or, without one, whether it is proven and what stands in the way.

        Raises:
            UsageError: there is no such target.
        """
        from .asking.why import why

        return why(self, label, since, at)

    def lint(self, at: str | None = None) -> LintReport:
        """Every fault of the declarations, and warnings: missing modules, whole-tree gates, gates that are one action."""
        from .asking.lint import lint

        return lint(self, at)

    # -- proving ---------------------------------------------------------------------------------------------------------------

    def build(
        self,
        labels: Sequence[str] | str,
        at: str | Snapshot | None = None,
        *,
        keep_going: bool = False,
        jobs: int | None = None,
        dry_run: bool = False,
        use_cache: bool = True,
        events: Events | None = None,
        trusted: str | None = None,
        executor: str | None = None,
        onto: str | None = None,
    ) -> BuildReport:
        """Prove gates: what is proven is taken from the store, the rest runs here if this machine can.

        What it cannot run is proven by `executor` ("github": on the runners, for the pull request of the commit), or by the one
        that `[workspace] executors` names for the gate's platform; "local" asks nobody.

        With `trusted`, a ref, the inputs are those of `at` and every definition is that commit's: nothing that the change says of
        gates, bundles, toolchains or contracts counts, and the engine that runs must not be the change's own.

        `onto` is the commit that a snapshot stands on which is no commit's yet, such as a merge to be: budgets are judged
        against where that commit left their baseline.

        Raises:
            DeclarationError, UsageError, SnapshotError, HostError: nothing was run.
        """
        from .asking.build import build_here

        analysis = self.analysis(at)
        report = build_here(self, labels, at, analysis, keep_going, jobs, dry_run, use_cache, events, trusted, onto)
        if executor == "local" or dry_run or trusted is not None or isinstance(at, Snapshot):
            return report
        from .tierb.executor import elsewhere, prove_elsewhere, unreached

        named = dict(analysis.graph.workspace.executors)
        left = [one for one in elsewhere(report) if executor or getattr(self._target(one.label, analysis), "arch", "") in named]
        if not left:
            return report
        try:
            prove_elsewhere(self, self.tier_b(), self.github, left, at)
        except (HostError, UsageError) as error:
            if executor is not None:
                raise
            return unreached(report, error.faults[0].what)
        self._store = self._shared = None  # what came home is looked up anew
        return build_here(self, labels, at, analysis, keep_going, jobs, dry_run, True, events, trusted)

    def _target(self, label: str, analysis: Analysis) -> Any:
        from .label import parse_label

        return analysis.graph.targets.get(parse_label(label))

    def audit(
        self,
        labels: Sequence[str] | str = ("//...",),
        at: str | None = None,
        *,
        budget: int = 20,
        seed: int = 0,
        jobs: int = 2,
        say: Callable[[str], None] = lambda text: None,
    ) -> AuditReport:
        """Which gates can fail: damage their inputs, at most `budget` times each, and run them.  Nothing is recorded.

        Raises:
            DeclarationError, UsageError, SnapshotError, HostError: nothing was run.
        """
        from .asking.build import hidden_folders
        from .execute.audit import audit

        analysis = self.analysis(at)
        patterns = [labels] if isinstance(labels, str) else list(labels)
        without = analysis.graph.without(patterns)
        gates = analysis.graph.gates_of(analysis.graph.select(patterns))
        chosen = [gate.label for gate in gates if gate.gate_kind == "command" and gate.label not in without]
        hidden = hidden_folders(self.repository)
        report = audit(analysis, self.store, hidden, chosen, budget=budget, seed=seed, jobs=jobs, say=say)
        self.memo.flush()
        return report

    def results(self, what: str | None = None, at: str | None = None) -> ResultsReport:
        """Stored results: all, a label's, or what is proven at a commit (full SHA, unique prefix of one, or any ref)."""
        from .asking.results import results

        return results(self, what, at)

    def inspect_results(self) -> Inspection:
        """Read every file of the store; what is damaged is put aside."""
        from .store.keeping import inspect

        return inspect(self.store)

    def clean_results(self, *, most_bytes: int | None = None, most_age_s: float | None = None) -> Cleaning:
        """Remove old results; what proves, and what the ledger holds, goes last."""
        from .store.keeping import clean

        return clean(self.store, most_bytes=most_bytes, most_age_s=most_age_s, anchored=self._anchored())

    def _anchored(self) -> frozenset[str]:
        """The commits whose results are stated in the ledger of this clone."""
        if not has_ledger(self.repository.common_dir):
            return frozenset()
        from .git.ledger import Ledger

        return frozenset(path.rpartition("/")[2] for path in Ledger(self.repository).here().files if path.startswith("tested/"))

    def log(self, label: str, at: str | None = None) -> tuple[Result, bytes] | None:
        """The latest log of a gate at a snapshot; of any earlier key where this one never ran."""
        from .asking.results import log

        return log(self, label, at)

    # -- evidence --------------------------------------------------------------------------------------------------------------

    def evidence(self, base: str | None = None) -> Evidence:
        """What counts here by the rules of a base commit (default: the workspace's base).

        Raises:
            SnapshotError, DeclarationError: there is no base, or its declarations are wrong.
        """
        from .attest.evidence import Evidence

        return Evidence(self, base)

    def _evidence_if_any(self, base: str | None = None) -> Evidence | None:
        """The evidence, or None in a workspace that has no base yet."""
        return self.evidence(base) if base is not None or self.base_ref() is not None else None

    def verify(
        self, data: bytes, file: str, *, commit: str | None = None, base: str | None = None, contract: str | None = None
    ) -> VerifyReport:
        """What a signed statement, a note or a pull request's block proves, line by line.  `contract` is the path of a file.

        Raises:
            UsageError, SnapshotError, HostError: it cannot be judged at all.
        """
        from .attest.inside import verify_inside

        terms = (Path(contract).read_bytes(), contract) if contract is not None else None
        report = verify_inside(self, self.evidence(base), data, file, commit=commit, contract=terms)
        self.memo.flush()
        return report

    def attest(self, contract: str, at: str | None = None, base: str | None = None) -> AttestReport:
        """The block of a pull request, from recorded results.  `contract` is the id of one of the base's, or a YAML file.

        Raises:
            UsageError, SnapshotError, DeclarationError: there is no such contract or commit.
        """
        from .attest.block import contract_of, write_block
        from .load.contract import load_contract

        evidence = self.evidence(base)
        if contract.endswith((".yaml", ".yml")):
            terms = load_contract(Path(contract).read_bytes(), contract, None)
        else:
            terms = contract_of(evidence, contract)
        report = write_block(self, evidence, terms, at)
        self.memo.flush()
        return report

    def export_results(
        self,
        what: str | None = None,
        *,
        signing: Signing | None = None,
        namespace: str = "pr",
        contract: str | None = None,
        base: str | None = None,
    ) -> tuple[list[bytes], list[str]]:
        """Stored results as statements, signed where `signing` is given; and why some have none.

        Raises:
            UsageError, HostError: there is nothing of that name, or no key.
        """
        from .attest.making import proven_by_no_commit, statements_of

        report = self.results(what) if what else None
        results = [result for result in report.results if result.commit] if report is not None else self._stated()
        made, refused = statements_of(self, self._evidence_if_any(base), results, namespace, contract)
        everything = report is None or report.what == self.repository.try_resolve("HEAD")
        for label, words in proven_by_no_commit(self).items():
            if everything or (report is not None and report.what == label):
                refused.append(words)
        self.memo.flush()
        return [signing.sign(one) for one in made] if signing is not None else [one + b"\n" for one in made], refused

    def _stated(self) -> list[Result]:
        """The stored results that can be stated: of gates, at commits."""
        return [result for result in self.store.all() if result.commit and result.label.startswith("//gates/")]

    def import_results(self, files: Iterable[tuple[str, bytes]]) -> int:
        """Put signed statements into this clone's ledger; returns how many were new.  What they prove is for policy to say.

        Raises:
            UsageError, DeclarationError: one of them is no signed statement; then none is taken.
        """
        from .attest.making import entry_of
        from .git.ledger import Ledger

        return Ledger(self.repository).add([entry_of(data, name) for name, data in files])

    def state_results(
        self, signing: Signing, *, namespace: str = "pr", contract: str | None = None, base: str | None = None
    ) -> tuple[int, list[str]]:
        """Sign what is stored and not yet in this clone's ledger, and put it there; how many, and why some cannot be stated.

        Raises:
            UsageError, HostError: the key cannot be used.
        """
        from .attest.making import proven_by_no_commit, statements_of
        from .git.ledger import Ledger

        ledger = Ledger(self.repository)
        fresh = [result for result in self._stated() if not signing.has_stated(ledger, result, namespace)]
        made, refused = statements_of(self, self._evidence_if_any(base), fresh, namespace, contract)
        refused += proven_by_no_commit(self).values()
        self.memo.flush()
        return self.import_results((f"result {number}", signing.sign(one)) for number, one in enumerate(made, 1)), refused

    def push_results(self, remote: str) -> Exchange:
        """Give this clone's ledger to a remote, and take in what is there.

        Raises:
            UsageError, HostError: there is no such remote, or it takes nothing.
        """
        from .git.exchange import push

        return push(self.repository, remote)

    def pull_results(self, remote: str) -> Exchange:
        """Take in a remote's ledger.

        Raises:
            UsageError, HostError: there is no such remote.
        """
        from .git.exchange import pull

        return pull(self.repository, remote)

    # -- GitHub ----------------------------------------------------------------------------------------------------------------

    def github(self, remote: str = "origin", repository: str | None = None) -> GitHub:
        """The repository on GitHub: the one that a remote's URL names, or "owner/name".

        Raises:
            UsageError, HostError: the URL names none, there is no token, or `pip install 'nmoe-graph[github]'` was not done.
        """
        from .forge.github import GitHub
        from .forge.token import find_token
        from .forge.where import where_of, where_of_origin

        where = where_of(repository) if repository is not None else where_of_origin(self.repository, remote)
        return GitHub(where, find_token(where), notify=self.say)

    def contracts(self, remote: str = "origin", repository: str | None = None) -> ContractDesk:
        """Contracts as people meet them: written, checked, synced from issues, worked on, followed."""
        from .contracts.desk import ContractDesk

        return ContractDesk(self, lambda: self.github(remote, repository))

    def pulls(self, remote: str = "origin", repository: str | None = None) -> PullDesk:
        """Pull requests: opened from what is proven, held against what counts."""
        from .pulls.desk import PullDesk

        return PullDesk(self, lambda: self.github(remote, repository), remote, lambda words: self.say(words))

    def tier_b(self, remote: str = "origin", repository: str | None = None) -> TierBDesk:
        """Tier B on GitHub's runners: asked for, approved, carried out, judged."""
        from .tierb.desk import TierBDesk

        return TierBDesk(self, lambda: self.github(remote, repository), remote, lambda words: self.say(words))

    # -- merging ---------------------------------------------------------------------------------------------------------------

    def plan_merges(
        self,
        contracts: Sequence[str] = (),
        *,
        branches: Mapping[str, str] | None = None,
        base: str | None = None,
        at: str | None = None,
        risks: Mapping[str, float] | None = None,
        objective: str = "gpu",
        runners: int = 1,
        max_batch: int = 0,
    ) -> MergePlan:
        """The landing order of contracts, with what really conflicts, what each landing must prove, and what that costs.

        Raises:
            UsageError, DeclarationError, SnapshotError: an unknown contract, a cycle, a ref that is not here.
        """
        from .merge.planner import MergePlanner, Wishes

        wishes = Wishes(dict(risks or {}), objective, runners, max_batch)
        plan = MergePlanner(self, at, base, branches or {}, wishes).plan(contracts)
        self.memo.flush()
        return plan

    def after_failure(
        self,
        train: Sequence[str],
        *,
        branches: Mapping[str, str] | None = None,
        base: str | None = None,
        at: str | None = None,
        risks: Mapping[str, float] | None = None,
    ) -> Probe:
        """The next test for a train that failed, from the results that are stored for its prefixes.

        Raises:
            UsageError, DeclarationError, SnapshotError: an unknown contract, one without a branch, or a train that does not merge.
        """
        from .merge.planner import MergePlanner, Wishes

        found = MergePlanner(self, at, base, branches or {}, Wishes(dict(risks or {}))).after_failure(train)
        self.memo.flush()
        return found

    def merge(
        self,
        contracts: Sequence[str] = (),
        *,
        train: bool = False,
        dry_run: bool = False,
        prove: bool = False,
        branches: Mapping[str, str] | None = None,
        base: str | None = None,
        events: Events | None = None,
    ) -> MergeReport:
        """Land contracts on a local branch, each proven at its tree, or with `train` all at the tip; `prove` runs what lacks,
        and `events` hears of that.

        Raises:
            UsageError, DeclarationError, SnapshotError, HostError: nothing was changed, or what was changed is said.
        """
        from .merge.landing import Lander

        report = Lander(self, base, branches or {}).land(contracts, train=train, dry_run=dry_run, prove=prove, events=events)
        self.memo.flush()
        return report
