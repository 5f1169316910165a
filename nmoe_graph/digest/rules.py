"""Where a snapshot keeps what judges it: the paths of its gates, contracts, signers, lock files and of what runs gates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..git.snapshot import Snapshot
    from ..graph.graph import Graph

__all__ = ["BUILD_FILE", "Rules", "read_rules"]

BUILD_FILE = "BUILD.toml"


@dataclass(frozen=True, slots=True)
class Rules:
    """Paths relative to the workspace root; `contracts` and `control` are globs."""

    gates: str = ""
    contracts: tuple[str, ...] = ()
    signers: str = ""
    locks: tuple[str, ...] = ()
    control: tuple[str, ...] = ()

    def to_json(self) -> list[Any]:
        return [self.gates, list(self.contracts), self.signers, list(self.locks), list(self.control)]

    @classmethod
    def from_json(cls, data: Any) -> Rules | None:
        if not isinstance(data, list) or len(data) != 5:
            return None
        return cls(str(data[0]), tuple(map(str, data[1])), str(data[2]), tuple(map(str, data[3])), tuple(map(str, data[4])))


def read_rules(snapshot: Snapshot, graph: Graph) -> Rules:
    """The rules of a snapshot with its graph.

    Raises:
        DeclarationError: its BUILD.toml is wrong.
    """
    from ..load.build import load_build

    trust = load_build(snapshot.read(BUILD_FILE) or b"", BUILD_FILE, "").trust
    locks = {path for target in graph if target.kind == "toolchain" for path in getattr(target, "lock", ())}
    declared = graph.workspace
    signers = trust.signers if trust is not None else ""
    return Rules(declared.gates or "", tuple(declared.contracts), signers, tuple(sorted(locks)), declared.control)
