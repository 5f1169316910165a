"""Where a snapshot keeps what judges it: the paths of its gates, contracts, signers, lock files and of what runs gates, and
the names by which its gates know what is installed."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..git.snapshot import Snapshot
    from ..graph.graph import Graph

__all__ = ["BUILD_FILE", "Rules", "read_rules"]

BUILD_FILE = "BUILD.toml"


@dataclass(frozen=True, slots=True)
class Rules:
    """Paths relative to the workspace root; `contracts` and `control` are globs.

    `roots` are the folders that gates put on Python's search path besides the workspace root, `tools` the modules that
    toolchains install.
    """

    gates: str = ""
    contracts: tuple[str, ...] = ()
    signers: str = ""
    locks: tuple[str, ...] = ()
    control: tuple[str, ...] = ()
    roots: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()

    def to_json(self) -> list[Any]:
        lists = [list(one) for one in (self.contracts, self.locks, self.control, self.roots, self.tools)]
        return [self.gates, self.signers, *lists]

    @classmethod
    def from_json(cls, data: Any) -> Rules | None:
        if not isinstance(data, list) or len(data) != 7 or not all(isinstance(one, list) for one in data[2:]):
            return None
        contracts, locks, control, roots, tools = (tuple(map(str, one)) for one in data[2:])
        return cls(str(data[0]), contracts, str(data[1]), locks, control, roots, tools)


def read_rules(snapshot: Snapshot, graph: Graph) -> Rules:
    """The rules of a snapshot with its graph.

    Raises:
        DeclarationError: its BUILD.toml is wrong.
    """
    from ..inputs.command import read_command
    from ..load.build import load_build

    trust = load_build(snapshot.read(BUILD_FILE) or b"", BUILD_FILE, "").trust
    locks: set[str] = set()
    tools: set[str] = set()
    roots: set[str] = set()
    for target in graph:
        if target.kind == "toolchain":
            locks.update(getattr(target, "lock", ()))
            tools.update(re.sub(r"[-.]+", "_", name).lower() for name, _ in getattr(target, "versions", ()))
        env = dict(getattr(target, "env", ()))
        reads = read_command(getattr(target, "cmd", ""), env)
        roots.update(posixpath.normpath(one) for one in env.get("PYTHONPATH", "").split(":"))
        roots.update(root or "." for program in (*reads.programs, *reads.strange) for root in program.roots)
    declared = graph.workspace
    signers = trust.signers if trust is not None else ""
    rows = [tuple(sorted(one)) for one in (locks, roots - {"."}, tools)]
    return Rules(declared.gates or "", tuple(declared.contracts), signers, rows[0], declared.control, rows[1], rows[2])
