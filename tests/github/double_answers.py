"""The double's state in GitHub's own form: GitHub's examples, with what the state says put into them."""

from __future__ import annotations

import copy
from typing import Any

from .double_state import STAMP, Check, Commented, Deployment, Environment, Issue, Job, Pull, Run, State

__all__ = ["Answers"]


class Answers:
    """Answers about one repository.  `examples` are those of the description."""

    def __init__(self, state: State, examples: dict[str, Any]) -> None:
        self._state, self._examples = state, examples
        self._web = f"https://github.com/{state.owner}/{state.name}"

    def _example(self, name: str) -> Any:
        return copy.deepcopy(self._examples[name]["value"])

    def user(self, login: str) -> dict[str, Any]:
        found: dict[str, Any] = self._example("issue-comment")["user"]
        return found | {"login": login, "html_url": f"https://github.com/{login}"}

    def issue(self, one: Issue | Pull) -> dict[str, Any]:
        found: dict[str, Any] = self._example("issue")
        found.pop("pull_request", None)
        found.pop("closed_by", None)
        number, author = one.number, self.user(one.author)
        found |= {
            "number": number,
            "id": number,
            "title": one.title,
            "body": one.body or None,
            "state": one.state,
            "user": author,
            "author_association": one.association,
            "html_url": f"{self._web}/issues/{number}",
            "created_at": STAMP,
            "updated_at": STAMP,
            "closed_at": None if one.state == "open" else STAMP,
            "labels": [],
        }
        if isinstance(one, Issue):
            label = self._example("issue")["labels"][0]
            found["labels"] = [label | {"name": name} for name in one.labels]
            found["updated_at"] = one.updated
        else:
            url = f"{self._web}/pull/{number}"
            found["html_url"] = url
            found["pull_request"] = {"url": url, "html_url": url, "diff_url": f"{url}.diff", "patch_url": f"{url}.patch"}
        return found

    def pull(self, one: Pull, whole: bool = True) -> dict[str, Any]:
        found: dict[str, Any] = self._example("pull-request") if whole else self._example("pull-request-simple-items")[0]
        repo = f"{self._state.owner}/{self._state.name}"
        found |= {
            "number": one.number,
            "id": one.number,
            "title": one.title,
            "body": one.body or None,
            "state": one.state,
            "draft": one.draft,
            "user": self.user(one.author),
            "author_association": one.association,
            "html_url": f"{self._web}/pull/{one.number}",
            "merged_at": STAMP if one.merged else None,
            "merge_commit_sha": one.merge_commit or None,
            "requested_teams": [],
        }
        found["head"] |= {"ref": one.head_ref, "sha": one.head_sha}
        found["base"] |= {"ref": one.base_ref, "sha": one.base_sha}
        found["head"]["repo"] |= {"full_name": one.head_repo or repo}
        found["base"]["repo"] |= {"full_name": repo}
        if whole:
            found |= {"merged": one.merged, "mergeable": None if one.merged else self._state.mergeable(one)}
            found["merged_by"] = self.user("maintainer") if one.merged else None
        return found

    def run(self, one: Run) -> dict[str, Any]:
        found: dict[str, Any] = self._example("workflow-run")
        return found | {
            "id": one.id,
            "name": one.workflow,
            "display_title": one.title,
            "path": f".github/workflows/{one.workflow}",
            "status": one.status,
            "conclusion": one.conclusion,
            "event": "workflow_dispatch",
            "head_branch": one.ref,
            "head_sha": one.head_sha,
            "run_attempt": 1,
            "created_at": one.created,
            "html_url": f"{self._web}/actions/runs/{one.id}",
            "actor": self.user(one.by),
        }

    def job(self, run: Run, one: Job) -> dict[str, Any]:
        found: dict[str, Any] = self._example("job-paginated")["jobs"][0]
        status = {"requested": "queued", "pending": "queued"}.get(run.status, run.status)
        step = {"in_progress": "in_progress", "completed": "completed"}.get(run.status, "queued")
        done = run.status == "completed"
        found |= {
            "id": one.id,
            "run_id": run.id,
            "name": one.name,
            "status": status,
            "conclusion": run.conclusion,
            "head_sha": run.head_sha,
            "started_at": run.created,
            "completed_at": run.created if done else None,
            "html_url": f"{self._web}/actions/runs/{run.id}/job/{one.id}",
            "created_at": run.created,
            "workflow_name": run.workflow,
            "head_branch": run.ref,
        }
        found["steps"] = [{"name": "build", "status": step, "conclusion": run.conclusion if done else None, "number": 1}]
        return found

    def pending(self, one: Environment, can_approve: bool) -> dict[str, Any]:
        found: dict[str, Any] = self._example("pending-deployment-items")[0]
        found["environment"] |= {"id": one.id, "name": one.name}
        found["reviewers"] = []
        return found | {"current_user_can_approve": can_approve}

    def deployments(self) -> Any:
        return self._example("deployment-items")

    def viewer(self, login: str) -> dict[str, Any]:
        found: dict[str, Any] = self._example("private-user-response-with-public-and-private-profile-information")
        return found | {"login": login, "html_url": f"https://github.com/{login}", "user_view_type": "private"}

    def deployment(self, one: Deployment) -> dict[str, Any]:
        found: dict[str, Any] = self._example("deployment-items")[0]
        return found | {"id": one.id, "sha": one.sha, "environment": one.environment}

    def deployment_status(self, one: Deployment, state: str) -> dict[str, Any]:
        found: dict[str, Any] = self._example("deployment-status")
        url = f"{self._web}/actions/runs/{one.run}/job/1"
        return found | {"state": state, "environment": one.environment, "log_url": url, "target_url": url}

    def environment(self, one: Environment) -> dict[str, Any]:
        found: dict[str, Any] = self._example("environments")["environments"][0]
        found |= {"id": one.id, "name": one.name}
        found["protection_rules"] = [
            rule for rule in found["protection_rules"] if rule["type"] != "required_reviewers" or one.reviewed
        ]
        return found

    def artifact(self, run: Run, number: int) -> dict[str, Any]:
        import hashlib

        name, data = run.artifacts[number]
        found: dict[str, Any] = self._example("artifact-paginated")["artifacts"][0]
        return found | {
            "id": number,
            "name": name,
            "size_in_bytes": len(data),
            "expired": number in run.expired,
            "digest": f"sha256:{hashlib.sha256(data).hexdigest()}",
        }

    def comment(self, one: Commented) -> dict[str, Any]:
        found: dict[str, Any] = self._example("issue-comment")
        url = f"{self._web}/issues/{one.number}#issuecomment-{one.id}"
        return found | {"id": one.id, "body": one.body, "user": self.user(one.author), "html_url": url}

    def check(self, one: Check) -> dict[str, Any]:
        found: dict[str, Any] = self._example("check-run-example-of-completed-conclusion")
        found |= {
            "id": one.id,
            "name": one.name,
            "head_sha": one.head_sha,
            "status": one.status,
            "conclusion": one.conclusion,
            "external_id": one.external_id,
            "html_url": f"{self._web}/runs/{one.id}",
            "details_url": one.details_url or None,
            "completed_at": STAMP if one.status == "completed" else None,
            "pull_requests": [],
        }
        found["output"] |= {"title": one.output.get("title"), "summary": one.output.get("summary")}
        return found

    def changed(self, status: str, path: str, previous: str) -> dict[str, Any]:
        found: dict[str, Any] = self._example("diff-entry-items")[0]
        found |= {"filename": path, "status": status}
        return found | ({"previous_filename": previous} if previous else {})

    def limits(self, remaining: int, reset: int) -> dict[str, Any]:
        found: dict[str, Any] = self._example("rate-limit-overview")
        core = {"limit": 5000, "used": 5000 - remaining, "remaining": remaining, "reset": reset}
        found["resources"]["core"] = found["rate"] = core
        return found
