"""What a change touches: its scope, and whether it reaches for the rules that judge it."""

from __future__ import annotations

from dataclasses import dataclass

from ..digest.rules import Rules
from ..git.repository import Repository
from ..load.globs import Glob
from ..model import Contract
from ..plan.control import control_plane

__all__ = ["ChangeFacts", "change_facts", "change_paths", "out_of_scope"]


@dataclass(frozen=True, slots=True)
class ChangeFacts:
    """What lies between the base and a commit.  `fork` is where the two histories went apart."""

    commit: str
    fork: str
    paths: tuple[str, ...]
    out_of_scope: tuple[str, ...]
    control_plane: tuple[str, ...]


def out_of_scope(contract: Contract, paths: tuple[str, ...]) -> tuple[str, ...]:
    """The paths that the contract denies, or does not allow where it names what it allows."""
    allow, deny = [Glob(one) for one in contract.allow], [Glob(one) for one in contract.deny]
    return tuple(
        path for path in paths if any(one.matches(path) for one in deny) or (allow and not any(one.matches(path) for one in allow))
    )


def change_paths(repository: Repository, base: str, commit: str) -> tuple[str, ...]:
    """The paths that a commit changes since its history left that of the base.

    Raises:
        SnapshotError: a commit is not here, or the two have no common history.
    """
    trees = [repository.objects.commit_fields(one)[0] for one in (repository.merge_base(base, commit), commit)]
    return tuple(path for path, _, _ in repository.objects.differences(*trees))


def change_facts(repository: Repository, base: str, commit: str, contract: Contract, rules: Rules) -> ChangeFacts:
    """Look at a change.

    Raises:
        SnapshotError: a commit is not here, or the two have no common history.
    """
    fork, paths = repository.merge_base(base, commit), change_paths(repository, base, commit)
    return ChangeFacts(commit, fork, paths, out_of_scope(contract, paths), tuple(one.path for one in control_plane(paths, rules)))
