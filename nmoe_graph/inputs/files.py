"""Facts and meanings of files, by blob id: computed once, kept in a memo table that may always be thrown away."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from ..git.objects import Objects
from .imports import FACTS_VERSION, Fact, facts_and_meaning, import_facts
from .meaning import MEANING_VERSION, json_meaning, toml_meaning

__all__ = ["FileReader", "Memo"]


class Memo(Protocol):
    """A table from content to what was computed from it.  A miss is always allowed."""

    def get(self, kind: str, key: str) -> object | None: ...

    def put(self, kind: str, key: str, value: object) -> None: ...

    def get_many(self, kind: str, keys: Sequence[str]) -> Mapping[str, object]: ...


class NoMemo:
    """A memo that remembers nothing."""

    def get(self, kind: str, key: str) -> object | None:
        return None

    def put(self, kind: str, key: str, value: object) -> None:
        return None

    def get_many(self, kind: str, keys: Sequence[str]) -> Mapping[str, object]:
        return {}


#: One row a Python file: its facts, and its meaning ("" where its bytes count).
_PYTHON = f"python.{FACTS_VERSION}.{MEANING_VERSION}"
_Row = tuple[tuple[Fact, ...], str]

#: So many files are read one by one; from then on all their neighbours are read at once.
_PATIENCE = 64


class FileReader:
    """What is in a blob, as far as inference and digests care."""

    def __init__(self, objects: Objects, memo: Memo | None = None) -> None:
        self._objects = objects
        self._memo: Memo = memo or NoMemo()
        self._python: dict[str, _Row] = {}
        self._meanings: dict[tuple[str, str], str | None] = {}
        self._asked = self._misses = 0

    def facts(self, blob: str) -> tuple[Fact, ...]:
        """What a Python file imports, starts and opens."""
        return self._row(blob)[0]

    def _row(self, blob: str) -> _Row:
        row = self._python.get(blob)
        if row is None:
            self._asked += 1
            row = _unpacked(self._memo.get(_PYTHON, blob))
            if row is None:
                self._misses += 1
                facts, meant = facts_and_meaning(self._objects.blob(blob))
                row = facts, meant or ""
                self._memo.put(_PYTHON, blob, [list(map(list, facts)), row[1]])
            self._python[blob] = row
        return row

    def eager(self) -> bool:
        """Whether so many files were asked for one by one that the neighbours of the next should be read with it."""
        return self._asked >= _PATIENCE

    def cold(self) -> bool:
        """Whether nearly all of these were new, so that everything else probably is too."""
        return self._misses * 2 > self._asked

    def read_ahead(self, blobs: Iterable[str]) -> None:
        """Make the facts of many files known: from the memo in one question, and the rest on all cores."""
        wanted = list(dict.fromkeys(blob for blob in blobs if blob not in self._python))
        for blob, kept in self._memo.get_many(_PYTHON, wanted).items():
            row = _unpacked(kept)
            if row is not None:
                self._python[blob] = row
        fresh = [blob for blob in wanted if blob not in self._python]
        if not fresh:
            return
        from .parallel import read_all

        for blob, packed in read_all(self._objects, fresh):
            row = _unpacked(packed)
            if row is not None:
                self._python[blob] = row
                self._memo.put(_PYTHON, blob, packed)

    def meaning(self, path: str, blob: str) -> str | None:
        """The digest of what a Python, TOML or JSON file means; None where its bytes count."""
        suffix = path[path.rfind(".") :]
        if suffix in (".py", ".pyi"):
            return self._row(blob)[1] or None
        if suffix not in (".toml", ".json"):
            return None
        if (suffix, blob) not in self._meanings:
            table = f"meaning{suffix}.{MEANING_VERSION}"
            kept = self._memo.get(table, blob)
            if not isinstance(kept, str):
                kept = (toml_meaning if suffix == ".toml" else json_meaning)(self._objects.blob(blob)) or ""
                self._memo.put(table, blob, kept)
            self._meanings[suffix, blob] = kept or None
        return self._meanings[suffix, blob]

    def facts_in(self, code: str) -> tuple[Fact, ...]:
        """The facts of source text that is in no file."""
        return import_facts(code.encode("utf-8", "surrogatepass"))

    def all_words(self, facts: Iterable[Fact]) -> list[str]:
        return [str(word) for fact in facts if fact[0] == "all" for word in fact[1:]]


def _unpacked(kept: object) -> _Row | None:
    if isinstance(kept, list) and len(kept) == 2 and isinstance(kept[0], list) and isinstance(kept[1], str):
        return tuple(tuple(fact) for fact in kept[0]), kept[1]
    return None
