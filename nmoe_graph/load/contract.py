"""Contracts: the work item's YAML, in the form of the workflow document."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator

from ..errors import Location, did_you_mean
from ..label import CONTRACTS, Label
from ..model import Contract, PerfBudget
from .fields import Flag, Ids, IssueId, LineText, Model, Number, Ref, RelPath, ScopeGlob, Slug
from .gates import GatesFile
from .text import Path, Reading
from .yamltext import read_yaml

__all__ = ["contract_data", "load_contract", "read_contract"]


# Defaults are made, not copied: a deep copy a field is most of what reading many contracts would cost.


class _Nmoe(Model):
    issue: IssueId
    slug: Slug
    kind: Literal["feature", "bugfix", "perf", "refactor", "docs"]
    risk: Literal["hot", "warm", "cold"]
    complexity: Literal["S", "M", "L"]
    title: LineText = ""
    depends_on: Annotated[
        Annotated[Literal["all"], Tag("tagged-all")] | Annotated[list[IssueId], Field(max_length=500), Ids, Tag("tagged-list")],
        Discriminator(lambda value: "tagged-all" if isinstance(value, str) else "tagged-list"),
    ] = Field(default_factory=list)
    merge_hotspots: Annotated[list[RelPath], Field(max_length=200), Ids] = Field(default_factory=list)

    @field_validator("depends_on", mode="before")
    @classmethod
    def _list_or_all(cls, value: Any) -> Any:
        if isinstance(value, str) and value != "all":
            raise ValueError("must be a list of issue ids, or the word all")
        return value


class _Scope(Model):
    allow: Annotated[list[ScopeGlob], Field(max_length=500)] = Field(default_factory=list)
    deny: Annotated[list[ScopeGlob], Field(max_length=500)] = Field(default_factory=list)


class _Knobs(Model):
    add: Annotated[list[LineText], Field(max_length=200)] = Field(default_factory=list)
    change: Annotated[list[LineText], Field(max_length=200)] = Field(default_factory=list)


class _Terms(Model):
    invariants: Annotated[list[LineText], Field(max_length=200)] = Field(default_factory=list)
    knobs: _Knobs = Field(default_factory=_Knobs)


class _Perf(Model):
    gate: LineText
    metric: LineText
    baseline_ref: Ref
    budget_pct: Number


class _Gates(Model):
    required: Annotated[list[LineText], Field(min_length=1, max_length=200), Ids]
    perf: _Perf | None = None


class _Merge(Model):
    strategy: Literal["squash", "merge"] = "squash"
    delete_branch: Flag = True


class _Contract(Model):
    nmoe: _Nmoe
    scope: _Scope
    contract: _Terms = Field(default_factory=_Terms)
    gates: _Gates
    merge: _Merge = Field(default_factory=_Merge)


def load_contract(data: bytes, file: str, gates: GatesFile | None, allow: Sequence[str] = ()) -> Contract:
    """Read a contract file; gate ids are checked where `gates` is given.

    Raises:
        DeclarationError: with every fault of the file.
    """
    return read_contract(read_yaml(data, file), gates, allow)


def contract_data(reading: Reading, gates: GatesFile | None, allow: Sequence[str] = ()) -> dict[str, Any]:
    """The declaration as JSON-ready data with the file's own keys.

    Raises:
        DeclarationError: with every fault of the file.
    """
    return _read(reading, gates, allow)[1].model_dump(exclude_unset=True)


def read_contract(reading: Reading, gates: GatesFile | None, allow: Sequence[str] = ()) -> Contract:
    """A contract from a reading.

    Raises:
        DeclarationError: with every fault.
    """
    return _read(reading, gates, allow)[0]


def _read(reading: Reading, gates: GatesFile | None, allow: Sequence[str] = ()) -> tuple[Contract, _Contract]:
    reading.check_public(comments=True, allow=allow)
    if not isinstance(reading.data, dict):
        reading.fault((), "a contract is a mapping with the keys nmoe, scope and gates")
        reading.raise_faults()
    made = reading.validate(_Contract, reading.data)
    reading.raise_faults()
    said: _Contract = made
    nmoe = said.nmoe
    depends = () if nmoe.depends_on == "all" else tuple(nmoe.depends_on)
    if nmoe.issue in depends:
        reading.fault(("nmoe", "depends_on"), f"contract {nmoe.issue} depends on itself, a cycle of one", "take it out")
    for path in said.scope.allow:
        if path in said.scope.deny:
            at = ("scope", "deny", said.scope.deny.index(path))
            reading.fault(at, f"{path} is both allowed and denied", "keep it in allow or in deny")
    if gates is not None:
        known = gates.by_id()
        named: list[tuple[Path, str]] = [(("gates", "required", index), gate) for index, gate in enumerate(said.gates.required)]
        if said.gates.perf:
            named.append((("gates", "perf", "gate"), said.gates.perf.gate))
        for place, gate in named:
            if gate not in known:
                reading.fault(place, f"unknown gate {gate}", did_you_mean(gate, known) or "gates are defined in gates.toml")
        perf = said.gates.perf
        if perf and perf.gate in known:
            if known[perf.gate].gate_kind != "perf":
                reading.fault(
                    ("gates", "perf", "gate"),
                    f"{perf.gate} is no perf gate",
                    did_you_mean("perf:", [one for one in known if known[one].gate_kind == "perf"]),
                )
            elif perf.metric != known[perf.gate].metric:
                reading.fault(("gates", "perf", "metric"), f"{perf.gate} measures {known[perf.gate].metric}, not {perf.metric}")
    reading.raise_faults()
    budget = said.gates.perf
    keys = ("nmoe", "nmoe.depends_on", "scope", "gates", "gates.required", "gates.perf")
    places: list[tuple[str, Location]] = [
        (key, reading.place(tuple(key.split(".")))) for key in keys if tuple(key.split(".")) in reading.keys
    ]
    contract = Contract(
        label=Label(CONTRACTS, nmoe.issue),
        issue=nmoe.issue,
        slug=nmoe.slug,
        work=nmoe.kind,
        risk=nmoe.risk,
        complexity=nmoe.complexity,
        title=nmoe.title,
        depends_on=depends,
        depends_on_all=nmoe.depends_on == "all",
        merge_hotspots=tuple(nmoe.merge_hotspots),
        allow=tuple(said.scope.allow),
        deny=tuple(said.scope.deny),
        invariants=tuple(said.contract.invariants),
        knobs_add=tuple(said.contract.knobs.add),
        knobs_change=tuple(said.contract.knobs.change),
        required=tuple(said.gates.required),
        perf=PerfBudget(budget.gate, budget.metric, budget.baseline_ref, float(budget.budget_pct)) if budget else None,
        merge_strategy=said.merge.strategy,
        delete_branch=said.merge.delete_branch,
        source=sha256(reading.text.encode("utf-8", "surrogatepass")).hexdigest(),
        at=reading.place(("nmoe", "issue")),
        places=tuple(places),
    )
    return contract, said
