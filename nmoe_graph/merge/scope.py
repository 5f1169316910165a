"""The real change of a branch against what its contract allows: files, and knobs of the configuration."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from posixpath import basename

from ..errors import DeclarationError
from ..git.objects import GITLINK, LINK, Entry, Objects
from ..load.globs import Glob
from ..load.tomltext import read_toml
from ..model import Contract

__all__ = ["CONFIG", "knob_faults", "scope_faults"]

#: Where the knobs are: the fields of this file's dataclasses, and the keys of TOML files in this folder.
CONFIG, PRESETS = "nmoe/config.py", "configs/"

Change = tuple[str, Entry | None, Entry | None]


def scope_faults(contract: Contract, changes: Iterable[Change]) -> list[tuple[str, str]]:
    """Paths that the contract does not allow, each with what is done to it.  Both ends of a rename count."""
    if not (contract.allow or contract.deny):
        return []
    allow, deny = [Glob(one) for one in contract.allow], [Glob(one) for one in contract.deny]
    found = []
    for path, old, new in changes:
        denied = next((one.pattern for one in deny if one.matches(path)), None)
        if denied is not None:
            found.append((path, f"{_words(old, new)}; denied by {denied}"))
        elif allow and not any(one.matches(path) for one in allow):
            found.append((path, f"{_words(old, new)}; not in scope.allow"))
    return found


def _words(old: Entry | None, new: Entry | None) -> str:
    what = {LINK: "link", GITLINK: "submodule"}
    if old is None:
        return f"{what.get(new[0], 'file') if new else 'file'} added"
    if new is None:
        return f"{what.get(old[0], 'file')} deleted"
    if old[0] != new[0]:
        kinds = (what.get(old[0], "file"), what.get(new[0], "file"))
        return f"{kinds[0]} became a {kinds[1]}" if kinds[0] != kinds[1] else f"mode changed from {old[0]:o} to {new[0]:o}"
    return f"{what.get(new[0], 'file')} changed"


def knob_faults(contract: Contract, changes: Sequence[Change], objects: Objects) -> list[str]:
    """Knobs that the change adds or changes and the contract does not name, and those that it names and that stay as they are.

    A knob is a field of a dataclass in `nmoe/config.py`, read from the syntax tree (its type and default), and a key of a TOML
    file directly in `configs/`, read as data.  A new value of a key that has a field is a change of that knob.
    """
    added: set[str] = set()
    changed: set[str] = set()
    for path, old, new in changes:
        if path == CONFIG:
            before, after = (_fields(objects.blob(entry[1])) if entry else {} for entry in (old, new))
        elif path.startswith(PRESETS) and path.endswith(".toml") and "/" not in path[len(PRESETS) :]:
            before, after = (_keys(objects.blob(entry[1]), path) if entry else {} for entry in (old, new))
            if old is None:
                continue  # a new preset sets knobs; it makes none
        else:
            continue
        if before is None or after is None:
            return [f"{path} cannot be read, so its knobs are not checked"]
        added |= after.keys() - before.keys()
        changed |= {name for name in before if before[name] != after.get(name)}
    changed -= added
    said_add, said_change = set(contract.knobs_add), set(contract.knobs_change)
    found = [f"knob {name} is added, and knobs.add does not name it" for name in sorted(added - said_add)]
    found += [f"knob {name} is changed, and knobs.change does not name it" for name in sorted(changed - said_change - said_add)]
    found += [f"knobs.add names {name}, which the change does not add" for name in sorted(said_add - added)]
    return found


def _fields(source: bytes) -> dict[str, str] | None:
    """The fields of every dataclass: name -> annotation and default."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return None
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and any("dataclass" in ast.unparse(one) for one in node.decorator_list):
            for line in node.body:
                if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                    default = ast.unparse(line.value) if line.value else ""
                    found[line.target.id] = f"{ast.unparse(line.annotation)} = {default}"
    return found


def _keys(source: bytes, path: str) -> dict[str, str] | None:
    try:
        data = read_toml(source, basename(path)).data
    except DeclarationError:
        return None
    found: dict[str, str] = {}
    pending: list[tuple[str, object]] = [("", data)]
    while pending:
        prefix, value = pending.pop()
        if isinstance(value, dict):
            pending += [(f"{prefix}.{key}" if prefix else str(key), one) for key, one in value.items()]
        else:
            found[prefix] = repr(value)
    return found
