"""Declarations joined into a graph of a closed world.

An unknown label, gate or contract, a label of another kind, a cycle are errors before anything is asked or run, all of them at
once, each with its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ..errors import DeclarationError, Fault, Location, did_you_mean
from ..label import CONTRACTS, MERGES, Label
from ..load.cycles import cycles, shown_cycle
from ..model import Action, Contract, Files, Gate, Merge, Python, Target, Toolchain, WorkspaceDecl
from .graph import Graph, edges_of

__all__ = ["build_graph"]


def build_graph(
    workspace: WorkspaceDecl,
    targets: Iterable[Target],
    *,
    warnings: Iterable[Fault] = (),
    faults: Iterable[Fault] = (),
    owners: Mapping[str, str] | None = None,
    invariants: Mapping[str, str] | None = None,
    meta_target: str = "",
) -> Graph:
    """Join declarations into a graph and close the world.

    Raises:
        DeclarationError: with `faults` and everything found here.
    """
    wrong = list(faults)
    known = _once(targets, wrong)
    contracts = {target.issue: target for target in known.values() if isinstance(target, Contract)}
    contracts = dict(sorted(contracts.items()))
    wrong += [*_no_contract(contracts), *_more_than_one_last(contracts)]
    for merge in _merges(contracts):
        known[merge.label] = merge
    known = dict(sorted(known.items()))
    # Where the gates could not be read, that is the fault; that every contract misses its gates would only hide it.
    blind = bool(wrong) and not any(isinstance(target, Gate) for target in known.values())
    for target in known.values():
        wrong += [*_absent(target, known, blind), *_of_another_kind(target, known)]
    wrong += _knots(known)
    errors = [fault for fault in wrong if fault.level == "error"]
    if errors:
        raise DeclarationError(sorted(errors, key=lambda fault: (fault.at or Location("~"), fault.what)))
    return Graph(workspace, known, tuple(warnings), owners or {}, invariants or {}, meta_target)


def _place(target: Target, *keys: str) -> Location | None:
    """Where the first of these keys that the target has stands; else where the target does."""
    places = dict(getattr(target, "places", ()))
    found = next((places[key] for key in keys if key in places), target.at)
    return found if isinstance(found, Location) else None


def _once(targets: Iterable[Target], wrong: list[Fault]) -> dict[Label, Target]:
    """Targets by label, the first of each; a second one, and a twin that differs by case only, is wrong."""
    known: dict[Label, Target] = {}
    folded: dict[tuple[str, str], Label] = {}
    for target in targets:
        label = target.label
        twin = folded.setdefault((label.package.casefold(), label.name.casefold()), label)
        if label in known:
            first = known[label].at
            wrong.append(Fault(f"{label.short} is declared twice", target.at, hint=f"the first is at {first}" if first else ""))
            continue
        if twin != label:
            wrong.append(Fault(f"{label} and {twin} differ by case only", target.at, hint="rename one"))
        known[label] = target
    return known


def _no_contract(contracts: Mapping[str, Contract]) -> Iterator[Fault]:
    for contract in contracts.values():
        for other in contract.depends_on:
            if other not in contracts:
                what = f"contract {contract.issue} depends on {other}, which is no contract here"
                hint = did_you_mean(other, contracts) or "contracts are named by their issue id, as written"
                yield Fault(what, _place(contract, "nmoe.depends_on"), hint)


def _more_than_one_last(contracts: Mapping[str, Contract]) -> Iterator[Fault]:
    last = [contract for contract in contracts.values() if contract.depends_on_all]
    names = ", ".join(contract.issue for contract in last)
    for contract in last if len(last) > 1 else ():
        what = f"only one contract can land last, and {names} all say depends_on: all"
        yield Fault(what, _place(contract, "nmoe.depends_on"), "keep one")


def _merges(contracts: Mapping[str, Contract]) -> Iterator[Merge]:
    """The landing of each contract, after those that it depends on; where two want to be last, neither waits for all."""
    lone = sum(contract.depends_on_all for contract in contracts.values()) == 1
    for issue, contract in contracts.items():
        after: Iterable[str] = (one for one in contract.depends_on if one in contracts)
        if contract.depends_on_all:
            after = (one for one in contracts if lone and one != issue)
        yield Merge(Label(MERGES, issue), contract.label, tuple(sorted(Label(MERGES, one) for one in after)), contract.at)


def _absent(target: Target, known: Mapping[Label, Target], blind: bool) -> Iterator[Fault]:
    """Labels that a target needs and nobody declares."""
    tools = target.toolchains if isinstance(target, (Gate, Action)) else ()
    for dep in edges_of(target):
        if dep in known or isinstance(target, Merge) or (blind and dep.gate_id):
            continue
        name = f"contract {target.issue}" if isinstance(target, Contract) else target.label.short
        where = _place(target, *(["toolchains"] if dep in tools else []), "deps", "gates.required")
        hint = did_you_mean(dep.short, [one.short for one in known if one.package == dep.package or dep.gate_id])
        yield Fault(f"{name} needs {dep.short}, and there is no such target", where, hint)


def _of_another_kind(target: Target, known: Mapping[Label, Target]) -> Iterator[Fault]:
    """Labels that exist, and are not what a target needs them to be."""
    short = target.label.short
    if isinstance(target, (Files, Python, Action, Gate)):
        for dep in target.deps:
            if dep in known and not isinstance(known[dep], (Files, Python, Action)):
                what = f"{short} depends on {dep.short}, a {known[dep].kind}"
                yield Fault(what, _place(target, "deps"), "deps are files, python or action targets")
    if isinstance(target, (Gate, Action)):
        for dep in target.toolchains:
            if dep in known and not isinstance(known[dep], Toolchain):
                what = f"{short} wants {dep.short} as a toolchain, and that is a {known[dep].kind}"
                yield Fault(what, _place(target, "toolchains"), "declare [toolchain.NAME] in a BUILD.toml")
    if isinstance(target, Gate) and target.compare_gate:
        compared = known.get(Label.of_gate(target.compare_gate))
        if isinstance(compared, Gate) and compared.gate_kind != "command":
            yield Fault(f"{short} compares {target.compare_gate}, which runs nothing", _place(target, "compare_gate"))


def _knots(known: Mapping[Label, Target]) -> Iterator[Fault]:
    """One fault for each knot of targets that need each other; of merges it is the contract that has a place."""
    edges = {label: tuple(dep for dep in edges_of(target) if dep in known) for label, target in known.items()}
    for cycle in cycles(edges):
        merges = cycle[0].package == MERGES
        target = known.get(Label(CONTRACTS, cycle[0].name), known[cycle[0]]) if merges else known[cycle[0]]
        what = "contracts wait for each other" if merges else "targets need each other in a cycle"
        names = [one.name if one.package == MERGES else one.short for one in cycle]
        yield Fault(f"{what}: {shown_cycle(names)}", _place(target, "nmoe.depends_on", "deps"), "take one edge out")
