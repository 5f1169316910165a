"""Every operation against the double: what is sent and what comes back fits GitHub's description, and the state agrees."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import inspect
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmoe_graph.errors import UsageError
from nmoe_graph.forge import answers, records
from nmoe_graph.forge.answers import Reader
from nmoe_graph.forge.archive import read_archive
from nmoe_graph.forge.errors import ForgeError, Trouble
from nmoe_graph.forge.github import GitHub
from nmoe_graph.forge.operations import OPERATIONS
from nmoe_graph.forge.token import Token
from nmoe_graph.forge.where import Where

from .double import READER, Double
from .double_git import Bare
from .double_operations import HANDLERS
from .double_state import Outcome
from .reduce import DESCRIPTION

Client = Callable[..., GitHub]
HEAD = "b" * 40


def test_the_list_is_closed() -> None:
    """What the forge can ask for is what is described, and what the double does."""
    document = json.loads(gzip.decompress(DESCRIPTION.read_bytes()))
    described = {
        (method.upper(), path, one["operationId"]) for path, all_ in document["paths"].items() for method, one in all_.items()
    }
    assert described == {(one.method, one.path, one.id) for one in OPERATIONS.values()}
    assert HANDLERS.keys() == OPERATIONS.keys()


def test_issues_and_comments(github: Double, client: Client) -> None:
    hub = client()
    github.open_issue("outsider", "body", author="stranger", association="NONE", labels=("contract", "bug"))
    github.open_issue("closed", labels=("contract",)).state = "closed"
    made = hub.create_issue("[03a] attention", "```yaml\nnmoe: {}\n```\n", ["contract"])
    assert made == hub.issue(made.number)
    assert (made.author, made.association, made.labels, made.is_pull) == ("maintainer", "MEMBER", ("contract",), False)
    assert [one.title for one in hub.issues(labels=["contract"])] == ["outsider", "[03a] attention"]
    assert [one.association for one in hub.issues(labels=["contract", "bug"])] == ["NONE"]
    assert len(hub.issues(state="all")) == 3
    first = hub.create_comment(made.number, "one")
    second = hub.create_comment(made.number, "two")
    assert hub.update_comment(first.id, "three") == dataclasses.replace(first, body="three")
    assert [one.body for one in hub.comments(made.number)] == ["three", "two"]
    assert (github.comments[first.id].edits, github.comments[second.id].edits) == (1, 0)
    before = made.updated_at
    github.edit_issue(made.number, "edited")
    assert hub.issue(made.number).body == "edited"
    assert hub.issue(made.number).updated_at > before


def test_a_pull_is_listed_as_an_issue(github: Double, client: Client) -> None:
    github.open_pull("issue/03a", head_sha=HEAD)
    assert [(one.is_pull, one.url.rsplit("/", 2)[1]) for one in client().issues()] == [(True, "pull")]


def test_a_run_from_dispatch_to_artifact(github: Double, client: Client) -> None:
    """Queued, waiting, approved, in progress, completed; its artifact is the bytes that the run left."""
    hub, asked = client(), {"pr_number": "7", "correlation": "c-1"}
    files = {"results.json": b"{}", "logs/gate.txt": b"::error::x\n"}
    github.decide = lambda run: Outcome("success", {f"of-{run.inputs['pr_number']}": files}, log=b"all of it\n")
    number = hub.dispatch("tier-b.yml", "main", asked)
    assert number is not None
    assert (hub.run(number).status, hub.run(number).title, hub.run(number).head_sha) == ("queued", "c-1", "a" * 40)
    assert hub.pending(number) == ()
    github.advance()
    github.advance()
    assert hub.run(number).status == "waiting"
    waiting = hub.pending(number)
    assert [(one.environment, one.can_approve) for one in waiting] == [("b200-gates", True)]
    hub.review(number, [waiting[0].environment_id], "approved", "looked at it")
    assert [(job.status, job.step) for job in hub.jobs(number)] == [("in_progress", "build")]
    assert hub.artifacts(number) == ()
    github.advance()
    assert (hub.run(number).status, hub.run(number).conclusion) == ("completed", "success")
    (artifact,) = hub.artifacts(number)
    data = hub.download(artifact.id)
    assert (artifact.name, artifact.bytes, artifact.digest) == ("of-7", len(data), f"sha256:{hashlib.sha256(data).hexdigest()}")
    assert read_archive(data, ["*.json", "logs/*.txt"]) == files
    assert hub.job_log(hub.jobs(number)[0].id) == b"all of it\n"
    github.expire(artifact.id)
    assert hub.artifacts(number)[0].expired
    with pytest.raises(ForgeError) as gone:
        hub.download(artifact.id)
    assert (gone.value.trouble, gone.value.status) == (Trouble.NOT_FOUND, 410)
    with pytest.raises(ForgeError) as late:
        hub.cancel(number)
    assert late.value.trouble is Trouble.CONFLICT
    assert github.runs[number].inputs == asked


def test_a_run_that_is_rejected_and_one_that_is_cancelled(github: Double, client: Client) -> None:
    hub, reader = client(), client(READER)
    one, two = hub.dispatch("tier-b.yml", "main", {}), hub.dispatch("tier-b.yml", "main", {})
    assert one is not None and two is not None
    github.advance()
    assert not reader.pending(one)[0].can_approve
    with pytest.raises(ForgeError) as may_not:
        reader.review(one, [77], "approved", "me, too")
    assert may_not.value.trouble is Trouble.FORBIDDEN
    hub.review(one, [77], "rejected", "no")
    hub.cancel(two)
    assert [(run.id, run.conclusion) for run in hub.runs("tier-b.yml")] == [(two, "cancelled"), (one, "failure")]
    assert hub.runs("other.yml") == hub.runs("tier-b.yml", event="push") == hub.runs("tier-b.yml", branch="x") == ()
    assert [run.id for run in hub.runs("tier-b.yml", event="workflow_dispatch", created=">=2026-01-01T00:00:00Z", most=1)] == [two]
    with pytest.raises(ForgeError) as again:
        hub.review(one, [77], "approved", "after all")
    assert again.value.status == 422


def test_a_github_that_does_not_tell_the_run(github: Double, client: Client) -> None:
    """An older server refuses the flag: asked once more without it, one run is started."""
    github.knows_run_details = False
    assert client().dispatch("tier-b.yml", "main", {"correlation": "c-2"}) is None
    assert [run.title for run in github.runs.values()] == ["c-2"]
    github.inject("502", "actions/create-workflow-dispatch", after=True)
    with pytest.raises(ForgeError) as refused:
        client().dispatch("tier-b.yml", "no-such-branch", {})
    assert refused.value.trouble is Trouble.SERVER
    assert len(github.runs) == 1


def test_a_pull_request(github: Double, client: Client) -> None:
    hub = client()
    github.refs["issue/03a"] = HEAD
    made = hub.create_pull("[03a] t", "body", "issue/03a", "main", draft=True)
    assert (made.head_sha, made.base_sha, made.head_ref, made.base_ref, made.draft) == (HEAD, "a" * 40, "issue/03a", "main", True)
    assert (made.mergeable, hub.pull(made.number).mergeable) == (None, True)
    with pytest.raises(ForgeError, match="already exists"):
        hub.create_pull("again", "", "issue/03a", "main")
    with pytest.raises(ForgeError, match="head invalid"):
        hub.create_pull("t", "", "no-such", "main")
    github.open_pull("theirs", head_sha="c" * 40, fork="stranger/nmoe")
    assert [one.head_repo for one in hub.pulls()] == ["noumena/nmoe", "stranger/nmoe"]
    assert [one.number for one in hub.pulls(head="issue/03a", base="main")] == [made.number]
    assert [one.head_sha for one in hub.pulls(head="stranger:theirs")] == ["c" * 40]
    assert hub.pulls(base="other") == hub.pulls(state="closed") == ()
    changed = hub.update_pull(made.number, body="new", title="[03a] new")
    assert (changed.body, changed.title, changed.state) == ("new", "[03a] new", "open")
    github.files[made.number] = [("modified", "a.py", ""), ("renamed", "b.py", "c.py")]
    assert hub.pull_files(made.number) == (records.PullFile("a.py", "modified", ""), records.PullFile("b.py", "renamed", "c.py"))
    with pytest.raises(ForgeError) as draft:
        hub.merge_pull(made.number, HEAD, "squash", "t", "")
    assert (draft.value.trouble, draft.value.status) == (Trouble.REFUSED, 405)
    assert hub.update_pull(made.number, state="closed").state == "closed"


def test_more_files_than_are_listed(github: Double, client: Client) -> None:
    """A list that was cut is no list."""
    github.open_pull("big", head_sha=HEAD)
    github.files[1] = [("added", f"{number}.py", "") for number in range(2_999)]
    assert len(client().pull_files(1)) == 2_999
    github.files[1] *= 2
    with pytest.raises(ForgeError, match="more files than GitHub lists"):
        client().pull_files(1)


def test_merges_in_a_real_repository(github: Double, client: Client, bare: Bare) -> None:
    """A push moves the head, the sha is compared, a squash has one parent and a merge two; a deleted branch is gone."""
    hub = client()
    old = bare.write("issue/03a", {"b.txt": "two\n"})
    first = hub.create_pull("[03a] t", "", "issue/03a", "main")
    assert hub.pull_files(first.number) == (records.PullFile("b.txt", "added", ""),)
    new = bare.write("issue/03a", {"b.txt": "three\n"})
    assert hub.pull(first.number).head_sha == new
    with pytest.raises(ForgeError) as moved:
        hub.merge_pull(first.number, old, "squash", "t", "")
    assert moved.value.trouble is Trouble.CONFLICT
    base = bare.tip("main")
    bare.write("issue/04", {"c.txt": "x\n"})
    second = hub.create_pull("[04] t", "", "issue/04", "main")
    landed = hub.merge_pull(first.number, new, "squash", "[03a] t (#1)", "why")
    assert bare.tip("main") == landed.sha
    assert bare.git("log", "-1", "--format=%P|%B", landed.sha)[1] == f"{base}|[03a] t (#1)\n\nwhy"
    assert bare.git("show", f"{landed.sha}:b.txt")[1] == "three"
    # The base has moved, and the pull request still says what it was: whoever needs the tip asks for the tip.
    assert hub.pull(second.number).base_sha == base
    merged = hub.merge_pull(second.number, second.head_sha, "merge", "m", "")
    assert bare.git("log", "-1", "--format=%P", merged.sha)[1] == f"{landed.sha} {second.head_sha}"
    done = hub.pull(first.number)
    assert (done.merged, done.state, done.merge_commit_sha) == (True, "closed", landed.sha)
    hub.delete_ref("refs/heads/issue/03a")
    assert bare.tip("issue/03a") == ""
    with pytest.raises(ForgeError) as gone:
        hub.delete_ref("heads/issue/03a")
    assert gone.value.status == 422


def test_a_conflict_and_a_reader(github: Double, client: Client, bare: Bare) -> None:
    """Nothing is merged, and the base stands."""
    hub = client()
    head = bare.write("issue/05", {"a.txt": "theirs\n"})
    bare.write("main", {"a.txt": "ours\n"})
    number = hub.create_pull("t", "", "issue/05", "main").number
    assert hub.pull(number).mergeable is False
    base = bare.tip("main")
    for who, trouble in ((hub, Trouble.REFUSED), (client(READER), Trouble.FORBIDDEN)):
        with pytest.raises(ForgeError) as caught:
            who.merge_pull(number, head, "merge", "t", "")
        assert caught.value.trouble is trouble
    assert bare.tip("main") == base


def test_checks(github: Double, client: Client) -> None:
    hub = client()
    made = hub.create_check(
        "tier-b", HEAD, status="in_progress", external_id="run-1", details_url="https://github.com/noumena/nmoe"
    )
    done = hub.update_check(made.id, status="completed", conclusion="failure", title="1 of 2", summary="| gate |\n")
    assert (done.status, done.conclusion, done.external_id) == ("completed", "failure", "run-1")
    assert hub.checks(HEAD) == (done,)
    github.refs["issue/03a"] = HEAD
    assert hub.checks("issue/03a") == (done,)
    assert hub.checks("main") == ()
    assert github.checks[made.id].output == {"title": "1 of 2", "summary": "| gate |\n"}


def test_environments_and_limits(github: Double, client: Client) -> None:
    assert client().environments() == (records.Environment(77, "b200-gates", True),)
    github.environments["b200-gates"].reviewed = False
    assert not client().environments()[0].reviewed
    left = client().rate_limit()
    assert (left.limit, left.remaining) == (5_000, github.remaining)


def test_pages(github: Double, client: Client) -> None:
    """By the Link header, all of them, in order, whatever the page's size."""
    for number in range(230):
        github.open_issue(f"issue {number}")
    hub = client()
    assert [one.title for one in hub.issues()] == [f"issue {number}" for number in range(230)]
    github.per_page_most = 7
    assert len(hub.issues()) == 230
    asked = [one for one in github.log if one.operation == "issues/list-for-repo"]
    assert len(asked) == 3 + 33
    for _ in range(25):
        hub.dispatch("tier-b.yml", "main", {})
    assert len(hub.runs("tier-b.yml", most=20)) == 7  # one page was asked for, and this server's pages are short
    github.per_page_most = 100
    assert len(hub.runs("tier-b.yml", most=20)) == 20


def test_over_an_enterprise_path(github: Double) -> None:
    """A base URL with a path: operations, pages and downloads stay below it."""
    for number in range(101):
        github.open_issue(f"{number}")
    where = Where("git.corp.example", "noumena", "nmoe", "https://git.corp.example/api/v3")
    hub = GitHub(where, Token("the-word-of-a-maintainer"), over=github.transport())
    assert len(hub.issues()) == 101
    number = hub.dispatch("tier-a.yml", "main", {})
    github.advance()
    github.advance()
    assert number is not None and hub.job_log(hub.jobs(number)[0].id) == b"done\n"


def test_not_there_and_not_allowed(github: Double, client: Client) -> None:
    with pytest.raises(ForgeError) as missing:
        client().issue(404)
    assert (missing.value.trouble, missing.value.exit_code, missing.value.uncertain) == (Trouble.NOT_FOUND, 3, False)
    assert missing.value.faults[0].what == "GitHub: GET /repos/noumena/nmoe/issues/404: 404 Not Found"
    with pytest.raises(ForgeError) as bad:
        client("a-word-nobody-knows").issue(1)
    assert bad.value.trouble is Trouble.UNAUTHORIZED


WRONG: list[tuple[str, Callable[[GitHub], Any]]] = [
    ("run 0", lambda hub: hub.run(0)),
    ("run true", lambda hub: hub.run(True)),
    ("run text", lambda hub: hub.run("7")),  # type: ignore[arg-type]
    ("issue negative", lambda hub: hub.issue(-1)),
    ("workflow path", lambda hub: hub.runs("../tier-b.yml")),
    ("workflow kind", lambda hub: hub.dispatch("tier-b.txt", "main", {})),
    ("ref", lambda hub: hub.dispatch("tier-b.yml", "a..b", {})),
    ("ref braces", lambda hub: hub.dispatch("tier-b.yml", "", {})),
    ("too many inputs", lambda hub: hub.dispatch("tier-b.yml", "main", {f"i{n}": "" for n in range(26)})),
    ("name of an input", lambda hub: hub.dispatch("tier-b.yml", "main", {"a b": ""})),
    ("an input's type", lambda hub: hub.dispatch("tier-b.yml", "main", {"a": 1})),  # type: ignore[dict-item]
    ("inputs too long", lambda hub: hub.dispatch("tier-b.yml", "main", {"a": "x" * 40_000, "b": "x" * 40_000})),
    ("event", lambda hub: hub.runs("tier-b.yml", event="everything")),
    ("created", lambda hub: hub.runs("tier-b.yml", created="yesterday&x=1")),
    ("no environment", lambda hub: hub.review(1, [], "approved", "x")),
    ("environment", lambda hub: hub.review(1, ["b200"], "approved", "x")),  # type: ignore[list-item]
    ("decision", lambda hub: hub.review(1, [1], "ok", "x")),
    ("state", lambda hub: hub.issues(state="everything")),
    ("label", lambda hub: hub.issues(labels=["a,b"])),
    ("title", lambda hub: hub.create_issue(" ", "x")),
    ("long title", lambda hub: hub.create_issue("x" * 257, "x")),
    ("title of two lines", lambda hub: hub.create_issue("a\nb", "x")),
    ("controls", lambda hub: hub.create_comment(1, "a\x1b[2J")),
    ("surrogate", lambda hub: hub.create_comment(1, "a\ud800")),
    ("long comment", lambda hub: hub.create_comment(1, "x" * 65_536)),
    ("nothing to change", lambda hub: hub.update_pull(1)),
    ("pull state", lambda hub: hub.update_pull(1, state="merged")),
    ("head", lambda hub: hub.create_pull("t", "", "a b", "main")),
    ("owner", lambda hub: hub.pulls(head="a/b:main")),
    ("sha", lambda hub: hub.merge_pull(1, "b" * 39, "squash", "t", "")),
    ("SHA", lambda hub: hub.merge_pull(1, "B" * 40, "squash", "t", "")),
    ("method", lambda hub: hub.merge_pull(1, HEAD, "ff", "t", "")),
    ("tag", lambda hub: hub.delete_ref("refs/tags/v1")),
    ("ref above", lambda hub: hub.delete_ref("refs/heads/../../issues/1")),
    ("ref query", lambda hub: hub.delete_ref("heads/a?x=1")),
    ("completed without", lambda hub: hub.create_check("c", HEAD, status="completed")),
    ("conclusion too early", lambda hub: hub.create_check("c", HEAD, status="queued", conclusion="success")),
    ("conclusion", lambda hub: hub.create_check("c", HEAD, status="completed", conclusion="passed")),
    ("summary without title", lambda hub: hub.create_check("c", HEAD, status="queued", summary="s")),
    ("details", lambda hub: hub.create_check("c", HEAD, status="queued", details_url="javascript:alert(1)")),
    ("bound", lambda hub: hub.download(1, most_bytes=0)),
]


@pytest.mark.parametrize("wrong", [one[1] for one in WRONG], ids=[one[0] for one in WRONG])
def test_arguments_are_checked_before_anything_is_sent(github: Double, client: Client, wrong: Callable[[GitHub], Any]) -> None:
    """ghapi checks nothing; we do, and the network is not asked."""
    with pytest.raises(UsageError) as caught:
        wrong(client())
    assert caught.value.faults[0].what
    assert github.log == []


def test_every_operation_has_an_argument_check_or_no_argument() -> None:
    """A method that is added gets a line in WRONG."""
    asked = " ".join(inspect.getsource(one[1]) for one in WRONG)
    methods = {name for name, one in vars(GitHub).items() if inspect.isfunction(one) and not name.startswith("_")}
    alike = {
        "close",
        "jobs",
        "job_log",
        "cancel",
        "pending",
        "artifacts",
        "comments",
        "pull",
        "pull_files",
        "update_comment",
        "checks",
    }
    assert methods - alike - {"environments", "rate_limit", "update_check", "viewer", "forget_deployments"} <= {
        name for name in methods if f"hub.{name}(" in asked
    }


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "sha", "user", "head", "name"]), inner, max_size=3)
    ),
    max_leaves=8,
)
READS = [answers.issue, answers.pull, answers.run, answers.job, answers.pending, answers.comment, answers.check_run, answers.limits]


@given(st.sampled_from(READS), json_values)
def test_any_json_is_a_record_or_one_error(read: Callable[[Reader], Any], value: object) -> None:
    with pytest.raises(ForgeError) as caught:
        read(Reader(value, "answer"))
    assert caught.value.trouble is Trouble.BROKEN


def test_a_write_with_a_strange_answer_may_have_happened() -> None:
    with pytest.raises(ForgeError) as caught:
        answers.comment(Reader({"id": "x"}, "comment", wrote=True))
    assert caught.value.uncertain


def test_deployments_of_a_run_are_removed_and_no_others(github: Double, client: Callable[..., GitHub]) -> None:
    """A deployment goes if one of its statuses names the run; the number of another run may begin like ours."""
    hub = client()
    one, other = (github.start_run("tier-b.yml", "main", {}, "maintainer") for _ in range(2))
    github.deployments[9_002].run = int(f"{one.id}0")
    assert hub.forget_deployments(one.id, "b200-gates", one.head_sha) == 1
    assert [left.run for left in github.deployments.values()] == [one.id * 10]
    assert hub.forget_deployments(one.id, "b200-gates", other.head_sha) == 0
    with pytest.raises(UsageError):
        hub.forget_deployments(0, "b200-gates", one.head_sha)


def test_who_the_token_speaks_as(github: Double, client: Callable[..., GitHub]) -> None:
    """A workflow's token may not ask, and is the bot."""
    assert client().viewer() == "maintainer"
    github.token_of_a_workflow = True
    assert client().viewer() == "github-actions[bot]"
