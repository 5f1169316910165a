"""SSH signatures, as `ssh-keygen -Y` makes and checks them (OpenSSH, PROTOCOL.sshsig).

A signature is armoured text around a blob: magic, version, public key, namespace, reserved, hash, signature.  What is signed
is `SSHSIG`, the namespace, the reserved field, the name of the hash, and the hash of the message; the namespace keeps a
signature that was made for one purpose from serving another.

In a file the signed statement and its signature stand together: `{"payload": "<the statement>", "signature": "<armour>"}`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import DeclarationError, Fault, HostError, Location, UsageError, printable
from .keys import ED25519, PrivateKey, PublicKey, ssh_field
from .strictjson import Json, canonical

__all__ = [
    "NAMESPACE",
    "SshBundle",
    "SshSignature",
    "bundle_from_json",
    "read_armour",
    "sign_ssh",
    "ssh_keygen_sign",
    "ssh_keygen_verify",
]

#: The one namespace in which a signature speaks of a gate's result.
NAMESPACE = "nmoe-gate-result"
_MAGIC = b"SSHSIG"
_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
_HASHES: dict[str, Callable[[bytes], bytes]] = {
    "sha256": lambda data: hashlib.sha256(data).digest(),
    "sha512": lambda data: hashlib.sha512(data).digest(),
}


@dataclass(frozen=True, slots=True)
class SshSignature:
    """A signature as read; nothing of it is believed yet."""

    key: PublicKey
    namespace: str
    hash_name: str
    data: bytes

    def signed_bytes(self, message: bytes) -> bytes:
        return _signed(self.namespace, self.hash_name, message)

    def verifies(self, message: bytes) -> bool:
        """Whether the key in the signature made it over the message.  Whose key that is, is another question."""
        return self.key.verifies(self.data, self.signed_bytes(message))

    def armour(self) -> str:
        blob = _MAGIC + (1).to_bytes(4, "big") + ssh_field(self.key.blob) + ssh_field(self.namespace.encode()) + ssh_field(b"")
        blob += ssh_field(self.hash_name.encode()) + ssh_field(ssh_field(ED25519.encode()) + ssh_field(self.data))
        text = base64.b64encode(blob).decode("ascii")
        lines = [text[at : at + 70] for at in range(0, len(text), 70)]
        return "\n".join([_BEGIN, *lines, _END, ""])


@dataclass(frozen=True, slots=True)
class SshBundle:
    """A statement's bytes and the armour of the signature over them."""

    payload: bytes
    armour: str

    def to_bytes(self) -> bytes:
        """The canonical JSON of the pair, with a line end."""
        return canonical({"payload": self.payload.decode("utf-8"), "signature": self.armour}) + b"\n"


def _signed(namespace: str, hash_name: str, message: bytes) -> bytes:
    fields = (namespace.encode(), b"", hash_name.encode(), _HASHES[hash_name](message))
    return _MAGIC + b"".join(ssh_field(field) for field in fields)


def _fields(blob: bytes, count: int) -> list[bytes] | None:
    """Exactly `count` strings of the wire format and nothing after them, or None."""
    found = []
    for _ in range(count):
        size = int.from_bytes(blob[:4], "big")
        if len(blob) < 4 or len(blob) < 4 + size:
            return None
        found.append(blob[4 : 4 + size])
        blob = blob[4 + size :]
    return found if not blob else None


def read_armour(text: str, file: str) -> SshSignature:
    """Read an armoured signature.

    Raises:
        DeclarationError: it is none, or of a kind that proves nothing here.
    """

    def refuse(why: str, hint: str = "") -> DeclarationError:
        return DeclarationError(Fault(f"the SSH signature cannot be verified: {why}", Location(file), hint))

    lines = text.removesuffix("\n").replace("\r\n", "\n").split("\n")
    if len(text) > 20_000 or len(lines) < 3 or lines[0] != _BEGIN or lines[-1] != _END:
        raise refuse(f"it is not text between {_BEGIN} and {_END}")
    body = "".join(lines[1:-1])
    try:
        blob = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise refuse("its text is no base64") from None
    if base64.b64encode(blob).decode("ascii") != body:
        raise refuse("its base64 is not canonical")
    if blob[:6] != _MAGIC or blob[6:10] != (1).to_bytes(4, "big"):
        raise refuse("it is no SSH signature of version 1")
    outer = _fields(blob[10:], 5)
    if outer is None:
        raise refuse("it is cut short, or holds more than a signature")
    key_blob, namespace, reserved, hash_name, signature = outer
    key_fields, inner = _fields(key_blob, 2), _fields(signature, 2)
    if key_fields is None or inner is None or key_fields[0] != ED25519.encode() or inner[0] != ED25519.encode():
        raise refuse("its key is no plain Ed25519 key", "ssh-keygen -t ed25519 makes one")
    if len(key_fields[1]) != 32 or len(inner[1]) != 64:
        raise refuse("its key or its signature has the wrong length")
    if reserved or hash_name not in (b"sha256", b"sha512"):
        raise refuse("it uses a field or a hash that is not known here")
    try:
        space = namespace.decode("ascii")
    except UnicodeDecodeError:
        raise refuse("its namespace is no ASCII") from None
    return SshSignature(PublicKey(key_fields[1]), space, hash_name.decode(), inner[1])


def bundle_from_json(value: Json, file: str) -> SshBundle:
    """The pair behind a JSON value.

    Raises:
        DeclarationError: it is none.
    """
    payload = value.get("payload") if isinstance(value, dict) else None
    signature = value.get("signature") if isinstance(value, dict) else None
    if not isinstance(payload, str) or not isinstance(signature, str):
        raise DeclarationError(
            Fault("an SSH-signed statement is an object with payload and signature, both text", Location(file, 1, 1))
        )
    return SshBundle(payload.encode("utf-8"), signature)


def sign_ssh(key: PrivateKey, message: bytes, namespace: str = NAMESPACE) -> str:
    """The armoured signature over a message; Ed25519 makes the same one every time."""
    made = SshSignature(key.public, namespace, "sha512", key.sign(_signed(namespace, "sha512", message)))
    return made.armour()


# -- the program, where the library or the bare key is not at hand ----------------------------------------------------------------


def _ssh_keygen(args: list[str], message: bytes) -> tuple[int, str, str]:
    import subprocess

    try:
        done = subprocess.run(["ssh-keygen", *args], input=message, capture_output=True, timeout=60, check=False)
    except FileNotFoundError:
        raise HostError("ssh-keygen is not here", hint="install OpenSSH 8.2 or newer") from None
    except (OSError, subprocess.TimeoutExpired):
        raise HostError("ssh-keygen did not run", hint="a key in a file or in ssh-agent, and no prompt") from None
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


def ssh_keygen_sign(key_file: str, message: bytes, namespace: str = NAMESPACE) -> str:
    """The armoured signature that `ssh-keygen -Y sign` makes, with a key file or with a .pub file whose key is in ssh-agent.

    Raises:
        UsageError: the key cannot be used.
        HostError: there is no ssh-keygen.
    """
    code, out, err = _ssh_keygen(["-Y", "sign", "-f", key_file, "-n", namespace], message)
    if code != 0 or _BEGIN not in out:
        words = (err.strip().splitlines() or ["it said nothing"])[-1]
        raise UsageError(f"ssh-keygen did not sign with {printable(key_file, limit=200)}: {printable(words, limit=200)}")
    return out


def ssh_keygen_verify(allowed_signers: str, principal: str, armour_file: str, message: bytes, namespace: str = NAMESPACE) -> bool:
    """What `ssh-keygen -Y verify` says of a signature: a second opinion.

    Raises:
        HostError: there is no ssh-keygen.
    """
    args = ["-Y", "verify", "-f", allowed_signers, "-I", principal, "-n", namespace, "-s", armour_file]
    return _ssh_keygen(args, message)[0] == 0
