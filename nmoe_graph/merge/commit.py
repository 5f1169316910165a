"""The commit as which a contract lands, and its words: the same whether it is made here or by GitHub."""

from __future__ import annotations

from ..git.program import run_git
from ..git.repository import Repository
from ..git.writing import write_object
from ..plan.merge import Step
from .branches import CONTRACT, SQUASHED

__all__ = ["landing_commit", "landing_words"]


def landing_words(step: Step, head: str) -> tuple[str, str]:
    """Title and text of the commit of a step whose branch is at `head`: the trailers say what has landed."""
    if step.strategy == "merge":
        return f"Merge #{step.contract}: {step.title}", f"{CONTRACT}: {step.contract}"
    return f"{step.title} (#{step.contract})", f"{CONTRACT}: {step.contract}\n{SQUASHED}: {head}"


def landing_commit(repository: Repository, step: Step, parent: str, head: str) -> str:
    """Write the commit of a step: a squash has one parent and its author is the branch's; a merge commit keeps the branch.

    The tree must be written already.

    Raises:
        HostError: git's objects cannot be written.
        SnapshotError: git does not know who commits.
    """
    kind, body = repository.objects.raw(head)
    assert kind == 1 and repository.git
    author = next((line for line in body.split(b"\n\n", 1)[0].split(b"\n") if line.startswith(b"author ")), b"")
    me = run_git(repository.git, repository.root, ["var", "GIT_COMMITTER_IDENT"])[1].strip()
    parents = [parent, head] if step.strategy == "merge" else [parent]
    title, text = landing_words(step, head)
    lines = [f"tree {step.tree}".encode(), *(f"parent {one}".encode() for one in parents)]
    lines += [author if step.strategy != "merge" else b"author " + me, b"committer " + me]
    return write_object(repository, 1, b"\n".join(lines) + b"\n\n" + f"{title}\n\n{text}\n".encode())
