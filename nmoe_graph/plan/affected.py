"""What differs between two analysed snapshots, and why.

A target is affected exactly when its digest differs, so this cannot disagree with the cache: both read the same number.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ..digest.listing import Listing
from ..errors import Fault
from .control import ControlChange

__all__ = ["Affected", "AffectedReport", "Cause", "Change", "difference", "explain", "way_to"]


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


@dataclass(frozen=True)
class AffectedReport:
    """The targets whose digest differs between two snapshots.  `at` is "" for the work tree."""

    since: str
    base: str
    at: str
    commit: str | None
    targets: tuple[Affected, ...]
    warnings: tuple[Fault, ...] = ()
    control_plane: tuple[ControlChange, ...] = ()  # what of the change judges it

    def __iter__(self) -> Iterator[Affected]:
        return iter(self.targets)

    def __len__(self) -> int:
        return len(self.targets)

    def labels(self) -> list[str]:
        """The labels that exist at the newer snapshot, sorted."""
        return [one.label for one in self.targets if one.exists]

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": "nmoe-graph/affected@1",
            "since": self.since,
            "base": self.base,
            "at": self.at or None,
            "commit": self.commit,
            "targets": [one.to_dict() for one in self.targets],
            "control_plane": [one.to_dict() for one in self.control_plane],
            "warnings": [fault.to_dict() for fault in self.warnings],
        }

    def _repr_html_(self) -> str:
        from ..markup import table

        rows = [
            [one.label, one.kind, "; ".join(change.words() for change in one.reasons), _proven(one.proven)] for one in self.targets
        ]
        return table(["target", "kind", "why", "proven"], rows, f"affected since {self.since}")


def _proven(value: bool | None) -> str:
    return "" if value is None else "yes" if value else "no"


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


class _Rows(Protocol):
    """A manifest's inputs by path (`digest.listing.Listing`)."""

    def get(self, path: str, missing: Any = None) -> Any: ...


def way_to(path: str, rows: _Rows) -> tuple[str, ...]:
    """The chain from a target to one of its inputs, the target's end first, without the input itself.

    `rows` are a manifest's inputs by path: path, mode, form, digest, reason, labels that lead there, the input that needs it.
    """
    steps: list[str] = []
    row = rows.get(path, ())
    while len(row) > 6:
        if not row[6] or row[6] in steps:
            return (*row[5], *reversed(steps))
        steps.append(row[6])
        row = rows.get(row[6], ())
    return tuple(reversed(steps))


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

    Inputs are listings; a manifest may be empty.
    `tree_paths` are the paths that differ between the two trees, for inputs that are a whole tree.
    """
    found: list[Change] = []
    for name, cause in _SIMPLE:
        if name == "toolchains" and isinstance(old.get(name), dict) and isinstance(new.get(name), dict):
            found += _toolchain_changes(old[name], new[name])
        elif old.get(name) != new.get(name):
            found.append(
                Change(
                    cause, "" if name in ("command", "salt") else name, before=_short(old.get(name)), after=_short(new.get(name))
                )
            )
    before, after = (side.get("inputs") or Listing.of(()) for side in (old, new))
    for path, one, two in before.differing(after):
        row = two or one or []
        via, reason = way_to(path, after if two else before), str(row[4]) if len(row) > 4 else ""
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


def _toolchain_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    before, after = dict(old.get("lock", ())), dict(new.get("lock", ()))
    found = [
        Change(Cause.TOOLCHAIN, path, before=before.get(path, ""), after=after.get(path, ""))
        for path in sorted(before.keys() | after.keys())
        if before.get(path) != after.get(path)
    ]
    for name in ("image", "versions"):
        one, two = old.get(name, []), new.get(name, [])
        if one != two:
            found.append(Change(Cause.TOOLCHAIN, name, before=_short(", ".join(one)), after=_short(", ".join(two))))
    return found


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 200 else text[:199] + "…"
