"""BUILD.toml: a package's targets, and at the root the workspace itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import AfterValidator, Field, field_validator

from ..errors import UsageError, did_you_mean
from ..label import Label, parse_label
from ..model import Action, Files, Python, WorkspaceDecl
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
    import re

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
    executors: dict[str, Any] = {}

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


class _Action(Model):
    cmd: Annotated[StrictStr, Field(min_length=1, max_length=10_000)]
    deps: Labels = []
    outs: Annotated[list[RelPath], Field(min_length=1), Ids]
    timeout_s: Annotated[StrictInt, Field(ge=1, le=86_400)] = 600
    env: Env = {}
    exact: StrictBool = False


class _Build(Model):
    workspace: _Workspace | None = None
    files: dict[str, _Files] = {}
    python: dict[str, _Python] = {}
    action: dict[str, _Action] = {}
    invariants: dict[str, LineText] = {}
    owners: dict[str, LineText | list[LineText]] = {}


@dataclass(frozen=True)
class BuildFile:
    """One BUILD.toml."""

    workspace: WorkspaceDecl | None
    targets: tuple[Files | Python | Action, ...]
    extra: Mapping[str, Any] = field(default_factory=dict)
    normal: Mapping[str, Any] = field(default_factory=dict)  # the declaration as JSON-ready data


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
    reading.check_public(comments=False)
    made = reading.validate(_Build, reading.data)
    reading.raise_faults()
    build: _Build = made
    names: dict[str, tuple[str, str]] = {}
    targets: list[Files | Python | Action] = []
    for kind, table in (("files", build.files), ("python", build.python), ("action", build.action)):
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
                targets.append(
                    Action(label, one.cmd, deps, tuple(one.outs), one.timeout_s, tuple(sorted(one.env.items())), one.exact, place)
                )
    _closed(reading, targets, package)
    if build.workspace is not None and package:
        reading.fault(("workspace",), "only the root BUILD.toml has a [workspace]", key=True)
    if package and (build.owners or build.invariants):
        extra = "owners" if build.owners else "invariants"
        reading.fault((extra,), f"only the root BUILD.toml has [{extra}]", key=True)
    reading.raise_faults()
    workspace = None
    if build.workspace is not None:
        one_ws = build.workspace
        workspace = WorkspaceDecl(
            one_ws.name, tuple(one_ws.base), one_ws.gates, tuple(one_ws.contracts), reading.place(("workspace",), key=True)
        )
    normal = build.model_dump(exclude_unset=True)
    return BuildFile(workspace, tuple(targets), {"owners": build.owners, "invariants": build.invariants}, normal)


def _closed(reading: Reading, targets: list[Files | Python | Action], package: str) -> None:
    """Labels of this package must exist in it; cycles inside the file are found here, so that one file can be checked alone."""
    known = {target.label: target for target in targets}
    for target in targets:
        for index, dep in enumerate(target.deps):
            if dep.package == package and dep not in known:
                hint = did_you_mean(dep.name, [one.name for one in known])
                hint = hint.replace("did you mean ", "did you mean :")
                at = (target.kind, target.label.name, "deps", index)
                reading.fault(at, f"{target.label} needs :{dep.name}, and there is no such target", hint)
    edges = {label: tuple(dep for dep in target.deps if dep in known) for label, target in known.items()}
    for cycle in cycles(edges):
        where = (known[cycle[0]].kind, cycle[0].name, "deps")
        shown = shown_cycle([":" + one.name for one in cycle])
        reading.fault(where, f"targets need each other in a cycle: {shown}", "take one edge out")
