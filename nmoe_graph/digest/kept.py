"""Manifests as they are kept: one document each, and its inputs in chunks that manifests share.

A missing chunk is no fault: the memo is only ever a cache.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any, Protocol

from .listing import Listing

__all__ = ["Manifests"]

_DOCUMENT, _ROWS, _BY_KEY = "manifest.3", "manifest.rows", "manifest.key"


class Memo(Protocol):
    """A table from content to what was computed from it.  A miss is always allowed."""

    def get(self, kind: str, key: str) -> Any: ...

    def put(self, kind: str, key: str, value: Any) -> None: ...


class Manifests:
    """Manifests by name and by action key, in a memo or, without one, in memory."""

    def __init__(self, memo: Memo | None) -> None:
        self._memo = memo
        self._held: dict[str, dict[str, Any]] = {}
        self._chunks: set[str] = set()  # that are kept already

    def keep(self, manifest: dict[str, Any], key: str) -> str:
        """Keep a manifest, its inputs a listing, and the chunks that are new in it; the name under which it is found."""
        listing: Listing = manifest["inputs"]
        document = {**manifest, "inputs": listing.to_json()}
        name = hashlib.sha256(json.dumps(document, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()
        if self._memo:
            for chunk, rows in listing.fresh(self._chunks):
                self._memo.put(_ROWS, chunk, rows)
            self._memo.put(_DOCUMENT, name, document)
            self._memo.put(_BY_KEY, key, name)
        else:
            self._held[name] = manifest
        return name

    def named(self, name: str, anew: Callable[[], Listing] | None = None) -> dict[str, Any] | None:
        """A manifest that is kept, its inputs a listing.  `anew` makes the listing where a chunk of it is lost."""
        if name in self._held:
            return self._held[name]
        memo = self._memo
        document = memo.get(_DOCUMENT, name) if memo else None
        if not isinstance(document, dict) or memo is None:
            return None

        def load(chunk: str) -> list[Any] | None:
            found = memo.get(_ROWS, chunk)
            return found if isinstance(found, list) else anew().at_hand(chunk) if anew else None

        return {**document, "inputs": Listing.from_json(document["inputs"], load)}

    def of_key(self, key: str) -> dict[str, Any] | None:
        """The manifest from which an action key was made, where it is kept."""
        name = self._memo.get(_BY_KEY, key) if self._memo else None
        return self.named(name) if isinstance(name, str) else None
