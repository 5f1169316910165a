"""Control plane: the part of a change that reaches for what judges it.

Definitions, contracts, signers, lock files and the engine itself say what is proven, by whom and how; what starts gates and what
they run on (workflows, images, the cluster, what the engine is installed with) can make any of it mean nothing; so can a file
that Python takes in place of what is installed: `pytest.py` at the top, and `python -m pytest` is that.  A change that touches
one of them is judged by the rules of its base, and people are told.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..digest.rules import BUILD_FILE, Rules
from ..inputs.names import NATIVE, PYTEST, STANDARD

__all__ = ["ControlChange", "control_plane", "control_words"]

#: The engine's own folder, where a repository carries it; what GitHub runs, asks for and lets in; and who must look at a change.
_ALWAYS = (("nmoe_graph/", "the engine"), (".github/", "what GitHub runs and asks for"))
_OWNERS = ("CODEOWNERS", "docs/CODEOWNERS")
#: Imported by every Python as it starts, if they are to be found.
_AT_START = frozenset({"sitecustomize", "usercustomize"})
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class ControlChange:
    """One path of a change that judges it."""

    path: str
    why: str

    def to_dict(self) -> dict[str, Any]:
        return {"path": self.path, "why": self.why}

    def words(self) -> str:
        return f"{self.path} ({self.why})"


def control_plane(paths: Iterable[str], *sides: Rules) -> tuple[ControlChange, ...]:
    """The paths among these that judge, by what either side says of itself; sorted by path."""
    from ..load.globs import Glob

    globs = [Glob(one) for side in sides for one in side.contracts]
    control = [Glob(one) for side in sides for one in side.control]
    gates, signers = {side.gates for side in sides} - {""}, {side.signers for side in sides} - {""}
    locks = {path for side in sides for path in side.locks}
    roots = {"", *(root for side in sides for root in side.roots)}
    installed = STANDARD.union(PYTEST, _AT_START, *(side.tools for side in sides))
    found: dict[str, str] = {}
    for path in paths:
        if path.rpartition("/")[2] == BUILD_FILE:
            found[path] = "targets, and what the workspace is"
        elif path in gates:
            found[path] = "gates and bundles"
        elif path in signers:
            found[path] = "who may prove"
        elif path in locks:
            found[path] = "a toolchain"
        elif why := next((words for folder, words in _ALWAYS if path.startswith(folder)), ""):
            found[path] = why
        elif path in _OWNERS:
            found[path] = "who must look at a change"
        elif any(one.matches(path) for one in control):
            found[path] = "what gates run on"
        elif any(one.matches(path) for one in globs):
            found[path] = "a contract"
        elif (name := _module(path, roots)) in installed:
            found[path] = f"stands in for {name}"
        elif path and path in roots:
            found[path] = "on the search path of a gate"
    return tuple(ControlChange(path, found[path]) for path in sorted(found))


def _module(path: str, roots: set[str]) -> str:
    """The module that a path is, or is the package of, directly below one of these folders; "" where it is none.

    A changed path without an ending is a link or a submodule, and so may be a package, or a file that is none.
    """
    folder, _, file = path.rpartition("/")
    above, _, package = folder.rpartition("/")
    if file.startswith("__init__.") and above in roots:
        file, folder = f"{package}{file.removeprefix('__init__')}", above
    return file.partition(".")[0] if folder in roots and ("." not in file or file.endswith((".py", ".pyc", *NATIVE))) else ""


def control_words(changes: tuple[ControlChange, ...]) -> str:
    """One line for people; "" where a change touches nothing of the kind."""
    if not changes:
        return ""
    more = f" and {len(changes) - _MOST_NAMED} more" if len(changes) > _MOST_NAMED else ""
    return f"control plane: {', '.join(one.words() for one in changes[:_MOST_NAMED])}{more}"
