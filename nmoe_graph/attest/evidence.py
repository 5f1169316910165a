"""What counts at the commits of one repository, by the rules of one base commit.

A trusted statement proves gate G at commit C exactly when the action key that is recomputed at C, with the base's definition
of G, equals the statement's.  That is how one proof serves at other commits and in other merge orders, and why a definition
that a change brings along proves nothing about the change.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from ..digest.analysis import Analysis, Ruled
from ..digest.rules import Rules
from ..errors import DeclarationError, NmoeGraphError, SnapshotError
from ..git.ledger import Ledger
from ..git.repository import Repository
from ..git.sha256 import tree_sha256
from ..git.snapshot import Snapshot
from ..graph.graph import Graph
from ..load.build import load_build
from ..load.discover import BUILD_FILE
from ..model import Gate, Result
from ..plan.perf import Platform, ratchet_mark
from ..statement.policy import Heard, Policy, Ring, refusals
from ..statement.signers import read_signers
from ..statement.statement import Statement, result_of
from ..store.local import Store
from ..store.memo import SqliteMemo
from .container import read_signed

__all__ = ["Asked", "Evidence", "Proof"]


class Asked(Protocol):
    """What is asked of the workspace whose evidence this is."""

    repository: Repository
    memo: SqliteMemo

    @property
    def store(self) -> Store: ...

    def analysis(self, at: str | Snapshot | None = None) -> Analysis: ...

    def base_ref(self, at: str | None = None) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Proof:
    """A result that counts, and why: whose word it is."""

    result: Result
    by: str


class Evidence:
    """Judges results by the definitions, the signers and the policy of the base commit.

    Raises:
        SnapshotError: there is no base, or it names itself: a work tree may not choose its own judge.
        DeclarationError: the base's declarations are wrong.
    """

    def __init__(self, workspace: Asked, base: str | None = None, now: datetime | None = None) -> None:
        self._workspace, self._repository = workspace, workspace.repository
        ref = base or workspace.base_ref()
        if ref is None:
            raise SnapshotError("no base ref is here, so there are no rules to judge by", hint=self._repository.base_hint())
        self.base_ref = ref
        self.base = self._repository.resolve(ref)
        self.now = now or datetime.now(UTC)
        self.graph: Graph = workspace.analysis(self.base).graph
        if base is None and ref not in self.graph.workspace.base:
            raise SnapshotError(f"the work tree names {ref} as its base, and {ref} does not", hint="say --base REF")
        self.rules: Rules = workspace.analysis(self.base).rules()
        self.policy = self._read_policy()
        self.ledger = Ledger(self._repository)
        self._analyses: dict[str, Analysis] = {}
        self._by_id = {gate.gate_id: gate for gate in self.gates()}

    def _read_policy(self) -> Policy:
        snapshot = self._repository.at(self.base)
        try:
            trust = load_build(snapshot.read(BUILD_FILE) or b"", BUILD_FILE, "").trust
            if trust is None:
                return Policy(why_empty=f"{self.base_ref} has no [trust], so nobody's results are trusted")
            data = snapshot.read(trust.signers)
            if data is None:
                return Policy(
                    why_empty=f"{trust.signers} is not there at {self.base_ref}, so nobody's results are trusted", unreadable=True
                )
            return Policy(trust, Ring(read_signers(data, trust.signers), trust.revoked))
        except DeclarationError as error:
            what = f"the policy at {self.base_ref} cannot be read, so nobody's results are trusted: {error.faults[0].what}"
            return Policy(why_empty=what, unreadable=True)

    # -- gates and keys --------------------------------------------------------------------------------------------------------

    def gates(self) -> tuple[Gate, ...]:
        """Every gate as the base defines it."""
        return tuple(target for target in self.graph if isinstance(target, Gate))

    def gate(self, gate_id: str) -> Gate | None:
        """The base's definition of a gate."""
        return self._by_id.get(gate_id)

    def analysis(self, commit: str) -> Analysis:
        """A commit's files under the definitions of the base."""
        if commit not in self._analyses:
            self._analyses[commit] = Ruled(self._repository.at(commit), self.graph, self._workspace.memo)
        return self._analyses[commit]

    def key(self, gate: Gate, commit: str) -> tuple[str, str]:
        """The action key of a gate at a commit, or "" and why there is none."""
        try:
            analysis = self.analysis(commit)
            if gate.gate_kind == "command" and (problems := analysis.inputs(gate.label).problems):
                return "", problems[0]
            return analysis.digest(gate.label), ""
        except NmoeGraphError as error:
            return "", error.faults[0].what

    # -- statements ------------------------------------------------------------------------------------------------------------

    def doubts(self, gate: Gate, heard: Heard, statement: Statement, key: str) -> list[str]:
        """Why a statement does not prove the base's gate under an action key; empty where it does."""
        found = refusals(self.policy, heard.voices, gate.tier, statement, self.now)
        run = statement.run
        if run is None or not heard.voices:
            return found or ["it carries no action key"]
        if run.label != str(gate.label):
            found.append(f"it speaks of {run.label}")
        if run.action_key != key:
            found.append(f"its action key is {run.action_key[:16]}, and at this commit the base's definition gives {key[:16]}")
        if not run.verdict.proves(gate.accept_flaky and gate.tier == "a"):
            found.append(f"it {run.verdict.value.replace('_', ' ')}: only a pass proves")
        if gate.timeout_s and run.duration_s > gate.timeout_s:
            found.append(f"it took {run.duration_s:.0f} s, and the present limit is {gate.timeout_s} s")
        return found

    def subject_doubts(self, statement: Statement) -> list[str]:
        """What of the statement's subject is not so, as far as the commit is here."""
        if not self._repository.objects.is_commit(statement.commit):
            return []
        tree = self._repository.objects.commit_fields(statement.commit)[0]
        if statement.tree and statement.tree != tree:
            return [f"the commit {statement.commit[:12]} has another tree than it says"]
        if statement.tree_sha256 and statement.tree_sha256 != tree_sha256(self._repository.objects, tree, self._workspace.memo):
            return [f"the commit {statement.commit[:12]} has other contents than it says: a SHA-1 id was forged"]
        return []

    def shared(self, key: str, gate: Gate | None = None) -> tuple[Proof | None, list[str]]:
        """A trusted proof of the ledger under an action key; or why what is there does not count.

        Without `gate`, it is the base's gate that the statement names.
        """
        refused: list[str] = []
        for one in self._judged(key, gate):
            if isinstance(one, Proof):
                return one, refused
            refused.append(one)
        return None, refused

    def all_shared(self, key: str, gate: Gate | None = None) -> tuple[list[Proof], list[str]]:
        """Every trusted proof of the ledger under an action key, and why the rest does not count."""
        judged = list(self._judged(key, gate))
        return [one for one in judged if isinstance(one, Proof)], [one for one in judged if isinstance(one, str)]

    def _judged(self, key: str, gate: Gate | None) -> Iterator[Proof | str]:
        for digest, data in self.ledger.envelopes(key):
            name = f"ledger entry {digest[:12]}"
            try:
                signed = read_signed(data, name)
                heard = signed.hear(self.policy.ring, self.now, name)
                if not heard.voices:
                    yield f"{name}: {self.policy.why_empty or '; '.join(heard.refused)}"
                    continue
                statement = signed.statement(name)
                named = gate or self.gate(statement.gates[0])
                if named is None:
                    found = [f"{statement.gates[0]} is no gate of {self.base_ref}"]
                else:
                    found = [*self.doubts(named, heard, statement, key), *self.subject_doubts(statement)]
            except NmoeGraphError as error:
                yield f"{name}: {error.faults[0].what}"
                continue
            result = result_of(statement)
            if not found and result is not None:
                yield Proof(result, f"signed by {heard.voices[0].signer.name}")
            else:
                yield f"{name}: {'; '.join(found)}"

    def proofs(self, gate: Gate, key: str) -> list[Proof]:
        """Everything that counts of what ran under an action key: trusted statements, and runs here where policy lets them."""
        found, _ = self.all_shared(key, gate)
        known = {(one.result.started, one.result.log_digest) for one in found}
        rule = self.policy.rule(gate.tier)
        for one in self._workspace.store.results(key) if rule.local else ():
            proves = one.label == str(gate.label) or gate.gate_kind == "command"
            proves = proves and one.verdict.proves(gate.accept_flaky and gate.tier == "a") and rule.accepts_means(one.means)
            if proves and not (gate.timeout_s and one.duration_s > gate.timeout_s) and (one.started, one.log_digest) not in known:
                found.append(Proof(one, "run on this machine"))
        return found

    def baseline(self, ref: str, commit: str) -> str:
        """Where a commit left a contract's baseline; where that ref is not here, where it left the base.

        Raises:
            SnapshotError: the two have no common history.
        """
        return self._repository.merge_base(self._repository.try_resolve(ref) or self.base, commit)

    def best(self, gate: Gate, metric: str, better: str, baseline: str, platform: Platform) -> float | None:
        """The ratchet: the best figure that is recorded here of a commit up to the baseline."""

        def is_ancestor(other: str) -> bool:
            try:
                return self._repository.merge_base(other, baseline) == other
            except SnapshotError:
                return False  # of a branch that is gone, or without a common history

        ran = self._workspace.store.by_label(str(gate.label))
        return ratchet_mark(ran, metric, platform, better, gate.accept_flaky, is_ancestor)

    def proof(self, gate: Gate, commit: str) -> tuple[Proof | None, list[str]]:
        """What proves a gate at a commit: a trusted statement, or a run on this machine where policy lets that count."""
        key, why = self.key(gate, commit)
        if not key:
            return None, [why]
        found, refused = self.shared(key, gate)
        if found is not None:
            return found, refused
        rule = self.policy.rule(gate.tier)
        here = self._workspace.store.own_proof(
            key, timeout_s=gate.timeout_s or 10**9, accept_flaky=gate.accept_flaky and gate.tier == "a"
        )
        if here is not None and rule.local and rule.accepts_means(here.means):
            return Proof(here, "run on this machine"), refused
        if here is not None:
            why = f"its sandbox was {here.means}" if rule.local else f"for tier {gate.tier} only signed results count"
            refused.append(f"a run on this machine passed, and it does not count: {why}")
        if not refused:
            refused.append("no result is known under the action key that the base's definition gives at this commit")
        return None, refused
