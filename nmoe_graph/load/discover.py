"""All declarations of one snapshot: the root BUILD.toml, every package's, the gates and the contracts, with every fault found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from ..errors import DeclarationError, Fault, Location
from ..git.objects import TREE
from ..git.snapshot import Snapshot
from ..label import VIRTUAL_PACKAGES
from ..model import Contract, Gate, Target, Toolchain, WorkspaceDecl
from .build import load_build
from .contract import load_contract
from .gates import GatesFile, load_gates
from .globs import Glob

__all__ = ["BUILD_FILE", "Declarations", "discover"]

BUILD_FILE = "BUILD.toml"


class _Memo(Protocol):
    def get(self, kind: str, key: str) -> object | None: ...

    def put(self, kind: str, key: str, value: object) -> None: ...


@dataclass
class Declarations:
    """What was declared, and what is wrong with it."""

    workspace: WorkspaceDecl
    targets: list[Target] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    warnings: list[Fault] = field(default_factory=list)
    owners: dict[str, str] = field(default_factory=dict)
    invariants: dict[str, str] = field(default_factory=dict)
    meta_target: str = ""
    allow: tuple[str, ...] = ()  # words that may be public here


def _packages(snapshot: Snapshot, tree: str, memo: _Memo | None) -> list[str]:
    """Folders below a tree that hold a BUILD.toml, relative to it, sorted; "" is the tree itself."""
    kept = memo.get("packages.1", tree) if memo else None
    if isinstance(kept, list):
        return [str(one) for one in kept]
    found = []
    for name, (mode, child) in snapshot.objects.tree(tree).items():
        if mode == TREE:
            found += [f"{name}/{below}".rstrip("/") for below in _packages(snapshot, child, memo)]
        elif name == BUILD_FILE and mode & 0o170000 == 0o100000:
            found.append("")
    found.sort()
    if memo:
        memo.put("packages.1", tree, found)
    return found


def _table_of_text(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {str(key): ", ".join(map(str, item)) if isinstance(item, (list, tuple)) else str(item) for key, item in value.items()}


def discover(snapshot: Snapshot, memo: _Memo | None = None, synced: Snapshot | None = None) -> Declarations:
    """Read every declaration of a snapshot; faults are collected, not raised.

    `synced` is the state of the issues, whose contracts stand beside those of the tree.

    Raises:
        DeclarationError: there is no root BUILD.toml with a [workspace], so there is nothing to read.
    """
    root = snapshot.read(BUILD_FILE)
    if root is None:
        raise DeclarationError(
            Fault(
                "there is no BUILD.toml at the root of the workspace",
                Location(BUILD_FILE),
                'write one: [workspace] with name = "..."',
            )
        )
    first = load_build(root, BUILD_FILE, "")
    if first.workspace is None:
        raise DeclarationError(
            Fault("the root BUILD.toml has no [workspace]", Location(BUILD_FILE, 1, 1), 'add [workspace] with name = "..."')
        )
    found = Declarations(first.workspace)
    found.targets += first.targets
    found.allow = first.allow
    found.owners = _table_of_text(first.extra.get("owners"))
    found.invariants = _table_of_text(first.extra.get("invariants"))
    for folder in _packages(snapshot, snapshot.tree, memo):
        if not folder:
            continue
        path = f"{folder}/{BUILD_FILE}"
        if folder.partition("/")[0] in VIRTUAL_PACKAGES:
            name = folder.partition("/")[0]
            found.faults.append(
                Fault(f"//{name} is a package of its own kind; a folder cannot take its place", Location(path), "move the folder")
            )
            continue
        try:
            build = load_build(snapshot.read(path) or b"", path, folder)
        except DeclarationError as error:
            found.faults += error.faults
            continue
        if build.workspace is not None:
            found.faults.append(
                Fault("only the root BUILD.toml has a [workspace]", build.workspace.at or Location(path), "take it out")
            )
        found.targets += build.targets
    for target in found.targets:
        for file in target.lock if isinstance(target, Toolchain) else ():
            if snapshot.entry(file) is None:
                found.faults.append(Fault(f"{file} does not exist and is a lock file of {target.label}", target.at, "add the file"))
    gates = _gates(snapshot, found)
    _contracts(snapshot, found, gates, synced)
    return found


def _gates(snapshot: Snapshot, found: Declarations) -> GatesFile | None:
    path = found.workspace.gates
    if not path:
        return None
    data = snapshot.read(path)
    if data is None:
        at = dict(found.workspace.places).get("gates", found.workspace.at)
        found.faults.append(Fault(f"{path} does not exist", at, "[workspace] gates names the file that declares the gates"))
        return None
    try:
        gates = load_gates(data, path, found.allow)
    except DeclarationError as error:
        found.faults += error.faults
        return None
    found.targets += gates.gates
    found.targets += gates.bundles
    found.warnings += gates.warnings
    found.meta_target = gates.target
    wanted: dict[str, list[Gate]] = {}
    for gate in gates.gates:
        for file in gate.requires_files:
            entry = snapshot.entry(file)
            if entry is None:
                wanted.setdefault(file, []).append(gate)
    for file, askers in sorted(wanted.items()):
        names = ", ".join(gate.gate_id for gate in askers)
        at = dict(askers[0].places).get("requires_files") or askers[0].at
        found.faults.append(Fault(f"{file} does not exist and is required by {names}", at, f"add the file, or take {names} out"))
    return gates


def _contracts(snapshot: Snapshot, found: Declarations, gates: GatesFile | None, synced: Snapshot | None) -> None:
    listed: list[Contract] = []
    files: dict[str, tuple[str, bytes]] = {}
    for pattern in found.workspace.contracts:
        glob = Glob(pattern)
        paths = (
            [pattern]
            if glob.is_literal
            else [path for path, _, _ in snapshot.walk(glob.literal_prefix.rstrip("/")) if glob.matches(path)]
        )
        for path in sorted(paths):
            data = snapshot.read(path)
            if data is None:
                at = dict(found.workspace.places).get("contracts", found.workspace.at)
                found.faults.append(Fault(f"{path} does not exist", at, "[workspace] contracts names it"))
                continue
            try:
                contract = load_contract(data, path, gates, found.allow)
            except DeclarationError as error:
                found.faults += error.faults
                continue
            listed.append(contract)
            files.setdefault(contract.issue, (path, data))
    if synced is not None:
        from .synced import beside_files

        issues, faults = beside_files(synced, files, gates, found.allow)
        found.faults += faults
        beaten = {contract.issue for contract in issues}
        listed = [contract for contract in listed if contract.issue not in beaten] + issues
    found.targets += listed
