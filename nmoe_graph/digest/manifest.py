"""A manifest: everything that enters an action's key, with the luggage that explains it, as JSON-ready data.

    command env requires platform gpus toolchains salt expects outs    enter as they are; of a required variable the name, and
                  where it was declared so the digest of its value
    inputs        rows of path, mode, form, digest | reason, labels that lead there, the input that needs it; in the key as the
                  digests of their chunks (`listing`)
    whole_tree    why everything counts; luggage
    search        where the one program that is followed looks for modules, for `inputs.growth`; luggage

One list feeds the key and the explanation, so they cannot disagree.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from ..git.snapshot import Snapshot
from .encoding import digest
from .listing import Listing, rows_digest

__all__ = ["PARTS", "action_key", "bundle_digest", "edited", "value_digest"]

PARTS = ("command", "env", "requires", "platform", "gpus", "toolchains", "salt", "expects", "outs")


#: Why a file is an input that is run as Python whatever its name.
_RUN = ("imported", "reached by a dynamic import", "through deps")


def action_key(manifest: Mapping[str, Any]) -> str:
    """The digest of an action: equal keys are the same proof.  Inputs are rows, or a listing of them."""
    inputs = manifest["inputs"]
    digests = inputs.digests() if isinstance(inputs, Listing) else rows_digest(inputs)
    return digest("action", {**{name: manifest[name] for name in PARTS}, "inputs": digests})


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
    manifest: Mapping[str, Any],
    paths: Iterable[str],
    old: Snapshot,
    new: Snapshot,
    reader: Reader,
    grow: Callable[[Sequence[Any], Listing, Mapping[str, Any]], Mapping[str, tuple[int, str, str]] | None],
) -> dict[str, Any] | None:
    """The manifest at `new`, where the trees differ for it only in edits that take no import away; else None.

    `paths` are all the paths that differ and that were asked for when the manifest was made, none of them for its bytes alone.
    What inference reads of a file are its import facts, so where these are equal every step of it would be the same.
    Where a file imports more than before, `grow` follows what is new (`inputs.growth`).
    The inputs are a listing, of which only the chunks that change are read.

    Raises:
        LookupError: such a chunk is no longer kept.
    """
    listing: Listing = manifest["inputs"]
    rows: dict[str, list[Any]] = {}
    more: dict[str, Any] = {}
    for row in listing.trees():
        entry = new.entry(row[0])
        if entry is None:
            return None
        rows[row[0]] = [*row[:3], entry[1], *row[4:]]
    for path in paths:
        before, after = old.entry(path), new.entry(path)
        if before is None or after is None or before[0] != after[0] or before[0] & 0o170000 != 0o100000:
            return None
        row = listing.get(path)
        opened = row is not None and row[4] not in _RUN and not path.endswith(".py")
        if not opened and (facts := (reader.facts(before[1]), reader.facts(after[1])))[0] != facts[1]:
            if manifest["search"] is None or row is None or row[2] != "meaning":
                return None
            more[path] = facts
        if row is None or row[2] in ("tree", "output"):
            continue
        form, meant = row[2], reader.meaning(path, after[1])
        if form == "meaning":
            form, named = ("meaning", meant) if meant else ("bytes", after[1])
        elif meant and not reader.meaning(path, before[1]):
            return None  # it counted by bytes, perhaps only because it could not be read
        else:
            named = after[1]
        rows[path] = [path, row[1], form, named, *row[4:]]
    if more:
        came = grow(manifest["search"], listing, more)
        if came is None:
            return None
        for path, (mode, blob, parent) in came.items():
            held = rows.get(path) or listing.get(path)
            meant = reader.meaning(path, blob)
            form, named = ("meaning", meant) if meant else ("bytes", blob)
            rows[path] = [*held[:6], parent] if held else [path, mode, form, named, "imported", [], parent]
    return {**manifest, "inputs": listing.with_rows(rows)}
