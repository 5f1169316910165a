"""Names of targets: parse, print, normalise, match.

    //package:name        a target; //a/b stands for //a/b:b, and //:name for one in the root package
    :name                 the same, relative to a package
    b200:moonlet_1x10     a gate id; it is the label //gates/b200:moonlet_1x10
    //a/...  //a:all      patterns: every target below a package, every target of a package

Labels are ASCII.  A gate's id and its label are two spellings of one name: `Label.gate_id` gives the seed's form back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import UsageError, printable

__all__ = ["CONTRACTS", "GATES", "MERGES", "VIRTUAL_PACKAGES", "Label", "Pattern", "parse_label", "parse_pattern"]

GATES, CONTRACTS, MERGES = "gates", "contracts", "merges"
#: Packages that the root BUILD.toml maps; no folder of the workspace may take their place.
VIRTUAL_PACKAGES = (GATES, CONTRACTS, MERGES)

_SEGMENT = r"[A-Za-z0-9_.+\-@]+"
_NAME = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*\Z", re.ASCII)
_PACKAGE = re.compile(rf"(?:{_SEGMENT}(?:/{_SEGMENT})*)?\Z", re.ASCII)
_GATE_ID = re.compile(rf"({_SEGMENT}):({_SEGMENT})\Z", re.ASCII)
_MOST_CHARACTERS = 300


@dataclass(frozen=True, slots=True, order=True)
class Label:
    """One target's name.  Ordered by package, then name; printing gives the canonical long form."""

    package: str
    name: str

    def __str__(self) -> str:
        return f"//{self.package}:{self.name}"

    @property
    def gate_id(self) -> str | None:
        """`b200:moonlet_1x10` for //gates/b200:moonlet_1x10, and None for every other label."""
        space, _, rest = self.package.partition("/")
        return f"{rest}:{self.name}" if space == GATES and rest and "/" not in rest + self.name else None

    @property
    def short(self) -> str:
        """What a person types: a gate's id, and the label of everything else."""
        return self.gate_id or str(self)

    @classmethod
    def of_gate(cls, gate_id: str) -> Label:
        """The label of a gate id that has been checked already."""
        space, _, name = gate_id.partition(":")
        return cls(f"{GATES}/{space}", name)


@dataclass(frozen=True, slots=True)
class Pattern:
    """What a command line asks for: one label, a package's targets, or everything below a package."""

    text: str
    package: str
    name: str | None  # a literal target; None for a wildcard
    recursive: bool = False
    maybe_all: bool = False  # ":all", which a target of that name beats
    negative: bool = False

    def matches(self, label: Label) -> bool:
        if self.recursive:
            return not self.package or label.package == self.package or label.package.startswith(self.package + "/")
        if self.name is None:
            return label.package == self.package
        return label == Label(self.package, self.name)


def _bad(text: str, why: str) -> UsageError:
    shown = printable(text, limit=120) or "the empty word"
    return UsageError(f"{shown} is no label: {why}", hint="labels look like //package:name, :name or b200:gate_name")


def _check_package(text: str, package: str) -> None:
    if not _PACKAGE.match(package) or any(part in (".", "..", "...") for part in package.split("/")):
        raise _bad(text, "a package is folders in ASCII letters, digits and _ . + - @")


def parse_label(text: str, package: str = "") -> Label:
    """Read one label; `package` is where `:name` is looked up.

    Raises:
        UsageError: the text is not a label.
    """
    if len(text) > _MOST_CHARACTERS:
        raise _bad(text, f"longer than {_MOST_CHARACTERS} characters")
    gate = _GATE_ID.match(text)
    if gate:
        where, name = f"{GATES}/{gate[1]}", gate[2]
    elif text.startswith(":"):
        where, name = package, text[1:]
    elif text.startswith("//"):
        where, colon, name = text[2:].partition(":")
        if not colon:
            name = where.rpartition("/")[2]
        elif where == GATES and ":" in name:  # //gates:b200:moonlet_1x10, as people will type it
            space, _, name = name.partition(":")
            where = f"{GATES}/{space}"
    else:
        raise _bad(text, "it starts with neither // nor :" if text else "it is empty")
    _check_package(text, where)
    if not _NAME.match(name) or any(part in (".", "..", "...") for part in name.split("/")):
        raise _bad(text, "a name is ASCII letters, digits and _ . + - @")
    return Label(where, name)


def parse_pattern(text: str, package: str = "") -> Pattern:
    """Read a label, `//pkg/...`, `//pkg:all`, or one of these behind a minus sign.

    Raises:
        UsageError: the text is none of these.
    """
    negative = text.startswith("-")
    body = text[1:] if negative else text
    if body in ("//...", "..."):
        return Pattern(text, "", None, recursive=True, negative=negative)
    if body.startswith("//") and body.endswith("/..."):
        where = body[2:-4]
        _check_package(text, where)
        return Pattern(text, where, None, recursive=True, negative=negative)
    label = parse_label(body, package)
    return Pattern(text, label.package, label.name, maybe_all=label.name == "all", negative=negative)
