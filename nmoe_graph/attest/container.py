"""The files in which evidence comes: a DSSE envelope, an SSH-signed statement, a bare statement, a note, a pull request's block."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime

from ..errors import DeclarationError, Fault, Location
from ..statement.dsse import Envelope, envelope_from_json
from ..statement.policy import Heard, Ring
from ..statement.sshsig import SshBundle, bundle_from_json, read_armour
from ..statement.statement import Statement, read_statement
from ..statement.strictjson import read_json

__all__ = ["Form", "Signed", "form_of", "read_signed"]


class Form(enum.StrEnum):
    """What a file is."""

    DSSE = "dsse"
    SSH = "sshsig"
    STATEMENT = "statement"
    NOTE = "note"
    ATTESTATION = "attestation"


def form_of(data: bytes, file: str) -> Form:
    """What the bytes want to be; JSON is looked at closely by `read_signed`."""
    head = data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
    if head[:1] in (b"{", b"[") or file.endswith(".json"):
        return Form.DSSE
    first = head.split(b"\n", 1)[0]
    return Form.NOTE if b"sha256:" in first and b"  " in first else Form.ATTESTATION


@dataclass(frozen=True, slots=True)
class Signed:
    """A statement's bytes with whatever signs them."""

    form: Form
    payload: bytes
    envelope: Envelope | None = None
    bundle: SshBundle | None = None

    def hear(self, ring: Ring, now: datetime, file: str) -> Heard:
        """Judge the signatures.

        Raises:
            DeclarationError: the signature is none.
            HostError: the library that checks signatures is not here.
        """
        if self.envelope is not None:
            return ring.hear_envelope(self.envelope, now)
        if self.bundle is not None:
            return ring.hear_ssh(read_armour(self.bundle.armour, file), self.payload, now)
        return Heard((), ("it is not signed, and an unsigned statement proves nothing",))

    def statement(self, file: str) -> Statement:
        """What the payload says.

        Raises:
            DeclarationError: nothing that can count.
        """
        return read_statement(self.payload, file)


def read_signed(data: bytes, file: str) -> Signed:
    """Read an envelope, an SSH-signed statement or a bare one.

    Raises:
        DeclarationError: it is none of them, or could be taken for two.
    """
    value = read_json(data, file, "the envelope")
    if not isinstance(value, dict):
        raise DeclarationError(Fault("this is no envelope: a JSON object with payload and signatures is due", Location(file, 1, 1)))
    kinds = [kind for kind, keys in _KEYS.items() if keys & value.keys()]
    if len(kinds) != 1:
        what = (
            "this could be read in two ways" if kinds else "this is no envelope: it has neither payload and signatures nor a _type"
        )
        raise DeclarationError(Fault(what, Location(file, 1, 1), "an envelope has payloadType, payload and signatures"))
    if kinds[0] is Form.DSSE:
        envelope = envelope_from_json(value, file)
        return Signed(Form.DSSE, envelope.payload, envelope=envelope)
    if kinds[0] is Form.SSH:
        bundle = bundle_from_json(value, file)
        return Signed(Form.SSH, bundle.payload, bundle=bundle)
    return Signed(Form.STATEMENT, data)


_KEYS = {
    Form.DSSE: {"payloadType", "signatures"},
    Form.SSH: {"signature"},
    Form.STATEMENT: {"_type", "predicate", "predicateType"},
}
