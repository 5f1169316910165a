"""Facts and meanings of files, by blob id: computed once, kept in a memo table that may always be thrown away."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from ..git.objects import Objects
from .imports import FACTS_VERSION, Fact, import_facts
from .meaning import MEANING_VERSION, meaning

__all__ = ["FileReader", "Memo"]


class Memo(Protocol):
    """A table from content to what was computed from it.  A miss is always allowed."""

    def get(self, kind: str, key: str) -> object | None: ...

    def put(self, kind: str, key: str, value: object) -> None: ...


class NoMemo:
    """A memo that remembers nothing."""

    def get(self, kind: str, key: str) -> object | None:
        return None

    def put(self, kind: str, key: str, value: object) -> None:
        return None


class FileReader:
    """What is in a blob, as far as inference and digests care."""

    def __init__(self, objects: Objects, memo: Memo | None = None) -> None:
        self._objects = objects
        self._memo: Memo = memo or NoMemo()
        self._facts: dict[str, tuple[Fact, ...] | None] = {}
        self._meanings: dict[tuple[str, str], str | None] = {}

    def facts(self, blob: str) -> tuple[Fact, ...] | None:
        """Import facts of a Python file; None where it cannot be parsed."""
        if blob in self._facts:
            return self._facts[blob]
        kept = self._memo.get(f"imports.{FACTS_VERSION}", blob)
        if isinstance(kept, list):
            found: tuple[Fact, ...] | None = tuple(tuple(fact) for fact in kept)
        elif kept is False:
            found = None
        else:
            found = import_facts(self._objects.blob(blob))
            self._memo.put(f"imports.{FACTS_VERSION}", blob, False if found is None else [list(fact) for fact in found])
        self._facts[blob] = found
        return found

    def meaning(self, path: str, blob: str) -> str | None:
        """The digest of what a Python or TOML file means; None where its bytes count."""
        suffix = path[path.rfind(".") :]
        if suffix not in (".py", ".pyi", ".toml"):
            return None
        kind = "toml" if suffix == ".toml" else "py"
        if (kind, blob) not in self._meanings:
            table = f"meaning.{kind}.{MEANING_VERSION}"
            kept = self._memo.get(table, blob)
            if not isinstance(kept, str):
                kept = meaning(f"x.{kind}", self._objects.blob(blob)) or ""
                self._memo.put(table, blob, kept)
            self._meanings[kind, blob] = kept or None
        return self._meanings[kind, blob]

    def facts_in(self, code: str) -> tuple[Fact, ...] | None:
        """Import facts of source text that is in no file."""
        return import_facts(code.encode("utf-8", "surrogatepass"))

    def all_words(self, facts: Iterable[Fact]) -> list[str]:
        return [str(word) for fact in facts if fact[0] == "all" for word in fact[1:]]
