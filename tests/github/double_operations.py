"""What each operation of GitHub's does to the state; an operation of the closed list that is missing here is a failing test."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .double_answers import Answers
from .double_state import Check, Commented, Issue, Pull, Run, State

__all__ = ["BOT", "HANDLERS", "Asked", "Reply"]

#: Who speaks with the token of a workflow.
BOT = "github-actions[bot]"


@dataclass
class Asked:
    """One request: who asks for what."""

    login: str
    maintainer: bool
    route: dict[str, str]
    query: dict[str, str]
    body: dict[str, Any]


@dataclass
class Reply:
    """Status, JSON, and the whole of a list that the double cuts into pages (`key`: the list's name inside an object)."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    rows: list[Any] | None = None
    key: str = ""


Handler = Callable[["State", Answers, Asked], Reply]
HANDLERS: dict[str, Handler] = {}


def operation(name: str) -> Callable[[Handler], Handler]:
    def keep(handler: Handler) -> Handler:
        HANDLERS[name] = handler
        return handler

    return keep


def no(status: int, message: str) -> Reply:
    return Reply(status, {"message": message, "documentation_url": "https://docs.github.com/rest", "status": str(status)})


GONE = no(404, "Not Found")


def the_run(state: State, asked: Asked) -> Run | None:
    return state.runs.get(int(asked.route["run_id"]))


# -- workflow runs -------------------------------------------------------------------------------------------------------------


@operation("actions/create-workflow-dispatch")
def dispatch(state: State, answers: Answers, asked: Asked) -> Reply:
    if not state.tip(asked.body["ref"]):
        return no(422, f"No ref found for: {asked.body['ref']}")
    if "return_run_details" in asked.body and not state.knows_run_details:
        return no(422, 'Invalid request.\n\n"return_run_details" is not a permitted key.')
    made = state.start_run(asked.route["workflow_id"], asked.body["ref"], dict(asked.body.get("inputs", {})), asked.login)
    if not asked.body.get("return_run_details"):
        return Reply(204)
    url = answers.run(made)["html_url"]
    return Reply(200, {"workflow_run_id": made.id, "run_url": url, "html_url": url})


@operation("actions/list-workflow-runs")
def runs(state: State, answers: Answers, asked: Asked) -> Reply:
    found = [run for run in state.runs.values() if run.workflow == asked.route["workflow_id"]]
    found = [run for run in found if asked.query.get("branch", run.ref) == run.ref]
    if asked.query.get("event", "workflow_dispatch") != "workflow_dispatch":
        found = []
    created = asked.query.get("created", "")
    if created.startswith(">="):
        found = [run for run in found if run.created >= created[2:]]
    rows = [answers.run(run) for run in sorted(found, key=lambda run: -run.id)]
    return Reply(200, {"total_count": len(rows)}, rows=rows, key="workflow_runs")


@operation("actions/get-workflow-run")
def get_run(state: State, answers: Answers, asked: Asked) -> Reply:
    found = the_run(state, asked)
    reply = Reply(200, answers.run(found)) if found else GONE
    if found and state.steps_on_look:
        state.advance(found)
    return reply


@operation("actions/list-jobs-for-workflow-run")
def jobs(state: State, answers: Answers, asked: Asked) -> Reply:
    found = the_run(state, asked)
    if not found:
        return GONE
    rows = [answers.job(found, job) for job in found.jobs]
    return Reply(200, {"total_count": len(rows)}, rows=rows, key="jobs")


@operation("actions/cancel-workflow-run")
def cancel(state: State, answers: Answers, asked: Asked) -> Reply:
    found = the_run(state, asked)
    if not found:
        return GONE
    if found.status == "completed":
        return no(409, "Cannot cancel a workflow run that is completed.")
    found.status, found.conclusion = "completed", "cancelled"
    return Reply(202, {})


@operation("actions/get-pending-deployments-for-run")
def get_pending(state: State, answers: Answers, asked: Asked) -> Reply:
    found = the_run(state, asked)
    if not found:
        return GONE
    if found.status != "waiting":
        return Reply(200, [])
    return Reply(200, [answers.pending(state.environments[found.environment], asked.maintainer)])


@operation("actions/review-pending-deployments-for-run")
def review(state: State, answers: Answers, asked: Asked) -> Reply:
    found = the_run(state, asked)
    if not found:
        return GONE
    if found.status != "waiting" or asked.body["environment_ids"] != [state.environments[found.environment].id]:
        return no(422, "No pending deployment requests to approve or reject")
    if not asked.maintainer:
        return no(403, "Resource not accessible by personal access token")
    state.approve(found, asked.body["state"] == "approved")
    return Reply(200, answers.deployments())


@operation("actions/list-workflow-run-artifacts")
def artifacts(state: State, answers: Answers, asked: Asked) -> Reply:
    found = the_run(state, asked)
    if not found:
        return GONE
    rows = [answers.artifact(found, number) for number in found.artifacts]
    return Reply(200, {"total_count": len(rows)}, rows=rows, key="artifacts")


@operation("actions/download-artifact")
def download(state: State, answers: Answers, asked: Asked) -> Reply:
    number = int(asked.route["artifact_id"])
    found = next((run for run in state.runs.values() if number in run.artifacts), None)
    if not found or asked.route["archive_format"] != "zip":
        return GONE
    if number in found.expired:
        return no(410, "Artifact has expired")
    return Reply(302, None, {"Location": f"/_storage/artifacts/{number}"})


@operation("actions/download-job-logs-for-workflow-run")
def log(state: State, answers: Answers, asked: Asked) -> Reply:
    number = int(asked.route["job_id"])
    if not any(job.id == number for run in state.runs.values() for job in run.jobs):
        return GONE
    return Reply(302, None, {"Location": f"/_storage/logs/{number}"})


# -- issues and comments -------------------------------------------------------------------------------------------------------


@operation("issues/list-for-repo")
def list_issues(state: State, answers: Answers, asked: Asked) -> Reply:
    wanted = asked.query.get("state", "open")
    labels = [name for name in asked.query.get("labels", "").split(",") if name]
    both: list[Issue | Pull] = [*state.issues.values(), *state.pulls.values()]
    found = [
        one
        for one in both
        if wanted in ("all", one.state) and all(isinstance(one, Issue) and name in one.labels for name in labels)
    ]
    found.sort(key=lambda one: one.number, reverse=asked.query.get("direction", "desc") == "desc")
    return Reply(200, rows=[answers.issue(one) for one in found])


@operation("issues/create")
def create_issue(state: State, answers: Answers, asked: Asked) -> Reply:
    names = tuple(asked.body.get("labels", ()))
    association = "MEMBER" if asked.maintainer else "CONTRIBUTOR"
    made = state.open_issue(
        asked.body["title"], asked.body.get("body", ""), author=asked.login, association=association, labels=names
    )
    return Reply(201, answers.issue(made))


def the_issue(state: State, asked: Asked) -> Issue | Pull | None:
    number = int(asked.route["issue_number"])
    return state.issues.get(number) or state.pulls.get(number)


@operation("issues/get")
def get_issue(state: State, answers: Answers, asked: Asked) -> Reply:
    found = the_issue(state, asked)
    return Reply(200, answers.issue(found)) if found else GONE


@operation("issues/list-comments")
def comments(state: State, answers: Answers, asked: Asked) -> Reply:
    found = the_issue(state, asked)
    if not found:
        return GONE
    return Reply(200, rows=[answers.comment(one) for one in state.comments.values() if one.number == found.number])


@operation("issues/create-comment")
def create_comment(state: State, answers: Answers, asked: Asked) -> Reply:
    found = the_issue(state, asked)
    if not found:
        return GONE
    if len(asked.body["body"]) > 65_536:
        return no(422, "Body is too long (maximum is 65536 characters)")
    number = state.next_id()
    state.comments[number] = Commented(number, found.number, asked.login, asked.body["body"])
    return Reply(201, answers.comment(state.comments[number]))


@operation("issues/update-comment")
def update_comment(state: State, answers: Answers, asked: Asked) -> Reply:
    found = state.comments.get(int(asked.route["comment_id"]))
    if not found:
        return GONE
    found.body, found.edits = asked.body["body"], found.edits + 1
    return Reply(200, answers.comment(found))


# -- pull requests -------------------------------------------------------------------------------------------------------------


def the_pull(state: State, asked: Asked) -> Pull | None:
    return state.pulls.get(int(asked.route["pull_number"]))


@operation("pulls/list")
def list_pulls(state: State, answers: Answers, asked: Asked) -> Reply:
    wanted, head, base = asked.query.get("state", "open"), asked.query.get("head"), asked.query.get("base")
    found = [
        one
        for one in state.pulls.values()
        if wanted in ("all", one.state)
        and head in (None, f"{(one.head_repo or state.owner).split('/')[0]}:{one.head_ref}")
        and base in (None, one.base_ref)
    ]
    found.sort(key=lambda one: one.number, reverse=asked.query.get("direction", "desc") == "desc")
    return Reply(200, rows=[answers.pull(one, whole=False) for one in found])


@operation("pulls/create")
def create_pull(state: State, answers: Answers, asked: Asked) -> Reply:
    head, base = asked.body["head"], asked.body["base"]
    for name, branch in (("head", head), ("base", base)):
        if not state.tip(branch):
            return Reply(
                422, no(422, "Validation Failed").body | {"errors": [{"resource": "PullRequest", "field": name, "code": "invalid"}]}
            )
    if any((one.head_ref, one.base_ref, one.state, one.head_repo) == (head, base, "open", "") for one in state.pulls.values()):
        said = f"A pull request already exists for {state.owner}:{head}."
        errors = [{"resource": "PullRequest", "code": "custom", "message": said}]
        return Reply(422, no(422, "Validation Failed").body | {"errors": errors})
    association = "MEMBER" if asked.maintainer else "CONTRIBUTOR"
    made = state.open_pull(
        head,
        asked.body["title"],
        asked.body.get("body", ""),
        base=base,
        author=asked.login,
        association=association,
        draft=asked.body.get("draft", False),
    )
    return Reply(201, answers.pull(made))


@operation("pulls/get")
def get_pull(state: State, answers: Answers, asked: Asked) -> Reply:
    found = the_pull(state, asked)
    return Reply(200, answers.pull(found)) if found else GONE


@operation("pulls/update")
def update_pull(state: State, answers: Answers, asked: Asked) -> Reply:
    found = the_pull(state, asked)
    if not found:
        return GONE
    if found.merged and asked.body.get("state") == "open":
        return no(422, "Validation Failed")
    found.title, found.body = asked.body.get("title", found.title), asked.body.get("body", found.body)
    found.state = asked.body.get("state", found.state)
    return Reply(200, answers.pull(found))


@operation("pulls/list-files")
def files(state: State, answers: Answers, asked: Asked) -> Reply:
    found = the_pull(state, asked)
    if not found:
        return GONE
    listed = state.bare.changed(found.base_sha, found.head_sha) if state.bare else state.files.get(found.number, [])
    return Reply(200, rows=[answers.changed(*one) for one in listed[:3_000]])


@operation("pulls/merge")
def merge(state: State, answers: Answers, asked: Asked) -> Reply:
    found = the_pull(state, asked)
    if not found:
        return GONE
    if found.state != "open" or found.draft:
        return no(405, "Pull Request is not mergeable")
    if asked.body.get("sha", found.head_sha) != found.head_sha:
        return no(409, "Head branch was modified. Review and try the merge again.")
    if not asked.maintainer:
        return no(403, "Resource not accessible by personal access token")
    title = asked.body.get("commit_title", f"{found.title} (#{found.number})")
    made = state.merge(found, asked.body.get("merge_method", "merge"), title, asked.body.get("commit_message", ""))
    if not made:
        return no(405, "Pull Request is not mergeable")
    return Reply(200, {"sha": made, "merged": True, "message": "Pull Request successfully merged"})


@operation("git/delete-ref")
def delete_ref(state: State, answers: Answers, asked: Asked) -> Reply:
    kind, _, name = asked.route["ref"].partition("/")
    if kind != "heads" or not state.delete_branch(name):
        return no(422, "Reference does not exist")
    return Reply(204)


# -- checks, environments, limits ----------------------------------------------------------------------------------------------


NO_APP = no(403, "You must authenticate via a GitHub App.")


@operation("checks/create")
def create_check(state: State, answers: Answers, asked: Asked) -> Reply:
    if state.checks_by_apps_alone and asked.login != BOT:
        return NO_APP
    given, number = asked.body, state.next_id()
    state.checks[number] = Check(
        number,
        given["name"],
        given["head_sha"],
        given.get("status", "queued"),
        given.get("conclusion"),
        given.get("external_id", ""),
        given.get("output", {}),
        given.get("details_url", ""),
    )
    return Reply(201, answers.check(state.checks[number]))


@operation("checks/update")
def update_check(state: State, answers: Answers, asked: Asked) -> Reply:
    found = state.checks.get(int(asked.route["check_run_id"]))
    if state.checks_by_apps_alone and asked.login != BOT:
        return NO_APP
    if not found:
        return GONE
    for name in ("status", "conclusion", "external_id", "output", "details_url"):
        setattr(found, name, asked.body.get(name, getattr(found, name)))
    found.updates += 1
    return Reply(200, answers.check(found))


@operation("checks/list-for-ref")
def list_checks(state: State, answers: Answers, asked: Asked) -> Reply:
    ref = asked.route["ref"]
    commit = state.tip(ref) or ref
    rows = [answers.check(one) for one in state.checks.values() if one.head_sha == commit]
    return Reply(200, {"total_count": len(rows)}, rows=rows, key="check_runs")


@operation("repos/get-all-environments")
def environments(state: State, answers: Answers, asked: Asked) -> Reply:
    rows = [answers.environment(one) for one in state.environments.values()]
    return Reply(200, {"total_count": len(rows)}, rows=rows, key="environments")


@operation("users/get-authenticated")
def viewer(state: State, answers: Answers, asked: Asked) -> Reply:
    if state.token_of_a_workflow or asked.login == BOT:
        return no(403, "Resource not accessible by integration")
    return Reply(200, answers.viewer(asked.login))


@operation("repos/list-deployments")
def list_deployments(state: State, answers: Answers, asked: Asked) -> Reply:
    rows = [
        answers.deployment(one)
        for one in state.deployments.values()
        if asked.query.get("environment", one.environment) == one.environment and asked.query.get("sha", one.sha) == one.sha
    ]
    return Reply(200, rows=rows)


@operation("repos/list-deployment-statuses")
def list_deployment_statuses(state: State, answers: Answers, asked: Asked) -> Reply:
    found = state.deployments.get(int(asked.route["deployment_id"]))
    return Reply(200, rows=[answers.deployment_status(found, one) for one in found.states]) if found else GONE


@operation("repos/create-deployment-status")
def create_deployment_status(state: State, answers: Answers, asked: Asked) -> Reply:
    found = state.deployments.get(int(asked.route["deployment_id"]))
    if not found:
        return GONE
    found.states.append(asked.body["state"])
    return Reply(201, answers.deployment_status(found, asked.body["state"]))


@operation("repos/delete-deployment")
def delete_deployment(state: State, answers: Answers, asked: Asked) -> Reply:
    found = state.deployments.get(int(asked.route["deployment_id"]))
    if not found:
        return GONE
    if found.states[-1] != "inactive" and len(state.deployments) > 1:
        return no(422, "We cannot delete an active deployment unless it is the only deployment in a given environment.")
    del state.deployments[found.id]
    return Reply(204)


@operation("rate-limit/get")
def limits(state: State, answers: Answers, asked: Asked) -> Reply:
    return Reply(200, answers.limits(state.remaining, int(time.time()) + 3600))
