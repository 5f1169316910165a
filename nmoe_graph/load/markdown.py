"""The one YAML block that counts in a Markdown body.

Fenced blocks are found line by line, as CommonMark has them: ``` or ~~~, closed by at least as many of the same.  What is
quoted is somebody else's, and what stands in an HTML comment is invisible to people; neither counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import DeclarationError, Fault, Location

__all__ = ["Block", "find_block"]

_OPEN = re.compile(r" {0,3}(`{3,}|~{3,})[ \t]*([^\s`]{0,40})[^`]*\Z")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block; `first_line` counts the lines of the body before its text."""

    text: str
    first_line: int
    closed: bool
    language: str


def _blocks(text: str) -> list[Block]:
    found = []
    fence = ""
    language = ""
    start = 0
    lines = text.split("\n")
    comment = False
    for number, line in enumerate(lines):
        if fence:
            stripped = line.strip()
            if stripped and len(stripped) >= len(fence) and not stripped.strip(fence[0]) and len(line) - len(line.lstrip(" ")) <= 3:
                found.append(Block("\n".join(lines[start:number]) + "\n", start, True, language))
                fence = ""
            continue
        if comment:
            comment = "-->" not in line
            continue
        if "<!--" in line:
            before, _, after = line.partition("<!--")
            comment = "-->" not in after
            if not before.strip():
                continue
        opened = _OPEN.match(line) if line.lstrip(" ")[:1] in ("`", "~") else None
        if opened:
            fence, language, start = opened[1], opened[2].casefold(), number + 1
    if fence:
        found.append(Block("\n".join(lines[start:]), start, False, language))
    return found


def find_block(text: str, file: str, key: str) -> Block:
    """The only YAML block that has `key` at its top level.

    Raises:
        DeclarationError: there is none, more than one, or its fence is not closed.
    """
    pattern = re.compile(rf"^(?:[\"']?){re.escape(key)}(?:[\"']?)[ \t]*:", re.MULTILINE)
    candidates = [block for block in _blocks(text) if block.language in ("yaml", "yml", "") and pattern.search(block.text)]
    hint = f"one fenced block ```yaml that begins with {key}:"
    if not candidates:
        raise DeclarationError(
            Fault(
                f"no contract block found: {key} is missing" if key == "nmoe" else f"no block found: {key} is missing",
                Location(file, 1, 1),
                hint,
            )
        )
    first = candidates[0]
    if not first.closed:
        raise DeclarationError(
            Fault("the fence of the block is not closed", Location(file, first.first_line, 1), "end it with ```")
        )
    if re.search(r"^ {0,3}(?:```|~~~)", first.text, re.MULTILINE):
        raise DeclarationError(
            Fault(
                "a fence inside the YAML block", Location(file, first.first_line + 1, 1), "paste the YAML without its own ``` fence"
            )
        )
    if len(candidates) > 1:
        places = ", ".join(str(block.first_line + 1) for block in candidates)
        raise DeclarationError(
            Fault(f"more than one block with {key}: at lines {places}", Location(file, candidates[1].first_line + 1, 1), "keep one")
        )
    return first
