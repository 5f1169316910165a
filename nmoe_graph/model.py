"""Frozen records that the rooms hand to each other.  No behaviour beyond what a record says of itself.

Declarations (what someone wrote): Files, Python, Action, Gate, Bundle, Contract, WorkspaceDecl, Trust, IssuePolicy.
Work (what is to be run):          Job, InputFile.
Evidence (what came of it):        Result, Output, Verdict, which have a file of their own: most starts need no more.

They are plain dataclasses, because a start of the program must not pay for a validation library; `load` checks text with
pydantic before any of these is made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .errors import Location
from .label import Label
from .result import Output, Result, Verdict

__all__ = [
    "PERF_ROUNDS",
    "SANDBOX_MEANS",
    "Action",
    "Bundle",
    "Contract",
    "Files",
    "Gate",
    "InputFile",
    "IssuePolicy",
    "Job",
    "Merge",
    "Output",
    "PerfBudget",
    "Python",
    "Result",
    "Target",
    "TierRule",
    "Toolchain",
    "Trust",
    "Verdict",
    "WorkspaceDecl",
]


#: The means of a sandbox, the weakest first.
SANDBOX_MEANS = ("folder", "audit", "landlock", "namespaces")

#: How often baseline and change run in one job where a perf gate does not say it.  Even, so that each comes first equally often.
PERF_ROUNDS = 4


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
class Toolchain:
    """`[toolchain.NAME]`: what a command runs with and nobody keeps in the tree, named so that equal names are equal tools."""

    label: Label
    lock: tuple[str, ...] = ()  # lock files, relative to the workspace root; their bytes count
    image: str = ""  # of the container, by digest
    versions: tuple[tuple[str, str], ...] = ()  # "python" or a distribution -> version range, as written
    at: Location | None = field(default=None, compare=False)

    kind = "toolchain"


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
    toolchains: tuple[Label, ...] = ()
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
    keyed: tuple[str, ...] = ()  # those of them whose values count
    writable: tuple[str, ...] = ()  # those of them that name a folder which the gate may write
    requires_files: tuple[str, ...] = ()
    compare_gate: str | None = None  # a gate id
    metric: str | None = None
    better: str = "higher"
    ratchet: bool = False  # compare with the best that the baseline's history ever had
    rounds: int = PERF_ROUNDS  # of baseline and change, interleaved in one job, where recorded samples do not decide; 0: never
    deps: tuple[Label, ...] = ()
    toolchains: tuple[Label, ...] = ()
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
    source: str = field(default="", compare=False)  # SHA-256 of the text that it was read from
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


Target = Files | Python | Toolchain | Action | Gate | Bundle | Contract | Merge


#: What runs gates, unless `[workspace] control` says otherwise: images, the cluster, and what an engine is installed with.
CONTROL = ("docker/**", "k8s/**", "pyproject.toml")


@dataclass(frozen=True, slots=True)
class WorkspaceDecl:
    """`[workspace]` of the root BUILD.toml."""

    name: str
    base: tuple[str, ...] = ()
    gates: str | None = None
    contracts: tuple[str, ...] = ()
    executors: tuple[tuple[str, str], ...] = ()  # platform -> where gates run that need it and do not find it here
    at: Location | None = field(default=None, compare=False)
    control: tuple[str, ...] = CONTROL  # globs of files with which, and on what, gates run
    places: tuple[tuple[str, Location], ...] = field(default=(), compare=False)  # key -> where it stands


@dataclass(frozen=True, slots=True)
class TierRule:
    """`[trust.tier_a]` or `[trust.tier_b]`: whose results count for a tier.  Nobody's, unless somebody is named."""

    principals: tuple[str, ...] = ()  # patterns with * and ? over the principals of the file of signers
    namespaces: tuple[str, ...] = ("trusted",)  # of results: pr, trusted
    sandbox: str = "audit"  # the weakest means that counts: folder, audit, namespaces
    platform: tuple[tuple[str, str], ...] = ()  # what the fingerprint must say, as patterns
    local: bool = False  # whether an unsigned result that was made on this machine counts, too

    def accepts_means(self, means: str) -> bool:
        """Whether a sandbox of these means was strong enough; of means that are not known, none was."""
        order = SANDBOX_MEANS
        return means in order and order.index(means) >= order.index(self.sandbox)


@dataclass(frozen=True, slots=True)
class Trust:
    """`[trust]` of the root BUILD.toml: who may prove what.  Counts only as the base commit has it."""

    signers: str  # path of the allowed_signers file
    tier_a: TierRule = TierRule(("*",), ("pr", "trusted"), local=True)
    tier_b: TierRule = TierRule()
    revoked: tuple[tuple[str, str], ...] = ()  # fingerprint, why


@dataclass(frozen=True, slots=True)
class IssuePolicy:
    """`[issues]` of the root BUILD.toml: whose issues are contracts.  Counts only as the base commit has it."""

    associations: tuple[str, ...] = ("OWNER", "MEMBER", "COLLABORATOR")  # what GitHub says that the author is
    authors: tuple[str, ...] = ()  # logins, whatever they are
    label: str = ""  # only issues with this label are looked at; "" looks at all


@dataclass(frozen=True, slots=True)
class InputFile:
    """One file of a sandbox.  `mode` is git's: 0o100644, 0o100755, 0o120000 (a link; the bytes are its target)."""

    path: str
    mode: int
    read: Callable[[], bytes]


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
    writable: tuple[str, ...] = ()  # folders of this machine that it may write beside its own
    names: Callable[[], bytes] | None = None  # every path of the snapshot, a line each: to name what was missed
    commit: str | None = None  # that was tested; None for a dirty work tree and for a merge to be
    tree: str = ""  # git tree id of the snapshot
    inputs_digest: str = ""
    expects: tuple[tuple[str, object], ...] = ()  # evidence that the run must leave
