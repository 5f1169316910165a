"""The double itself: what does not fit GitHub's description is noticed, on both sides."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from nmoe_graph.forge.github import GitHub
from nmoe_graph.forge.token import Token
from nmoe_graph.forge.where import Where

from .double import MAINTAINER, Double
from .double_git import Bare

HEADERS = {"Authorization": f"Bearer {MAINTAINER}", "X-GitHub-Api-Version": "2022-11-28"}
HERE = "https://api.github.com/repos/noumena/nmoe"


def raw(double: Double, method: str, path: str, **more: Any) -> httpx2.Response:
    with httpx2.Client(transport=double.transport(), headers=HEADERS) as client:
        return client.request(method, HERE + path, **more)


@pytest.mark.parametrize(
    ("method", "path", "body", "why"),
    [
        ("POST", "/issues", {"body": "no title"}, "title"),
        ("POST", "/issues", {"title": "t", "labels": "contract"}, "labels"),
        ("PUT", "/pulls/1/merge", {"merge_method": "ff"}, "merge_method"),
        ("POST", "/actions/workflows/tier-b.yml/dispatches", {"inputs": {}}, "ref"),
        (
            "POST",
            "/actions/runs/1/pending_deployments",
            {"environment_ids": ["b200"], "state": "ok", "comment": ""},
            "environment_ids",
        ),
        ("GET", "/issues/{issue_number}", None, "issue_number"),
        ("GET", "/milestones", None, "no operation"),
        ("POST", "/git/refs", {"ref": "refs/heads/x", "sha": "a" * 40}, "no operation"),
    ],
)
def test_a_request_that_is_not_as_described(method: str, path: str, body: Any, why: str) -> None:
    double = Double()
    before = double.snapshot()
    assert raw(double, method, path, json=body).status_code in (404, 422)
    assert len(double.violations) == 1
    assert why in double.violations[0] or "issue_number" in why
    assert double.snapshot() == before


def test_an_answer_that_is_not_as_described(monkeypatch: pytest.MonkeyPatch) -> None:
    """The double does not get away with it either."""
    double = Double()
    double.open_issue("there").state = 7  # type: ignore[assignment]
    raw(double, "GET", "/issues/1")
    assert "state" in double.violations[0]
    assert double.violations[0].startswith("answer issues/get 200")


def test_a_request_without_version_or_token() -> None:
    double = Double()
    double.open_issue("there")
    with httpx2.Client(transport=double.transport()) as client:
        assert client.get(f"{HERE}/issues/1").status_code == 401
    assert double.violations == ["issues/get: no version, or no agent, in the headers"]
    with httpx2.Client(transport=double.transport(), headers=HEADERS) as client:
        client.get("https://api.github.com/_storage/artifacts/1")
    assert double.violations[1] == "a token was sent to the storage"


def test_another_repository(github: Double) -> None:
    hub = GitHub(Where("github.com", "noumena", "other", "https://api.github.com"), Token(MAINTAINER), over=github.transport())
    with pytest.raises(Exception, match="404"):
        hub.issue(1)


def test_a_deleted_branch_closes_its_pull_request(github: Double, client: Any, bare: Bare) -> None:
    head = bare.write("issue/06", {"d.txt": "x\n"})
    number = client().create_pull("t", "", "issue/06", "main").number
    client().delete_ref("heads/issue/06")
    after = client().pull(number)
    assert (after.state, after.head_sha, after.merged) == ("closed", head, False)
