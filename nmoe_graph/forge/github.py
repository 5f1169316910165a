"""GitHub as far as it is used: a closed list of operations, arguments checked, records returned."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import UsageError, printable
from . import answers, arguments
from .answers import Reader
from .arguments import MOST_BODY
from .errors import ForgeError, Trouble
from .operations import OPERATIONS
from .records import Artifact, CheckRun, Comment, Environment, Issue, Merged, Pending, Pull, PullFile, RateLimit, Run, RunJob
from .token import Token
from .transport import Transport
from .where import Where

if TYPE_CHECKING:
    import httpx2

__all__ = ["GitHub"]

_Record = TypeVar("_Record")

_A_PAGE = 100
_MOST_PAGES = 50
_MOST_FILES = 3_000  # GitHub lists no more of a pull request
_MOST_TITLE = 256
_ACTIONS = "github-actions[bot]"
_STATES = ("open", "closed", "all")
_CHECK_STATES = ("queued", "in_progress", "completed")
_CONCLUSIONS = ("success", "failure", "neutral", "cancelled", "skipped", "timed_out", "action_required")


class GitHub:
    """One repository on GitHub.

    Args:
        timeout_s: for a connection's silence.
        patience_s: how long one call may wait in total where GitHub asks to, or is not well.
        now, sleep, over, notify: see `Transport`.

    Raises (all methods):
        UsageError: an argument cannot be; nothing was sent.
        ForgeError: see `Trouble`; `uncertain` where a write may have happened.
        HostError: ghapi is not installed.
    """

    def __init__(
        self,
        where: Where,
        token: Token,
        *,
        timeout_s: float = 30.0,
        patience_s: float = 300.0,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        over: httpx2.BaseTransport | None = None,
        notify: Callable[[str], None] = lambda words: None,
    ) -> None:
        self.where = where
        self._viewer: str | None = None
        self._transport = Transport(
            where, token, timeout_s=timeout_s, patience_s=patience_s, now=now, sleep=sleep, over=over, notify=notify
        )

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> GitHub:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- how all of them ask ---------------------------------------------------------------------------------------------------

    def _one(self, name: str, read: Callable[[Reader], _Record], what: str, body: Any = None, **route: str | int) -> _Record:
        operation = OPERATIONS[name]
        _, value = self._transport.call(operation, route, None, body)
        return read(Reader(value, what, operation.writes))

    def _list(
        self,
        name: str,
        read: Callable[[Reader], _Record],
        key: str = "",
        most: int = _A_PAGE * _MOST_PAGES,
        query: Mapping[str, Any] | None = None,
        cut: bool = False,
        **route: str | int,
    ) -> tuple[_Record, ...]:
        """All of a list that has pages; the first `most` where it may be `cut`."""
        operation = OPERATIONS[name]
        asked = {"per_page": min(_A_PAGE, most), **(query or {})}
        found: list[_Record] = []
        unread = False
        for page in self._transport.pages(operation, route, asked, -(-most // _A_PAGE)):
            value, unread = page
            found += Reader(value, name).each(key, read) if key else answers.records(value, name, read)
            if cut and len(found) >= most:
                return tuple(found[:most])
        if unread and not cut:
            raise ForgeError(f"GitHub: {name}: more than {most:,} entries", Trouble.REFUSED, "ask for fewer")
        return tuple(found)

    # -- workflow runs ---------------------------------------------------------------------------------------------------------

    def dispatch(self, workflow: str, ref: str, inputs: Mapping[str, str]) -> int | None:
        """Start a workflow, at most once.  Its run's id, None where GitHub does not tell: then `runs` has it by title."""
        body = {"ref": arguments.branch(ref), "inputs": arguments.inputs(inputs), "return_run_details": True}
        operation, route = OPERATIONS["actions/create-workflow-dispatch"], {"workflow_id": arguments.workflow(workflow)}
        try:
            status, value = self._transport.call(operation, route, None, body)
        except ForgeError as error:
            # An older Enterprise Server does not know the flag and says so before it does anything.
            if error.status != 422 or "return_run_details" not in error.said:
                raise
            del body["return_run_details"]
            status, value = self._transport.call(operation, route, None, body)
        return None if status == 204 else Reader(value, "dispatch", True).number("workflow_run_id")

    def runs(self, workflow: str, *, event: str = "", created: str = "", branch: str = "", most: int = 100) -> tuple[Run, ...]:
        """The latest runs of a workflow, newest first."""
        query = {
            "event": arguments.one_of(event, ("", "workflow_dispatch", "push", "pull_request", "schedule"), "event"),
            "created": arguments.created(created),
            "branch": arguments.branch(branch) if branch else "",
        }
        name, file = "actions/list-workflow-runs", arguments.workflow(workflow)
        most = min(arguments.positive(most, "number of runs"), _A_PAGE * _MOST_PAGES)
        return self._list(name, answers.run, "workflow_runs", most, query, True, workflow_id=file)

    def run(self, run_id: int) -> Run:
        return self._one("actions/get-workflow-run", answers.run, "run", run_id=arguments.positive(run_id, "run"))

    def jobs(self, run_id: int) -> tuple[RunJob, ...]:
        """The jobs of a run's latest attempt."""
        run_id = arguments.positive(run_id, "run")
        return self._list("actions/list-jobs-for-workflow-run", answers.job, "jobs", run_id=run_id)

    def job_log(self, job_id: int, most_bytes: int = 64 << 20) -> bytes:
        """What a job printed; a stranger's bytes."""
        route = {"job_id": arguments.positive(job_id, "job")}
        return self._transport.fetch(
            OPERATIONS["actions/download-job-logs-for-workflow-run"], route, arguments.positive(most_bytes, "bound")
        )

    def cancel(self, run_id: int) -> None:
        """Ask a run to end; CONFLICT where it has ended."""
        self._transport.call(OPERATIONS["actions/cancel-workflow-run"], {"run_id": arguments.positive(run_id, "run")})

    def pending(self, run_id: int) -> tuple[Pending, ...]:
        """The environments that a run waits for."""
        operation = OPERATIONS["actions/get-pending-deployments-for-run"]
        _, value = self._transport.call(operation, {"run_id": arguments.positive(run_id, "run")})
        return answers.records(value, "pending deployments", answers.pending)

    def review(self, run_id: int, environment_ids: Sequence[int], state: str, comment: str) -> None:
        """Approve or reject what a run waits for, in the token's name."""
        if not environment_ids:
            raise UsageError("no environment is named")
        body = {
            "environment_ids": [arguments.positive(one, "environment") for one in environment_ids],
            "state": arguments.one_of(state, ("approved", "rejected"), "decision"),
            "comment": arguments.text(comment, "comment", MOST_BODY, lines=True),
        }
        operation = OPERATIONS["actions/review-pending-deployments-for-run"]
        self._transport.call(operation, {"run_id": arguments.positive(run_id, "run")}, None, body)

    def artifacts(self, run_id: int) -> tuple[Artifact, ...]:
        run_id = arguments.positive(run_id, "run")
        return self._list("actions/list-workflow-run-artifacts", answers.artifact, "artifacts", run_id=run_id)

    def download(self, artifact_id: int, most_bytes: int = 64 << 20) -> bytes:
        """An artifact's zip; a stranger's bytes (`archive` reads them)."""
        route: dict[str, str | int] = {"artifact_id": arguments.positive(artifact_id, "artifact"), "archive_format": "zip"}
        return self._transport.fetch(OPERATIONS["actions/download-artifact"], route, arguments.positive(most_bytes, "bound"))

    # -- issues ----------------------------------------------------------------------------------------------------------------

    def issues(self, *, labels: Iterable[str] = (), state: str = "open") -> tuple[Issue, ...]:
        """Issues that have all the labels, pull requests among them (`is_pull`), oldest first."""
        query = {
            "labels": ",".join(arguments.label_names(labels)),
            "state": arguments.one_of(state, _STATES, "state"),
            "sort": "created",
            "direction": "asc",
        }
        return self._list("issues/list-for-repo", answers.issue, query=query)

    def issue(self, number: int) -> Issue:
        return self._one("issues/get", answers.issue, "issue", issue_number=arguments.positive(number, "issue"))

    def create_issue(self, title: str, body: str, labels: Iterable[str] = ()) -> Issue:
        sent = {
            "title": arguments.text(title, "title", _MOST_TITLE),
            "body": arguments.text(body, "body", MOST_BODY, lines=True, empty=True),
            "labels": arguments.label_names(labels),
        }
        return self._one("issues/create", answers.issue, "issue", sent)

    def comments(self, number: int) -> tuple[Comment, ...]:
        """The comments of an issue or a pull request, oldest first."""
        return self._list("issues/list-comments", answers.comment, issue_number=arguments.positive(number, "issue"))

    def create_comment(self, number: int, body: str) -> Comment:
        sent = {"body": arguments.text(body, "comment", MOST_BODY, lines=True)}
        return self._one(
            "issues/create-comment", answers.comment, "comment", sent, issue_number=arguments.positive(number, "issue")
        )

    def update_comment(self, comment_id: int, body: str) -> Comment:
        sent = {"body": arguments.text(body, "comment", MOST_BODY, lines=True)}
        route = arguments.positive(comment_id, "comment")
        return self._one("issues/update-comment", answers.comment, "comment", sent, comment_id=route)

    # -- pull requests ---------------------------------------------------------------------------------------------------------

    def pulls(self, *, state: str = "open", head: str = "", base: str = "") -> tuple[Pull, ...]:
        """Pull requests, oldest first; `head` is a branch of this repository, or OWNER:BRANCH."""
        owner, colon, name = head.rpartition(":")
        query = {
            "state": arguments.one_of(state, _STATES, "state"),
            "head": f"{self._owner(owner) if colon else self.where.owner}:{arguments.branch(name)}" if head else "",
            "base": arguments.branch(base) if base else "",
            "sort": "created",
            "direction": "asc",
        }
        return self._list("pulls/list", answers.pull, query=query)

    @staticmethod
    def _owner(name: str) -> str:
        if not name.replace("-", "").replace("_", "").isalnum() or not name.isascii():
            raise UsageError(f"{printable(repr(name), limit=60)} is no owner")
        return name

    def pull(self, number: int) -> Pull:
        return self._one("pulls/get", answers.pull, "pull", pull_number=arguments.positive(number, "pull request"))

    def create_pull(self, title: str, body: str, head: str, base: str, draft: bool = False) -> Pull:
        """Open a pull request from a branch of this repository."""
        sent = {
            "title": arguments.text(title, "title", _MOST_TITLE),
            "body": arguments.text(body, "body", MOST_BODY, lines=True, empty=True),
            "head": arguments.branch(head),
            "base": arguments.branch(base),
            "draft": bool(draft),
        }
        return self._one("pulls/create", answers.pull, "pull", sent)

    def update_pull(self, number: int, *, title: str | None = None, body: str | None = None, state: str | None = None) -> Pull:
        """Change what is given, and nothing else."""
        sent: dict[str, Any] = {}
        if title is not None:
            sent["title"] = arguments.text(title, "title", _MOST_TITLE)
        if body is not None:
            sent["body"] = arguments.text(body, "body", MOST_BODY, lines=True, empty=True)
        if state is not None:
            sent["state"] = arguments.one_of(state, ("open", "closed"), "state")
        if not sent:
            raise UsageError("nothing is to change")
        return self._one("pulls/update", answers.pull, "pull", sent, pull_number=arguments.positive(number, "pull request"))

    def pull_files(self, number: int) -> tuple[PullFile, ...]:
        """Every path that a pull request changes; an error where GitHub does not list all of them."""
        number = arguments.positive(number, "pull request")
        found = self._list("pulls/list-files", answers.pull_file, pull_number=number)
        if len(found) >= _MOST_FILES:
            what = f"GitHub: pull request {number} changes more files than GitHub lists"
            raise ForgeError(what, Trouble.REFUSED, "fetch the branch and compare with git")
        return found

    def merge_pull(self, number: int, sha: str, method: str, title: str, message: str) -> Merged:
        """Merge, if the head is still `sha`: CONFLICT where it has moved, REFUSED (405) where it cannot be merged."""
        sent = {
            "sha": arguments.sha(sha, "head"),
            "merge_method": arguments.one_of(method, ("squash", "merge"), "way to merge"),
            "commit_title": arguments.text(title, "title", _MOST_TITLE),
            "commit_message": arguments.text(message, "message", MOST_BODY, lines=True, empty=True),
        }
        name, route = "pulls/merge", arguments.positive(number, "pull request")

        def merged(one: Reader) -> Merged:
            if not one.flag("merged"):
                raise one.wrong("does not say that it is merged")
            return Merged(one.sha("sha"))

        return self._one(name, merged, "merge", sent, pull_number=route)

    def delete_ref(self, ref: str) -> None:
        """Delete a branch: refs/heads/NAME or heads/NAME.  REFUSED (422) where there is none."""
        name = ref.removeprefix("refs/")
        if not name.startswith("heads/"):
            raise UsageError(f"{printable(repr(ref), limit=100)} is no branch", hint="refs/heads/NAME")
        arguments.branch(name.removeprefix("heads/"))
        self._transport.call(OPERATIONS["git/delete-ref"], {"ref": name})

    # -- checks, environments, limits ------------------------------------------------------------------------------------------

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
    ) -> CheckRun:
        """A check on a commit.  `external_id` is ours: by it a check is found again."""
        sent = {"name": arguments.text(name, "name of a check", 100), "head_sha": arguments.sha(head_sha)}
        sent |= _check(status, conclusion, title, summary, external_id, details_url)
        return self._one("checks/create", answers.check_run, "check run", sent)

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
    ) -> CheckRun:
        sent = _check(status, conclusion, title, summary, external_id, details_url)
        route = arguments.positive(check_id, "check run")
        return self._one("checks/update", answers.check_run, "check run", sent, check_run_id=route)

    def checks(self, ref: str) -> tuple[CheckRun, ...]:
        """The latest check runs on a commit or a branch."""
        return self._list("checks/list-for-ref", answers.check_run, "check_runs", ref=arguments.branch(ref, "commit or branch"))

    def environments(self) -> tuple[Environment, ...]:
        return self._list("repos/get-all-environments", answers.environment, "environments")

    def viewer(self) -> str:
        """The login that the token speaks as.  The token of a workflow may not ask, and is the bot of GitHub Actions."""
        if self._viewer is None:
            try:
                self._viewer = self._one("users/get-authenticated", lambda one: one.text("login"), "user")
            except ForgeError as error:
                if error.trouble is not Trouble.FORBIDDEN:
                    raise
                self._viewer = _ACTIONS
        return self._viewer

    def forget_deployments(self, run_id: int, environment: str, sha: str) -> int:
        """Remove the deployments that a run of ours left by waiting for an environment; returns how many.

        A deployment is the run's if one of its statuses names the run, and no other is touched.
        """
        run = re.compile(rf"/actions/runs/{arguments.positive(run_id, 'run')}(?:/|\Z)")
        query = {"environment": arguments.text(environment, "environment", 255), "sha": arguments.sha(sha)}
        found = self._list("repos/list-deployments", lambda one: one.number("id"), query=query)
        gone = 0
        for number in found:
            named = self._list("repos/list-deployment-statuses", answers.links, deployment_id=number)
            if not any(run.search(url) for urls in named for url in urls):
                continue
            body = {"state": "inactive"}
            self._one("repos/create-deployment-status", answers.links, "deployment status", body, deployment_id=number)
            self._transport.call(OPERATIONS["repos/delete-deployment"], {"deployment_id": number})
            gone += 1
        return gone

    def rate_limit(self) -> RateLimit:
        """What is left; asking costs nothing."""
        return self._one("rate-limit/get", answers.limits, "rate limit")


def _check(status: str, conclusion: str, title: str, summary: str, external_id: str, details_url: str) -> dict[str, Any]:
    """The body that both check operations share; a conclusion is there exactly when the check is completed."""
    arguments.one_of(status, _CHECK_STATES, "status")
    if (status == "completed") != bool(conclusion):
        raise UsageError("a check has a conclusion when it is completed, and only then")
    body: dict[str, Any] = {"status": status}
    if conclusion:
        body["conclusion"] = arguments.one_of(conclusion, _CONCLUSIONS, "conclusion")
    if title or summary:
        body["output"] = {
            "title": arguments.text(title, "title", _MOST_TITLE),
            "summary": arguments.text(summary, "summary", MOST_BODY, lines=True),
        }
    if external_id:
        body["external_id"] = arguments.text(external_id, "external id", 255)
    if details_url:
        body["details_url"] = arguments.url(details_url)
    return body
