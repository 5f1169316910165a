"""JSON that two readers cannot read in two ways.

Read: UTF-8 without a byte order mark, bounded in bytes and depth before it is parsed, one value and nothing after it, no key
twice in an object (nor twice but for its case, for there are readers that fold it), no NaN or infinity, no number that a
double cannot hold, no lone surrogate, no control, invisible or direction-changing character.

Written: keys sorted by code point, no space, UTF-8, the shortest decimal of each double.  Equal values give equal bytes.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Iterator

from ..errors import DeclarationError, Fault, Location

__all__ = ["Json", "canonical", "read_json", "texts"]

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

MOST_BYTES = 2 * 1024 * 1024
_MOST_DEPTH = 32
#: Beyond this a double no longer holds every integer, and readers begin to differ.
_MOST_INT = 2**53
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)


class _Refused(ValueError):
    """What a hook of the parser does not let through."""


def _place(text: str, file: str, at: int) -> Location:
    line = text.count("\n", 0, at) + 1
    return Location(file, line, at - (text.rfind("\n", 0, at) + 1) + 1)


def _check_depth(text: str, file: str, what: str) -> None:
    bare = _STRING.sub(lambda found: " " * len(found[0]), text)
    depth = 0
    for found in re.finditer(r"[\[\]{}]", bare):
        depth += 1 if found[0] in "[{" else -1
        if depth > _MOST_DEPTH:
            raise DeclarationError(
                Fault(f"{what} is no JSON that is read here: nested too deep", _place(text, file, found.start()))
            )


def _pairs(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found: dict[str, Json] = {}
    folded: dict[str, str] = {}
    for key, value in pairs:
        first = folded.setdefault(key.casefold(), key)
        if key in found:
            raise _Refused(f"duplicate key {key[:60]!r}: two readers, two values")
        if first != key:
            raise _Refused(f"duplicate key: {key[:60]!r} and {first[:60]!r} differ by case only")
        found[key] = value
    return found


def _constant(word: str) -> Json:
    raise _Refused(f"{word} is no JSON number (invalid): numbers are finite")


def _integer(digits: str) -> int:
    if len(digits) > 17 or abs(int(digits)) > _MOST_INT:
        raise _Refused("invalid number: an integer beyond 2^53")
    return int(digits)


def _real(digits: str) -> float:
    value = float(digits) if len(digits) <= 400 else math.inf
    if not math.isfinite(value):
        raise _Refused("invalid number: not a finite one")
    return value


def _check_text(text: str) -> None:
    if text.isascii() and text.isprintable():
        return
    for char in text:
        if char not in "\t\n\r" and unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
            raise _Refused(f"invalid character U+{ord(char):04X} (control, invisible or direction-changing)")


def texts(value: Json) -> Iterator[str]:
    """Every key and every text of a value, in order."""
    pending: list[Json] = [value]
    while pending:
        here = pending.pop()
        if isinstance(here, str):
            yield here
        elif isinstance(here, list):
            pending += reversed(here)
        elif isinstance(here, dict):
            for key, item in reversed(list(here.items())):
                pending += [item, key]


def read_json(data: bytes, file: str, what: str = "the file") -> Json:
    """The one value that the bytes hold; `what` names them in a fault.

    Raises:
        DeclarationError: they are not exactly one value of strict JSON; never anything else.
    """
    if len(data) > MOST_BYTES:
        raise DeclarationError(Fault(f"{what} is too large: {len(data)} bytes, the limit is {MOST_BYTES}", Location(file)))
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DeclarationError(Fault(f"{what} is no JSON: it is not UTF-8", Location(file, line, 1))) from None
    if text.startswith("\ufeff"):
        raise DeclarationError(Fault(f"{what} is no JSON: it begins with a byte order mark", Location(file, 1, 1)))
    _check_depth(text, file, what)
    start = len(text) - len(text.lstrip(" \t\n\r"))
    decoder = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_constant, parse_int=_integer, parse_float=_real)
    try:
        value, end = decoder.raw_decode(text, start)
        for each in texts(value):
            _check_text(each)
    except json.JSONDecodeError as error:
        why = (error.msg[:1].lower() + error.msg[1:]).removesuffix(" starting at")
        raise DeclarationError(Fault(f"{what} is no JSON: {why}", _place(text, file, error.pos))) from None
    except (_Refused, RecursionError) as error:
        why = "nested too deep" if isinstance(error, RecursionError) else str(error)
        raise DeclarationError(Fault(f"{what} is not JSON that can count: {why}", Location(file))) from None
    rest = text[end:].lstrip(" \t\n\r")
    if rest:
        at = _place(text, file, len(text) - len(rest))
        raise DeclarationError(
            Fault(f"{what} holds more than one JSON value: extra data after the first", at, "one file, one value")
        )
    found: Json = value
    return found


def canonical(value: Json) -> bytes:
    """The one spelling of a value.

    Raises:
        ValueError: a number is not finite.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode("utf-8")
