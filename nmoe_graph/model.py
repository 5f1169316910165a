"""Frozen records that the rooms hand to each other.  No behaviour beyond what a record says of itself.

Declarations (what someone wrote): Files, Python, Action, Gate, Bundle, Contract, WorkspaceDecl.
Work (what is to be run):          Job, InputFile.
Evidence (what came of it):        Result, Output, Verdict.

They are plain dataclasses, because a start of the program must not pay for a validation library; `load` checks text with
pydantic before any of these is made.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .errors import Location
from .label import Label

__all__ = [
    "Action",
    "Bundle",
    "Contract",
    "Files",
    "Gate",
    "InputFile",
    "Job",
    "Merge",
    "Output",
    "PerfBudget",
    "Python",
    "Result",
    "Target",
    "Verdict",
    "WorkspaceDecl",
]


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
class Files:
    """`[files.NAME]`: sources by glob.  Globs are relative to the package's folder."""

    label: Label
    srcs: tuple[str, ...]
    exclude: tuple[str, ...] = ()
    deps: tuple[Label, ...] = ()
    exact: bool = False
    at: Location | None = field(default=None, compare=False)

    kind = "files"


@dataclass(frozen=True, slots=True)
class Python:
    """`[python.NAME]`: a module and its import closure inside the workspace."""

    label: Label
    module: str
    deps: tuple[Label, ...] = ()
    exact: bool = False
    at: Location | None = field(default=None, compare=False)

    kind = "python"


@dataclass(frozen=True, slots=True)
class Action:
    """`[action.NAME]`: a command that makes files (`outs`, relative to the workspace root) out of its deps."""

    label: Label
    cmd: str
    deps: tuple[Label, ...] = ()
    outs: tuple[str, ...] = ()
    timeout_s: int = 600
    env: tuple[tuple[str, str], ...] = ()
    exact: bool = False
    at: Location | None = field(default=None, compare=False)

    kind = "action"


@dataclass(frozen=True, slots=True)
class Gate:
    """One check of `gates.toml`.  `inputs` and `requires_files` are relative to the workspace root."""

    label: Label
    tier: str  # "a" or "b"
    gate_kind: str = "command"  # or "perf"
    cmd: str = ""
    timeout_s: int = 0
    gpus: int = 0
    requires: tuple[str, ...] = ()  # names of environment variables
    requires_files: tuple[str, ...] = ()
    compare_gate: str | None = None  # a gate id
    metric: str | None = None
    better: str = "higher"
    deps: tuple[Label, ...] = ()
    inputs: tuple[str, ...] | None = None  # globs; None: not declared
    infer: bool = True
    env: tuple[tuple[str, str], ...] = ()
    exact: bool = False
    retries: int = 0
    salt: str = ""
    accept_flaky: bool = False
    expects: tuple[tuple[str, object], ...] = ()  # evidence that a run must leave, as declared
    notes: str = ""
    arch: str = ""  # "sm_100a" where [meta] target applies (design: tier b, and gpus > 0), else ""
    at: Location | None = field(default=None, compare=False)
    places: tuple[tuple[str, Location], ...] = field(default=(), compare=False)  # key path -> where it stands

    kind = "gate"

    @property
    def gate_id(self) -> str:
        return self.label.short


@dataclass(frozen=True, slots=True)
class Bundle:
    """A named set of gates; `members` are gate labels in order of declaration, other bundles expanded."""

    label: Label
    members: tuple[Label, ...]
    at: Location | None = field(default=None, compare=False)

    kind = "bundle"


@dataclass(frozen=True, slots=True)
class PerfBudget:
    """`gates.perf` of a contract."""

    gate: str
    metric: str
    baseline_ref: str
    budget_pct: float


@dataclass(frozen=True, slots=True)
class Contract:
    """A work item.  Ids are text as written: 01, 08 and 010 are three contracts."""

    label: Label
    issue: str
    slug: str
    work: str  # feature, bugfix, perf, refactor, docs
    risk: str  # hot, warm, cold
    complexity: str  # S, M, L
    title: str = ""
    depends_on: tuple[str, ...] = ()
    depends_on_all: bool = False
    merge_hotspots: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    invariants: tuple[str, ...] = ()
    knobs_add: tuple[str, ...] = ()
    knobs_change: tuple[str, ...] = ()
    required: tuple[str, ...] = ()  # gate ids
    perf: PerfBudget | None = None
    merge_strategy: str = "squash"  # or "merge"
    delete_branch: bool = True
    at: Location | None = field(default=None, compare=False)
    places: tuple[tuple[str, Location], ...] = field(default=(), compare=False)

    kind = "contract"

    @property
    def branch(self) -> str:
        return f"issue/{self.issue}-{self.slug}"


@dataclass(frozen=True, slots=True)
class Merge:
    """`//merges:ID`: the landing of a contract, after the landings that it depends on.  Derived, never declared."""

    label: Label
    contract: Label
    after: tuple[Label, ...] = ()
    at: Location | None = field(default=None, compare=False)

    kind = "merge"


Target = Files | Python | Action | Gate | Bundle | Contract | Merge


@dataclass(frozen=True, slots=True)
class WorkspaceDecl:
    """`[workspace]` of the root BUILD.toml."""

    name: str
    base: tuple[str, ...] = ()
    gates: str | None = None
    contracts: tuple[str, ...] = ()
    at: Location | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class InputFile:
    """One file of a sandbox.  `mode` is git's: 0o100644, 0o100755, 0o120000 (a link; the bytes are its target)."""

    path: str
    mode: int
    read: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Output:
    """A file that an action made, kept as a blob of the store."""

    path: str
    mode: int
    digest: str  # sha256, hex


@dataclass(frozen=True, slots=True)
class Job:
    """An action made ready to run: everything the executor may know, and nothing else."""

    action_key: str  # hex
    label: str  # for people only; never in the key
    cmd: str
    timeout_s: int
    files: tuple[InputFile, ...]
    env: tuple[tuple[str, str], ...] = ()  # declared values
    pass_env: tuple[str, ...] = ()  # names taken from the caller's environment (`requires`)
    gpus: int = 0
    retries: int = 0
    accept_flaky: bool = False
    outs: tuple[str, ...] = ()
    own_modules: tuple[str, ...] = ()  # top-level modules that must resolve inside the sandbox
    hidden: tuple[str, ...] = ()  # folders of this machine that the command must not see (the checkouts)
    commit: str | None = None  # the commit that was tested; None for a dirty work tree
    tree: str = ""  # git tree id of the snapshot
    inputs_digest: str = ""


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
