"""Keys that are made for one test and thrown away, statements, and a workspace that trusts somebody."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conftest import CONTRACT, Scratch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from nmoe_graph.statement.dsse import pae
from nmoe_graph.statement.keys import PublicKey

COMMIT, OTHER_COMMIT = "c" * 40, "d" * 40
PAYLOAD_TYPE = "application/vnd.in-toto+json"


@dataclass(frozen=True)
class Key:
    """A key of a test, in every form."""

    path: Path
    private: Ed25519PrivateKey

    @property
    def public(self) -> PublicKey:
        return PublicKey(self.private.public_key().public_bytes_raw())

    @property
    def pem(self) -> bytes:
        return self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def dsse(self, payload: bytes, key_id: str | None = None, payload_type: str = PAYLOAD_TYPE) -> dict[str, Any]:
        signature = {"sig": b64(self.private.sign(pae(payload_type, payload)))}
        signature["keyid"] = self.public.fingerprint if key_id is None else key_id
        return {"payload": b64(payload), "payloadType": payload_type, "signatures": [signature]}

    def signed(self, statement: Mapping[str, Any], **more: Any) -> bytes:
        return json.dumps(self.dsse(json.dumps(statement).encode(), **more)).encode()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def make_key(folder: Path, name: str = "key") -> Key:
    private = Ed25519PrivateKey.generate()
    path = folder / name
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    path.chmod(0o600)
    return Key(path, private)


def statement(gate: str = "b200:train", commit: str = COMMIT, **predicate: Any) -> dict[str, Any]:
    """A statement as another writer would make it: the format's fields and none of ours."""
    said = {
        "result": "PASSED",
        "configuration": [{"name": "configs/gates/gates.toml", "digest": {"sha256": "ab" * 32}}],
        "passedTests": [gate],
        "warnedTests": [],
        "failedTests": [],
    }
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "commit", "digest": {"gitCommit": commit}}],
        "predicateType": "https://in-toto.io/attestation/test-result/v0.1",
        "predicate": said | predicate,
    }


TRUST = """
[trust]
signers = "configs/allowed_signers"

[trust.tier_b]
principals = ["runner@nmoe.example"]
"""


@dataclass(frozen=True)
class Trusting:
    """A workspace with a base that trusts a developer for tier a and a runner for both tiers."""

    scratch: Scratch
    dev: Key
    runner: Key
    stranger: Key
    base: str


def trusting(scratch: Scratch, folder: Path, options: str = 'namespaces="nmoe-gate-result"', trust: str = TRUST) -> Trusting:
    keys = {name: make_key(folder, name) for name in ("dev", "runner", "stranger")}
    rows = [f"{name}@nmoe.example {options} {keys[name].public.line}".replace("  ", " ") for name in ("dev", "runner")]
    scratch.write("configs/allowed_signers", "\n".join(rows) + "\n")
    scratch.write("BUILD.toml", scratch.read("BUILD.toml") + trust)
    scratch.write("configs/contracts/01-work.yaml", CONTRACT.format(issue="01", slug="work", depends="[]"))
    base = scratch.commit("trust")
    scratch.git("update-ref", "refs/remotes/origin/main", base)
    scratch.git("checkout", "-q", "-b", "issue/01-work")
    scratch.replace("nmoe/a.py", "X = 1", "X = 2")
    scratch.commit("work")
    return Trusting(scratch, keys["dev"], keys["runner"], keys["stranger"], base)
