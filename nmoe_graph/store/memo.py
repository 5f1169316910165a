"""The memo table: content to what was computed from it, in SQLite, shared by all worktrees.

Nothing here is a proof.  Each row carries a checksum over its own key and value, so a flipped bit is a miss and never an
answer; a damaged file is put aside and begun anew; a read-only or full disk only costs time.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["SqliteMemo"]

_MOST_BYTES = 1 << 30


def _check(kind: str, key: str, value: bytes) -> bytes:
    return hashlib.sha256(b"%d:%s%d:%s" % (len(kind), kind.encode(), len(key), key.encode()) + value).digest()[:16]


def _pack(value: Any) -> bytes:
    text = json.dumps(value, separators=(",", ":"))
    return zlib.compress(text.encode("utf-8", "surrogatepass"), 1)


def _unpack(data: bytes) -> Any:
    return json.loads(zlib.decompress(data))


class SqliteMemo:
    """`get` and `put` by kind and key.  Values are JSON; writes are gathered and made in one transaction by `flush`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db: Any = None
        self._dead = False
        self._fresh: dict[tuple[str, str], bytes] = {}  # packed: a cold run has a great many

    def _open(self) -> Any:
        if self._db is not None or self._dead:
            return self._db
        import sqlite3

        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._path.exists() and self._path.stat().st_size > _MOST_BYTES:
                self._put_aside(remove=True)
            self._db = self._connect(sqlite3)
        except (sqlite3.Error, OSError, ValueError):  # ValueError: sqlite3 cannot decode its own message about a damaged schema
            try:
                self._put_aside(remove=True)
                self._db = self._connect(sqlite3)
            except (sqlite3.Error, OSError, ValueError):
                self._dead = True
        return self._db

    def _connect(self, sqlite3: Any) -> Any:
        db = sqlite3.connect(self._path, timeout=2.0, isolation_level=None)
        db.execute("PRAGMA journal_mode=DELETE")
        db.execute("PRAGMA synchronous=OFF")  # a lost memo is recomputed; row checksums catch a torn one
        db.execute(
            "CREATE TABLE IF NOT EXISTS memo (kind TEXT, key TEXT, value BLOB, mark BLOB, PRIMARY KEY (kind, key)) WITHOUT ROWID"
        )
        return db

    def _put_aside(self, remove: bool = False) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None
        if remove:
            for suffix in ("", "-journal"):
                try:
                    os.unlink(f"{self._path}{suffix}")
                except OSError:
                    pass  # read-only: then there is no memo

    def get(self, kind: str, key: str) -> Any:
        """The value, or None: unknown, damaged or unreadable are all the same."""
        if (kind, key) in self._fresh:
            return _unpack(self._fresh[kind, key])
        db = self._open()
        if db is None:
            return None
        import sqlite3

        try:
            row = db.execute("SELECT value, mark FROM memo WHERE kind = ? AND key = ?", (kind, key)).fetchone()
            if row is None or not isinstance(row[0], bytes) or row[1] != _check(kind, key, row[0]):
                return None
            return _unpack(row[0])
        except (sqlite3.Error, zlib.error, ValueError, RecursionError):
            self._fail()
            return None

    def get_many(self, kind: str, keys: Sequence[str]) -> dict[str, Any]:
        """The values of all keys that are known, in few questions."""
        found = {key: _unpack(self._fresh[kind, key]) for key in keys if (kind, key) in self._fresh}
        db = self._open()
        if db is None:
            return found
        import sqlite3

        rest = [key for key in keys if key not in found]
        try:
            for start in range(0, len(rest), 500):
                part = rest[start : start + 500]
                query = f"SELECT key, value, mark FROM memo WHERE kind = ? AND key IN ({','.join('?' * len(part))})"
                for key, value, mark in db.execute(query, (kind, *part)):
                    if isinstance(key, str) and isinstance(value, bytes) and mark == _check(kind, key, value):
                        found[key] = _unpack(value)
        except (sqlite3.Error, zlib.error, ValueError, RecursionError):
            self._fail()
        return found

    def _fail(self) -> None:
        """Something is damaged: begin anew, once."""
        self._put_aside(remove=True)
        self._dead = True

    def put(self, kind: str, key: str, value: Any) -> None:
        self._fresh[kind, key] = _pack(value)
        if len(self._fresh) > 20_000:
            self.flush()

    def flush(self) -> None:
        """Write what is new.  Never raises: a memo that cannot be written is only slower."""
        rows, self._fresh = self._fresh, {}
        if not rows:
            return
        db = self._open()
        if db is None:
            self._fresh = rows if len(rows) < 50_000 else {}
            return
        import sqlite3

        packed = []
        for (kind, key), data in rows.items():
            packed.append((kind, key, data, _check(kind, key, data)))
        try:
            db.execute("BEGIN IMMEDIATE")
            db.executemany("INSERT OR REPLACE INTO memo VALUES (?, ?, ?, ?)", packed)
            db.execute("COMMIT")
        except sqlite3.OperationalError:
            self._roll_back(db)  # busy, read-only or full
        except (sqlite3.Error, ValueError):
            self._fail()

    def _roll_back(self, db: Any) -> None:
        import sqlite3

        try:
            db.execute("ROLLBACK")
        except (sqlite3.Error, ValueError):
            self._dead = True
