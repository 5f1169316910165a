"""A manifest: everything that enters an action's key, with the luggage that explains it, as JSON-ready data.

    command env requires platform gpus toolchains salt expects outs    enter as they are; of a required variable the name, and
                  where it was declared so the digest of its value
    inputs        rows of path, mode, form, digest | reason, labels that lead there, the input that needs it
    whole_tree    why everything counts; luggage

One list feeds the key and the explanation, so they cannot disagree.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from ..git.snapshot import Snapshot
from .encoding import digest

__all__ = ["PARTS", "action_key", "bundle_digest", "content", "edited", "value_digest"]

PARTS = ("command", "env", "requires", "platform", "gpus", "toolchains", "salt", "expects", "outs")


#: Why a file is an input that is run as Python whatever its name.
_RUN = ("imported", "reached by a dynamic import", "through deps")


def content(rows: Iterable[Sequence[Any]]) -> list[Sequence[Any]]:
    """What of the inputs enters a digest: place, mode, form and content."""
    return [row[:4] for row in rows]


def action_key(manifest: Mapping[str, Any]) -> str:
    """The digest of an action: equal keys are the same proof."""
    return digest("action", {**{name: manifest[name] for name in PARTS}, "inputs": content(manifest["inputs"])})


def value_digest(name: str) -> str | None:
    """The digest of an environment variable's value here; None where it is not set."""
    value = os.environ.get(name)
    return None if value is None else digest("value", value)


def bundle_digest(members: Iterable[tuple[str, str]]) -> str:
    """The digest of a bundle: its members' labels, in the order in which they are declared, and their digests."""
    return digest("bundle", [list(member) for member in members])


class Reader(Protocol):
    """What inference and digests read of a file (`inputs.files.FileReader`)."""

    def facts(self, blob: str) -> Any: ...

    def meaning(self, path: str, blob: str) -> str | None: ...


def edited(
    manifest: Mapping[str, Any], paths: Iterable[str], old: Snapshot, new: Snapshot, reader: Reader
) -> dict[str, Any] | None:
    """The manifest at `new`, where the trees differ for it only in edits that change no import; else None.

    `paths` are all the paths that differ and that were asked for when the manifest was made, none of them for its bytes alone.
    What inference reads of a file are its import facts, so where these are equal every step of it would be the same.
    """
    moved: dict[str, tuple[str, str]] = {}
    opened = {row[0] for row in manifest["inputs"] if row[4] not in _RUN and not row[0].endswith(".py")}
    for path in paths:
        before, after = old.entry(path), new.entry(path)
        if before is None or after is None or before[0] != after[0] or before[0] & 0o170000 != 0o100000:
            return None
        if path not in opened and reader.facts(before[1]) != reader.facts(after[1]):
            return None
        moved[path] = before[1], after[1]
    rows = []
    for row in manifest["inputs"]:
        path, mode, form, named = row[:4]
        if form == "tree":
            entry = new.entry(path)
            if entry is None:
                return None
            named = entry[1]
        elif path in moved and form != "output":
            blob_before, blob_after = moved[path]
            meant = reader.meaning(path, blob_after)
            if form == "meaning":
                form, named = ("meaning", meant) if meant else ("bytes", blob_after)
            elif meant and not reader.meaning(path, blob_before):
                return None  # it counted by bytes, perhaps only because it could not be read
            else:
                named = blob_after
        rows.append([path, mode, form, named, *row[4:]])
    return {**manifest, "inputs": rows}
