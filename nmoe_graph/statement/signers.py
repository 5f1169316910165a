"""`allowed_signers`: whose key is whose, for what and for how long (the file of ssh-keygen(1), ALLOWED SIGNERS).

    runner@nmoe.example namespaces="nmoe-gate-result",valid-before="20270101" ssh-ed25519 AAAA...

A line that cannot be understood makes the whole file worthless: a rule that was meant to hold somebody back must not fall out
in silence.  Keys of other kinds and certificate authorities are known and cannot be used.  Times are UTC, with or without Z.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from ..errors import DeclarationError, Fault, Location
from .keys import ED25519, PublicKey, ssh_public_key

__all__ = ["Signer", "matches", "read_signers"]

_MOST_BYTES = 1024 * 1024
_MOST_LINE = 4000
_TOKEN = re.compile(r'(?:[^\s"]|"(?:[^"\\\n]|\\.)*")+')
_OPTION = re.compile(r'([A-Za-z\-]{1,40})(?:="((?:[^"\\\n]|\\.)*)")?(?:,|$)')
_STAMP = re.compile(r"(\d{4})(\d\d)(\d\d)(?:(\d\d)(\d\d)(\d\d)?)?Z?\Z", re.ASCII)
_OTHER_KINDS = ("ssh-rsa", "ssh-dss", "ecdsa-sha2-", "sk-", "ssh-ed25519-cert", "ssh-rsa-cert", "ssh-dss-cert")


@dataclass(frozen=True, slots=True)
class Signer:
    """One line: a key, whom it may speak for, in which namespaces, from when and until when."""

    principals: tuple[str, ...]
    key: PublicKey
    namespaces: tuple[str, ...] | None = None  # None: any
    valid_after: datetime | None = None
    valid_before: datetime | None = None

    @property
    def name(self) -> str:
        """What people call this signer."""
        return ",".join(self.principals)

    def answers_to(self, principal: str) -> bool:
        return matches(principal, self.principals)

    def refusal(self, namespace: str, now: datetime) -> str:
        """Why the key does not count at this time in this namespace, or the empty string."""
        if self.namespaces is not None and not matches(namespace, self.namespaces):
            return f"the key of {self.name} may not sign in the namespace {namespace}"
        if self.valid_after is not None and now < self.valid_after:
            return f"the key of {self.name} is not valid before {self.valid_after:%Y-%m-%d %H:%M:%S} UTC"
        if self.valid_before is not None and now >= self.valid_before:
            return f"the key of {self.name} expired on {self.valid_before:%Y-%m-%d %H:%M:%S} UTC"
        return ""


def matches(word: str, patterns: tuple[str, ...]) -> bool:
    """Whether a word fits a list of patterns with * and ?; one behind ! that fits rules it out (ssh_config(5), PATTERNS)."""
    found = False
    for pattern in patterns:
        wanted = pattern.removeprefix("!")
        parts = re.split(r"(\*+|\?)", wanted)
        regex = "".join(".*" if part[:1] == "*" else "." if part == "?" else re.escape(part) for part in parts)
        if re.fullmatch(regex, word, re.DOTALL):
            if wanted != pattern:
                return False
            found = True
    return found


def _time(text: str) -> datetime | None:
    found = _STAMP.match(text)
    if not found:
        return None
    try:
        return datetime(*(int(part or 0) for part in found.groups()), tzinfo=UTC)  # type: ignore[misc,arg-type]
    except ValueError:
        return None


def _list(text: str) -> tuple[str, ...]:
    return tuple(text.strip('"').split(","))


def read_signers(data: bytes, file: str) -> tuple[Signer, ...]:
    """The signers that can be used, in the order of the file.

    Raises:
        DeclarationError: with every line that cannot be understood.
    """
    faults: list[Fault] = []
    found: list[Signer] = []
    try:
        text = data[: _MOST_BYTES + 1].decode("utf-8")
    except UnicodeDecodeError:
        raise DeclarationError(Fault("the file of signers is not UTF-8", Location(file))) from None
    if len(text) > _MOST_BYTES:
        raise DeclarationError(Fault("the file of signers is too large", Location(file)))
    for number, line in enumerate(text.split("\n"), 1):
        words = line.strip()
        if not words or words.startswith("#"):
            continue
        try:
            if len(words) > _MOST_LINE:
                raise ValueError(f"this line is longer than {_MOST_LINE} characters")
            signer = _signer(words)
        except ValueError as error:
            faults.append(Fault(str(error), Location(file, number, 1), "PRINCIPALS [OPTIONS] ssh-ed25519 KEY"))
            continue
        if signer is not None:
            found.append(signer)
    if faults:
        raise DeclarationError(faults)
    return tuple(found)


def _signer(line: str) -> Signer | None:
    tokens = _TOKEN.findall(line)
    if "".join(tokens) != re.sub(r'\s+(?=(?:[^"]*"[^"]*")*[^"]*\Z)', "", line) or len(tokens) < 3:
        raise ValueError("this line is no signer: quotes or fields are missing")
    principals = _list(tokens[0])
    if not all(principals) or any(re.search(r"[^\x21-\x7e]", one) or len(one) > 200 or one.count("*") > 4 for one in principals):
        raise ValueError("its principals are no list of ASCII patterns")
    options: dict[str, str] = {}
    rest = tokens[1:]
    if not _is_kind(rest[0]):
        options, rest = _options(rest[0]), rest[1:]
    if len(rest) < 2 or not _is_kind(rest[0]):
        raise ValueError("it names no kind of key that OpenSSH knows")
    if "cert-authority" in options or rest[0] != ED25519:
        return None
    key = ssh_public_key(rest[0], rest[1])
    if key is None:
        raise ValueError("its key is no Ed25519 key")
    times: dict[str, datetime | None] = {}
    for name in ("valid-after", "valid-before"):
        times[name] = _time(options[name]) if name in options else None
        if name in options and times[name] is None:
            raise ValueError(f"{name} is no time: YYYYMMDD or YYYYMMDDHHMM[SS], in UTC")
    spaces = _list(options["namespaces"]) if "namespaces" in options else None
    return Signer(principals, key, spaces, times["valid-after"], times["valid-before"])


def _is_kind(word: str) -> bool:
    return word == ED25519 or word.startswith(_OTHER_KINDS)


def _options(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        hit = _OPTION.match(text, at)
        if hit is None or hit.end() == at:
            raise ValueError("its options cannot be understood")
        name = hit[1].lower()
        if name not in ("namespaces", "valid-after", "valid-before", "cert-authority"):
            raise ValueError(f"it has an unknown option, {name}")
        if name in found or (hit[2] is None) != (name == "cert-authority"):
            raise ValueError(f"the option {name} stands twice, or has no value")
        found[name] = hit[2] or ""
        at = hit.end()
    return found
