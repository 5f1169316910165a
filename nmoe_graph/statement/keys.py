"""Ed25519 keys in the forms that people have: OpenSSH files, PEM files.

Public keys are read by our own code, so that a policy can be read on a machine without any library; making and checking a
signature needs `cryptography` (the extra `sign`).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DeclarationError, Fault, HostError, Location, UsageError, printable

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = ["ED25519", "PrivateKey", "PublicKey", "read_public_keys", "ssh_field", "ssh_public_key"]

ED25519 = "ssh-ed25519"
_SPKI = bytes.fromhex("302a300506032b6570032100")  # RFC 8410: what stands before the 32 bytes of an Ed25519 key
_MOST_BYTES = 256 * 1024
_BEGIN, _END = "-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----"


def ssh_field(data: bytes) -> bytes:
    """A string of the SSH wire format (RFC 4251): its length, then its bytes."""
    return len(data).to_bytes(4, "big") + data


def _needs_cryptography() -> HostError:
    return HostError("signatures need the package cryptography, which is not here", hint="pip install 'nmoe-graph[sign]'")


@dataclass(frozen=True, slots=True)
class PublicKey:
    """An Ed25519 public key: 32 bytes.  `name` is what a file calls it, and only a name."""

    raw: bytes
    name: str = ""

    @property
    def blob(self) -> bytes:
        """The key as OpenSSH writes it on the wire."""
        return ssh_field(ED25519.encode()) + ssh_field(self.raw)

    @property
    def fingerprint(self) -> str:
        """SHA256:..., as `ssh-keygen -l` prints it."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode("ascii").rstrip("=")

    @property
    def line(self) -> str:
        """The key as one line of an OpenSSH file."""
        return f"{ED25519} {base64.b64encode(self.blob).decode('ascii')}"

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether the signature was made over the message with the private half of this key.

        Raises:
            HostError: `cryptography` is not here.
        """
        try:
            from cryptography.exceptions import InvalidSignature
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        except ImportError:
            raise _needs_cryptography() from None
        if len(signature) != 64:
            return False
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


def ssh_public_key(kind: str, text: str) -> PublicKey | None:
    """The key behind `ssh-ed25519 AAAA...`; None for another kind of key and for what is no key."""
    try:
        blob = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    head = ssh_field(ED25519.encode()) + (32).to_bytes(4, "big")
    if kind != ED25519 or len(blob) != len(head) + 32 or not blob.startswith(head):
        return None
    return PublicKey(blob[len(head) :])


def read_public_keys(data: bytes, file: str) -> tuple[PublicKey, ...]:
    """The Ed25519 keys of a PEM file or of lines as in `id_ed25519.pub`; a file with one key gives it the file's name.

    Raises:
        DeclarationError: it holds none, something else, or a private key.
    """
    at = Location(file)
    text = data[:_MOST_BYTES].decode("ascii", "replace")
    if "PRIVATE KEY" in text:
        raise DeclarationError(Fault("this is a private key, and a public one is due", at, "never hand a private key on"))
    keys: list[PublicKey] = []
    if _BEGIN in text:
        for piece in text.split(_BEGIN)[1:]:
            body, end, _ = piece.partition(_END)
            try:
                der = base64.b64decode("".join(body.split()), validate=True)
            except (binascii.Error, ValueError):
                der = b""
            if not end or len(der) != len(_SPKI) + 32 or not der.startswith(_SPKI):
                raise DeclarationError(Fault("a public key in it is no Ed25519 key", at, "ssh-keygen -t ed25519 makes one"))
            keys.append(PublicKey(der[len(_SPKI) :]))
    else:
        for number, line in enumerate(text.splitlines(), 1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            key = ssh_public_key(words[0], words[1]) if len(words) > 1 else None
            if key is None:
                raise DeclarationError(Fault("this line is no Ed25519 public key", Location(file, number, 1)))
            keys.append(key)
    if not keys:
        raise DeclarationError(Fault("there is no public key in it", at, "a PEM file, or a line ssh-ed25519 AAAA..."))
    if len(keys) == 1:
        keys = [PublicKey(keys[0].raw, Path(file).name.partition(".")[0])]
    return tuple(keys)


@dataclass(frozen=True)
class PrivateKey:
    """A key to sign with.  Its bytes are never printed, kept or handed on."""

    _key: Ed25519PrivateKey
    public: PublicKey

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)

    def __repr__(self) -> str:
        return f"PrivateKey({self.public.fingerprint})"

    @classmethod
    def read(cls, path: str) -> PrivateKey:
        """The Ed25519 key of an OpenSSH or PEM file that only its owner can read.

        Raises:
            UsageError: it is no such file.
            HostError: `cryptography` is not here, or the key has a passphrase.
        """
        try:
            from cryptography.exceptions import UnsupportedAlgorithm
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
            from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key
        except ImportError:
            raise _needs_cryptography() from None
        name = printable(path, limit=200)
        try:
            others = stat.S_IMODE(os.stat(path).st_mode) & 0o077
            with open(path, "rb") as handle:
                data = handle.read(_MOST_BYTES)
            if data.startswith((b"ssh-", b"ecdsa-", b"sk-", b"-----BEGIN PUBLIC KEY")):
                hint = "the private one lies beside it, without .pub; one of ssh-agent signs with --backend ssh-keygen"
                raise UsageError(f"{name} is the public half of a key", hint=hint)
            if others:
                raise UsageError(f"the key {name} can be read by others", hint="chmod 600, or make a new one")
        except OSError as error:
            raise UsageError(f"the key {name} cannot be read: {error.strerror}") from None
        load = load_ssh_private_key if b"OPENSSH PRIVATE KEY" in data else load_pem_private_key
        try:
            key = load(data, None)
        except TypeError:
            raise HostError(
                f"the key {name} has a passphrase", hint="add it to ssh-agent and sign with --backend ssh-keygen and its .pub file"
            ) from None
        except (ValueError, UnsupportedAlgorithm):
            raise UsageError(f"{name} is no private key", hint="ssh-keygen -t ed25519 -f FILE makes one") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise UsageError(f"{name} is no Ed25519 key", hint="ssh-keygen -t ed25519 -f FILE makes one")
        return cls(key, PublicKey(key.public_key().public_bytes_raw()))
