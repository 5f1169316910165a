"""GitHub's JSON to records: every value is looked at, and what is not as described is one error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from .errors import ForgeError, Trouble
from .records import (
    Artifact,
    CheckRun,
    Comment,
    Environment,
    Issue,
    Pending,
    Pull,
    PullFile,
    RateLimit,
    Run,
    RunJob,
)

__all__ = [
    "Reader",
    "artifact",
    "check_run",
    "comment",
    "environment",
    "issue",
    "job",
    "limits",
    "links",
    "pending",
    "pull",
    "pull_file",
    "run",
]

_Record = TypeVar("_Record")


class Reader:
    """A JSON object of GitHub's, read by name.

    Raises (all methods):
        ForgeError: a value is missing or of another type; `uncertain` where the answer was to a write.
    """

    __slots__ = ("_value", "_wrote", "what")

    def __init__(self, value: Any, what: str, wrote: bool = False) -> None:
        self.what, self._wrote = what, wrote
        if not isinstance(value, dict):
            raise self.wrong("is no object")
        self._value: dict[str, Any] = value

    def wrong(self, how: str) -> ForgeError:
        hint = "it was done all the same" if self._wrote else "does the base URL name GitHub's API?"
        return ForgeError(f"GitHub: the answer's {self.what} {how}", Trouble.BROKEN, hint, uncertain=self._wrote)

    def text(self, name: str, *, absent: bool = False) -> str:
        """A text; null, and where `absent` says so no value at all, is ""."""
        if name not in self._value and not absent:
            raise self.wrong(f"has no {name}")
        value = self._value.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self.wrong(f"has a {name} that is no text")
        # JSON can spell half a surrogate pair; UTF-8 cannot.
        return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")

    def number(self, name: str) -> int:
        value = self._value.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
            raise self.wrong(f"has no {name} that is a number")
        return value

    def flag(self, name: str) -> bool:
        """Whether it is true; absent and null are false."""
        value = self._value.get(name)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(f"has a {name} that is neither true nor false")
        return bool(value)

    def sha(self, name: str) -> str:
        value = self.text(name)
        if len(value) != 40 or set(value) - set("0123456789abcdef"):
            raise self.wrong(f"has a {name} that names no commit")
        return value

    def has(self, name: str) -> bool:
        return self._value.get(name) is not None

    def inside(self, name: str) -> Reader:
        return Reader(self._value.get(name), f"{self.what}.{name}", self._wrote)

    def login(self, name: str = "user") -> str:
        """Who it was; "" where the account is gone."""
        return self.inside(name).text("login") if self.has(name) else ""

    def each(self, name: str, read: Callable[[Reader], _Record]) -> tuple[_Record, ...]:
        return records(self._value.get(name), f"{self.what}.{name}", read)


def records(value: Any, what: str, read: Callable[[Reader], _Record]) -> tuple[_Record, ...]:
    """A list of records."""
    if not isinstance(value, list):
        raise ForgeError(f"GitHub: the answer's {what} is no list", Trouble.BROKEN)
    return tuple(read(Reader(one, what)) for one in value)


def _label(value: Any, issue_: Reader) -> str:
    return value if isinstance(value, str) else Reader(value, f"{issue_.what}.labels").text("name")


def issue(one: Reader) -> Issue:
    labels = one._value.get("labels")
    if not isinstance(labels, list):
        raise one.wrong("has no list of labels")
    return Issue(
        number=one.number("number"),
        title=one.text("title"),
        body=one.text("body", absent=True),
        state=one.text("state"),
        author=one.login(),
        association=one.text("author_association", absent=True) or "NONE",
        labels=tuple(_label(value, one) for value in labels),
        updated_at=one.text("updated_at"),
        url=one.text("html_url"),
        is_pull=one.has("pull_request"),
    )


def pull(one: Reader) -> Pull:
    head, base = one.inside("head"), one.inside("base")
    merged = one.flag("merged") or one.has("merged_at")
    return Pull(
        number=one.number("number"),
        title=one.text("title"),
        body=one.text("body"),
        state=one.text("state"),
        draft=one.flag("draft"),
        head_sha=head.sha("sha"),
        head_ref=head.text("ref"),
        head_repo=head.inside("repo").text("full_name") if head.has("repo") else "",
        base_sha=base.sha("sha"),
        base_ref=base.text("ref"),
        author=one.login(),
        association=one.text("author_association", absent=True) or "NONE",
        merged=merged,
        merge_commit_sha=one.text("merge_commit_sha", absent=True),
        mergeable=one.flag("mergeable") if one.has("mergeable") else None,
        url=one.text("html_url"),
    )


def pull_file(one: Reader) -> PullFile:
    return PullFile(one.text("filename"), one.text("status"), one.text("previous_filename", absent=True))


def run(one: Reader) -> Run:
    return Run(
        id=one.number("id"),
        title=one.text("display_title", absent=True),
        status=one.text("status"),
        conclusion=one.text("conclusion"),
        event=one.text("event"),
        head_branch=one.text("head_branch"),
        head_sha=one.sha("head_sha"),
        attempt=one.number("run_attempt") if one.has("run_attempt") else 1,
        created_at=one.text("created_at"),
        url=one.text("html_url"),
    )


def job(one: Reader) -> RunJob:
    steps = one.each("steps", lambda step: (step.text("name"), step.text("status"))) if one.has("steps") else ()
    begun = [name for name, status in steps if status != "queued" and status != "pending"]
    return RunJob(
        id=one.number("id"),
        name=one.text("name"),
        status=one.text("status"),
        conclusion=one.text("conclusion"),
        step=begun[-1] if begun else "",
        started_at=one.text("started_at"),
        completed_at=one.text("completed_at"),
    )


def pending(one: Reader) -> Pending:
    where = one.inside("environment")
    return Pending(where.number("id"), where.text("name"), one.flag("current_user_can_approve"))


def environment(one: Reader) -> Environment:
    rules = one.each("protection_rules", lambda rule: rule.text("type")) if one.has("protection_rules") else ()
    return Environment(one.number("id"), one.text("name"), "required_reviewers" in rules)


def artifact(one: Reader) -> Artifact:
    return Artifact(
        one.number("id"), one.text("name"), one.number("size_in_bytes"), one.flag("expired"), one.text("digest", absent=True)
    )


def comment(one: Reader) -> Comment:
    return Comment(one.number("id"), one.login(), one.text("body", absent=True), one.text("html_url"))


def check_run(one: Reader) -> CheckRun:
    return CheckRun(
        id=one.number("id"),
        name=one.text("name"),
        head_sha=one.sha("head_sha"),
        status=one.text("status"),
        conclusion=one.text("conclusion"),
        external_id=one.text("external_id"),
        url=one.text("html_url"),
    )


def links(one: Reader) -> tuple[str, str]:
    """Where a deployment's status leads: its log and its target."""
    return one.text("log_url", absent=True), one.text("target_url", absent=True)


def limits(one: Reader) -> RateLimit:
    core = one.inside("resources").inside("core")
    return RateLimit(core.number("limit"), core.number("remaining"), core.number("reset"))
