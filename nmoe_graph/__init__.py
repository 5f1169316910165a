"""nmoe-graph: gates, contracts and merges of one repository as a content-addressed graph.

from nmoe_graph import Workspace

ws = Workspace.open(".")
ws.build("//gates:tier_a")
ws.affected(since="origin/main")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import DeclarationError, HostError, NmoeGraphError, SnapshotError, UsageError
    from .label import Label
    from .model import Result, Verdict
    from .workspace import Workspace

__version__ = "0.1.0"

__all__ = [
    "DeclarationError",
    "HostError",
    "Label",
    "NmoeGraphError",
    "Result",
    "SnapshotError",
    "UsageError",
    "Verdict",
    "Workspace",
    "__version__",
]

_HOMES = {
    "DeclarationError": "errors",
    "HostError": "errors",
    "Label": "label",
    "NmoeGraphError": "errors",
    "Result": "model",
    "SnapshotError": "errors",
    "UsageError": "errors",
    "Verdict": "model",
    "Workspace": "workspace",
}


def __getattr__(name: str) -> Any:
    # Lazily: `nmoe-graph --help` must not load what `build` needs.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
