"""Results to statements, statements to signed files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from ..errors import DeclarationError, HostError, NmoeGraphError, UsageError
from ..git.ledger import Ledger, LedgerEntry
from ..git.sha256 import tree_sha256
from ..label import Label, parse_label
from ..metrics import p50
from ..model import Gate, Result
from ..statement.dsse import PAYLOAD_TYPE, Envelope, Signature, pae
from ..statement.keys import PrivateKey
from ..statement.policy import Ring
from ..statement.sshsig import SshBundle, sign_ssh, ssh_keygen_sign
from ..statement.statement import Facts, Statement, definition_json, read_statement, statement_json
from ..statement.strictjson import canonical
from .block import contract_of
from .container import Form, read_signed
from .evidence import Asked, Evidence
from .perf import budget_of

__all__ = ["KEY_VARIABLE", "Signing", "entry_of", "make_statement", "note_words", "statements_of"]

#: Names the key that signs where no flag does.
KEY_VARIABLE = "NMOE_GRAPH_SIGN_KEY"


@dataclass(frozen=True)
class Signing:
    """How to sign: the key's file, the form of the signature, and who makes it."""

    key_file: str
    form: Form = Form.DSSE
    by_ssh_keygen: bool = False

    @classmethod
    def chosen(cls, key_file: str | None, form: str | None = None, backend: str | None = None) -> Signing:
        """What flags and environment ask for.

        Raises:
            UsageError: no key is named, or the two do not go together.
        """
        key = key_file or os.environ.get(KEY_VARIABLE)
        if not key:
            raise UsageError("no key to sign with", hint=f"--key FILE, or {KEY_VARIABLE}; ssh-keygen -t ed25519 -f FILE makes one")
        program = backend == "ssh-keygen"
        if program and form == "dsse":
            raise UsageError("ssh-keygen makes SSH signatures only", hint="--form sshsig, or --backend cryptography")
        return cls(key, Form.SSH if program or form == "sshsig" else Form.DSSE, program)

    def has_stated(self, ledger: Ledger, result: Result, namespace: str) -> bool:
        """Whether the ledger holds this very result, signed by this key: a second statement of it would say nothing new.

        Raises:
            UsageError, HostError: the key or the means to use it is not there.
        """
        if self.by_ssh_keygen:
            return False
        ring = Ring.of_keys((PrivateKey.read(self.key_file).public,))
        for digest, data in ledger.envelopes(result.action_key):
            try:
                signed = read_signed(data, digest)
                run = signed.statement(digest).run if signed.hear(ring, datetime.now(UTC), digest).voices else None
            except DeclarationError:
                continue
            if run is not None and (run.started, run.namespace, run.log_digest) == (result.started, namespace, result.log_digest):
                return True
        return False

    def sign(self, payload: bytes) -> bytes:
        """The signed file of a statement's bytes.

        Raises:
            UsageError, HostError: the key or the means to use it is not there.
        """
        if self.by_ssh_keygen:
            return SshBundle(payload, ssh_keygen_sign(self.key_file, payload)).to_bytes()
        key = PrivateKey.read(self.key_file)
        if self.form is Form.SSH:
            return SshBundle(payload, sign_ssh(key, payload)).to_bytes()
        signature = Signature(key.public.fingerprint, key.sign(pae(PAYLOAD_TYPE, payload)))
        return Envelope(payload, PAYLOAD_TYPE, (signature,)).to_bytes()


def make_statement(
    workspace: Asked, evidence: Evidence | None, result: Result, namespace: str = "pr", contract: str | None = None
) -> bytes:
    """The canonical bytes of a result's statement.

    The definition is the base's where that gives the result's action key at its commit, and else the commit's own; a result of
    the namespace `trusted` must be of the first kind.

    Raises:
        ValueError: the result cannot be stated, and why.
    """
    label = parse_label(result.label)
    if label.gate_id is None:
        raise ValueError("only gates are stated, and this is none")
    if not result.commit:
        raise ValueError("it was made in a work tree that is no commit, and such a result is never attested")
    gate, base = _definition(workspace, evidence, label.gate_id, result)
    if namespace == "trusted" and base is None:
        raise ValueError("the base's definition gives another action key at its commit, so it is no trusted result")
    terms = None
    if contract is not None:
        if evidence is None:
            raise ValueError("a contract counts as the base has it, and no base is here")
        terms = (contract, contract_of(evidence, contract).source)
    try:
        tree = tree_sha256(workspace.repository.objects, result.tree, workspace.memo)
    except NmoeGraphError as error:
        raise ValueError(error.faults[0].what) from None
    definition = sha256(canonical(definition_json(gate))).hexdigest()
    facts = Facts(label.gate_id, gate.tier, definition, namespace, base, terms, tree)
    try:
        return canonical(statement_json(result, facts))
    except DeclarationError as error:
        raise ValueError(error.faults[0].what) from None


def _definition(workspace: Asked, evidence: Evidence | None, gate_id: str, result: Result) -> tuple[Gate, str | None]:
    """The definition that the result was made by, and the base commit where it is the base's."""
    commit = str(result.commit)
    if evidence is not None:
        gate = evidence.gate(gate_id)
        if gate is not None and gate.gate_kind == "perf" and budget_of(evidence, gate, commit, result.action_key) is not None:
            return gate, evidence.base
        if gate is not None and evidence.key(gate, commit)[0] == result.action_key:
            return gate, evidence.base
    try:
        found = workspace.analysis(commit).graph.targets.get(Label.of_gate(gate_id))
    except NmoeGraphError as error:
        raise ValueError(f"its commit cannot be read: {error.faults[0].what}") from None
    if not isinstance(found, Gate):
        raise ValueError(f"its commit has no gate {gate_id}")
    return found, None


def statements_of(
    workspace: Asked, evidence: Evidence | None, results: Iterable[Result], namespace: str, contract: str | None
) -> tuple[list[bytes], list[str]]:
    """The statements of results, in order; and of those that have none, why."""
    made: list[bytes] = []
    refused: list[str] = []
    for result in results:
        try:
            made.append(make_statement(workspace, evidence, result, namespace, contract))
        except ValueError as error:
            refused.append(f"{result.label} of {result.started[:19]}: {error}")
    return list(dict.fromkeys(made)), refused


def proven_by_no_commit(workspace: Asked) -> dict[str, str]:
    """By label, the gates that are proven at HEAD, and only by runs that no statement can be made of; in words."""
    head = workspace.repository.try_resolve("HEAD")
    try:
        table = workspace.analysis(head).table() if head is not None else {}
    except NmoeGraphError:
        return {}
    found = {}
    for label, row in table.items():
        if row.kind != "gate":
            continue
        proofs = workspace.store.proofs(row.digest, timeout_s=row.timeout_s or 10**9, accept_flaky=row.accept_flaky)
        if proofs and not any(one.commit for one in proofs):
            gate = label.removeprefix("//gates/")
            found[label] = (
                f"{label}: what proves it at HEAD ran before there was a commit; nmoe-graph build {gate} --no-cache runs it at one"
            )
    return found


def note_words(statement: Statement) -> str:
    """What a note says of a statement, in one line for people."""
    run = statement.run
    assert run is not None
    words = [f"{run.started[:19]}Z", run.verdict.value, *statement.gates]
    words += [f"{name}={p50(samples):g}" for name, samples in run.metrics[:3]]
    return "  ".join([*words, f"key {run.action_key[:16]}"])


def entry_of(data: bytes, file: str) -> LedgerEntry:
    """A signed file on its way into the ledger.

    Raises:
        UsageError: it is unsigned, or carries no action key to find it by.
        DeclarationError: it is no signed statement.
    """
    signed = read_signed(data, file)
    if signed.form is Form.STATEMENT:
        raise UsageError(f"{file} is not signed, and an unsigned statement proves nothing", hint="nmoe-graph sign FILE")
    statement = read_statement(signed.payload, file)
    if statement.run is None:
        raise UsageError(f"{file} carries no action key, so nobody could find it")
    whole = (
        signed.envelope.to_bytes()
        if signed.envelope is not None
        else signed.bundle.to_bytes()
        if signed.bundle is not None
        else b""
    )
    if not whole:
        raise HostError(f"{file} has no form that is kept")
    return LedgerEntry(statement.run.action_key, statement.commit, note_words(statement), whole)
