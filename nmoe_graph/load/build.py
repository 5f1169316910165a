"""BUILD.toml: a package's targets, and at the root the workspace itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator

from ..errors import UsageError, did_you_mean
from ..label import Label, parse_label
from ..model import CONTROL, SANDBOX_MEANS, Action, Files, IssuePolicy, Python, TierRule, Toolchain, Trust, WorkspaceDecl
from ..safe import findings
from .cycles import cycles, shown_cycle
from .fields import Glob, Ids, LineText, Model, Ref, RelPath, StrictBool, StrictInt, StrictStr
from .text import Reading
from .tomltext import read_toml

__all__ = ["BuildFile", "env_table", "load_build", "read_labels"]

_NAME_CHARS = "ASCII letters, digits and _ . + - @"


def env_table(value: dict[str, str]) -> dict[str, str]:
    """Names and values of environment variables.

    Raises:
        ValueError: a name is no name, or would change how the sandbox works.
    """
    for name, text in value.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name, re.ASCII):
            raise ValueError(f"{name!r} is no variable name")
        if name in ("PATH", "HOME", "TMPDIR", "CUDA_VISIBLE_DEVICES", "LD_PRELOAD", "LD_LIBRARY_PATH", "BASH_ENV"):
            raise ValueError(f"{name} is set by the sandbox and cannot be declared")
        if any(not char.isprintable() for char in text):
            raise ValueError(f"the value of {name} holds a control character")
    return value


Env = Annotated[dict[StrictStr, StrictStr], AfterValidator(env_table)]
Labels = Annotated[list[LineText], Field(max_length=2000), Ids]


class _Workspace(Model):
    name: Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9_.\-]{1,80}$")]
    base: list[Ref] = []
    gates: RelPath | None = None
    contracts: Annotated[list[Glob], Ids] = []
    executors: dict[Annotated[StrictStr, Field(pattern=r"^sm_[0-9]{2,3}[a-z]?$")], Literal["github"]] = {}
    control: Annotated[list[Glob], Field(max_length=200), Ids] = list(CONTROL)

    @field_validator("base", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value


class _Files(Model):
    srcs: Annotated[list[Glob], Field(max_length=2000)]
    exclude: list[Glob] = []
    deps: Labels = []
    exact: StrictBool = False


class _Python(Model):
    module: Annotated[StrictStr, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$", max_length=300)]
    deps: Labels = []
    exact: StrictBool = False


def _image(value: str) -> str:
    if not re.fullmatch(r"(?:[a-z0-9][a-z0-9._\-/:]{0,200}@)?sha256:[0-9a-f]{64}", value, re.ASCII):
        raise ValueError("names no digest, and a tag can move || NAME@sha256: and 64 hex digits")
    return value


def _ranges(value: dict[str, str]) -> dict[str, str]:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    for name, text in value.items():
        if not re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9._\-]{0,98}[A-Za-z0-9])?", name, re.ASCII):
            raise ValueError(f"{name!r} is neither python nor the name of a distribution")
        try:
            if not list(SpecifierSet(text)):
                raise ValueError(f"the range of {name} is empty || such as >=3.11,<3.14")
        except InvalidSpecifier:
            raise ValueError(f"{text!r} is no version range || such as >=3.11,<3.14") from None
    return value


class _Toolchain(Model):
    lock: Annotated[list[RelPath], Field(max_length=50), Ids] = []
    image: Annotated[StrictStr, AfterValidator(_image)] = ""
    versions: Annotated[dict[StrictStr, StrictStr], Field(max_length=50), AfterValidator(_ranges)] = {}


class _Action(Model):
    cmd: Annotated[StrictStr, Field(min_length=1, max_length=10_000)]
    deps: Labels = []
    outs: Annotated[list[RelPath], Field(min_length=1), Ids]
    timeout_s: Annotated[StrictInt, Field(ge=1, le=86_400)] = 600
    env: Env = {}
    exact: StrictBool = False
    toolchains: Labels = []


class _Public(Model):
    allow: Annotated[list[Annotated[LineText, Field(min_length=4, max_length=200)]], Field(max_length=200), Ids] = []


Principals = Annotated[
    list[Annotated[StrictStr, Field(pattern=r"^!?[A-Za-z0-9_.@+\-*?]{1,200}$")]], Field(min_length=1, max_length=200), Ids
]


def _means(value: str) -> str:
    if value not in SANDBOX_MEANS:
        raise ValueError(f"is none of {', '.join(SANDBOX_MEANS)}")
    return value


class _TierA(Model):
    principals: Principals = ["*"]
    namespaces: Annotated[list[Literal["pr", "trusted"]], Field(min_length=1)] = ["pr", "trusted"]
    sandbox: Annotated[StrictStr, AfterValidator(_means)] = "audit"
    platform: dict[Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9_.\-]{1,100}$")], LineText] = {}
    local: StrictBool = True


class _TierB(_TierA):
    principals: Principals
    namespaces: Annotated[list[Literal["pr", "trusted"]], Field(min_length=1)] = ["trusted"]
    local: StrictBool = False


class _Trust(Model):
    signers: RelPath
    tier_a: _TierA = _TierA()
    tier_b: _TierB | None = None
    revoked: dict[Annotated[StrictStr, Field(pattern=r"^SHA256:[A-Za-z0-9+/]{43}$")], LineText] = {}


class _Issues(Model):
    associations: Annotated[
        list[Literal["OWNER", "MEMBER", "COLLABORATOR", "CONTRIBUTOR", "FIRST_TIME_CONTRIBUTOR", "FIRST_TIMER", "NONE"]],
        Field(max_length=10),
        Ids,
    ] = ["OWNER", "MEMBER", "COLLABORATOR"]
    authors: Annotated[
        list[Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})(?:\[bot\])?$")]], Field(max_length=200), Ids
    ] = []
    label: Annotated[StrictStr, Field(pattern=r"^[^\x00-\x1f,]{0,50}$")] = ""


class _Build(Model):
    workspace: _Workspace | None = None
    files: dict[str, _Files] = {}
    python: dict[str, _Python] = {}
    action: dict[str, _Action] = {}
    toolchain: dict[str, _Toolchain] = {}
    invariants: dict[str, LineText] = {}
    owners: dict[str, LineText | list[LineText]] = {}
    public: _Public = _Public()
    trust: _Trust | None = None
    issues: _Issues | None = None


@dataclass(frozen=True)
class BuildFile:
    """One BUILD.toml."""

    workspace: WorkspaceDecl | None
    targets: tuple[Files | Python | Action | Toolchain, ...]
    extra: Mapping[str, Any] = field(default_factory=dict)
    normal: Mapping[str, Any] = field(default_factory=dict)  # the declaration as JSON-ready data
    trust: Trust | None = None
    allow: tuple[str, ...] = ()  # words that may be public here
    issues: IssuePolicy = field(default_factory=IssuePolicy)


def read_labels(reading: Reading, texts: list[str], package: str, at: tuple[str | int, ...]) -> tuple[Label, ...]:
    """Labels of a `deps` list; a malformed one is a fault."""
    found = []
    for index, text in enumerate(texts):
        try:
            found.append(parse_label(text, package))
        except UsageError as error:
            reading.fault((*at, index), error.faults[0].what, error.faults[0].hint)
    return tuple(dict.fromkeys(found))


def load_build(data: bytes, file: str, package: str) -> BuildFile:
    """Read a BUILD.toml of `package` ("" for the root).

    Raises:
        DeclarationError: with every fault of the file.
    """
    reading = read_toml(data, file)
    made = reading.validate(_Build, reading.data)
    allow = tuple(made.public.allow) if made is not None else ()
    reading.check_public(comments=False, allow=allow)
    reading.raise_faults()
    build: _Build = made
    for index, word in enumerate(allow):
        if any(found.kind == "credential" for found in findings(word)):
            reading.fault(("public", "allow", index), "a credential cannot be allowed", "take it out, and revoke it")
    names: dict[str, tuple[str, str]] = {}
    targets: list[Files | Python | Action | Toolchain] = []
    tables = (("files", build.files), ("python", build.python), ("action", build.action), ("toolchain", build.toolchain))
    for kind, table in tables:
        for name, one in table.items():
            at = (kind, name)
            place = reading.place(at, key=True)
            try:
                label = parse_label(f":{name}", package)
            except UsageError:
                reading.fault(at, f"invalid target name {name!r}", f"a name is {_NAME_CHARS}", key=True)
                continue
            twin = names.setdefault(name.casefold(), at)
            if twin != at:
                how = "is declared twice" if twin[1] == name else f"and {twin[1]} differ by case only"
                reading.fault(at, f"{name} {how}", f"the first is [{twin[0]}.{twin[1]}]", key=True)
            if isinstance(one, _Toolchain):
                if not (one.lock or one.image or one.versions):
                    reading.fault(at, f"toolchain {name} names nothing", "lock, image or versions", key=True)
                targets.append(Toolchain(label, tuple(one.lock), one.image, tuple(sorted(one.versions.items())), place))
                continue
            deps = read_labels(reading, one.deps, package, (*at, "deps"))
            if isinstance(one, _Files):
                targets.append(Files(label, tuple(one.srcs), tuple(one.exclude), deps, one.exact, place))
            elif isinstance(one, _Python):
                targets.append(Python(label, one.module, deps, one.exact, place))
            else:
                if bad := [char for char in one.cmd if not char.isprintable() and char not in "\n\t"] or (
                    "${{" in one.cmd and ["${{"]
                ):
                    reading.fault((*at, "cmd"), f"cmd holds {bad[0]!r}, a control character or an Actions expression")
                env = tuple(sorted(one.env.items()))
                tools = read_labels(reading, one.toolchains, package, (*at, "toolchains"))
                targets.append(Action(label, one.cmd, deps, tuple(one.outs), one.timeout_s, env, one.exact, tools, place))
    _closed(reading, targets, package)
    if build.workspace is not None and package:
        reading.fault(("workspace",), "only the root BUILD.toml has a [workspace]", key=True)
    if package and (build.owners or build.invariants or allow):
        extra = "owners" if build.owners else "invariants" if build.invariants else "public"
        reading.fault((extra,), f"only the root BUILD.toml has [{extra}]", key=True)
    for name in ("trust", "issues"):
        if package and getattr(build, name) is not None:
            reading.fault((name,), f"only the root BUILD.toml has [{name}]", key=True)
    reading.raise_faults()
    workspace = None
    if build.workspace is not None:
        one_ws = build.workspace
        executors = tuple(sorted(one_ws.executors.items()))
        place = reading.place(("workspace",), key=True)
        contracts, control = tuple(one_ws.contracts), tuple(one_ws.control)
        places = tuple((key, reading.place(("workspace", key))) for key in ("gates", "contracts"))
        workspace = WorkspaceDecl(one_ws.name, tuple(one_ws.base), one_ws.gates, contracts, executors, place, control, places)
    normal = build.model_dump(exclude_unset=True)
    issues = build.issues or _Issues()
    policy = IssuePolicy(tuple(issues.associations), tuple(issues.authors), issues.label)
    extra_tables = {"owners": build.owners, "invariants": build.invariants}
    return BuildFile(workspace, tuple(targets), extra_tables, normal, _trust(build.trust), allow, policy)


def _trust(said: _Trust | None) -> Trust | None:
    if said is None:
        return None

    def rule(tier: _TierA) -> TierRule:
        platform = tuple(sorted(tier.platform.items()))
        return TierRule(tuple(tier.principals), tuple(tier.namespaces), tier.sandbox, platform, tier.local)

    tier_b = rule(said.tier_b) if said.tier_b is not None else TierRule()
    return Trust(said.signers, rule(said.tier_a), tier_b, tuple(sorted(said.revoked.items())))


def _closed(reading: Reading, declared: list[Files | Python | Action | Toolchain], package: str) -> None:
    """Labels of this package must exist in it; cycles inside the file are found here, so that one file can be checked alone."""
    names = {target.label for target in declared}
    targets = [target for target in declared if not isinstance(target, Toolchain)]
    known = {target.label: target for target in targets}
    for target in targets:
        for index, dep in enumerate(target.deps):
            if dep.package == package and dep not in names:
                hint = did_you_mean(dep.name, [one.name for one in names])
                hint = hint.replace("did you mean ", "did you mean :")
                at = (target.kind, target.label.name, "deps", index)
                reading.fault(at, f"{target.label} needs :{dep.name}, and there is no such target", hint)
    edges = {label: tuple(dep for dep in target.deps if dep in known) for label, target in known.items()}
    for cycle in cycles(edges):
        where = (known[cycle[0]].kind, cycle[0].name, "deps")
        shown = shown_cycle([":" + one.name for one in cycle])
        reading.fault(where, f"targets need each other in a cycle: {shown}", "take one edge out")
