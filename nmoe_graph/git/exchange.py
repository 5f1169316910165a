"""The ledger and remotes: fetch, join, push; whoever is slower joins again and comes back."""

from __future__ import annotations

import hashlib
import random
import time
from dataclasses import dataclass

from ..errors import HostError, SnapshotError, UsageError, printable
from ..safe import ALL_BUT_PATHS, redact
from .ledger import Ledger, Side
from .program import disk_trouble, run_git, transport_environment
from .refs import LEDGER_REF, NOTES_REF
from .repository import Repository

__all__ = ["Exchange", "pull", "push"]

_TRIES = 40
#: What a remote says to somebody who was slower than somebody else; every other refusal stays one.
_RACES = (
    "fetch first",
    "non-fast-forward",
    "stale info",
    "failed to update ref",
    "cannot lock ref",
    "failed to lock",
    "incorrect old value",
    "reference already exists",
    "transaction",
)
_BOTH = ((LEDGER_REF, "ledger"), (NOTES_REF, "notes"))


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a push or a pull did."""

    remote: str
    received: int  # envelopes that were not here
    sent: int  # envelopes that were not there
    rewritten: tuple[str, ...] = ()  # what the remote took back, in words
    tries: int = 1


def pull(repository: Repository, remote: str) -> Exchange:
    """Join a remote's ledger into this clone's.

    Raises:
        UsageError, HostError: there is no such remote, or it cannot be read.
    """
    ledger, other = Ledger(repository), _Remote(repository, remote)
    with ledger.alone():
        return other.join(ledger)[0]


def push(repository: Repository, remote: str) -> Exchange:
    """Join with a remote's ledger and give it the union.

    Raises:
        UsageError, HostError: there is no such remote, or it takes nothing from us.
    """
    ledger, other = Ledger(repository), _Remote(repository, remote)
    received = 0
    rewritten: list[str] = []
    atomic = True
    last = ""
    for attempt in range(1, _TRIES + 1):
        with ledger.alone():
            exchange, theirs, joined = other.join(ledger)
        received += exchange.received
        rewritten += exchange.rewritten
        pairs = ((joined.ledger, theirs.ledger, LEDGER_REF), (joined.notes, theirs.notes, NOTES_REF))
        specs = [f"{new}:{ref}" for new, old, ref in pairs if new and new != old]
        sent = sum(path.startswith("results/") and path not in theirs.files for path in joined.files)
        taken, said = other.push(specs, atomic) if specs else (True, "")
        if taken:
            other.remember(ledger, specs)
            return Exchange(remote, received, sent if specs else 0, tuple(dict.fromkeys(rewritten)), attempt)
        last = said or last
        if attempt > 3 and not any(word in said for word in _RACES):
            break
        # Some remotes know no atomic push.  The ledger is named first, and a note without its envelope proves nothing.
        atomic = atomic and bool(said)
        time.sleep(random.random() * min(3.0, 0.2 * 1.6**attempt))
    words = redact(printable(last or "it took nothing and did not say why", limit=300))
    raise HostError(f"{other.name}: the ledger was not taken: {words}", hint="may you push to it?")


class _Remote:
    """One remote, as git names it: a name, a URL, a folder."""

    def __init__(self, repository: Repository, remote: str) -> None:
        if not remote or remote.startswith("-") or not remote.isprintable():
            raise UsageError(f"{printable(remote, limit=80)!r} is no remote", hint="origin, a URL or a folder")
        self._repository, self._remote = repository, remote
        self.name = redact(printable(remote, limit=100), kinds=ALL_BUT_PATHS)  # whoever asked has to find it
        self._mirror = f"refs/nmoe-graph/remotes/{hashlib.sha256(remote.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}"

    def _call(self, args: list[str], accept: tuple[int, ...] = (0,)) -> tuple[int, str]:
        if not self._repository.git:
            raise HostError("a ledger is shared by the git program, which is not here", hint="install git")
        try:
            status, out = run_git(self._repository.git, self._repository.root, args, accept=accept, env=transport_environment())
        except SnapshotError as error:
            words = redact(printable(error.faults[0].what, limit=300), kinds=ALL_BUT_PATHS)
            hint = (
                "nothing was taken in; run it again when there is room"
                if disk_trouble(words)
                else "is the remote there, and may you read it?"
            )
            raise HostError(f"{self.name}: {words}", hint=hint) from None
        return status, out.decode("utf-8", "replace")

    def push(self, specs: list[str], atomic: bool) -> tuple[bool, str]:
        """Whether the remote took the commits, and else its words on those that it did not take."""
        flags = ["--porcelain", "--no-verify", *(["--atomic"] if atomic else [])]
        status, out = self._call(["push", *flags, "--", self._remote, *specs], (0, 1, 128))
        words = [" ".join(line[1:].split()) for line in out.splitlines() if line.startswith("!")]
        return status == 0, "; ".join(sorted(words))

    def remember(self, ledger: Ledger, specs: list[str]) -> None:
        """What the remote took is what it has now, and must have next time."""
        taken = {spec.partition(":")[2]: spec.partition(":")[0] for spec in specs}
        ledger.set_refs((f"{self._mirror}/{name}", taken[ref], "") for ref, name in _BOTH if ref in taken)

    def _fetch(self, ledger: Ledger) -> Side:
        """The remote's state, fetched; what it was is kept below refs/nmoe-graph/remotes, to be compared with next time."""
        _, listing = self._call(["ls-remote", "--quiet", "--", self._remote, LEDGER_REF, NOTES_REF])
        there = {line.partition("\t")[2]: line.partition("\t")[0] for line in listing.splitlines()}
        specs = [
            f"+{ref}:{self._mirror}/{name}"
            for ref, name in _BOTH
            if ref in there and ledger.tip(f"{self._mirror}/{name}") != there[ref]
        ]
        if specs:
            flags = ["--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-maintenance"]
            self._call(["fetch", *flags, "--", self._remote, *specs])
        tips = [ledger.tip(f"{self._mirror}/{name}") if ref in there else None for ref, name in _BOTH]
        return ledger.verified(ledger.side(tips[0], tips[1]))

    def join(self, ledger: Ledger) -> tuple[Exchange, Side, Side]:
        """Fetch and join: what happened, the remote's state, and ours after it.  The caller holds the ledger's lock."""
        seen = ledger.side(ledger.tip(f"{self._mirror}/ledger"), ledger.tip(f"{self._mirror}/notes"))
        theirs = self._fetch(ledger)
        ours = ledger.here()
        joined = ledger.joined([theirs, ours], {}, {})
        ledger.move(ours, joined)
        received = sum(path.startswith("results/") and path not in ours.files for path in theirs.files)
        return Exchange(self._remote, received, 0, tuple(_taken_back(seen, theirs))), theirs, joined


def _taken_back(before: Side, after: Side) -> list[str]:
    """What the remote had and no longer has, and what it has that belongs in no ledger."""
    words = []
    for path, blob in before.files.items():
        if path not in after.files:
            what = f"has the envelope {path[-69:-57]}" if path.startswith("results/") else f"anchors the commit {path[-40:-28]}"
            words.append(f"the remote no longer {what}")
        elif blob != after.files[path]:
            words.append(f"the remote changed {path}")
    for commit, lines in before.lines.items():
        for line in lines - after.lines.get(commit, frozenset()):
            words.append(f"the remote rewrote the note on {commit[:12]}, which said: {printable(line, limit=200)}")
    return sorted(words) + after.odd
