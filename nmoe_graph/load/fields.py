"""Field types that declarations share: what a path, an id, a glob, a number may look like.

A validator raises ValueError("what || hint"); `text.Reading` turns it into a fault with its place.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictInt, StrictStr

from .yamltext import Plain, Quoted

__all__ = [
    "Flag",
    "Glob",
    "Ids",
    "IssueId",
    "LineText",
    "Model",
    "Number",
    "Ref",
    "RelPath",
    "ScopeGlob",
    "Slug",
    "StrictBool",
    "StrictInt",
    "StrictStr",
    "check_path",
    "unique",
]

_ISSUE = re.compile(r"[0-9]{1,6}[a-z]{0,3}\Z", re.ASCII)
_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*\Z", re.ASCII)
_REF = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_./\-~^@]*\Z", re.ASCII)
_NUMBER = re.compile(r"[-+]?(?:\d{1,15}(?:\.\d{1,15})?|\.\d{1,15})\Z", re.ASCII)


class Model(BaseModel):
    """Unknown keys are errors: a typo must not drop what it meant to say."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


def _line(value: str) -> str:
    if "\n" in value or "\r" in value:
        raise ValueError("must be one line")
    bad = next((char for char in value if not char.isprintable()), "")
    if bad:
        raise ValueError(f"holds the control character U+{ord(bad):04X}, an escape || delete it")
    if not value.strip():
        raise ValueError("is empty")
    if "${{" in value:
        raise ValueError("holds an Actions expression ${{ || write plain text")
    return str(value)


def check_path(value: str) -> str:
    """A path or pattern inside the workspace.

    Raises:
        ValueError: it is absolute, leaves the workspace, or reaches git's own folder.
    """
    _line(value)
    if "\\" in value:
        raise ValueError("holds a backslash || separate folders with /")
    if value.startswith(("/", "~")) or re.match(r"[A-Za-z]:", value):
        raise ValueError(f"{value} is absolute || paths are relative to the workspace")
    parts = value.split("/")
    if ".." in parts:
        raise ValueError(f"{value} leads outside with .. || stay inside the workspace")
    if any(part.casefold() in (".git", "git~1") for part in parts):
        raise ValueError(f"{value} reaches git's own folder, .git || it is no part of any tree")
    if len(value) > 1000 or len(parts) > 64:
        raise ValueError("is too long")
    return str(value)


def _clean_parts(value: str) -> str:
    check_path(value)
    if any(part in ("", ".") for part in value.rstrip("/").split("/")):
        raise ValueError(f"{value} has an empty or . segment || write it the short way")
    return value


def _glob(value: str) -> str:
    _clean_parts(value)
    if "**" in value and any("**" in part and part != "**" for part in value.split("/")):
        raise ValueError(f"{value}: ** must be a whole segment || nmoe/**/*.py")
    return value


def _scope(value: str) -> str:
    _glob(value)
    if set(value) & set("{}[]!"):
        raise ValueError(
            "patterns know *, ? and **; braces, brackets and ! have no meaning in this pattern || list the paths one by one"
        )
    if not value.isascii():
        raise ValueError("a scope pattern is ASCII")
    return value


def _issue(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise ValueError("must be text, an issue id as written: 01, 03a")
    if not _ISSUE.match(value):
        shown = value if len(value) <= 40 else value[:40] + "…"
        raise ValueError(f"{shown} is no issue id || an id is up to six digits and maybe letters: 01, 03a")
    return str(value)


def _slug(value: str) -> str:
    if not _SLUG.match(value) or len(value) > 60:
        bad = next((char for char in value if not char.isascii()), "")
        detail = f", it holds the character U+{ord(bad):04X}" if bad else ""
        raise ValueError(f"is no slug{detail} || lower-case ASCII words joined by -, such as global-attention")
    return str(value)


def _ref(value: str) -> str:
    if not _REF.match(value) or ".." in value or "@{" in value or value.endswith((".lock", "/")) or len(value) > 200:
        raise ValueError("is no ref || a branch, a tag or a SHA, such as origin/master")
    return str(value)


def _number(value: Any) -> float | int:
    """YAML 1.2's plain decimals and nothing else: no sexagesimal, no octal, no exponent, no NaN."""
    if isinstance(value, Quoted):
        raise ValueError("must be a number, not text in quotes")
    if isinstance(value, Plain):
        if not _NUMBER.match(value):
            raise ValueError(f"{str(value)[:40]} is no finite number || a plain decimal, such as -10 or 2.5")
        return float(value) if "." in value else int(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError("must be a number")
    if not math.isfinite(value):
        raise ValueError("must be a finite number")
    return value


def _flag(value: Any) -> bool:
    if isinstance(value, Plain) and value in ("true", "false"):
        return value == "true"
    if isinstance(value, bool):
        return value
    raise ValueError("must be true or false")


def unique(values: list[str]) -> list[str]:
    """The values.

    Raises:
        ValueError: one stands twice.
    """
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise ValueError(f"duplicate: {value} stands twice || keep one")
        seen.add(value)
    return values


LineText = Annotated[StrictStr, Field(max_length=2000), AfterValidator(_line)]
RelPath = Annotated[StrictStr, AfterValidator(_clean_parts)]
Glob = Annotated[StrictStr, AfterValidator(_glob)]
ScopeGlob = Annotated[StrictStr, AfterValidator(_scope)]
IssueId = Annotated[str, BeforeValidator(_issue)]
Slug = Annotated[StrictStr, AfterValidator(_slug)]
Ref = Annotated[StrictStr, AfterValidator(_ref)]
Number = Annotated[float | int, BeforeValidator(_number)]
Flag = Annotated[bool, BeforeValidator(_flag)]
Ids = AfterValidator(unique)
