"""What differs between two analysed snapshots, and why.

A target is affected exactly when its digest differs, so this cannot disagree with the cache: both read the same number.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["Affected", "Change", "Cause", "difference", "explain"]


class Cause(enum.StrEnum):
    """Why a digest differs.  The same words in affected, why, build and the notebook."""

    ADDED = "the target is new"
    REMOVED = "the target is gone"
    INPUT_CHANGED = "an input changed"
    INPUT_ADDED = "an input came in"
    INPUT_REMOVED = "an input is gone"
    INPUT_MODE = "the mode of an input changed"
    COMMAND = "the command changed"
    ENVIRONMENT = "the declared environment changed"
    PLATFORM = "the platform changed"
    TOOLCHAIN = "a declared toolchain changed"
    EVIDENCE = "the evidence it must leave changed"
    SALT = "its salt changed"
    DEFINITION = "its own definition changed"
    NEEDED = "a target that it needs changed"
    BASE_UNREADABLE = "the declarations at the base cannot be read"


@dataclass(frozen=True, slots=True)
class Change:
    """One cause, with the thing that changed and the way from the target to it."""

    cause: Cause
    subject: str = ""  # a path, or a label
    via: tuple[str, ...] = ()
    reason: str = ""  # why the subject is an input
    before: str = ""
    after: str = ""

    def words(self) -> str:
        """The cause in one line."""
        text = f"{self.cause.value}: {self.subject}" if self.subject else self.cause.value
        if self.via:
            return f"{text} (through {' -> '.join(self.via)})"
        return f"{text} ({self.reason})" if self.reason else text

    def to_dict(self) -> dict[str, Any]:
        return {
            "cause": self.cause.name.lower(),
            "subject": self.subject,
            "via": list(self.via),
            "why": self.reason,
            "before": self.before,
            "after": self.after,
            "text": self.words(),
        }


@dataclass(frozen=True, slots=True)
class Affected:
    """One target whose digest differs.  `proven` is True, False, or None where the question has no meaning."""

    label: str
    kind: str
    reasons: tuple[Change, ...] = ()
    proven: bool | None = None
    exists: bool = True
    key: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "kind": self.kind,
            "exists": self.exists,
            "proven": self.proven,
            "digest": self.key,
            "reasons": [change.to_dict() for change in self.reasons],
        }


class _Row(Protocol):
    @property
    def kind(self) -> str: ...

    @property
    def digest(self) -> str: ...


def difference(old: Mapping[str, _Row], new: Mapping[str, _Row]) -> list[tuple[str, str, Cause | None]]:
    """(label, kind, cause) of every target that differs, sorted by label; the cause is None where a digest moved."""
    found: list[tuple[str, str, Cause | None]] = []
    for label in sorted(old.keys() | new.keys()):
        before, after = old.get(label), new.get(label)
        if before is None and after is not None:
            found.append((label, after.kind, Cause.ADDED))
        elif after is None and before is not None:
            found.append((label, before.kind, Cause.REMOVED))
        elif before is not None and after is not None and (before.kind, before.digest) != (after.kind, after.digest):
            found.append((label, after.kind, None))
    return found


def _by_path(manifest: Mapping[str, Any]) -> dict[str, list[Any]]:
    return {row[0]: row for row in manifest.get("inputs", ())}


_SIMPLE = (
    ("command", Cause.COMMAND),
    ("env", Cause.ENVIRONMENT),
    ("requires", Cause.ENVIRONMENT),
    ("platform", Cause.PLATFORM),
    ("gpus", Cause.PLATFORM),
    ("toolchains", Cause.TOOLCHAIN),
    ("expects", Cause.EVIDENCE),
    ("salt", Cause.SALT),
    ("outs", Cause.DEFINITION),
)


def explain(old: Mapping[str, Any], new: Mapping[str, Any], tree_paths: Iterable[str] = ()) -> tuple[Change, ...]:
    """Why two manifests of one gate or action give two keys; every difference, definitions first, then inputs by path.

    `tree_paths` are the paths that differ between the two trees, for inputs that are a whole tree.
    """
    found: list[Change] = []
    for name, cause in _SIMPLE:
        if old.get(name) != new.get(name):
            found.append(
                Change(
                    cause, "" if name in ("command", "salt") else name, before=_short(old.get(name)), after=_short(new.get(name))
                )
            )
    before, after = _by_path(old), _by_path(new)
    for path in sorted(before.keys() | after.keys()):
        one, two = before.get(path), after.get(path)
        if one is not None and two is not None and one[:4] == two[:4]:
            continue
        row = two or one or []
        via, reason = tuple(row[5]) if len(row) > 5 else (), str(row[4]) if len(row) > 4 else ""
        if row[2] == "tree":
            inside = [each for each in tree_paths if not path or each == path or each.startswith(path + "/")]
            found += [Change(Cause.INPUT_CHANGED, each, (), str(new.get("whole_tree") or reason)) for each in inside[:100]]
            if not inside:
                found.append(Change(Cause.INPUT_CHANGED, path or "the whole tree", (), reason))
            continue
        if one is None:
            cause = Cause.INPUT_ADDED
        elif two is None:
            cause = Cause.INPUT_REMOVED
        elif one[2:4] == two[2:4]:
            cause = Cause.INPUT_MODE
        else:
            cause = Cause.INPUT_CHANGED
        digests = (one[3] if one else "", two[3] if two else "")
        if cause is Cause.INPUT_MODE and one and two:
            digests = (f"{one[1]:o}", f"{two[1]:o}")
        found.append(Change(cause, path, via, reason, *digests))
    return tuple(found)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 200 else text[:199] + "…"
