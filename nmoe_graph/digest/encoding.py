"""The canonical encoding: one spelling per value, tagged by type, length-prefixed.  Two different values never share bytes.

    None n    bool t f    int i<decimal>;    float r<hex>;    str s<bytes>:<utf-8>    bytes b<bytes>:<...>
    list l<items>:<...>    map m<items>:<key value ...>, keys sorted by their encoding

A pre-image starts with a tag that says what it names and with the version of this encoding, so a digest of one kind of node
can never be taken for that of another.
"""

from __future__ import annotations

import hashlib

__all__ = ["ENCODING_VERSION", "Value", "digest", "encode"]

#: In every pre-image.  A change of what enters any key, or of how, raises it: old proofs then no longer count.
ENCODING_VERSION = 2

Value = "None | bool | int | str | bytes | list[Value] | tuple[Value, ...] | dict[str, Value]"


def _write(value: object, out: list[bytes]) -> None:
    if isinstance(value, str):
        data = value.encode("utf-8", "surrogatepass")
        out.append(b"s%d:" % len(data))
        out.append(data)
    elif isinstance(value, bool):
        out.append(b"t" if value else b"f")
    elif value is None:
        out.append(b"n")
    elif isinstance(value, int):
        out.append(b"i%d;" % value)
    elif isinstance(value, bytes):
        out.append(b"b%d:" % len(value))
        out.append(value)
    elif isinstance(value, (list, tuple)):
        out.append(b"l%d:" % len(value))
        for item in value:
            _write(item, out)
    elif isinstance(value, dict):
        rows = sorted((encode(key), item) for key, item in value.items())
        out.append(b"m%d:" % len(rows))
        for key, item in rows:
            out.append(key)
            _write(item, out)
    elif isinstance(value, float):
        out.append(b"r%s;" % value.hex().encode())
    else:
        raise TypeError(f"no canonical form for {type(value).__name__}")


def encode(value: object) -> bytes:
    """The canonical bytes of a value.

    Raises:
        TypeError: the value is of a type that has no canonical form.
    """
    out: list[bytes] = []
    _write(value, out)
    return b"".join(out)


def digest(tag: str, value: object) -> str:
    """The SHA-256, in hex, of a tagged value."""
    return hashlib.sha256(encode([f"nmoe-graph/{tag}", ENCODING_VERSION, value])).hexdigest()
