"""Three-way merges of text, only where no way of comparing lines could come to another result.

Each side's change is the stretch between the first and the last line that differs from the base.  The two stretches must lie
apart, with a line between them that stands once in each of the three texts: no comparison can then slide or stretch one
change into the other.  Everything else is left to git.
"""

from __future__ import annotations

from collections import Counter

__all__ = ["merge_lines"]

_LOOKED_AT_FOR_NUL = 8000  # git calls a file binary if a NUL is among so many bytes


def _hull(old: list[bytes], new: list[bytes]) -> tuple[int, int, int]:
    """Where two texts differ: from and to in the old one, and to in the new one."""
    start, most = 0, min(len(old), len(new))
    while start < most and old[start] == new[start]:
        start += 1
    end = 0
    while end < most - start and old[-1 - end] == new[-1 - end]:
        end += 1
    return start, len(old) - end, len(new) - end


def merge_lines(base: bytes, ours: bytes, theirs: bytes) -> bytes | None:
    """The merged text, or None where only git can say."""
    if any(b"\0" in one[:_LOOKED_AT_FOR_NUL] for one in (base, ours, theirs)):
        return None
    old, one, two = _split(base), _split(ours), _split(theirs)
    one_hull, two_hull = _hull(old, one), _hull(old, two)
    first, second, first_hull, second_hull = (
        (one, two, one_hull, two_hull) if one_hull[1] <= two_hull[0] else (two, one, two_hull, one_hull)
    )
    gap = old[first_hull[1] : second_hull[0]]
    if first_hull[1] > second_hull[0] or not gap:
        return None
    counts = [Counter(text) for text in (old, one, two)]
    if not any(all(count[line] == 1 for count in counts) for line in gap):
        return None
    return b"".join([*first[: first_hull[2]], *gap, *second[second_hull[0] :]])


def _split(text: bytes) -> list[bytes]:
    """Lines end at a line feed and nowhere else."""
    parts = text.split(b"\n")
    lines = [part + b"\n" for part in parts[:-1]]
    return [*lines, parts[-1]] if parts[-1] else lines
