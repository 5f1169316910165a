"""A change that reaches for what judges it, through GitHub: judged by the old rules, named for whoever approves, and never landed
by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from nmoe_graph import Workspace
from nmoe_graph.git.snapshot import Snapshot
from nmoe_graph.pulls.desk import PullDesk

from .shell import Shell
from .site import GATES, Site, git


def gates(root: Path) -> None:
    (root / "configs/gates/gates.toml").write_text(GATES.replace('cmd = "python -m demo"', 'cmd = "true"'))


def signers(root: Path) -> None:
    """A key of the change's own beside the runner's."""
    import subprocess

    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(root.parent / "mine")], check=True)
    path = root / "configs/allowed_signers"
    mine = (root.parent / "mine.pub").read_text()
    path.write_text(path.read_text() + f'runner@nmoe.example namespaces="nmoe-gate-result" {mine}')


def workspace(root: Path) -> None:
    """Everybody's word counts, and whatever this machine has run."""
    path = root / "BUILD.toml"
    path.write_text(path.read_text().replace('principals = ["runner@nmoe.example"]', 'principals = ["*"]\nlocal = true'))


def workflow(root: Path) -> None:
    path = root / ".github/workflows/tier-b.yml"
    path.parent.mkdir(parents=True)
    path.write_text("on: workflow_dispatch\njobs: {}\n")


def image(root: Path) -> None:
    path = root / "docker/Dockerfile.runner"
    path.parent.mkdir()
    path.write_text("FROM scratch\n")


CHANGES: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "gates.toml": (gates, "configs/gates/gates.toml", "gates and bundles"),
    "signers": (signers, "configs/allowed_signers", "who may prove"),
    "BUILD.toml": (workspace, "BUILD.toml", "targets, and what the workspace is"),
    "a workflow": (workflow, ".github/workflows/tier-b.yml", "what GitHub runs and asks for"),
    "an image": (image, "docker/Dockerfile.runner", "what gates run on"),
}


def reached(site: Site, name: str) -> tuple[str, str]:
    """A pull request that does not pass, and changes the rules so that by its own it would, or could; the path, and what it is."""
    change, path, why = CHANGES[name]
    git(site.laptop, "checkout", "-q", "issue/01-wider")
    (site.laptop / "demo/__init__.py").write_text("DIM = 100\n")
    change(site.laptop)
    git(site.laptop, "add", "-A")
    git(site.laptop, "commit", "-qm", "wider, and its judge")
    git(site.laptop, "push", "-q", "origin", "issue/01-wider")
    return path, why


@pytest.mark.parametrize("name", CHANGES)
def test_it_is_gated_by_the_old_definitions_and_marked(site: Site, name: str) -> None:
    """The request names the digest of the base's definitions, the runner proves by them, and no landing takes it."""
    old = site.desk().resolve(site.number, "hot")[2].request.definitions_digest
    path, why = reached(site, name)
    report = site.desk().run(site.number, "hot")
    assert report.resolved.request.definitions_digest == old
    assert report.exit_code == 1 and "AssertionError" in report.logs["b200:train"]
    assert f"control plane: {path} ({why}): judged by the rules of the base" in site.said
    said = next(one.body for one in site.github.comments.values() if "tier-b" in one.body)
    assert "is not proven" in said and "judged by the rules of the base" in said
    here = Workspace.open(site.laptop)
    here.build("b200:train", "HEAD")  # by whatever the change says itself, and signed by nobody
    desk = PullDesk(here, site.client, "origin")
    lines = [line.what for line in desk.verify(site.number).lines]
    assert any(line.startswith(f"control plane: {path} ({why}): for a maintainer") for line in lines), lines
    head, base = (git(site.laptop, "rev-parse", name) for name in ("HEAD", "origin/main"))
    claims = "gates_passed: {tier_a: [cpu:import], tier_b: ['b200:train']}"
    block = f"```yaml\nnmoe_pr: {{issue: 01, baseline_sha: {base}, pr_sha: {head}, risk: hot}}\n{claims}\n```"
    site.github.pulls[site.number].body = block
    lines = [line.what for line in desk.verify(site.number).lines if line.ok is False]
    assert any(line.startswith("b200:train is claimed and not proven") for line in lines), lines
    request = report.resolved.request
    merge = Snapshot(here.repository.objects, request.merged_tree, "the merge", report.resolved.commit)
    assert here.build("cpu:import", merge).exit_code == 0
    reasons = " ".join(desk.land(["01"]).rows[0].missing)
    assert f"control plane: {path} ({why})" in reasons and not site.github.pulls[site.number].merged


def test_it_is_said_on_the_command_line(shell: Shell, site: Site) -> None:
    """To whoever dispatches, approves, judges and lands."""
    path, why = reached(site, "gates.toml")
    marked = f"control plane: {path} ({why}): judged by the rules of the base\n"
    number = str(site.number)
    assert marked in shell("tier-b", "run", number, "--bundle", "hot", "--no-wait", code=3).err
    assert marked in shell("tier-b", "approve", number, "--bundle", "hot", "--yes").err
    assert "0 of 1 proven" in shell("tier-b", "run", number, "--bundle", "hot", "--every", "1", code=1).out
    assert f"control plane: {path} ({why}): for a maintainer" in shell("pr", "verify", number, code=1).out
    assert f"control plane: {path} ({why})" in shell("merge", "--github", "01", code=1).out
