"""What GitHub answers, cut down to what is used; text in these records is a stranger's."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "Artifact",
    "CheckRun",
    "Comment",
    "Environment",
    "Issue",
    "Merged",
    "Pending",
    "Pull",
    "PullFile",
    "RateLimit",
    "Run",
    "RunJob",
]


@dataclass(frozen=True, slots=True)
class Issue:
    """An issue; GitHub lists pull requests as issues too, and `is_pull` tells them apart."""

    number: int
    title: str
    body: str
    state: str  # open, closed
    author: str
    association: str  # OWNER, MEMBER, COLLABORATOR, CONTRIBUTOR, NONE, ...: what the author is to the repository
    labels: tuple[str, ...]
    updated_at: str
    url: str
    is_pull: bool


@dataclass(frozen=True, slots=True)
class Pull:
    """A pull request.  `head_repo` is "owner/name", "" where the fork is gone."""

    number: int
    title: str
    body: str
    state: str  # open, closed
    draft: bool
    head_sha: str
    head_ref: str
    head_repo: str
    base_sha: str
    base_ref: str
    author: str
    association: str
    merged: bool
    merge_commit_sha: str  # "" where GitHub has none (yet)
    mergeable: bool | None  # None: GitHub has not looked yet
    url: str


@dataclass(frozen=True, slots=True)
class PullFile:
    """A path that a pull request changes; `previous` is where a renamed one was."""

    path: str
    status: str  # added, removed, modified, renamed, copied, changed, unchanged
    previous: str


@dataclass(frozen=True, slots=True)
class Run:
    """A workflow run.  `title` is its run-name, as the workflow made it."""

    id: int
    title: str
    status: str  # queued, waiting, in_progress, completed, requested, pending
    conclusion: str  # success, failure, cancelled, timed_out, action_required, ...; "" before it is completed
    event: str
    head_branch: str
    head_sha: str
    attempt: int
    created_at: str
    url: str


@dataclass(frozen=True, slots=True)
class RunJob:
    """A job of a run.  `step` is the step that runs, or ran last."""

    id: int
    name: str
    status: str
    conclusion: str
    step: str
    started_at: str
    completed_at: str


@dataclass(frozen=True, slots=True)
class Pending:
    """An environment that waits for somebody's approval."""

    environment_id: int
    environment: str
    can_approve: bool  # whether the token's user may


@dataclass(frozen=True, slots=True)
class Environment:
    """A deployment environment of the repository."""

    id: int
    name: str
    reviewed: bool  # whether somebody must approve


@dataclass(frozen=True, slots=True)
class Artifact:
    """What a run left; `bytes` is the size of its zip."""

    id: int
    name: str
    bytes: int
    expired: bool
    digest: str  # "sha256:..." of the zip, "" where GitHub does not say


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment on an issue or a pull request."""

    id: int
    author: str
    body: str
    url: str


@dataclass(frozen=True, slots=True)
class CheckRun:
    """A check on a commit."""

    id: int
    name: str
    head_sha: str
    status: str
    conclusion: str
    external_id: str
    url: str


@dataclass(frozen=True, slots=True)
class Merged:
    """What merging a pull request made."""

    sha: str


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What is left of the hour's requests; `reset_at` is in seconds since 1970."""

    limit: int
    remaining: int
    reset_at: int
