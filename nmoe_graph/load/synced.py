"""Contracts of the issues beside those of the tree: an issue beats a file of the same id, and the two must say the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..errors import DeclarationError, Fault, Location
from ..git.snapshot import Snapshot
from ..git.synced import SyncedIssue, synced_issues
from ..model import Contract
from .contract import contract_data, load_contract
from .gates import GatesFile
from .text import dotted
from .yamltext import read_yaml

__all__ = ["beside_files", "contract_of_issue", "disagreement"]

_MOST_SHOWN = 6
_MOST_VALUE = 120
_SYNC = "change the one or the other, then nmoe-graph contract sync"


def contract_of_issue(issue: SyncedIssue, gates: GatesFile | None, allow: Sequence[str] = ()) -> Contract:
    """The contract that an issue holds.

    Raises:
        DeclarationError: with every fault, at its place in the block.
    """
    return load_contract(issue.text.encode(), issue.place, gates, allow)


def disagreement(file: bytes, path: str, issue: SyncedIssue, allow: Sequence[str] = ()) -> str:
    """Where a file and an issue of one contract differ, key by key; "" where they say the same."""
    try:
        one = contract_data(read_yaml(issue.text, issue.place), None, allow)
        two = contract_data(read_yaml(file, path), None, allow)
    except DeclarationError:
        return ""  # what cannot be read is a fault of its own
    rows = [f"{dotted(key)} is {_shown(left)} and {_shown(right)}" for key, left, right in _differences((), one, two)]
    more = f"; and {len(rows) - _MOST_SHOWN} more" if len(rows) > _MOST_SHOWN else ""
    return "; ".join(rows[:_MOST_SHOWN]) + more


def _differences(key: tuple[str, ...], one: Any, two: Any) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    if isinstance(one, Mapping) and isinstance(two, Mapping):
        for name in sorted(one.keys() | two.keys()):
            yield from _differences((*key, str(name)), one.get(name), two.get(name))
    elif (one or None) != (two or None):  # an empty list says what no list says
        yield key, one, two


def _shown(value: Any) -> str:
    text = "absent" if value is None else f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)
    return text if len(text) <= _MOST_VALUE else text[:_MOST_VALUE] + "…"


def beside_files(
    synced: Snapshot, files: Mapping[str, tuple[str, bytes]], gates: GatesFile | None, allow: Sequence[str]
) -> tuple[list[Contract], list[Fault]]:
    """The contracts of the issues, and what is wrong with them; `files` are path and bytes of the tree's by id."""
    found: list[Contract] = []
    faults: list[Fault] = []
    for name, issue in synced_issues(synced).items():
        try:
            contract = contract_of_issue(issue, gates, allow)
        except DeclarationError as error:
            faults += error.faults
            continue
        if contract.issue != name:
            faults.append(Fault(f"{issue.place} holds contract {contract.issue}, not {name}", hint="nmoe-graph contract sync"))
            continue
        found.append(contract)
        if name in files:
            path, data = files[name]
            if differs := disagreement(data, path, issue, allow):
                what = f"contract {name} of {issue.place} and of {path} differ: {differs}"
                faults.append(Fault(what, Location(path, 1, 1), _SYNC))
    return found, faults
