"""Globs, matched segment by segment in linear time.

`*` and `?` stay inside one path segment, `**` stands for any number of whole segments.  There are no braces and no brackets:
a pattern comes from people who may be hostile, and must cost no more than its length times that of the path.
"""

from __future__ import annotations

import functools

__all__ = ["Glob"]


def _segment_matches(pattern: str, text: str) -> bool:
    """One segment against one name: greedy with a single point to fall back to, so never exponential."""
    at, here = 0, 0
    star, resume = -1, 0
    while here < len(text):
        if at < len(pattern) and (pattern[at] == "?" or (pattern[at] == text[here] and pattern[at] != "*")):
            at, here = at + 1, here + 1
        elif at < len(pattern) and pattern[at] == "*":
            star, resume = at, here
            at += 1
        elif star >= 0:
            resume += 1
            at, here = star + 1, resume
        else:
            return False
    return all(char == "*" for char in pattern[at:])


@functools.lru_cache(maxsize=4096)
def _parts(pattern: str) -> tuple[str, ...]:
    parts: list[str] = []
    for part in pattern.split("/"):
        if part == "**" and parts and parts[-1] == "**":
            continue
        parts.append(part)
    return tuple(parts)


class Glob:
    """One pattern.  `x/**` matches everything below x, and not x itself."""

    __slots__ = ("is_literal", "literal_prefix", "parts", "pattern")

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.parts = _parts(pattern)
        self.is_literal = "*" not in pattern and "?" not in pattern
        fixed: list[str] = []
        for part in self.parts[:-1]:
            if "*" in part or "?" in part:
                break
            fixed.append(part)
        #: The longest leading folder without a wildcard; "" where there is none.
        self.literal_prefix = "/".join(fixed)

    def _states(self, names: list[str]) -> set[int]:
        """Positions in the pattern that a prefix of a path can lead to."""
        parts = self.parts

        def close(states: set[int]) -> set[int]:
            for state in sorted(states):
                while state < len(parts) and parts[state] == "**":
                    state += 1
                    states.add(state)
            return states

        states = close({0})
        for name in names:
            step: set[int] = set()
            for state in states:
                if state < len(parts):
                    if parts[state] == "**":
                        step.add(state)
                    elif _segment_matches(parts[state], name):
                        step.add(state + 1)
            states = close(step)
            if not states:
                break
        return states

    def matches(self, path: str) -> bool:
        """True if the whole path matches."""
        if self.is_literal:
            return path == self.pattern
        names = path.split("/")
        if self.parts[-1] == "**":  # at least one name below
            return len(self.parts) == 1 or bool({len(self.parts) - 1} & self._states(names[:-1]))
        return len(self.parts) in self._states(names)

    def may_match_below(self, folder: str) -> bool:
        """False only if nothing below the folder can match."""
        if not folder:
            return True
        states = self._states(folder.split("/"))
        return any(state < len(self.parts) for state in states)
