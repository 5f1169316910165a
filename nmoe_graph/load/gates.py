"""gates.toml: the gates and the bundles, in the form of the workflow document."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from ..errors import Fault, did_you_mean
from ..label import GATES, Label
from ..metrics import LogPattern
from ..model import PERF_ROUNDS, Bundle, Gate
from .build import Env, Labels, read_labels
from .cycles import cycles, shown_cycle
from .fields import Glob, Ids, LineText, Model, RelPath, StrictBool, StrictInt, StrictStr, unique
from .text import Reading
from .tomltext import read_toml

__all__ = ["GatesFile", "load_gates"]

_GATE_ID = re.compile(r"[A-Za-z0-9_.+\-@]+:[A-Za-z0-9_.+\-@]+\Z", re.ASCII)
_BUNDLE = re.compile(r"[A-Za-z0-9_.+\-@]+\Z", re.ASCII)
_DOTS = {".", "..", "..."}  # no folder of a label can be called so
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z", re.ASCII)
_CREDENTIAL = re.compile(r"(?i)(?:^|_)(?:token|secret|password|passwd|credentials?|api_?key|access_?key|private_?key|pat)(?:_|$)")
_ARCH = {"b200": "sm_100a", "sm90": "sm_90a"}
_MOST_TIMEOUT = 7 * 86_400

Tps = Annotated[StrictInt, Field(ge=0, le=_MOST_TIMEOUT)]


Metric = Annotated[StrictStr, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.]*$", max_length=100)]
_METRICS_FILE = re.compile(
    r"(?:\$\{(?P<variable>[A-Za-z_][A-Za-z0-9_]*)\}/)?(?P<path>[A-Za-z0-9_.+@\-][A-Za-z0-9_.+@/\-]*)\Z", re.ASCII
)


def _metrics_file(value: str) -> str:
    found = _METRICS_FILE.match(value)
    if found is None or any(part in ("", ".", "..") for part in found["path"].split("/")):
        raise ValueError(f"{value!r} is no path below the run's folder or a variable || metrics.jsonl, or ${{NAME}}/metrics.jsonl")
    return value


def _even(value: int) -> int:
    if value % 2:
        raise ValueError(f"{value} is odd, so one of the two would come first more often || an even number, or 0 for never")
    return value


def _pattern(value: str) -> str:
    LogPattern.parse(value)
    return value


def _one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class _Expects(Model):
    """What a run must leave, beyond an exit status of 0."""

    metrics: Annotated[LineText, AfterValidator(_metrics_file)] | None = None
    log: Annotated[
        list[Annotated[LineText, AfterValidator(_pattern)]], BeforeValidator(_one_or_many), Field(max_length=50), Ids
    ] = []
    samples: dict[Metric, Annotated[StrictInt, Field(ge=1, le=1_000_000)]] = {}
    finite: Annotated[list[Metric], BeforeValidator(_one_or_many), Field(max_length=50), Ids] = []
    warmup: Annotated[StrictInt, Field(ge=0, le=1000)] = 0

    def rows(self) -> tuple[tuple[str, object], ...]:
        """Flat, in one order whatever the order of the file."""
        found: list[tuple[str, object]] = [("metrics", self.metrics)] if self.metrics is not None else []
        found += [(f"log.{text}", True) for text in self.log]
        found += [(f"samples.{name}", count) for name, count in self.samples.items()]
        found += [(f"finite.{name}", True) for name in self.finite]
        return tuple(sorted([*found, *([("warmup", self.warmup)] if self.warmup else [])]))


class _Meta(Model):
    version: Literal["1"] = "1"
    target: Literal["b200", "sm90", "cpu", ""] = ""
    notes: StrictStr = ""


class _Required(Model):
    name: LineText
    key: StrictBool = False
    write: StrictBool = False


def _unlike(values: list[str | _Required]) -> list[str | _Required]:
    unique([value if isinstance(value, str) else value.name for value in values])
    return values


class _Gate(Model):
    tier: Literal["a", "b"]
    kind: Literal["command", "perf"] = "command"
    cmd: Annotated[StrictStr, Field(max_length=10_000)] = ""
    timeout_s: Tps
    gpus: Annotated[StrictInt, Field(ge=0, le=64)] = 0
    requires: Annotated[list[Annotated[LineText | _Required, Field(union_mode="left_to_right")]], AfterValidator(_unlike)] = []
    requires_files: Annotated[list[RelPath], Ids] = []
    compare_gate: LineText | None = None
    metric: Metric | None = None
    better: Literal["higher", "lower"] = "higher"
    ratchet: StrictBool = False
    rounds: Annotated[StrictInt, Field(ge=0, le=20), AfterValidator(_even)] = PERF_ROUNDS
    deps: Labels = []
    toolchains: Labels = []
    inputs: list[Glob] | None = None
    infer: StrictBool = True
    env: Env = {}
    exact: StrictBool = False
    retries: Annotated[StrictInt, Field(ge=0, le=10)] = 0
    salt: Annotated[StrictStr, Field(max_length=200)] = ""
    accept_flaky: StrictBool = False
    expects: _Expects = _Expects()
    notes: StrictStr = ""


class _Gates(Model):
    meta: _Meta = _Meta()
    gates: dict[str, _Gate] = {}
    bundles: dict[str, list[LineText]] = {}


@dataclass(frozen=True)
class GatesFile:
    """One gates.toml.  `target` is [meta] target."""

    target: str
    gates: tuple[Gate, ...]
    bundles: tuple[Bundle, ...]
    warnings: tuple[Fault, ...] = ()
    normal: Mapping[str, Any] = field(default_factory=dict)

    def by_id(self) -> Mapping[str, Gate]:
        return self._by_id

    @cached_property
    def _by_id(self) -> dict[str, Gate]:  # each of many contracts asks
        return {gate.gate_id: gate for gate in self.gates}


def load_gates(data: bytes, file: str, allow: Sequence[str] = ()) -> GatesFile:
    """Read a gates.toml.

    Raises:
        DeclarationError: with every fault of the file.
    """
    reading = read_toml(data, file)
    reading.check_public(comments=False, allow=allow)
    made = reading.validate(_Gates, reading.data)
    table = reading.data.get("gates")
    _names(reading, table if isinstance(table, dict) else {})
    reading.raise_faults()
    declared: _Gates = made
    gates = {name: _gate(reading, name, one, declared.meta.target) for name, one in declared.gates.items()}
    for name, gate in gates.items():
        if gate.compare_gate is not None:
            _compared(reading, name, gate, gates)
    bundles = _bundles(reading, declared.bundles, gates)
    reading.raise_faults()
    normal = declared.model_dump(exclude_unset=True)
    ordered = sorted(gates.values(), key=lambda gate: gate.label)
    return GatesFile(declared.meta.target, tuple(ordered), bundles, (), normal)


def _names(reading: Reading, table: Mapping[str, Any]) -> None:
    folded: dict[str, str] = {}
    for name in table:
        at = ("gates", name)
        if not _GATE_ID.match(name) or _DOTS & set(name.split(":")):
            why = "it has no namespace" if ":" not in name else "a space or another character is not allowed"
            reading.fault(at, f"invalid gate id {name!r}: {why}", "ids are namespace:name in ASCII, such as cpu:import", key=True)
        first = folded.setdefault(name.casefold(), name)
        if first != name:
            reading.fault(at, f"{name} and {first} differ by case only", "rename one", key=True)


def _gate(reading: Reading, name: str, one: _Gate, target: str) -> Gate:
    at = ("gates", name)
    perf = one.kind == "perf"
    if perf:
        if one.cmd:
            reading.fault((*at, "cmd"), f"{name}: a perf gate runs nothing, so cmd has no meaning", "its compare_gate runs")
        for key in ("compare_gate", "metric"):
            if getattr(one, key) is None:
                reading.fault(at, f"{name}: a perf gate needs {key}")
    else:
        if not one.cmd.strip():
            reading.fault(at, f"{name}: cmd is missing")
        if one.timeout_s < 1:
            reading.fault((*at, "timeout_s"), f"{name}: timeout_s must be at least 1 second")
        for key in ("compare_gate", "metric"):
            if key == "compare_gate" and getattr(one, key) is not None:
                reading.fault((*at, key), f"{name}: {key} belongs to gates of kind perf")
        if (*at, "rounds") in reading.keys:
            reading.fault((*at, "rounds"), f"{name}: rounds belongs to gates of kind perf")
    if bad := next((char for char in one.cmd if not char.isprintable() and char not in "\n\t"), ""):
        reading.fault((*at, "cmd"), f"{name}: cmd holds the control character U+{ord(bad):04X}, an escape", "delete it")
    if "${{" in one.cmd:
        reading.fault((*at, "cmd"), f"{name}: cmd holds an Actions expression ${{{{", "pass values through the environment")
    asked = [_Required(name=each) if isinstance(each, str) else each for each in one.requires]
    for variable in (each.name for each in asked):
        if not _VARIABLE.match(variable):
            reading.fault(
                (*at, "requires"),
                f"{name}: requires names {variable!r}, which is no variable name",
                "a name alone, such as NMOE_DATA_PATH",
            )
        elif _CREDENTIAL.search(variable):
            reading.fault(
                (*at, "requires"), f"{name}: requires asks for a credential, {variable}", "code under test must never see a secret"
            )
    _expects(reading, name, one)
    if not one.infer and one.inputs is None and not one.deps and not one.requires_files and not perf:
        reading.fault((*at, "infer"), f"{name}: infer = false, and nothing is declared", "declare inputs or deps")
    arch = _ARCH.get(target, "") if not perf and (one.tier == "b" or one.gpus > 0) else ""
    places = tuple(
        (key, reading.place((*at, key)))
        for key in ("cmd", "deps", "toolchains", "requires_files", "compare_gate", "inputs")
        if (*at, key) in reading.keys
    )
    return Gate(
        label=Label.of_gate(name),
        tier=one.tier,
        gate_kind=one.kind,
        cmd=one.cmd,
        timeout_s=one.timeout_s,
        gpus=one.gpus,
        requires=tuple(each.name for each in asked),
        keyed=tuple(each.name for each in asked if each.key),
        writable=tuple(each.name for each in asked if each.write),
        requires_files=tuple(one.requires_files),
        compare_gate=one.compare_gate,
        metric=one.metric,
        better=one.better,
        ratchet=one.ratchet,
        rounds=one.rounds,
        deps=read_labels(reading, one.deps, GATES, (*at, "deps")),
        toolchains=read_labels(reading, one.toolchains, GATES, (*at, "toolchains")),
        inputs=None if one.inputs is None else tuple(one.inputs),
        infer=one.infer,
        env=tuple(sorted(one.env.items())),
        exact=one.exact,
        retries=one.retries,
        salt=one.salt,
        accept_flaky=one.accept_flaky,
        expects=one.expects.rows(),
        notes=one.notes,
        arch=arch,
        at=reading.place(at, key=True),
        places=places,
    )


def _expects(reading: Reading, name: str, one: _Gate) -> None:
    """Evidence must have a source, and somebody who runs."""
    at, expects = ("gates", name, "expects"), one.expects
    if not expects.rows():
        return
    if one.kind == "perf":
        reading.fault(at, f"{name}: a perf gate runs nothing, so it leaves no evidence", "declare it at its compare_gate")
    if expects.metrics is None and not expects.log:
        reading.fault(at, f"{name}: expects names no source of samples", 'metrics = "metrics.jsonl", or log = "words {metric}"')
    if expects.metrics is not None and expects.log:
        reading.fault(at, f"{name}: expects names two sources of samples", "metrics or log: keep one")
    if expects.log:
        known = [LogPattern.parse(text).metric for text in expects.log]
        for metric in sorted({*expects.samples, *expects.finite} - {*known}):
            reading.fault(at, f"{name}: no pattern in log holds {{{metric}}}", did_you_mean(metric, known))
        for metric in sorted({metric for metric in known if known.count(metric) > 1}):
            reading.fault(at, f"{name}: two patterns in log hold {{{metric}}}", "keep one")
    variable = _METRICS_FILE.match(expects.metrics or "")
    folders = {each.name for each in one.requires if isinstance(each, _Required) and each.write}
    if variable and variable["variable"] and variable["variable"] not in folders:
        what = f"{name}: {variable['variable']} is no folder that the run may write"
        reading.fault(at, what, f'requires = [{{ name = "{variable["variable"]}", write = true }}]')


def _compared(reading: Reading, name: str, gate: Gate, gates: Mapping[str, Gate]) -> None:
    at = ("gates", name, "compare_gate")
    other = gates.get(gate.compare_gate or "")
    if other is None:
        runs = [one for one in gates if gates[one].gate_kind == "command"]
        reading.fault(at, f"{name}: there is no gate {gate.compare_gate} to compare", did_you_mean(gate.compare_gate or "", runs))
    elif other.gate_kind != "command":
        reading.fault(at, f"{name}: {gate.compare_gate} runs nothing that could be compared")


def _bundles(reading: Reading, declared: Mapping[str, list[str]], gates: Mapping[str, Gate]) -> tuple[Bundle, ...]:
    """Bundles, other bundles in them expanded; a gate counts once, where it first stands."""
    inner: dict[str, list[str]] = {}
    folded: dict[str, str] = {}
    for name, members in declared.items():
        at = ("bundles", name)
        if not _BUNDLE.match(name) or name in _DOTS:
            reading.fault(at, f"invalid bundle name {name!r}", "a name is ASCII letters, digits and _ . + - @", key=True)
        first = folded.setdefault(name.casefold(), name)
        if first != name:
            reading.fault(at, f"{name} and {first} differ by case only", "rename one", key=True)
        if not members:
            reading.fault(at, f"bundle {name} is empty", "an empty bundle would prove nothing and look green")
        seen: set[str] = set()
        for index, member in enumerate(members):
            if member in seen:
                reading.fault((*at, index), f"bundle {name} names {member} twice", "keep one")
            seen.add(member)
            if member not in gates and member not in declared:
                hint = did_you_mean(member, [*gates, *declared])
                reading.fault((*at, index), f"bundle {name} names {member}, which is unknown: no gate and no bundle", hint)
        inner[name] = [member for member in members if member in declared and member not in gates]
    knots = cycles(inner)
    for knot in knots:
        reading.fault(("bundles", knot[0]), f"bundles hold each other in a cycle: {shown_cycle(knot)}", "take one out")
    if knots:
        return ()
    done: dict[str, list[str]] = {}

    def expand(name: str) -> list[str]:
        if name not in done:
            found: list[str] = []
            for member in declared[name]:
                found += [member] if member in gates else expand(member) if member in declared else []
            done[name] = list(dict.fromkeys(found))
        return done[name]

    bundles = []
    for name in sorted(declared):
        members = expand(name)
        for member in members:
            gate = gates[member]
            if gate.gate_kind == "perf" and gate.compare_gate in gates and gate.compare_gate not in members:
                reading.fault(
                    ("bundles", name),
                    f"bundle {name} holds {member} without {gate.compare_gate}, the gate that it compares",
                    f"add {gate.compare_gate}",
                )
        bundles.append(
            Bundle(
                Label(GATES, name), tuple(Label.of_gate(member) for member in members), reading.place(("bundles", name), key=True)
            )
        )
    return tuple(bundles)
