"""Contracts checked: each file by itself, in the closed world of the workspace's gates and of each other, and for public safety."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..digest.analysis import Analysis
from ..errors import DeclarationError, Fault, Location, UsageError, counted, printable
from ..git.snapshot import Snapshot
from ..load.discover import discover
from ..load.gates import GatesFile
from ..load.lint import lint_bytes
from ..model import Contract, Gate

__all__ = ["CheckReport", "Checked", "check_contracts"]

_MOST_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Checked:
    """A contract that is fine: where it stands, and what it comes to."""

    contract: str
    place: str
    words: str

    def to_dict(self) -> dict[str, Any]:
        return {"contract": self.contract, "place": printable(self.place), "words": self.words}


@dataclass(frozen=True)
class CheckReport:
    """The contracts that are fine, and what is wrong with the others."""

    contracts: tuple[Checked, ...]
    faults: tuple[Fault, ...]

    @property
    def exit_code(self) -> int:
        return 1 if any(fault.level == "error" for fault in self.faults) else 0

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": "nmoe-graph/contract-check@1",
            "contracts": [one.to_dict() for one in self.contracts],
            "faults": [fault.to_dict() for fault in self.faults],
        }


def check_contracts(snapshot: Snapshot, synced: Snapshot | None, wanted: Sequence[str], analysis: Analysis) -> CheckReport:
    """All contracts of a workspace, or files and ids among them.

    A file may be a contract's YAML or an issue's body (`.md`), inside the workspace or not.

    Raises:
        UsageError: a word is neither a file nor the id of a contract.
        DeclarationError: there is no workspace to check them in.
    """
    found = discover(snapshot, None, synced)
    listed = [target for target in found.targets if isinstance(target, Contract)]
    if not wanted:
        faults = list(found.faults)
        if not faults:
            try:
                analysis.graph  # noqa: B018 - the closed world: unknown ids, cycles, two that land last
            except DeclarationError as error:
                faults = list(error.faults)
        return CheckReport(tuple(map(_row, sorted(listed, key=lambda one: one.issue))), tuple(faults))
    gates = GatesFile("", tuple(target for target in found.targets if isinstance(target, Gate)), ())
    known = {one.issue: one for one in listed}
    rows: list[Checked] = []
    faults = []
    for word in wanted:
        name = word.removeprefix("//contracts:")
        if name in known:
            rows.append(_row(known[name]))
            continue
        try:
            rows.append(_file(word, gates, known, found.allow))
        except DeclarationError as error:
            faults += error.faults
    return CheckReport(tuple(rows), tuple(faults))


def _row(contract: Contract) -> Checked:
    place = contract.at.file if contract.at is not None else ""
    return Checked(contract.issue, place, f"{contract.risk} {contract.work}, {counted(len(contract.required), 'gate')}")


def _file(word: str, gates: GatesFile, known: dict[str, Contract], allow: Sequence[str]) -> Checked:
    try:
        with open(word, "rb") as handle:
            data = handle.read(_MOST_BYTES + 1)
    except OSError as error:
        hint = f"contracts here: {', '.join(sorted(known)[:20])}" if known else "a file, or the id of a contract"
        what = f"{printable(word, limit=120)} is neither a contract's id nor a readable file ({error.strerror})"
        raise UsageError(what, hint) from None
    kind = "issue" if Path(word).suffix.lower() in (".md", ".markdown", ".txt") else "contract"
    said = lint_bytes(kind, data, word, gates, allow=allow)
    depends = said["nmoe"].get("depends_on", [])
    unknown = [one for one in depends if one not in known] if isinstance(depends, list) else []
    if unknown:
        raise DeclarationError(Fault(f"depends on {', '.join(unknown)}, which no contract here is", Location(word)))
    required = said["gates"]["required"]
    return Checked(
        str(said["nmoe"]["issue"]), word, f"{said['nmoe']['risk']} {said['nmoe']['kind']}, {counted(len(required), 'gate')}"
    )
