"""Action keys at trees that differ from an analysed one by edits of Python files alone.

Where an edit changes no import, the list of what a gate reads stays as it is, and so does everything in its key but the digest
of the edited file.  Then the key is found from the kept list, with one entry replaced: a merge plan has hundreds of such trees.
Everything else is refused, and analysed in full.
"""

from __future__ import annotations

import hashlib
from posixpath import dirname
from typing import Any

from ..git.objects import Objects
from ..inputs.files import FileReader
from ..label import parse_label
from ..model import Gate
from .analysis import Analysis, Row, Table
from .encoding import ENCODING_VERSION, encode
from .keys import perf_key
from .listing import Listing, encoded_digest, encoded_row
from .manifest import PARTS
from .reuse import Witness

__all__ = ["Patched"]


class _Key:
    """The pre-image of one action key, in parts."""

    def __init__(self, manifest: dict[str, object]) -> None:
        parts = {name: manifest[name] for name in (*PARTS, "inputs")}
        self._chunks: list[tuple[int, list[bytes], bytes]] = []  # where it begins, its rows, its digest
        self.listed: dict[str, tuple[int, list[Any]]] = {}
        listing = manifest["inputs"]
        assert isinstance(listing, Listing)
        for chunk in listing.chunks:
            rows = listing.rows_of(chunk)
            begin = len(self.listed)
            self.listed |= {row[0]: (begin + at, row) for at, row in enumerate(rows)}
            self._chunks.append((begin, [encoded_row(row) for row in rows], encode(chunk.digest)))
        head, tail = [b"l3:", encode("nmoe-graph/action"), encode(ENCODING_VERSION), b"m%d:" % len(parts)], list[bytes]()
        out = head
        for key, name in sorted((encode(name), name) for name in parts):
            out.append(key)
            if name == "inputs":
                out.append(b"l%d:" % len(listing.chunks))
                out = tail
            else:
                out.append(encode(parts[name]))
        self.head, self.tail = b"".join(head), b"".join(tail)
        self.rows = [row for _, rows, _ in self._chunks for row in rows]

    def digest(self, edits: dict[int, bytes]) -> str:
        whole = hashlib.sha256(self.head)
        for begin, rows, named in self._chunks:
            inside = range(begin, begin + len(rows))
            if edits and any(at in inside for at in edits):
                named = encode(encoded_digest([edits.get(at, row) for at, row in zip(inside, rows, strict=True)]))
            whole.update(named)
        whole.update(self.tail)
        return whole.hexdigest()


class Patched:
    """Gates at trees that are edits of one analysed tree, each found from one that is known already."""

    def __init__(self, analysis: Analysis, objects: Objects, reader: FileReader) -> None:
        self._analysis, self._objects, self._reader = analysis, objects, reader
        self._table: Table = analysis.table()
        self._gates = [label for label, row in self._table.items() if row.kind == "gate"]
        self._watched = analysis.kept_witnesses()
        self._keys: dict[str, _Key | None] = {}
        self._tables: dict[str, Table] = {analysis.snapshot.tree: {label: self._table[label] for label in self._gates}}
        self._edits: dict[str, dict[str, dict[int, bytes]]] = {analysis.snapshot.tree: {}}

    def knows(self, tree: str) -> bool:
        return tree in self._tables

    def gates(self, before: str, tree: str) -> Table | None:
        """The gates at a tree, found from those at `before`; None where that takes an analysis."""
        if tree in self._tables:
            return self._tables[tree]
        if before not in self._tables or self._watched is None:
            return None
        changed: dict[str, tuple[str, str]] = {}
        for path, old, new in self._objects.differences(before, tree):
            if old is None or new is None or old[0] != new[0] or old[0] & 0o170000 != 0o100000 or not path.endswith(".py"):
                return None
            if self._reader.facts(old[1]) != self._reader.facts(new[1]):
                return None
            changed[path] = (old[1], new[1])
        declared, rows = self._watched
        if self._hit(declared, changed):
            return None
        edits = dict(self._edits[before])
        table = dict(self._tables[before])
        for label, row in self._table.items():
            hit = self._hit(rows[label], changed) if label in rows else []
            if hit and (row.kind == "action" or not rows[label].read.isdisjoint(hit)):
                return None
            if row.kind != "gate" or not hit:
                continue
            found = self._edited(label, edits.get(label, {}), hit, changed, tree)
            if found is None:
                return None
            if found != edits.get(label, {}):
                edits[label] = found
                key = self._key(label)
                assert key is not None
                table[label] = _with_digest(row, key.digest(found))
        for label in self._gates:
            target = self._analysis.graph.targets[parse_label(label)]
            if isinstance(target, Gate) and target.gate_kind == "perf":
                compared = f"//gates/{target.compare_gate}"
                if compared not in table:
                    return None
                table[label] = _with_digest(self._table[label], perf_key(target, table[compared].digest))
        self._tables[tree], self._edits[tree] = table, edits
        return table

    @staticmethod
    def _hit(kept: Witness, changed: dict[str, tuple[str, str]]) -> list[str]:
        """The changed paths of which something was asked."""
        looked, whole = kept.looked, kept.whole
        found = []
        for path in changed:
            here = path
            while path not in looked and here and here not in whole:
                here = dirname(here)
            if path in looked or here in whole:
                found.append(path)
        return found

    def _key(self, label: str) -> _Key | None:
        if label not in self._keys:
            manifest = self._analysis.listed_manifest(label)
            key = _Key(manifest) if manifest else None
            # The parts must make the key that the analysis made: else nothing here can be trusted.
            self._keys[label] = key if key is not None and key.digest({}) == self._table[label].digest else None
        return self._keys[label]

    def _edited(
        self, label: str, edits: dict[int, bytes], hit: list[str], changed: dict[str, tuple[str, str]], tree: str
    ) -> dict[int, bytes] | None:
        """The edits of a gate's list, with these paths in it; None where a path is no plain entry of the list."""
        key = self._key(label)
        if key is None:
            return None
        found = dict(edits)
        if "" in key.listed:  # the whole tree counts, and still does, since no import changed
            at, row = key.listed[""]
            return {**found, at: encoded_row([row[0], row[1], row[2], tree])} if row[2] == "tree" else None
        for path in hit:
            old, new = changed[path]
            if path not in key.listed:
                return None
            at, row = key.listed[path]
            was, now = self._reader.meaning(path, old), self._reader.meaning(path, new)
            if was is None or now is None or row[2] not in ("meaning", "bytes"):
                return None
            digest = now if row[2] == "meaning" else new
            line = encoded_row([row[0], row[1], row[2], digest])
            if line == key.rows[at]:
                found.pop(at, None)
            else:
                found[at] = line
        return found


def _with_digest(row: Row, digest: str) -> Row:
    return Row(row.kind, digest, "", row.timeout_s, row.accept_flaky, row.needs)
