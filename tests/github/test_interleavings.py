"""Everything at once, in random orders: nothing untested lands, no result is of another commit, nothing is dispatched twice."""

from __future__ import annotations

import collections
import os
import random
import re

from nmoe_graph import Workspace
from nmoe_graph.errors import NmoeGraphError
from nmoe_graph.git.snapshot import Snapshot
from nmoe_graph.pulls.desk import PullDesk

from .double_state import Outcome
from .site import Site, change, git


def test_random_orders_of_everything(site: Site) -> None:
    """Pushes, moves of the base, edits, dispatches, approvals, cancelled runs, lost answers, reports and landings."""
    rng = random.Random(int(os.environ.get("NMOE_GRAPH_TEST_SEED", "1")))
    runner = site.github.decide
    tested: set[str] = set()  # trees that a runner proved

    def decide(run: object) -> Outcome:
        if rng.random() < 0.2:
            return Outcome("cancelled")
        outcome = runner(run)  # type: ignore[arg-type]
        if outcome.conclusion == "success":
            tested.add(run.inputs["merged_tree"])  # type: ignore[attr-defined]
        return outcome

    site.github.decide = decide
    value = 20
    bare = site.github.bare
    assert bare
    for step in range(int(os.environ.get("NMOE_GRAPH_TEST_STEPS", "30"))):
        what = rng.choice(["push", "base", "edit", "ask", "ask", "run", "approve", "tick", "fault", "land", "report"])
        pull = site.github.pulls[site.number]
        before = bare.tip("main")
        try:
            if what == "push":
                git(site.laptop, "fetch", "-q", "origin")
                if pull.merged:  # the next piece of work
                    git(site.laptop, "checkout", "-q", "-B", "issue/01-wider", "origin/main")
                value += 1
                change(site, f"DIM = {value if rng.random() < 0.8 else 100}\n# {value}\n")
                if pull.state != "open":
                    site.number = site.github.open_pull("issue/01-wider", "[01] Wider").number
            elif what == "base":
                where = site.clone(f"base-{step}")
                path = rng.choice(["notes.txt", "demo/__main__.py"])
                (where / path).write_text((where / path).read_text() + f"# {step}\n")
                git(where, "commit", "-qam", "base")
                git(where, "push", "-q", "origin", "HEAD:main")
                continue
            elif what == "edit":
                pull.body += rng.choice(["\nwords\n", "\n```yaml\nx: 1\n```\n"])
            elif what == "ask":
                site.desk().run(site.number, "hot", wait=False)
            elif what == "run":
                site.desk().run(site.number, "hot", rerun=rng.random() < 0.3)
            elif what == "approve":
                site.desk().approve(site.number, "hot", sure=lambda: True)
            elif what == "tick":
                site.github.advance()
            elif what == "fault":
                name = rng.choice(["actions/create-workflow-dispatch", "issues/create-comment", "checks/create", "pulls/merge"])
                site.github.inject(rng.choice(["502", "truncated", "cut"]), name, after=True)
            elif what == "report":
                desk = PullDesk(Workspace.open(site.laptop), site.client, "origin")
                desk.verify(site.number, tiers="a", report=True)
            else:
                workspace = Workspace.open(site.laptop)
                _, _, resolved = site.desk().resolve(site.number, "hot")
                tree = resolved.request.merged_tree
                workspace.build("cpu:import", Snapshot(workspace.repository.objects, tree, "the merge", resolved.commit))
                PullDesk(workspace, site.client, "origin").land(["01"])
        except NmoeGraphError:
            pass
        after = bare.tip("main")
        if after != before:  # a landing: one commit on what was there, of a tree that a runner proved, or whose keys were proven
            assert bare.git("rev-parse", f"{after}^")[1] == before
            tree = bare.git("rev-parse", f"{after}^{{tree}}")[1]
            git(site.laptop, "fetch", "-q", "origin")
            judge = Workspace.open(site.laptop).evidence(before)
            gate = judge.gate("b200:train")
            assert tree in tested or (gate is not None and judge.proof(gate, after)[0] is not None)
        names = collections.Counter(
            found[0] for run in site.github.runs.values() if (found := re.search(r"\[[^\]]+\]", run.title)) is not None
        )
        assert all(count == 1 for count in names.values()), names  # an attempt is dispatched once
        marks = collections.Counter((one.number, one.body.partition("\n")[0]) for one in site.github.comments.values())
        assert all(count == 1 for count in marks.values()), marks
        checks = collections.Counter((one.name, one.head_sha, one.external_id) for one in site.github.checks.values())
        assert all(count == 1 for count in checks.values()), checks
    for run in site.github.runs.values():  # whatever ran, ran for the commits that it was dispatched for
        request = run.inputs
        assert f"[{request['correlation']}]" in run.title
    for one in site.github.checks.values():
        if "tier-b" in one.name and one.conclusion == "success":
            assert one.head_sha in {run.inputs["head_sha"] for run in site.github.runs.values()}
