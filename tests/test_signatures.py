"""DSSE and SSH signatures, held against two programs of others: securesystemslib and ssh-keygen."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from signing import Key, b64, make_key, statement

from nmoe_graph.errors import DeclarationError, HostError, UsageError
from nmoe_graph.statement.dsse import PAYLOAD_TYPE, Envelope, Signature, pae, read_envelope
from nmoe_graph.statement.keys import PrivateKey, PublicKey, read_public_keys
from nmoe_graph.statement.policy import Ring
from nmoe_graph.statement.signers import Signer, read_signers
from nmoe_graph.statement.sshsig import NAMESPACE, read_armour, sign_ssh, ssh_keygen_sign, ssh_keygen_verify

NOW = datetime(2026, 6, 1, tzinfo=UTC)
needs_ssh_keygen = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="no ssh-keygen here")


@pytest.fixture
def key(tmp_path: Path) -> Key:
    return make_key(tmp_path)


@pytest.fixture
def other(tmp_path: Path) -> Key:
    return make_key(tmp_path, "other")


# -- DSSE ----------------------------------------------------------------------------------------------------------------------


def test_pae_is_the_protocols() -> None:
    """The example of the DSSE protocol (github.com/secure-systems-lab/dsse, protocol.md, test vectors)."""
    assert pae("http://example.com/HelloWorld", b"hello world") == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert pae("ä", b"") == "DSSEv1 2 ä 0 ".encode()


def test_securesystemslib_verifies_ours(key: Key, other: Key) -> None:
    """An envelope of ours is one to the reference library; with another key it is none."""
    from securesystemslib.dsse import Envelope as Theirs
    from securesystemslib.exceptions import VerificationError
    from securesystemslib.signer import SSlibKey

    payload = json.dumps(statement()).encode()
    ours = Envelope(payload, PAYLOAD_TYPE, (Signature("runner", PrivateKey.read(str(key.path)).sign(pae(PAYLOAD_TYPE, payload))),))
    theirs = Theirs.from_dict(json.loads(ours.to_bytes()))
    assert theirs.pae() == ours.signed_bytes
    public = {one: SSlibKey.from_crypto(one.private.public_key(), keyid="runner") for one in (key, other)}
    theirs.verify([public[key]], 1)
    with pytest.raises(VerificationError):
        theirs.verify([public[other]], 1)


def test_we_verify_securesystemslibs(key: Key, other: Key) -> None:
    """An envelope of the reference library counts here exactly with its key."""
    from securesystemslib.dsse import Envelope as Theirs
    from securesystemslib.signer import CryptoSigner

    theirs = Theirs(json.dumps(statement()).encode(), PAYLOAD_TYPE, {})
    theirs.sign(CryptoSigner(key.private))
    envelope = read_envelope(json.dumps(theirs.to_dict()).encode(), "x")
    (made,) = envelope.signatures
    for one in (key, other):
        named = PublicKey(one.public.raw, made.key_id)
        assert bool(Ring.of_keys((named,)).hear_envelope(envelope, NOW).voices) == (one is key)


def heard(document: dict[str, Any], *keys: PublicKey) -> tuple[int, str]:
    found = Ring.of_keys(keys).hear_envelope(read_envelope(json.dumps(document).encode(), "x"), NOW)
    return len(found.voices), "; ".join(found.refused)


def test_key_ids_are_claims(key: Key, other: Key) -> None:
    """A key answers to its fingerprint, its name, and to nothing; under another's id it does not count."""
    named = PublicKey(key.public.raw, "runner")
    for key_id, counts in ((named.fingerprint, 1), ("runner", 1), ("", 1), (other.public.fingerprint, 0), ("Runner", 0), ("x", 0)):
        assert heard(key.dsse(b"{}", key_id), named)[0] == counts, key_id
    assert "not verify" in heard(other.dsse(b"{}", "runner"), named)[1]


def test_either_alphabet_and_no_key_id(key: Key) -> None:
    """The protocol asks readers to take both alphabets, and an envelope without key ids; a mixture of alphabets is neither."""
    import base64

    message = b"\xfb\xef\xbe\xff\xfe" * 3
    document = key.dsse(message)
    assert "+" in document["payload"] and "/" in document["payload"]
    (signature,) = document["signatures"]
    del signature["keyid"]
    assert heard(document, key.public)[0] == 1
    safe = document | {"payload": base64.urlsafe_b64encode(message).decode()}
    assert heard(safe, key.public)[0] == 1
    with pytest.raises(DeclarationError):
        heard(document | {"payload": document["payload"].replace("+", "-")}, key.public)


def test_a_foreign_signature_beside_a_good_one(key: Key, other: Key) -> None:
    """Somebody else's signature takes nothing away; one that lies about a trusted key makes everything worthless."""
    document = key.dsse(b"{}")
    document["signatures"].insert(0, other.dsse(b"{}")["signatures"][0])
    assert heard(document, key.public)[0] == 1
    document["signatures"][0]["keyid"] = key.public.fingerprint
    assert heard(document, key.public)[0] == 0


def test_what_is_signed_is_type_and_payload(key: Key) -> None:
    """A signature over another type, over the bare payload, or of a changed payload is none."""
    assert heard(key.dsse(b"{}", payload_type="application/json"), key.public)[0] == 0
    moved = key.dsse(b"{}", payload_type="text/plain") | {"payloadType": PAYLOAD_TYPE}
    assert heard(moved, key.public)[0] == 0
    bare = key.dsse(b"{}")
    bare["signatures"][0]["sig"] = b64(key.private.sign(b"{}"))
    assert heard(bare, key.public)[0] == 0
    assert heard(key.dsse(b"{}") | {"payload": b64(b"{} ")}, key.public)[0] == 0


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"payload": None}, "payload"),
        ({"payload": "e30"}, "base64"),
        ({"payload": "e31="}, "base64"),
        ({"payload": "e30=\n"}, "base64"),
        ({"payload": ["e30="]}, "payload"),
        ({"payloadType": 1}, "payloadType"),
        ({"signatures": []}, "unsigned"),
        ({"signatures": {}}, "unsigned"),
        ({"signatures": [{}]}, "base64"),
        ({"signatures": [{"sig": ""}]}, "empty"),
        ({"signatures": [{"sig": "AAA"}]}, "base64"),
        ({"signatures": ["x"]}, "object"),
        ({"signatures": [{"sig": "AAAA", "keyid": 1}]}, "object"),
        ({"signatures": [{"sig": "AAAA"}] * 17}, "at most"),
    ],
)
def test_no_envelope(change: dict[str, Any], word: str, key: Key) -> None:
    """What is not in the one form is not guessed at."""
    with pytest.raises(DeclarationError) as error:
        read_envelope(json.dumps(key.dsse(b"{}") | change).encode(), "x")
    assert any(word in fault.what for fault in error.value.faults)


# -- SSH -----------------------------------------------------------------------------------------------------------------------


def allowed(tmp_path: Path, *keys: Key, options: str = "") -> Path:
    path = tmp_path / "allowed_signers"
    path.write_text("".join(f"{one.path.name}@nmoe.example {options} {one.public.line}\n" for one in keys))
    return path


@needs_ssh_keygen
@pytest.mark.parametrize("message", [b"", b"{}", b"\x00\xff" * 5000])
def test_ssh_keygen_verifies_ours(message: bytes, key: Key, other: Key, tmp_path: Path) -> None:
    """A signature of ours is one to OpenSSH, for its key, its message and its namespace only."""
    armour = tmp_path / "sig"
    armour.write_text(sign_ssh(PrivateKey.read(str(key.path)), message))
    signers = str(allowed(tmp_path, key, other))
    assert ssh_keygen_verify(signers, "key@nmoe.example", str(armour), message)
    assert not ssh_keygen_verify(signers, "other@nmoe.example", str(armour), message)
    assert not ssh_keygen_verify(signers, "key@nmoe.example", str(armour), message + b".")
    assert not ssh_keygen_verify(signers, "key@nmoe.example", str(armour), message, "file")


@needs_ssh_keygen
def test_we_verify_ssh_keygens(key: Key, tmp_path: Path) -> None:
    """A signature of OpenSSH is one here, and byte for byte the one that we would make."""
    armour = ssh_keygen_sign(str(key.path), b"{}")
    assert armour == sign_ssh(PrivateKey.read(str(key.path)), b"{}")
    signature = read_armour(armour, "x")
    assert (signature.key, signature.namespace, signature.hash_name) == (key.public, NAMESPACE, "sha512")
    assert signature.armour() == armour
    assert signature.verifies(b"{}") and not signature.verifies(b"{ }")
    with pytest.raises(UsageError):
        ssh_keygen_sign(str(tmp_path / "none"), b"{}")


@needs_ssh_keygen
def test_fingerprints_are_ssh_keygens(key: Key, tmp_path: Path) -> None:
    """A key is called as OpenSSH calls it."""
    public = tmp_path / "key.pub"
    public.write_text(key.public.line + " a comment\n")
    done = subprocess.run(["ssh-keygen", "-l", "-f", str(public)], capture_output=True, text=True, check=True)
    assert done.stdout.split()[1] == key.public.fingerprint


def test_a_signature_that_was_touched_is_none(key: Key) -> None:
    """Every byte of the blob counts: with any one flipped it is refused, or is no signature of the message."""
    import base64

    armour = sign_ssh(PrivateKey.read(str(key.path)), b"{}")
    lines = armour.splitlines()
    blob = base64.b64decode("".join(lines[1:-1]))
    ring = Ring.of_keys((key.public,))
    for at in range(len(blob)):
        changed = bytearray(blob)
        changed[at] ^= 1
        text = "\n".join([lines[0], base64.b64encode(changed).decode(), lines[-1], ""])
        try:
            counts = ring.hear_ssh(read_armour(text, "x"), b"{}", NOW).voices
        except DeclarationError:
            continue
        assert not counts, f"byte {at}"


@pytest.mark.parametrize("change", ["cut", "more", "head", "text before", "text after", "crlf in base64", "empty"])
def test_armour_is_taken_whole(change: str, key: Key) -> None:
    """Only the one armour, with nothing around it."""
    armour = sign_ssh(PrivateKey.read(str(key.path)), b"{}")
    lines = armour.splitlines()
    broken = {
        "cut": "\n".join([*lines[:2], lines[-1]]),
        "more": "\n".join([*lines[:-1], "AAAA", lines[-1]]),
        "head": armour.replace("SSH SIGNATURE", "SSH2 SIGNATURE", 1),
        "text before": "x\n" + armour,
        "text after": armour + "x\n",
        "crlf in base64": armour.replace(lines[1], lines[1][:10] + " " + lines[1][10:]),
        "empty": "",
    }
    with pytest.raises(DeclarationError):
        read_armour(broken[change], "x")


# -- keys ----------------------------------------------------------------------------------------------------------------------


def test_public_keys_in_every_form(key: Key, other: Key) -> None:
    """PEM and OpenSSH lines name the same key; one key alone has its file's name."""
    (pem,) = read_public_keys(key.pem, "folder/runner.pub.pem")
    (line,) = read_public_keys((key.public.line + " c\n").encode(), "runner.pub")
    assert pem == line == PublicKey(key.public.raw, "runner")
    assert [one.raw for one in read_public_keys(key.pem + other.pem, "x")] == [key.public.raw, other.public.raw]


@pytest.mark.parametrize(
    "data", [b"", b"nonsense", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", b"ssh-rsa AAAA"]
)
def test_no_public_key(data: bytes) -> None:
    """A file of keys that holds none is an error, never an empty list."""
    with pytest.raises(DeclarationError):
        read_public_keys(data, "x")


def test_a_private_key_is_never_taken_for_a_public_one(key: Key) -> None:
    """And is not repeated."""
    with pytest.raises(DeclarationError, match="private key"):
        read_public_keys(key.path.read_bytes(), "x")


def test_the_public_half_is_no_key_to_sign_with(key: Key) -> None:
    """It may be read by everybody, so that is not what is wrong with it."""
    public = key.path.with_name("id.pub")
    for text in (f"{key.public.line} me\n".encode(), key.pem):
        public.write_bytes(text)
        with pytest.raises(UsageError, match="public half of a key") as caught:
            PrivateKey.read(str(public))
        assert "without .pub" in caught.value.faults[0].hint


def test_a_key_that_others_can_read_is_refused(key: Key) -> None:
    """As ssh does."""
    key.path.chmod(0o640)
    with pytest.raises(UsageError, match="read by others"):
        PrivateKey.read(str(key.path))


@needs_ssh_keygen
def test_a_passphrase_and_another_kind_of_key_say_what_to_do(tmp_path: Path) -> None:
    """No prompt, no guess."""
    for name, options in (("locked", ["-t", "ed25519", "-N", "words"]), ("rsa", ["-t", "rsa", "-N", ""])):
        subprocess.run(["ssh-keygen", "-q", *options, "-f", str(tmp_path / name)], check=True)
    with pytest.raises(HostError, match="passphrase"):
        PrivateKey.read(str(tmp_path / "locked"))
    with pytest.raises(UsageError, match="Ed25519"):
        PrivateKey.read(str(tmp_path / "rsa"))
    with pytest.raises(UsageError, match="private key"):
        PrivateKey.read(__file__) if Path(__file__).stat().st_mode & 0o077 == 0 else PrivateKey.read(_private_copy(tmp_path))


def _private_copy(tmp_path: Path) -> str:
    path = tmp_path / "text"
    path.write_text("no key")
    path.chmod(0o600)
    return str(path)


# -- allowed_signers -----------------------------------------------------------------------------------------------------------


def test_a_file_of_signers(key: Key, other: Key) -> None:
    """Principals, options and keys, comments and other kinds of keys."""
    text = f"""# who may sign
a@x,b@x namespaces="nmoe-gate-result,git",valid-after="20260101",valid-before="20270101Z" {key.public.line} laptop
*@y {other.public.line}
c@x cert-authority {key.public.line}
d@x ssh-rsa AAAAB3NzaC1yc2E=
"""
    one, two = read_signers(text.encode(), "x")
    assert (one.principals, one.key, one.namespaces) == (("a@x", "b@x"), key.public, ("nmoe-gate-result", "git"))
    assert (one.valid_after, one.valid_before) == (datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    assert two == Signer(("*@y",), other.public)
    assert two.answers_to("z@y") and not two.answers_to("z@x")


@pytest.mark.parametrize(
    "line",
    [
        "a@x",
        "a@x ssh-ed25519",
        "a@x ssh-ed25519 AAAA",
        "a@x nonsense ssh-ed25519 KEY",
        'a@x valid-before="2026" KEYLINE',
        'a@x valid-before="20261301" KEYLINE',
        'a@x valid-befor="20260101" KEYLINE',
        "a@x valid-before KEYLINE",
        'a@x namespaces="a",namespaces="b" KEYLINE',
        'a@x namespaces="a KEYLINE',
        "a@x,,b KEYLINE",
        "\u202ea@x KEYLINE",
        "a@x unknown-kind AAAA",
    ],
)
def test_a_line_that_is_not_understood_ends_all_trust(line: str, key: Key) -> None:
    """A rule that was meant to hold somebody back does not fall out in silence."""
    text = f"b@x {key.public.line}\n{line.replace('KEYLINE', key.public.line)}\n"
    with pytest.raises(DeclarationError) as error:
        read_signers(text.encode(), "x")
    assert error.value.faults[0].at is not None and error.value.faults[0].at.line == 2


TIMES = [
    ("20260601", "", True),
    ("20260602", "", False),
    ("", "20260601", False),
    ("", "202606010001", True),
    ("20260601000000Z", "20260602", True),
]


@pytest.mark.parametrize(("after", "before", "counts"), TIMES)
def test_a_key_counts_from_when_until_when(after: str, before: str, counts: bool, key: Key) -> None:
    """The first moment counts, the last no longer does."""
    options = ",".join(f'valid-{name}="{text}"' for name, text in (("after", after), ("before", before)) if text)
    ring = Ring(read_signers(f"a@x {options} {key.public.line}\n".encode(), "x"))
    assert bool(ring.hear_envelope(read_envelope(json.dumps(key.dsse(b"{}")).encode(), "x"), NOW).voices) == counts


def test_namespace_principal_and_revocation(key: Key) -> None:
    """A key for something else, somebody else's key and a revoked key do not count, and each says why."""
    envelope = read_envelope(json.dumps(key.dsse(b"{}")).encode(), "x")
    line = key.public.line
    for text, more, word in (
        (f'a@x namespaces="git" {line}', {}, "namespace"),
        (f"a@x {line}", {"principal": "b@x"}, "belongs to a@x"),
        (f"a@x {line}", {"revoked": ((key.public.fingerprint, "lost"),)}, "revoked: lost"),
    ):
        found = Ring(read_signers(text.encode(), "x"), **more).hear_envelope(envelope, NOW)  # type: ignore[arg-type]
        assert not found.voices and word in found.refused[0]
    ssh = read_armour(sign_ssh(PrivateKey.read(str(key.path)), b"{}", "file"), "x")
    assert "namespace" in Ring.of_keys((key.public,)).hear_ssh(ssh, b"{}", NOW).refused[0]
