"""Trouble: what is waited for, what is asked again, what is never done twice, and what is said about it."""

from __future__ import annotations

import io
import logging
import re
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nmoe_graph.errors import HostError, NmoeGraphError, render_faults
from nmoe_graph.forge.errors import ForgeError, Trouble
from nmoe_graph.forge.github import GitHub
from nmoe_graph.forge.operations import OPERATIONS
from nmoe_graph.forge.token import Token
from nmoe_graph.forge.transport import Transport
from nmoe_graph.forge.where import Where

from .double import FAULTS, MAINTAINER, NEVER_DONE, Double
from .double_state import Outcome

Client = Callable[..., GitHub]
WHERE = Where("github.com", "noumena", "nmoe", "https://api.github.com")
HEAD = "b" * 40


# -- waits ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "seconds", "waits"),
    [
        ("retry_after", 7, [7.0]),
        ("429", 3, [3.0]),
        ("secondary", 0, [60.0]),
        ("500", 0, [1.0]),
        ("502", 0, [1.0]),
        ("503", 0, [1.0]),
        ("cut", 0, [1.0]),
        ("truncated", 0, [1.0]),
        ("not_json", 0, [1.0]),
        ("huge", 0, [1.0]),
        ("slow", 1, [1.0]),
        ("refused", 0, [1.0]),
    ],
)
def test_reading_waits_and_asks_again(github: Double, client: Client, kind: str, seconds: float, waits: list[float]) -> None:
    """A read is asked again after whatever trouble, after the time that the server names, or a power of two."""
    github.open_issue("there")
    github.inject(kind, "issues/get", seconds=seconds)
    hub: Any = client()
    assert hub.issue(1).title == "there"
    assert hub.waits == waits
    assert [one.fault for one in github.log] == [kind, ""]


def test_waits_until_the_limit_is_reset(github: Double, client: Client) -> None:
    """x-ratelimit-reset is a time of the day; the wait is what is left until then, by the clock that we have."""
    github.open_issue("there")
    github.inject("primary", seconds=120)
    hub: Any = client()
    hub.issue(1)
    assert 118 <= hub.waits[0] <= 122


def test_waits_grow_and_end(github: Double, client: Client) -> None:
    """Six tries with doubling waits; one number of tries fewer when nobody is there at all."""
    github.inject("503", times=100)
    hub: Any = client()
    with pytest.raises(ForgeError) as caught:
        hub.issue(1)
    assert (caught.value.trouble, caught.value.status, caught.value.uncertain) == (Trouble.SERVER, 503, False)
    assert hub.waits == [1.0, 2.0, 4.0, 8.0, 16.0]
    github.faults.clear()
    github.inject("refused", times=100)
    hub = client()
    with pytest.raises(ForgeError) as nobody:
        hub.issue(1)
    assert nobody.value.trouble is Trouble.UNREACHABLE
    assert hub.waits == [1.0, 2.0]


def test_patience_has_an_end(github: Double, client: Client) -> None:
    """More than is to be waited is not begun; the error says how long it would be."""
    github.inject("retry_after", seconds=4_000, times=2)
    hub: Any = client(patience_s=300.0)
    with pytest.raises(ForgeError, match="secondary rate limit") as caught:
        hub.issue(1)
    assert (caught.value.trouble, caught.value.status) == (Trouble.LIMITED, 403)
    assert "4000 s" in caught.value.faults[0].hint
    assert hub.waits == []
    github.faults.clear()
    github.inject("retry_after", seconds=200, times=9)
    with pytest.raises(ForgeError):
        hub.issue(1)
    assert hub.waits == [200.0]


def test_waits_are_told(github: Double, client: Client) -> None:
    said: list[str] = []
    github.open_issue("there")
    github.inject("429", seconds=5)
    client(notify=said.append).issue(1)
    assert said == ["GitHub: GET /repos/noumena/nmoe/issues/1: 429 try again; again in 5 s"]


def test_retry_after_as_a_date() -> None:
    """The other form that HTTP allows, and forms that it does not."""
    moment = 1_800_000_000.0
    for text, wait in [("Fri, 15 Jan 2027 08:00:30 GMT", 30.0), ("Fri, 15 Jan 2027 07:00:00 GMT", 0.0), ("soon", 1.0), ("-5", 1.0)]:
        waits: list[float] = []
        answers = iter([httpx2.Response(429, headers={"Retry-After": text}), httpx2.Response(204)])
        over = httpx2.MockTransport(lambda request, answers=answers: next(answers))  # type: ignore[misc]
        hub = GitHub(WHERE, Token(MAINTAINER), over=over, now=lambda: moment, sleep=waits.append)
        hub.delete_ref("heads/x")
        assert waits == [wait], text


def test_a_403_is_not_a_limit_by_itself(github: Double, client: Client) -> None:
    """What the token may not do is said at once."""
    hub: Any = client("the-word-of-a-reader")
    github.open_pull("x", head_sha=HEAD)
    with pytest.raises(ForgeError) as caught:
        hub.merge_pull(1, HEAD, "squash", "t", "")
    assert caught.value.trouble is Trouble.FORBIDDEN
    assert hub.waits == []


# -- writes are never doubled --------------------------------------------------------------------------------------------------

#: Each write: how to call it, and the operation that it is.
WRITES: dict[str, Callable[[GitHub], Any]] = {
    "actions/create-workflow-dispatch": lambda hub: hub.dispatch("tier-b.yml", "main", {"a": "b"}),
    "actions/cancel-workflow-run": lambda hub: hub.cancel(1_001),
    "actions/review-pending-deployments-for-run": lambda hub: hub.review(1_003, [77], "approved", "ok"),
    "issues/create": lambda hub: hub.create_issue("t", "b"),
    "issues/create-comment": lambda hub: hub.create_comment(1, "b"),
    "issues/update-comment": lambda hub: hub.update_comment(1_005, "new"),
    "pulls/create": lambda hub: hub.create_pull("t", "b", "free", "main"),
    "pulls/update": lambda hub: hub.update_pull(2, body="new"),
    "pulls/merge": lambda hub: hub.merge_pull(2, HEAD, "squash", "t", ""),
    "git/delete-ref": lambda hub: hub.delete_ref("refs/heads/old"),
    "checks/create": lambda hub: hub.create_check("c", HEAD, status="queued"),
    "checks/update": lambda hub: hub.update_check(1_006, status="in_progress"),
    "repos/create-deployment-status": lambda hub: hub.forget_deployments(1_001, "b200-gates", MAIN),
    "repos/delete-deployment": lambda hub: hub.forget_deployments(1_001, "b200-gates", MAIN),
}
#: Steps of a method that takes several; that one cleans up, and may be asked again from its beginning.
STEPS = {"repos/create-deployment-status", "repos/delete-deployment"}
#: What a double without a repository has for the tip of main.
MAIN = "a" * 40


def prepared() -> Double:
    """A double in which every call of WRITES can be carried out once."""
    made = Double()
    made.open_issue("there")  # 1
    made.open_pull("head", head_sha=HEAD)  # 2
    made.refs |= {"free": "c" * 40, "old": "d" * 40}
    made.start_run("tier-b.yml", "main", {}, "maintainer")  # 1_001, its job 1_002
    waiting = made.start_run("tier-b.yml", "main", {}, "maintainer")  # 1_003, its job 1_004
    made.advance(waiting)
    hub = GitHub(WHERE, Token(MAINTAINER), over=made.transport())
    assert hub.create_comment(1, "old").id == 1_005
    assert hub.create_check("c", HEAD, status="queued").id == 1_006
    made.log.clear()
    return made


def test_every_write_is_among_them() -> None:
    assert WRITES.keys() == {one.id for one in OPERATIONS.values() if one.writes}


@pytest.mark.parametrize("name", sorted(WRITES))
def test_without_trouble_each_is_carried_out_once(name: str) -> None:
    double = prepared()
    before = double.snapshot()
    WRITES[name](GitHub(WHERE, Token(MAINTAINER), over=double.transport()))
    assert len(double.carried_out(name)) == 1
    assert double.snapshot() != before
    assert double.violations == []


trouble = st.tuples(
    st.sampled_from([kind for kind in FAULTS if kind not in ("endless", "elsewhere", "huge")]), st.booleans(), st.integers(0, 90)
).map(lambda one: (one[0], one[1] and one[0] not in NEVER_DONE, one[2]))


@settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(WRITES.keys() - STEPS)), st.lists(trouble, min_size=1, max_size=5))
def test_no_write_is_ever_doubled(name: str, faults: list[tuple[str, bool, int]]) -> None:
    """Whatever happens on the way: done at most once (PATCH: once or more, to the same end); success means done; an error that
    is not `uncertain` means not done."""
    double = prepared()
    before = double.snapshot()
    for kind, after, seconds in faults:
        double.inject(kind, name, after=after, seconds=seconds)
    waits: list[float] = []
    hub = GitHub(WHERE, Token(MAINTAINER), over=double.transport(), sleep=waits.append)
    operation = OPERATIONS[name]
    try:
        WRITES[name](hub)
    except ForgeError as error:
        done = len(double.carried_out(name))
        if not operation.again:
            assert done <= 1
        assert error.uncertain or not done
        assert error.uncertain == ("look before you ask again" in error.faults[0].hint)
        if not done:
            assert double.snapshot() == before
    else:
        done = len(double.carried_out(name))
        assert done >= 1 if operation.again else done == 1
        assert double.snapshot() != before
    # After an answer of which nobody knows what it means, a call that may not be repeated is not.
    if not operation.again:
        unknown = [number for number, one in enumerate(double.log) if one.fault and one.fault not in NEVER_DONE]
        assert not unknown or unknown == [len(double.log) - 1]
    assert sum(waits) <= 300
    assert double.violations == []


def test_the_property_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that repeats whatever it likes does double a comment."""
    monkeypatch.setattr("nmoe_graph.forge.operations.Operation.again", property(lambda self: True))
    double = prepared()
    double.inject("502", "issues/create-comment", after=True)
    GitHub(WHERE, Token(MAINTAINER), over=double.transport(), sleep=lambda seconds: None).create_comment(1, "b")
    assert len(double.carried_out("issues/create-comment")) == 2


# -- answers that are not believed ---------------------------------------------------------------------------------------------


def scripted(*answers: httpx2.Response | Exception, api: str = "https://api.github.com") -> Any:
    """A client to which these answers are given, one after the other; `.asked` has the requests."""
    asked: list[httpx2.Request] = []
    left = list(answers)

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        one = left.pop(0)
        if isinstance(one, Exception):
            raise one
        return one

    where = Where("github.com", "noumena", "nmoe", api)
    hub: Any = GitHub(where, Token(MAINTAINER), over=httpx2.MockTransport(answer), sleep=lambda seconds: None)
    hub.asked = asked
    return hub


def test_pages_that_do_not_end(github: Double, client: Client) -> None:
    github.inject("endless", "issues/list-for-repo", times=1_000)
    with pytest.raises(ForgeError, match="more than 5,000 entries"):
        client().issues()
    assert len(github.log) == 50


def test_pages_in_a_circle() -> None:
    link = {"Link": '<https://api.github.com/repos/noumena/nmoe/issues?page=2>; rel="next"'}
    hub = scripted(*[httpx2.Response(200, json=[], headers=link) for _ in range(5)])
    with pytest.raises(ForgeError, match="circle"):
        hub.issues()
    assert len(hub.asked) == 2


@pytest.mark.parametrize(
    "url",
    [
        "https://elsewhere.example/x",
        "http://api.github.com/x",
        "https://api.github.com:8443/x",
        "https://api.github.com@elsewhere.example/x",
        "https://api.github.com.elsewhere.example/x",
        "//elsewhere.example/x",
        "https://[/x",
    ],
)
def test_a_next_page_elsewhere(url: str) -> None:
    """The token goes to one host."""
    hub = scripted(httpx2.Response(200, json=[], headers={"Link": f'<{url}>; rel="next"'}), httpx2.Response(200, json=[]))
    with pytest.raises(ForgeError, match="another host"):
        hub.issues()
    assert len(hub.asked) == 1


def test_the_double_can_point_elsewhere(github: Double, client: Client) -> None:
    github.inject("elsewhere", "issues/list-for-repo")
    with pytest.raises(ForgeError, match="another host"):
        client().issues()


def test_a_moved_repository_is_not_followed() -> None:
    hub = scripted(httpx2.Response(301, headers={"Location": "https://api.github.com/repositories/1/issues/1"}))
    with pytest.raises(ForgeError) as caught:
        hub.issue(1)
    assert "moved" in caught.value.faults[0].hint
    assert len(hub.asked) == 1


@pytest.mark.parametrize(
    "location",
    [
        "",
        "http://storage.example/x",
        "ftp://storage.example/x",
        "https://me:pw@storage.example/x",
        "file:///etc/passwd",
        "http://127.0.0.1/x",
    ],
)
def test_a_download_from_where_nothing_is_fetched(location: str) -> None:
    hub = scripted(httpx2.Response(302, headers={"Location": location} if location else {}), httpx2.Response(200, content=b"x"))
    if not location:
        hub.download(1)  # the API itself, which is https
        assert "Authorization" not in hub.asked[1].headers
        return
    with pytest.raises(ForgeError, match="no address that is taken"):
        hub.download(1)
    assert len(hub.asked) == 1


def test_a_download_gets_no_token_and_no_more_bytes_than_asked() -> None:
    """A signed address is asked anew when it fails; it is never shown."""
    signed = "https://storage.example/x?sig=a-secret-signature"
    there = httpx2.Response(302, headers={"Location": signed})
    hub = scripted(there, httpx2.Response(200, content=b"zip"))
    assert hub.download(9, most_bytes=3) == b"zip"
    assert [("Authorization" in request.headers) for request in hub.asked] == [True, False]
    assert MAINTAINER not in str(hub.asked[1].headers.raw)
    hub = scripted(there, httpx2.Response(403), there, httpx2.Response(200, content=b"zip"))
    assert hub.download(9) == b"zip"
    hub = scripted(*[there, httpx2.Response(200, content=b"four")] * 6)
    with pytest.raises(ForgeError, match="more than 3 bytes") as caught:
        hub.download(9, most_bytes=3)
    assert "signature" not in str(caught.value)
    hub = scripted(*[there, httpx2.Response(302, headers={"Location": signed})] * 6)
    with pytest.raises(ForgeError, match="download: 302"):
        hub.download(9)


def test_a_cut_download_is_fetched_again(github: Double, client: Client) -> None:
    github.decide = lambda run: Outcome(artifacts={"a": {"a.json": b"{}" * 500}})
    run = github.start_run("tier-a.yml", "main", {}, "x")
    github.advance()
    github.advance()
    hub: Any = client()
    (artifact,) = hub.artifacts(run.id)
    for kind in ("truncated", "cut", "503"):
        github.inject(kind, "storage")
        assert len(hub.download(artifact.id)) == artifact.bytes
    assert hub.waits == [1.0] * 3


@pytest.mark.parametrize(
    "answer",
    [
        httpx2.Response(200, content=b"[" * 100_000, headers={"content-type": "application/json"}),
        httpx2.Response(200, content=b"{}", headers={"content-type": "text/html"}),
        httpx2.Response(200, content=b"{}", headers={"content-type": "application/json", "content-length": "x"}),
        httpx2.Response(200, content=b"{}", headers={"content-type": "application/json", "content-length": "99999999999"}),
        httpx2.Response(200, content=b"\xff\xfe", headers={"content-type": "application/json"}),
        httpx2.Response(200, headers={"content-type": "application/json"}),
        httpx2.Response(200, json={"number": 1}),
        httpx2.Response(200, json=[]),
    ],
    ids=["deep", "html", "length", "too long", "no utf-8", "empty", "half", "list"],
)
def test_strange_answers(answer: httpx2.Response) -> None:
    """One error; and after a write it says that it may have happened."""
    with pytest.raises(ForgeError) as caught:
        scripted(*[answer] * 6).issue(1)
    assert caught.value.trouble is Trouble.BROKEN
    hub = scripted(answer)
    with pytest.raises(ForgeError) as wrote:
        hub.create_issue("t", "b")
    assert wrote.value.uncertain
    assert len(hub.asked) == 1


def test_an_encoded_answer_is_not_unpacked() -> None:
    """Nothing packed was asked for; a small answer cannot grow."""
    import gzip

    packed = gzip.compress(b'"' + b"a" * 1_000_000 + b'"')

    class Packed(httpx2.SyncByteStream):
        def __iter__(self) -> Any:
            yield packed

    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    hub = scripted(*[httpx2.Response(200, stream=Packed(), headers=headers) for _ in range(6)])
    with pytest.raises(ForgeError, match="encoded"):
        hub.issue(1)
    assert hub.asked[0].headers["accept-encoding"] == "identity"


def test_a_body_without_a_length_is_counted() -> None:
    class Endless(httpx2.SyncByteStream):
        given = 0

        def __iter__(self) -> Any:
            while True:
                Endless.given += 1 << 20
                yield b"a" * (1 << 20)

    hub = scripted(httpx2.Response(200, stream=Endless(), headers={"content-type": "application/json"}))
    with pytest.raises(ForgeError, match="more than 33,554,432 bytes"):
        hub.create_issue("t", "b")
    assert Endless.given <= 34 << 20


def test_a_body_that_drips_is_given_up() -> None:
    class Drip(httpx2.SyncByteStream):
        def __iter__(self) -> Any:
            for _ in range(1_000):
                time.sleep(0.02)
                yield b" "

    where = Where("github.com", "noumena", "nmoe", "https://api.github.com")
    answer = httpx2.Response(201, stream=Drip(), headers={"content-type": "application/json"})
    hub = GitHub(where, Token(MAINTAINER), over=httpx2.MockTransport(lambda request: answer), timeout_s=0.05)
    begun = time.monotonic()
    with pytest.raises(ForgeError, match=r"took more than 0.2 s") as caught:
        hub.create_issue("t", "b")
    assert caught.value.uncertain
    assert time.monotonic() - begun < 5


# -- over a socket -------------------------------------------------------------------------------------------------------------


def test_over_a_socket(github: Double) -> None:
    """The same over a real connection: cut, truncated, slow, and nobody there."""
    github.open_issue("there")
    with github.serve() as url:
        waits: list[float] = []
        hub = GitHub(Where("github.com", "noumena", "nmoe", url), Token(MAINTAINER), timeout_s=0.5, sleep=waits.append)
        assert hub.issue(1).title == "there"
        for kind, seconds in (("cut", 0.0), ("truncated", 0.0), ("slow", 1.5), ("503", 0.0)):
            github.inject(kind, "issues/get", seconds=seconds)
            assert hub.issue(1).title == "there", kind
        assert waits == [1.0] * 4
        for kind, seconds in (("cut", 0.0), ("truncated", 0.0), ("slow", 1.5)):
            github.inject(kind, "issues/create-comment", after=True, seconds=seconds)
            before = len(github.comments)
            with pytest.raises(ForgeError) as caught:
                hub.create_comment(1, "once")
            assert caught.value.uncertain
            assert len(github.comments) == before + 1
        run = hub.dispatch("tier-a.yml", "main", {})
        github.advance()
        github.advance()
        assert run is not None
        assert hub.job_log(hub.jobs(run)[0].id) == b"done\n"
        hub.close()
    with pytest.raises(ForgeError) as nobody:
        GitHub(Where("github.com", "noumena", "nmoe", url), Token(MAINTAINER), sleep=waits.append).create_comment(1, "never")
    assert (nobody.value.trouble, nobody.value.uncertain) == (Trouble.UNREACHABLE, False)


# -- the token -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["echo", "echo in 403", "refused", "500", "not_json"])
def test_the_token_is_never_shown(kind: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in an error, its hint, its cause, a notice, a log record or on a stream, even where the server repeats it."""
    secret = "s3cret-word-of-the-test"
    monkeypatch.setenv("GHAPI_DEBUG", "1")
    monkeypatch.setenv("GITHUB_JWT_TOKEN", "another-word-that-is-not-sent")
    caplog.set_level(logging.DEBUG)
    answers = {
        "echo": httpx2.Response(422, json={"message": f"bad {secret}", "errors": [{"message": secret[:200]}, secret]}),
        "echo in 403": httpx2.Response(403, json={"message": f"rate limit of {secret}"}, headers={"Retry-After": "1"}),
        "500": httpx2.Response(500, json={"message": secret}),
        "not_json": httpx2.Response(200, content=secret.encode(), headers={"content-type": "application/json"}),
    }
    asked: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        if kind == "refused":
            raise httpx2.ConnectError(f"no way to {secret}", request=request)
        return answers[kind]

    said: list[str] = []
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out):
        token = Token(secret)
        hub = GitHub(WHERE, token, over=httpx2.MockTransport(answer), sleep=lambda seconds: None, notify=said.append)
        with pytest.raises(ForgeError) as caught:
            hub.issue(1)
        error: BaseException | None = caught.value
        texts = [render_faults(caught.value.faults), repr(hub), repr(vars(hub)), repr(token), caught.value.said, *said]
        while error is not None:
            texts += [str(error), repr(error), str(error.args)]
            error = error.__cause__
        texts += [record.getMessage() for record in caplog.records]
    assert secret not in "\n".join(texts) + out.getvalue()
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert asked[0].headers["authorization"] == f"Bearer {secret}"
    assert "another-word" not in str([request.headers.raw for request in asked])


def test_an_error_names_method_and_path_and_no_query(github: Double, client: Client) -> None:
    github.inject("500", times=9)
    with pytest.raises(ForgeError) as caught:
        client().issues(labels=["contract"])
    assert caught.value.faults[0].what == "GitHub: GET /repos/noumena/nmoe/issues: 500 try again"


def test_words_of_the_server_are_made_safe() -> None:
    """No cursor moves, no workflow command, no host that must not be public."""
    said = "::error::x \x1b[2J at runner-17." + "corp.example \u202e" + "y" * 5_000
    with pytest.raises(ForgeError) as caught:
        scripted(httpx2.Response(422, json={"message": said})).issue(1)
    shown = render_faults(caught.value.faults)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e]", shown)
    assert "runner-17" not in shown
    assert len(shown) < 800


def test_what_is_sent(github: Double, client: Client) -> None:
    """The pinned version, our name, no cookie, and nothing of ghapi's defaults."""
    hub = scripted(httpx2.Response(404, json={"message": "Not Found"}, headers={"Set-Cookie": "a=b"}))
    with pytest.raises(ForgeError):
        hub.issue(1)
    (asked,) = hub.asked
    assert asked.headers["x-github-api-version"] == "2022-11-28"
    assert asked.headers["accept"] == "application/vnd.github+json"
    assert asked.headers["user-agent"] == "nmoe-graph"
    assert str(asked.url) == "https://api.github.com/repos/noumena/nmoe/issues/1"


def test_a_route_is_complete_or_nothing_is_sent() -> None:
    """ghapi would send the braces."""
    transport = Transport(WHERE, Token(MAINTAINER), over=httpx2.MockTransport(lambda request: httpx2.Response(204)))
    with pytest.raises(AssertionError):
        transport.call(OPERATIONS["issues/get"], {})
    with pytest.raises(AssertionError):
        transport.call(OPERATIONS["issues/get"], {"issue_number": 1, "more": 2})


def test_without_ghapi(monkeypatch: pytest.MonkeyPatch) -> None:
    """One error, and what to install."""
    for name in [name for name in sys.modules if name.split(".")[0] == "ghapi"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ghapi", None)
    with pytest.raises(HostError) as caught:
        GitHub(WHERE, Token(MAINTAINER)).issue(1)
    assert "nmoe-graph[github]" in caught.value.faults[0].hint
    assert isinstance(caught.value, NmoeGraphError)
