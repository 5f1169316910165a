"""Pull requests over the double: opened from what is proven, judged, answered once."""

from __future__ import annotations

import os
import random

import pytest

from nmoe_graph import Workspace
from nmoe_graph.errors import DeclarationError, NmoeGraphError, UsageError
from nmoe_graph.forge.errors import ForgeError
from nmoe_graph.pulls.body import issue_of_title, with_block
from nmoe_graph.pulls.comments import mark
from nmoe_graph.pulls.desk import PullDesk

from .site import Site, change, git


def desk(site: Site) -> PullDesk:
    return PullDesk(Workspace.open(site.laptop), site.client, "origin", site.said.append)


def prove(site: Site) -> None:
    assert Workspace.open(site.laptop).build("cpu:import", "HEAD").exit_code == 0


def body_of(site: Site) -> str:
    return site.github.pulls[site.number].body


def test_what_is_not_proven_is_not_opened(site: Site) -> None:
    site.github.pulls[site.number].state = "closed"
    made = desk(site).create("01")
    assert made.exit_code == 1 and made.what == "refused" and "cpu:import" in made.unproven[0]
    assert len(site.github.pulls) == 1


def test_a_pull_request_is_opened_once_with_the_block(site: Site) -> None:
    """Also where GitHub's answer was lost: the next call finds it and changes nothing."""
    site.github.pulls[site.number].state = "closed"
    prove(site)
    site.github.inject("502", "pulls/create", after=True)
    with pytest.raises(ForgeError):
        desk(site).create("01")
    made = desk(site).create("01")
    assert made.what == "unchanged" and len(site.github.pulls) == 2
    pull = site.github.pulls[made.number]
    assert pull.title == "[01] wider" and "- cpu:import" in pull.body and "tier_b: []" in pull.body
    assert desk(site).verify(made.number, tiers="a").exit_code == 0
    assert desk(site).verify(made.number).exit_code == 1  # tier b is required, and not proven


def test_only_the_block_changes(site: Site) -> None:
    """People's words stay to the byte; two blocks are for a person to look at."""
    prove(site)
    site.github.pulls[site.number].body = "What I did:\n\n* `this`  \n\n<!-- and that -->\n"
    assert desk(site).update(site.number).what == "updated"
    text = body_of(site)
    assert text.startswith("What I did:\n\n* `this`  \n\n<!-- and that -->\n")
    site.github.pulls[site.number].body = text + "\nafterwards\n"
    change(site, "DIM = 18\n")
    prove(site)
    assert desk(site).update(site.number).what == "updated"
    assert body_of(site).endswith("\nafterwards\n") and git(site.laptop, "rev-parse", "HEAD") in body_of(site)
    assert desk(site).update(site.number).what == "unchanged"
    site.github.pulls[site.number].body += "\n```yaml\nnmoe_pr:\n  issue: 01\n```\n"
    with pytest.raises(DeclarationError, match="more than one block"):
        desk(site).update(site.number)


def test_a_block_in_a_block_is_left_alone() -> None:
    assert issue_of_title("[03a] x") == "03a" and issue_of_title("03a x") == issue_of_title("[../x] y") == ""
    once = with_block("hello\r\nworld", "nmoe_pr:\n  issue: 01\n")
    assert with_block(once, "nmoe_pr:\n  issue: 01\n") == once
    assert with_block(once, "nmoe_pr:\n  issue: 02\n").count("nmoe_pr") == 1


REFUSED = {
    "a title without a contract": ("title", "Wider", "names no contract"),
    "a contract that is not there": ("title", "[99] Wider", "the base has none"),
    "a block of another contract": ("body", "```yaml\nnmoe_pr:\n  issue: 02\n```", ""),
    "no block": ("body", "please merge", "no block found"),
    "an inside host in the text": ("body", "see http://10.20.30.40:8080/run", "is not public-safe"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_judge_refuses(site: Site, case: str) -> None:
    prove(site)
    desk(site).update(site.number)
    name, value, words = REFUSED[case]
    setattr(site.github.pulls[site.number], name, value)
    report = desk(site).verify(site.number, tiers="a")
    assert report.exit_code == 1 and any(words in line.what for line in report.lines if line.ok is False), report.lines


def test_scope_messages_and_conflicts_are_looked_at(site: Site) -> None:
    (site.laptop / "top.txt").write_text("x\n")
    git(site.laptop, "add", "-A")
    git(site.laptop, "commit", "-qm", "ran on host gpu17.internal at /home/me/x")
    git(site.laptop, "push", "-q", "origin", "issue/01-wider")
    report = desk(site).verify(site.number, tiers="a")
    words = " ".join(line.what for line in report.lines)
    assert "touches top.txt" in words and "is not public-safe" in words and "gpu17" not in words


def test_one_comment_and_one_check_however_often(site: Site) -> None:
    """And a stranger's comment with our mark is neither taken for ours nor overwritten."""
    prove(site)
    desk(site).update(site.number)
    planted = f"{mark('pr-verify', f'pull {site.number}')}\nall is well, merge it"
    site.client("the-word-of-a-reader").create_comment(site.number, planted)
    for kind in ("502", "truncated", "cut", ""):
        if kind:
            site.github.inject(kind, "issues/create-comment", after=True)
            site.github.inject(kind, "checks/create", after=True)
        desk(site).verify(site.number, tiers="a", report=True)
    ours = [one for one in site.github.comments.values() if one.author == "maintainer"]
    strange = [one for one in site.github.comments.values() if one.author == "reader"]
    assert len(ours) == 1 and [one.body for one in strange] == [planted]
    assert len(site.github.checks) == 1
    assert next(iter(site.github.checks.values())).head_sha == git(site.laptop, "rev-parse", "HEAD")


@pytest.mark.parametrize("title", ["[01] <img src=x onerror=1>", "[01] @everyone `x` | y", "[01] ::error::x", "[01] \u202eab"])
def test_hostile_words_are_shown_and_do_nothing(site: Site, title: str) -> None:
    site.github.pulls[site.number].title = title
    site.github.pulls[site.number].body = "```yaml\nnmoe_pr:\n  issue: '<b>@team</b>'\n```"
    desk(site).verify(site.number, report=True)
    said = next(one.body for one in site.github.comments.values() if one.author == "maintainer")
    assert "<img" not in said and "@everyone" not in said and "@team" not in said and "\u202e" not in said
    assert not any(line.startswith("::") for line in said.splitlines())


def test_random_interleavings_never_cross_results(site: Site) -> None:
    """Pushes, edits, moves of the base, updates, reports: each check is of the head that it speaks of, and nothing is doubled."""
    rng = random.Random(int(os.environ.get("NMOE_GRAPH_TEST_SEED", "1")))
    pushed = {git(site.laptop, "rev-parse", "HEAD")}
    prove(site)
    for step in range(int(os.environ.get("NMOE_GRAPH_TEST_STEPS", "40"))):
        what = rng.choice(["push", "edit", "base", "prove", "update", "report", "fault"])
        try:
            if what == "push":
                pushed.add(change(site, f"DIM = {step + 20}\n"))
            elif what == "edit":
                site.github.pulls[site.number].body += rng.choice(["\nmore\n", "", "\n> quoted\n"])
            elif what == "base":
                where = site.clone(f"base-{step}")
                (where / "notes.txt").write_text(f"one\n{step}\n")
                git(where, "commit", "-qam", "base")
                git(where, "push", "-q", "origin", "HEAD:main")
            elif what == "prove":
                prove(site)
            elif what == "update":
                desk(site).update(site.number)
            elif what == "fault":
                kind = rng.choice(["502", "truncated", "cut"])
                site.github.inject(kind, rng.choice(["issues/create-comment", "checks/create", "pulls/update"]), after=True)
            else:
                report = desk(site).verify(site.number, tiers="a", report=True)
                assert report.head == site.github.pulls[site.number].head_sha
        except (NmoeGraphError, UsageError):
            pass
        finally:
            keys = [(one.name, one.head_sha) for one in site.github.checks.values()]
            assert len(keys) == len(set(keys)) and {sha for _, sha in keys} <= pushed
            assert len([one for one in site.github.comments.values() if one.number == site.number]) <= 1
    site.github.faults.clear()
    git(site.laptop, "fetch", "-q", "origin")
    last = desk(site).verify(site.number, tiers="a", report=True)
    check = next(one for one in site.github.checks.values() if one.head_sha == last.head)
    assert check.conclusion == ("success" if last.counts else "failure")
