"""The operations that are used of GitHub's REST API: a closed list, in the words of GitHub's own description."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["OPERATIONS", "Operation"]


@dataclass(frozen=True, slots=True)
class Operation:
    """A method and a path with its {parameters}.

    `again` says that doing it twice is doing it once, so that it may be sent again whatever became of the first time.
    """

    id: str  # GitHub's operationId
    method: str
    path: str

    @property
    def again(self) -> bool:
        return self.method in ("GET", "PATCH")

    @property
    def writes(self) -> bool:
        return self.method != "GET"


_REPO = "/repos/{owner}/{repo}"
_RUN = f"{_REPO}/actions/runs/{{run_id}}"
_ISSUE = f"{_REPO}/issues/{{issue_number}}"
_DEPLOYMENT = f"{_REPO}/deployments/{{deployment_id}}"
_PULL = f"{_REPO}/pulls/{{pull_number}}"

_ALL = (
    Operation("actions/create-workflow-dispatch", "POST", f"{_REPO}/actions/workflows/{{workflow_id}}/dispatches"),
    Operation("actions/list-workflow-runs", "GET", f"{_REPO}/actions/workflows/{{workflow_id}}/runs"),
    Operation("actions/get-workflow-run", "GET", _RUN),
    Operation("actions/list-jobs-for-workflow-run", "GET", f"{_RUN}/jobs"),
    Operation("actions/cancel-workflow-run", "POST", f"{_RUN}/cancel"),
    Operation("actions/get-pending-deployments-for-run", "GET", f"{_RUN}/pending_deployments"),
    Operation("actions/review-pending-deployments-for-run", "POST", f"{_RUN}/pending_deployments"),
    Operation("actions/list-workflow-run-artifacts", "GET", f"{_RUN}/artifacts"),
    Operation("actions/download-artifact", "GET", f"{_REPO}/actions/artifacts/{{artifact_id}}/{{archive_format}}"),
    Operation("actions/download-job-logs-for-workflow-run", "GET", f"{_REPO}/actions/jobs/{{job_id}}/logs"),
    Operation("issues/list-for-repo", "GET", f"{_REPO}/issues"),
    Operation("issues/create", "POST", f"{_REPO}/issues"),
    Operation("issues/get", "GET", _ISSUE),
    Operation("issues/list-comments", "GET", f"{_ISSUE}/comments"),
    Operation("issues/create-comment", "POST", f"{_ISSUE}/comments"),
    Operation("issues/update-comment", "PATCH", f"{_REPO}/issues/comments/{{comment_id}}"),
    Operation("pulls/list", "GET", f"{_REPO}/pulls"),
    Operation("pulls/create", "POST", f"{_REPO}/pulls"),
    Operation("pulls/get", "GET", _PULL),
    Operation("pulls/update", "PATCH", _PULL),
    Operation("pulls/list-files", "GET", f"{_PULL}/files"),
    Operation("pulls/merge", "PUT", f"{_PULL}/merge"),
    Operation("git/delete-ref", "DELETE", f"{_REPO}/git/refs/{{ref}}"),
    Operation("checks/create", "POST", f"{_REPO}/check-runs"),
    Operation("checks/update", "PATCH", f"{_REPO}/check-runs/{{check_run_id}}"),
    Operation("checks/list-for-ref", "GET", f"{_REPO}/commits/{{ref}}/check-runs"),
    Operation("repos/get-all-environments", "GET", f"{_REPO}/environments"),
    Operation("repos/list-deployments", "GET", f"{_REPO}/deployments"),
    Operation("repos/list-deployment-statuses", "GET", f"{_DEPLOYMENT}/statuses"),
    Operation("repos/create-deployment-status", "POST", f"{_DEPLOYMENT}/statuses"),
    Operation("repos/delete-deployment", "DELETE", _DEPLOYMENT),
    Operation("rate-limit/get", "GET", "/rate_limit"),
    Operation("users/get-authenticated", "GET", "/user"),
)
#: By operationId.
OPERATIONS = {one.id: one for one in _ALL}
