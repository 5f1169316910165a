"""One comment and one check for one thing that is said: found again by a mark of ours, changed in place, never doubled.

A mark is a line that only its author may have written: a comment counts as ours if whoever the token belongs to wrote it.
"""

from __future__ import annotations

import hashlib
from typing import Protocol

from ..forge.errors import ForgeError, Trouble
from ..forge.records import CheckRun, Comment
from ..markdown import Markdown

__all__ = ["ACTIONS", "Forge", "mark", "say_check", "say_comment", "try_check"]


#: Who speaks with the token of a workflow.
ACTIONS = "github-actions[bot]"


class Forge(Protocol):
    """What is asked of GitHub."""

    def viewer(self) -> str: ...

    def comments(self, number: int) -> tuple[Comment, ...]: ...

    def create_comment(self, number: int, body: str) -> Comment: ...

    def update_comment(self, comment_id: int, body: str) -> Comment: ...

    def checks(self, ref: str) -> tuple[CheckRun, ...]: ...

    def create_check(
        self,
        name: str,
        head_sha: str,
        *,
        status: str,
        conclusion: str = "",
        title: str = "",
        summary: str = "",
        external_id: str = "",
        details_url: str = "",
    ) -> CheckRun: ...

    def update_check(
        self,
        check_id: int,
        *,
        status: str,
        conclusion: str = "",
        title: str = "",
        summary: str = "",
        external_id: str = "",
        details_url: str = "",
    ) -> CheckRun: ...


def mark(kind: str, key: str) -> str:
    """The first line of a comment that says one thing: its kind, and what it is about."""
    return f"<!-- nmoe-graph {kind} {hashlib.sha256(key.encode()).hexdigest()[:20]} -->"


def say_comment(forge: Forge, number: int, kind: str, key: str, body: Markdown, *, others: tuple[str, ...] = ()) -> Comment:
    """Say something on a pull request, or bring what was said up to date.

    What one of `others` has said under the same mark is left as it is, and nothing is added.  Where nobody knows whether the
    comment was made, the next look finds it.

    Raises:
        ForgeError: GitHub refused.
    """
    first = mark(kind, key)
    text = f"{first}\n{body}"
    if others:
        for one in forge.comments(number):
            if one.author in others and one.author != forge.viewer() and _bears(one, first):
                return one
    found = _own(forge, number, first)
    if found is None:
        try:
            return forge.create_comment(number, text)
        except ForgeError as error:
            found = _own(forge, number, first) if error.uncertain else None
            if found is None:
                raise
    return found if found.body.replace("\r\n", "\n").strip() == text.strip() else forge.update_comment(found.id, text)


def _own(forge: Forge, number: int, first: str) -> Comment | None:
    me = forge.viewer()
    return next((one for one in forge.comments(number) if one.author == me and _bears(one, first)), None)


def _bears(comment: Comment, first: str) -> bool:
    return comment.body.partition("\n")[0].strip() == first


def say_check(forge: Forge, name: str, commit: str, key: str, *, passed: bool, title: str, summary: Markdown) -> CheckRun:
    """Put a completed check on a commit, or bring the one that is there up to date.

    Raises:
        ForgeError: GitHub refused.
    """
    external = f"nmoe-graph:{hashlib.sha256(key.encode()).hexdigest()[:32]}"
    conclusion = "success" if passed else "failure"
    found = next((one for one in forge.checks(commit) if one.name == name and one.external_id == external), None)
    if found is None:
        try:
            return forge.create_check(
                name, commit, status="completed", conclusion=conclusion, title=title, summary=summary, external_id=external
            )
        except ForgeError as error:
            again = forge.checks(commit) if error.uncertain else ()
            found = next((one for one in again if one.name == name and one.external_id == external), None)
            if found is None:
                raise
    return forge.update_check(
        found.id, status="completed", conclusion=conclusion, title=title, summary=summary, external_id=external
    )


def try_check(forge: Forge, name: str, commit: str, key: str, *, passed: bool, title: str, summary: Markdown) -> str:
    """The same, as far as the token may: GitHub lets apps alone write checks, and a workflow's token is one; why not, or "".

    A check that says the same already, whoever wrote it, is as good as one of ours.

    Raises:
        ForgeError: GitHub refused for another reason.
    """
    try:
        say_check(forge, name, commit, key, passed=passed, title=title, summary=summary)
    except ForgeError as error:
        if error.trouble is not Trouble.FORBIDDEN:
            raise
        conclusion = "success" if passed else "failure"
        if any((one.name, one.conclusion) == (name, conclusion) for one in forge.checks(commit)):
            return ""
        return f"the check {name!r} was not written: GitHub lets apps alone do that, and this token is a person's"
    return ""
