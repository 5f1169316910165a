"""Evidence judged in a repository: by the definitions, the signers and the policy of its base commit."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import DeclarationError, NmoeGraphError, SnapshotError, UsageError, printable
from ..git.ledger import note_line_digest
from ..load.attestation import attestation_data
from ..load.contract import load_contract
from ..load.gates import GatesFile
from ..load.lint import attestation_reading
from ..model import Contract, Gate, Verdict
from ..statement.policy import Heard
from ..statement.statement import Statement, result_of
from .block import contract_of
from .change import change_facts
from .container import Form, form_of, read_signed
from .evidence import Asked, Evidence
from .perf import budget_of, perf_line
from .report import VerifyLine, VerifyReport

__all__ = ["verify_inside"]

_MOST_NOTE_LINES = 500


def verify_inside(
    workspace: Asked,
    evidence: Evidence,
    data: bytes,
    file: str,
    *,
    commit: str | None = None,
    contract: tuple[bytes, str] | Contract | None = None,
    tiers: str = "ab",
) -> VerifyReport:
    """What counts of a file of evidence, line by line.

    In a block, gates of the tiers that `tiers` does not name need not be claimed yet; what is claimed must be so all the same.

    Raises:
        UsageError, SnapshotError: `commit` names none that is here.
        HostError: signatures cannot be checked on this machine.
    """
    judge = _Judge(workspace, evidence, workspace.repository.resolve(commit) if commit else None, tiers)
    form = form_of(data, file)
    start = VerifyLine(None, f"judged by {evidence.base_ref} at {evidence.base[:12]}")
    if form is Form.NOTE:
        lines, proven = judge.note(data)
    elif form is Form.ATTESTATION:
        said = load_contract(*contract, None) if isinstance(contract, tuple) else contract
        lines, proven = judge.block(data, file, said)
    else:
        lines, proven = judge.signed(data, file)
    refused = any(line.ok is False for line in lines)
    name = judge.form or form.value
    return VerifyReport(file, name, (start, *lines), judge.commit, () if refused else tuple(dict.fromkeys(proven)))


class _Judge:
    """One judgement: collects lines and the gates that are proven."""

    def __init__(self, workspace: Asked, evidence: Evidence, asked: str | None, tiers: str = "ab") -> None:
        self._tiers = tiers
        self._workspace, self._repository, self._evidence = workspace, workspace.repository, evidence
        self._asked = asked
        self.commit = asked
        self.form = ""

    # -- statements ------------------------------------------------------------------------------------------------------------

    def signed(self, data: bytes, file: str) -> tuple[list[VerifyLine], list[str]]:
        """An envelope, an SSH-signed statement or a bare one."""
        evidence = self._evidence
        lines: list[VerifyLine] = []
        try:
            signed = read_signed(data, file)
            self.form = signed.form.value
            heard = signed.hear(evidence.policy.ring, evidence.now, file)
            lines += [VerifyLine(True, voice.words) for voice in heard.voices]
            lines += [VerifyLine(None if heard.voices else False, text) for text in heard.refused]
            if not heard.voices:
                why = evidence.policy.why_empty or "no trusted signature verifies, so nothing in it is believed"
                return [*lines, VerifyLine(False, why)], []
            statement = signed.statement(file)
        except DeclarationError as error:
            return [*lines, *(VerifyLine.refused(fault) for fault in error.faults)], []
        commit = self._asked or statement.commit
        self.commit = commit
        lines.append(VerifyLine(None, f"it speaks of the commit {statement.commit[:12]}"))
        lines += [VerifyLine(False, text) for text in evidence.subject_doubts(statement)]
        if not self._repository.objects.is_commit(commit):
            hint = "git fetch, or nmoe-graph results pull"
            return [*lines, VerifyLine(False, f"the commit {commit} is not here, so no action key can be recomputed ({hint})")], []
        proven = []
        for gate_id in statement.gates:
            gate = evidence.gate(gate_id)
            if gate is None:
                lines.append(VerifyLine(False, f"{gate_id} is an unknown gate at {evidence.base_ref}"))
                continue
            if gate.gate_kind == "perf":
                found = self._comparison(gate, heard, statement, commit)
            else:
                key, why = evidence.key(gate, commit)
                found = evidence.doubts(gate, heard, statement, key) if key else [f"no action key can be computed: {why}"]
            lines += [VerifyLine(False, f"{gate_id}: {text}") for text in found]
            if not found:
                proven.append(gate_id)
                lines.append(VerifyLine(True, f"{gate_id} passed, and the action key at {commit[:12]} is equal"))
        return lines, proven

    def _comparison(self, gate: Gate, heard: Heard, statement: Statement, commit: str) -> list[str]:
        """Why a statement of a comparison does not count; its samples are looked at, and not what it says of them."""
        result = result_of(statement)
        if result is None:
            return ["it carries no action key"]
        compared = budget_of(self._evidence, gate, commit, result.action_key)
        if compared is None:
            return [f"its key {result.action_key[:16]} is that of no contract's budget at this commit"]
        found = self._evidence.doubts(gate, heard, statement, result.action_key)
        decision = compared.decision(self._evidence, result)
        if decision.verdict is not Verdict.PASSED:
            found.append(f"its samples do not show that it is within the budget: {decision.reason}")
        return found

    def note(self, data: bytes) -> tuple[list[VerifyLine], list[str]]:
        """The lines of a note: each is worth what its envelope is worth, and nothing by itself."""
        lines: list[VerifyLine] = []
        proven: list[str] = []
        listed = [line for line in data.decode("utf-8", "replace").split("\n") if line.strip()]
        if len(listed) > _MOST_NOTE_LINES:
            return [VerifyLine(False, f"the note has {len(listed)} lines; at most {_MOST_NOTE_LINES} are looked at")], []
        for number, line in enumerate(listed, 1):
            digest = note_line_digest(line)
            if digest is None:
                lines.append(VerifyLine(None, f"line {number} names no envelope, so it proves nothing"))
                continue
            envelope = self._evidence.ledger.envelope(digest)
            if envelope is None:
                lines.append(VerifyLine(None, f"line {number}: the envelope {digest[:12]} is not here, so it proves nothing"))
                continue
            rows, gates = self.signed(envelope, f"envelope {digest[:12]}")
            # A line that does not count beside one that does is worth a word: a note holds failures, too.
            lines += [VerifyLine(None if row.ok is False else row.ok, f"line {number}: {row.what}", row.at) for row in rows]
            proven += gates
        if not proven:
            lines.append(VerifyLine(False, "no line of the note proves a gate"))
        self.form = Form.NOTE.value
        return lines, proven

    # -- a pull request --------------------------------------------------------------------------------------------------------

    def block(self, data: bytes, file: str, contract: Contract | None) -> tuple[list[VerifyLine], list[str]]:
        """The block of a pull request, against results, contract and scope."""
        evidence = self._evidence
        try:
            reading = attestation_reading(data, file)
            header = reading.data.get("nmoe_pr") if isinstance(reading.data, dict) else None
            issue = header.get("issue") if isinstance(header, dict) else None
            if contract is None and isinstance(issue, str):
                contract = contract_of(evidence, issue)
            gates = GatesFile("", evidence.gates(), ())
            said = attestation_data(reading, gates, contract, evidence_follows=True)
        except (DeclarationError, UsageError) as error:
            return [VerifyLine.refused(fault) for fault in error.faults], []
        assert contract is not None  # the header has an issue, or the reading was refused
        lines = [VerifyLine(None, f"contract {contract.issue} asks for {', '.join(contract.required)}")]
        try:
            commit = self._commit(str(said["nmoe_pr"]["pr_sha"]))
            baseline = self._repository.resolve(str(said["nmoe_pr"]["baseline_sha"]))
            facts = change_facts(self._repository, evidence.base, commit, contract, evidence.rules)
        except NmoeGraphError as error:
            return [*lines, *(VerifyLine.refused(fault) for fault in error.faults)], []
        self.commit = commit
        if baseline != facts.fork:
            what = f"baseline_sha is {baseline[:12]}, and the branch left {evidence.base_ref} at {facts.fork[:12]}"
            lines.append(VerifyLine(False, what))
        claimed = [*said["gates_passed"]["tier_a"], *said["gates_passed"].get("tier_b", [])]
        rows, proven = self._claims(claimed, contract, commit)
        lines += rows
        lines += self._perf(said.get("perf"), contract, commit, proven)
        lines += [VerifyLine(False, f"{path} is outside of the contract's scope") for path in facts.out_of_scope]
        if not facts.out_of_scope:
            lines.append(VerifyLine(True, f"all {len(facts.paths)} changed paths are in scope"))
        if facts.control_plane:
            what = f"control plane: it changes {', '.join(facts.control_plane[:8])}, and was judged by {evidence.base_ref}"
            lines.append(VerifyLine(None, what))
        return lines, proven

    def _commit(self, pr_sha: str) -> str:
        commit = self._repository.resolve(pr_sha)
        if not commit.startswith(pr_sha):
            raise SnapshotError(f"pr_sha {pr_sha} is no commit's id here, but a name")
        if self._asked is not None and commit != self._asked:
            raise SnapshotError(f"pr_sha is {commit[:12]}, and {self._asked[:12]} was asked for")
        return commit

    def _claims(self, claimed: Sequence[str], contract: Contract, commit: str) -> tuple[list[VerifyLine], list[str]]:
        """Each gate that is claimed or required must be proven; what is required must be claimed, too."""
        evidence = self._evidence
        lines: list[VerifyLine] = []
        proven: list[str] = []
        for gate_id in dict.fromkeys([*contract.required, *claimed]):
            gate = evidence.gate(gate_id)
            if gate is None:
                lines.append(VerifyLine(False, f"{gate_id} is an unknown gate at {evidence.base_ref}"))
                continue
            if gate.gate_kind == "perf":
                if contract.perf is None or contract.perf.gate != gate_id:
                    lines.append(VerifyLine(False, f"{gate_id} is a perf gate, and the contract has no budget for it"))
                continue  # its line is judged by its figures
            proof, why = evidence.proof(gate, commit)
            if gate_id not in claimed and gate.tier not in self._tiers:
                lines.append(VerifyLine(None, f"{gate_id} is not claimed yet"))
            elif proof is None:
                word = "claimed and not proven" if gate_id in claimed else "required and not proven"
                lines.append(VerifyLine(False, f"{gate_id} is {word}: {'; '.join(why[:3])}"))
            elif gate_id not in claimed:
                lines.append(VerifyLine(False, f"{gate_id} is required and proven ({proof.by}), and the block does not say so"))
            else:
                proven.append(gate_id)
                lines.append(VerifyLine(True, f"{gate_id} is proven: {proof.by}"))
        return lines, proven

    def _perf(self, said: object, contract: Contract, commit: str, proven: list[str]) -> list[VerifyLine]:
        if contract.perf is None:
            return [VerifyLine(False, "perf is claimed, and the contract has no budget")] if said is not None else []
        perf_gate = self._evidence.gate(contract.perf.gate)
        if said is None and perf_gate is not None and perf_gate.tier not in self._tiers:
            return [VerifyLine(None, f"{contract.perf.gate} is not claimed yet")]
        line, why = perf_line(self._evidence, contract, commit)
        if line is None:
            return [VerifyLine(False, f"{contract.perf.gate} is not proven: {why}")]
        if not isinstance(said, dict):
            return [VerifyLine(False, "perf is missing in the block")]
        wrong = [
            f"perf.{key} is {said.get(key)}, and the samples that count give {due}"
            for key, due in (("baseline", line.baseline), ("result", line.result), ("status", line.status))
            if (said.get(key) != due if isinstance(due, str) else not _close(said.get(key), due))
        ]
        if not line.passes:
            wrong.append(f"{line.gate} is outside of the budget: {line.reason}")
        if wrong:
            return [VerifyLine(False, printable(one)) for one in wrong]
        proven.append(line.gate)
        return [VerifyLine(True, f"{line.gate} is within the budget: {line.reason}")]


def _close(said: object, due: float) -> bool:
    """Figures are written rounded."""
    return isinstance(said, (int, float)) and not isinstance(said, bool) and abs(said - due) <= max(0.006, abs(due) * 1e-4)
