"""DSSE envelopes: a payload, its type, and signatures over both (github.com/secure-systems-lab/dsse, protocol 1.0.2).

What is signed is the pre-authentication encoding `DSSEv1 SP LEN(type) SP type SP LEN(payload) SP payload`, so a payload of
one type cannot be passed off as another.  Base64 may be of either alphabet, as the protocol asks, and is otherwise taken in
its one canonical spelling only: no white space, no missing padding, no loose bits.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from ..errors import DeclarationError, Fault, Location
from .strictjson import Json, canonical, read_json

__all__ = ["PAYLOAD_TYPE", "Envelope", "Signature", "decode_base64", "envelope_from_json", "pae", "read_envelope"]

PAYLOAD_TYPE = "application/vnd.in-toto+json"
_MOST_SIGNATURES = 16
_MOST_KEY_ID = 300


def pae(payload_type: str, payload: bytes) -> bytes:
    """The bytes that a signature is made over."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def decode_base64(text: str) -> bytes | None:
    """The bytes behind the canonical base64 of one alphabet, or None."""
    for encode, decode in ((base64.b64encode, base64.b64decode), (base64.urlsafe_b64encode, base64.urlsafe_b64decode)):
        try:
            data = decode(text.encode("ascii"))
        except (binascii.Error, ValueError):
            continue
        if encode(data).decode("ascii") == text:
            return data
    return None


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature.  `key_id` says whose it claims to be; a claim that is wrong is refused, a missing one is not needed."""

    key_id: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload and who signed it."""

    payload: bytes
    payload_type: str
    signatures: tuple[Signature, ...]

    @property
    def signed_bytes(self) -> bytes:
        return pae(self.payload_type, self.payload)

    def to_bytes(self) -> bytes:
        """The canonical JSON of the envelope, with a line end."""
        signatures: list[Json] = [
            {"keyid": one.key_id, "sig": base64.b64encode(one.data).decode("ascii")} for one in self.signatures
        ]
        return (
            canonical(
                {
                    "payload": base64.b64encode(self.payload).decode("ascii"),
                    "payloadType": self.payload_type,
                    "signatures": signatures,
                }
            )
            + b"\n"
        )


def read_envelope(data: bytes, file: str) -> Envelope:
    """Read an envelope; nothing of it is believed yet.

    Raises:
        DeclarationError: it is none.
    """
    return envelope_from_json(read_json(data, file, "the envelope"), file)


def envelope_from_json(value: Json, file: str) -> Envelope:
    """The envelope behind a JSON value.

    Raises:
        DeclarationError: with every fault of its shape.
    """
    at = Location(file, 1, 1)
    if not isinstance(value, dict):
        raise DeclarationError(Fault("an envelope is a JSON object with payload, payloadType and signatures", at))
    faults: list[Fault] = []

    def text(key: str) -> str:
        found = value.get(key)
        if not isinstance(found, str):
            faults.append(Fault(f"the envelope's {key} is {'missing' if found is None else 'no text'}", at))
            return ""
        return found

    kind = text("payloadType")
    payload = decode_base64(text("payload"))
    if payload is None:
        faults.append(Fault("the envelope's payload is not canonical base64", at))
    signatures: list[Signature] = []
    listed = value.get("signatures")
    if not isinstance(listed, list) or not listed:
        faults.append(Fault("the envelope has no signatures: an unsigned statement proves nothing", at))
        listed = []
    if len(listed) > _MOST_SIGNATURES:
        faults.append(Fault(f"the envelope has {len(listed)} signatures; at most {_MOST_SIGNATURES} are read", at))
    for number, one in enumerate(listed[:_MOST_SIGNATURES], 1):
        key_id, sig = (one.get("keyid", ""), one.get("sig")) if isinstance(one, dict) else (None, None)
        made = decode_base64(sig) if isinstance(sig, str) else None
        if not isinstance(key_id, str) or len(key_id) > _MOST_KEY_ID:
            faults.append(Fault(f"signature {number} is no object with keyid and sig", at))
        elif made is None or not made:
            faults.append(Fault(f"signature {number} is {'empty' if made is not None else 'not canonical base64'}", at))
        else:
            signatures.append(Signature(key_id, made))
    if faults or payload is None:
        raise DeclarationError(faults)
    return Envelope(payload, kind, tuple(signatures))
