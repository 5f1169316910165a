"""What came of running an action: the record that the store keeps and everything else judges by."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Output", "Result", "Verdict"]


class Verdict(enum.StrEnum):
    """What a run came to.  Only PASSED proves anything."""

    PASSED = "passed"
    FLAKY = "flaky"  # passed, but only after a retry
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    INCONCLUSIVE = "inconclusive"
    INFRA_ERROR = "infra_error"
    CANCELLED = "cancelled"
    PENDING = "pending"
    NOT_RUN = "not_run"

    def proves(self, accept_flaky: bool = False) -> bool:
        """True for PASSED, and for FLAKY where the gate says that it accepts that."""
        return self is Verdict.PASSED or (accept_flaky and self is Verdict.FLAKY)


@dataclass(frozen=True, slots=True)
class Output:
    """A file that an action made, kept as a blob of the store."""

    path: str
    mode: int
    digest: str  # sha256, hex


@dataclass(frozen=True, slots=True)
class Result:
    """What came of running an action: one record a run, kept for good.

    Times are in seconds; `started` is UTC, ISO 8601.  `exit_code` is None when a signal or the clock ended the run.
    """

    action_key: str
    label: str
    verdict: Verdict
    reason: str = ""
    exit_code: int | None = None
    signal: int | None = None
    started: str = ""
    duration_s: float = 0.0
    attempts: int = 1
    commit: str | None = None
    tree: str = ""
    means: str = ""  # of the sandbox: namespaces, audit, folder
    fingerprint: tuple[tuple[str, str], ...] = ()  # what the host was; nothing that names a machine
    log_digest: str = ""  # sha256 of the stored log, hex
    log_bytes: int = 0
    outputs: tuple[Output, ...] = ()
    metrics: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    @property
    def where(self) -> str:
        """The commit that was tested, or the tree where it was no commit's: a work tree with changes, a merge to be."""
        return f"at {self.commit[:12]}" if self.commit else f"at tree {self.tree[:12]}"
