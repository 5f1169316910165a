"""The text of a pull request: a title that names the contract, and one block of evidence among whatever people write."""

from __future__ import annotations

import re

from ..errors import DeclarationError
from ..load.lint import decode_body
from ..load.markdown import find_block
from ..model import Contract

__all__ = ["first_body", "issue_of_title", "pull_title", "with_block"]

_TITLE = re.compile(r"\[([0-9]{1,6}[a-z]{0,3})\] \S")
_HEADING = "## Attestation"


def pull_title(contract: Contract) -> str:
    return f"[{contract.issue}] {contract.title or contract.slug}"


def issue_of_title(title: str) -> str:
    """The contract that a title names; "" for none."""
    found = _TITLE.match(title)
    return found[1] if found else ""


def first_body(contract: Contract, block: str, closes: int = 0) -> str:
    """A new pull request's text.  `closes` is the issue that holds the contract."""
    about = f"Contract {contract.issue}" + (f", closes #{closes}" if closes else "")
    return f"{about}.\n\n{_fenced(block)}\n"


def with_block(body: str, block: str) -> str:
    """A body with its block of evidence replaced, and everything else as people wrote it; with one added where it has none.

    Raises:
        DeclarationError: there is more than one block, or its fence is not closed: a person has to look.
    """
    text = decode_body(body.encode("utf-8", "surrogatepass"), "the pull request")
    try:
        found = find_block(text, "the pull request", "nmoe_pr")
    except DeclarationError as error:
        if not any("no block found" in fault.what for fault in error.faults):
            raise
        return f"{text.rstrip()}\n\n{_fenced(block)}\n".lstrip()
    lines = text.split("\n")
    end = found.first_line + found.text.count("\n")
    return "\n".join([*lines[: found.first_line], *block.rstrip("\n").split("\n"), *lines[end:]])


def _fenced(block: str) -> str:
    return f"{_HEADING}\n\n```yaml\n{block.rstrip()}\n```"
