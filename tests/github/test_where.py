"""Which repository a remote names, and whose token goes there."""

from __future__ import annotations

import os
import pickle
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmoe_graph.errors import HostError, UsageError
from nmoe_graph.forge.token import Token, find_token
from nmoe_graph.forge.where import API_VARIABLE, Where, where_of, where_of_origin
from nmoe_graph.git.repository import Repository

HUB = Where("github.com", "noumena", "nmoe", "https://api.github.com")
owners = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,20}", fullmatch=True)
names = st.from_regex(r"[A-Za-z0-9._-]{1,20}", fullmatch=True).filter(
    lambda name: name not in (".", "..") and not name.endswith(".git")
)
hosts = st.sampled_from(["github.com", "git.corp.example", "acme.ghe.com", "a-b.c1.example"])


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/noumena/nmoe",
        "https://github.com/noumena/nmoe.git",
        "https://github.com/noumena/nmoe/",
        "HTTPS://GitHub.com/noumena/nmoe.git",
        "https://somebody:secret@github.com/noumena/nmoe.git",
        "https://www.github.com/noumena/nmoe",
        "git@github.com:noumena/nmoe.git",
        "github.com:noumena/nmoe",
        "git@github.com:/noumena/nmoe.git",
        "ssh://git@github.com/noumena/nmoe.git",
        "ssh://git@ssh.github.com:443/noumena/nmoe.git",
        "git+ssh://git@github.com/noumena/nmoe",
        "noumena/nmoe",
    ],
)
def test_spellings(url: str) -> None:
    """All of them are one repository."""
    assert where_of(url, {}) == HUB


@pytest.mark.parametrize(
    ("url", "api"),
    [
        ("https://git.corp.example/noumena/nmoe", "https://git.corp.example/api/v3"),
        ("https://git.corp.example:8443/noumena/nmoe", "https://git.corp.example:8443/api/v3"),
        ("ssh://git@git.corp.example:2222/noumena/nmoe", "https://git.corp.example/api/v3"),
        ("git@acme.ghe.com:noumena/nmoe.git", "https://api.acme.ghe.com"),
        ("https://github.com.evil.example/noumena/nmoe", "https://github.com.evil.example/api/v3"),
    ],
)
def test_other_hosts(url: str, api: str) -> None:
    assert where_of(url, {}).api == api


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/srv/git/nmoe.git",
        "../nmoe",
        "./a/b",
        "~/git/nmoe",
        "C:\\git\\nmoe",
        "file:///srv/git/nmoe.git",
        "http://github.com/noumena/nmoe",
        "git://github.com/noumena/nmoe",
        "ext::sh -c whoami",
        "https://github.com/noumena",
        "https://github.com/noumena/nmoe/pull/3",
        "https://github.com/noumena/../nmoe",
        "https://github.com/noumena/..",
        "https://github.com/-x/nmoe",
        "https://github.com/noumena/nm%2foe",
        "https://github.com/noumena/nmoe?x=1",
        "https://github.com/noumena/nmoe#x",
        "https://github.com:99999/noumena/nmoe",
        "https://localhost.:1/noumena/nmoe",
        "https:///noumena/nmoe",
        "https://gıthub.com/noumena/nmoe",
        "https://github.com/noumena/nmoe\n",
        "https://git_hub/noumena/nmoe",
        "gh:noumena/nmoe",
        "noumena/nmoe/x",
        "noumena/nm oe",
        "noumena/" + "n" * 500,
    ],
)
def test_what_names_no_repository(url: str) -> None:
    """One error, with the forms that are taken."""
    with pytest.raises(UsageError) as caught:
        where_of(url, {})
    assert caught.value.exit_code == 2
    assert "OWNER/NAME" in caught.value.faults[0].hint


def test_a_password_in_a_url_is_not_shown() -> None:
    with pytest.raises(UsageError) as caught:
        where_of("https://me:hunter2hunter2@github.com/noumena/nmoe/x", {})
    assert "hunter2" not in str(caught.value)


@given(
    hosts, owners, names, st.sampled_from(["https://{}/{}/{}", "https://{}/{}/{}.git", "git@{}:{}/{}", "ssh://git@{}:22/{}/{}.git"])
)
def test_a_name_survives_every_form(host: str, owner: str, name: str, form: str) -> None:
    """What is put in comes out, whichever way it is written."""
    found = where_of(form.format(host, owner, name), {})
    assert (found.host, found.owner, found.name) == (host, owner, name)


@given(st.text(max_size=60) | st.from_regex(r"(https|ssh|git\+ssh)://[ -~]{0,30}/[ -~]{0,10}/[ -~]{0,10}", fullmatch=True))
def test_any_text_is_a_repository_or_one_error(text: str) -> None:
    """Nothing but plain characters ever gets into a path of the API."""
    try:
        found = where_of(text, {})
    except UsageError:
        return
    plain = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
    assert set(found.owner) | set(found.name) <= plain
    assert found.name not in (".", "..")
    assert found.api.startswith("https://")


@pytest.mark.parametrize(
    ("given", "api"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://localhost:8080/api/v3/", "http://localhost:8080/api/v3"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("https://proxy.corp.example/github", "https://proxy.corp.example/github"),
    ],
)
def test_another_base_url(given: str, api: str) -> None:
    assert where_of("noumena/nmoe", {API_VARIABLE: given}) == Where("github.com", "noumena", "nmoe", api)


@pytest.mark.parametrize(
    "given",
    [
        "http://proxy.corp.example",
        "ftp://127.0.0.1",
        "https://me@x.example",
        "https://x.example/?a",
        "https://",
        "x",
        "http://127.0.0.1.evil.example",
        "https://x.example/../y",
        "https://x.example:99999",
    ],
)
def test_a_base_url_to_which_no_token_goes(given: str) -> None:
    with pytest.raises(UsageError, match=API_VARIABLE):
        where_of("noumena/nmoe", {API_VARIABLE: given})


# -- a checkout's remote -------------------------------------------------------------------------------------------------------


def test_the_remote_of_a_checkout(scratch) -> None:  # type: ignore[no-untyped-def]
    """Read as it is configured; insteadOf counts only for a word that is no host."""
    repository = Repository.open(scratch.root)
    with pytest.raises(UsageError, match="no remote origin"):
        where_of_origin(repository, environ={})
    scratch.git("remote", "add", "origin", str(scratch.root / "elsewhere.git"))
    with pytest.raises(UsageError, match="folder") as caught:
        where_of_origin(repository, environ={})
    assert caught.value.faults[0].hint.startswith("--remote NAME or --repository OWNER/NAME")
    scratch.git("remote", "set-url", "origin", "a/b")
    with pytest.raises(UsageError, match="folder"):
        where_of_origin(repository, environ={})
    scratch.git("remote", "set-url", "origin", "https://github.com/noumena/nmoe.git")
    scratch.git("config", f"url.{scratch.root}/bare.git.insteadOf", "https://github.com/noumena/nmoe.git")
    assert where_of_origin(repository, environ={}) == HUB
    scratch.git("config", "url.git@github.com:.insteadOf", "gh:")
    scratch.git("remote", "set-url", "origin", "gh:noumena/nmoe")
    assert where_of_origin(repository, environ={}) == HUB
    with pytest.raises(UsageError, match="no name of a remote"):
        where_of_origin(repository, "--upload-pack=x", environ={})


# -- tokens --------------------------------------------------------------------------------------------------------------------


def test_which_token() -> None:
    """GH_TOKEN before GITHUB_TOKEN; without either, and without gh, one error."""
    assert find_token(HUB, {"GH_TOKEN": "first-word", "GITHUB_TOKEN": "second-word"}).reveal() == "first-word"
    assert find_token(HUB, {"GH_TOKEN": " ", "GITHUB_TOKEN": "second-word\n"}).reveal() == "second-word"
    with pytest.raises(HostError, match=r"no token for github.com") as caught:
        find_token(HUB, {"PATH": ""})
    assert caught.value.exit_code == 3


def test_a_remote_does_not_decide_where_a_token_goes() -> None:
    """Another host gets the words that were meant for it, and no other."""
    other = where_of("https://git.corp.example/noumena/nmoe", {})
    mine = {"GH_TOKEN": "for-github-dot-com", "PATH": ""}
    with pytest.raises(HostError, match=r"no token for git.corp.example"):
        find_token(other, mine)
    assert find_token(other, mine | {"GH_HOST": "git.corp.example"}).reveal() == "for-github-dot-com"
    assert find_token(other, mine | {"GITHUB_SERVER_URL": "https://git.corp.example"}).reveal() == "for-github-dot-com"
    assert find_token(other, mine | {"GH_ENTERPRISE_TOKEN": "for-the-corp"}).reveal() == "for-the-corp"


def gh(folder: Path, script: str) -> dict[str, str]:
    program = folder / "gh"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return {"PATH": f"{folder}{os.pathsep}/bin{os.pathsep}/usr/bin"}


def test_gh_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For this host; a gh that fails or hangs is no token, and no wait without an end."""
    environ = gh(tmp_path, 'test "$*" = "auth token --hostname github.com" && echo from-the-keyring')
    assert find_token(HUB, environ).reveal() == "from-the-keyring"
    with pytest.raises(HostError, match="no token"):
        find_token(HUB, gh(tmp_path, "echo partial-word; exit 1"))
    monkeypatch.setattr("nmoe_graph.forge.token._GH_SECONDS", 0.2)
    with pytest.raises(HostError, match="no token"):
        find_token(HUB, gh(tmp_path, "exec sleep 30"))


@pytest.mark.parametrize(
    "bad", ["", "abc", "two words", "a\r\nX-Header: b", "größe-des-wortes", "x" * 2000, "\x00\x00\x00\x00\x00"]
)
def test_what_no_token_is(bad: str) -> None:
    """It would make another header of ours; the error does not repeat it."""
    with pytest.raises(HostError) as caught:
        Token(bad)
    assert not bad or bad not in str(caught.value)


def test_a_token_shows_itself_to_nobody() -> None:
    """Neither by repr, str, format, an f-string, nor in a pickle."""
    token = Token("the-secret-word", "GH_TOKEN")
    assert "secret" not in f"{token} {token!r} {token!s} {token:} %s {[token]} {vars() and token}" % (token,)
    assert not hasattr(token, "__dict__")
    with pytest.raises(TypeError):
        pickle.dumps(token)
