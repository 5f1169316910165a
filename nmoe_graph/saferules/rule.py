"""The shape of a rule, and the pieces that patterns share."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["B", "E", "NAME", "REST", "Rule"]


class Rule(NamedTuple):
    """`only` are lower-case words of which a line must hold one for the pattern to be worth a try; none means any line."""

    kind: str
    name: str
    pattern: str
    only: tuple[str, ...] = ()
    alike: Callable[[str, re.Match[str]], bool] | None = None  # true where the hit only looks alike


B = r"(?<![A-Za-z0-9_])"  # not inside a word
E = r"(?![A-Za-z0-9])"
NAME = r"[a-z][a-z0-9]{0,30}(?:[\-_][a-z0-9]{1,30}){1,8}"
REST = r"(?:/[^\s:'\",;)\]}>]{0,400})?"
