"""Who may author a contract: `[issues]` of the root BUILD.toml, as the base has it."""

from __future__ import annotations

from ..errors import DeclarationError, SnapshotError
from ..git.snapshot import Snapshot
from ..load.build import load_build
from ..load.discover import BUILD_FILE
from ..model import IssuePolicy

__all__ = ["issue_policy", "may_author"]


def issue_policy(base: Snapshot) -> IssuePolicy:
    """The policy of a base; without `[issues]`, owners, members and collaborators may author.

    Raises:
        DeclarationError, SnapshotError: the base's BUILD.toml is wrong, or is not there.
    """
    data = base.read(BUILD_FILE)
    if data is None:
        raise SnapshotError(f"{base.name} has no {BUILD_FILE}, so nobody may author a contract")
    try:
        return load_build(data, BUILD_FILE, "").issues
    except DeclarationError as error:
        what = f"the {BUILD_FILE} of {base.name} cannot be read, so nobody may author a contract: {error.faults[0].what}"
        raise SnapshotError(what) from None


def may_author(policy: IssuePolicy, author: str, association: str) -> str:
    """Why somebody may not author a contract; "" where they may."""
    if author and author.casefold() in {one.casefold() for one in policy.authors}:
        return ""
    if association in policy.associations:
        return ""
    listed = ", ".join(policy.associations)
    return f"its author is {association or 'nobody'} here, and contracts count from {listed or 'nobody'}" + (
        " and named authors" if policy.authors else ""
    )
