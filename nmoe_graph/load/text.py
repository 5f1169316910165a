"""A text that somebody wrote, read into plain values, with the place of every key and value, and its faults collected."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import DeclarationError, Fault, Location, did_you_mean, printable
from ..safe import Finding, findings

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["Path", "Reading", "decode", "dotted"]

Path = tuple[str | int, ...]


def dotted(path: Iterable[str | int]) -> str:
    """A key path for people: gates.required[2]."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def decode(data: bytes, file: str, limit: int) -> str:
    """UTF-8 text with \\n line ends and no BOM.

    Raises:
        DeclarationError: too large, not UTF-8, or holding characters that hide what a person would read.
    """
    if len(data) > limit:
        raise DeclarationError(Fault(f"the file is too large: {len(data)} bytes, the limit is {limit}", Location(file)))
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        raise DeclarationError(
            Fault("the file is not UTF-8", Location(file, line, column), "save it in the encoding UTF-8")
        ) from None
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    for number, line_text in enumerate(text.split("\n"), 1):
        if line_text.isascii() and line_text.isprintable():
            continue
        for column, char in enumerate(line_text, 1):
            if char != "\t" and unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
                what = f"invalid character U+{ord(char):04X} (control, invisible or direction-changing)"
                raise DeclarationError(Fault(what, Location(file, number, column), "delete it"))
    return text


@dataclass
class Reading:
    """Values of a file and where they stand.  `keys` and `values` map key paths to (line, column), counted from 1."""

    file: str
    text: str
    data: Any
    keys: dict[Path, tuple[int, int]] = field(default_factory=dict)
    values: dict[Path, tuple[int, int]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    first_line: int = 0  # of the block inside a larger file
    whole_text: str = ""  # the larger file, where there is one
    _lines: list[str] | None = None
    _allow: tuple[str, ...] = ()

    def place(self, path: Path, key: bool = False) -> Location:
        """Where a key path stands; of the nearest enclosing one that is known."""
        first, second = (self.keys, self.values) if key else (self.values, self.keys)
        for end in range(len(path), -1, -1):
            found = first.get(path[:end]) or second.get(path[:end])
            if found:
                width = len(str(path[end - 1])) if key and end == len(path) and path else 1
                return Location(self.file, found[0] + self.first_line, found[1], width)
        return Location(self.file, 1 + self.first_line, 1)

    def source(self, at: Location) -> str:
        """The line that a place points into, unless it holds something that must not be repeated."""
        if self._lines is None:
            self._lines = (self.whole_text or self.text).split("\n")
        line = self._lines[at.line - 1] if 0 < at.line <= len(self._lines) else ""
        return "" if findings(line) else line

    def fault(self, path: Path, what: str, hint: str = "", key: bool = False) -> None:
        at = self.place(path, key)
        self.faults.append(Fault(what, at, hint, self.source(at)))

    def raise_faults(self) -> None:
        """
        Raises:
            DeclarationError: there is at least one fault.
        """
        if self.faults:
            unique = list(dict.fromkeys(self.faults))
            raise DeclarationError(sorted(unique, key=lambda fault: (fault.at or Location(self.file), fault.what)))

    def check_public(self, comments: bool, allow: Sequence[str] = ()) -> None:
        """Nothing in a public file may name an inside host, address, path or cluster, or hold a credential."""
        self._allow = tuple(allow)
        if comments:
            for found in findings(self.text, self._allow):
                self._unsafe_fault(found, found.line, 1)
            return
        for path, value in _texts(self.data):
            at = self.place(path)
            self._unsafe(value, at.line - self.first_line, at.column)
        for path in self.keys:
            if isinstance(path[-1], str):
                self._unsafe(path[-1], *self.keys[path])

    def _unsafe(self, text: str, line: int, column: int) -> None:
        for found in findings(text, self._allow):
            self._unsafe_fault(found, line, column)

    def _unsafe_fault(self, found: Finding, line: int, column: int) -> None:
        what = f"not public-safe: {found.words()}"
        at = Location(self.file, line + self.first_line, column)
        self.faults.append(Fault(what, at, "public files hold no internal names; use a variable"))

    def validate(self, model: type[BaseModel], data: Any, at: Path = ()) -> Any:
        """The model made from data; None where it does not fit, every reason being a fault."""
        from pydantic import ValidationError

        try:
            return model.model_validate(data)
        except ValidationError as error:
            for each in error.errors(include_url=False, include_context=True):
                self._pydantic_fault(model, at, dict(each))
            return None
        except RecursionError:
            self.fault(at, "nested too deep")
            return None

    def _pydantic_fault(self, model: type[BaseModel], at: Path, error: Mapping[str, Any]) -> None:
        location = tuple(
            part
            for part in error["loc"]
            if not (isinstance(part, str) and part.startswith(("function-", "tagged-", "constrained-")))
        )
        path: Path = (*at, *location)
        name = printable(dotted(path), limit=120) or "the file"
        kind = error["type"]
        if kind == "extra_forbidden":
            known = _known_keys(model, location[:-1])
            hint = did_you_mean(str(location[-1]), known) or (f"known here: {', '.join(sorted(known))}" if known else "")
            self.fault(path, f"unknown key {name}", hint, key=True)
        elif kind == "missing":
            self.fault(path, f"{name} is missing")
        elif kind in ("model_type", "model_attributes_type", "dict_type"):
            self.fault(path, f"{name} must be a mapping (a table of keys), not {_kind_of(error.get('input'))}")
        elif kind in ("list_type", "tuple_type"):
            self.fault(path, f"{name} must be a list, not {_kind_of(error.get('input'))}")
        elif kind == "string_type":
            got = _kind_of(error.get("input"))
            hint = (
                "a space after the colon makes a mapping: write cpu:import without it, or in quotes" if got == "a mapping" else ""
            )
            self.fault(path, f"{name} must be text (a string), not {got}", hint)
        elif kind == "too_short":
            self.fault(path, f"{name} must not be empty")
        elif kind == "value_error":
            message = str(error["ctx"]["error"])
            what, _, hint = message.partition(" || ")
            self.fault(path, f"{name}: {what}", hint)
        else:
            shown = printable(repr(error.get("input")), limit=60)
            self.fault(
                path, f"{name}: {error['msg'][:1].lower()}{error['msg'][1:]}" + (f", got {shown}" if not findings(shown) else "")
            )


def _kind_of(value: Any) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return "text"
    return "a number" if isinstance(value, (int, float)) else type(value).__name__


def _known_keys(model: Any, path: Iterable[Any]) -> set[str]:
    """The keys that a model allows at a path inside it."""
    here = model
    for part in path:
        fields = getattr(here, "model_fields", None)
        if isinstance(part, int) or fields is None:
            continue
        found = fields.get(part) or next((one for one in fields.values() if one.alias == part), None)
        if found is None:
            continue  # a table of free names: its values are what the annotation holds
        here = _inner_model(found.annotation) or here
    fields = getattr(here, "model_fields", {})
    return {one.alias or name for name, one in fields.items()}


def _inner_model(annotation: Any) -> Any:
    from typing import get_args

    if hasattr(annotation, "model_fields"):
        return annotation
    for part in get_args(annotation):
        found = _inner_model(part)
        if found is not None:
            return found
    return None


_MOST_TEXTS = 20_000


def _texts(data: Any) -> Iterable[tuple[Path, str]]:
    pending: list[tuple[Path, Any]] = [((), data)]
    seen = 0
    while pending and seen < _MOST_TEXTS:
        path, value = pending.pop()
        seen += 1
        if isinstance(value, dict):
            pending += [((*path, key), item) for key, item in value.items()]
        elif isinstance(value, list):
            pending += [((*path, index), item) for index, item in enumerate(value)]
        elif isinstance(value, str):
            yield path, value
