"""Who may prove what: `[trust]` of BUILD.toml and the file of signers, both read from the base commit.

    [trust]
    signers = "configs/allowed_signers"

    [trust.tier_b]
    principals = ["runner@nmoe.example"]

Without `[trust]` nobody is trusted.  With it, tier a counts from anyone in the file and tier b from nobody until its principals
are named.  A key counts only while it is valid, and a run only if it began while its key was valid: an expired key proves
nothing any more, also not of earlier days, for whoever holds it could have dated back what it signs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from ..model import TierRule, Trust
from .dsse import PAYLOAD_TYPE, Envelope
from .keys import PublicKey
from .signers import Signer, matches
from .sshsig import NAMESPACE, SshSignature
from .statement import Run, Statement

__all__ = ["Heard", "Policy", "Ring", "Voice", "refusals"]


@dataclass(frozen=True, slots=True)
class Voice:
    """A signer whose signature verified."""

    signer: Signer
    form: str  # DSSE or SSH

    @property
    def words(self) -> str:
        return f"{self.form} signature by {self.signer.name} ({self.signer.key.fingerprint})"


@dataclass(frozen=True, slots=True)
class Heard:
    """What the signatures of a statement came to.  `voices` is empty wherever one of them is a lie."""

    voices: tuple[Voice, ...]
    refused: tuple[str, ...]


@dataclass(frozen=True)
class Ring:
    """The keys that are known, and those that were revoked: fingerprint to why."""

    signers: tuple[Signer, ...]
    revoked: tuple[tuple[str, str], ...] = ()
    principal: str = ""  # only keys of this one count, where it is given
    namespace: str = NAMESPACE

    @classmethod
    def of_keys(cls, keys: tuple[PublicKey, ...]) -> Ring:
        """Keys that count for everything and for ever: `--keys` on a command line."""
        return cls(tuple(Signer((key.name or key.fingerprint,), key) for key in keys))

    def _usable(self, signer: Signer, now: datetime) -> str:
        """Why a signer does not count now, or the empty string."""
        gone = dict(self.revoked)
        if signer.key.fingerprint in gone:
            why = gone[signer.key.fingerprint]
            return f"the key of {signer.name} was revoked" + (f": {why}" if why else "")
        if self.principal and not signer.answers_to(self.principal):
            return f"the key belongs to {signer.name}, not to {self.principal}"
        return signer.refusal(self.namespace, now)

    def hear_envelope(self, envelope: Envelope, now: datetime) -> Heard:
        """Judge the signatures of a DSSE envelope.

        A signature by a key that is not known counts for nothing.  One that names a known key and does not verify makes the
        whole envelope worthless: somebody changed it.
        """
        if envelope.payload_type != PAYLOAD_TYPE:
            return Heard((), (f"payloadType is not {PAYLOAD_TYPE}: the signature is for something else",))
        voices: list[Voice] = []
        refused: list[str] = []
        broken = False
        message = envelope.signed_bytes
        for number, signature in enumerate(envelope.signatures, 1):
            named = [one for one in self.signers if signature.key_id in ("", one.key.fingerprint, one.key.name, *one.principals)]
            if not named:
                refused.append(f"signature {number}: its key id is of no trusted key")
                continue
            made = [one for one in named if one.key.verifies(signature.data, message)]
            if not made:
                broken = broken or bool(signature.key_id)
                refused.append(
                    f"signature {number} does not verify with the trusted key: it was made by another, or the payload changed"
                )
                continue
            fit, why = self._fit(made, now)
            voices += [Voice(one, "DSSE") for one in fit]
            refused += [f"signature {number}: {one}" for one in why]
        return Heard(() if broken else tuple(dict.fromkeys(voices)), tuple(refused))

    def hear_ssh(self, signature: SshSignature, payload: bytes, now: datetime) -> Heard:
        """Judge an SSH signature over a payload."""
        if signature.namespace != self.namespace:
            return Heard((), (f"the signature is of another namespace than {self.namespace}: it was made for something else",))
        known = [one for one in self.signers if one.key.raw == signature.key.raw]
        if not known:
            return Heard((), (f"the signature is by an untrusted key, {signature.key.fingerprint}",))
        if not signature.verifies(payload):
            return Heard((), ("the signature does not verify: the payload or the signature was changed",))
        fit, why = self._fit(known, now)
        return Heard(tuple(Voice(one, "SSH") for one in fit), tuple(why))

    def _fit(self, signers: list[Signer], now: datetime) -> tuple[list[Signer], list[str]]:
        """Those that count now; where none does, why."""
        reasons = {one: self._usable(one, now) for one in signers}
        fit = [one for one, why in reasons.items() if not why]
        return fit, [] if fit else list(dict.fromkeys(reasons.values()))


@dataclass(frozen=True)
class Policy:
    """What the base commit says about trust.  `why_empty` says why nobody is trusted, where that is so.

    Where nothing is said at all, a run on one's own machine counts for tier a, on that machine; where something is said that
    cannot be read, nothing counts.
    """

    trust: Trust | None = None
    ring: Ring = field(default_factory=lambda: Ring(()))
    why_empty: str = ""
    unreadable: bool = False

    def rule(self, tier: str) -> TierRule:
        if self.trust is None:
            return TierRule(local=tier == "a" and not self.unreadable)
        return self.trust.tier_b if tier == "b" else self.trust.tier_a


def _began(run: Run) -> datetime | None:
    try:
        return datetime.strptime(run.started[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def _speaks(voice: Voice, rule: TierRule) -> bool:
    return any(matches(one, rule.principals) for one in voice.signer.principals if not set(one) & set("*?!"))


def refusals(policy: Policy, voices: tuple[Voice, ...], tier: str, statement: Statement, now: datetime) -> list[str]:
    """Why a signed statement does not count for a tier; empty where it does.

    `tier` is the base's word on the gate, never the statement's own.
    """
    if not voices:
        return [policy.why_empty or "no trusted signature is on it"]
    run = statement.run
    if run is None:
        return ["it carries no action key, so it cannot be held against the definitions of the base"]
    rule = policy.rule(tier)
    found: list[str] = []
    entitled = [voice for voice in voices if _speaks(voice, rule)]
    if not entitled:
        found.append(f"{', '.join(voice.signer.name for voice in voices)} may not prove tier {tier}")
    began = _began(run)
    if began is None or began.timestamp() > now.timestamp() + 600:
        found.append("it says that it began at no possible time")
    elif entitled and all(voice.signer.refusal(NAMESPACE, began) for voice in entitled):
        found.append(f"it began when the key was not valid: {entitled[0].signer.refusal(NAMESPACE, began)}")
    if run.tier != tier:
        found.append(f"it speaks of tier {run.tier}, and the base says tier {tier}")
    if run.namespace not in rule.namespaces:
        found.append(f"a result of the namespace {run.namespace} does not count for tier {tier}")
    if not rule.accepts_means(run.sandbox):
        found.append(f"its sandbox was {run.sandbox}, and tier {tier} asks for {rule.sandbox} at least")
    platform = dict(run.platform)
    for name, pattern in rule.platform:
        if name not in platform or not matches(platform[name], (pattern,)):
            found.append(f"its platform has no {name} that fits {pattern}")
    return found
