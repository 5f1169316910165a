"""A target's inputs as a list in chunks: hashed, kept and patched a chunk at a time.

A chunk begins at every path whose CRC-32 is a multiple of 64, and at the first path.  Where it begins depends on that path
alone, so a list has one division whatever it was made from, and an edit of one file changes one chunk of about 64 rows.
The digest of a chunk is over place, mode, form and content of its rows; the name under which a chunk is kept is over the luggage
too.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from .encoding import ENCODING_VERSION, encode

__all__ = ["Chunk", "Listing", "chunked", "encoded_digest", "encoded_row", "rows_digest"]

_EVERY = 64
_HEAD = b"l3:" + encode("nmoe-graph/inputs") + encode(ENCODING_VERSION)
Row = Sequence[Any]


def encoded_row(row: Row) -> bytes:
    """What of an input enters a digest: the canonical encoding of its place, mode, form and content."""
    path, mode, form, named = row[:4]
    try:  # the same bytes as `encode`, in a fraction of its time: a test compares them
        return f"l4:s{len(path)}:{path}i{mode};s{len(form)}:{form}s{len(named)}:{named}".encode("ascii")
    except UnicodeEncodeError:
        return encode([path, mode, form, named])


def _begins(path: str) -> bool:
    return crc32(path.encode("utf-8", "surrogatepass")) % _EVERY == 0


def chunked(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Rows in the order of their paths, divided."""
    held: list[Row] = []
    for row in rows:
        if held and _begins(row[0]):
            yield held
            held = []
        held.append(row)
    if held:
        yield held


def encoded_digest(rows: Sequence[bytes]) -> str:
    """The digest of a chunk, from its encoded rows: `digest("inputs", rows)`."""
    return hashlib.sha256(b"%bl%d:%b" % (_HEAD, len(rows), b"".join(rows))).hexdigest()


def rows_digest(rows: Iterable[Row]) -> list[str]:
    """What a list of inputs contributes to a key: the digests of its chunks."""
    return [encoded_digest(list(map(encoded_row, chunk))) for chunk in chunked(rows)]


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk: its first path, its digest, the name under which its rows are kept, whether a row stands for a whole tree."""

    first: str
    digest: str
    name: str
    tree: bool = False

    def to_json(self) -> list[Any]:
        return [self.first, self.digest, self.name, self.tree]


class Listing:
    """A list of inputs of which only the chunks that somebody asks for are read.

    `load` gives the rows of a chunk by its name.

    Raises:
        LookupError: (by every method that reads rows) a chunk is no longer kept.
    """

    def __init__(self, chunks: Sequence[Chunk], load: Callable[[str], list[Any] | None]) -> None:
        self.chunks = tuple(chunks)
        self._load = load
        self._read: dict[str, list[Any]] = {}
        self._new: list[str] = []
        self._firsts = [chunk.first for chunk in self.chunks]

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Listing:
        """A listing of rows that are at hand."""
        made = cls((), lambda name: None)
        made._set(made._made(rows))
        return made

    def _set(self, chunks: Sequence[Chunk]) -> None:
        self.chunks = tuple(chunks)
        self._firsts = [chunk.first for chunk in chunks]

    def _made(self, rows: Iterable[Row]) -> list[Chunk]:
        found = []
        for part in chunked(rows):
            held = [list(row) for row in part]
            name = hashlib.sha256(json.dumps(held).encode()).hexdigest()
            self._read[name] = held
            self._new.append(name)
            tree = any(row[2] == "tree" for row in held)
            found.append(Chunk(held[0][0], encoded_digest(list(map(encoded_row, held))), name, tree))
        return found

    @classmethod
    def from_json(cls, data: Any, load: Callable[[str], list[Any] | None]) -> Listing:
        return cls([Chunk(*row) for row in data], load)

    def to_json(self) -> list[list[Any]]:
        return [chunk.to_json() for chunk in self.chunks]

    def digests(self) -> list[str]:
        """What enters the key."""
        return [chunk.digest for chunk in self.chunks]

    def rows_of(self, chunk: Chunk) -> list[Any]:
        found = self._read.get(chunk.name)
        if found is None:
            found = self._load(chunk.name)
            if not isinstance(found, list):
                raise LookupError(chunk.name)
            self._read[chunk.name] = found
        return found

    def rows(self) -> list[Any]:
        """All of them."""
        return [row for chunk in self.chunks for row in self.rows_of(chunk)]

    def get(self, path: str, missing: Any = None) -> Any:
        """The row of a path."""
        at = bisect_right(self._firsts, path) - 1
        if at < 0:
            return missing
        return next((row for row in self.rows_of(self.chunks[at]) if row[0] == path), missing)

    def trees(self) -> list[Any]:
        """The rows that stand for a whole tree."""
        return [row for chunk in self.chunks if chunk.tree for row in self.rows_of(chunk) if row[2] == "tree"]

    def differing(self, other: Listing) -> list[tuple[str, Any, Any]]:
        """(path, row here or None, row there or None) of what differs in place, mode, form or content, by path."""
        mine = {chunk.digest for chunk in self.chunks}
        theirs = {chunk.digest for chunk in other.chunks}
        before = {row[0]: row for chunk in self.chunks if chunk.digest not in theirs for row in self.rows_of(chunk)}
        after = {row[0]: row for chunk in other.chunks if chunk.digest not in mine for row in other.rows_of(chunk)}
        pairs = ((path, before.get(path), after.get(path)) for path in sorted(before.keys() | after.keys()))
        return [(path, one, two) for path, one, two in pairs if one is None or two is None or one[:4] != two[:4]]

    def with_rows(self, rows: Mapping[str, Row]) -> Listing:
        """The listing in which these rows stand in place of those of the same paths, or come in."""
        by_chunk: dict[int, dict[str, Row]] = {}
        for path, row in rows.items():
            by_chunk.setdefault(max(bisect_right(self._firsts, path) - 1, 0), {})[path] = row
        made = Listing((), self._load)
        made._read = dict(self._read)
        chunks = list(self.chunks)
        for at in sorted(by_chunk, reverse=True):
            held = {row[0]: row for row in (self.rows_of(chunks[at]) if chunks else [])} | by_chunk[at]
            # Where chunks begin depends on single paths, so what is divided anew here is divided as in the whole list.
            chunks[at : at + 1] = made._made([held[path] for path in sorted(held)])
        made._set(chunks)
        return made

    def fresh(self, kept: set[str]) -> Iterator[tuple[str, list[Any]]]:
        """The chunks that were made here and that are not among those kept, by name; adds them."""
        for name in self._new:
            if name not in kept:
                kept.add(name)
                yield name, self._read[name]

    def at_hand(self, name: str) -> list[Any] | None:
        """The rows of a chunk that was read or made here."""
        return self._read.get(name)
